"""Logs are read on all cores: each becomes a partial count, or cannot be read."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, cycle, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Thread
from typing import Final, NamedTuple, NoReturn, TypeAlias

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


class _Worker(NamedTuple):
    """
    A process that reads logs, and our end of its pipe.

    Each has a pipe of its own, whose other end nobody else holds: when the process dies, even in
    the middle of a result, we see the end of the pipe. A shared queue would wait for the rest.
    """

    process: BaseProcess
    connection: Connection

    def send(self, task: Task) -> None:
        """Hand over *task*. `WorkerError` if the process has died."""
        try:
            self.connection.send(task)
        except OSError as e:
            raise _died() from e

    def receive(self) -> Results:
        """Wait for the results of the first task that has none yet. `WorkerError` as above."""
        try:
            received: Results | Exception = self.connection.recv()
        except (EOFError, OSError) as e:
            raise _died() from e
        if isinstance(received, Exception):
            raise received
        return received


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
    with _start_workers(processes, query) as workers:
        waiting: deque[_Worker | Results] = deque()
        for task, worker in zip(tasks, cycle(workers), strict=False):
            if _is_for_any_process(task):
                worker.send(task)
                waiting.append(worker)
            else:
                waiting.append(_read_task(task, query))
            if len(waiting) >= processes * AHEAD:
                yield from _receive(waiting.popleft())
        while waiting:
            yield from _receive(waiting.popleft())


def _receive(waiting: _Worker | Results) -> Results:
    return waiting.receive() if isinstance(waiting, _Worker) else waiting


def _is_for_any_process(task: Task) -> bool:
    """Return whether *task* can be handed over: standard input and pipes are this process's."""
    return all(not isinstance(each, Found) or each.size >= 0 for each in task)


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


def _died() -> WorkerError:
    return WorkerError(
        "a process that reads logs was killed, for lack of memory perhaps; "
        "set APITRACKER_PROCESSES=1, or give fewer logs"
    )


@contextmanager
def _start_workers(processes: int, query: Query) -> Iterator[list[_Worker]]:
    """Start the *processes*, all of them before anything else runs here, and end them again."""
    # Forked where that is safe, so that no process imports the command line again.
    context = get_context("fork") if sys.platform == "linux" else get_context("spawn")
    workers: list[_Worker] = []
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, query), daemon=True)
            process.start()
            workers.append(_Worker(process, ours))
            theirs.close()  # before the next one is forked, which would hold it too
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.connection.close()


# --- in a worker process ------------------------------------------------------------------------


def _work(connection: Connection, query: Query) -> NoReturn:
    """
    Read the tasks that come through *connection*, and send the results of each, or its error.

    Tasks are received and results are sent in threads of their own, so that neither end of the
    pipe ever waits for the other.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process answers Ctrl-C
    tasks: SimpleQueue[Task] = SimpleQueue()
    done: SimpleQueue[Results | Exception] = SimpleQueue()
    Thread(target=_end_with_parent, daemon=True).start()
    Thread(target=_receive_tasks, args=(connection, tasks), daemon=True).start()
    Thread(target=_send_results, args=(connection, done), daemon=True).start()
    while True:
        task = tasks.get()
        try:
            done.put(_read_task(task, query))
        except Exception as e:  # noqa: BLE001 - raised again by the first process
            done.put(e)


def _end_with_parent() -> None:
    """End this process when the first one does, however that happens."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _receive_tasks(connection: Connection, tasks: "SimpleQueue[Task]") -> None:
    try:
        while True:
            tasks.put(connection.recv())
    finally:
        os._exit(1)


def _send_results(connection: Connection, done: "SimpleQueue[Results | Exception]") -> None:
    try:
        while True:
            connection.send(done.get())
    finally:
        os._exit(1)
