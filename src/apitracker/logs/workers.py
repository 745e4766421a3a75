"""Logs are read on all cores; what comes back of each is small, and says which events it holds."""

import os
import signal
import sys
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice, repeat
from multiprocessing import get_context, parent_process
from operator import itemgetter
from threading import Thread
from typing import Final, TypeVar

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from apitracker.core.compression import too_long
from apitracker.core.model import Log, Rejected
from apitracker.core.origins import origin_of
from apitracker.core.own_calls import Own
from apitracker.core.records import parts
from apitracker.core.selection import ALL, Selection, predicate
from apitracker.core.tally import WIDTHS, Row, column, rows
from apitracker.errors import LogError, ServiceError, SourceError, WorkerError
from apitracker.logs import sources
from apitracker.logs.sources import Found

TASK_BYTES: Final = 2 * 1024 * 1024  # of logs, as found, in one task: less is not worth its passing
TASK_LOGS: Final = 64
AHEAD: Final = 2  # tasks waiting for each process, so that none is idle and no memory piles up

T = TypeVar("T")


class Question(Struct, frozen=True):
    """
    What is asked of each log: which calls, by which fields, and how much of it is read.

    *recorded* are globs of accounts whose calls count in their account only, as `parts` has it.
    Calls that tracking by *own* caused are skipped.
    """

    by: tuple[str, ...]
    max_bytes: int
    selection: Selection = ALL
    keep_duplicates: bool = False
    recorded: tuple[str, ...] = ()
    own: Own | None = None

    @property
    def time(self) -> str | None:
        """The shortest time asked for: second, minute, hour, day or none."""
        return next((field for field in WIDTHS if field in self.by), None)

    @property
    def plain(self) -> tuple[str, ...]:
        """The fields asked for that are no times."""
        return tuple(field for field in self.by if field not in WIDTHS)


class Reading(Struct, frozen=True):
    """
    What one log holds.

    Row i stands for ``counts[i]`` calls at ``times[i]`` (the shortest time that was asked for, 0
    where none was) of series ``series[i]``; what a series' values of the plain fields are says
    ``table``. Event i has the hash ``events[i]`` of its eventID, `NO_EVENT` where there is none,
    and was counted in row ``index[i]``. Calls that were not selected are in a row whose series
    is `OUTSIDE`.

    *duplicates* repeat an event of the same log; those that repeat another log's come to light
    when readings are put together. *first* and *last* are the seconds of its first and last call,
    selected or not, None where there is no call or the question has no seconds. *origin* is that of
    its first call, as `core.origins` has it, empty where there is none.
    """

    found: Found
    id: str
    table: list[Row]
    times: "array[int]"
    series: "array[int]"
    counts: "array[int]"
    index: "array[int]"
    events: "array[int]"
    duplicates: int
    skipped: Counter[str]
    rejected: list[Rejected]
    first: int | None = None
    last: int | None = None
    origin: str = ""

    @property
    def received(self) -> int:
        """How many records the log holds."""
        return len(self.index) + self.duplicates + self.skipped.total() + len(self.rejected)


OUTSIDE: Final = -1
NO_EVENT: Final = xxh3_64_intdigest(b"")


class Unread(Struct, frozen=True):
    """
    A log that could not be read whole, and why: nothing of it is counted.

    *lasting* says that it is of no use to read it again before it has changed.
    """

    found: Found
    fault: str
    lasting: bool = False


def read(found: Found, question: Question) -> Reading | Unread:
    """Read one log, wherever it is."""
    try:
        if found.size > question.max_bytes:  # gzip makes nothing longer
            raise too_long(found.name, question.max_bytes)
        log = sources.read(found.name, max_bytes=question.max_bytes)
        return read_log(log, found, question)
    except LogError as e:
        return Unread(found, e.fault, e.lasting)
    except (SourceError, ServiceError) as e:
        return Unread(found, str(e).removeprefix(f"{found.name}: "))


