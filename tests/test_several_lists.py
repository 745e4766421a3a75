"""A log with several lists of records in one object: all of them counted, or the log is refused."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.commands import APITRACKER
from tests.logs import decode

from apitracker.core.model import Log
from apitracker.errors import LogError

Json: TypeAlias = Any
"""What `json` reads and writes."""

Member: TypeAlias = tuple[str, str]
"""A key and a value of an object, both as JSON text."""

RECORDS: Final = r'"\u0052ecords"'
EVENTS: Final = r'"Event\u0073"'


def record(at: int, **more: Json) -> Json:
    """A record that no other repeats."""
    time = {"eventTime": "2023-07-10T11:42:07Z"}
    return {"eventVersion": "1.08", **time, "eventName": f"Get{at}", "eventID": f"e-{at}", **more}


def texts(count: int, first: int = 0) -> list[Json]:
    """*count* records, long enough to be cut where there are hundreds."""
    return [record(first + at, userAgent="x" * 2_000) for at in range(count)]


def records(elements: list[Json], key: str = '"Records"') -> Member:
    """A list of records, as CloudTrail has it."""
    return key, compact(elements)


def events(elements: list[Json], key: str = '"Events"') -> Member:
    """A list of records, as LookupEvents has it."""
    return key, compact([{"CloudTrailEvent": json.dumps(element)} for element in elements])


def compact(value: Json) -> str:
    """*value* as CloudTrail writes it."""
    return json.dumps(value, separators=(",", ":"))


def written(*members: Member) -> str:
    """An object of *members*, whatever their keys."""
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"


def names(body: bytes) -> list[str]:
    """The names of the calls in *body*."""
    return [call.eventName for call in decode(Log("id", "log", body)).calls]


A, B = [record(1)], [record(2)]
LONG = texts(300)
FIELDS = tuple((f'"{key}"', compact(value)) for key, value in record(3).items())


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ((records(A), records(B)), "Records twice"),
        ((('"x"', "1"), records(A), records(B)), "Records twice"),
        ((records(A), ('"x"', "1"), records(B)), "Records twice"),
        ((records(A), records(A)), "Records twice"),
        ((records(A), records([])), "Records twice"),
        ((records([]), records(A)), "Records twice"),
        ((records(A), ('"Records"', "null")), "Records twice"),
        ((records(A, RECORDS), records(B)), "Records twice"),
        ((records(A), records(B, RECORDS)), "Records twice"),
        ((records(LONG), records(B)), "Records twice"),
        ((records(LONG), records(B, RECORDS)), "Records twice"),
        ((records(A), records(LONG)), "Records twice"),
        ((events(A), events(B)), "Events twice"),
        ((events(A), events(B, EVENTS)), "Events twice"),
        ((records(A), events(B)), "Records and Events"),
        ((events(A), records(B)), "Events and Records"),
        ((records(LONG), events(B)), "Records and Events"),
        ((records(A), *FIELDS), "Records and the fields of a record"),
        ((*FIELDS, events(A, EVENTS)), "Events and the fields of a record"),
    ],
)
@pytest.mark.parametrize("form", ["alone", "line", "behind another", "gzip"])
def test_several_lists_are_refused(members: tuple[Member, ...], held: str, form: str) -> None:
    """Which list would be lost is not guessed: the log is refused, whatever form it has."""
    text = written(*members)
    body = {
        "alone": text,
        "line": f"{compact(record(8))}\n{text}\n{compact(record(9))}\n",
        "behind another": f"{written(records([record(8)]))}{text}",
        "gzip": text,
    }[form].encode()
    with pytest.raises(LogError) as caught:
        decode(Log("id", "log", gzip.compress(body) if form == "gzip" else body))

    assert str(caught.value) == (
        f"log: is not a CloudTrail log: it has {held}, of which one would be lost; "
        "write each into a file of its own"
    )


@pytest.mark.parametrize("key", ['"CloudTrailEvent"', r'"\u0043loudTrailEvent"'])
def test_two_records_in_an_event(key: str) -> None:
    """An event of LookupEvents has one record; with two the log is refused."""
    event = written(('"CloudTrailEvent"', json.dumps(compact(A))), (key, json.dumps(compact(B))))

    with pytest.raises(LogError, match="it has CloudTrailEvent twice in an event, of which"):
        names(written(('"Events"', f"[{event}]")).encode())


@pytest.mark.parametrize("text", [written(records(A, RECORDS)), written(events(A, EVENTS))])
def test_one_list_under_an_escaped_key(text: str) -> None:
    """A key is the same however its characters are written."""
    assert names(text.encode()) == ["Get1"]


def test_repeated_keys_that_hold_no_records() -> None:
    """Any other key may be repeated, and within a record the last one counts, as in all JSON."""
    element = '{"eventTime":"2023-07-10T11:42:07Z","eventName":"A","event\\u004eame":"B"}'
    text = written(('"x"', "1"), ('"Records"', f"[{element}]"), ('"x"', "2"))

    assert names(text.encode()) == ["B"]


KEYS = st.sampled_from(['"Records"', RECORDS, '"Events"', EVENTS])
SIZES = st.sampled_from([0, 1, 2, 200])
OTHERS = st.sampled_from([('"x"', "1"), ('"x"', '{"Records":[{}]}'), ('"NextToken"', '"t"')])


@st.composite
def logs(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Objects with lists of records and other members, and all names in them."""
    found: list[str] = []
    objects = []
    for _ in range(draw(st.integers(1, 3))):
        members: list[Member] = []
        for key in draw(st.lists(KEYS, min_size=1, max_size=3)):
            elements = texts(draw(SIZES), 1_000 * (len(found) + 1))
            found += [element["eventName"] for element in elements]
            make = records if key in {'"Records"', RECORDS} else events
            members.append(make(elements, key))
        members += draw(st.lists(OTHERS, max_size=2))
        objects.append(written(*draw(st.permutations(members))))
    between = draw(st.sampled_from(["", "\n"]))
    return between.join(objects), found


@settings(deadline=None, suppress_health_check=[*HealthCheck], max_examples=200)
@given(logs())
def test_all_or_nothing(log: tuple[str, list[str]]) -> None:
    """However lists of records are put together, all records are counted or the log is refused."""
    text, found = log
    try:
        counted = names(text.encode())
    except LogError as e:
        assert "is not a CloudTrail log: it has " in str(e)  # noqa: PT017
    else:
        assert sorted(counted) == sorted(found)


def test_the_command_names_the_log(tmp_path: Path) -> None:
    """`count` counts the other logs, names the one that it refuses, and exits 1."""
    (tmp_path / "good.json").write_text(written(records(A)))
    (tmp_path / "bad.json").write_text(written(('"x"', "1"), records(A), records(B)))

    done = subprocess.run(
        [APITRACKER, "count", "good.json", "bad.json", "--by", "eventName", "--format", "csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "eventName,calls\nGet1,1\n")
    assert "bad.json: is not a CloudTrail log: it has Records twice" in done.stderr
