"""
The monthly budget of distinct metrics: a caller of APIs must not be able to raise the bill.

CloudWatch charges each distinct metric. A metric that was admitted stays so for the month; calls
of metrics beyond the budget are counted together, as overflow, so that totals stay exact.
"""

import re
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec
import pybase64
from msgspec import Struct

from apitracker.core.datums import NAME_LENGTH, VALUE_LENGTH, Dimension, valid
from apitracker.core.metric_sets import MetricSet, Series
from apitracker.core.selection import matcher
from apitracker.tracker import retries
from apitracker.tracker.ledger import Ledger, admit, admitted
from apitracker.tracker.retries import Clock, Poster

ALARMS_SECONDS: Final = 900.0  # that the metrics of alarms are remembered
WORD: Final = re.compile(r"""[^\s"'(),{}=<>]+""")  # of a query: a name may be one
HASH_BYTES: Final = 9  # of a metric's name and dimensions, which is twelve letters of base64

SeriesTest: TypeAlias = Callable[[Series], bool]


class Budget:
    """
    Monthly cap on distinct metrics: at most *most*, plus any that an exemption matches.

    *name* tells budgets apart in the ledger. *exempt* makes the test for exemptions, by a deadline.
    """

    def __init__(
        self, name: str, most: int, exempt: Callable[[float], SeriesTest] | None = None
    ) -> None:
        self._name = name
        self._most = most
        self._exempt = exempt
        self._month = ""
        self._known: set[Series] = set()
        self._hashes: frozenset[str] | None = None

    def beyond(
        self, series: AbstractSet[Series], ledger: Ledger | None, *, now: float, deadline: float
    ) -> set[Series]:
        """
        Admit *series* as far as there is room, and return those that are beyond the budget.

        Without a *ledger* only this process remembers the admitted metrics. `ServiceError` if the
        ledger, or the alarms, cannot be read by *deadline*; *now* and *deadline* are in seconds
        since 1970.
        """
        month = time.strftime("%Y-%m", time.gmtime(now))
        if month != self._month:
            self._month, self._known, self._hashes = month, set(), None
        unknown = series - self._known
        if not unknown:
            return set()
        hashes = {each: _hash(each) for each in sorted(unknown)}
        key = f"metrics/{self._name}/{month}"
        found = self._hashes
        if found is None:
            found = admitted(ledger, key, deadline=deadline) if ledger else frozenset()
        while wanted := [h for h in hashes.values() if h not in found]:
            some = wanted[: max(0, self._most - len(found))]
            if not some:
                break
            if ledger:
                room = self._most - len(some)
                found = admit(ledger, key, some, room=room, deadline=deadline)
            else:
                found |= {*some}
        self._hashes = found
        self._known |= {each for each, h in hashes.items() if h in found}
        left = {each for each in unknown if each not in self._known}
        if left and self._exempt:
            test = self._exempt(deadline)
            left -= {each for each in left if test(each)}
        return left


def exemptions(
    keep: Mapping[str, tuple[str, ...]], metrics: MetricSet, alarmed: "AlarmedMetrics"
) -> Callable[[float], SeriesTest]:
    """
    Return the exemptions of *metrics* from its budget: series that *keep* or an alarm names.

    *keep* maps fields to globs; each field stands alone, and one that matches is enough.
    """
    places = (metrics.metric, *metrics.dimensions)
    kept = [(field, matcher(field, globs)) for field, globs in keep.items() if field in places]

    def make(deadline: float) -> SeriesTest:
        alarmed.refresh(deadline)
        return lambda series: (
            any(matches(metrics.value(series, field)) for field, matches in kept)
            or alarmed.names(series, metrics)
        )

    return make


class _Metric(Struct, rename="pascal"):
    namespace: str | None = None
    metric_name: str | None = None
    dimensions: list[Dimension] | None = None


class _Stat(Struct, rename="pascal"):
    metric: _Metric


class _Query(Struct, rename="pascal"):
    metric_stat: _Stat | None = None
    expression: str | None = None


class _Alarm(_Metric, rename="pascal"):
    metrics: list[_Query] | None = None


class _Alarms(Struct, rename="pascal"):
    """The answer of DescribeAlarms, as far as it is used."""

    metric_alarms: list[_Alarm] = []
    next_token: str | None = None


class AlarmedMetrics:
    """The metrics that alarms name, read from CloudWatch now and then."""

    def __init__(self, poster: Poster, clock: Clock) -> None:
        self._poster = poster
        self._clock = clock
        self._asked = 0.0
        self._metrics: frozenset[tuple[str, str, frozenset[tuple[str, str]]]] = frozenset()
        self._expressions: tuple[tuple[str, frozenset[str]], ...] = ()

    def refresh(self, deadline: float) -> None:
        """Read the alarms, unless that was a short while ago. `ServiceError` by *deadline*."""
        if self._clock.now() - self._asked > ALARMS_SECONDS:
            self._read(deadline)
            self._asked = self._clock.now()

    def names(self, series: Series, metrics: MetricSet) -> bool:
        """Return whether an alarm names *series* of *metrics*, or a query may mean it."""
        name = valid(series.name, NAME_LENGTH)
        values = tuple(valid(value, VALUE_LENGTH) for value in series.values)
        pairs = frozenset(zip(metrics.dimensions, values, strict=True))
        word = metrics.value(Series(name, values), metrics.varies)
        return (metrics.namespace, name, pairs) in self._metrics or any(
            word in words and f'"{metrics.namespace}"' in text for text, words in self._expressions
        )

    def _read(self, deadline: float) -> None:
        metrics = set()
        expressions = []
        token = ""
        while True:
            body = {"AlarmTypes": ["MetricAlarm"], "MaxRecords": 100}
            answer = self._describe(body | ({"NextToken": token} if token else {}), deadline)
            for alarm in answer.metric_alarms:
                queries = alarm.metrics or ()
                stats = [query.metric_stat.metric for query in queries if query.metric_stat]
                for each in (alarm, *stats):
                    pairs = frozenset((d.name, d.value) for d in each.dimensions or ())
                    metrics.add((each.namespace or "", each.metric_name or "", pairs))
                for query in queries:
                    text = query.expression or ""
                    expressions.append((text, frozenset(WORD.findall(text))))
            token = answer.next_token or ""
            if not token:
                break
        self._metrics, self._expressions = frozenset(metrics), tuple(expressions)

    def _describe(self, body: Mapping[str, Any], deadline: float) -> _Alarms:
        response = retries.send(
            self._poster,
            "DescribeAlarms",
            msgspec.json.encode(body),
            self._clock,
            deadline=deadline,
        )
        if not response.ok:
            raise retries.refusal("DescribeAlarms", response)
        return retries.decode("DescribeAlarms", response, _Alarms)


def _hash(series: Series) -> str:
    # As one flat tuple: the hashes in the ledger were made so.
    flat = ascii((series.name, *series.values))
    digest = blake2b(flat.encode(), digest_size=HASH_BYTES).digest()
    return pybase64.b64encode(digest).decode()
