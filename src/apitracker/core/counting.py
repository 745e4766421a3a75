"""
The one counting road: `read_log` counts the calls of one log, `merge` adds up many logs.

`read_log` is pure: bytes in, arrays out. It is the seam for worker processes, the Lambda, Spark and
a native core. Its result is small and names the events in it by their hashes, so that `merge` can
remove the duplicates between logs.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress, count, repeat
from operator import attrgetter
from typing import Final, Literal, NamedTuple, TypeVar

from msgspec import Struct

from apitracker.core.balance import Balance, Unread, add_up, repeat_events
from apitracker.core.compression import MAX_BYTES
from apitracker.core.counts import Counts
from apitracker.core.fields import WIDTHS, Row, rows, start_times
from apitracker.core.model import Call, Log, Rejected
from apitracker.core.origins import origin_of
from apitracker.core.own_calls import Own
from apitracker.core.records import parts
from apitracker.core.selection import ALL, Selection, match_each

OUTSIDE: Final = -1
"""The series of calls that were not selected."""

NO_EVENT: Final = 0x2D06800538D394C2
"""The hash of an absent eventID, XXH3 of no bytes: such a record is never a duplicate."""

Thing = TypeVar("Thing")


class Query(Struct, frozen=True):
    """
    The calls to count in each log, and the fields to count them *by*.

    *max_bytes* is the most that a log may hold when inflated. *recorded* are globs of accounts
    whose calls count in their own account only; calls that tracking by *own* caused are skipped,
    both as in `records.parts`. *event_bits* is the length of the event identities to return: 0
    where logs are not merged, 64 for the store, 128 for an archive. Where duplicates are kept
    nobody needs any.
    """

    by: tuple[str, ...]
    selection: Selection = ALL
    max_bytes: int = MAX_BYTES
    keep_duplicates: bool = False
    recorded: tuple[str, ...] = ()
    own: Own | None = None
    event_bits: Literal[0, 64, 128] = 64

    @property
    def identified(self) -> bool:
        """Whether events have to be told from those of other logs."""
        return self.event_bits > 0 and not self.keep_duplicates

    @property
    def time(self) -> str | None:
        """The shortest time asked for: second, minute, hour, day or none."""
        return next((field for field in WIDTHS if field in self.by), None)

    @property
    def plain(self) -> tuple[str, ...]:
        """The fields asked for that are not times."""
        return tuple(field for field in self.by if field not in WIDTHS)


class PartialCount(Struct, frozen=True):
    """
    The counts of one log, by its *id* and *name*, before duplicates between logs are removed.

    Row i stands for ``counts[i]`` calls at ``times[i]`` (the start of the shortest time asked
    for, 0 where none was) of series ``series[i]``; ``table[series]`` holds the series' values of
    the query's plain fields. Calls that were not selected are in a row whose series is `OUTSIDE`.

    Event i, one for each counted record, is in row ``event_rows[i]``; ``events[i]`` is the hash
    of its eventID, `NO_EVENT` where it has none, and ``events_2[i]`` the other 64 bits of a hash of
    128. It stands for ``weights[i]`` calls, or for one where *weights* is empty. These four arrays
    are empty where the query needs no identities. *origin* is the origin of the first call, as in
    `core.origins`, empty where there is none.
    """

    id: str
    name: str
    table: list[Row]
    times: "array[int]"
    series: "array[int]"
    counts: "array[int]"
    event_rows: "array[int]"
    events: "array[int]"
    events_2: "array[int]"
    weights: "array[int]"
    balance: Balance
    origin: str = ""


class Counted(NamedTuple):
    """The counts of logs, and the balance of their records."""

    counts: Counts
    balance: Balance


# --- one log ------------------------------------------------------------------------------------


def read_log(log: Log, query: Query) -> PartialCount:
    """Count the calls of *log* as *query* asks. `LogError` if it cannot be read whole."""
    selection = query.selection
    time = "second" if selection.timed else query.time
    plain = tuple(dict.fromkeys((*query.plain, *selection.plain)))
    table: defaultdict[Row, int] = _number()
    pairs: defaultdict[tuple[int, int], int] = _number()
    event_rows, events, events_2, weights = array("I"), array("Q"), array("Q"), array("Q")
    received = duplicates = 0
    skipped: Counter[str] = Counter()
    rejected: list[Rejected] = []
    origin = ""
    fields = (*query.by, *selection.where)
    for part in parts(
        log, max_bytes=query.max_bytes, fields=fields, recorded=query.recorded, own=query.own
    ):
        calls = part.calls + part.duplicates if query.keep_duplicates else part.calls
        times = start_times(calls, time) if time else repeat(0, len(calls))
        numbers = map(table.__getitem__, rows(calls, plain))
        event_rows.extend(map(pairs.__getitem__, zip(times, numbers, strict=True)))
        received += part.received
        duplicates += 0 if query.keep_duplicates else len(part.duplicates)
        if query.identified:
            _identify(calls, query.event_bits, events, events_2)
        _weigh(calls, len(event_rows), weights)
        skipped.update(part.skipped)
        rejected.extend(part.rejected)
        if not origin and calls:
            origin = origin_of(calls[0].eventID)
    seconds = [second for second, _ in pairs] if time == "second" else []
    if selection != ALL:
        table, pairs, event_rows = _select(table, pairs, event_rows, query, plain)
    counted = len(event_rows)
    # Rows are numbered in the order in which they come, and so are a Counter's keys.
    records = Counter(event_rows)
    outside = pairs.get((0, OUTSIDE))
    counts = array("Q", _sums(event_rows, weights) if weights else records.values())
    if not query.identified:
        event_rows, weights = array("I"), array("Q")
    return PartialCount(
        log.id,
        log.name,
        list(table),
        array("q", [time for time, _ in pairs]),
        array("i", [series for _, series in pairs]),
        counts,
        event_rows,
        events,
        events_2,
        weights,
        Balance(
            logs=1,
            received=received,
            counted=counted,
            duplicates=duplicates,
            skipped=skipped,
            rejected=len(rejected),
            not_selected=0 if outside is None else records[outside],
            rejections=tuple((log.name, each) for each in rejected),
            first=min(seconds, default=None),
            last=max(seconds, default=None),
        ),
        origin,
    )


def _number() -> defaultdict[Thing, int]:
    """Number things from 0 on, in the order in which they are looked up first."""
    return defaultdict(count().__next__)


def _identify(
    calls: Sequence[Call], bits: int, events: "array[int]", events_2: "array[int]"
) -> None:
    """Append hashes of *bits* bits of the eventIDs of *calls*."""
    # The Lambda needs none, and has no xxhash.
    from apitracker.core.identity import first_half, second_half  # noqa: PLC0415

    texts = [call.eventID.encode() for call in calls]
    events.extend(map(first_half, texts))
    if bits == 128:  # noqa: PLR2004
        events_2.extend(map(second_half, texts))


def _weigh(calls: Sequence[Call], length: int, weights: "array[int]") -> None:
    """
    Append to *weights* how many calls each of *calls*, the last of *length*, stands for.

    As long as each stands for one, *weights* stays empty.
    """
    numbers = list(map(attrgetter("calls"), calls))
    if weights or numbers.count(1) != len(numbers):
        weights.extend(repeat(1, length - len(weights) - len(numbers)))  # those before
        weights.extend(numbers)


def _sums(event_rows: "array[int]", weights: "array[int]") -> Iterable[int]:
    """Return the calls of each row, in the order of the rows."""
    found: dict[int, int] = {}
    for row, calls in zip(event_rows, weights, strict=True):
        found[row] = found.get(row, 0) + calls
    return found.values()


def _select(
    table: defaultdict[Row, int],
    pairs: defaultdict[tuple[int, int], int],
    event_rows: "array[int]",
    query: Query,
    plain: tuple[str, ...],
) -> "tuple[defaultdict[Row, int], defaultdict[tuple[int, int], int], array[int]]":
    """
    Reduce *table* and *pairs* to the fields that *query* asks for, and renumber *event_rows*.

    *plain* are the fields of *table*: those of the query, then those that only its selection
    takes. Calls that are not selected go into one row, of the series `OUTSIDE`.
    """
    width = WIDTHS[query.time] if query.time else 0
    known = list(table)
    wanted = _match_series(known, plain, query.selection)
    timely = _match_times({second for second, at in pairs if wanted[at]}, query.selection)
    asked: defaultdict[Row, int] = _number()
    kept: defaultdict[tuple[int, int], int] = _number()
    new_rows = array("I")  # by the old ones
    for second, series in pairs:
        if wanted[series] and second in timely:
            time = second - second % width if width else 0
            values = known[series][: len(query.plain)]  # without the selection's own fields
            new_rows.append(kept[time, asked[values]])
        else:
            new_rows.append(kept[0, OUTSIDE])
    return asked, kept, array("I", map(new_rows.__getitem__, event_rows))


def _match_series(table: Sequence[Row], plain: Sequence[str], selection: Selection) -> list[bool]:
    """Return for each series of *table* whether its values of the *plain* fields are selected."""
    columns = dict(zip(plain, zip(*table, strict=True), strict=True)) if table else {}
    tested = [match_each(columns[f], f, selection.where[f]) for f in selection.plain if columns]
    return (
        [all(matches) for matches in zip(*tested, strict=True)] if tested else [True] * len(table)
    )


def _match_times(seconds: Iterable[int], selection: Selection) -> set[int]:
    """Return those of *seconds* that are selected."""
    found = [second for second in seconds if selection.spans(second)]
    for field, globs in selection.where.items():
        if width := WIDTHS.get(field):
            matches = match_each([second - second % width for second in found], field, globs)
            found = list(compress(found, matches))
    return set(found)


# --- many logs ----------------------------------------------------------------------------------


def merge(partials: Iterable[PartialCount | Unread | Balance], query: Query) -> Counted:
    """
    Add up *partials*, all read for *query*, and count each event once.

    Balances of logs that were not read, and logs that could not be, are passed through. A log that
    is the same as an earlier one is not counted again, nor is an event that an earlier log has,
    unless the query keeps duplicates. The balance accounts for every record.
    """
    merging = _Merging(query)
    balance = add_up(map(merging.take, partials))
    return Counted(merging.counts(), balance)


class _Merging:
    """The running sums of one `merge`."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._logs: set[str] = set()
        self._events: set[int] = set()
        self._numbers: dict[Row, int] = {}
        self._sums: dict[tuple[int, int], int] = {}

    def take(self, partial: PartialCount | Unread | Balance) -> Balance:
        """Add *partial* to the sums, and return its balance among the logs before it."""
        if isinstance(partial, Balance):
            return partial
        if isinstance(partial, Unread):
            return Balance(unread=(partial,))
        if partial.id in self._logs and not self._query.keep_duplicates:
            return Balance(known=1)
        self._logs.add(partial.id)
        counts, balance = partial.counts, partial.balance
        if not self._events.isdisjoint(partial.events):
            counts, balance = _without(partial, self._events)
        self._events.update(partial.events)
        self._events.discard(NO_EVENT)
        self._add(partial, counts)
        return balance

    def _add(self, partial: PartialCount, counts: "array[int]") -> None:
        numbers = self._numbers
        known = [numbers.setdefault(row, len(numbers)) for row in partial.table]
        known.append(OUTSIDE)  # the last one, which is known[OUTSIDE], as OUTSIDE is -1
        pairs = zip(partial.times, map(known.__getitem__, partial.series), strict=True)
        new = dict(zip(pairs, counts, strict=True))
        if not self._sums:
            self._sums = new
            return
        # Most keys are new, and no Python code runs for those.
        for key in self._sums.keys() & new.keys():
            new[key] += self._sums[key]
        self._sums.update(new)

    def counts(self) -> Counts:
        """Return the selected calls by the fields of the query."""
        sums = self._sums
        sums.pop((0, OUTSIDE), None)
        if 0 in sums.values():
            sums = {key: n for key, n in sums.items() if n}
        times = [time for time, _ in sums]
        numbers = [number for _, number in sums]
        table = dict(zip(self._query.plain, zip(*self._numbers, strict=True), strict=False))
        columns: list[Iterable[str | int]] = []
        for field in self._query.by:
            if field == self._query.time:
                columns.append(times)
            elif width := WIDTHS.get(field):
                columns.append([time - time % width for time in times])
            else:
                columns.append(map(table[field].__getitem__, numbers) if numbers else ())
        if not columns:
            total = sum(sums.values())
            return Counts((), {(): total} if total else {})
        found = dict(zip(zip(*columns, strict=True), sums.values(), strict=True))
        return Counts(self._query.by, found)


def _without(partial: PartialCount, events: set[int]) -> "tuple[array[int], Balance]":
    """Return the counts and the balance of *partial* without the events that *events* has."""
    counts = partial.counts[:]
    weights = partial.weights or repeat(1)
    repeated = outside = 0
    for row, event, calls in zip(partial.event_rows, partial.events, weights, strict=False):
        if event in events:
            counts[row] -= calls
            repeated += 1
            outside += partial.series[row] == OUTSIDE
    return counts, repeat_events(partial.balance, repeated, not_selected=outside)
