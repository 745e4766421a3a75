"""Events of CloudWatch Logs are opened, or the error says what is wrong with them."""

import base64
import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.model import Decoded, Log
from apitracker.core.records import parts
from apitracker.errors import LogError
from apitracker.tracker.envelopes import open_event

PAYLOADS = Path(__file__).parents[2] / "shared" / "data" / "payloads"
CALL = '{"eventTime":"2023-07-10T11:42:07Z","eventName":"GetObject","eventID":"e-1"}'
GROUP = "aws-cloudtrail-logs-111122223333"
NO_CHARACTER = "\ufffd"


def event(text: str | bytes, *, packed: bool = True) -> dict[str, Any]:
    """Wrap *text* as Lambda is given it."""
    body = text.encode() if isinstance(text, str) else text
    data = base64.b64encode(gzip.compress(body, mtime=0) if packed else body).decode()
    return {"awslogs": {"data": data}}


def payload(*messages: str, ids: list[str] | None = None, **fields: Any) -> str:  # noqa: ANN401
    """What CloudWatch Logs delivers; lone surrogates stay, as JSON's escapes."""
    return json.dumps(
        {
            "messageType": "DATA_MESSAGE",
            "owner": "111122223333",
            "logGroup": GROUP,
            "logStream": "111122223333_CloudTrail_eu-west-1",
            "subscriptionFilters": ["CloudTrailLogFilter"],
            "logEvents": [
                {"id": i, "timestamp": 1_688_989_327_000, "message": m}
                for i, m in zip(ids or map(str, range(len(messages))), messages, strict=True)
            ],
            **fields,
        }
    )


def log(text: str | bytes) -> Log:
    """The log in *text*; it has one."""
    [found] = open_event(event(text))
    return found


def decode(log: Log) -> Decoded:
    """The records of *log*, which has one part."""
    [found] = parts(log)
    return found


