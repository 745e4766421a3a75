"""
The origin of calls: a synthetic trail, or a real one.

The eventIDs of the synthetic trail are UUIDs of version 8, which RFC 9562 leaves to their maker,
and end with the letters "sample" in hex. So a synthetic log is recognised wherever it is copied.
"""

from collections.abc import Iterable
from typing import Final

REAL: Final = "real"
SYNTHETIC: Final = "synthetic"
MIXED: Final = "mixed"

VERSION: Final = "8"
TAG: Final = b"sample".hex()


def origin_of(event: str) -> str:
    """Return the origin of the call with this eventID."""
    is_synthetic = event.endswith(TAG) and event[14:15] == VERSION and len(event) == 36  # noqa: PLR2004 - of a UUID
    return SYNTHETIC if is_synthetic else REAL


def merge_origins(origins: Iterable[str]) -> str:
    """Return the origin of calls of *origins* together; empty where there are no calls."""
    found = {origin for origin in origins if origin}
    return MIXED if len(found) > 1 else "".join(found)
