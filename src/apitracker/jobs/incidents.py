"""Find incidents in log files, in a store that is made for it and deleted."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from apitracker.core.balance import Balance, add_up
from apitracker.core.fields import WIDTHS
from apitracker.core.selection import Selection
from apitracker.jobs.ingest import ingest
from apitracker.logs.workers import ReadLog
from apitracker.store.database import Store
from apitracker.store.incidents import Incident, query_incidents
from apitracker.store.queries import total


def find_incidents(
    stream: Iterable[ReadLog | Balance], outcome: str, selection: Selection
) -> tuple[list[Incident], Balance]:
    """
    Return the incidents of calls that ended with *outcome* in the logs of *stream*.

    The logs were read for an `ingest_query`. Times of *selection* select all calls, and the balance
    says how many are not selected; its other fields select among the refused calls alone.
    """
    times = {field: globs for field, globs in selection.where.items() if field in WIDTHS}
    timed = Selection(selection.since, selection.until, times)
    with TemporaryDirectory(prefix="apitracker-") as folder:
        store = Store(Path(folder) / "incidents.duckdb")
        balance = add_up(ingest(stream, store, mix=True))
        with store.reading() as db:
            found = query_incidents(db, outcome, None, selection)
            selected = total(db, timed).calls if timed.timed else balance.counted
    return found, replace(balance, not_selected=balance.counted - selected)
