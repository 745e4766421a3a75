"""
What AWS asks for what a tracker uses: prices.json, and over it a file of yours.

Prices are list prices of one region, in dollars and before taxes, each with its source beside it.
"""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from apitracker.core.recognition import in_words
from apitracker.errors import UsageError

TABLE: Final = Path(__file__).with_name("prices.json")
DEAREST: Final = 1_000_000  # dollars: whatever is more is a slip


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The price of one thing.

    A tier is up to which quantity in a month it goes, and the dollars for *per* so many *unit*; the
    last one has no end. Of an account that has no other use for it, *free* costs nothing.
    """

    unit: str
    per: int
    tiers: tuple[tuple[int | None, Decimal], ...]
    source: str
    free: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        """`ValueError` if it is no price."""
        *ends, last = (end for end, _ in self.tiers) if self.tiers else (0,)
        if last is not None or any(
            a is None or b is None or a >= b for a, b in pairwise([0, *ends])
        ):
            raise ValueError("tiers must rise from 0, and the last have null for its end")
        if self.per < 1 or self.free < 0:
            raise ValueError("per must be at least 1, and free at least 0")
        if not all(d.is_finite() and 0 <= d <= DEAREST for _, d in self.tiers):
            raise ValueError(f"a price must be from 0 to {DEAREST:,} dollars")

    def cost(self, quantity: int | Decimal, *, after: int | Decimal = 0) -> Decimal:
        """Say what *quantity* costs in dollars, in a month that has had *after* of it before."""
        cost = Decimal(0)
        begin, end = Decimal(after), Decimal(after + quantity)
        for upto, dollars in self.tiers:
            part = (end if upto is None else min(end, Decimal(upto))) - begin
            if part > 0:
                cost += dollars * part / self.per
                begin += part
        return cost


class Prices(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The prices of things by their names, as they were in *region* on the day *date*.

    *rest* are those that a file of yours does not have, and that are the package's.
    """

    region: str
    date: str
    prices: dict[str, Price]
    rest: tuple[str, ...] = ()


def load(path: Path | None = None) -> Prices:
    """
    Read the package's prices; those in the file *path*, which may be some, replace them.

    `UsageError` if it cannot be read, holds something else, or a price of what is not known.
    """
    table = msgspec.json.decode(TABLE.read_bytes(), type=Prices)
    if path is None:
        return table
    try:
        given = msgspec.json.decode(path.read_bytes(), type=Prices)
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except (msgspec.DecodeError, UnicodeError) as e:
        raise UsageError(f"{path}: is not a table of prices: {in_words(e)}; {TABLE} is one") from e
    for name in given.prices:
        if name not in table.prices:
            names = ", ".join(table.prices)
            raise UsageError(f"{path}: {name}: no such price; choose from {names}")
    rest = tuple(name for name in table.prices if name not in given.prices)
    return Prices(given.region, given.date, table.prices | given.prices, rest)
