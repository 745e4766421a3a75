"""Which metrics calls become: sets that are chosen by name, and rules that leave calls out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from apitracker.core.selection import Selection, matcher, parse_where, predicate
from apitracker.core.tally import FIELDS, Row
from apitracker.errors import UsageError

USAGE: Final = "/Usage"  # behind a namespace: where counts are that are not by API
ABSENT: Final = "-"  # what the predecessor publishes for a missing value
OTHERS: Final = "__other__"  # what is counted together, beyond the budget of metrics
CALLS: Final = "Calls"
OUTCOMES: Final = {"throttled": "Throttled", "denied": "Denied", "failed": "Failed"}

Series: TypeAlias = tuple[str, ...]
"""A metric's name and the values of its dimensions, in the order of its set."""


class MetricSet(Struct, frozen=True):
    """
    One way to publish calls, as metrics in *namespace* with *dimensions* named by fields.

    *metric* is the field by which metrics are named, or the name itself. With *names*, only
    calls with these values are published, under the names that stand for them. *varies* is the
    field that may have values without end: beyond the budget it becomes `OTHERS`.
    """

    name: str
    namespace: str
    metric: str
    dimensions: tuple[str, ...]
    varies: str
    names: Mapping[str, str] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """What has to be known of calls, as `tally.group` takes it."""
        named = (self.metric,) if self.metric in FIELDS else ()
        return (*named, *self.dimensions, "second")


API: Final = MetricSet(
    "api", "API-COUNT", "eventName", ("awsRegion", "eventSource"), varies="eventName"
)
SETS: Final = {
    each.name: each
    for each in (
        API,
        MetricSet("service", USAGE, CALLS, ("awsRegion", "eventSource"), "eventSource"),
        MetricSet(
            "account", USAGE, CALLS, ("awsRegion", "recipientAccountId"), "recipientAccountId"
        ),
        MetricSet(
            "outcomes",
            USAGE,
            "outcome",
            ("awsRegion", "eventSource", "eventName"),
            "eventName",
            OUTCOMES,
        ),
        MetricSet("callers", USAGE, CALLS, ("awsRegion", "caller"), "caller"),
        MetricSet(
            "throttled-callers",
            USAGE,
            "outcome",
            ("awsRegion", "eventSource", "caller"),
            "caller",
            {"throttled": "Throttled"},
        ),
    )
}
"""Every set by its name, in the order in which they are published."""


class Rules(Struct, frozen=True):
    """
    Which calls are published: those that *include* matches, but not those that *exclude* does.

    Both map fields to globs, as `Selection.where` does. An empty *include* matches all. Of
    *exclude* each field stands alone: one that matches is enough.
    """

    include: dict[str, tuple[str, ...]] = {}
    exclude: dict[str, tuple[str, ...]] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have to be known, beside the second."""
        rules = (Selection(where=self.include), Selection(where=self.exclude))
        return tuple(dict.fromkeys(field for rule in rules for field in rule.plain))


class Choice(Struct, frozen=True):
    """
    Which calls become which metrics, as settings say it and as it can be kept.

    *metrics* are names of sets; *include* and *exclude* are rules, each a text of ``FIELD=GLOB``
    separated by spaces. *recorded* are globs of accounts whose calls count in their account only.
    """

    namespace: str = API.namespace
    metrics: tuple[str, ...] = (API.name,)
    include: str = ""
    exclude: str = ""
    recorded: str = ""

    @property
    def sets(self) -> list[MetricSet]:
        """The sets, in their namespaces."""
        return [within(each, self.namespace) for name, each in SETS.items() if name in self.metrics]

    @property
    def rules(self) -> Rules:
        """The rules. `UsageError` if one is none."""
        return Rules(parse_where(self.include.split()), parse_where(self.exclude.split()))

    @property
    def fields(self) -> tuple[str, ...]:
        """What calls have to be counted by: first what the set `API` takes, chosen or not."""
        wanted = (*API.fields, *(f for each in self.sets for f in each.fields), *self.rules.fields)
        return tuple(dict.fromkeys(wanted))


def parse_names(text: str) -> list[str]:
    """Read the names of sets, as a setting has them: separated by commas or spaces."""
    return text.replace(",", " ").split()


def within(metrics: MetricSet, namespace: str) -> MetricSet:
    """Give the set as it is where the tracker's namespace is *namespace*."""
    return replace(metrics, namespace=namespace if metrics is API else namespace + USAGE)


def require_sets(names: Collection[str]) -> None:
    """`UsageError` unless all *names* are of sets, and there is one."""
    for name in names or ("",):
        if name not in SETS:
            raise UsageError(f"{name!r} is no metric set: choose from {', '.join(SETS)}")


