"""
Prices of AWS: prices.json, and over it a file of the user.

They are list prices of one region, in dollars and before taxes, each with its source beside it.
"""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from apitracker.core.recognition import in_words
from apitracker.errors import UsageError

PRICES_FILE: Final = Path(__file__).with_name("prices.json")
DEAREST: Final = 1_000_000  # dollars: a higher price is a slip


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The price of one thing.

    A tier is the monthly quantity that it ends at, None for the last one, and the dollars for *per*
    of the *unit*. The first *free* units of an account and month cost nothing.
    """

    unit: str
    per: int
    tiers: tuple[tuple[int | None, Decimal], ...]
    source: str
    free: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        """`ValueError` if it is not a price."""
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
        """Return the dollars for *quantity* more, in a month that has used *after* before."""
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

    *rest* are the names that the user's file lacks, whose prices are the package's.
    """

    region: str
    date: str
    prices: dict[str, Price]
    rest: tuple[str, ...] = ()


def load_prices(path: Path | None = None) -> Prices:
    """
    Return the package's prices, with those of the file *path* in their place.

    The file may have some of them. `UsageError` if it cannot be read, is not a table of prices, or
    has one that the package does not know.
    """
    table = msgspec.json.decode(PRICES_FILE.read_bytes(), type=Prices)
    if path is None:
        return table
    try:
        given = msgspec.json.decode(path.read_bytes(), type=Prices)
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from e
    except (msgspec.DecodeError, UnicodeError) as e:
        raise UsageError(
            f"{path}: is not a table of prices: {in_words(e)}; {PRICES_FILE} is one"
        ) from e
    for name in given.prices:
        if name not in table.prices:
            names = ", ".join(table.prices)
            raise UsageError(f"{path}: {name}: no such price; choose from {names}")
    rest = tuple(name for name in table.prices if name not in given.prices)
    return Prices(given.region, given.date, table.prices | given.prices, rest)
