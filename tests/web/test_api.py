"""The JSON behind the page: its figures, its words when there are none, and who may ask."""

import csv
import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance
from tests.commands import APITRACKER
from tests.stores import ask, asking
from tests.web.serving import ingest, serving

from apitracker.core.fields import FIELDS, UNKEPT, WIDTHS
from apitracker.errors import UsageError
from apitracker.page import server, views
from apitracker.page.app import LOOPBACK, is_ours, make_app
from apitracker.page.parameters import ExportParameters
from apitracker.store.queries import SORTS

DATA = Path(__file__).parents[3] / "shared" / "data"
GOLDEN = DATA / "golden"
DAY = 86_400
CULPRIT = "arn:aws:iam::111122223333:role/inventory-scanner"

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


@pytest.fixture(scope="module")
def api(site: str) -> Iterator[httpx.Client]:
    """What asks the server that shows the synthetic trail."""
    with httpx.Client(base_url=site, timeout=30) as client:
        yield client


def asked(client: httpx.Client, address: str) -> Any:  # noqa: ANN401 - JSON
    """The answer to *address*, which there has to be."""
    response = client.get(address)
    assert response.status_code == 200, response.text
    return response.json()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the file says, without the store."""
    with duckdb.connect(path, read_only=True) as db:
        return db.execute(sql).fetchall()


# --- figures of the synthetic trail -------------------------------------------------------------


def test_about(api: httpx.Client) -> None:
    """What is in the store, and what can be asked of it."""
    about = asked(api, "/api/about")

    assert about["store"].endswith("usage.duckdb")
    assert (about["exists"], about["logs"], about["calls"]) == (True, 392, 20_000)
    assert (about["first"], about["last"]) == (1_793_145_614, 1_793_404_797)
    assert (about["eventsKept"], about["origin"]) == (20_000, "synthetic")
    assert about["fields"][:5] == ["second", "minute", "hour", "day", "eventName"]
    assert "eventType" not in about["fields"]


def test_summary_of_all(api: httpx.Client) -> None:
    """From the first call to the last, with nothing before it to compare with."""
    assert asked(api, "/api/summary") == {
        "since": 1_793_145_614,
        "until": 1_793_404_798,
        "now": {
            "calls": 20_000,
            "peak": 145,
            "peakSecond": 1_793_368_800,
            "failed": 566,
            "throttled": 304,
            "denied": 227,
            "apis": 324,
            "callers": 127,
            "accounts": 4,
            "regions": 3,
        },
        "before": None,
    }


def test_summary_of_a_day_and_the_day_before(api: httpx.Client, store: Path) -> None:
    """The time before is as long, and ends where the time begins: as SQL by hand says."""
    summary = asked(api, "/api/summary?since=2026-10-29&until=2026-10-30&where=awsRegion=us-*")
    day = 1_793_232_000
    assert (summary["since"], summary["until"]) == (day, day + DAY)
    for found, begin in ((summary["now"], day), (summary["before"], day - DAY)):
        calls = f"""
            FROM counts JOIN series ON id = series
            WHERE second >= {begin} AND second < {begin} + 86400 AND awsRegion LIKE 'us-%'
        """
        ((n, callers, accounts, regions),) = query(
            store,
            f"""
            SELECT sum(calls)::BIGINT, count(DISTINCT caller), count(DISTINCT recipientAccountId),
                count(DISTINCT awsRegion) {calls}
            """,
        )
        ((peak,),) = query(
            store,
            f"SELECT max(n) FROM (SELECT sum(calls)::BIGINT AS n {calls} GROUP BY second)",  # noqa: S608
        )
        assert (found["calls"], found["peak"]) == (n, peak)
        assert (found["callers"], found["accounts"], found["regions"]) == (
            callers,
            accounts,
            regions,
        )
        assert n > 1_000


@pytest.mark.parametrize(
    ("address", "compared"),
    [
        ("since=2026-10-29&until=2026-10-30", True),
        ("since=2026-10-29T12:00Z&until=2026-10-30T23:59Z", True),
        ("since=2026-10-29T12:00Z&until=2026-10-31T01:00Z", False),
        ("since=2026-10-28&until=2026-10-29", False),
        ("until=2026-10-29", False),
    ],
)
def test_a_time_is_compared_with_a_whole_one(
    api: httpx.Client,
    address: str,
    compared: bool,  # noqa: FBT001 - expected
) -> None:
    """There are calls from the 28th on: what begins before that day would say that all grew."""
    assert (asked(api, f"/api/summary?{address}")["before"] is not None) is compared


def test_a_time_after_the_last_call_ends_now(api: httpx.Client) -> None:
    """It has no calls, and is as long as it is since then."""
    summary = asked(api, "/api/summary?since=1h")
    series = asked(api, "/api/series?since=1h")

    assert summary["until"] - summary["since"] == 3_600
    assert (summary["now"]["calls"], len(series["times"])) == (0, len(series["throttled"]))
    assert series["series"] == []


def test_a_time_before_the_first_call(api: httpx.Client) -> None:
    """It has no calls, and ends when it was said to."""
    summary = asked(api, "/api/summary?until=2026-10-01")

    assert (summary["since"], summary["until"]) == (1_790_812_740, 1_790_812_800)
    assert summary["now"]["calls"] == 0


def test_series_by_outcome(api: httpx.Client) -> None:
    """Three days are cut in quarters of an hour; what is over a quota stands out in its time."""
    series = asked(api, "/api/series?by=outcome")

    assert series["step"] == 900
    assert series["times"][0] == 1_793_145_600
    assert series["times"][-1] + 900 >= 1_793_404_797
    assert {each["name"]: sum(each["calls"]) for each in series["series"]} == {
        "ok": 18_903,
        "failed": 566,
        "throttled": 304,
        "denied": 227,
    }
    by_name = {each["name"]: each["calls"] for each in series["series"]}
    assert series["throttled"] == by_name["throttled"]
    assert series["denied"] == by_name["denied"]
    worst = max(range(len(series["times"])), key=series["throttled"].__getitem__)
    assert (series["times"][worst], series["throttled"][worst]) == (1_793_368_800, 200)


def test_series_of_the_busiest_and_the_rest(api: httpx.Client) -> None:
    """The busiest services come first, all others together last."""
    series = asked(api, "/api/series?most=2")["series"]

    assert [each["name"] for each in series] == ["sts.amazonaws.com", "ec2.amazonaws.com", None]
    assert [sum(each["calls"]) for each in series] == [3_345, 3_287, 13_368]


def test_top(api: httpx.Client) -> None:
    """The busiest APIs, as `apitracker top` has them, with how many were refused."""
    top = asked(api, "/api/top?limit=2")

    assert top["total"] == 324
    assert [{**row, "spark": sum(row["spark"])} for row in top["rows"]] == [
        {
            "key": {"eventSource": "sts.amazonaws.com", "eventName": "AssumeRole"},
            "calls": 2_614,
            "throttled": 0,
            "denied": 16,
            "failed": 0,
            "spark": 2_614,
        },
        {
            "key": {"eventSource": "ec2.amazonaws.com", "eventName": "DescribeInstances"},
            "calls": 1_524,
            "throttled": 259,
            "denied": 12,
            "failed": 40,
            "spark": 1_524,
        },
    ]
    assert len(top["rows"][0]["spark"]) == 40


def test_top_of_times(api: httpx.Client) -> None:
    """The busiest minute of one API, for the alarm on it."""
    address = "/api/top?by=minute&limit=1&where=eventName=DescribeInstances"

    assert [(row["key"], row["calls"]) for row in asked(api, address)["rows"]] == [
        ({"minute": 1_793_368_800}, 200)
    ]


def test_throttles_name_the_culprit(api: httpx.Client) -> None:
    """The API that is throttled most, where and when, who is behind it, and its default quota."""
    first, *_ = asked(api, "/api/throttles?where=eventName=DescribeInstances")
    culprit, *others = first.pop("callers")
    quota = first.pop("defaultQuota")

    assert first == {
        "eventSource": "ec2.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "us-east-1",
        "recipientAccountId": "111122223333",
        "calls": 259,
        "made": 800,
        "first": 1_793_368_800,
        "last": 1_793_369_701,
        "worstSecond": {"at": 1_793_368_800, "calls": 45, "made": 145},
        "worstMinute": {"at": 1_793_368_800, "calls": 70, "made": 200},
        "outsideQuota": [],
        "awsTriggered": 0,
    }
    assert culprit == {"caller": CULPRIT, "calls": 560, "throttled": 54, "share": 0.7}
    assert sum(caller["throttled"] for caller in others) == 259 - 54
    assert quota[0] == "100 requests at once, then 20 a second per account and region"
    assert quota[-1].startswith("https://docs.aws.amazon.com/")


def test_what_uses_up_no_quota_is_apart(tmp_path: Path) -> None:
    """A service-linked role has no share, and where all was AWS's own doing there is no peak."""
    linked = (
        "arn:aws:iam::111122223333:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    )
    common = {
        "eventTime": "2026-10-01T12:00:00Z",
        "eventSource": "ec2.amazonaws.com",
        "eventType": "AwsApiCall",
        "errorCode": "Client.RequestLimitExceeded",
    }
    records = [
        {**common, "eventName": "DescribeHosts", "userIdentity": {"arn": linked}},
        {**common, "eventName": "DescribeHosts", "userIdentity": {"arn": "a"}},
        # Built from EC2's page on monitoring: no record of such a throttle was seen.
        {**common, "eventName": "DescribeTags", "errorMessage": "due to an AWS operational issue"},
    ]
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"Records": records}))
    ingest(tmp_path / "usage.duckdb", log)

    first, second = ask(tmp_path / "usage.duckdb", "/api/throttles", [])

    assert [behind["caller"] for behind in first["callers"]] == ["a"]
    assert first["outsideQuota"] == [{"caller": linked, "calls": 1, "throttled": 1}]
    assert (first["worstSecond"]["made"], first["awsTriggered"]) == (1, 0)
    assert (second["callers"], second["outsideQuota"], second["awsTriggered"]) == ([], [], 1)
    assert (second["worstSecond"], second["worstMinute"]) == (None, None)
    assert (second["calls"], second["defaultQuota"]) == (1, [])


