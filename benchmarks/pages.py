"""
How much longer than DuckDB's own query does each view of the page take, on 10 million counts?

The store is that of `querying`: 10 million counts of 10,000 series over 90 days. `apitracker
serve` shows it, in a process of its own, and is asked as the page asks.
Beside it, in the same round, DuckDB answers SQL written by hand, on a connection that is open
already: the time of one is taken from that of the other. Both have to come to the same figures.

The SQL by hand uses what the store has: the counts of days where they tell, and sums by series
before anything is joined. Where the server is faster all the same, the difference is negative.
"""

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import duckdb
from benchmarks.corpora import Corpora
from benchmarks.measure import SCRIPTS, Options, Result, child, rounds, seconds, settle
from benchmarks.querying import COUNTS, DAY, DAYS, END, SERIES
from msgspec import Struct

SLOWER: Final = 300.0  # milliseconds, at most
USABLE: Final = 2.0  # seconds, until all that the first view asks for is there
ASKED: Final = 3  # times, after once that does not count
STACKS: Final = 7
ROWS: Final = 10
TABLES: Final = (
    "eventSource,eventName",
    "caller",
    "eventSource",
    "outcome,errorCode",
    "recipientAccountId",
    "awsRegion",
)
TIMES: Final = {
    "of all time": None,
    "of 30 days": END - 30 * DAY + 77,
    "of the last day": END - DAY,
}
# The outcomes of the error codes that `adding` makes up.
CODES: Final = """(VALUES ('', 'ok'), ('AccessDenied', 'denied'),
    ('ThrottlingException', 'throttled'), ('Client.RequestLimitExceeded', 'throttled')
    ) AS codes(errorCode, outcome)"""
REFUSED: Final = """coalesce(sum(calls) FILTER (outcome = 'throttled'), 0)::BIGINT,
    coalesce(sum(calls) FILTER (outcome = 'denied'), 0)::BIGINT"""


FIGURES: Final = ("calls", "throttled", "denied", "apis", "callers", "accounts", "regions")


class Query(Struct, frozen=True):
    """A view: what the server is asked, and what DuckDB is; *same* makes figures of the answer."""

    path: str
    parameters: dict[str, str]
    sql: tuple[str, ...]
    same: Callable[[Any], list[Any]]


def _headline(sums: str, where: str) -> tuple[str, str]:
    return (
        f"""SELECT sum(calls)::BIGINT, {REFUSED}, count(DISTINCT (eventSource, eventName)),
        count(DISTINCT caller), count(DISTINCT recipientAccountId), count(DISTINCT awsRegion)
        FROM {sums} JOIN series ON id = series JOIN {CODES} USING (errorCode)""",
        f"""SELECT second, sum(calls)::BIGINT AS n FROM counts {where} GROUP BY second
        ORDER BY n DESC, second LIMIT 1""",
    )


def views(since: int | None) -> dict[str, Query]:
    """Give what is asked about the time from *since* on; None is all time."""
    where = "" if since is None else f"WHERE second >= {since}"
    table = "days" if since is None or since % DAY == 0 else "counts"
    step = 86_400 if since is None else 10_800 if END - since > 2 * DAY else 300
    sums = f"(SELECT series, sum(calls) AS calls FROM {table} {where} GROUP BY series)"
    joined = f"{sums} JOIN series ON id = series JOIN {CODES} USING (errorCode)"
    every = f"(FROM counts {where}) JOIN series ON id = series JOIN {CODES} USING (errorCode)"
    before = ""  # as long a time, to compare with
    if since is not None:
        before = (
            f"second < {since} AND second >= {2 * since} - (SELECT max(second) + 1 FROM counts)"
        )
    headline = _headline(sums, where) + (
        _headline(
            f"(SELECT series, sum(calls) AS calls FROM counts WHERE {before} GROUP BY series)",
            f"WHERE {before}",
        )
        if before
        else ()
    )
    return {
        "headline figures": Query(
            "/api/summary",
            {},
            headline,
            lambda answer: [
                row
                for figures in (answer["now"], answer["before"])
                if figures
                for row in (
                    [figures[name] for name in FIGURES],
                    [figures["peakSecond"], figures["peak"]],
                )
            ],
        ),
        "calls over time by region": Query(
            "/api/series",
            {"by": "awsRegion", "most": str(STACKS)},
            (
                f"""SELECT awsRegion, second // {step} * {step} AS start, sum(calls)::BIGINT
                FROM (FROM {table if step == DAY else "counts"} {where})
                JOIN series ON id = series GROUP BY ALL ORDER BY ALL""",
            ),
            lambda answer: sorted(
                [each["name"], at, n]
                for each in answer["series"]
                for at, n in zip(answer["times"], each["calls"], strict=True)
                if n
            ),
        ),
        "busiest APIs": Query(
            "/api/top",
            {"limit": str(ROWS)},
            (
                f"""SELECT eventSource, eventName, sum(calls)::BIGINT AS calls, {REFUSED}
                FROM {joined} GROUP BY eventSource, eventName
                ORDER BY calls DESC, eventSource, eventName LIMIT {ROWS}""",
            ),
            lambda answer: [
                [*row["key"].values(), row["calls"], row["throttled"], row["denied"]]
                for row in answer["rows"]
            ],
        ),
        "who is behind throttles": Query(
            "/api/throttles",
            {},
            (
                f"""WITH timed AS (SELECT *, second // 60 AS minute FROM {every}),
                hit AS (
                    SELECT DISTINCT eventSource, eventName, awsRegion, recipientAccountId, minute
                    FROM timed WHERE outcome = 'throttled'
                ),
                behind AS (
                    SELECT eventSource, eventName, awsRegion, recipientAccountId, caller,
                        sum(calls)::BIGINT AS calls, {REFUSED.partition("::")[0]} AS throttled
                    FROM timed SEMI JOIN hit
                    USING (eventSource, eventName, awsRegion, recipientAccountId, minute)
                    GROUP BY ALL
                )
                SELECT eventSource, eventName, awsRegion, recipientAccountId,
                    sum(throttled)::BIGINT AS refused, sum(calls)::BIGINT
                FROM behind GROUP BY ALL ORDER BY refused DESC, 1, 2, 3, 4 LIMIT 500""",
            ),
            lambda answer: [
                [
                    *(row[name] for name in ("eventSource", "eventName", "awsRegion")),
                    *(row["recipientAccountId"], row["calls"], row["made"]),
                ]
                for row in answer
            ],
        ),
    }


