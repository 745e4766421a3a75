"""
How large are 10 million counts over 90 days, and how fast are the busiest APIs found in them?

The store is filled with logs of 500,000 counts each, then compacted as `ingest` does, and asked by
`queries.rank`. The file is opened for each question.

SQLite has the same two tables, *series* and *counts*, and an index for each question: counts is a
table without rowid with the primary key (series, second), so that the sums over all time are
formed in its order without sorting, and a covering index (second, series, calls) gives the last
day without touching the rest. Its query adds up by series before it joins, which is ten times
faster than joining first, and it is opened for each question too. It is loaded in order and in
one transaction, then optimised by ANALYZE. Without the second index, with the primary key
(second, series), its file is half as large: that is shown as well, and what top 10 then takes.
"""

import json
import os
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks.adding import all_series
from benchmarks.corpora import Corpora
from benchmarks.measure import MIB, Options, Result, child, ratio, rounds, seconds, settle
from tests.stores import add_counts, top

from apitracker.core.model import Key
from apitracker.core.selection import ALL, Selection
from apitracker.store.database import Store

COUNTS: Final = 10_000_000
SERIES: Final = 10_000
DAY: Final = 86_400
DAYS: Final = 90
END: Final = 1_793_404_800  # 2026-10-31
CHUNK: Final = 500_000
ASKED: Final = 5  # times in one process, after once that does not count
BY: Final = ("eventSource", "eventName")
Array = np.ndarray[Any, np.dtype[np.int64]]


def generate(n: int) -> tuple[Array, Array, Array]:
    """
    Make *n* counts: their seconds, series and calls, in the order of time.

    A few series are busy and most are not (Zipf), by day there is more than by night, and most
    counts are of one call.
    """
    rng = np.random.default_rng(1)
    weights = 1 / (np.arange(SERIES) + 20.0)
    hours = 1 + np.sin(np.arange(24) / 24 * 2 * np.pi) * 0.6
    pairs = np.empty(0, np.int64)
    while len(pairs) < n:
        more = n * 5 // 4
        series = rng.choice(SERIES, more, p=weights / weights.sum())
        hour = rng.choice(24, more, p=hours / hours.sum())
        second = rng.integers(DAYS, size=more) * DAY + hour * 3_600 + rng.integers(3_600, size=more)
        pairs = np.unique(np.concatenate([pairs, second * SERIES + series]))
    pairs = pairs[np.sort(rng.permutation(len(pairs))[:n])]
    calls = np.minimum(rng.geometric(0.75, n), 60)
    return END - DAYS * DAY + pairs // SERIES, pairs % SERIES, calls


def fill_ours(path: Path, n: int) -> None:
    """Fill the store by its own functions."""
    series = all_series(SERIES, random.Random(1))
    store = Store(path)
    times, numbers, calls = generate(n)
    for at in range(0, n, CHUNK):
        part = slice(at, at + CHUNK)
        keys = (
            tuple.__new__(Key, (time, *series[number]))
            for time, number in zip(times[part].tolist(), numbers[part].tolist(), strict=True)
        )
        add_counts(store, str(at), dict(zip(keys, calls[part].tolist(), strict=True)))
    store.compact()


def fill_sqlite(path: Path, n: int) -> None:
    """Fill an SQLite file with an index for each question."""
    _fill_sqlite(path, n, ("series", "second"))


def fill_lean(path: Path, n: int) -> None:
    """Fill an SQLite file with the one index that serves the last day."""
    _fill_sqlite(path, n, ("second", "series"))


