"""Logs of every form, whole and broken, become calls; every record ends in one place."""

import csv
import gzip
import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.logs import decode, group

from apitracker.core.model import Call, Decoded, Log, Rejected
from apitracker.core.records import parts
from apitracker.core.times import label
from apitracker.errors import LogError

unhurried = settings(deadline=None)  # a busy machine is no fault

DATA = Path(__file__).parents[2] / "shared" / "data"

Json: TypeAlias = Any
"""What `json` reads and writes."""

ABSENT = ...
"""A field that is not there."""

RECORD = {
    "eventVersion": "1.08",
    "userIdentity": {
        "type": "IAMUser",
        "principalId": "AIDAEXAMPLE",
        "arn": "arn:aws:iam::111122223333:user/Alice",
        "accountId": "111122223333",
        "userName": "Alice",
    },
    "eventTime": "2023-07-10T11:42:07Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "awsRegion": "eu-west-1",
    "sourceIPAddress": "192.0.2.1",
    "errorCode": "AccessDenied",
    "responseElements": None,
    "eventID": "e-1",
    "readOnly": True,
    "eventType": "AwsApiCall",
    "recipientAccountId": "444455556666",
    "eventCategory": "Data",
}

CALL = Call(
    second=1_688_989_327,
    eventName="GetObject",
    eventSource="s3.amazonaws.com",
    awsRegion="eu-west-1",
    recipientAccountId="444455556666",
    callerAccountId="111122223333",
    caller="arn:aws:iam::111122223333:user/Alice",
    errorCode="AccessDenied",
    readOnly="true",
    eventCategory="Data",
    failed_without_code=False,
    eventType="AwsApiCall",
    eventVersion="1.08",
    eventID="e-1",
)


def record(**fields: Json) -> dict[str, Json]:
    """`RECORD` with other *fields*; those that are ABSENT are left out."""
    return {k: v for k, v in {**RECORD, **fields}.items() if v is not ABSENT}


def records(count: int, **fields: Json) -> list[Json]:
    """*count* records that have the event ids e-0, e-1 and so on."""
    return [record(eventID=f"e-{at}", **fields) for at in range(count)]


def compact(value: Json) -> bytes:
    """*value* as CloudTrail writes it, without a space."""
    return json.dumps(value, separators=(",", ":")).encode()


def document(elements: Iterable[Json]) -> bytes:
    """A log file as CloudTrail writes it."""
    return compact({"Records": list(elements)})


def read(body: bytes | list[str]) -> Decoded:
    """What the log *body* decodes to."""
    return decode(Log("id", "log.json.gz", body))


def one(**fields: Json) -> Call:
    """The one call that a record with *fields* is."""
    decoded = read(document([record(**fields)]))
    assert decoded.rejected == []
    (call,) = decoded.calls
    return call


def ids(calls: Iterable[Call]) -> list[str]:
    """The event ids of *calls*."""
    return [call.eventID for call in calls]


class TestRecord:
    """One record becomes one call, with the fields that it has."""

    def test_every_field(self) -> None:
        """A record with all fields becomes a call with all fields."""
        assert read(document([RECORD])) == Decoded([CALL], [], Counter(), [])

    def test_least(self) -> None:
        """A time alone makes a call, all other fields absent."""
        decoded = read(document([{"eventTime": "2023-07-10T11:42:07Z"}]))

        assert decoded == Decoded([Call(1_688_989_327)], [], Counter(), [])

    @pytest.mark.parametrize(
        "field",
        [
            "eventVersion",
            "eventSource",
            "eventName",
            "awsRegion",
            "errorCode",
            "eventID",
            "eventType",
            "recipientAccountId",
            "eventCategory",
        ],
    )
    @pytest.mark.parametrize("junk", [ABSENT, None, 5, 1.5, 10**400, True, [], ["a"], {}, {"a": 1}])
    def test_text_that_is_none(self, field: str, junk: Json) -> None:
        """A text that is missing, null or of another type is absent; the record is kept."""
        assert one(**{field: junk}) == replace(CALL, **{field: ""})

    @pytest.mark.parametrize(
        "junk",
        [
            ABSENT,
            None,
            5,
            10**400,
            1.5,
            [],
            {},
            "yes",
            "",
        ],
        ids=repr,
    )
    def test_read_only_that_is_none(self, junk: Json) -> None:
        """A readOnly that says neither is absent."""
        assert one(readOnly=junk) == replace(CALL, readOnly="")

    @pytest.mark.parametrize(
        ("spelling", "readOnly"),
        [
            (True, "true"),
            (False, "false"),
            ("true", "true"),
            ("false", "false"),
            ("True", "true"),
            ("False", "false"),
        ],
    )
    def test_read_only_spellings(self, spelling: Json, readOnly: str) -> None:  # noqa: N803
        """CloudTrail writes a bool, others write text."""
        assert one(readOnly=spelling) == replace(CALL, readOnly=readOnly)

    @pytest.mark.parametrize("junk", [ABSENT, None, 5, "Alice", [], ["a"], {}, {"type": 5}])
    def test_user_identity_that_is_none(self, junk: Json) -> None:
        """A userIdentity that is none leaves caller and account absent."""
        assert one(userIdentity=junk) == replace(CALL, callerAccountId="", caller="")

    @pytest.mark.parametrize("junk", [ABSENT, None, 5, "no", [], ["a"], {}, {"a": 10**400}])
    def test_response_that_is_none(self, junk: Json) -> None:
        """Whatever stands in responseElements, the record is kept."""
        assert one(responseElements=junk) == CALL
        assert not one(responseElements=junk, eventType="AwsConsoleSignIn").failed_without_code

    @pytest.mark.parametrize(
        "junk",
        [
            ABSENT,
            None,
            {},
            {"reason": "DELIVERY_DELAY"},
            5,
            "UPDATED_DATA",
            [],
            {"originalEventID": None},
            {"originalEventID": 5},
        ],
        ids=repr,
    )
    def test_addendum_that_is_none(self, junk: Json) -> None:
        """An addendum that names no event leaves the record its own eventID."""
        assert one(addendum=junk) == CALL

    def test_other_fields_are_kept_beside_a_bad_one(self) -> None:
        """Several fields of wrong types lose only themselves."""
        call = one(eventName=None, awsRegion=7, userIdentity={"accountId": "1", "arn": []})

        assert call == replace(CALL, eventName="", awsRegion="", callerAccountId="1", caller="1")

    @pytest.mark.parametrize("minor", range(12))
    def test_versions(self, minor: int) -> None:
        """Every version from 1.0 to 1.11 is read, with whatever it adds."""
        call = one(eventVersion=f"1.{minor}", tlsDetails={"tlsVersion": "TLSv1.3"}, inScopeOf=[{}])

        assert call == replace(CALL, eventVersion=f"1.{minor}")

    @unhurried
    @given(
        st.dictionaries(
            st.sampled_from([*RECORD, "addendum"]).filter(lambda field: field != "eventTime"),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(),
                lambda json: st.lists(json) | st.dictionaries(st.text(), json),
                max_leaves=5,
            ),
        )
    )
    def test_no_field_loses_the_record(self, fields: dict[str, Json]) -> None:
        """Whatever stands in its fields, a record with a time is a call or of a kind to skip."""
        decoded = read(document([record(**fields)]))

        assert decoded.rejected == []
        assert decoded.received == 1


