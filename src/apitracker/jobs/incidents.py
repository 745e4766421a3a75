"""Incidents in log files: they are found in a store that is made for that, and deleted."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from apitracker.core.balance import Balance, add_up
from apitracker.core.fields import WIDTHS
from apitracker.core.selection import Selection
from apitracker.jobs.ingest import ingest
from apitracker.logs.workers import ReadLog
from apitracker.store import queries
from apitracker.store.database import Store
from apitracker.store.incidents import Incident


def find_incidents(
    stream: Iterable[ReadLog | Balance], outcome: str, selection: Selection
) -> tuple[list[Incident], Balance]:
    """
    Return the incidents of calls that ended with *outcome* in the logs of *stream*.

    The logs were read for an `ingest_query`. The balance says how many records are not of the times
    of *selection*; the other fields of it only choose which of the calls are refused calls.
    """
    times = {field: globs for field, globs in selection.where.items() if field in WIDTHS}
    timed = Selection(selection.since, selection.until, times)
    with TemporaryDirectory(prefix="apitracker-") as folder:
        store = Store(Path(folder) / "incidents.duckdb")
        balance = add_up(ingest(stream, store, mix=True))
        with store.reading() as db:
            found = queries.incidents(db, outcome, None, selection)
            selected = queries.totals(db, timed).calls if timed.timed else balance.counted
    return found, replace(balance, not_selected=balance.counted - selected)
