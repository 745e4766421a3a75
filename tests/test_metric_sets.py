"""Which metrics calls become: each set by a worked example, and the laws that hold for all."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.metric_sets import (
    OVERFLOW,
    SETS,
    MetricSelection,
    Series,
    divert,
    from_bits,
    other,
    others,
    project,
    require_sets,
    to_bits,
)
from apitracker.core.metrics import plan
from apitracker.core.model import Call
from apitracker.core.tally import Row, group
from apitracker.errors import UsageError

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


def published(*names: str, calls: list[Call] = CALLS) -> list[tuple[str, ...]]:
    """Namespace, name, dimensions and calls of what the sets *names* publish."""
    choice = MetricSelection("API-COUNT", names)
    found = plan(group(calls, choice.fields), choice)
    return [
        (page.namespace, datum.metric_name, *(d.value for d in datum.dimensions), str(datum.calls))
        for page in found.pages
        for datum in page.datums
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
    choice = MetricSelection("API-COUNT", tuple(SETS), "eventSource=s3", "errorCode=Access*")

    found = plan(group(CALLS, choice.fields), choice)

    assert found.excluded == 3
    assert Counter(page.id for page in found.pages) == {
        "api.0": 1,
        "service.0": 1,
        "account.0": 1,
        "outcomes.0": 1,
        "callers.0": 1,
        "throttled-callers.0": 1,
    }
    assert {datum.calls for page in found.pages[:3] for datum in page.datums} == {2}


@pytest.mark.parametrize("names", [[], ["apis"], ["api", ""], ["API"]])
def test_no_such_set(names: list[str]) -> None:
    """A name that is of no set is an error that names those there are."""
    with pytest.raises(UsageError, match="is no metric set: choose from api, service, account"):
        require_sets(names)


@pytest.mark.parametrize(
    ("name", "series", "expected"),
    [
        ("api", ("Get", "eu", "s3"), (OVERFLOW, "eu", "s3")),
        ("service", ("Calls", "eu", "s3"), ("Calls", "eu", OVERFLOW)),
        ("account", ("Calls", "eu", "111"), ("Calls", "eu", OVERFLOW)),
        ("outcomes", ("Denied", "eu", "s3", "Put"), ("Denied", "eu", "s3", OVERFLOW)),
        ("callers", ("Calls", "eu", ROLE), ("Calls", "eu", OVERFLOW)),
        ("throttled-callers", ("Throttled", "eu", "s3", ROLE), ("Throttled", "eu", "s3", OVERFLOW)),
    ],
)
def test_others(name: str, series: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Beyond the budget only that is given up of which there may be without end."""
    assert other(series, SETS[name]) == expected


def test_where_others_are() -> None:
    """Those of the APIs are apart from the APIs; those of other sets are among them."""
    api, *rest = EVERY.sets

    assert (others(api).namespace, others(api).name) == ("API-COUNT/Usage", "other")
    assert [others(each) for each in rest] == rest


def seconds(counts: Iterable[tuple[Row, int]]) -> Counter[int]:
    """The calls of each second."""
    found: Counter[int] = Counter()
    for row, n in counts:
        found[row[-1]] += n
    return found


series: st.SearchStrategy[Series] = st.tuples(
    st.sampled_from(["A", "B", "C", "D"]),
    st.sampled_from(["eu", "us"]),
    st.sampled_from(["s3", "ec2", "\ud800"]),
)


@given(st.dictionaries(st.tuples(series, st.integers(0, 99)), st.integers(1, 9)), st.data())
def test_nothing_is_lost_beyond_the_budget(
    given: dict[tuple[Series, int], int], data: st.DataObject
) -> None:
    """Whatever is beyond it: each call is in one place, and each second has as many as before."""
    counts = {(*where, second): n for (where, second), n in given.items()}
    api = SETS["api"]
    some: list[Series] = sorted({where for where, _ in given})
    beyond = set(data.draw(st.lists(st.sampled_from(some)))) if some else set()
    moved = sorted({other(each, api) for each in beyond})
    further = set(data.draw(st.lists(st.sampled_from(moved)))) if moved else set()

    stay, gone = divert(counts, api, beyond, further)

    assert sum(stay.values()) + gone.total() == sum(counts.values())
    assert stay == {row: n for row, n in counts.items() if row[:-1] not in beyond}
    assert {row[0] for row in gone} <= {OVERFLOW}
    assert not {row[:-1] for row in gone} & further
    assert seconds([*stay.items(), *gone.items()]) == seconds(counts.items())


@given(st.sets(series), st.data())
def test_bits(among: set[tuple[str, ...]], data: st.DataObject) -> None:
    """What was marked is read again, and takes an eighth of a byte each."""
    some = data.draw(st.sets(st.sampled_from(sorted(among)))) if among else set()

    bits = to_bits(some, among)

    assert from_bits(bits, among) == some
    assert len(bits) <= (len(among) + 7) // 8


@given(st.lists(st.sampled_from(CALLS)))
def test_every_set_has_every_call(calls: list[Call]) -> None:
    """Sets of calls have all calls; those of outcomes all that went wrong."""
    counts = group(calls, EVERY.fields)
    totals = {each.name: sum(project(counts, EVERY.fields, each).values()) for each in EVERY.sets}

    for name in ("api", "service", "account", "callers"):
        assert totals[name] == len(calls)
    assert totals["outcomes"] == sum(bool(call.errorCode) for call in calls)
    throttled = {"SlowDown", "Client.RequestLimitExceeded"}
    assert totals["throttled-callers"] == sum(call.errorCode in throttled for call in calls)