class TestTime:
    """eventTime is a second since 1970 UTC, or the record is rejected."""

    @pytest.mark.parametrize(
        ("eventTime", "second"),
        [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-07-10T11:42:07Z", 1_688_989_327),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2023-07-10T11:42:07", 1_688_989_327),  # exporters drop the Z
            ("2023-07-10 11:42:07", 1_688_989_327),
            ("2023-07-10T13:42:07+02:00", 1_688_989_327),
            ("2023-07-10T06:12:07-05:30", 1_688_989_327),
            ("2023-07-10T11:42:07.9Z", 1_688_989_327),
            ("2023-07-10T11:42:07.999999999Z", 1_688_989_327),
            ("1969-12-31T23:59:59.5Z", -1),  # floors, before 1970 too
            ("1969-12-31T23:59:58.001Z", -2),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ],
    )
    def test_is_read(self, eventTime: str, second: int) -> None:  # noqa: N803
        """A time is the second that it is in."""
        assert one(eventTime=eventTime) == replace(CALL, second=second)

    @pytest.mark.parametrize(
        "eventTime",
        [
            "2023-02-30T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-07-10T25:00:00Z",
            "2023-07-10T11:60:07Z",
            "2023-07-10T11:42:61Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2023-07-10T11:42:07+25:00",
            "2023-07-10T11:42:07Z ",
            "2023-07-10T11:42:07Z\n",
            " 2023-07-10T11:42:07Z",
            "2023-07-10T11:42:07ZZ",
            "2023-07-10T11:42:07z",
            "2023-07-10T11:42Z",
            "2023-07-10",
            "20230710T114207Z",
            "2023-W28-1",
            "1688989327",
            "\u0662023-07-10T11:42:07Z",  # an Arabic digit
            "2023-07-10T11:42:07\0",
            "yesterday",
        ],
    )
    def test_is_no_time(self, eventTime: str) -> None:  # noqa: N803
        """What is no time is rejected, with what was found and where."""
        decoded = read(document([record(eventID="e-0"), record(eventTime=eventTime)]))

        assert ids(decoded.calls) == ["e-0"]
        assert decoded.rejected == [Rejected("record 2", f"eventTime {eventTime!r} is not a time")]

    @pytest.mark.parametrize(
        ("junk", "shown"),
        [
            (1_688_989_327, "1688989327"),
            (1.5, "1.5"),
            (-1, "-1"),
        ],
    )
    def test_is_a_number(self, junk: Json, shown: str) -> None:
        """A time that is a number is shown when it is rejected."""
        decoded = read(document([record(eventTime=junk), RECORD]))

        reason = f"eventTime {shown!r} is not a time"
        assert decoded == Decoded([CALL], [], Counter(), [Rejected("record 1", reason)])

    @pytest.mark.parametrize("junk", [ABSENT, None, True, [], {}, ""])
    def test_is_missing(self, junk: Json) -> None:
        """A record without a time that could be read is rejected, alone."""
        decoded = read(document([record(eventTime=junk), RECORD]))

        assert decoded == Decoded([CALL], [], Counter(), [Rejected("record 1", "no eventTime")])

    @pytest.mark.parametrize(
        "eventTime", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"]
    )
    def test_what_is_counted_can_be_written(self, eventTime: str) -> None:  # noqa: N803
        """A time outside the years 1 to 9999 is no call that later cannot be shown."""
        for call in read(document([record(eventTime=eventTime)])).calls:
            assert label("minute", call.second)

    @unhurried
    @given(st.datetimes(), st.integers(0, 999_999_999))
    def test_of_any_year(self, time: Any, nanoseconds: int) -> None:  # noqa: ANN401
        """A time in UTC is the number of whole seconds since 1970, whatever its fraction."""
        days = time.date().toordinal() - 719_163  # the first of January 1970
        second = days * 86_400 + time.hour * 3_600 + time.minute * 60 + time.second
        text = f"{time.replace(microsecond=0).isoformat()}.{nanoseconds:09}Z"

        assert one(eventTime=text).second == second


ROLE = "arn:aws:iam::111122223333:role/Deploy"
ISSUER = {"type": "Role", "principalId": "AROAEXAMPLE", "arn": ROLE, "userName": "Deploy"}
SESSION = {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLE:alice@example.com",
    "arn": "arn:aws:sts::111122223333:assumed-role/Deploy/alice@example.com",
    "accountId": "111122223333",
    "sessionContext": {"attributes": {}, "sessionIssuer": ISSUER},
    "invokedBy": "ec2.amazonaws.com",
}


class TestCaller:
    """The caller is the role or user, in words that do not grow with every session."""

    @pytest.mark.parametrize(
        ("identity", "caller"),
        [
            (
                {
                    "type": "Root",
                    "principalId": "111122223333",
                    "arn": "arn:aws:iam::111122223333:root",
                },
                "arn:aws:iam::111122223333:root",
            ),
            (
                {
                    "type": "IAMUser",
                    "principalId": "AIDAEXAMPLE",
                    "arn": "arn:aws:iam::111122223333:user/ops/Bob",
                },
                "arn:aws:iam::111122223333:user/ops/Bob",
            ),
            (
                {  # console sign-in and GetSessionToken: a session, but an issuer without arn
                    "type": "IAMUser",
                    "arn": "arn:aws:iam::111122223333:user/Bob",
                    "sessionContext": {"sessionIssuer": {}, "attributes": {}},
                },
                "arn:aws:iam::111122223333:user/Bob",
            ),
            (SESSION, "arn:aws:iam::111122223333:role/Deploy"),
            (
                {"type": "Role", "arn": "arn:aws:iam::111122223333:role/Deploy"},
                "arn:aws:iam::111122223333:role/Deploy",
            ),
            (
                {
                    "type": "FederatedUser",
                    "principalId": "111122223333:bob",
                    "arn": "arn:aws:sts::111122223333:federated-user/bob",
                    "sessionContext": {
                        "sessionIssuer": {
                            "type": "IAMUser",
                            "arn": "arn:aws:iam::111122223333:user/Broker",
                        }
                    },
                },
                "arn:aws:iam::111122223333:user/Broker",
            ),
            ({"type": "FederatedUser", "principalId": "111122223333:bob"}, "111122223333"),
            (
                {
                    "type": "WebIdentityUser",
                    "principalId": "accounts.google.com:audience:subject",
                    "userName": "subject",
                },
                "accounts.google.com:audience:subject",
            ),
            (
                {"type": "SAMLUser", "principalId": "SampleUkh1i4=:bob@example.com"},
                "SampleUkh1i4=:bob@example.com",
            ),
            (
                {"type": "SAMLUser", "principalId": "SAMPLEUKH1I4=:bob@example.com"},
                "SAMPLEUKH1I4=:bob@example.com",
            ),
            (
                {"type": "AWSAccount", "principalId": "AROAEXAMPLE:bob", "accountId": "1"},
                "AROAEXAMPLE",
            ),
            ({"type": "AWSAccount", "principalId": "AIDAEXAMPLE"}, "AIDAEXAMPLE"),
            ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
            ({"invokedBy": "AWS Internal"}, "AWS Internal"),
            ({"type": "Directory", "principalId": "d-1234"}, "d-1234"),
            (
                {
                    "type": "IdentityCenterUser",
                    "accountId": "111122223333",
                    "userName": "bob",
                    "onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:x"},
                },
                "u-1",
            ),
            (
                {"type": "IdentityCenterUser", "accountId": "111122223333", "onBehalfOf": {}},
                "IdentityCenterUser 111122223333",
            ),
            (
                {
                    "type": "Directory",
                    "principalId": "111122223333",
                    "accountId": "111122223333",
                    "userName": "bob",
                },
                "bob",
            ),
            (
                {"type": "Unknown", "principalId": "AIDAEXAMPLE", "userName": "bob"},
                "AIDAEXAMPLE",
            ),
            (
                {"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"},
                "HIDDEN_DUE_TO_SECURITY_REASONS",
            ),
            (
                {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"},
                "AWSAccount ANONYMOUS_PRINCIPAL",
            ),
            ({"type": "Unknown", "principalId": "111122223333"}, "111122223333"),
            ({"type": "Unknown"}, "Unknown"),
            ({"accountId": "111122223333"}, "111122223333"),
            ({}, ""),
        ],
        ids=lambda value: value.get("type", "none") if isinstance(value, dict) else "",
    )
    def test_of_every_type(self, identity: Json, caller: str) -> None:
        """Each type of userIdentity gives its steadiest name."""
        assert one(userIdentity=identity).caller == caller

    @pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
    def test_of_every_partition(self, partition: str) -> None:
        """A session is stripped from ARNs of every partition."""
        arn = f"arn:{partition}:sts::111122223333:assumed-role/Deploy/i-0abc"

        assert (
            one(userIdentity={"type": "AssumedRole", "arn": arn}).caller
            == f"arn:{partition}:sts::111122223333:assumed-role/Deploy"
        )

    def test_account_is_the_callers(self) -> None:
        """The caller's account is another thing than the recipient's."""
        call = one(userIdentity=SESSION, recipientAccountId="999988887777")

        assert (call.callerAccountId, call.recipientAccountId) == ("111122223333", "999988887777")

    @pytest.mark.parametrize("junk", [ABSENT, None, 5, ["a"], {"a": 1}, ""], ids=repr)
    def test_falls_back(self, junk: Json) -> None:
        """Where one name is missing or no text, the next best takes its place."""
        identity: dict[str, Json] = dict(SESSION)
        callers = []
        for field in ["sessionContext", "arn", "invokedBy", "principalId", "type"]:
            identity[field] = junk
            shown = {k: v for k, v in identity.items() if v is not ABSENT}
            callers.append(one(userIdentity=shown).caller)

        assert callers == [
            "arn:aws:sts::111122223333:assumed-role/Deploy",
            "ec2.amazonaws.com",
            "AROAEXAMPLE",
            "AssumedRole 111122223333",
            "111122223333",
        ]

    @pytest.mark.parametrize("junk", [ABSENT, None, 5, ["a"], {"a": 1}, ""], ids=repr)
    def test_falls_back_for_a_person(self, junk: Json) -> None:
        """Of a person without ARN the next best name takes the place of one that is no text."""
        identity: dict[str, Json] = {
            "type": "IdentityCenterUser",
            "accountId": "111122223333",
            "onBehalfOf": {"userId": "u-1"},
            "userName": "bob",
        }
        changes: list[dict[str, Json]] = [
            {"onBehalfOf": {} if junk is ABSENT else {"userId": junk}},
            {"onBehalfOf": junk, "userName": junk},
            {"accountId": junk},
        ]
        callers = []
        for change in changes:
            identity |= change
            shown = {k: v for k, v in identity.items() if v is not ABSENT}
            callers.append(one(userIdentity=shown).caller)

        assert callers == ["bob", "IdentityCenterUser 111122223333", "IdentityCenterUser"]

    @pytest.mark.parametrize("form", ["document", "JSON lines", "messages", "LookupEvents"])
    def test_people_are_told_apart(self, form: str) -> None:
        """Two people with neither ARN nor principal are two callers, in every form of log."""
        person = {"type": "Unknown", "principalId": "111122223333", "accountId": "111122223333"}
        more: list[dict[str, Json]] = [
            {"userName": "anna"},
            {"userName": "bert \ud800"},
            {"onBehalfOf": {"userId": "u-1"}},
            {},
        ]
        elements = [
            record(eventID=f"e-{at}", userIdentity=person | fields)
            for at, fields in enumerate(more)
        ]

        assert [call.caller for call in read(FORMS[form](elements)).calls] == [
            "anna",
            "bert \ufffd",
            "u-1",
            "Unknown 111122223333",
        ]

    @pytest.mark.parametrize(
        "context",
        [
            [],
            [{"sessionIssuer": ISSUER}],
            "text",
            5,
            None,
            {},
            {"sessionIssuer": None},
            {"sessionIssuer": "text"},
            {"sessionIssuer": [ISSUER]},
            {"sessionIssuer": {"arn": None}},
            {"sessionIssuer": {"arn": 5}},
        ],
        ids=repr,
    )
    def test_issuer_that_is_none(self, context: Json) -> None:
        """A session context of another shape leaves the other names."""
        call = one(userIdentity=SESSION | {"sessionContext": context})

        assert call.caller == "arn:aws:sts::111122223333:assumed-role/Deploy"
        assert call.callerAccountId == "111122223333"

    def test_issuer_beside_odd_neighbours(self) -> None:
        """Fields of wrong types around the issuer do not lose it."""
        context = {"sessionIssuer": ISSUER | {"userName": []}, "attributes": 5}

        assert one(userIdentity={"type": 5, "sessionContext": context}).caller == ROLE

    @unhurried
    @given(
        session=st.from_regex(r"[A-Za-z0-9_+=,.@-]{0,40}", fullmatch=True),
        partition=st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso"]),
        left_out=st.sets(st.sampled_from(["sessionContext", "arn", "invokedBy", "principalId"])),
    )
    def test_never_names_a_session(self, session: str, partition: str, left_out: set[str]) -> None:
        """A role's session name is never in the caller, whatever else is missing."""
        session = f"session-of-{session}"
        identity = SESSION | {
            "principalId": f"AROAEXAMPLE:{session}",
            "arn": f"arn:{partition}:sts::111122223333:assumed-role/Deploy/{session}",
        }

        kept = {k: v for k, v in identity.items() if k not in left_out}

        assert "session-of-" not in one(userIdentity=kept).caller

    def test_many_sessions_are_one_caller(self) -> None:
        """More sessions than are remembered stay one caller."""
        elements = (
            {
                "eventTime": "2023-07-10T11:42:07Z",
                "userIdentity": {"arn": f"arn:aws:sts::1:assumed-role/r/{n}"},
            }
            for n in range(100_100)
        )

        assert {call.caller for call in read(document(elements)).calls} == {
            "arn:aws:sts::1:assumed-role/r"
        }


