"""
How many distinct metrics a month may have: whoever can call an API must not write the bill.

CloudWatch charges each distinct metric. What is admitted stays so for the month; calls of what
comes after that are counted together, as others, so that the totals stay exact.
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

ALARMS_SECONDS: Final = 900.0  # that what alarms name is remembered
WORD: Final = re.compile(r"""[^\s"'(),{}=<>]+""")  # of a query: a name may be one
HASH_BYTES: Final = 9  # of a metric's name and dimensions, which is twelve letters of base64

Test: TypeAlias = Callable[[Series], bool]


class Budget:
    """
    The metrics that a month admits: *most* of them, and what *always* matches besides.

    *name* tells budgets apart in the ledger.
    """

    def __init__(self, name: str, most: int, always: Callable[[float], Test] | None = None) -> None:
        self._name = name
        self._most = most
        self._always = always
        self._month = ""
        self._known: set[Series] = set()
        self._hashes: frozenset[str] | None = None

    def beyond(
        self, series: AbstractSet[Series], ledger: Ledger | None, *, now: float, deadline: float
    ) -> set[Series]:
        """
        Admit *series* as far as there is room, and give those that are beyond the budget.

        Without a *ledger* this process alone knows what it has admitted. `ServiceError` if the
        ledger, or what always is admitted, cannot be asked by *deadline*; *now* and *deadline*
        are in seconds since 1970.
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
        if left and self._always:
            test = self._always(deadline)
            left -= {each for each in left if test(each)}
        return left


def always(
    keep: Mapping[str, tuple[str, ...]], metrics: MetricSet, alarmed: "Alarmed"
) -> Callable[[float], Test]:
    """
    Make the test of what *metrics* always admits: what matches *keep*, and what an alarm names.

    *keep* maps fields to globs; each field stands alone, and one that matches is enough.
    """
    places = (metrics.metric, *metrics.dimensions)
    kept = [(field, matcher(field, globs)) for field, globs in keep.items() if field in places]

    def make(deadline: float) -> Test:
        alarmed.ask(deadline)
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
    """What DescribeAlarms answers, as far as it is used."""

    metric_alarms: list[_Alarm] = []
    next_token: str | None = None


class Alarmed:
    """What alarms name, asked of CloudWatch now and then."""

    def __init__(self, poster: Poster, clock: Clock) -> None:
        self._poster = poster
        self._clock = clock
        self._asked = 0.0
        self._metrics: frozenset[tuple[str, str, frozenset[tuple[str, str]]]] = frozenset()
        self._expressions: tuple[tuple[str, frozenset[str]], ...] = ()

    def ask(self, deadline: float) -> None:
        """Ask for the alarms, unless that was a short while ago. `ServiceError` by *deadline*."""
        if self._clock.now() - self._asked > ALARMS_SECONDS:
            self._ask(deadline)
            self._asked = self._clock.now()

    def names(self, series: Series, metrics: MetricSet) -> bool:
        """Say whether an alarm names the metric *series* of *metrics*, or a query may mean it."""
        name = valid(series.name, NAME_LENGTH)
        values = tuple(valid(value, VALUE_LENGTH) for value in series.values)
        pairs = frozenset(zip(metrics.dimensions, values, strict=True))
        word = metrics.value(Series(name, values), metrics.varies)
        return (metrics.namespace, name, pairs) in self._metrics or any(
            word in words and f'"{metrics.namespace}"' in text for text, words in self._expressions
        )

    def _ask(self, deadline: float) -> None:
        metrics = set()
        expressions = []
        token = ""
        while True:
            body = {"AlarmTypes": ["MetricAlarm"], "MaxRecords": 100}
            answer = self._page(body | ({"NextToken": token} if token else {}), deadline)
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

    def _page(self, body: Mapping[str, Any], deadline: float) -> _Alarms:
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
    # As one flat tuple, as hashes of this month were made before.
    flat = ascii((series.name, *series.values))
    digest = blake2b(flat.encode(), digest_size=HASH_BYTES).digest()
    return pybase64.b64encode(digest).decode()
