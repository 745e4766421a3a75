"""Whatever stands in a log or an event: an error of ours, or every record in one place."""

import base64
import gzip
import json
import tracemalloc
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logs import decode
from tests.payloads import Context, FakeClock, event, record
from tests.runtime import CloudWatch

from apitracker.core.compression import inflate
from apitracker.core.counting import Query, merge, read_log
from apitracker.core.documents import MESSAGES
from apitracker.core.fields import FIELDS as KNOWN
from apitracker.core.fields import WIDTHS
from apitracker.core.model import Key, Log
from apitracker.core.records import SHORT, parts
from apitracker.core.selection import is_utf_8, matcher, parse_where
from apitracker.core.times import parse, write
from apitracker.errors import LogError, SettingsError, UsageError
from apitracker.logs.sources import Found
from apitracker.logs.workers import ReadLog, results
from apitracker.settings import load
from apitracker.store.database import Store
from apitracker.store.queries import Ranking, rank
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.handler import handle
from apitracker.tracker.signing import Connection
from apitracker.tracker.tracking import Tracker, assemble

Json: TypeAlias = Any
"""What `json` reads and writes."""

CORPUS = Path(__file__).parent / "corpus"
README = (CORPUS / "README.md").read_text()
ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in README.splitlines()
    if line.startswith("| `")
]
JUNK: list[Json] = [
    None,
    True,
    -(10**400),
    1.5,
    1e308,
    "",
    "\0",
    "\ud800",
    "\u202e\x1b",
    [],
    [{}],
    {},
    {"": 1},
]
FIELDS = [*record(), "errorCode", "addendum", "responseElements", "recipientAccountId"]
GOOD = [record(1), record(2, errorCode="AccessDenied"), record(2)]
BY = Key._fields
KEPT = sorted(SHORT - WIDTHS.keys() | {"second"})

unhurried = settings(deadline=None)  # a busy machine is no fault


def document(records: list[Json]) -> bytes:
    """A log file as CloudTrail writes it."""
    return json.dumps({"Records": records}, separators=(",", ":")).encode()


def outcome(body: bytes | list[str], *, short: bool = False) -> Json:
    """What becomes of a log: its short fields where it can be read whole, else nothing."""
    fields = sorted(SHORT) if short else None
    balance: list[Json] = [[], [], Counter(), []]
    try:
        for part in parts(Log("id", "log", body), fields=fields):
            for calls, found in zip(balance, (part.calls, part.duplicates), strict=False):
                calls += [[getattr(call, field) for field in KEPT] for call in found]
            balance[2].update(part.skipped)
            balance[3] += part.rejected
    except LogError:
        return None
    return balance


def balanced(body: bytes, elements: int) -> None:
    """Each of *elements* is in one place, by every way that a log is read."""
    decoded = decode(Log("id", "log", body))
    assert elements == decoded.received
    assert outcome(body) == outcome(body, short=True)
    for call in decoded.calls:
        write("second", call.second)


# --- logs ---------------------------------------------------------------------------------------


def test_the_corpus_is_described() -> None:
    """Every file of the corpus has a line in its README, and the other way round."""
    assert {name for name, _, _ in ROWS} == {p.name for p in CORPUS.iterdir()} - {"README.md"}


@pytest.mark.parametrize(("name", "end"), [(name, end) for name, _, end in ROWS])
def test_corpus(name: str, end: str) -> None:
    """What becomes of each file of the corpus is what its README says."""
    body = (CORPUS / name).read_bytes()
    if " = " in end:
        found = decode(Log.of(name, body))
        rest = (found.calls, found.duplicates, list(found.skipped.elements()), found.rejected)
        assert end == f"{found.received} = {' + '.join(str(len(part)) for part in rest)}"
    else:
        with pytest.raises(LogError) as fault:
            decode(Log.of(name, body))
        assert end in fault.value.fault
        assert len(str(fault.value)) < 1_000
    assert outcome(body) == outcome(body, short=True)


