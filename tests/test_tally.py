"""Counting and adding up: worked examples in literals, and the laws that hold for all calls."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apitracker.core.model import Call, Key, Tally
from apitracker.core.tally import FIELDS, count, group, require_fields, rollup, rows
from apitracker.errors import UsageError

unhurried = settings(deadline=None)  # a busy machine is no fault

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

words = st.sampled_from(["", "a", "b"])
calls = st.lists(
    st.builds(
        Call,
        second=st.sampled_from([-61, -60, -1, 0, 1, 59, 60, 3_599, 3_600, 86_400, T]),
        eventName=words,
        eventSource=words,
        awsRegion=words,
        caller=words,
        errorCode=st.sampled_from(["", "AccessDenied", "Throttling", "NoSuchKey"]),
        readOnly=st.sampled_from(["", "true", "false"]),
        failed_without_code=st.booleans(),
        eventType=words,
        eventVersion=words,
        eventID=words,
    ),
    max_size=30,
)
kept = st.lists(st.sampled_from(KEPT), max_size=4, unique=True)


class TestCount:
    """Calls are counted by all that a Key keeps."""

    def test_of_every_field(self) -> None:
        """A key has its call's fields, but for type, version and id."""
        assert count([EVERY]) == {
            Key(
                second=1_688_989_327,
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
            ): 1
        }

    def test_example(self) -> None:
        """Calls in the same second with the same fields are one key; type and id do not matter."""
        tally = count(
            [
                Call(T, "Get", "s3", eventID="1", eventType="AwsApiCall"),
                Call(T, "Get", "s3", eventID="2", eventType="AwsServiceEvent"),
                Call(T + 1, "Get", "s3"),
                Call(T, "Get", "s3", errorCode="SlowDown"),
                Call(T, "Get", "s3", failed_without_code=True),
            ]
        )

        assert tally == {
            Key(T, "Get", "s3"): 2,
            Key(T + 1, "Get", "s3"): 1,
            Key(T, "Get", "s3", errorCode="SlowDown"): 1,
            Key(T, "Get", "s3", failed_without_code=True): 1,
        }
        assert all(isinstance(key, Key) for key in tally)

    def test_nothing(self) -> None:
        """No calls are an empty tally."""
        assert count([]) == Counter()

    @unhurried
    @given(calls, calls)
    def test_parts_add_up_to_the_whole(self, a: list[Call], b: list[Call]) -> None:
        """Counting two parts and adding is counting the whole."""
        assert count(a) + count(b) == count(a + b)

    @unhurried
    @given(calls, st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, some: list[Call], random: Any) -> None:  # noqa: ANN401
        """The same calls in another order are the same tally."""
        shuffled = list(some)
        random.shuffle(shuffled)

        assert count(shuffled) == count(some)

    @unhurried
    @given(calls)
    def test_every_call_is_counted_once(self, some: list[Call]) -> None:
        """There are as many in a tally as there were calls, and no key has none."""
        tally = count(some)

        assert tally.total() == len(some)
        assert all(n > 0 for n in tally.values())


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
        assert list(rows([Key(second)], by)) == [(second, minute, hour, day)]

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
        assert list(rows(list(count([call])), ["outcome"])) == [(outcome,)]


class TestGroup:
    """Calls are counted by some fields alone."""

    def test_example(self) -> None:
        """Only the fields named tell calls apart; those that no Key has can be named too."""
        some = [
            Call(T, "Get", eventType="AwsApiCall", eventVersion="1.08"),
            Call(T + 60, "Get", eventType="AwsApiCall", eventVersion="1.09"),
            Call(T, "Put", eventType="AwsServiceEvent"),
        ]

        assert group(some, ["eventType"]) == {("AwsApiCall",): 2, ("AwsServiceEvent",): 1}
        assert group(some, ["eventVersion", "eventName"]) == {
            ("1.08", "Get"): 1,
            ("1.09", "Get"): 1,
            ("", "Put"): 1,
        }
        assert group(some, []) == {(): 3}
        assert group([], ["eventName"]) == {}

    @unhurried
    @given(calls, st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))
    def test_parts_add_up_to_the_whole(self, some: list[Call], by: list[str]) -> None:
        """By any fields, the counts of two halves are the counts of all."""
        half = len(some) // 2

        assert group(some[:half], by) + group(some[half:], by) == group(some, by)
        assert group(some, by).total() == len(some)


TALLY: Tally = Counter(
    {
        Key(T, "Get", "s3", errorCode="SlowDown"): 2,
        Key(T + 1, "Get", "s3"): 3,
        Key(T + 60, "Get", "s3"): 5,
        Key(T, "Put", "s3"): 7,
        Key(T, "Put", "sqs", failed_without_code=True): 11,
    }
)


