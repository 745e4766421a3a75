"""The closed list of fields, and the rows of calls by them."""

import pytest

from apitracker.core.fields import FIELDS, require_fields, rows
from apitracker.core.model import Call
from apitracker.errors import UsageError

T = 1_688_989_327  # 2023-07-10T11:42:07Z

CHOICES = (
    "second, minute, hour, day, eventName, eventSource, awsRegion, recipientAccountId, "
    "callerAccountId, caller, errorCode, outcome, readOnly, eventCategory, eventType, eventVersion"
)

KEPT = [field for field in CHOICES.split(", ") if field not in {"eventType", "eventVersion"}]

EVERY = Call(
    second=T,
    eventName="GetObject",
    eventSource="s3.amazonaws.com",
    awsRegion="eu-west-1",
    recipientAccountId="444455556666",
    callerAccountId="111122223333",
    caller="arn:aws:iam::111122223333:role/Deploy",
    errorCode="SlowDown",
    readOnly="true",
    eventCategory="Data",
    failed_without_code=False,
    eventType="AwsApiCall",
    eventVersion="1.08",
    eventID="e-1",
)


class TestRows:
    """A row has the values of the fields asked for, in their order."""

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("second", 1_688_989_327),
            ("minute", 1_688_989_320),
            ("hour", 1_688_986_800),
            ("day", 1_688_947_200),
            ("eventName", "GetObject"),
            ("eventSource", "s3.amazonaws.com"),
            ("awsRegion", "eu-west-1"),
            ("recipientAccountId", "444455556666"),
            ("callerAccountId", "111122223333"),
            ("caller", "arn:aws:iam::111122223333:role/Deploy"),
            ("errorCode", "SlowDown"),
            ("outcome", "throttled"),
            ("readOnly", "true"),
            ("eventCategory", "Data"),
            ("eventType", "AwsApiCall"),
            ("eventVersion", "1.08"),
        ],
    )
    def test_every_field(self, field: str, value: object) -> None:
        """Each field that users can type has its value."""
        assert list(rows([EVERY], [field])) == [(value,)]

    def test_in_the_order_asked_for(self) -> None:
        """Fields come as they were named, calls as they came."""
        assert list(
            rows([EVERY, Call(59, "Put")], ["eventName", "minute", "outcome", "eventName"])
        ) == [
            ("GetObject", 1_688_989_320, "throttled", "GetObject"),
            ("Put", 0, "ok", "Put"),
        ]

    def test_by_nothing(self) -> None:
        """Without fields there is an empty row for each call."""
        assert list(rows([EVERY, EVERY], [])) == [(), ()]

    @pytest.mark.parametrize(
        ("second", "minute", "hour", "day"),
        [
            (0, 0, 0, 0),
            (59, 0, 0, 0),
            (60, 60, 0, 0),
            (3_600, 3_600, 3_600, 0),
            (86_399, 86_340, 82_800, 0),
            (86_400, 86_400, 86_400, 86_400),
            (-1, -60, -3_600, -86_400),
            (-60, -60, -3_600, -86_400),
            (-61, -120, -3_600, -86_400),
            (-86_401, -86_460, -90_000, -172_800),
        ],
    )
    def test_times_floor(self, second: int, minute: int, hour: int, day: int) -> None:
        """A time is the start of its minute, hour or day: before 1970 too."""
        by = ["second", "minute", "hour", "day"]

        assert list(rows([Call(second)], by)) == [(second, minute, hour, day)]

    @pytest.mark.parametrize(
        ("call", "outcome"),
        [
            (Call(0), "ok"),
            (Call(0, errorCode="AccessDenied"), "denied"),
            (Call(0, errorCode="ThrottlingException"), "throttled"),
            (Call(0, errorCode="NoSuchKey"), "failed"),
            (Call(0, failed_without_code=True), "failed"),
            (
                Call(0, eventSource="kinesis.amazonaws.com", errorCode="LimitExceededException"),
                "throttled",
            ),
            (
                Call(0, eventSource="iam.amazonaws.com", errorCode="LimitExceededException"),
                "failed",
            ),
        ],
    )
    def test_outcome(self, call: Call, outcome: str) -> None:
        """The outcome is made of the error, the service and the mark of a failed sign-in."""
        assert list(rows([call], ["outcome"])) == [(outcome,)]


class TestFields:
    """The fields are a closed list, and what is not in it is refused with the list."""

    def test_list(self) -> None:
        """The fields are those of the design, in its order."""
        assert ", ".join(FIELDS) == CHOICES

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "nope",
            "eventname",
            "EventName",
            "eventID",
            "userAgent",
            " eventName",
            "count",
        ],
    )
    def test_unknown(self, name: str) -> None:
        """A name that is no field is refused, with the ones that are, of calls and of keys."""
        expected = f"{name}: no such field; choose from {CHOICES}"
        for kept in (False, True):
            with pytest.raises(UsageError) as caught:
                require_fields(["eventName", name], kept=kept)
            assert str(caught.value) == expected

    def test_mark_of_a_failed_sign_in(self) -> None:
        """What a Key has and users cannot name is refused: the outcome tells it."""
        with pytest.raises(UsageError, match=r"^failed_without_code: no such field"):
            require_fields(["failed_without_code"])

    @pytest.mark.parametrize("name", ["eventType", "eventVersion"])
    def test_not_kept(self, name: str) -> None:
        """A field that no Key has is refused where there are only keys, with the way on."""
        require_fields([name])
        with pytest.raises(UsageError) as caught:
            require_fields(["minute", name], kept=True)

        assert str(caught.value) == f"{name}: not kept in counts; count the logs themselves by it"

    @pytest.mark.parametrize("name", KEPT)
    def test_kept(self, name: str) -> None:
        """All other fields may be asked of keys."""
        require_fields([name], kept=True)