def test_every_byte_of_a_log() -> None:
    """A log with any byte changed, or cut out, is refused or read alike by both ways."""
    body = document(GOOD[:2])
    read = 0
    for at in range(len(body)):
        for byte in (b"", b"\0", b'"', b"\\", b"{", b"]", b",", b"\x80"):
            damaged = body[:at] + byte + body[at + 1 :]
            found = outcome(damaged)
            assert found == outcome(damaged, short=True)
            read += found is not None
    assert read > len(body)  # most damage is to a value, and costs that value only


def test_every_bit_of_a_gzip_stream() -> None:
    """A gzip stream with a bit changed gives the same text, or none: damage is never counted."""
    body = document(GOOD)
    packed = gzip.compress(body, mtime=0)
    for at in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[at // 8] ^= 1 << at % 8
        try:
            text = b"".join(inflate(bytes(damaged), "log", max_bytes=1_000_000))
        except LogError:
            continue
        # The header's time, flags and system are nobody's business; or it is gzip no longer.
        assert text in (body, bytes(damaged)), at


@pytest.mark.parametrize("junk", JUNK, ids=ascii)
def test_every_field_of_every_type(junk: Json) -> None:
    """A field of any type costs that field, and the record only where it is the time."""
    texts = [json.dumps(record(at, **{field: junk})) for at, field in enumerate(FIELDS)]
    file = outcome(b'{"Records":[' + b",".join(text.encode() for text in texts) + b"]}")
    assert file == outcome(texts) == outcome("\n".join(texts).encode())
    calls, duplicates, skipped, rejected = file
    assert (len(calls), duplicates, skipped) == (len(FIELDS) - 1, [], Counter())
    assert [r.place for r in rejected] == [f"record {FIELDS.index('eventTime') + 1}"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
mutated = st.builds(
    lambda changes, number: {**record(number), **changes},
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=4),
    st.integers(0, 5),
)


@settings(unhurried, max_examples=300)
@given(st.lists(mutated | values, max_size=8))
def test_any_records(records: list[Json]) -> None:
    """Any JSON in a list of records: each in one place, whichever way it was delivered."""
    body = document(records)
    balanced(body, len(records))
    texts = [json.dumps(element) for element in records]
    assert outcome(body) == outcome(texts) == outcome(texts, short=True)


@unhurried
@given(st.lists(mutated | values, min_size=1, max_size=5), st.data())
def test_the_same_however_long(records: list[Json], data: st.DataObject) -> None:
    """A log that is cut to be read gives what one does that is not."""
    padding = [record(at + 9, userAgent="x" * 9_000) for at in range(40)]
    at = data.draw(st.integers(0, len(padding)))
    mixed = [*padding[:at], *records, *padding[at:]]
    whole = json.dumps({"Records": mixed}).encode()  # with spaces it is not cut
    assert outcome(document(mixed)) == outcome(whole)


@pytest.mark.parametrize("many", [1, 300])
@pytest.mark.parametrize("again", [1, 300])
def test_records_twice(many: int, again: int) -> None:
    """A second list of records does not make the first one vanish, however long either is."""
    first = [record(at, userAgent="x" * 2_000) for at in range(many)]
    second = [record(1_000 + at, userAgent="x" * 2_000) for at in range(again)]
    body = document(first)[:-1] + b',"Records":' + document(second)[len(b'{"Records":') :]
    with pytest.raises(LogError, match="it has Records twice"):
        decode(Log("id", "log", body))


def test_many_small_records_in_one_piece() -> None:
    """A log that cannot be cut comes in parts that are no longer than others."""
    body = document([{}] * 100_000)
    lengths = [part.received for part in parts(Log("id", "log", body))]
    assert sum(lengths) == 100_000
    assert set(lengths) == {MESSAGES}


# --- the same by every way ----------------------------------------------------------------------


@settings(unhurried, max_examples=40)
@given(st.lists(st.lists(mutated, min_size=1, max_size=5), min_size=1, max_size=3))
def test_files_payloads_and_the_store_agree(logs: list[list[Json]]) -> None:
    """Different logs have the same counts as files and as payloads."""
    logs = [[*records, record(100 + at)] for at, records in enumerate(logs)]
    query = Query(BY)
    files = [read_log(Log.of(f"{at}", document(each)), query) for at, each in enumerate(logs)]
    payloads = [
        read_log(log, query)
        for at, each in enumerate(logs)
        for log in open_event(event(each, group=f"group {at}"))
    ]

    counts, balance = merge(files, query)

    assert balance.holds
    assert counts == merge(payloads, query).counts
    assert [each.balance.received for each in files] == [len(each) for each in logs]
    assert counts.calls == balance.counted


def test_the_store_agrees(tmp_path: Path) -> None:
    """Every log of the corpus that can be read is in the store as it is counted."""
    query = Query(BY)
    read: list[ReadLog] = []
    for path in sorted(CORPUS.iterdir()):
        with suppress(LogError):
            partial = read_log(Log.of(path.name, path.read_bytes()), query)
            read.append(ReadLog(Found(path.name, -1), partial))
    store = Store(tmp_path / "store.duckdb")
    kept = store.add(read)
    counts, balance = merge(results(read), query)
    fields = [field for field in BY if field in KNOWN]
    with store.reading() as db:
        assert dict(rank(db, Ranking(tuple(fields))).rows) == counts.by(fields).rows
    assert kept == balance
    assert kept.holds


# --- envelopes ----------------------------------------------------------------------------------

any_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["awslogs", "data", "Records", ""]), inner, max_size=3)
    ),
    max_leaves=10,
)
payloads = st.fixed_dictionaries(
    {"messageType": st.sampled_from(["DATA_MESSAGE", "CONTROL_MESSAGE"]) | scalars},
    optional={
        "logGroup": scalars,
        "logEvents": st.lists(
            st.fixed_dictionaries({}, optional={"id": scalars, "message": scalars}) | values,
            max_size=4,
        )
        | values,
    },
)


