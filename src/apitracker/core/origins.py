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

UUID_VERSION: Final = "8"
UUID_LENGTH: Final = 36
TAG: Final = b"sample".hex()


def origin_of(event: str) -> str:
    """Return the origin of the call with this eventID."""
    # The version is the first digit of a UUID's third group: 8-4-4-4-12.
    is_ours = event.endswith(TAG) and event[14:15] == UUID_VERSION and len(event) == UUID_LENGTH
    return SYNTHETIC if is_ours else REAL


def merge_origins(origins: Iterable[str]) -> str:
    """Return the origin of calls of *origins* together; empty where there are no calls."""
    found = {origin for origin in origins if origin}
    return MIXED if len(found) > 1 else "".join(found)