class TestSignIn:
    """A console sign-in that failed has no errorCode, and is marked."""

    @pytest.mark.parametrize(
        ("response", "failed"),
        [
            ({"ConsoleLogin": "Failure"}, True),
            ({"ConsoleLogin": "Success"}, False),
            ({"SwitchRole": "Failure"}, True),
            ({"CheckMfa": "Success"}, False),
            ({}, False),
            (None, False),
            ("Failure", False),
            (["Failure"], False),
        ],
    )
    def test_says_how_it_went(self, response: Json, failed: bool) -> None:  # noqa: FBT001
        """The answer is in responseElements."""
        call = one(
            eventType="AwsConsoleSignIn",
            eventName="ConsoleLogin",
            errorCode=ABSENT,
            responseElements=response,
        )

        assert call.failed_without_code is failed

    def test_is_read_beside_an_odd_field(self) -> None:
        """A field of another type, or a character that is none, does not hide the failure."""
        body = (
            b'{"Records":[{"eventTime":"2023-07-10T11:42:07Z","eventName":5,'
            b'"eventType":"AwsConsoleSignIn",'
            b'"responseElements":{"ConsoleLogin":"Failure","user":"\\ud800\xff"}}]}'
        )

        assert [call.failed_without_code for call in read(body).calls] == [True]

    def test_other_calls_are_not_asked(self) -> None:
        """An API call that returns the word Failure has not failed."""
        assert not one(responseElements={"status": "Failure"}).failed_without_code

    @pytest.mark.parametrize("source", ["signin.amazonaws.com", "sso.amazonaws.com.cn"])
    @pytest.mark.parametrize("kind", ["AwsServiceEvent", "AWSServiceEvent", ABSENT])
    @pytest.mark.parametrize(
        ("fields", "failed"),
        [
            ({"serviceEventDetails": {"CredentialVerification": "Failure"}}, True),
            ({"serviceEventDetails": {"CredentialVerification": "Success"}}, False),
            (
                {"serviceEventDetails": {"UserAuthentication": "Success"}, "errorMessage": "?"},
                False,
            ),
            ({"responseElements": {"Authenticate": "Failure"}}, True),
            ({"errorMessage": "Failed authentication"}, True),
            ({"errorMessage": ""}, False),
            ({"errorMessage": None, "serviceEventDetails": "Failure"}, False),
            ({}, False),
        ],
        ids=repr,
    )
    def test_of_a_service(self, source: str, kind: Json, fields: Json, failed: bool) -> None:  # noqa: FBT001
        """Sign-ins of Identity Center and WorkSpaces are events of a service, and say it there."""
        call = one(eventType=kind, eventSource=source, errorCode=ABSENT, **fields)

        assert call.failed_without_code is failed

    def test_other_services_are_not_asked(self) -> None:
        """An event of a service that signs nobody in has not failed, whatever its details say."""
        details = {"status": "Failure"}

        assert not one(
            eventType="AwsServiceEvent", errorCode=ABSENT, serviceEventDetails=details
        ).failed_without_code

    @pytest.mark.parametrize("recorded", [(), ("999988887777",)])
    @pytest.mark.parametrize("form", ["document", "JSON lines", "messages", "LookupEvents"])
    def test_in_every_form(self, form: str, recorded: tuple[str, ...]) -> None:
        """How it went is read in every form of log, also where accounts share records."""
        element = record(
            eventSource="sso.amazonaws.com",
            eventType="AwsServiceEvent",
            errorCode=ABSENT,
            serviceEventDetails={"Authenticate": "Failure"},
        )
        log = Log("id", "log", FORMS[form]([element]))
        (part,) = parts(log, fields=["minute", "outcome"], recorded=recorded)

        assert [call.failed_without_code for call in part.calls] == [True]

    def test_with_a_code(self) -> None:
        """A sign-in that has an errorCode did not fail without one."""
        call = one(eventType="AwsConsoleSignIn", responseElements={"ConsoleLogin": "Failure"})

        assert (call.failed_without_code, call.errorCode) == (False, "AccessDenied")


class TestThrottleCause:
    """A throttle that AWS caused itself says so in its errorMessage."""

    # No record of such a throttle was seen: this is built from the page that names the metric
    # AwsTriggeredRequestLimitExceeded, which describes the message.
    # https://docs.aws.amazon.com/ec2/latest/devguide/monitor.html
    BY_AWS = "Your request has been throttled due to an AWS operational issue."

    @pytest.mark.parametrize(
        ("code", "message", "cause"),
        [
            ("Client.RequestLimitExceeded", BY_AWS, "aws"),
            ("Client.RequestLimitExceeded", BY_AWS.lower(), "aws"),
            ("Client.RequestLimitExceeded", "AwsTriggeredRequestLimitExceeded", "aws"),
            ("Client.RequestLimitExceeded", "Request limit exceeded.", ""),
            ("Client.RequestLimitExceeded", ABSENT, ""),
            ("Client.RequestLimitExceeded", [BY_AWS], ""),
            ("Client.UnauthorizedOperation", BY_AWS, ""),
            (ABSENT, BY_AWS, ""),
        ],
    )
    def test_is_read(self, code: Json, message: Json, cause: str) -> None:
        """The cause is read of throttled calls, and is empty where the message tells none."""
        call = one(eventSource="ec2.amazonaws.com", errorCode=code, errorMessage=message)

        assert call.throttle_cause == cause