@unhurried
@given(any_json)
def test_any_event(given_event: Json) -> None:
    """No event but one of a subscription is taken for one."""
    with pytest.raises(LogError):
        open_event(given_event)


@unhurried
@given(payloads)
def test_any_payload(payload: Json) -> None:
    """Of any payload comes a log that can be counted, nothing, or an error of ours."""
    data = base64.b64encode(json.dumps(payload).encode()).decode()
    try:
        logs = open_event({"awslogs": {"data": data}})
    except LogError:
        return
    for log in logs:
        assert decode(log).received == len(payload.get("logEvents", []))


def test_every_character_of_an_event() -> None:
    """An event with any character changed is refused, or is the same log."""
    data = event(GOOD)["awslogs"]["data"]
    whole = open_event({"awslogs": {"data": data}})
    for at in range(len(data)):
        for character in ("", "A", "/", "=", "\n", "é", "\ud800"):
            try:
                found = open_event({"awslogs": {"data": data[:at] + character + data[at + 1 :]}})
            except LogError:
                continue
            assert found == whole


def test_an_unknown_type_is_named_briefly() -> None:
    """What an error says of a payload is short, whatever it holds."""
    with pytest.raises(LogError) as fault:
        open_event(event([], messageType="x" * 1_000_000))
    assert len(str(fault.value)) < 200


@pytest.mark.parametrize(
    "packed", [gzip.compress, lambda body: b"".join([gzip.compress(b"")] * 9) + gzip.compress(body)]
)
def test_bombs_take_the_memory_that_is_allowed(packed: Any) -> None:  # noqa: ANN401
    """A payload of 60 KB that inflates to 64 MB is refused when a megabyte of it is known."""
    body = packed(b" " * 64_000_000)
    data = base64.b64encode(body).decode()
    tracemalloc.start()
    try:
        with pytest.raises(LogError, match="more than 1,000,000 bytes"):
            open_event({"awslogs": {"data": data}}, max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


# --- settings, globs, times ---------------------------------------------------------------------

SETTINGS = ["STORE", "PROCESSES", "MAX_LOG_BYTES", "NAMESPACE", "INCLUDE", "BUDGET", "KEEP", "X"]
hostile_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["9" * 30, "9" * 5_000, "-1", "1e9", "*" * 5_000, "eventName=[", "\0", "\ud800", "\uff15"]
)


