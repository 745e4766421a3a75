"""Logs as tests read them: whole, record by record."""

from collections import Counter
from collections.abc import Sequence

from apitracker.core.compression import MAX_BYTES
from apitracker.core.fields import Row, rows
from apitracker.core.model import Call, Decoded, Log
from apitracker.core.records import parts


def decode(log: Log, *, max_bytes: int = MAX_BYTES, recorded: Sequence[str] = ()) -> Decoded:
    """Put the parts of *log* together: every record in its place."""
    whole = Decoded([], [], Counter(), [])
    for part in parts(log, max_bytes=max_bytes, recorded=recorded):
        whole.calls.extend(part.calls)
        whole.duplicates.extend(part.duplicates)
        whole.skipped.update(part.skipped)
        whole.rejected.extend(part.rejected)
    return whole


def group(calls: Sequence[Call], by: Sequence[str]) -> Counter[Row]:
    """Count *calls*, one record each, by the fields *by*."""
    return Counter(rows(calls, by))
