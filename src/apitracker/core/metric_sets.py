"""Metric sets to choose by name, and the rules that keep calls out of them."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from apitracker.core.counts import Counts
from apitracker.core.fields import FIELDS
from apitracker.core.selection import Selection, matcher, parse_where
from apitracker.errors import UsageError
from apitracker.settings import DEFAULTS

USAGE: Final = "/Usage"  # behind a namespace: the place of counts that are not by API
OVERFLOW: Final = "__other__"  # stands for the value that varies, beyond the budget of metrics
ABSENT: Final = "-"  # stands for a missing value, as the predecessor publishes it
CALLS: Final = "Calls"
OUTCOMES: Final = {"throttled": "Throttled", "denied": "Denied", "failed": "Failed"}


class Series(NamedTuple):
    """A metric: its name, and the values of its dimensions in the order of its set."""

    name: str
    values: tuple[str, ...]


SeriesCounts: TypeAlias = dict[tuple[Series, int], int]
"""The calls of each series and second."""


class MetricSet(Struct, frozen=True):
    """
    One way to publish calls, as metrics in *namespace* with *dimensions* named by fields.

    *metric* is the field by which metrics are named, or the name itself. With *names*, only
    calls with these values are published, under the names that stand for them. *varies* is the
    field that may have values without end: beyond the budget it becomes `OVERFLOW`.
    """

    name: str
    namespace: str
    metric: str
    dimensions: tuple[str, ...]
    varies: str
    names: Mapping[str, str] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that calls have to be counted by."""
        named = (self.metric,) if self.metric in FIELDS else ()
        return (*named, *self.dimensions, "second")

    def value(self, series: Series, field: str) -> str:
        """Return the value in *series* of *field*, a dimension or the field that names metrics."""
        if field == self.metric:
            return series.name
        return series.values[self.dimensions.index(field)]