class TestPlace:
    """Every record ends in exactly one of calls, duplicates, skipped and rejected."""

    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({"eventCategory": "Insight", "eventType": "AwsCloudTrailInsight"}, "insight"),
            ({"eventCategory": "Insight", "eventTime": ABSENT}, "insight"),
            ({"eventCategory": ABSENT, "eventType": "AwsCloudTrailInsight"}, "insight"),
            ({"eventCategory": "Aggregated", "eventTime": ABSENT}, "aggregated"),
            ({"eventCategory": ABSENT, "eventType": "AwsAggregatedEvent"}, "aggregated"),
        ],
    )
    def test_skipped(self, fields: Json, kind: str) -> None:
        """What is no call is counted by its kind, with or without a time."""
        decoded = read(document([record(**fields), record(**fields), RECORD]))

        assert decoded == Decoded([CALL], [], Counter({kind: 2}), [])

    def test_digest(self) -> None:
        """A digest file is one record to skip."""
        body = compact({"awsAccountId": "1", "digestS3Object": "AWSLogs/…", "logFiles": [{}]})

        assert read(gzip.compress(body)) == Decoded([], [], Counter(digest=1), [])

    @pytest.mark.parametrize("category", ["Management", "Data", "NetworkActivity", "New", ABSENT])
    @pytest.mark.parametrize("kind", ["AwsApiCall", "AwsServiceEvent", "AwsVpceEvent", "New"])
    def test_all_others_are_calls(self, category: Json, kind: str) -> None:
        """A category or type that no one has heard of is a call."""
        assert one(eventCategory=category, eventType=kind).eventType == kind

    def test_duplicates(self) -> None:
        """The second of an eventID is a duplicate, whatever else it says."""
        again = record(eventTime="2024-01-01T00:00:00Z", eventName="Other")
        decoded = read(document([RECORD, record(eventID="e-2"), again, RECORD]))

        assert ids(decoded.calls) == ["e-1", "e-2"]
        assert [call.eventName for call in decoded.duplicates] == ["Other", "GetObject"]
        assert decoded.received == 4

    @pytest.mark.parametrize("absent", [ABSENT, None, "", 5, []])
    def test_without_event_id_is_never_a_duplicate(self, absent: Json) -> None:
        """Records that cannot be told apart are all counted."""
        decoded = read(document([record(eventID=absent)] * 3))

        assert decoded == Decoded([replace(CALL, eventID="")] * 3, [], Counter(), [])

    @pytest.mark.parametrize("event", [{}, {"eventID": "e-9"}], ids=["no id", "id"])
    @pytest.mark.parametrize("source", ["aws:s3", "minio:s3", "ceph:s3"])
    def test_a_notice_is_not_a_call(self, source: str, event: Json) -> None:
        """What S3 tells a queue of an object has a record's form, and is rejected by its source."""
        notice = {
            "eventVersion": "2.1",
            "eventSource": source,
            "awsRegion": "us-east-1",
            "eventTime": "2026-10-01T12:00:00.123Z",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "trail"}},
            **event,
        }

        decoded = read(document([notice, record()]))

        assert [(r.place, r.reason) for r in decoded.rejected] == [
            ("record 1", f"is a notice of {source}, not a call")
        ]
        assert len(decoded.calls) == 1

    def test_rejected_and_skipped_have_no_duplicates(self) -> None:
        """Only a call is repeated: a rejected record does not claim its eventID."""
        insight = record(eventCategory="Insight")
        decoded = read(document([record(eventTime="?"), insight, RECORD]))

        assert decoded.calls == [CALL]

    def test_updated_record_repeats_its_original(self) -> None:
        """What CloudTrail sends again to correct it is one call, not two."""
        addendum = {
            "reason": "UPDATED_DATA",
            "updatedFields": "responseElements",
            "originalEventID": "e-1",
        }
        updated = record(eventID="e-2", addendum=addendum)
        decoded = read(document([RECORD, updated, record(eventID="e-3")]))

        assert ids(decoded.calls) == ["e-1", "e-3"]
        assert ids(decoded.duplicates) == ["e-1"]

    def test_updated_record_may_come_first(self) -> None:
        """An update that overtakes its original stands for it."""
        updated = record(eventID="e-2", addendum={"originalEventID": "e-1"})
        decoded = read(document([updated, RECORD]))

        assert (ids(decoded.calls), ids(decoded.duplicates)) == (["e-1"], ["e-1"])

    @pytest.mark.parametrize(
        ("odd", "found"),
        [
            ("text", "a text"),
            (None, "null"),
            (5, "a number"),
            (True, "true or false"),
            ([], "a list"),
        ],
    )
    def test_what_is_no_record(self, odd: Json, found: str) -> None:
        """An element that is no object is rejected alone, with what it is."""
        decoded = read(document([RECORD, odd, record(eventID="e-2")]))

        assert ids(decoded.calls) == ["e-1", "e-2"]
        ((place, reason),) = [(r.place, r.reason) for r in decoded.rejected]
        assert place == "record 2"
        assert reason == f"is not a record: it is {found} where an object should be"


class Element(NamedTuple):
    """An element of a log, and where it belongs."""

    value: Json
    place: str


KINDS = ["insight", "aggregated", "no time", "no record"]


@st.composite
def mixtures(draw: st.DrawFn) -> list[Element]:
    """Elements of all kinds in any order; event ids come again."""
    elements = []
    seen = set()
    for kind in draw(st.lists(st.sampled_from([*KINDS, "call", "call", "call"]), max_size=40)):
        if kind == "insight":
            elements.append(Element(record(eventCategory="Insight"), "insight"))
        elif kind == "aggregated":
            aggregated = {"eventCategory": "Aggregated", "eventId": "a"}
            elements.append(Element(aggregated, "aggregated"))
        elif kind == "no time":
            junk = draw(st.sampled_from([None, "?", "", "2023-02-30T00:00:00Z", 5]))
            elements.append(Element(record(eventTime=junk), "rejected"))
        elif kind == "no record":
            elements.append(Element(draw(st.sampled_from(["", "x", None, 1, [], {}])), "rejected"))
        else:
            event = draw(st.sampled_from(["", "a", "b", "c", "d"]))
            place = "duplicate" if event in seen else "call"
            seen |= {event} - {""}
            padding = "." * draw(st.sampled_from([0, 10, 300]))
            elements.append(Element(record(eventID=event, padding=padding), place))
    return elements


def places(decoded: Decoded) -> Counter[str]:
    """How many records are in each place, without the places that have none."""
    return +Counter(
        {
            "call": len(decoded.calls),
            "duplicate": len(decoded.duplicates),
            "rejected": len(decoded.rejected),
            **decoded.skipped,
        }
    )


def members(body: bytes, cuts: Iterable[int]) -> bytes:
    """*body* as a gzip stream of several members, so that it is read in pieces cut at *cuts*."""
    ends = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return b"".join(gzip.compress(body[a:b], 1) for a, b in itertools.pairwise(ends))


class TestBalance:
    """received = calls + duplicates + skipped + rejected."""

    @unhurried
    @given(mixtures(), st.lists(st.integers(0, 8_000), max_size=6))
    def test_every_record_is_in_its_place(self, elements: list[Element], cuts: list[int]) -> None:
        """However kinds are mixed and the log is cut, each record is where it belongs."""
        decoded = read(members(document(e.value for e in elements), cuts))

        assert places(decoded) == Counter(e.place for e in elements)
        assert decoded.received == len(elements)
        assert [r.place for r in decoded.rejected] == [
            f"record {at}" for at, e in enumerate(elements, 1) if e.place == "rejected"
        ]

    @unhurried
    @given(mixtures(), st.lists(st.integers(0, 8_000), max_size=6))
    def test_parts_add_up(self, elements: list[Element], cuts: list[int]) -> None:
        """What `decode` gives is what `parts` give, one behind the other."""
        log = Log.of("log", members(document(e.value for e in elements), cuts))
        given_parts = list(parts(log))

        assert decode(log) == Decoded(
            [call for part in given_parts for call in part.calls],
            [call for part in given_parts for call in part.duplicates],
            sum((part.skipped for part in given_parts), Counter()),
            [rejected for part in given_parts for rejected in part.rejected],
        )

    def test_the_same_log_again(self) -> None:
        """Nothing is remembered from one log to the next."""
        log = Log.of("log", document([RECORD, RECORD]))

        assert decode(log) == decode(log)
        assert len(decode(log).calls) == 1


