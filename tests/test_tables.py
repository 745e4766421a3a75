"""Rows as text: exact to the byte, and inert in terminals and spreadsheets."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.fields import Row
from apitracker.core.tables import FORMATS, lines, printable

JULY_10 = 1_688_989_327  # 2023-07-10T11:42:07Z
ROWS: list[tuple[Row, int]] = [((JULY_10 - 7, "GetObject"), 1_234), ((JULY_10 - 67, "-"), 5)]
FORMULAS = "=+-@\t\r＝＋－＠"  # noqa: RUF001 - spreadsheets run these too


def test_table() -> None:
    """Counts stand first, to the right, with thousands apart; nothing trails."""
    assert list(lines(ROWS, ["minute", "eventName"], "table")) == [
        "calls  minute             eventName",
        "1,234  2023-07-10T11:42Z  GetObject",
        "    5  2023-07-10T11:41Z  -",
    ]


def test_csv() -> None:
    """A header of the fields as typed and calls; numbers plain."""
    assert list(lines(ROWS, ["minute", "eventName"], "csv")) == [
        "minute,eventName,calls",
        "2023-07-10T11:42Z,GetObject,1234",
        "2023-07-10T11:41Z,-,5",
    ]


def test_json() -> None:
    """One list of objects, the fields in the order asked for."""
    text = "\n".join(lines(ROWS, ["minute", "eventName"], "json"))

    assert [list(row.items()) for row in json.loads(text)] == [
        [("minute", "2023-07-10T11:42Z"), ("eventName", "GetObject"), ("calls", 1234)],
        [("minute", "2023-07-10T11:41Z"), ("eventName", "-"), ("calls", 5)],
    ]


def test_other_numbers() -> None:
    """A number may have another name and be negative; one among the fields is one in JSON too."""
    rows: list[tuple[Row, int]] = [(("Get", 1_234), -1_200)]
    written = {form: list(lines(rows, ["eventName", "happened"], form, "less")) for form in FORMATS}

    assert written == {
        "table": ["  less  eventName  happened", "-1,200  Get        1234"],
        "csv": ["eventName,happened,less", "Get,1234,-1200"],
        "json": ["[", '  {"eventName": "Get", "happened": 1234, "less": -1200}', "]"],
    }


@pytest.mark.parametrize(
    ("field", "second", "text"),
    [
        ("second", JULY_10, "2023-07-10T11:42:07Z"),
        ("minute", JULY_10 - 7, "2023-07-10T11:42Z"),
        ("hour", 1_688_986_800, "2023-07-10T11Z"),
        ("day", 1_688_947_200, "2023-07-10"),
        ("second", 0, "1970-01-01T00:00:00Z"),
        ("second", -1, "1969-12-31T23:59:59Z"),
    ],
)
def test_times(field: str, second: int, text: str) -> None:
    """Times are UTC, and as long as the field says."""
    assert [f"{field},calls", f"{text},1"] == list(lines([((second,), 1)], [field], "csv"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [("table", ["calls  eventName"]), ("csv", ["eventName,calls"]), ("json", ["[]"])],
)
def test_no_rows(form: str, expected: list[str]) -> None:
    """Nothing to show is still a table, a file, a list."""
    assert expected == list(lines([], ["eventName"], form))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("table", ["calls", "    7"]),
        ("csv", ["calls", "7"]),
        ("json", ["[", '  {"calls": 7}', "]"]),
    ],
)
def test_no_fields(form: str, expected: list[str]) -> None:
    """By nothing there is one row, the total."""
    assert expected == list(lines([((), 7)], [], form))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("", ""),
        ("-", "-"),
        ("--", "'--"),
        ("-1", "'-1"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),  # noqa: RUF001 - spreadsheets run it too
        ("a=1", "a=1"),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ('=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'),
        ("\t=1", r"\t=1"),
        ("two\nlines", r"two\nlines"),
        ("é", "é"),
    ],
)
def test_cells(value: str, cell: str) -> None:
    """What a spreadsheet would run gets an apostrophe, a lone hyphen does not."""
    assert ["eventName,calls", f"{cell},1"] == list(lines([((value,), 1)], ["eventName"], "csv"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢", "plain é 漢"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb", r"a\u202eb"),
        ("\u2066\u200b\ufeff", r"\u2066\u200b\ufeff"),
        ("a\r\nb\0\x7f", r"a\r\nb\x00\x7f"),
        ("\udcff", r"\udcff"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Control, bidirectional and unseen characters become escapes, all else stays."""
    assert expected == printable(text)


values = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\x1b]0;x\x07", "\x9b31m", "\u202e", "=1", "-", "a\nb", '"', ",", "'", "\u2028", "\x7f"]
)
rows = st.lists(st.tuples(st.tuples(values, values), st.integers(1, 10**12)))


@given(rows, st.sampled_from(FORMATS))
def test_no_format_carries_what_cannot_be_seen(found: list[tuple[Row, int]], form: str) -> None:
    """Whatever the values are, every line is one line of visible characters."""
    for line in lines(found, ["eventName", "caller"], form):
        assert line.isprintable()


@given(rows)
def test_csv_is_read_back_without_formulas(found: list[tuple[Row, int]]) -> None:
    """Each row comes back with its cells and calls, and no cell is a formula."""
    text = "".join(line + "\n" for line in lines(found, ["eventName", "caller"], "csv"))
    head, *body = csv.reader(io.StringIO(text, newline=""))

    assert head == ["eventName", "caller", "calls"]
    assert [str(calls) for _, calls in found] == [row[2] for row in body]
    for cells, (row, _) in zip(body, found, strict=True):
        assert not any(cell.startswith(tuple(FORMULAS)) and cell != "-" for cell in cells)
        for cell, value in zip(cells[:2], row, strict=True):
            assert cell in {printable(str(value)), "'" + printable(str(value))}


@given(rows)
def test_json_is_read_back_exactly(found: list[tuple[Row, int]]) -> None:
    """JSON loses nothing: programs get the values as they were."""
    text = "\n".join(lines(found, ["eventName", "caller"], "json"))

    assert [(row, calls) for row, calls in found] == [
        ((row["eventName"], row["caller"]), row["calls"]) for row in json.loads(text)
    ]