def read_log(log: Log, found: Found, question: Question) -> Reading:
    """Read *log*, found as *found*. `LogError` if it cannot be read whole."""
    selection = question.selection
    time = "second" if selection.timed else question.time
    plain = tuple(dict.fromkeys((*question.plain, *selection.plain)))
    table, pairs = _Numbers[Row](), _Numbers[tuple[int, int]]()
    index, events = array("I"), array("Q")
    duplicates = 0
    skipped: Counter[str] = Counter()
    rejected: list[Rejected] = []
    origin = ""
    fields = (*question.by, *selection.where)
    for part in parts(
        log,
        max_bytes=question.max_bytes,
        fields=fields,
        recorded=question.recorded,
        own=question.own,
    ):
        calls = part.calls + part.duplicates if question.keep_duplicates else part.calls
        times = column(calls, time) if time else repeat(0, len(calls))
        numbers = map(table.__getitem__, rows(calls, plain))
        index.extend(map(pairs.__getitem__, zip(times, numbers, strict=True)))
        if not question.keep_duplicates:
            duplicates += len(part.duplicates)
            events.extend(map(xxh3_64_intdigest, map(str.encode, column(calls, "eventID"))))
        skipped.update(part.skipped)
        rejected.extend(part.rejected)
        if not origin and calls:
            origin = origin_of(calls[0].eventID)
    seconds = [second for second, _ in pairs] if time == "second" else []
    if selection != ALL:
        table, pairs, index = _select(table, pairs, index, question, plain)
    # Rows are numbered in the order in which they come, and so are a Counter's keys.
    counts = array("Q", Counter(index).values())
    return Reading(
        found,
        log.id,
        list(table),
        array("q", map(itemgetter(0), pairs)),
        array("i", map(itemgetter(1), pairs)),
        counts,
        index,
        events,
        duplicates,
        skipped,
        rejected,
        min(seconds, default=None),
        max(seconds, default=None),
        origin,
    )


class _Numbers(dict[T, int]):
    """Things -> their number, in the order of their coming."""

    def __missing__(self, thing: T) -> int:
        self[thing] = number = len(self)
        return number


def _select(
    table: _Numbers[Row],
    pairs: _Numbers[tuple[int, int]],
    index: "array[int]",
    question: Question,
    plain: tuple[str, ...],
) -> "tuple[_Numbers[Row], _Numbers[tuple[int, int]], array[int]]":
    """Bring what was read down to what was asked for; what was not selected is `OUTSIDE`."""
    selected = predicate(question.selection, plain)
    width = WIDTHS[question.time] if question.time else 0
    known = list(table)
    asked, kept, number = _Numbers[Row](), _Numbers[tuple[int, int]](), []
    for second, series in pairs:
        if selected(second, known[series]):
            time = second - second % width if width else 0
            number.append(kept[time, asked[known[series][: len(question.plain)]]])
        else:
            number.append(kept[0, OUTSIDE])
    return asked, kept, array("I", map(number.__getitem__, index))


# --- many logs ----------------------------------------------------------------------------------


def read_all(
    founds: Iterable[Found], question: Question, *, processes: int
) -> Iterator[Reading | Unread]:
    """
    Read logs on up to *processes* processes; the results come in the order of *founds*.

    What fits in one task is read here, without a process of its own. `WorkerError` if a process
    dies, as when the machine runs out of memory.
    """
    tasks = _tasks(founds)
    first = list(islice(tasks, 2))
    tasks = chain(first, tasks)
    if processes == 1 or len(first) < 2:  # noqa: PLR2004 - one task
        for task in tasks:
            yield from (read(found, question) for found in task)
        return
    # Forked where that is safe, so that no process imports the command line again.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(processes, context, _begin_process) as pool:
        waiting: deque[Future[list[Reading | Unread]]] = deque()
        try:
            for task in tasks:
                waiting.append(_begin(pool, task, question))
                if len(waiting) >= processes * AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as e:
            raise WorkerError(
                "a process that reads logs was killed, for lack of memory perhaps; "
                "set APITRACKER_PROCESSES=1, or give fewer logs"
            ) from e
        finally:
            # Python waits for it anyway when it ends, but then sometimes with a traceback.
            pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Let the first process answer Ctrl-C, and end when it does, however that happens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _begin(
    pool: ProcessPoolExecutor, task: list[Found], question: Question
) -> "Future[list[Reading | Unread]]":
    """Hand *task* to another process, unless it holds standard input, which is this one's."""
    if all(found.size >= 0 for found in task):
        return pool.submit(_read_task, task, question)
    done: Future[list[Reading | Unread]] = Future()
    done.set_result(_read_task(task, question))
    return done


def _read_task(task: list[Found], question: Question) -> list[Reading | Unread]:
    return [read(found, question) for found in task]


def _tasks(founds: Iterable[Found]) -> Iterator[list[Found]]:
    task: list[Found] = []
    size = 0
    for found in founds:
        task.append(found)
        size += max(found.size, 0)
        if size >= TASK_BYTES or len(task) == TASK_LOGS:
            yield task
            task, size = [], 0
    if task:
        yield task