def _fill_sqlite(path: Path, n: int, order: tuple[str, str]) -> None:
    fields = ", ".join(Key._fields[1:])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = off")
        db.execute("PRAGMA synchronous = off")
        db.execute(f"CREATE TABLE series (id INTEGER PRIMARY KEY, {fields})")
        db.execute(
            "CREATE TABLE counts (second INTEGER, series INTEGER, calls INTEGER,"
            f" PRIMARY KEY ({', '.join(order)})) WITHOUT ROWID"
        )
        series = all_series(SERIES, random.Random(1))
        marks = ", ".join("?" * len(Key._fields))
        rows = ((i, *one) for i, one in enumerate(series))
        db.executemany(f"INSERT INTO series VALUES ({marks})", rows)
        times, numbers, calls = generate(n)
        if order[0] == "series":
            sort = np.lexsort((times, numbers))
            times, numbers, calls = times[sort], numbers[sort], calls[sort]
        db.executemany(
            "INSERT INTO counts VALUES (?, ?, ?)",
            zip(times.tolist(), numbers.tolist(), calls.tolist(), strict=True),
        )
        if order[0] == "series":
            db.execute("CREATE INDEX last ON counts (second, series, calls)")
        db.execute("ANALYZE")


def top_ours(path: Path, since: int | None) -> list[Any]:
    """Ask the store for the busiest APIs."""
    selection = ALL if since is None else Selection(since)
    return [(*row, n) for row, n in top(Store(path), BY, limit=10, selection=selection)]


def top_sqlite(path: Path, since: int | None) -> list[Any]:
    """Ask SQLite for the busiest APIs."""
    where = "" if since is None else f"WHERE second >= {since}"
    with closing(sqlite3.connect(path)) as db:
        return db.execute(
            f"""
            SELECT eventSource, eventName, sum(n) AS n
            FROM (SELECT series, sum(calls) AS n FROM counts {where} GROUP BY series)
            JOIN series ON id = series
            GROUP BY eventSource, eventName ORDER BY n DESC, eventSource, eventName LIMIT 10
            """
        ).fetchall()


FILLERS: Final[dict[str, Callable[[Path, int], None]]] = {
    "ours": fill_ours,
    "sqlite": fill_sqlite,
    "lean": fill_lean,
}
QUESTIONS: Final = {"of all time": None, "of the last day": END - DAY}


def _ask(name: str, path: Path, question: str) -> dict[str, Any]:
    """Ask once, then time the asking."""
    settle()
    ask = top_ours if name == "ours" else top_sqlite
    since = QUESTIONS[question]
    found = ask(path, since)
    times = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        ask(path, since)
        times.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(times), "found": found}


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Fill three files, then answer the three questions."""
    del corpora
    n = COUNTS // 10 if options.quick else COUNTS
    paths = {name: options.work / f"usage.{name}" for name in FILLERS}
    for name, path in paths.items():
        child("querying", "fill", name, str(path), str(n))
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    text = {name: f"{size / MIB:.1f} MiB" for name, size in sizes.items()}
    counts = f"{n:,} counts of {SERIES:,} series over {DAYS} days"
    for name, target in (("sqlite", 6.0), ("lean", None)):
        kind = "with an index for each question" if name == "sqlite" else "one index only"
        yield Result(
            f"size of the file, against SQLite, {kind}",
            counts,
            text["ours"],
            text[name],
            sizes[name] / sizes["ours"],
            target,
        )
    for question, target in (("of all time", 20.0), ("of the last day", 10.0)):
        found: dict[str, Any] = {}

        def contender(name: str, question: str, found: dict[str, Any]) -> Callable[[], float]:
            def once() -> float:
                answer = child("querying", "ask", name, str(paths[name]), question)
                found[name] = answer["found"]
                return float(answer["seconds"])

            return once

        times = rounds(options.rounds, {k: contender(k, question, found) for k in FILLERS})
        if not found["ours"] == found["sqlite"] == found["lean"]:
            raise RuntimeError(f"top 10 {question}: the answers differ: {found}")
        for name, wanted in (("sqlite", target), ("lean", None)):
            kind = "with an index for each question" if name == "sqlite" else "one index only"
            yield Result(
                f"top 10 APIs {question}, against SQLite, {kind}",
                counts,
                seconds(times["ours"]),
                seconds(times[name]),
                ratio(times[name], times["ours"]),
                wanted,
            )
    for path in paths.values():
        path.unlink()


def _main(action: str, name: str, path: Path, argument: str) -> None:
    if action == "fill":
        FILLERS[name](path, int(argument))
        print(os.stat(path).st_size)  # noqa: PTH116 - nothing else is needed
    else:
        print(json.dumps(_ask(name, path, argument)))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
