"""
How fast do the 100,000 counts of a log go into the store, beside SQLite's upsert?

Opening the file, committing and closing it are part of it. SQLite has the Key as its primary key
in a table without rowid (no slower here than one with it), a write-ahead log, and
synchronous=normal. The second 100,000 are added to a file that holds the first; half of them are
keys that it holds, so they are added up.
"""

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.corpora import Corpora
from benchmarks.measure import Options, Result, child, ratio, rounds, seconds, settle
from tests.stores import add_counts

from apitracker.core.model import Key
from apitracker.store.database import Store

COUNTS: Final = 100_000
SERIES: Final = 5_000
SECONDS: Final = 6 * 3_600
BEGIN: Final = 1_793_404_800  # 2026-10-31
REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
ERRORS: Final = (*[""] * 17, "AccessDenied", "ThrottlingException", "Client.RequestLimitExceeded")
FIELDS: Final = ", ".join(Key._fields)
TABLE: Final = (
    f"CREATE TABLE IF NOT EXISTS counts ({FIELDS}, calls, PRIMARY KEY ({FIELDS})) WITHOUT ROWID"
)
UPSERT: Final = (
    f"INSERT INTO counts VALUES ({', '.join('?' * (len(Key._fields) + 1))})"
    f" ON CONFLICT ({FIELDS}) DO UPDATE SET calls = calls + excluded.calls"
)


def all_series(n: int, rng: random.Random) -> list[tuple[str | bool, ...]]:
    """Make up *n* different series: all of a Key beside its second."""
    series: dict[tuple[str | bool, ...], None] = {}
    while len(series) < n:
        api = rng.randrange(800)
        account = f"{rng.randrange(1, 9):012}"
        kind = ("Describe", "Get", "List", "Put", "Create")[api % 5]
        one: tuple[str | bool, ...] = (
            f"{kind}Thing{api}",
            f"service{api % 60}.amazonaws.com",
            rng.choice(REGIONS),
            account,
            account,
            f"arn:aws:iam::{account}:role/application-role-{rng.randrange(60)}",
            rng.choice(ERRORS),
            "true" if api % 5 < 3 else "false",
            "Management",
            False,
            "",
        )
        series[one] = None
    return list(series)


def make_logs() -> tuple[dict[Key, int], dict[Key, int]]:
    """Make the counts of two logs that have half of their keys in common."""
    rng = random.Random(1)
    series = all_series(SERIES, rng)
    keys: set[Key] = set()
    while len(keys) < COUNTS * 3 // 2:
        at = int(len(series) * rng.random() ** 2)
        keys.add(Key(BEGIN + rng.randrange(SECONDS), *series[at]))  # type: ignore[arg-type]
    ordered = sorted(keys)
    rng.shuffle(ordered)
    first, second = (
        {key: 1 + rng.randrange(9) // 7 for key in part}
        for part in (ordered[:COUNTS], ordered[COUNTS // 2 :])
    )
    return first, second


def ours(folder: Path, name: str, counts: Mapping[Key, int]) -> None:
    """Add a log of *counts* to the store."""
    add_counts(Store(folder / "usage.duckdb"), name, counts)


def sqlite(folder: Path, name: str, counts: Mapping[Key, int]) -> None:  # noqa: ARG001 - as `ours`
    """Add *counts* to an SQLite file."""
    with closing(sqlite3.connect(folder / "usage.sqlite")) as db, db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("PRAGMA synchronous = normal")
        db.execute(TABLE)
        db.executemany(UPSERT, ((*key, n) for key, n in counts.items()))


CONTENDERS: Final[dict[str, Callable[[Path, str, Mapping[Key, int]], None]]] = {
    "ours": ours,
    "sqlite": sqlite,
}


def _time(name: str, work: Path) -> list[float]:
    """Add two logs to a new file, and return the seconds of each."""
    settle()
    times = []
    made = make_logs()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for i, counts in enumerate(made):
            begun = time.perf_counter()
            CONTENDERS[name](Path(folder), str(i), counts)
            times.append(time.perf_counter() - begun)
    return times


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Answer the question for a new file and for one that holds counts."""
    del corpora
    filled: dict[str, list[float]] = {name: [] for name in CONTENDERS}

    def contender(name: str) -> Callable[[], float]:
        def once() -> float:
            empty, full = child("adding", name, str(options.work))
            filled[name].append(full)
            return float(empty)

        return once

    new = rounds(options.rounds, {name: contender(name) for name in CONTENDERS})
    for what, times in (
        ("into a new file", new),
        ("into a file that holds 100,000, half of them the same", filled),
    ):
        yield Result(
            f"100,000 counts of a log {what}, against SQLite's upsert",
            f"{SERIES:,} series",
            seconds(times["ours"][-options.rounds :]),
            seconds(times["sqlite"][-options.rounds :]),
            ratio(times["sqlite"][-options.rounds :], times["ours"][-options.rounds :]),
            3.5,
        )


if __name__ == "__main__":
    print(json.dumps(_time(sys.argv[1], Path(sys.argv[2]))))