def pretty(value: Json) -> bytes:
    """*value* with line breaks and indents, and its characters as they are."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def lines(elements: list[Json], end: bytes = b"\n") -> bytes:
    """JSON lines."""
    return b"".join(compact(element) + end for element in elements)


def lookup_events(elements: list[Json]) -> bytes:
    """The output of ``aws cloudtrail lookup-events``."""
    return pretty(
        {
            "Events": [
                {"EventName": "x", "Username": None, "CloudTrailEvent": json.dumps(element)}
                for element in elements
            ],
            "NextToken": "t",
        }
    )


Form: TypeAlias = Callable[[list[Json]], "bytes | list[str]"]

FORMS: dict[str, Form] = {
    "document": document,
    "gzip": lambda rs: gzip.compress(document(rs)),
    "two members": lambda rs: members(document(rs), [30]),
    "many members": lambda rs: members(document(rs), range(0, len(document(rs)), 97)),
    "padded gzip": lambda rs: gzip.compress(document(rs)) + bytes(9),
    "byte order mark": lambda rs: b"\xef\xbb\xbf" + document(rs),
    "pretty": lambda rs: pretty({"Records": rs}),
    "spaces around": lambda rs: b"\n \t" + document(rs) + b"\r\n\n",
    "Records not first": lambda rs: compact({"x": {"Records": 1}, "Records": rs}),
    "Records not last": lambda rs: compact({"Records": rs, "x": {"Records": [1]}}),
    "list": compact,
    "pretty list": pretty,
    "JSON lines": lines,
    "JSON lines, CRLF": lambda rs: lines(rs, b"\r\n"),
    "JSON lines, blank ones between": lambda rs: lines(rs, b"\n\n"),
    "JSON lines, last without end": lambda rs: lines(rs).rstrip(b"\n"),
    "JSON lines, gzip member each": lambda rs: b"".join(gzip.compress(lines([r])) for r in rs),
    "records one behind the other": lambda rs: lines(rs, b""),
    "documents": lambda rs: b"".join(document([r]) for r in rs),
    "documents, line each": lambda rs: b"".join(document([r]) + b"\n" for r in rs),
    "documents, gzip each": lambda rs: b"".join(gzip.compress(document([r])) for r in rs),
    "documents, mixed with records": lambda rs: document(rs[:1]) + b"\n" + lines(rs[1:]),
    "documents, pretty": lambda rs: b"".join(pretty({"Records": [r]}) for r in rs),
    "documents, pretty with lines": lambda rs: b"\n".join(pretty({"Records": [r]}) for r in rs),
    "LookupEvents": lookup_events,
    "LookupEvents, pages": lambda rs: b"\n".join(lookup_events([r]) for r in rs),
    "messages": lambda rs: [json.dumps(r) for r in rs],
}

NESTED = st.lists(
    st.fixed_dictionaries({"eventVersion": st.just("1"), "eventTime": st.just("2020-01-01")}),
    max_size=4,
)


@st.composite
def records_of_any_text(draw: st.DrawFn) -> list[Json]:
    """One record or some, with event ids of their own, odd texts, and lists like Records."""
    texts = st.text(max_size=12) | st.sampled_from(['"}{"a":', '"},{"eventVersion":', "\\ud800"])
    return [
        record(
            eventID=f"e-{at}", eventName=draw(texts), userAgent=draw(texts), resources=draw(NESTED)
        )
        for at in range(draw(st.integers(1, 5)))
    ]


class TestForms:
    """The same records are the same calls in every form that they are delivered in."""

    @pytest.mark.parametrize("form", FORMS)
    def test_of_three_records(self, form: str) -> None:
        """Three records are three calls, in their order."""
        decoded = read(FORMS[form](records(3)))

        assert decoded == Decoded(
            [replace(CALL, eventID=event) for event in ["e-0", "e-1", "e-2"]], [], Counter(), []
        )

    @settings(unhurried, max_examples=200)
    @given(records_of_any_text(), st.sampled_from([*FORMS]))
    def test_of_any_records(self, given_records: list[Json], form: str) -> None:
        """Every form gives the calls that the names and ids in it say."""
        decoded = read(FORMS[form](given_records))

        assert decoded == Decoded(
            [replace(CALL, eventName=r["eventName"], eventID=r["eventID"]) for r in given_records],
            [],
            Counter(),
            [],
        )

    @pytest.mark.parametrize(
        "form", [f for f in FORMS if f not in {"documents, pretty", "documents, pretty with lines"}]
    )
    def test_of_one_record(self, form: str) -> None:
        """One record alone is one call."""
        assert read(FORMS[form]([RECORD])).calls == [CALL]

    @pytest.mark.parametrize(
        "body",
        [
            b'{"Records":[]}',
            b'{"Records":[]}\n',
            b'{ "Records" : [ ] }',
            b"[]",
            b'{"Events":[]}',
            b'{"Records":[]}{"Records":[]}',
            b'{"Records":[]}\n{"Records":[]}\n',
        ],
    )
    def test_of_no_records(self, body: bytes) -> None:
        """A log without records is no error: CloudTrail delivers some."""
        assert read(body) == Decoded([], [], Counter(), [])

    def test_no_messages(self) -> None:
        """A payload without messages has no records."""
        assert read([]).received == 0

    @pytest.mark.parametrize(
        "body",
        [
            compact(records(1)) + compact(records(2)[1:]),
            compact(records(1)) + b"\n" + compact(records(2)[1:]) + b"\n",
            compact(records(1)) + b"\n" + document(records(2)[1:]) + b"\n",
        ],
        ids=["behind each other", "line each", "list and document"],
    )
    def test_lists_one_behind_the_other(self, body: bytes) -> None:
        """Several lists are read like several documents."""
        assert ids(read(body).calls) == ["e-0", "e-1"]

    def test_duplicates_across_documents(self) -> None:
        """What stands in two documents of one log is known again."""
        decoded = read(document(records(2)) + b"\n" + document(records(3)))

        assert (ids(decoded.calls), ids(decoded.duplicates)) == (
            ["e-0", "e-1", "e-2"],
            ["e-0", "e-1"],
        )

    def test_bad_line_loses_only_itself(self) -> None:
        """JSON lines with bad lines in the middle and at the end keep their places."""
        body = b"\n".join(
            [
                compact(record(eventID="e-0")),
                b'{"eventTime":"2023-07-1',
                b"not json",
                compact(record(eventID="e-1")),
                b"5",
                b"{}",
                b'{"eventTime":',
                b"",
            ]
        )
        decoded = read(body)

        assert ids(decoded.calls) == ["e-0", "e-1"]
        assert [r.place for r in decoded.rejected] == [
            "record 2",
            "record 3",
            "record 5",
            "record 6",
            "record 7",
        ]
        assert [r.reason.startswith("is not JSON: ") for r in decoded.rejected] == [
            True,
            True,
            False,
            False,
            True,
        ]

    def test_bad_message_loses_only_itself(self) -> None:
        """A payload's message that is no record is rejected, at its place."""
        good = [json.dumps(r) for r in records(600)]
        bad = ["", "x", "[]", '{"eventTime":', '"' + "[" * 100_000, "[" * 100_000]
        decoded = read(good[:300] + bad + good[300:])

        assert len(decoded.calls) == 600
        assert [r.place for r in decoded.rejected] == [f"record {n}" for n in range(301, 307)]

    def test_kinds_in_lines(self) -> None:
        """A digest and an insight between JSON lines are skipped like anywhere else."""
        body = lines([RECORD, {"digestS3Object": "x"}, record(eventCategory="Insight")])

        assert read(body) == Decoded([CALL], [], Counter(digest=1, insight=1), [])

    def test_odd_lookup_events(self) -> None:
        """An event of LookupEvents without its record is rejected alone."""
        events = [
            {"CloudTrailEvent": json.dumps(RECORD)},
            {"EventId": "x"},
            {"CloudTrailEvent": "{"},
            {"CloudTrailEvent": None},
            {"CloudTrailEvent": RECORD},
            "text",
            {"CloudTrailEvent": "[]"},
            {"CloudTrailEvent": json.dumps(record(eventID="e-2", eventName=5))},
        ]
        decoded = read(compact({"Events": events}))

        assert ids(decoded.calls) == ["e-1", "e-2"]
        assert [r.place for r in decoded.rejected] == [f"record {n}" for n in range(2, 8)]


REPLACED = "Get\ufffd"


class TestText:
    """What is no character is replaced, and loses nothing beside it."""

    @pytest.mark.parametrize(
        "packed",
        [
            b'{"Records":[%s]}',
            b"[%s]",
            b"%s",
            b'%s\n{"eventTime":"?"}\n',
            b'%s\n{"Records":[]}\n',
        ],
        ids=["document", "list", "alone", "line", "line before a document"],
    )
    @pytest.mark.parametrize(
        ("name", "eventName"),
        [
            (b"Get\\ud800", REPLACED),
            (b"Get\\uDFFF", REPLACED),
            (b"Get\\ud83d\\ud83d\\ude00", REPLACED + "\U0001f600"),
            (b"Get\\\\ud800", "Get\\ud800"),  # an escaped backslash, and five letters
            (b"Get\\ud83d\\ude00", "Get\U0001f600"),
            (b"Get\xff", REPLACED),
            (b"Get\xc3", REPLACED),
            (b"Get\xed\xa0\x80", REPLACED + "\ufffd\ufffd"),
            (b"Get\\u0000", "Get\0"),
            ("Get\u00e9\u2028".encode(), "Get\u00e9\u2028"),
        ],
        ids=repr,
    )
    def test_in_a_value(self, packed: bytes, name: bytes, eventName: str) -> None:  # noqa: N803
        """Halves of surrogate pairs and bytes that are no UTF-8 become U+FFFD."""
        body = packed % (
            b'{"eventTime":"2023-07-10T11:42:07Z","eventID":"e-1","eventName":"%s"}' % name
        )

        assert [(c.eventID, c.eventName) for c in read(body).calls] == [("e-1", eventName)]

    @pytest.mark.parametrize("packed", [b'{"Records":[%s]}', b"%s", b'%s\n{"eventTime":"?"}\n'])
    @pytest.mark.parametrize("key", [b"\\ud800", b"\xff", b"\\u0000"])
    def test_in_a_key(self, packed: bytes, key: bytes) -> None:
        """A key that is no text is no field that is needed."""
        body = packed % (b'{"%s":1,"eventTime":"2023-07-10T11:42:07Z","eventName":"Get"}' % key)

        assert [call.eventName for call in read(body).calls] == ["Get"]

    def test_neighbours(self) -> None:
        """A bad character in one record leaves the other records as they are."""
        body = document(records(3)).replace(b'"e-1"', b'"e-1\xff"')

        assert ids(read(body).calls) == ["e-0", "e-1\ufffd", "e-2"]

    def test_in_a_message(self) -> None:
        """A payload's message may hold half a surrogate pair, escaped."""
        decoded = read(['{"eventTime":"2023-07-10T11:42:07Z","eventName":"Get\\ud800"}'])

        assert [call.eventName for call in decoded.calls] == [REPLACED]

    def test_raw_surrogate_in_a_message(self) -> None:
        """Python's JSON reader passes lone surrogates on; the record is kept all the same."""
        decoded = read(['{"eventTime":"2023-07-10T11:42:07Z","eventName":"Get\ud800"}'])

        assert [call.eventName.rstrip("\ufffd") for call in decoded.calls] == ["Get"]

    def test_repeated_keys(self) -> None:
        """The last of a key's values counts, as with every JSON reader."""
        body = (
            b'{"Records":[{"eventTime":"?","eventName":"A","userIdentity":{"type":"X","arn":"a"},'
            b'"eventTime":"2023-07-10T11:42:07Z","eventName":5,"eventName":"B",'
            b'"userIdentity":{"type":"Y"},"eventID":"e-1"}]}'
        )

        assert read(body).calls == [Call(1_688_989_327, eventName="B", caller="Y", eventID="e-1")]

    @pytest.mark.parametrize("field", ["userAgent", "eventName", "errorCode"])
    def test_five_megabytes(self, field: str) -> None:
        """A field of any length is read."""
        (call,) = read(gzip.compress(document([record(**{field: "x" * 5_000_000})]), 1)).calls

        assert call.eventID == "e-1"

    @pytest.mark.parametrize("number", [b"9" * 400, b"-1e400", b"1e-400", b"0.1" + b"1" * 400])
    def test_numbers_of_any_size(self, number: bytes) -> None:
        """A number too large for any type is no concern of ours."""
        body = document([record(sessionCredential=0, errorCode=1)])
        body = body.replace(b'"sessionCredential":0', b'"sessionCredential":' + number)
        body = body.replace(b'"errorCode":1', b'"errorCode":' + number)

        assert read(body).calls == [replace(CALL, errorCode="")]


