"""Metric sets, each by a worked example; overflow; and the laws that hold for all sets."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.counts import Counts
from apitracker.core.fields import rows
from apitracker.core.metric_sets import (
    OVERFLOW,
    SETS,
    MetricSelection,
    Series,
    SeriesCounts,
    by_series,
    require_sets,
)
from apitracker.core.model import Call
from apitracker.core.overflow import (
    from_bits,
    overflow_series,
    overflow_set,
    split_overflow,
    to_bits,
)
from apitracker.errors import UsageError
from apitracker.tracker.put_metric_data import plan

T = 1_688_989_327  # 2023-07-10T11:42:07Z
ROLE = "arn:aws:iam::111122223333:role/scanner"
CALLS = [
    Call(T, "Get", "s3", "eu", "111", caller=ROLE),
    Call(T + 1, "Get", "s3", "eu", "111", caller=ROLE, errorCode="SlowDown"),
    Call(T + 1, "Put", "s3", "eu", "222", caller="alice", errorCode="AccessDenied"),
    Call(T + 2, "Run", "ec2", "us", "111", caller="alice", errorCode="NoSuchThing"),
    Call(T + 2, "Run", "ec2", "us", "111", caller=ROLE, errorCode="Client.RequestLimitExceeded"),
]
EVERY = MetricSelection("API-COUNT", tuple(SETS))


def count(calls: list[Call], selection: MetricSelection) -> Counts:
    """Counts of *calls* by the fields of *selection*."""
    return Counts(selection.fields, Counter(rows(calls, selection.fields)))


def published(*names: str, calls: list[Call] = CALLS) -> list[tuple[str, ...]]:
    """Namespace, name, dimensions and calls of what the sets *names* publish."""
    selection = MetricSelection("API-COUNT", names)
    found = plan(count(calls, selection), selection)
    return [
        (batch.namespace, datum.metric_name, *(d.value for d in datum.dimensions), str(datum.calls))
        for batch in found.batches
        for datum in batch.datums
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "api",
            [
                ("API-COUNT", "Get", "eu", "s3", "2"),
                ("API-COUNT", "Put", "eu", "s3", "1"),
                ("API-COUNT", "Run", "us", "ec2", "2"),
            ],
        ),
        (
            "service",
            [
                ("API-COUNT/Usage", "Calls", "eu", "s3", "3"),
                ("API-COUNT/Usage", "Calls", "us", "ec2", "2"),
            ],
        ),
        (
            "account",
            [
                ("API-COUNT/Usage", "Calls", "eu", "111", "2"),
                ("API-COUNT/Usage", "Calls", "eu", "222", "1"),
                ("API-COUNT/Usage", "Calls", "us", "111", "2"),
            ],
        ),
        (
            "outcomes",
            [
                ("API-COUNT/Usage", "Denied", "eu", "s3", "Put", "1"),
                ("API-COUNT/Usage", "Failed", "us", "ec2", "Run", "1"),
                ("API-COUNT/Usage", "Throttled", "eu", "s3", "Get", "1"),
                ("API-COUNT/Usage", "Throttled", "us", "ec2", "Run", "1"),
            ],
        ),
        (
            "callers",
            [
                ("API-COUNT/Usage", "Calls", "eu", "alice", "1"),
                ("API-COUNT/Usage", "Calls", "eu", ROLE, "2"),
                ("API-COUNT/Usage", "Calls", "us", "alice", "1"),
                ("API-COUNT/Usage", "Calls", "us", ROLE, "1"),
            ],
        ),
        (
            "throttled-callers",
            [
                ("API-COUNT/Usage", "Throttled", "eu", "s3", ROLE, "1"),
                ("API-COUNT/Usage", "Throttled", "us", "ec2", ROLE, "1"),
            ],
        ),
    ],
)
def test_examples(name: str, expected: list[tuple[str, ...]]) -> None:
    """Each set, alone, publishes these."""
    assert published(name) == expected


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("api", ("awsRegion", "eventSource")),
        ("service", ("awsRegion", "eventSource")),
        ("account", ("awsRegion", "recipientAccountId")),
        ("outcomes", ("awsRegion", "eventSource", "eventName")),
        ("callers", ("awsRegion", "caller")),
        ("throttled-callers", ("awsRegion", "eventSource", "caller")),
    ],
)
def test_dimensions(name: str, dimensions: tuple[str, ...]) -> None:
    """They are named as CloudTrail names them."""
    assert SETS[name].dimensions == dimensions


@pytest.mark.parametrize("name", ["outcomes", "throttled-callers"])
def test_what_goes_well_costs_nothing(name: str) -> None:
    """Sets of what goes wrong have no metric where nothing does."""
    assert published(name, calls=CALLS[:1]) == []


def test_sets_together() -> None:
    """Several sets publish what each does alone, in one order, however they are named."""
    together = published(*reversed(SETS))

    assert together == [row for name in SETS for row in published(name)]
    assert {row[0] for row in together if row not in published("api")} == {"API-COUNT/Usage"}


def test_rules_hold_for_each_set() -> None:
    """What a rule leaves out is in no set."""
    selection = MetricSelection("API-COUNT", tuple(SETS), "eventSource=s3", "errorCode=Access*")

    found = plan(count(CALLS, selection), selection)

    assert found.excluded == 3
    assert Counter(batch.id for batch in found.batches) == {
        "api.0": 1,
        "service.0": 1,
        "account.0": 1,
        "outcomes.0": 1,
        "callers.0": 1,
        "throttled-callers.0": 1,
    }
    assert {datum.calls for batch in found.batches[:3] for datum in batch.datums} == {2}


@pytest.mark.parametrize("names", [[], ["apis"], ["api", ""], ["API"]])
def test_no_such_set(names: list[str]) -> None:
    """A name that is of no set is an error that names those there are."""
    with pytest.raises(UsageError, match="is not a metric set: choose from api, service, account"):
        require_sets(names)


@pytest.mark.parametrize(
    ("name", "series", "expected"),
    [
        ("api", Series("Get", ("eu", "s3")), Series(OVERFLOW, ("eu", "s3"))),
        ("service", Series("Calls", ("eu", "s3")), Series("Calls", ("eu", OVERFLOW))),
        ("account", Series("Calls", ("eu", "111")), Series("Calls", ("eu", OVERFLOW))),
        (
            "outcomes",
            Series("Denied", ("eu", "s3", "Put")),
            Series("Denied", ("eu", "s3", OVERFLOW)),
        ),
        ("callers", Series("Calls", ("eu", ROLE)), Series("Calls", ("eu", OVERFLOW))),
        (
            "throttled-callers",
            Series("Throttled", ("eu", "s3", ROLE)),
            Series("Throttled", ("eu", "s3", OVERFLOW)),
        ),
    ],
)
def test_overflow_series(name: str, series: Series, expected: Series) -> None:
    """Beyond the budget only the value is given up that may vary without end."""
    assert overflow_series(series, SETS[name]) == expected


def test_overflow_set() -> None:
    """Overflow of the APIs is apart from the APIs; that of other sets is among them."""
    api, *rest = EVERY.sets

    assert (overflow_set(api).namespace, overflow_set(api).name) == ("API-COUNT/Usage", "other")
    assert [overflow_set(each) for each in rest] == rest


def seconds(counts: SeriesCounts) -> Counter[int]:
    """The calls of each second."""
    found: Counter[int] = Counter()
    for (_, second), n in counts.items():
        found[second] += n
    return found


series: st.SearchStrategy[Series] = st.builds(
    Series,
    st.sampled_from(["A", "B", "C", "D"]),
    st.tuples(st.sampled_from(["eu", "us"]), st.sampled_from(["s3", "ec2", "\ud800"])),
)


@given(st.dictionaries(st.tuples(series, st.integers(0, 99)), st.integers(1, 9)), st.data())
def test_nothing_is_lost_beyond_the_budget(counts: SeriesCounts, data: st.DataObject) -> None:
    """With any overflow each call is in one place, and each second has as many as before."""
    api = SETS["api"]
    some = sorted({each for each, _ in counts})
    beyond = set(data.draw(st.lists(st.sampled_from(some)))) if some else set()
    moved = sorted({overflow_series(each, api) for each in beyond})
    again = set(data.draw(st.lists(st.sampled_from(moved)))) if moved else set()

    stay, gone = split_overflow(counts, api, beyond, again)

    assert sum(stay.values()) + sum(gone.values()) == sum(counts.values())
    assert stay == {key: n for key, n in counts.items() if key[0] not in beyond}
    assert {each.name for each, _ in gone} <= {OVERFLOW}
    assert not {each for each, _ in gone} & again
    assert seconds(stay) + seconds(gone) == seconds(counts)


@given(st.sets(series), st.data())
def test_bits(among: set[Series], data: st.DataObject) -> None:
    """Marked series are read again, and take an eighth of a byte each."""
    some = data.draw(st.sets(st.sampled_from(sorted(among)))) if among else set()

    bits = to_bits(some, among)

    assert from_bits(bits, among) == some
    assert len(bits) <= (len(among) + 7) // 8


@given(st.lists(st.sampled_from(CALLS)))
def test_every_set_has_every_call(calls: list[Call]) -> None:
    """Sets of calls have all calls; those of outcomes all that went wrong."""
    counts = count(calls, EVERY)
    totals = {each.name: sum(by_series(counts, each).values()) for each in EVERY.sets}

    for name in ("api", "service", "account", "callers"):
        assert totals[name] == len(calls)
    assert totals["outcomes"] == sum(bool(call.errorCode) for call in calls)
    throttled = {"SlowDown", "Client.RequestLimitExceeded"}
    assert totals["throttled-callers"] == sum(call.errorCode in throttled for call in calls)
