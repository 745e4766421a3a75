"""An event's identity: a stable hash of its eventID, 128 bits in two halves."""

from functools import partial
from typing import Final

from xxhash import xxh3_64_intdigest

first_half: Final = xxh3_64_intdigest
"""The first 64 bits: all that the store keeps."""

second_half: Final = partial(xxh3_64_intdigest, seed=1)
"""The other 64 bits, for archives: of 64 bits alone some events of 100 TB would be the same."""
