"""Times as users type and read them: UTC, to the second, the minute, the hour or the day."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from apitracker.core.fields import WIDTHS
from apitracker.errors import UsageError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
LENGTHS: Final = {"second": 19, "minute": 16, "hour": 13, "day": 10}  # of an ISO time cut short
AGE: Final = re.compile(r"(\d{1,9})\s*([smhdw])", re.ASCII)
AGE_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def write(field: str, second: int) -> str:
    """Write a time of *field* (second, minute, hour, day), as in ``2023-07-10T11:42Z``."""
    text = (EPOCH + timedelta(seconds=second)).isoformat()[: LENGTHS[field]]
    return text if field == "day" else text + "Z"


def label(field: str, value: object) -> str:
    """Write a value of any *field* as it is shown in tables and files."""
    return write(field, value) if field in WIDTHS and isinstance(value, int) else str(value)


def parse(text: str, *, now: datetime) -> int:
    """
    Read a point in time, in seconds since 1970 UTC.

    ``2026-10-01``, ``2026-10-01T12Z``, ``2026-10-01T12:30``, ``2026-10-01T12:30:00+02:00``, or an
    age before *now*: ``90s``, ``5m``, ``2h``, ``7d``, ``4w``. Without an offset a time is UTC.
    `UsageError` for anything else.
    """
    if age := AGE.fullmatch(text.strip()):
        return int(now.timestamp()) - int(age[1]) * AGE_UNITS[age[2]]
    try:
        time = datetime.fromisoformat(text.strip())
        # Of calls only the second is known: a bound within a second is the start of the next one.
        return second_of(time) + (time.microsecond > 0)
    except ValueError as e:
        raise UsageError(
            f"{text}: not a time: use 2026-10-01, 2026-10-01T12:30Z, or an age like 2h or 7d"
        ) from e


def second_of(time: datetime) -> int:
    """Return *time* in whole seconds since 1970 UTC. Without an offset it is UTC."""
    return (time.replace(tzinfo=time.tzinfo or UTC) - EPOCH) // SECOND