class TestOpenEvent:
    """Subscription events."""

    @pytest.mark.parametrize("packed", [True, False])
    def test_gzip_and_plain(self, *, packed: bool) -> None:
        """Base64 of gzip, and of plain JSON as the documentation's sample, are the same log."""
        ids = [f"id-{at}" for at in range(3)]
        [found] = open_event(event(payload(CALL, "x", CALL, ids=ids), packed=packed))
        assert found == Log(
            hashlib.sha256(f"{GROUP}\nid-0\nid-1\nid-2".encode()).hexdigest(),
            "aws-cloudtrail-logs-111122223333:111122223333_CloudTrail_eu-west-1",
            [CALL, "x", CALL],
        )

    def test_newer_fields_do_not_matter(self) -> None:
        """A payload may say more of itself, and of its events, than it used to."""
        text = json.dumps(
            {
                "policyLevel": "ACCOUNT_LEVEL_POLICY",
                "messageType": "DATA_MESSAGE",
                "logEvents": [
                    {"id": "1", "message": CALL, "extractedFields": {"@aws.account": "1"}}
                ],
            }
        )
        assert log(text).body == [CALL]

    @pytest.mark.parametrize("packed", [True, False])
    def test_control_message(self, *, packed: bool) -> None:
        """The message by which CloudWatch Logs tries the destination holds no log."""
        text = payload(
            "CWL CONTROL MESSAGE: Checking health of destination Lambda.",
            messageType="CONTROL_MESSAGE",
            owner="CloudwatchLogs",
            logGroup="",
            logStream="",
            subscriptionFilters=[],
        )
        assert open_event(event(text, packed=packed)) == []

    def test_unknown_message_type(self) -> None:
        """A messageType that nobody knows may hold records, so it is an error that names it."""
        with pytest.raises(LogError, match="unknown messageType: 'OTHER_MESSAGE'"):
            open_event(event(payload(CALL, messageType="OTHER_MESSAGE")))

    @pytest.mark.parametrize(
        "given",
        [
            None,
            {},
            [],
            0,
            17,
            "awslogs",
            {"awslogs": None},
            {"awslogs": {}},
            {"awslogs": []},
            {"awslogs": {"data": None}},
            {"awslogs": {"data": 5}},
            {"awslogs": {"data": {}}},
            {"awslogs": {"data": "é"}},
            {"awslogs": {"data": "%%%="}},
            {"awslogs": {"data": "ewo"}},
            {"Records": [{"s3": {}}]},
        ],
        ids=repr,
    )
    def test_no_subscription_event(self, given: Any) -> None:  # noqa: ANN401
        """What is no event of a subscription is a LogError, whatever its type."""
        with pytest.raises(LogError, match="event: is not a CloudWatch Logs subscription event"):
            open_event(given)

    @pytest.mark.parametrize(
        "text",
        [
            b"[]",
            b"null",
            b"7",
            b"{}",
            b"{",
            b'{"messageType":null}',
            b'{"messageType":"DATA_MESSAGE","logEvents":{}}',
            b'{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1"}]}',
            b'{"messageType":"DATA_MESSAGE","logEvents":[{"id":1,"message":"{}"}]}',
            b'{"messageType":"DATA_MESSAGE","logEvents":[' + b"[" * 100_000,
            b'{"Records":[]}x',
            b"\xff\xfe",
        ],
        ids=lambda text: text[:60].decode("latin-1"),
    )
    def test_no_payload(self, text: bytes) -> None:
        """What is inside is a payload of a subscription or a LogError."""
        with pytest.raises(LogError, match="event: is not a payload of a subscription"):
            open_event(event(text))

    def test_empty(self) -> None:
        """No data at all is an error, not an empty log."""
        with pytest.raises(LogError, match="event: is empty"):
            open_event({"awslogs": {"data": ""}})

    def test_cut_off_and_damaged_gzip(self) -> None:
        """A gzip stream that ends early, or has another checksum, is not read as far as it goes."""
        body = gzip.compress(payload(*[CALL] * 50).encode())
        for end in (2, 9, 30, len(body) - 9, len(body) - 1):
            data = base64.b64encode(body[:end]).decode()
            with pytest.raises(LogError, match=r"event: is (cut off|damaged)"):
                open_event({"awslogs": {"data": data}})
        wrong = base64.b64encode(body[:-8] + b"\0\0\0\0" + body[-4:]).decode()
        with pytest.raises(LogError, match="event: is damaged"):
            open_event({"awslogs": {"data": wrong}})

    def test_all_members_of_a_gzip_are_read(self) -> None:
        """A payload in two members is whole; readers that stop after the first lose the rest."""
        text = payload(CALL).encode()
        two = gzip.compress(text[:90]) + gzip.compress(text[90:])
        [found] = open_event({"awslogs": {"data": base64.b64encode(two).decode()}})
        assert found == log(text)

    def test_too_long(self) -> None:
        """A small payload that inflates to more than is allowed is refused, whatever it holds."""
        bomb = event(b" " * 1_000_001)
        with pytest.raises(LogError, match="holds more than 1,000,000 bytes"):
            open_event(bomb, max_bytes=1_000_000)
        assert len(bomb["awslogs"]["data"]) < 2_000

    @given(st.binary() | st.text())
    def test_any_data(self, data: bytes | str) -> None:
        """Nothing but a log, nothing or a LogError comes of any bytes, bare or in base64."""
        for given_data in (data, base64.b64encode(str(data).encode()).decode()):
            with pytest.raises(LogError):
                open_event({"awslogs": {"data": given_data}})

    def test_no_events(self) -> None:
        """A payload without events is an empty log."""
        assert log(payload()).body == []