def test_denials(api: httpx.Client) -> None:
    """Denied APIs are told in the same way."""
    denied = asked(api, "/api/throttles?outcome=denied")

    assert sum(each["calls"] for each in denied) == 227
    assert denied[0]["callers"][0]["caller"].endswith(":role/report-builder")


def test_reconciliation(api: httpx.Client) -> None:
    """Every record is in one place, and those that were rejected are named."""
    found = asked(api, "/api/reconciliation")
    rejections = found.pop("rejections")

    assert found == {
        "logs": 392,
        "received": 20_198,
        "counted": 20_000,
        "duplicates": 196,
        "skipped": {},
        "rejected": 2,
        "unreadable": 0,
        "unread": [],
        "fault": None,
    }
    assert len(rejections) == 2
    assert rejections[0]["log"].endswith(".json.gz")
    assert rejections[0]["place"].startswith("record ")
    assert rejections[0]["reason"].startswith("is not a record: ")


def test_exports_are_what_top_writes(api: httpx.Client, store: Path) -> None:
    """A file has what `apitracker top --all` writes for the same question."""
    for form, kind in (("csv", "text/csv; charset=utf-8"), ("json", "application/json")):
        response = api.get(
            "/api/export",
            params={
                "by": "day,caller",
                "format": form,
                "where": ["outcome=denied", "awsRegion=us-*"],
                "since": "2026-10-29",
            },
        )
        written = subprocess.run(
            [
                *(APITRACKER, "top", "--all", "--by", "day,caller", "--format", form),
                *("--where", "outcome=denied", "--where", "awsRegion=us-*"),
                *("--since", "2026-10-29", "--store", str(store)),
            ],
            check=True,
            capture_output=True,
        )
        assert response.content == written.stdout
        assert len(response.content) > 200
        assert response.headers["Content-Type"] == kind
        assert (
            response.headers["Content-Disposition"] == f'attachment; filename="day-caller.{form}"'
        )