def first_view(port: int) -> float:
    """Ask all that the page asks when it is opened, as a browser does; give the seconds."""
    asked = [("/api/summary", {}), ("/api/series", {"most": str(STACKS)})]
    asked += [("/api/top", {"by": by, "limit": str(ROWS)}) for by in TABLES]
    begun = time.perf_counter()
    with ThreadPoolExecutor(6) as pool:  # connections to one host
        for _ in pool.map(lambda each: ask(port, *each), [("/api/about", {}), *asked]):
            pass
    return time.perf_counter() - begun


def ask(port: int, path: str, parameters: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Ask the server at *port*."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", f"{path}?{urlencode(parameters)}")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status}: {body}")
    return body


@contextmanager
def serving(store: Path) -> Iterator[int]:
    """Serve *store* while the context lasts; gives the port."""
    command: list[str | Path] = [SCRIPTS / "apitracker", "serve", "--store", store, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = server.stderr.readline() if server.stderr else ""
            yield int(said.split()[0].rstrip("/").rpartition(":")[2])
        finally:
            server.terminate()


def _timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    """Ask once, then time the asking."""
    found = ask()
    times = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    return statistics.median(times), found


def _query(store: Path, view: str, when: str) -> dict[str, Any]:
    """Ask DuckDB, which has the file open."""
    settle()
    sql = views(TIMES[when])[view].sql
    with duckdb.connect(store, read_only=True) as db:
        taken, found = _timed(lambda: [db.execute(one).fetchall() for one in sql])
    rows = [list(row) for answer in found for row in answer]
    return {"seconds": taken, "found": rows}


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Fill a store, serve it, and ask for each view of each time."""
    del corpora
    n = COUNTS // 10 if options.quick else COUNTS
    counts = f"{n:,} counts of {SERIES:,} series over {DAYS} days"
    store = options.work / "usage.pages"
    child("querying", "fill", "ours", str(store), str(n))
    with serving(store) as port:
        first_view(port)
        times = rounds(options.rounds, {"ours": lambda: first_view(port)})["ours"]
        yield Result(
            "all that the page asks for when it is opened, of all time",
            counts,
            seconds(times),
            f"{USABLE:g} s",
            statistics.median(times),
            USABLE,
            at_most=True,
            unit=" s",
        )
        for when in TIMES:
            for view in views(TIMES[when]):
                yield _compare(options, store, port, counts, (view, when))
    store.unlink()


def _compare(
    options: Options, store: Path, port: int, counts: str, asked: tuple[str, str]
) -> Result:
    """Measure the server beside DuckDB itself; both have to come to the same figures."""
    view, when = asked
    since = TIMES[when]
    query = views(since)[view]
    selection = {} if since is None else {"since": str(datetime.fromtimestamp(since, UTC))}
    found: dict[str, Any] = {}

    def ours() -> float:
        taken, answer = _timed(lambda: ask(port, query.path, query.parameters | selection))
        found["ours"] = query.same(answer)
        return taken

    def own() -> float:
        answer = child("pages", str(store), view, when)
        found["own"] = answer["found"]
        return float(answer["seconds"])

    times = rounds(options.rounds, {"ours": ours, "own": own})
    if found["ours"] != found["own"]:
        raise RuntimeError(f"{view} {when}: the figures differ")
    slower = [1_000 * (o - d) for o, d in zip(times["ours"], times["own"], strict=True)]
    return Result(
        f"{view} {when}, longer than DuckDB's own query",
        counts,
        seconds(times["ours"]),
        seconds(times["own"]),
        statistics.median(slower),
        SLOWER,
        at_most=True,
        unit=" ms",
    )


if __name__ == "__main__":
    print(json.dumps(_query(Path(sys.argv[1]), *sys.argv[2:])))