class TestId:
    """The id by which a delivery is known again."""

    @given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=20), st.data())
    def test_order_and_stream_do_not_matter(self, ids: list[str], data: st.DataObject) -> None:
        """The same events of a group are the same log, in any order and under any stream."""
        shuffled = data.draw(st.permutations(ids))
        one = log(payload(*ids, ids=ids))
        other = log(payload(*shuffled, ids=shuffled, logStream="other", subscriptionFilters=[]))
        assert one.id == other.id
        assert one.name != other.name

    def test_what_matters(self) -> None:
        """Another group, another event, or one event more is another log."""
        ids = [
            log(payload("a", "b", ids=["1", "2"])).id,
            log(payload("a", "b", ids=["1", "2"], logGroup="other")).id,
            log(payload("a", "b", ids=["1", "3"])).id,
            log(payload("a", ids=["1"])).id,
            log(payload("a", "b", "b", ids=["1", "2", "2"])).id,
            log(payload("a", ids=["12"])).id,
        ]
        assert len(set(ids)) == len(ids)


class TestMessages:
    """What a payload's messages become."""

    @pytest.mark.parametrize(
        "bad", ["", "{", "null", "[]", "x" * 1000, "{}", '{"eventTime":"yesterday"}', "[" * 100_000]
    )
    def test_one_bad_among_good(self, bad: str) -> None:
        """A message that is no record is set aside with its place; its neighbours are counted."""
        good = [CALL.replace("e-1", f"e-{at}") for at in range(4)]
        found = decode(log(payload(*good[:2], bad, *good[2:])))
        assert [call.eventID for call in found.calls] == ["e-0", "e-1", "e-2", "e-3"]
        assert [rejected.place for rejected in found.rejected] == ["record 3"]

    def test_lone_surrogates(self) -> None:
        """Half a character, in the envelope or escaped again inside a message, is replaced."""
        inside = CALL.replace("GetObject", "Get\\ud83d")
        around = CALL.replace("GetObject", "Put\udc00").replace("e-1", "e-2")
        found = log(payload(inside, around, ids=["1", "\ud800"], logGroup="g\udfff"))
        assert found.name.startswith(f"g{NO_CHARACTER}:")
        assert [call.eventName for call in decode(found).calls] == [
            f"Get{NO_CHARACTER}",
            f"Put{NO_CHARACTER}",
        ]

    def test_pairs_of_surrogates_stay(self) -> None:
        """Two halves that belong together are a character, with a lone one beside them too."""
        message = CALL.replace("GetObject", "Get\\ud83d\\ude00")
        found = decode(log(payload(message, "\ud800")))
        assert [call.eventName for call in found.calls] == ["Get\U0001f600"]

    def test_nul(self) -> None:
        """NUL is a character like any other where JSON escapes it."""
        found = decode(log(payload(CALL.replace("GetObject", "Get\\u0000Object"))))
        assert [call.eventName for call in found.calls] == ["Get\0Object"]

    def test_invalid_utf8(self) -> None:
        """Bytes that are no UTF-8 spoil no more than the character they stand for."""
        text = payload(CALL.replace("GetObject", "Get@"), CALL.replace("e-1", "e-2"))
        found = decode(log(text.encode().replace(b"@", b"\xff")))
        assert [call.eventName for call in found.calls] == [f"Get{NO_CHARACTER}", "GetObject"]


@pytest.mark.parametrize(
    "name", ["cwl_subscription_lambda.json", "cwl_control_message_lambda.json"]
)
def test_real_records(name: str) -> None:
    """Real records in AWS's envelopes give the counts that were made without us."""
    if not PAYLOADS.is_dir():
        pytest.skip(f"real records are not here: {PAYLOADS}")
    expected = json.loads((PAYLOADS / "expected_constructed.json").read_bytes())[name]
    found = open_event(json.loads((PAYLOADS / "constructed" / name).read_bytes()))
    if not found:
        assert expected == {"events": 0, "errors": 0, "by_name": {}}
        return
    decoded = decode(*found)
    assert (len(decoded.calls), decoded.duplicates, decoded.rejected) == (
        expected["events"],
        [],
        [],
    )
    assert sum(1 for call in decoded.calls if call.errorCode) == expected["errors"]
    assert Counter(call.eventName for call in decoded.calls) == expected["by_name"]