def test_an_export_is_searched_and_sorted_as_a_table_is(api: httpx.Client) -> None:
    """With the same search and order it has the rows of the table, all of them."""
    for how in ("search=DESCRIBEINST", "sort=denied", "sort=name&descending=false&search=role"):
        asking = f"by=eventName,caller&where=outcome=denied&{how}"
        shown = asked(api, f"/api/top?limit=500&{asking}")
        exported = asked(api, f"/api/export?format=json&{asking}")
        assert [[row["eventName"], row["caller"], row["calls"]] for row in exported] == [
            [*row["key"].values(), row["calls"]] for row in shown["rows"]
        ]
        assert 1 < len(exported) == shown["total"]


def export(path: Path) -> str:
    """A file of calls by region."""
    with asking(path) as store:
        return views.export_rows(store, ExportParameters(by="awsRegion"))


def test_an_export_has_an_end(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one answer is refused, and not cut."""
    rows = export(store).splitlines()
    assert len(rows) == 1 + 3
    monkeypatch.setattr(views, "EXPORTED", 2)

    with pytest.raises(UsageError, match=r"^more than 2 rows: narrow it, or write them with"):
        export(store)


def test_no_spreadsheet_runs_an_export(hostile: str) -> None:
    """A name that is a formula is text, in a file as well."""
    exported = httpx.get(f"{hostile}/api/export?by=caller").text
    (formula,) = [row for row in csv.reader(io.StringIO(exported)) if "HYPERLINK" in row[0]]

    assert formula[0].startswith("'=HYPERLINK(")


def test_a_report_asks_for_the_same(api: httpx.Client, store: Path) -> None:
    """What a report has been told is what the page is told."""
    parameters = [("where", "awsRegion=us-*"), ("where", "outcome=ok"), ("since", "2026-10-29")]
    for name in views.ENDPOINTS:
        given = [] if name in ("/api/about", "/api/reconciliation") else parameters
        expected = api.get(name, params=urlencode(given)).json()
        assert ask(store, name, given) == expected


# --- figures of the real records ----------------------------------------------------------------


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """What asks a server that shows the real records."""
    store = tmp_path_factory.mktemp("real") / "usage.duckdb"
    ingest(store, DATA / "s3")
    with serving(store) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def golden_counts(name: str) -> dict[str, int]:
    """The counts in a golden file of one field."""
    with (GOLDEN / name).open(newline="") as file:
        return {row[0]: int(row[1]) for row in list(csv.reader(file))[1:]}


@real
def test_golden_summary(golden: httpx.Client) -> None:
    """The headline figures of the real records are those of their golden files."""
    with (GOLDEN / "by_minute.csv").open(newline="") as file:
        apis = {(row["eventSource"], row["eventName"]) for row in csv.DictReader(file)}
    summary = asked(golden, "/api/summary")["now"]

    assert (summary["calls"], summary["peak"]) == (4_777, 69)
    assert summary["throttled"] + summary["denied"] + summary["failed"] == 571 + 1
    assert summary["apis"] == len(apis)
    assert summary["accounts"] == len(golden_counts("by_recipientAccountId.csv"))
    assert summary["regions"] == len(golden_counts("by_awsRegion.csv"))
    assert asked(golden, "/api/reconciliation")["logs"] == 357


@real
@pytest.mark.parametrize("field", ["eventSource", "awsRegion", "recipientAccountId"])
def test_golden_tables(golden: httpx.Client, field: str) -> None:
    """A table, a file and calls over time of each field add up to its golden counts."""
    expected = golden_counts(f"by_{field}.csv")
    top = asked(golden, f"/api/top?by={field}&limit=500")
    exported = asked(golden, f"/api/export?by={field}&format=json")
    series = asked(golden, f"/api/series?by={field}&most=50")["series"]
    named = {each["name"]: sum(each["calls"]) for each in series}
    rest = named.pop(None, 0)

    assert {row["key"][field]: row["calls"] for row in top["rows"]} == expected
    assert top["total"] == len(expected)
    assert all(sum(row["spark"]) == row["calls"] for row in top["rows"])
    assert {row[field]: row["calls"] for row in exported} == expected
    assert named == {name: expected[name] for name in named}
    assert sum(named.values()) + rest == 4_777


@real
def test_golden_minutes(golden: httpx.Client) -> None:
    """Calls over time, minute by minute, are those of the golden minutes of the busiest hour."""
    minutes: Counter[str] = Counter()
    with (GOLDEN / "by_minute.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            minutes[row["minute"]] += int(row["count"])
    hour = minutes.most_common(1)[0][0][:13]
    series = asked(golden, f"/api/series?since={hour}:00Z&until={hour}:59:59Z&by=caller")
    totals = [sum(n) for n in zip(*(each["calls"] for each in series["series"]), strict=True)]
    found = {
        time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(at)): n
        for at, n in zip(series["times"], totals, strict=True)
        if n
    }

    assert (series["step"], len(series["times"])) == (60, 60)
    assert found == {minute: n for minute, n in minutes.items() if minute.startswith(hour)}


# --- questions that cannot be answered ----------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("summary?since=yesterdayish", "yesterdayish: not a time: use 2026-10-01, "),
        (
            "summary?since=2026-10-02&until=2026-10-01",
            "until: 2026-10-01T00:00:00Z is not after 2026-10-02T00:00:00Z",
        ),
        ("summary?where=eventName", "eventName: write FIELD=GLOB"),
        ("summary?where=nothing=1", "nothing: no such field; choose from second"),
        ("summary?where=eventType=x", "eventType: not kept in counts"),
        ("summary?sinse=2h", "sinse: there is no such parameter"),
        ("about?x=1", "x: there is no such parameter"),
        ("series?by=minute", "minute: calls over time are by a field that is not a time"),
        ("series?by=caller,eventName", "caller,eventName: no such field"),
        ("series?most=0", "most: must be at least 1"),
        ("top?by=", "by: name a field; choose from second"),
        ("top?by=1;drop", "1;drop: no such field"),
        ("top?limit=501", "limit: must be at most 500"),
        ("top?limit=many", "limit: write a whole number"),
        ("top?sort=day", "sort: choose from 'calls', 'throttled', 'denied', 'failed' or 'name'"),
        ("top?descending=perhaps", "descending: write true or false"),
        ("top?by=minute&search=x", "search: minute is a time; give since and until instead"),
        ("throttles?outcome=ok", "outcome: choose from 'throttled' or 'denied'"),
        ("export?by=minute&search=x", "search: minute is a time; give since and until instead"),
        ("export?by=caller&format=xml", "format: choose from 'csv' or 'json'"),
    ],
)
def test_a_wrong_question_is_refused_with_words(
    api: httpx.Client, address: str, words: str
) -> None:
    """What is wrong with it is said in a sentence, for the page to show."""
    response = api.get(f"/api/{address}")

    assert response.status_code == 422
    assert response.json()["detail"].startswith(words)


def test_a_report_is_refused_with_the_same_words(store: Path) -> None:
    """A question that cannot be asked is one whoever asks it."""
    with pytest.raises(UsageError, match=r"^most: must be at least 1$"):
        ask(store, "/api/series", [("most", "0")])


EVERYTHING = [
    *(
        "about",
        "summary",
        "summary?since=2026-11-01",
        "summary?until=2026-10-01",
        "series",
        "series?by=caller",
    ),
    *("top", "top?by=minute", "throttles", "throttles?outcome=denied", "reconciliation"),
    *("export", "export?format=json"),
]


def test_an_empty_store_has_answers(tmp_path: Path) -> None:
    """Without a store, and in one that nothing was added to, there is nothing: no error."""
    path = tmp_path / "usage.duckdb"
    with serving(path) as url:
        missing = [httpx.get(f"{url}/api/{address}") for address in EVERYTHING]
        assert not path.exists()
        duckdb.connect(path).close()
        empty = [httpx.get(f"{url}/api/{address}") for address in EVERYTHING]

    assert {answer.status_code for answer in missing + empty} == {200}
    assert missing[0].json()["exists"] is False
    assert empty[0].json()["exists"] is True
    assert [answer.content for answer in missing[1:]] == [answer.content for answer in empty[1:]]


def garbage(path: Path) -> None:
    """Bytes that are no database."""
    path.write_bytes(b"no database" * 1_000)


def cut(path: Path) -> None:
    """A store of which half is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def torn(path: Path) -> None:
    """A store with other bytes in its middle."""
    data = bytearray(path.read_bytes())
    data[12_288:-12_288] = bytes(len(data) - 24_576)
    path.write_bytes(data)


def other(path: Path) -> None:
    """A database of something else."""
    path.unlink()
    duckdb.connect(path).execute("CREATE TABLE about (schema_version INTEGER)").close()


def folder(path: Path) -> None:
    """No file at all."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garbage, cut, torn, other, folder])
def test_a_store_that_cannot_be_read_is_said(
    store: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """A damaged store is named, with its fault; the page is there to say so."""
    path = tmp_path / "damaged.duckdb"
    shutil.copy(store, path)
    with serving(path) as url:
        damage(path)
        assert httpx.get(url).status_code == 200
        for address in EVERYTHING[1:]:
            response = httpx.get(f"{url}/api/{address}")
            assert response.status_code == 503, address
            assert response.json()["detail"].startswith(f"{path}: ")


WITH_PARAMETERS = ("summary", "series", "top", "throttles", "export")
DESCRIBED = schemathesis.openapi.from_dict(make_app(Path("usage.duckdb")).openapi())


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        *((address, GenerationMode.POSITIVE) for address in (*views.ENDPOINTS, "/api/export")),
        *((f"/api/{name}", GenerationMode.NEGATIVE) for name in WITH_PARAMETERS),
    ],
)
def test_whatever_is_asked_is_answered(site: str, address: str, mode: GenerationMode) -> None:
    """
    No question fails the server, and every answer is as it is described.

    Texts that are no time, no field and no glob are refused, which the description cannot say: so
    a question that it allows may be refused all the same.
    """
    asking: SearchStrategy[Any] = DESCRIBED[address]["GET"].as_strategy(generation_mode=mode)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(asking)
    def ask(case: Any) -> None:  # noqa: ANN401 - its type has no public name
        case.call_and_validate(base_url=site, excluded_checks=[positive_data_acceptance])

    ask()


KEPT = st.sampled_from([field for field in FIELDS if field not in UNKEPT])
TIMES = st.none() | st.sampled_from(
    ["2026-10-29", "2026-10-30T14:00:07Z", "0001-01-01", "2026-10-30"]
)
GLOBS = st.sampled_from(["*", "?*", "", "[!a]*", "*a*", "ok", "2026-10-30*", "us-*", "\0"])


def is_possible(pair: tuple[str, str]) -> bool:
    """Whether a glob may match a value of its field: what cannot is refused."""
    field, glob = pair
    if field in WIDTHS:
        return glob in {"*", "?*", "[!a]*", "2026-10-30*"}
    return field not in {"outcome", "readOnly"} or glob in {"*", "?*", "[!a]*", "*a*"}


@settings(max_examples=100, deadline=None)
@given(
    selection=st.fixed_dictionaries(
        {"since": TIMES, "until": st.none() | st.sampled_from(["2026-10-31", "9999-12-31T23:59Z"])}
    ),
    where=st.lists(st.tuples(KEPT, GLOBS).filter(is_possible), max_size=3),
    by=st.lists(KEPT, min_size=1, max_size=3),
    sort=st.sampled_from(SORTS),
)
def test_every_right_question_has_an_answer(
    store: Path,
    selection: dict[str, str | None],
    where: list[tuple[str, str]],
    by: list[str],
    sort: str,
) -> None:
    """Whatever fields, globs and times are put together, all views are answered, and agree."""
    asked = [(name, text) for name, text in selection.items() if text is not None]
    asked += [("where", f"{field}={glob}") for field, glob in where]
    plain = next((field for field in by if field not in WIDTHS), "caller")
    calls = ask(store, "/api/summary", asked)["now"]["calls"]
    top = ask(store, "/api/top", [*asked, ("by", ",".join(by)), ("sort", sort), ("limit", "500")])
    series = ask(store, "/api/series", [*asked, ("by", plain)])["series"]
    denied = ask(store, "/api/throttles", [*asked, ("outcome", "denied")])

    shown = sum(row["calls"] for row in top["rows"])
    assert shown == calls if top["total"] <= 500 else shown < calls
    assert sum(sum(each["calls"]) for each in series) == calls
    assert sum(each["calls"] for each in denied) <= calls


def test_every_figure_is_described(api: httpx.Client) -> None:
    """The description has each endpoint, and each figure and parameter of it has words."""
    description = asked(api, "/openapi.json")
    schemas = description["components"]["schemas"]
    silent = [
        (name, member)
        for name, schema in schemas.items()
        for member, of in schema.get("properties", {}).items()
        if not of.get("description") and "$ref" not in of
    ]
    parameters = [
        parameter
        for path in description["paths"].values()
        for parameter in path["get"].get("parameters", [])
    ]

    assert [*description["paths"]] == [*views.ENDPOINTS, "/api/export"]
    assert {method for path in description["paths"].values() for method in path} == {"get"}
    assert silent == []
    assert parameters
    assert all(parameter["description"] for parameter in parameters)


# --- who may ask --------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/api/about", "/openapi.json", "/static/page.js"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "10.0.0.1", ""]
)
def test_a_host_that_is_not_ours_is_refused(api: httpx.Client, address: str, host: str) -> None:
    """A site whose name resolves to this machine is told nothing: its name is in Host."""
    response = api.get(address, headers={"Host": host.format(port=api.base_url.port)})

    assert response.status_code == 421
    assert "calls" not in response.text
    assert response.json()["detail"].endswith("or start it with apitracker serve --host NAME")


@pytest.mark.parametrize(
    ("host", "hosts", "ours"),
    [
        ("127.0.0.1:8765", LOOPBACK, True),
        ("localhost", LOOPBACK, True),
        ("LocalHost:1", LOOPBACK, True),
        ("[::1]:8765", LOOPBACK, True),
        ("[::1]", LOOPBACK, True),
        ("127.0.0.1:99999999999999999999", LOOPBACK, True),
        ("localhost.evil.example", LOOPBACK, False),
        ("evil.example:127.0.0.1", LOOPBACK, False),
        ("192.0.2.7", LOOPBACK, False),
        ("box:8765", LOOPBACK | {"box"}, True),
        ("192.0.2.7:8765", LOOPBACK | {"0.0.0.0"}, True),  # noqa: S104 - a name
        ("[2001:db8::1]:8765", LOOPBACK | {"::"}, True),
        ("evil.example", LOOPBACK | {"0.0.0.0"}, False),  # noqa: S104 - a name
        ("", LOOPBACK | {"::"}, False),
    ],
)
def test_hosts(host: str, hosts: frozenset[str], ours: bool) -> None:  # noqa: FBT001 - expected
    """Listening everywhere it answers to addresses: a site that rebinds always has a name."""
    assert is_ours(host, hosts) is ours


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_nothing_but_get(api: httpx.Client, method: str) -> None:
    """There is nothing to change, and nobody else is allowed to ask: no CORS."""
    for address in ("/", "/api/about", "/api/export"):
        response = api.request(method, address, headers={"Origin": "http://evil.example"})
        assert response.status_code == 405
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "address", ["/", "/api/about", "/api/top?by=x", "/static/page.js", "/nothing", "/openapi.json"]
)
def test_what_a_browser_is_told(api: httpx.Client, address: str) -> None:
    """Whatever is answered: scripts and styles are ours alone, and no other site may frame it."""
    headers = api.get(address).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == ("no-cache" if "static" in address else "no-store")
    assert "server" not in headers


@pytest.mark.parametrize(
    "address",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/docs", "/redoc"],
)
def test_nothing_else_is_served(site: str, address: str) -> None:
    """Neither files beside the static ones, nor pages that load from elsewhere."""
    host, port = site.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))  # it asks for the path as it is
    connection.request("GET", address)

    assert connection.getresponse().status == 404
    connection.close()


def test_hostile_names_are_inert_in_json(hostile: str) -> None:
    """They are JSON, said to be nothing else, and come back as they were counted."""
    response = httpx.get(f"{hostile}/api/top?by=caller&limit=100")

    assert response.headers["Content-Type"] == "application/json"
    callers = {row["key"]["caller"] for row in response.json()["rows"]}
    assert "<script>window.hacked = 1</script>" in callers
    assert "bell\x07 escape\x1b[31m null\x00 line\nbreak" in callers


# --- beside other processes ---------------------------------------------------------------------


def test_an_ingest_shows_up_beside_it(trail: Path, tmp_path: Path) -> None:
    """While it is asked all the time, an ingest ends as ever, and its calls are there then."""
    path = tmp_path / "usage.duckdb"
    with serving(path) as url, httpx.Client(base_url=url, timeout=30) as client:
        command: list[str | Path] = [APITRACKER, "ingest", trail, "--store", path]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            while child.poll() is None:
                about = asked(client, "/api/about")
                assert about["calls"] <= asked(client, "/api/summary")["now"]["calls"]
        assert child.returncode == 1  # two records are rejected

        assert asked(client, "/api/about")["calls"] == 20_000


# --- the command --------------------------------------------------------------------------------


@contextmanager
def started(*args: str | Path, cwd: Path) -> "Iterator[tuple[subprocess.Popen[str], list[str]]]":
    """The command, and what it has said once its address is there."""
    with subprocess.Popen(
        [APITRACKER, "serve", *args], stderr=subprocess.PIPE, text=True, cwd=cwd
    ) as child:
        assert child.stderr is not None
        said: list[str] = []
        try:
            while not said or not said[-1].startswith("http://"):
                said.append(child.stderr.readline())
                assert said[-1], said
            yield child, said
        finally:
            child.terminate()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(tmp_path: Path, by: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it quietly, and well."""
    with started("--port", "0", cwd=tmp_path) as (child, said):
        (line,) = said
        url = line.split()[0]
        assert line == f"{url} shows usage.duckdb; Ctrl-C stops it\n"
        assert httpx.get(url).status_code == 200
        child.send_signal(by)
        _, err = child.communicate(timeout=10)

    assert (child.returncode, err) == (0, "")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port that was asked for is had or refused; without one, another is taken, and said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [APITRACKER, "serve", "--port", port], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"apitracker: 127.0.0.1 port {port}: Address already in use; give another --port; "
            "0 picks a free one\n"
        )
    with suppress(OSError), socket.create_server(("127.0.0.1", server.PORT)):
        pass  # whoever has the default port, from here on it is taken or ours
    with (
        started(cwd=tmp_path) as (_, first),
        started(cwd=tmp_path) as (_, second),
    ):
        assert first[-1].split()[0] != second[-1].split()[0]
        assert second[0] == "port 8765 is taken: using a free one\n"


def test_a_host_that_others_can_reach_is_warned_about(tmp_path: Path) -> None:
    """Without a password, whoever can reach it sees all: that is said before it serves."""
    with started("--host", "0.0.0.0", "--port", "0", cwd=tmp_path) as (_, said):  # noqa: S104
        assert said[0] == (
            "0.0.0.0: anyone who can reach this host can read the whole store, without a password\n"
        )
        url = said[1].split()[0]
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421


def test_a_host_that_is_not_this_machine(tmp_path: Path) -> None:
    """An address that cannot be had is an error with words."""
    done = subprocess.run(
        [APITRACKER, "serve", "--host", "192.0.2.1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.startswith("apitracker: 192.0.2.1 port 8765: ")


def test_nothing_is_sent_anywhere(tmp_path: Path) -> None:
    """What is asked is not told to a collector of traces, though the environment names one."""
    app = make_app(tmp_path / "usage.duckdb")

    assert not any(app._telemetry[name] for name in ("tracing", "metrics", "logs"))  # noqa: SLF001
