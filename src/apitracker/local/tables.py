"""
Rows as text: for people, for spreadsheets, for programs.

Values come out of logs, and so from whoever called the API: none reaches a terminal with a
control character in it, nor a spreadsheet as a formula.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from apitracker.core.tally import Row
from apitracker.core.times import label

FORMATS: Final = ("table", "csv", "json")
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel runs these too


def lines(rows: Iterable[tuple[Row, int]], fields: Sequence[str], form: str) -> Iterator[str]:
    """Write *rows* of *fields*, and how many calls each stands for, in one of `FORMATS`."""
    writer = {"table": _table, "csv": _csv, "json": _json}[form]
    return writer(rows, fields)


def printable(text: str) -> str:
    """Write control, bidirectional and other unseen characters as escapes, like backslash x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _table(rows: Iterable[tuple[Row, int]], fields: Sequence[str]) -> Iterator[str]:
    body = [[f"{calls:,}", *_labels(row, fields)] for row, calls in rows]
    head = ["calls", *fields]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    for cells in chain([head], body):
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        yield "  ".join([cells[0].rjust(widths[0]), *padded[1:]]).rstrip()


def _csv(rows: Iterable[tuple[Row, int]], fields: Sequence[str]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="")
    body = ([*map(_inert, _labels(row, fields)), str(calls)] for row, calls in rows)
    for cells in chain([[*fields, "calls"]], body):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _json(rows: Iterable[tuple[Row, int]], fields: Sequence[str]) -> Iterator[str]:
    """Write one list, an object a line. Everything but ASCII is escaped, so it is inert."""
    before = "["
    for row, calls in rows:
        values = {field: label(field, value) for field, value in zip(fields, row, strict=True)}
        line = json.dumps({**values, "calls": calls})
        yield before
        before = f"  {line},"
    if before == "[":
        yield "[]"
    else:
        yield from (before.removesuffix(","), "]")


def _labels(row: Row, fields: Sequence[str]) -> list[str]:
    return [printable(label(field, value)) for field, value in zip(fields, row, strict=True)]


def _inert(text: str) -> str:
    """Keep a spreadsheet from running *text*. A lone ``-`` is how CloudTrail says nothing."""
    return f"'{text}" if text.startswith(FORMULAS) and text != "-" else text
