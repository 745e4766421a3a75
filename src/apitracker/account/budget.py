"""
How many distinct metrics a month may have: whoever can call an API must not write the bill.

CloudWatch charges each distinct metric. What is admitted stays so for the month; calls of what
comes after that are counted together, as others, so that the totals stay exact.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec
import pybase64

from apitracker.account import retries
from apitracker.account.ledger import Ledger, admit, admitted
from apitracker.account.retries import Clock, Poster
from apitracker.core.metrics import NAME_LENGTH, VALUE_LENGTH, valid
from apitracker.core.selection import Selection, predicate

ALARMS_SECONDS: Final = 900.0  # that what alarms name is remembered
HASH_BYTES: Final = 9  # of a metric's name and dimensions, which is twelve letters of base64

Series: TypeAlias = tuple[str, ...]
"""A metric's name and the values of its dimensions."""

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
    keep: Mapping[str, tuple[str, ...]], fields: tuple[str, ...], alarmed: Callable[[float], Test]
) -> Callable[[float], Test]:
    """Make the test of what is always admitted: *keep*, by globs of *fields*, and *alarmed*."""
    kept = predicate(Selection(where=dict(keep)), fields) if keep else None

    def make(deadline: float) -> Test:
        named = alarmed(deadline)
        return lambda series: bool(kept and kept(0, series)) or named(series)

    return make


class Alarmed:
    """What alarms name, asked of CloudWatch now and then."""

    def __init__(
        self, poster: Poster, clock: Clock, namespace: str, dimensions: tuple[str, ...]
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._namespace = namespace
        self._dimensions = dimensions
        self._asked = 0.0
        self._names: frozenset[str] = frozenset()
        self._metrics: frozenset[Series] = frozenset()

    def __call__(self, deadline: float) -> Test:
        """Give the test of a series: does an alarm name it? `ServiceError` if nobody can tell."""
        if self._clock.now() - self._asked > ALARMS_SECONDS:
            self._names, self._metrics = self._ask(deadline)
            self._asked = self._clock.now()
        return self._is_named

    def _is_named(self, series: Series) -> bool:
        name, *values = series
        name = valid(name, NAME_LENGTH)
        return (
            name in self._names
            or (name, *(valid(value, VALUE_LENGTH) for value in values)) in self._metrics
        )

    def _ask(self, deadline: float) -> tuple[frozenset[str], frozenset[Series]]:
        names: set[str] = set()
        metrics: set[Series] = set()
        token = ""
        while True:
            body = {"AlarmTypes": ["MetricAlarm"], "MaxRecords": 100}
            answer = self._page(body | ({"NextToken": token} if token else {}), deadline)
            for alarm in answer.get("MetricAlarms", ()):
                queries = alarm.get("Metrics") or ()
                stats = [
                    query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query
                ]
                metrics.update(filter(None, map(self._series, [alarm, *stats])))
                for query in queries:
                    names.update(self._words(query.get("Expression") or ""))
            token = answer.get("NextToken") or ""
            if not token:
                return frozenset(names), frozenset(metrics)

    def _page(self, body: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
        response = retries.send(
            self._poster,
            "DescribeAlarms",
            msgspec.json.encode(body),
            self._clock,
            deadline=deadline,
        )
        if response.status >= 300:  # noqa: PLR2004 - HTTP's own bound of success
            raise retries.refusal("DescribeAlarms", response)
        return msgspec.json.decode(response.body, type=dict[str, Any])

    def _series(self, metric: Mapping[str, Any]) -> Series | None:
        """Give the series of *metric* if it is in our namespace and has our dimensions."""
        given = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()}
        if metric.get("Namespace") != self._namespace or given.keys() != {*self._dimensions}:
            return None
        return (metric["MetricName"], *(given[name] for name in self._dimensions))

    def _words(self, expression: str) -> Iterable[str]:
        """Give what may be a metric's name in a query or a search over our namespace."""
        if f'"{self._namespace}"' not in expression:
            return ()
        return re.findall(r"""[^\s"'(),{}=<>]+""", expression)


def _hash(series: Series) -> str:
    digest = blake2b(ascii(series).encode(), digest_size=HASH_BYTES).digest()
    return pybase64.b64encode(digest).decode()