def publishes(choice: Choice, namespace: str, name: str, dimensions: Mapping[str, str]) -> bool:
    """
    Return whether *choice* may ever publish the metric *name* with *dimensions* in *namespace*.

    A dimension with an empty value may have any. Metrics of the overflow count as published.
    """
    if OTHERS in (name, *dimensions.values()):
        return True
    for metrics in choice.sets:
        if (metrics.namespace, {*metrics.dimensions}) != (namespace, {*dimensions}):
            continue
        known = {field: value for field, value in dimensions.items() if value}
        outcomes = [outcome for outcome, named in metrics.names.items() if named == name]
        if outcomes:
            known["outcome"] = outcomes[0]
        elif metrics.metric in FIELDS and not metrics.names:
            known[metrics.metric] = name
        elif metrics.metric != name:
            continue
        if not _leaves_out(choice.rules, known):
            return True
    return False


def _leaves_out(rules: Rules, known: Mapping[str, str]) -> bool:
    """
    Return whether *rules* leave out every call with the *known* values, whatever its others are.

    A value that was made valid for CloudWatch, and so ends in ``~`` and a hash, tells nothing.
    """
    told = {field: value for field, value in known.items() if "~" not in value}
    missed = (not matcher(f, g)(told[f]) for f, g in rules.include.items() if f in told)
    excluded = (matcher(f, g)(told[f]) for f, g in rules.exclude.items() if f in told)
    return any(missed) or any(excluded)


def sift(counts: Mapping[Row, int], fields: Sequence[str], rules: Rules) -> Mapping[Row, int]:
    """Give of *counts* by *fields* those that *rules* let through."""
    if not (rules.include or rules.exclude):
        return counts
    second = fields.index("second")
    included = predicate(Selection(where=rules.include), fields)
    excluded = [predicate(Selection(where={f: g}), fields) for f, g in rules.exclude.items()]
    return {
        row: n
        for row, n in counts.items()
        if included(row[second], row) and not any(test(row[second], row) for test in excluded)
    }


def project(
    counts: Mapping[Row, int], fields: Sequence[str], metrics: MetricSet
) -> Mapping[Row, int]:
    """
    Give *counts* by *fields* as *metrics* tells them apart: by series and second.

    An absent value and `ABSENT` are the same.
    """
    asis = (*fields,) == metrics.fields and not metrics.names
    if asis and not any("" in row for row in counts):
        return counts
    pick = itemgetter(*(fields.index(f) for f in (*metrics.dimensions, "second")))
    first = fields.index(metrics.metric) if metrics.metric in FIELDS else None
    found: Counter[Row] = Counter()
    for row, n in counts.items():
        name = metrics.metric if first is None else row[first]
        if metrics.names:
            name = metrics.names.get(name)
            if name is None:
                continue
        found[tuple([ABSENT if value == "" else value for value in (name, *pick(row))])] += n
    return found


def others(metrics: MetricSet) -> MetricSet:
    """
    Give the set in which the calls are that are beyond the budget of *metrics*.

    Those of `API` are in another namespace, so that whoever adds up *namespace* by name finds
    names of APIs only.
    """
    if metrics.name != API.name:
        return metrics
    return replace(metrics, name="other", namespace=metrics.namespace + USAGE)


def other(series: Series, metrics: MetricSet) -> Series:
    """Give the series that stands for *series* beyond the budget of *metrics*."""
    at = (metrics.metric, *metrics.dimensions).index(metrics.varies)
    return (*series[:at], OTHERS, *series[at + 1 :])


def budget_of_others(budget: int) -> int:
    """Say how many metrics stand for what is beyond *budget*: a tenth as many again, at most."""
    return max(1, budget // 10)


def divert(
    counts: Mapping[Row, int],
    metrics: MetricSet,
    beyond: AbstractSet[Series],
    further: AbstractSet[Series],
) -> tuple[dict[Row, int], Counter[Row]]:
    """
    Part *counts* of *metrics* from those whose series are *beyond* the budget.

    These are counted together, as `other` says; and where even that is among *further*, without
    any dimension that tells them apart.
    """
    stay: dict[Row, int] = {}
    moved: Counter[Row] = Counter()
    for row, n in counts.items():
        series = row[:-1]
        if series not in beyond:
            stay[row] = n
            continue
        series = other(series, metrics)
        if series in further:
            named = OTHERS if metrics.varies == metrics.metric else series[0]
            series = (named, *[OTHERS] * len(metrics.dimensions))
        moved[(*series, row[-1])] += n
    return stay, moved


def to_bits(some: AbstractSet[Series], among: Iterable[Series]) -> bytes:
    """Write *some* as one bit for each of *among*, in their order; nothing if there are none."""
    number = sum(1 << at for at, each in enumerate(sorted(among)) if each in some)
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def from_bits(bits: bytes, among: Iterable[Series]) -> set[Series]:
    """Read what `to_bits` wrote."""
    number: Any = int.from_bytes(bits, "little")
    return {each for at, each in enumerate(sorted(among)) if number >> at & 1} if number else set()
