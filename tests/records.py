"""Records as CloudTrail writes them, and log files of them."""

import json
import time
from pathlib import Path
from typing import Any, Final

SECOND: Final = 1_688_989_327  # 2023-07-10T11:42:07Z


def record(name: str, event: str = "", second: int = SECOND, **fields: object) -> dict[str, Any]:
    """
    A record of a call of *name*, with the fields that counting needs; *fields* adds or replaces.

    Two records with the same eventID, *event*, are duplicates; an empty one is not an eventID.
    """
    return {
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)),
        "eventName": name,
        "eventSource": "s3.amazonaws.com",
        "eventID": event,
        **fields,
    }


def write_log(path: Path, *records: object) -> Path:
    """Write a log file of *records*, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Records": records}))
    return path