def long_text(at: int) -> str:
    """A text of a kilobyte that is not the same twice."""
    return f"{at:016x}" * 64


class TestLong:
    """A long log is read in pieces of 128 KiB, and is the same as if it were read at once."""

    def test_is_read_in_parts(self) -> None:
        """A log of two megabytes comes in several parts, each record in one of them."""
        elements = [record(eventID=f"e-{n}", userAgent=long_text(n)) for n in range(2_000)]

        for body in (document(elements), gzip.compress(document(elements), 1)):
            got = list(parts(Log.of("long", body)))
            assert len(got) > 10
            assert [e for part in got for e in ids(part.calls)] == [f"e-{n}" for n in range(2_000)]

    def test_in_little_memory(self) -> None:
        """Parts of a log of 24 MB take a small part of its size."""
        body = gzip.compress(
            document(record(eventID=f"e-{n}", userAgent=long_text(n)) for n in range(16_000)), 1
        )
        log = Log.of("long", body)
        tracemalloc.start()
        try:
            assert sum(part.received for part in parts(log)) == 16_000
            assert tracemalloc.get_traced_memory()[1] - len(body) < 8_000_000
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("pack", [bytes, lambda body: gzip.compress(body, 1)])
    def test_place_between_records_inside_a_record(self, pack: Callable[[bytes], bytes]) -> None:
        """A list of objects that look like records is part of its record, wherever it is cut."""
        nested = [
            {"eventVersion": "1.08", "eventTime": "2023-07-10T11:42:07Z", "x": long_text(n)}
            for n in range(300)
        ]
        elements = [record(eventID=f"e-{n}", resources=nested) for n in range(5)]
        decoded = read(pack(document(elements)))

        assert decoded == Decoded(
            [replace(CALL, eventID=f"e-{n}") for n in range(5)], [], Counter(), []
        )

    def test_place_between_records_behind_the_records(self) -> None:
        """A list beside Records is no list of records, however long it is."""
        elements = [record(eventID=f"e-{n}", userAgent=long_text(n)) for n in range(300)]
        body = compact({"Records": elements, "Other": elements})

        assert read(body).received == 300

    def test_odd_elements_lose_only_themselves(self) -> None:
        """Odd elements far inside are rejected at their places; fields keep their neighbours."""
        elements: list[Json] = [
            record(eventID=f"e-{n}", userAgent=long_text(n)) for n in range(2_000)
        ]
        elements[700] = "text"
        elements[1_500] = None
        elements[1_900] |= {"eventName": 5}
        elements[1_999] = {}
        decoded = read(gzip.compress(document(elements), 1))

        assert [r.place for r in decoded.rejected] == ["record 701", "record 1501", "record 2000"]
        assert len(decoded.calls) == 1_997
        assert [c.eventID for c in decoded.calls if not c.eventName] == ["e-1900"]

    def test_duplicates_far_apart(self) -> None:
        """A record of the first part is known again in the last."""
        elements = [record(eventID=f"e-{n % 1_999}", userAgent=long_text(n)) for n in range(2_000)]

        assert ids(read(document(elements)).duplicates) == ["e-0"]

    def test_long_documents_one_behind_the_other(self) -> None:
        """Long documents behind each other are read like one."""
        first = [record(eventID=f"a-{n}", userAgent=long_text(n)) for n in range(300)]
        second = [record(eventID=f"b-{n}", userAgent=long_text(n)) for n in range(300)]

        for between in (b"", b"\n"):
            decoded = read(document(first) + between + document(second))
            assert ids(decoded.calls) == [f"{d}-{n}" for d in "ab" for n in range(300)]
            assert decoded.rejected == []

    def test_cut_off_late(self) -> None:
        """A long log that is cut off is an error, not the records before the cut."""
        body = document(record(eventID=f"e-{n}", userAgent=long_text(n)) for n in range(1_000))

        for length in (len(body) - 1, len(body) - 2, len(body) - 3, body.rfind(b",{")):
            with pytest.raises(LogError, match=r"^log\.json\.gz: is cut off or damaged"):
                read(body[:length])

    @settings(unhurried, max_examples=200)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["call", "call", "odd field", "no record"]), NESTED, NESTED),
            min_size=1,
            max_size=8,
        ),
        st.lists(st.integers(40, 6_000), max_size=12),
        st.sampled_from([b"", b"\n"]),
    )
    def test_cut_anywhere(
        self, shapes: list[tuple[str, Json, Json]], cuts: list[int], end: bytes
    ) -> None:
        """However a log falls into pieces, its records are those that `json` finds."""
        elements: list[Json] = []
        for at, (kind, first, last) in enumerate(shapes):
            odd: Json = {"eventName": 5} if kind == "odd field" else {}
            element = record(eventID=f"e-{at}", resources=first, x={"y": [last]}, **odd)
            elements.append(at if kind == "no record" else element)
        body = document(elements) + end
        found = [e for e in json.loads(body)["Records"] if isinstance(e, dict)]

        decoded = read(members(body, cuts))

        assert ids(decoded.calls) == [e["eventID"] for e in found]
        assert decoded.received == len(elements)