@unhurried
@given(st.dictionaries(st.sampled_from([f"APITRACKER_{name}" for name in SETTINGS]), hostile_text))
def test_any_settings(environ: dict[str, str]) -> None:
    """Settings of any text are taken or refused by us."""
    try:
        found, _ = load(environ)
    except SettingsError:
        return
    assert 1 <= found.workers <= 256


globs = st.text("*?[]!^-\\&|~()+.a\n", max_size=60) | hostile_text


@unhurried
@given(globs, hostile_text)
def test_any_glob(glob: str, value: str) -> None:
    """Any glob can be asked for any value, or is refused as too long or for its bytes."""
    try:
        where = parse_where([f"eventName={glob}"])
    except UsageError:
        assert len(glob) > 2_048 or not is_utf_8(glob)
        return
    assert matcher("eventName", where["eventName"])(value) in {True, False}


def test_globs_of_thousands_of_stars() -> None:
    """A glob as long as one may be does not try all ways to match."""
    for glob in ("*" * 2_048, "*a" * 1_024, "*?" * 1_024, "[a" * 1_024, "*[!b]" * 409):
        (matches,) = parse_where([f"eventName={glob}"]).values()
        assert matcher("eventName", matches)("a" * 100_000 + "\n") in {True, False}
    with pytest.raises(UsageError, match="at most 2,048 characters"):
        parse_where(["eventName=" + "*" * 2_049])


@unhurried
@given(hostile_text | st.from_regex(r"[0-9]{1,12}[smhdw]|[0-9]{4}-[0-9]{2}-[0-9]{2}.{0,20}"))
def test_any_time(text: str) -> None:
    """Any text is a time or an error of ours."""
    with suppress(UsageError):
        assert isinstance(parse(text, now=datetime.now(UTC)), int)


# --- the Lambda ---------------------------------------------------------------------------------


@pytest.fixture
def tracker(poster: Connection, clock: FakeClock) -> Tracker:
    """A tracker that publishes to the test's CloudWatch, and has no ledger."""
    return assemble(load({})[0], poster, poster, clock)


@pytest.mark.parametrize(("budget", "named"), [("10000", 10_000), ("5000", 5_000)])
def test_ten_thousand_invented_names(
    tracker: Tracker, cloudwatch: CloudWatch, budget: str, named: int
) -> None:
    """10,000 APIs that do not exist, in one minute, count once each, within the budget by name."""
    allowed, _ = load({"APITRACKER_BUDGET": budget})
    limited = assemble(allowed, tracker.poster, tracker.poster, tracker.clock)
    records = [record(at, eventName=f"Invented{at}") for at in range(10_000)]
    handle(event(records), Context(), limited)

    counts = Counter(name for name in cloudwatch.names() if name.startswith("Invented"))
    assert len(counts) == named
    assert set(counts.values()) == {1}
    assert cloudwatch.calls() == 10_000


def test_the_log_line_is_one_short_line_of_ascii(
    tracker: Tracker, cloudwatch: CloudWatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever records hold, what the function writes of them is inert, and far below 1 MB."""
    texts = [
        "\n{}\r\n",
        "\x1b]0;x\x07",
        "\u202e",
        "\0",
        "é" * 100_000,
        '","level":"ERROR',
        "\u2028",
    ]
    others = [field for field in FIELDS if field not in {"eventTime", "eventID"}]
    records = [
        *({**record(at), **dict.fromkeys(others, text)} for at, text in enumerate(texts)),
        *(record(eventTime=text) for text in texts * 20),
        *(json.dumps(text) for text in texts * 20),
    ]
    handle(event(records, group="\n" * 1_000_000), Context(), tracker)

    [line] = capsys.readouterr().out.splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 20_000
    said = json.loads(line)
    assert said["message"] == "tracked"
    assert (said["Received"], said["Counted"], said["Rejected"]) == (287, 6, 281)  # a ":"
    assert cloudwatch.calls() == 6
