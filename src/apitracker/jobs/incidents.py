"""Find incidents in log files, in a store that is made for it and deleted."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from apitracker.core.balance import Balance, add_up
from apitracker.core.counting import Query
from apitracker.core.fields import UNKEPT, WIDTHS
from apitracker.core.selection import Selection
from apitracker.jobs.ingest import add_batches, ingest_query
from apitracker.logs.workers import ReadLog
from apitracker.store.database import Store
from apitracker.store.incidents import Incident, query_incidents
from apitracker.store.queries import total


def incident_query(selection: Selection, max_bytes: int) -> Query:
    """Return the query for logs that incidents of *selection* are to be found in."""
    unkept = {field: globs for field, globs in selection.where.items() if field in UNKEPT}
    return replace(ingest_query(max_bytes), selection=Selection(where=unkept))


def find_incidents(
    stream: Iterable[ReadLog | Balance], outcome: str, selection: Selection
) -> tuple[list[Incident], Balance]:
    """
    Return the incidents of calls that ended with *outcome* in the logs of *stream*.

    The logs were read for an `incident_query`. Times of *selection*, and fields that a store does
    not keep, select all calls, and the balance says how many are not selected; its other fields
    select among the refused calls alone.
    """
    kept = {field: globs for field, globs in selection.where.items() if field not in UNKEPT}
    times = {field: globs for field, globs in kept.items() if field in WIDTHS}
    with TemporaryDirectory(prefix="apitracker-") as folder:
        store = Store(Path(folder) / "incidents.duckdb")
        balance = add_up(add_batches(stream, store, mix=True))
        with store.reading() as db:
            found = query_incidents(db, outcome, None, replace(selection, where=kept))
            selected = total(db, replace(selection, where=times)).calls
    # Every record stands for one call as yet, so that the difference is a number of records.
    return found, replace(balance, not_selected=balance.counted - selected)