class TestFault:
    """What cannot be read whole is named, with what is wrong, and nothing of it is counted."""

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            (b"", "is empty; "),
            (gzip.compress(b""), "is empty; "),
            (b"\xef\xbb\xbf", "is "),
            (gzip.compress(b"\xef\xbb\xbf"), "is "),
            (b" \n", "is not a CloudTrail log: it is not JSON"),
            (b"a,b\n1,2\n", "is CSV; fetch the same as JSON"),
            (b"eventTime,eventName\n2023-07-10,Get\n", "is CSV; fetch the same as JSON"),
            (b"<html>", "is XML or HTML, perhaps an error instead of the log; fetch it again"),
            (b"PK\x03\x04", "is a zip archive; unpack it first"),
            (b"\0" * 100, "is not a CloudTrail log: it is not JSON"),
            (
                compact(RECORD).decode().encode("utf-16"),
                "is text in UTF-16, as PowerShell writes it; ",
            ),
            (b"5", "is not a CloudTrail log: it is neither an object nor a list"),
            (b'"Records"', "is not a CloudTrail log: it is neither an object nor a list"),
            (b"null", "is not a CloudTrail log: it is neither an object nor a list"),
            (b"{}", "is not a CloudTrail log: it is an object without Records"),
            (b'{"foo":1}', "is not a CloudTrail log: it is an object without Records"),
            (b'{"records":[]}', "is not a CloudTrail log: it is an object without Records"),
            (b'{"Records":null}', "is not a CloudTrail log: its Records is not a list"),
            (b'{"Records":{}}', "is not a CloudTrail log: its Records is not a list"),
            (b'{"Records":"[]"}', "is not a CloudTrail log: its Records is not a list"),
            (b'{"Events":null}', "is not a CloudTrail log: its Events is not a list"),
            (document([RECORD])[:-1], "is cut off or damaged: "),
            (document([RECORD])[:-2], "is cut off or damaged: "),
            (document([RECORD])[:100], "is cut off or damaged: "),
            (b'{"Records":[', "is cut off or damaged: "),
            (b"{", "is cut off or damaged: "),
            (compact(RECORD)[:-1], "is cut off or damaged: "),
            (document([RECORD]) + b"]", "is cut off or damaged: "),
            (document([RECORD]) + document([RECORD])[:-1], "is cut off or damaged: "),
            (document([RECORD]).replace(b",", b";", 1), "is cut off or damaged: "),
            (lines(records(3))[:-2], "is cut off: its last line is not JSON"),
            (lines(records(2))[:-100], "is cut off: its last line is not JSON"),
            (document([RECORD]) + b"\n" + document([RECORD])[:-1], "is cut off: its last line"),
            (gzip.compress(document([RECORD]))[:-9], "is cut off: its gzip stream has no end"),
            (gzip.compress(document([RECORD]))[:50], "is cut off: its gzip stream has no end"),
            (gzip.compress(document([RECORD]))[:-8] + b"crc!size", "is damaged: "),
            (gzip.compress(document([RECORD])) + b"more", "is damaged: 4 bytes after its gzip"),
            (b"[" * 100_000, "is nested too deep to be a CloudTrail log"),
            (b'{"a":' * 100_000, "is nested too deep to be a CloudTrail log"),
            (
                document([record(requestParameters=0)]).replace(
                    b'"requestParameters":0',
                    b'"requestParameters":' + b"[" * 100_000 + b"]" * 100_000,
                ),
                "is nested too deep to be a CloudTrail log",
            ),
        ],
        ids=itertools.count(),
    )
    def test_is_named(self, body: bytes, fault: str) -> None:
        """The error says which log it is, and what is wrong."""
        with pytest.raises(LogError) as caught:
            read(body)

        assert str(caught.value).startswith(f"log.json.gz: {fault}")
        assert (caught.value.name, caught.value.fault[: len(fault)]) == ("log.json.gz", fault)

    @unhurried
    @given(st.integers(0, 10_000))
    def test_cut_anywhere(self, length: int) -> None:
        """A log that is cut off anywhere, packed or not, is never counted."""
        body = document(records(5))

        for whole in (body, gzip.compress(body)):
            with pytest.raises(LogError, match=r"^log\.json\.gz: "):
                read(whole[: length % len(whole)])

    def test_limit(self) -> None:
        """A log longer than the limit when inflated is refused, one as long is not."""
        body = document([RECORD])
        log = Log.of("log", gzip.compress(body))

        assert decode(log, max_bytes=len(body)).received == 1
        with pytest.raises(LogError, match=f"^log: holds more than {len(body) - 1} bytes"):
            decode(log, max_bytes=len(body) - 1)

    @pytest.mark.parametrize("head", [b"", b'{"Records":['])
    def test_bomb(self, head: bytes) -> None:
        """A log that would inflate to 256 MB is refused without being inflated."""
        bomb = Log.of("bomb", gzip.compress(head) + gzip.compress(bytes(32_000_000), 1) * 8)
        tracemalloc.start()
        try:
            with pytest.raises(LogError, match=r"^bomb: holds more than 1,000,000 bytes"):
                decode(bomb, max_bytes=1_000_000)
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()

    @unhurried
    @given(st.binary(max_size=60))
    def test_any_bytes(self, body: bytes) -> None:
        """Bytes of any kind are records or a named error, nothing else."""
        try:
            decoded = read(body)
        except LogError as e:
            assert e.name == "log.json.gz"  # noqa: PT017
        else:
            assert decoded.calls == []


@pytest.fixture(scope="module")
def shared() -> Path:
    """The folder of real and constructed logs beside the repository."""
    if not DATA.is_dir():
        pytest.skip(f"the logs to try against are not here: {DATA}")
    return DATA


MALFORMED = [  # file, calls, duplicates, rejected, fault
    "truncated_gzip.json.gz,0,0,0,is cut off: its gzip stream has no end; fetch it again",
    "truncated_json.json.gz,0,0,0,is cut off or damaged: ",
    "empty_file.json.gz,0,0,0,is empty; ",
    "empty_gzip.json.gz,0,0,0,is empty; ",
    "empty_records.json.gz,0,0,0,",
    "no_records_key.json.gz,0,0,0,is not a CloudTrail log: it is an object without Records",
    "records_null.json.gz,0,0,0,is not a CloudTrail log: its Records is not a list",
    "not_gzip_but_named_gz.json.gz,2,0,0,",
    "two_gzip_members.json.gz,1195,0,0,",
    "utf8_bom.json.gz,2,0,0,",
    "pretty_printed.json.gz,2,0,0,",
    "records_not_first_key.json.gz,2,0,0,",
    "one_bad_record.json.gz,2,0,4,",
    "duplicate_json_keys.json.gz,1,0,0,",
    "lone_surrogate.json.gz,1,0,0,",
    "invalid_utf8.json.gz,1,0,0,",
    "huge_field.json.gz,1,0,0,",
    "many_records.json.gz,1195,19120,0,",
    "events_csv_in_trail_prefix.csv,0,0,0,is CSV; fetch the same as JSON",
]


class TestMalformed:
    """The broken and unusual logs that are kept beside the repository."""

    @pytest.mark.parametrize("row", [*csv.reader(MALFORMED)], ids=lambda row: row[0])
    def test_log(self, shared: Path, row: list[str]) -> None:
        """Each is counted in full or named with its fault."""
        name, calls, duplicates, rejected, fault = row
        log = Log.of(name, (shared / "malformed" / name).read_bytes())
        if fault:
            with pytest.raises(LogError, match=f"^{name}: {fault}"):
                decode(log)
        else:
            decoded = decode(log)
            assert len(decoded.calls) == int(calls)
            assert len(decoded.duplicates) == int(duplicates)
            assert len(decoded.rejected) == int(rejected)
            assert not decoded.skipped

    def test_none_is_left_out(self, shared: Path) -> None:
        """The list above has every row of README.csv."""
        with (shared / "malformed" / "README.csv").open() as file:
            described = {row["file"] for row in csv.DictReader(file)}

        assert {row[0] for row in csv.reader(MALFORMED)} == described

    def test_odd_elements_are_named(self, shared: Path) -> None:
        """Each odd element of one_bad_record is told by its place and what it is."""
        body = (shared / "malformed" / "one_bad_record.json.gz").read_bytes()

        assert [(r.place, r.reason) for r in read(body).rejected] == [
            ("record 3", "is not a record: it is a text where an object should be"),
            ("record 4", "is not a record: it is null where an object should be"),
            ("record 5", "is not a record: it is a number where an object should be"),
            ("record 6", "no eventTime"),
        ]

    def test_last_of_a_repeated_key(self, shared: Path) -> None:
        """The record with a repeated eventName is counted under the last."""
        (call,) = read((shared / "malformed" / "duplicate_json_keys.json.gz").read_bytes()).calls

        assert (call.second, call.eventName) == (1_704_067_200, "DescribeInstances")


class Corpus(NamedTuple):
    """Real logs, decoded, and the counts that other tools made of them."""

    golden: Path
    logs: dict[str, Decoded]

    def calls(self) -> list[Call]:
        """All calls; the golden counts have duplicates too."""
        return [call for log in self.logs.values() for call in (*log.calls, *log.duplicates)]

    def counts(self, name: str) -> Counter[tuple[str, ...]]:
        """The golden counts of the file *name*."""
        with (self.golden / name).open(newline="") as file:
            return Counter({tuple(row[:-1]): int(row[-1]) for row in [*csv.reader(file)][1:]})


def corpus(folder: Path) -> Corpus:
    """Decode all logs below *folder*."""
    logs = {
        str(path.relative_to(folder / "s3")): decode(Log.of(path.name, path.read_bytes()))
        for path in sorted((folder / "s3").rglob("*.json.gz"))
    }
    return Corpus(folder / "golden", logs)


@pytest.fixture(scope="module")
def real(shared: Path) -> Corpus:
    """4,777 real records."""
    return corpus(shared)


@pytest.fixture(scope="module")
def odd(shared: Path) -> Corpus:
    """254 records that CloudTrail would not deliver like this."""
    return corpus(shared / "odd")


def written(calls: list[Call], by: list[str]) -> Counter[tuple[str, ...]]:
    """The counts of *calls* by the fields *by*, as they are written."""
    return Counter(
        {
            tuple(label(field, value) for field, value in zip(by, row, strict=True)): n
            for row, n in group(calls, by).items()
        }
    )


BY = ["eventSource", "awsRegion", "recipientAccountId", "eventCategory", "eventType"]