API: Final = MetricSet(
    "api", DEFAULTS.namespace, "eventName", ("awsRegion", "eventSource"), varies="eventName"
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


CountsBySet: TypeAlias = list[tuple[MetricSet, SeriesCounts]]
"""The counts of each metric set that has any."""


class Rules(Struct, frozen=True):
    """
    The rules for publishing calls: those that *include* matches, without those of *exclude*.

    Both map fields to globs, as `Selection.where` does. An empty *include* matches all. Each field
    of *exclude* stands alone: one that matches is enough.
    """

    include: dict[str, tuple[str, ...]] = {}
    exclude: dict[str, tuple[str, ...]] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have to be known, beside the second."""
        rules = (Selection(where=self.include), Selection(where=self.exclude))
        return tuple(dict.fromkeys(field for rule in rules for field in rule.plain))


class MetricSelection(Struct, frozen=True):
    """
    The metrics to publish and the calls to publish them of, as the ledger can keep it.

    *metrics* are names of sets; *include* and *exclude* are rules, each a text of ``FIELD=GLOB``
    separated by spaces. *recorded_accounts* are globs of accounts, separated by spaces, whose
    calls count in their own account only.
    """

    namespace: str = API.namespace
    metrics: tuple[str, ...] = (API.name,)
    include: str = ""
    exclude: str = ""
    recorded_accounts: str = field(default="", name="recorded")

    @property
    def sets(self) -> list[MetricSet]:
        """The sets, in their namespaces."""
        return [within(each, self.namespace) for name, each in SETS.items() if name in self.metrics]

    @property
    def rules(self) -> Rules:
        """The rules. `UsageError` if one is not a rule."""
        return Rules(parse_where(self.include.split()), parse_where(self.exclude.split()))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields to count calls by: those of the set `API`, selected or not, come first."""
        wanted = (*API.fields, *(f for each in self.sets for f in each.fields), *self.rules.fields)
        return tuple(dict.fromkeys(wanted))


def parse_names(text: str) -> list[str]:
    """Read the names of sets, separated by commas or spaces as in a setting."""
    return text.replace(",", " ").split()


def within(metrics: MetricSet, namespace: str) -> MetricSet:
    """Return *metrics* as the set is where the tracker's namespace is *namespace*."""
    apart = "" if metrics.name == API.name else USAGE
    return replace(metrics, namespace=namespace + apart)


def require_sets(names: Collection[str]) -> None:
    """Raise `UsageError` unless all *names* are of sets, and there is one."""
    for name in names or ("",):
        if name not in SETS:
            raise UsageError(f"{name!r} is not a metric set: choose from {', '.join(SETS)}")


def publishes(
    selection: MetricSelection, namespace: str, name: str, dimensions: Mapping[str, str]
) -> bool:
    """
    Return whether *selection* may ever publish the metric *name* with *dimensions* in *namespace*.

    A dimension with an empty value may have any. Metrics of the overflow count as published.
    """
    if OVERFLOW in (name, *dimensions.values()):
        return True
    for metrics in selection.sets:
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
        if not _leaves_out(selection.rules, known):
            return True
    return False


def _leaves_out(rules: Rules, known: Mapping[str, str]) -> bool:
    """
    Return whether *rules* leave out every call with the *known* values.

    A value that was made valid for CloudWatch, and so ends in ``~`` and a hash, tells nothing.
    """
    told = {field: value for field, value in known.items() if "~" not in value}
    missed = (not matcher(f, g)(told[f]) for f, g in rules.include.items() if f in told)
    excluded = (matcher(f, g)(told[f]) for f, g in rules.exclude.items() if f in told)
    return any(missed) or any(excluded)


def count_by_set(counts: Counts, selection: MetricSelection) -> tuple[CountsBySet, int]:
    """Return the counts of each set of *selection*, and how many calls its rules exclude."""
    kept = apply_rules(counts, selection.rules)
    shares = [(metrics, by_series(kept, metrics)) for metrics in selection.sets]
    return [(metrics, share) for metrics, share in shares if share], counts.calls - kept.calls


def apply_rules(counts: Counts, rules: Rules) -> Counts:
    """Return the calls of *counts* that *rules* let through."""
    return counts.where(rules.include).without(rules.exclude)


def by_series(counts: Counts, metrics: MetricSet) -> SeriesCounts:
    """
    Return *counts* by the series of *metrics* and second.

    An absent value and `ABSENT` are the same.
    """
    if metrics.names:
        counts = counts.only(tell_counted(counts, metrics))
    keys = list(zip(series_of(counts, metrics), counts.times("second"), strict=True))
    found: SeriesCounts = dict(zip(keys, counts.numbers, strict=True))
    if len(found) < len(keys):  # some rows are of one series
        found = dict.fromkeys(keys, 0)
        for key, calls in zip(keys, counts.numbers, strict=True):
            found[key] += calls
    return found


def tell_counted(counts: Counts, metrics: MetricSet) -> list[bool]:
    """Tell for each row of *counts* whether *metrics* count its calls."""
    if not metrics.names:
        return [True] * len(counts.rows)
    return [value in metrics.names for value in counts.texts(metrics.metric)]


def series_of(counts: Counts, metrics: MetricSet) -> Iterator[Series]:
    """Return the series of each row of *counts*, all of which *metrics* count."""
    if metrics.names:
        names = [metrics.names[value] for value in counts.texts(metrics.metric)]
    elif metrics.metric in FIELDS:
        names = counts.texts(metrics.metric)
    else:
        names = [metrics.metric] * len(counts.rows)
    columns = [_published(counts.texts(field)) for field in metrics.dimensions]
    return map(_series, zip(_published(names), zip(*columns, strict=True), strict=True))


_series: Final = partial(tuple.__new__, Series)


def _published(values: list[str]) -> list[str]:
    """Return *values* with `ABSENT` for those that are absent."""
    return [value or ABSENT for value in values] if "" in values else values