class TestRollup:
    """Counts are added up by fewer fields."""

    @pytest.mark.parametrize(
        ("by", "counts"),
        [
            (["eventName"], {("Get",): 10, ("Put",): 18}),
            (
                ["eventSource", "eventName"],
                {("s3", "Get"): 10, ("s3", "Put"): 7, ("sqs", "Put"): 11},
            ),
            (["minute"], {(1_688_989_320,): 23, (1_688_989_380,): 5}),
            (["hour", "eventSource"], {(1_688_986_800, "s3"): 17, (1_688_986_800, "sqs"): 11}),
            (["day"], {(1_688_947_200,): 28}),
            (["second"], {(1_688_989_327,): 20, (1_688_989_328,): 3, (1_688_989_387,): 5}),
            (["outcome"], {("throttled",): 2, ("ok",): 15, ("failed",): 11}),
            (["awsRegion"], {("",): 28}),
            ([], {(): 28}),
        ],
    )
    def test_example(self, by: list[str], counts: dict[Any, int]) -> None:
        """Keys that only other fields tell apart are one row."""
        assert rollup(TALLY, by) == counts

    def test_of_nothing(self) -> None:
        """An empty tally has no rows."""
        assert rollup(Counter(), ["eventName"]) == {}
        assert rollup(Counter(), []) == {}

    @unhurried
    @given(calls, kept)
    def test_keeps_the_sum(self, some: list[Call], by: list[str]) -> None:
        """However few fields are left, no call is lost."""
        assert rollup(count(some), by).total() == len(some)

    @unhurried
    @given(calls, kept)
    def test_is_counting_by_fewer_fields(self, some: list[Call], by: list[str]) -> None:
        """Counting all and adding up is counting by the fields at once."""
        assert rollup(count(some), by) == group(some, by)

    @unhurried
    @given(calls, calls, kept)
    def test_parts_add_up_to_the_whole(self, a: list[Call], b: list[Call], by: list[str]) -> None:
        """Adding before or after makes no difference."""
        assert rollup(count(a) + count(b), by) == rollup(count(a), by) + rollup(count(b), by)

    @unhurried
    @given(calls)
    def test_by_every_kept_field(self, some: list[Call]) -> None:
        """By all that a Key keeps, only what failed without an errorCode is put together."""
        tally = count(some)
        expected: Counter[Any] = Counter()
        for key, n in tally.items():
            expected[key[:-2]] += n

        assert rollup(tally, Key._fields[:-2]) == expected

    @unhurried
    @given(calls, kept, st.data())
    def test_in_two_steps(self, some: list[Call], by: list[str], data: st.DataObject) -> None:
        """Leaving out a field and then the others is leaving them out at once."""
        more = [*by, data.draw(st.sampled_from(KEPT))]
        wide: Counter[Any] = Counter()
        for row, n in rollup(count(some), more).items():
            wide[row[:-1]] += n

        assert wide == rollup(count(some), by)

    def test_leaves_the_tally_as_it_was(self) -> None:
        """A rollup makes new counts."""
        tally = Counter(TALLY)
        rollup(tally, ["day"])

        assert tally == TALLY


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
        """A name that is no field is refused, with the ones that are, by all that take names."""
        expected = f"{name}: no such field; choose from {CHOICES}"
        for ask in (
            lambda: require_fields(["eventName", name]),
            lambda: list(rows([EVERY], [name])),
            lambda: group([EVERY], ["eventName", name]),
            lambda: rollup(count([EVERY]), [name]),
            lambda: rollup(Counter(), [name]),
        ):
            with pytest.raises(UsageError) as caught:
                ask()
            assert str(caught.value) == expected

    def test_mark_of_a_failed_sign_in(self) -> None:
        """What a Key has and users cannot name is refused: the outcome tells it."""
        with pytest.raises(UsageError, match=r"^failed: no such field"):
            require_fields(["failed"])
        with pytest.raises(UsageError, match=r"^failed: no such field"):
            rollup(TALLY, ["failed"])

    @pytest.mark.parametrize("name", ["eventType", "eventVersion"])
    def test_not_kept(self, name: str) -> None:
        """A field that no Key has is refused where there are only keys, with the way on."""
        require_fields([name])
        with pytest.raises(UsageError) as caught:
            rollup(count([EVERY]), ["minute", name])

        assert str(caught.value) == f"{name}: not kept in counts; count the logs themselves by it"

    @pytest.mark.parametrize("name", KEPT)
    def test_kept(self, name: str) -> None:
        """All other fields may be asked of keys."""
        require_fields([name], kept=True)
