"""
Rows as text: for people, for spreadsheets, for programs.

Values come out of logs, and so from anybody who called the API: none reaches a terminal with a
control character in it, nor a spreadsheet as a formula.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from apitracker.core.fields import WIDTHS
from apitracker.core.times import label

FORMATS: Final = ("table", "csv", "json")

Cells: TypeAlias = tuple[object, ...]
"""The values of a row, as they are written."""
_FORMULA: Final = re.compile(r"(\A|;[ \"]*)(?=[=+\-@＝＋－＠])")  # noqa: RUF001 - Excel runs these too
WIDEST: Final = 256  # of a column: one long value does not make every row as long as itself


def lines(
    rows: Sequence[tuple[Cells, int]], fields: Sequence[str], form: str, number: str = "calls"
) -> Iterator[str]:
    """
    Write *rows* of *fields*, each with a number named *number*, in one of `FORMATS`.
    """
    return {"table": _table, "csv": _csv, "json": _json}[form](rows, fields, number)


def printable(text: str) -> str:
    """Write control, bidirectional and other invisible characters as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Cells(dict[object, str]):
    """The values of a field -> their texts. There are fewer values than rows."""

    def __init__(self, field: str, write: Callable[[str], str]) -> None:
        super().__init__()
        self._field = field
        self._write = write

    def __missing__(self, value: object) -> str:
        text = label(self._field, value)
        # A number that is not a time is a number in JSON too.
        plain = isinstance(value, int) and self._field not in WIDTHS
        self[value] = text = text if plain else self._write(text)
        return text


def _table(rows: Sequence[tuple[Cells, int]], fields: Sequence[str], number: str) -> Iterator[str]:
    columns = [_Cells(field, printable) for field in fields]
    widths = []
    for at, cells in enumerate(columns):
        texts = [cells[value] for value in {row[at] for row, _ in rows}]
        width = max(map(len, [*texts, fields[at]]))
        width = min(width, WIDEST)
        cells.update({value: text.ljust(width) for value, text in cells.items()})
        widths.append(width)
    most = max([len(number), *(len(f"{calls:,}") for _, calls in rows)])
    names = [field.ljust(width) for field, width in zip(fields, widths, strict=True)]
    yield "  ".join([number.rjust(most), *names]).rstrip()
    for row, calls in rows:
        texts = [cells[value] for cells, value in zip(columns, row, strict=True)]
        yield "  ".join([f"{calls:>{most},}", *texts]).rstrip()


def _csv(rows: Sequence[tuple[Cells, int]], fields: Sequence[str], number: str) -> Iterator[str]:
    columns = [_Cells(field, _quoted) for field in fields]
    yield ",".join([*fields, number])
    for row, calls in rows:
        texts = [cells[value] for cells, value in zip(columns, row, strict=True)]
        yield ",".join([*texts, str(calls)])


def _json(rows: Sequence[tuple[Cells, int]], fields: Sequence[str], number: str) -> Iterator[str]:
    """Write one list, an object a line. Everything but ASCII is escaped, so it is inert."""
    columns = [_Cells(field, json.dumps) for field in fields]
    if not rows:
        yield "[]"
        return
    yield "["
    for at_row, (row, calls) in enumerate(rows, 1):
        members = [f'"{field}": {columns[at][row[at]]}' for at, field in enumerate(fields)]
        text = ", ".join([*members, f'"{number}": {calls}'])
        yield f"  {{{text}}}" + ("," if at_row < len(rows) else "")
    yield "]"


def _quoted(text: str) -> str:
    """Write *text* as a cell of CSV that no spreadsheet takes for a formula."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_inert(printable(text)), ""])
    return line.getvalue()[:-1]  # without the comma of the second, empty cell


def _inert(text: str) -> str:
    """
    Keep a spreadsheet from running *text*. A lone ``-`` is CloudTrail's empty value.

    Where the comma is for decimals, a semicolon is between cells: a formula may follow one too.
    """
    return text if text == "-" else _FORMULA.sub(r"\1'", text)
