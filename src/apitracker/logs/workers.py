"""Logs are read on all cores: each becomes a partial count, or cannot be read."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Final, NamedTuple, TypeAlias

from apitracker.aws import StorageError
from apitracker.core.balance import Balance, Unread
from apitracker.core.compression import too_long
from apitracker.core.counting import PartialCount, Query, read_log
from apitracker.errors import LogError, SourceError, WorkerError
from apitracker.logs import sources
from apitracker.logs.sources import Found

TASK_BYTES: Final = 2 * 1024 * 1024  # of logs, as found: less is not worth handing over
TASK_LOGS: Final = 64
AHEAD: Final = 2  # tasks waiting for each process, so that none is idle and no memory piles up


class ReadLog(NamedTuple):
    """A log as it was found, and the result of reading it."""

    found: Found
    result: PartialCount | Unread


Task: TypeAlias = list[Found | Balance]
Results: TypeAlias = list[ReadLog | Balance]


def read(found: Found, query: Query) -> ReadLog:
    """Read one log, wherever it is."""
    try:
        if found.size > query.max_bytes:  # gzip makes nothing longer
            raise too_long(found.name, query.max_bytes)
        log = sources.fetch_log(found.name, max_bytes=query.max_bytes)
        return ReadLog(found, read_log(log, query))
    except LogError as e:
        return ReadLog(found, Unread(found.name, e.fault, e.lasting))
    except (SourceError, StorageError) as e:
        return ReadLog(found, Unread(found.name, e.fault))


def results(
    stream: Iterable[ReadLog | Balance],
) -> Iterator[PartialCount | Unread | Balance]:
    """Return the results in a *stream* of read logs, as `merge` takes them."""
    return (each.result if isinstance(each, ReadLog) else each for each in stream)


# --- many logs ----------------------------------------------------------------------------------


def read_all(
    stream: Iterable[Found | Balance], query: Query, *, processes: int
) -> Iterator[ReadLog | Balance]:
    """
    Read the logs of *stream* on up to *processes* processes, in its order.

    A balance in it, of logs that are not to be read, passes through. One task alone is read in this
    process. `WorkerError` if a process dies, as when the machine runs out of memory.
    """
    tasks = _tasks(stream)
    first = list(islice(tasks, 2))
    tasks = chain(first, tasks)
    if processes == 1 or len(first) < 2:  # noqa: PLR2004 - one task
        for task in tasks:
            yield from _read_task(task, query)
        return
    # Forked where that is safe, so that no process imports the command line again.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(processes, context, _begin_process) as pool:
        waiting: deque[Future[Results]] = deque()
        try:
            for task in tasks:
                waiting.append(_begin(pool, task, query))
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


def _begin(pool: ProcessPoolExecutor, task: Task, query: Query) -> "Future[Results]":
    """Hand *task* to another process, unless a log of it can be read in this one only."""
    if all(not isinstance(each, Found) or each.size >= 0 for each in task):
        return pool.submit(_read_task, task, query)
    done: Future[Results] = Future()
    done.set_result(_read_task(task, query))
    return done


def _read_task(task: Task, query: Query) -> Results:
    return [read(each, query) if isinstance(each, Found) else each for each in task]


def _tasks(stream: Iterable[Found | Balance]) -> Iterator[Task]:
    task: Task = []
    size = 0
    for each in stream:
        task.append(each)
        size += max(each.size, 0) if isinstance(each, Found) else 0
        if size >= TASK_BYTES or len(task) == TASK_LOGS:
            yield task
            task, size = [], 0
    if task:
        yield task
