"""Counts of calls by named fields."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import cast

from msgspec import Struct

from apitracker.core.fields import WIDTHS, Row, Value, require_fields
from apitracker.core.selection import Globs, match_each
from apitracker.errors import UsageError


class Counts(Struct, frozen=True):
    """
    Calls by the values of *fields*: ``rows[values]`` is the number of calls with these values.

    Values stand in the order of *fields*. Other code names the fields that it wants, by `texts`,
    `times`, `by` and `where`, and never reads a row by position.
    """

    fields: tuple[str, ...]
    rows: Mapping[Row, int]

    @property
    def calls(self) -> int:
        """The number of all calls."""
        return sum(self.rows.values())

    @property
    def numbers(self) -> list[int]:
        """The calls of each row, in the order of the rows."""
        return list(self.rows.values())

    def column(self, field: str) -> list[Value]:
        """
        Return the value of *field* in each row, in the order of the rows.

        A time is derived from a shorter one. `UsageError` if the counts are not by *field*.
        """
        if field in self.fields:
            at = self.fields.index(field)
            return [row[at] for row in self.rows]
        shorter = next((f for f in WIDTHS if f in self.fields), None)
        if field not in WIDTHS or shorter is None or WIDTHS[shorter] > WIDTHS[field]:
            raise UsageError(f"{field}: these counts are by {', '.join(self.fields) or 'nothing'}")
        width = WIDTHS[field]
        return [second - second % width for second in self.times(shorter)]

    def texts(self, field: str) -> list[str]:
        """Return the values of *field*, not a time, as `column` does."""
        return cast("list[str]", self.column(field))

    def times(self, field: str) -> list[int]:
        """Return the values of *field*, a time, in seconds since 1970 UTC, as `column` does."""
        return cast("list[int]", self.column(field))

    def by(self, fields: Sequence[str]) -> "Counts":
        """Add the calls up by *fields* alone. The sum does not change."""
        fields = tuple(fields)
        if fields == self.fields:
            return self
        columns = [self.column(field) for field in fields]
        found: dict[Row, int] = {}
        values = zip(*columns, strict=True) if columns else iter([()] * len(self.rows))
        for row, calls in zip(values, self.rows.values(), strict=True):
            found[row] = found.get(row, 0) + calls
        return Counts(fields, found)

    def where(self, where: Globs) -> "Counts":
        """Return the calls that match *where*: for every field, one of its globs."""
        return self._filter(where, all)

    def without(self, where: Globs) -> "Counts":
        """Return the calls that match no field of *where*: one field that matches is enough."""
        return self._filter(where, lambda matches: not any(matches))

    def only(self, keep: Sequence[bool]) -> "Counts":
        """Return the rows for which *keep*, one value for each row in order, is true."""
        pairs = zip(self.rows.items(), keep, strict=True)
        return Counts(self.fields, {row: calls for (row, calls), kept in pairs if kept})

    def ranked(self) -> Iterator[tuple[Row, int]]:
        """Return the rows sorted by their values, as they are printed."""
        return iter(sorted(self.rows.items(), key=itemgetter(0)))

    def _filter(self, where: Globs, test: Callable[[Iterable[bool]], bool]) -> "Counts":
        if not where:
            return self
        require_fields(where)
        tested = [match_each(self.column(field), field, where[field]) for field in where]
        return self.only([test(matches) for matches in zip(*tested, strict=True)])