class TestReal:
    """Real records, against counts that Python's standard library and jq made."""

    def test_every_record_is_counted(self, real: Corpus) -> None:
        """4,777 records in 357 logs are 4,777 calls, none twice in its log."""
        assert len(real.logs) == 357
        assert sum((places(log) for log in real.logs.values()), Counter()) == {"call": 4_777}

    def test_by_minute(self, real: Corpus) -> None:
        """The counts by minute, name, region and source are the golden ones."""
        by = ["minute", "eventName", "awsRegion", "eventSource"]

        assert written(real.calls(), by) == real.counts("by_minute.csv")
        assert len(real.counts("by_minute.csv")) == 1_431

    @pytest.mark.parametrize("field", [*BY, "eventVersion"])
    def test_by_field(self, real: Corpus, field: str) -> None:
        """The counts by a field are the golden ones, absent ones too."""
        assert written(real.calls(), [field]) == real.counts(f"by_{field}.csv")

    def test_errors(self, real: Corpus) -> None:
        """571 records have an errorCode, and each is the golden one."""
        calls = [call for call in real.calls() if call.errorCode]

        assert len(calls) == 571
        assert written(calls, ["errorCode"]) == real.counts("errors.csv")

    def test_busiest(self, real: Corpus) -> None:
        """The twenty busiest names are called as often as they should be."""
        counts = written(real.calls(), ["eventName"])
        golden = real.counts("top20_event_names.csv")

        assert len(golden) == 20
        assert {name: counts[name] for name in golden} == golden
        assert sorted(counts.values())[-20:] == sorted(golden.values())

    def test_by_log(self, real: Corpus) -> None:
        """Each log has as many records as it should."""
        golden = {name: n for (name,), n in real.counts("objects.csv").items()}

        assert {name: log.received for name, log in real.logs.items()} == golden

    def test_sign_in_that_failed(self, real: Corpus) -> None:
        """The one failed console sign-in is marked."""
        failed = [call for call in real.calls() if call.failed_without_code]

        assert [(call.eventName, call.errorCode) for call in failed] == [("ConsoleLogin", "")]

    def test_no_caller_is_a_session(self, real: Corpus) -> None:
        """A caller that is a role's session ends with the role."""
        callers = {c.caller for c in real.calls() if ":assumed-role/" in c.caller}

        assert all(caller.count("/") == 1 for caller in callers)

    def test_odd_ones(self, odd: Corpus) -> None:
        """Of 254 odd records five have no time; all others are counted or duplicates."""
        assert len(odd.logs) == 67
        assert sum((places(log) for log in odd.logs.values()), Counter()) == {
            "call": 93,
            "duplicate": 156,
            "rejected": 5,
        }
        assert Counter(r.reason for log in odd.logs.values() for r in log.rejected) == {
            "no eventTime": 3,
            "eventTime 'redacted' is not a time": 1,
            "eventTime '...' is not a time": 1,
        }

    def test_odd_ones_by_minute(self, odd: Corpus) -> None:
        """The counts are the golden ones, but for the five without a time."""
        by = ["minute", "eventName", "awsRegion", "eventSource"]
        golden = odd.counts("by_minute.csv")

        assert written(odd.calls(), by) == {row: n for row, n in golden.items() if row[0]}

    @pytest.mark.parametrize("field", [*BY, "eventVersion", "errorCode"])
    def test_odd_ones_by_field(self, odd: Corpus, field: str) -> None:
        """No value is counted too often, and the five without a time are missing."""
        golden = odd.counts("errors.csv" if field == "errorCode" else f"by_{field}.csv")
        counts = written([c for c in odd.calls() if c.errorCode or field != "errorCode"], [field])

        assert counts - golden == Counter()
        assert (golden - counts).total() == (1 if field == "errorCode" else 5)

    @pytest.mark.parametrize("name", ["lookup_events.json", "firehose_s3_object_ndjson.gz"])
    def test_constructed(self, shared: Path, name: str) -> None:
        """Real records in other envelopes are the calls that they should be."""
        folder = shared / "payloads"
        expected = json.loads((folder / "expected_constructed.json").read_bytes())[name]
        decoded = read((folder / "constructed" / name).read_bytes())

        assert places(decoded) == {"call": 50}
        assert Counter(call.eventName for call in decoded.calls) == expected["by_name"]
        assert sum(bool(call.errorCode) for call in decoded.calls) == expected["errors"] == 1

    def test_taken_apart(self, real: Corpus, shared: Path) -> None:
        """All real records as one long list, JSON lines or messages are the same calls."""
        elements = [e for log in logs(shared / "s3") for e in json.loads(log)["Records"]]
        expected = [call for log in real.logs.values() for call in log.calls]
        distinct = len({call.eventID for call in expected if call.eventID})

        for form in ("document", "JSON lines", "messages", "LookupEvents"):
            decoded = read(FORMS[form](elements))
            assert [*decoded.calls, *decoded.duplicates] == expected
        assert distinct == 4_742


def logs(folder: Path) -> Iterator[bytes]:
    """The text of all logs below *folder*."""
    return (gzip.decompress(path.read_bytes()) for path in sorted(folder.rglob("*.json.gz")))


class TestFields:
    """Who asks for few fields gets those, faster."""

    FEW = (
        "second",
        "eventName",
        "eventSource",
        "awsRegion",
        "eventType",
        "eventCategory",
        "eventID",
    )

    @unhurried
    @given(st.lists(st.sampled_from(["e-1", "e-2", "", None, 3]), max_size=6), st.booleans())
    def test_are_the_same_when_few_are_asked_for(self, ids: list[Json], as_messages: bool) -> None:  # noqa: FBT001
        """The fields asked for, and what becomes of each record, do not depend on the asking."""
        elements = [record(eventID=i, eventName=f"Get{at}") for at, i in enumerate(ids)] + [7]
        body: bytes | list[str] = document(elements)
        if as_messages:
            body = [json.dumps(element) for element in elements]
        log = Log("id", "log", body)
        (few,), (all_,) = parts(log, fields=self.FEW), parts(log)

        for ours, theirs in ((few.calls, all_.calls), (few.duplicates, all_.duplicates)):
            assert [[getattr(c, f) for f in self.FEW] for c in ours] == [
                [getattr(c, f) for f in self.FEW] for c in theirs
            ]
        assert (few.skipped, few.rejected) == (all_.skipped, all_.rejected)

    def test_are_left_empty_when_not_asked_for(self) -> None:
        """Callers, accounts and errors are not decoded for who counts by API."""
        (few,) = parts(Log("id", "log", document([RECORD])), fields=["minute", "eventName"])

        assert [replace(CALL, recipientAccountId="", callerAccountId="", caller="", errorCode="",
                        readOnly="", eventVersion="")] == few.calls  # fmt: skip


A, B, C = "111122223333", "444455556666", "777788889999"
"""Accounts: the caller's, the resource owner's, and another."""


def view(recipient: Json, *, event: str, shared: Json = "s-1", caller: Json = A) -> Json:
    """The record that *recipient* gets of a call that *caller* has made."""
    identity = {"type": "AWSAccount", "principalId": "AROAEXAMPLE:x", "accountId": caller}
    return record(
        userIdentity={k: v for k, v in identity.items() if v is not ABSENT},
        recipientAccountId=recipient,
        sharedEventID=shared,
        eventID=event,
    )


@st.composite
def trails(draw: st.DrawFn) -> tuple[set[str], list[str], list[Json]]:
    """Some accounts, what they and others have called, and what their trail has of it."""
    accounts = draw(st.sets(st.sampled_from([A, B, C]), min_size=1))
    views = []
    actions = draw(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from([A, B, C]))))
    for at, (caller, owner) in enumerate(actions):
        shared = ABSENT if caller == owner else f"s-{at}"
        views += [
            view(account, event=f"{at}-{account}", shared=shared, caller=caller)
            for account in {caller, owner} & accounts
        ]
    seen = {v["eventID"].partition("-")[0] for v in views}
    return accounts, sorted(seen), draw(st.permutations(views))


class TestShared:
    """A call that several accounts see counts once for each of them, or once."""

    def once(self, body: bytes | list[str], *recorded: str) -> Decoded:
        """What the log *body* holds, with calls of the accounts *recorded* counted once."""
        return decode(Log("id", "log", body), recorded=recorded)

    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_worked_example(self, form: Form) -> None:
        """Of two views the caller's counts where its account is recorded, else the other does."""
        body = form([view(B, event="e-b"), view(A, event="e-a")])

        assert ids(read(body).calls) == ["e-b", "e-a"]
        assert ids(self.once(body, A).calls) == ["e-a"]
        assert ids(self.once(body, "*").calls) == ["e-a"]
        assert self.once(body, C, "1*").skipped == {"shared": 1}
        assert ids(self.once(body, B).calls) == ["e-b", "e-a"]

    @pytest.mark.parametrize(
        "kept",
        [
            view(B, event="e", shared=ABSENT),
            view(B, event="e", shared=None),
            view(B, event="e", shared=7),
            view(A, event="e"),
            view(B, event="e", caller=ABSENT),
            view(ABSENT, event="e"),
        ],
        ids=["not shared", "null", "no text", "own view", "a service's", "nobody's view"],
    )
    def test_what_may_be_the_only_view(self, kept: Json) -> None:
        """What nothing says to be another account's view of the call is counted."""
        kept = {k: v for k, v in kept.items() if v is not ABSENT}

        assert ids(self.once(document([kept]), "*").calls) == ["e"]

    def test_what_is_asked_for_makes_no_difference(self) -> None:
        """It takes none of the fields that calls are counted by."""
        log = Log("id", "log", document([view(B, event="e-b"), view(A, event="e-a")]))

        (part,) = parts(log, fields=("eventName",), recorded=("*",))

        assert (ids(part.calls), part.skipped) == (["e-a"], {"shared": 1})

    @given(trails())
    @unhurried
    def test_once_and_nothing_lost(self, trail: tuple[set[str], list[str], list[Json]]) -> None:
        """Each call that a trail has seen is counted once, and the rest is its other views."""
        accounts, actions, views = trail
        decoded = self.once(document(views), *accounts)

        assert sorted(event.partition("-")[0] for event in ids(decoded.calls)) == actions
        assert decoded.skipped.total() == len(views) - len(actions)
        assert decoded.received == len(views)
        assert read(document(views)).skipped == {}
