"""Who is throttled or denied and who is behind it: from log files and from the store alike."""

import csv
import gzip
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands import run
from tests.stores import read_records

from apitracker.core.outcomes import classify
from apitracker.core.selection import ALL, Selection
from apitracker.jobs.incidents import find_incidents
from apitracker.store.database import Store
from apitracker.store.incident_text import write_incidents
from apitracker.store.incidents import (
    Api,
    CallerOutside,
    Incident,
    IncidentCaller,
    IncidentPeak,
    query_incidents,
)
from apitracker.synthetic import trail as sample
from apitracker.synthetic.scenario import load_scenario

NOON = 1_688_990_400  # 2023-07-10T12:00:00Z
ROLE = "arn:aws:iam::111122223333:role/"
DATA = Path(__file__).parents[2] / "shared" / "data"

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")


def record(
    caller: str, second: int, error: str = "", *, event: str = "", name: str = "Get", **more: str
) -> dict[str, Any]:
    """A record as CloudTrail writes it, *second* seconds after noon, as far as it matters here."""
    moment = datetime(2023, 7, 10, 12, tzinfo=UTC) + timedelta(seconds=second)
    return {
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "x.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "arn": caller},
        "eventID": event,
        **({"errorCode": error} if error else {}),
        **more,
    }


Log = Sequence[dict[str, Any]]


def of_files(
    logs: Sequence[Log], outcome: str = "throttled", selection: Selection = ALL
) -> list[Incident]:
    """The incidents in *logs*, as they are found in files."""
    read = [read_records(f"{n}.json", *records) for n, records in enumerate(logs)]
    return find_incidents(read, outcome, selection)[0]


def of_store(
    logs: Sequence[Log], outcome: str = "throttled", selection: Selection = ALL
) -> list[Incident]:
    """The incidents in *logs*, as they are found in a store that each was added to by itself."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "usage.duckdb")
        store.add([])
        for n, records in enumerate(logs):
            store.add([read_records(f"{n}.json", *records)])
        with store.reading() as db:
            return query_incidents(db, outcome, None, selection)


Find = Callable[..., list[Incident]]
both = pytest.mark.parametrize("find", [of_files, of_store])


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic trail in ``trail`` and a store of it."""
    folder = tmp_path_factory.mktemp("throttles")
    sample.write_trail(folder / "trail")
    assert run(folder, "ingest", "trail").returncode == 0
    return folder


# --- what is found ------------------------------------------------------------------------------


@both
def test_worked_example(find: Find) -> None:
    """The culprit, who calls most, comes before the victim, who is throttled most."""
    logs = [
        [record("culprit", second) for second in (60, 61, 61, 61, 62, 63)],
        [record("culprit", 61, "ThrottlingException"), record("bystander", 119)],
        [record("victim", second, "ThrottlingException") for second in (61, 61, 62)],
    ]

    assert find(logs) == [
        Incident(
            Api("x.amazonaws.com", "Get", "us-east-1", "111122223333"),
            "throttled",
            refused=4,
            calls=11,
            first=NOON + 61,
            last=NOON + 62,
            second=IncidentPeak(NOON + 61, 3, 6),
            minute=IncidentPeak(NOON + 60, 4, 11),
            callers=[
                IncidentCaller("culprit", 7, 1, 7 / 11),
                IncidentCaller("victim", 3, 3, 3 / 11),
                IncidentCaller("bystander", 1, 0, 1 / 11),
            ],
            quota=None,
        )
    ]


@both
def test_only_the_minutes_of_throttling_count(find: Find) -> None:
    """Who calls much on other days is not behind it."""
    quiet = [record("batch", second) for second in (0, 1, 2, 3, 59, 120, 121, 86_400)]
    logs = [
        [*quiet, record("culprit", 60), record("culprit", 119), record("victim", 90, "SlowDown")]
    ]

    (incident,) = find(logs)

    assert [(c.caller, c.calls) for c in incident.callers] == [("culprit", 2), ("victim", 1)]


@both
def test_denied_are_those_who_were_denied(find: Find) -> None:
    """Behind a denial is whoever was denied, not whoever calls most."""
    logs = [
        [record("allowed", second) for second in range(9)],
        [record("tester", 1, "AccessDenied"), record("tester", 2)],
        [record("reporter", second, "Client.UnauthorizedOperation") for second in (3, 4, 5)],
    ]

    (incident,) = find(logs, "denied")

    assert (incident.refused, incident.calls) == (4, 14)
    assert incident.callers == [
        IncidentCaller("reporter", 3, 3, 0.75),
        IncidentCaller("tester", 2, 1, 0.25),
    ]
    assert find(logs) == []


@both
def test_apis_regions_and_accounts_apart(find: Find) -> None:
    """A quota is that of an API in a region and an account; the worst comes first."""
    logs = [
        [
            record("a", 0, "Throttling", name="List"),
            record("a", 1, "Throttling"),
            record("a", 2, "Throttling", awsRegion="eu-west-1"),
            record("a", 3, "Throttling", recipientAccountId="444455556666"),
            record("a", 4, "Throttling", awsRegion="eu-west-1"),
        ]
    ]

    assert [(i.refused, *i.api[1:]) for i in find(logs)] == [
        (2, "Get", "eu-west-1", "111122223333"),
        (1, "Get", "us-east-1", "111122223333"),
        (1, "Get", "us-east-1", "444455556666"),
        (1, "List", "us-east-1", "111122223333"),
    ]


@both
def test_an_event_counts_once(find: Find) -> None:
    """An event that another log repeats is neither throttled nor called twice."""
    logs = [
        [record("a", 0, "Throttling", event="1"), record("b", 1, event="2")],
        [record("b", 1, event="2"), record("a", 0, "Throttling", event="1")],
        [record("a", 120, event="3")],
        [record("a", 120, "Throttling", event="3")],
    ]

    (incident,) = find(logs)

    assert (incident.refused, incident.calls, incident.last) == (1, 2, NOON)


@both
def test_where_picks_refused_calls_and_not_callers(find: Find) -> None:
    """Asked why one caller is throttled, all who are behind it are named."""
    logs = [
        [record("culprit", second, error) for second in range(5) for error in ("", "Throttling")],
        [record("victim", 3, "Throttling"), record("other", 70, "Throttling")],
    ]

    (incident,) = find(logs, "throttled", Selection(where={"caller": ("vic*",)}))

    assert (incident.refused, incident.first, incident.last) == (1, NOON + 3, NOON + 3)
    assert incident.callers == [
        IncidentCaller("culprit", 10, 0, 10 / 11),
        IncidentCaller("victim", 1, 1, 1 / 11),
    ]
    assert find(logs, "throttled", Selection(where={"outcome": ("ok",)})) == []


@both
def test_times_are_selected_for_all_calls(find: Find) -> None:
    """What is before, after or outside of the times asked for does not count at all."""
    logs = [[record("a", second, error) for second in range(9) for error in ("", "Throttling")]]

    (between,) = find(logs, "throttled", Selection(NOON + 2, NOON + 4))
    (at,) = find(logs, "throttled", Selection(where={"second": ("*:05Z",)}))

    assert (between.refused, between.calls) == (2, 4)
    assert (at.refused, at.calls, at.first) == (1, 2, NOON + 5)
    assert find(logs, "throttled", Selection(where={"hour": ("*T11Z",)})) == []


@both
def test_known_quota_is_given_for_throttles_only(find: Find) -> None:
    """The default quota stands by a throttled API; a denied one has no use for it."""
    ec2 = {"eventSource": "ec2.amazonaws.com", "name": "RunInstances"}
    logs = [
        [record("a", 0, "Client.RequestLimitExceeded", **ec2), record("a", 0, "AuthFailure", **ec2)]
    ]

    (throttled,) = find(logs)
    (denied,) = find(logs, "denied")

    assert throttled.quota is not None
    assert (throttled.quota.burst, throttled.quota.rate) == (5, 2)
    assert denied.quota is None


LINKED = "arn:aws:iam::111122223333:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
LINKED_SESSION = "arn:aws:sts::111122223333:assumed-role/AWSServiceRoleForECS"

# Built from the page that names the metric AwsTriggeredRequestLimitExceeded: no record was seen.
BY_AWS = {
    "error": "Client.RequestLimitExceeded",
    "errorMessage": "Request throttled due to an AWS operational issue.",
}
EC2 = {"eventSource": "ec2.amazonaws.com", "name": "DescribeHosts"}
LIMIT = "Client.RequestLimitExceeded"


@both
def test_service_linked_roles_are_apart(find: Find) -> None:
    """Calls that do not count toward EC2's limits have no share, and are in no peak."""
    logs = [
        [record(LINKED, second, **EC2) for second in (60, 61, 61, 61, 61, 62)],
        [record(LINKED_SESSION, 61, LIMIT, **EC2), record("autoscaling.amazonaws.com", 61, **EC2)],
        [record("scanner", second, **EC2) for second in (60, 62, 62)],
        [record("deployer", 62, LIMIT, **EC2)],
    ]

    (incident,) = find(logs)

    assert (incident.refused, incident.calls, incident.first) == (2, 12, NOON + 61)
    assert incident.second == IncidentPeak(NOON + 62, 1, 3)
    assert incident.minute == IncidentPeak(NOON + 60, 1, 4)
    assert incident.callers == [
        IncidentCaller("scanner", 3, 0, 0.75),
        IncidentCaller("deployer", 1, 1, 0.25),
    ]
    assert incident.outside == [
        CallerOutside(LINKED, 6, 0),
        CallerOutside(LINKED_SESSION, 1, 1),
        CallerOutside("autoscaling.amazonaws.com", 1, 0),
    ]


@both
@pytest.mark.parametrize(
    ("caller", "source"),
    [
        (LINKED, "ecs.amazonaws.com"),
        (f"{ROLE}AWSServiceRoleForMe", "ec2.amazonaws.com"),
        (f"x{LINKED}", "ec2.amazonaws.com"),
        ("ec2.amazonaws.com\n", "ec2.amazonaws.com"),
    ],
)
def test_who_is_not_apart(find: Find, caller: str, source: str) -> None:
    """Nothing is known of other services, and only AWS makes roles under its own path."""
    (incident,) = find([[record(caller, 60, LIMIT, eventSource=source)]])

    assert incident.callers == [IncidentCaller(caller, 1, 1, 1.0)]
    assert incident.outside == []


@both
def test_nobody_is_behind_what_aws_caused(find: Find) -> None:
    """A throttle of AWS's own is counted and said, and no caller of its minute has a share."""
    logs = [
        [record("a", 0, **EC2, **BY_AWS), record("b", 1, **EC2)],
        [record("a", 60, LIMIT, **EC2), record("b", 61, **EC2), record("b", 61, **EC2, **BY_AWS)],
    ]
    alone = [[record("a", 0, **EC2, **BY_AWS), record(LINKED, 9, LIMIT, **EC2)]]

    (mixed,), (nobody,) = find(logs), find(alone)

    assert (mixed.refused, mixed.calls, mixed.aws_triggered) == (3, 5, 2)
    assert (mixed.first, mixed.last) == (NOON, NOON + 61)
    assert (mixed.second, mixed.minute) == (
        IncidentPeak(NOON + 60, 1, 1),
        IncidentPeak(NOON + 60, 1, 2),
    )
    assert mixed.callers == [IncidentCaller("a", 1, 1, 0.5), IncidentCaller("b", 1, 0, 0.5)]
    assert mixed.quota is not None
    assert nobody == Incident(
        Api("ec2.amazonaws.com", "DescribeHosts", "us-east-1", "111122223333"),
        "throttled",
        refused=2,
        calls=2,
        first=NOON,
        last=NOON + 9,
        second=None,
        minute=None,
        callers=[],
        quota=None,
        outside=[CallerOutside(LINKED, 1, 1)],
        aws_triggered=1,
    )


@both
def test_denials_know_no_quota(find: Find) -> None:
    """Whoever is denied is behind a denial, a service-linked role too."""
    logs = [[record(LINKED, 0, "AccessDenied", **EC2), record("a", 1, **EC2, **BY_AWS)]]

    (incident,) = find(logs, "denied")

    assert incident.callers == [IncidentCaller(LINKED, 1, 1, 1.0)]
    assert (incident.calls, incident.outside, incident.aws_triggered) == (2, [], 0)


ERRORS = ["", "ThrottlingException", "AccessDenied", "NoSuchBucket", LIMIT]
RECORDS = st.builds(
    record,
    st.sampled_from(["a", "b", "c", LINKED, LINKED_SESSION, "ec2.amazonaws.com", f"\n{LINKED}"]),
    st.integers(0, 200),
    st.sampled_from(ERRORS),
    event=st.sampled_from(["", "1", "2", "3", "4", "5"]),
    name=st.sampled_from(["Get", "Put"]),
    awsRegion=st.sampled_from(["us-east-1", ""]),
    eventSource=st.sampled_from(["x.amazonaws.com", "ec2.amazonaws.com", "ec2.amazonaws.com.cn"]),
    errorMessage=st.sampled_from(["", BY_AWS["errorMessage"]]),
)
SELECTIONS = st.builds(
    Selection,
    since=st.none() | st.integers(NOON, NOON + 200),
    until=st.none() | st.integers(NOON, NOON + 200),
    where=st.sampled_from(
        [
            {},
            {"caller": ("a", "b")},
            {"minute": ("*:01Z",)},
            {"outcome": ("d*",), "second": ("*5Z",)},
        ]
    ),
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(RECORDS, max_size=12), max_size=3),
    SELECTIONS,
    st.sampled_from(["throttled", "denied"]),
)
def test_files_and_store_agree(logs: list[Log], selection: Selection, outcome: str) -> None:
    """The same logs have the same incidents, in one batch of files and in a store of many."""
    assert of_files(logs, outcome, selection) == of_store(logs, outcome, selection)


@settings(max_examples=25, deadline=None)
@given(st.lists(RECORDS, max_size=40), st.sampled_from(["throttled", "denied"]))
def test_nothing_is_lost(records: Log, outcome: str) -> None:
    """Every refused call is in one incident; peaks and callers are within what there is."""
    found = of_files([records], outcome)

    first = {record["eventID"] or -n: record for n, record in reversed([*enumerate(records)])}
    ended = [classify(r.get("errorCode", ""), r["eventSource"]) for r in first.values()]
    assert sum(i.refused for i in found) == ended.count(outcome)
    for i in found:
        apart = sum(o.refused for o in i.outside) + i.aws_triggered
        assert sum(c.refused for c in i.callers) + apart == i.refused
        if i.second and i.minute:
            assert i.first <= i.second.time <= i.last
            assert i.second.refused <= i.minute.refused <= i.refused <= i.calls
            assert sum(c.share for c in i.callers) == pytest.approx(1)
        else:
            assert (i.callers, apart) == ([], i.refused)


# --- as text ------------------------------------------------------------------------------------

HOSTILE = "=cmd|' /C calc'!A0\x1b[2J\u202egnp"


def example(*, callers: int = 2) -> list[Incident]:
    """The incidents of a log with that many callers."""
    ec2 = {"eventSource": "ec2.amazonaws.com", "name": "CreateTags"}
    error = "Client.RequestLimitExceeded"
    return of_files(
        [
            [record(f"{ROLE}{n:02}", 61, **ec2) for n in range(callers)],
            [record(f"{ROLE}00", 62, error, **ec2), record(f"{ROLE}00", 130, error, **ec2)],
        ]
    )


def test_table() -> None:
    """A block for each API: what happened, the default quota, the callers under it."""
    quota = "100 requests at once, then 10 a second per account and region"
    assert list(write_incidents(example(), "throttled", "table")) == [
        "ec2.amazonaws.com CreateTags  us-east-1  111122223333",
        "  2 of 4 calls throttled, 2023-07-10T12:01:02Z to 2023-07-10T12:02:10Z",
        "  worst second 2023-07-10T12:01:02Z: 1 of 1; worst minute 2023-07-10T12:01Z: 1 of 3",
        f"  default quota, yours may differ: {quota}",
        "    https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html",
        "  calls   share  throttled  caller",
        "      3   75.0%          2  arn:aws:iam::111122223333:role/00",
        "      1   25.0%          0  arn:aws:iam::111122223333:role/01",
    ]


def test_table_of_denials() -> None:
    """What callers are sorted by stands first; a caller without a name is a dash."""
    found = of_files([[record("", 0, "AccessDenied", userIdentity="")]], "denied")

    assert list(write_incidents(found, "denied", "table")) == [
        "x.amazonaws.com Get  us-east-1  111122223333",
        "  1 of 1 calls denied, 2023-07-10T12:00:00Z",
        "  worst second 2023-07-10T12:00:00Z: 1 of 1; worst minute 2023-07-10T12:00Z: 1 of 1",
        "  denied   share  calls  caller",
        "       1  100.0%      1  -",
    ]


def test_table_says_what_it_leaves_out() -> None:
    """Ten callers and ten APIs are shown, the others added up; asked for all, all are shown."""
    many = of_files(
        [[record("a", n, "AccessDenied", name=f"Get{n:02}") for n in range(12) for _ in range(2)]],
        "denied",
    )
    callers = example(callers=13)

    assert list(write_incidents(callers, "throttled", "table"))[-2:] == [
        "      1    6.7%          0  arn:aws:iam::111122223333:role/09",
        "      3   20.0%          0  3 more callers",
    ]
    assert list(write_incidents(callers, "throttled", "table", everything=True))[-1].endswith(
        "role/12"
    )
    assert list(write_incidents(many, "denied", "table"))[-2:] == [
        "",
        "and 4 calls denied in 2 more; --all shows them",
    ]
    assert "Get11" in "\n".join(write_incidents(many, "denied", "table", everything=True))
    assert "more" not in "\n".join(write_incidents(many, "denied", "table", everything=True))


def test_csv() -> None:
    """A row is a caller of an API, and the API's figures stand in each."""
    header, *rows = write_incidents(example(), "throttled", "csv")

    assert header == (
        "eventSource,eventName,awsRegion,recipientAccountId,outcome,throttled,first,last,worstSecond,"
        "worstSecondThrottled,worstSecondCalls,worstMinute,worstMinuteThrottled,worstMinuteCalls,"
        "awsTriggered,caller,callerThrottled,callerShare,calls"
    )
    about = (
        "ec2.amazonaws.com,CreateTags,us-east-1,111122223333,throttled,2,2023-07-10T12:01:02Z,"
        "2023-07-10T12:02:10Z,2023-07-10T12:01:02Z,1,1,2023-07-10T12:01Z,1,3,0,"
    )
    assert rows == [f"{about}{ROLE}00,2,0.75,3", f"{about}{ROLE}01,0,0.25,1"]


def test_json() -> None:
    """One list; an incident holds its callers and the quota with its source."""
    assert json.loads("\n".join(write_incidents(example(), "throttled", "json"))) == [
        {
            "eventSource": "ec2.amazonaws.com",
            "eventName": "CreateTags",
            "awsRegion": "us-east-1",
            "recipientAccountId": "111122223333",
            "outcome": "throttled",
            "throttled": 2,
            "calls": 4,
            "first": "2023-07-10T12:01:02Z",
            "last": "2023-07-10T12:02:10Z",
            "worstSecond": {"second": "2023-07-10T12:01:02Z", "throttled": 1, "calls": 1},
            "worstMinute": {"minute": "2023-07-10T12:01Z", "throttled": 1, "calls": 3},
            "callers": [
                {"caller": f"{ROLE}00", "calls": 3, "throttled": 2, "share": 0.75},
                {"caller": f"{ROLE}01", "calls": 1, "throttled": 0, "share": 0.25},
            ],
            "defaultQuota": {
                "ratePerSecond": 10,
                "burst": 100,
                "per": "account and region",
                "sharedWith": [],
                "note": "",
                "source": "https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html",
            },
        }
    ]


def apart() -> list[Incident]:
    """The incidents of a log with a service-linked role, and with throttles of AWS's own."""
    alone = {**EC2, "name": "DescribeTags"}
    return of_files(
        [
            [record(LINKED, 61, **EC2) for _ in range(900)],
            [record(f"{ROLE}scanner", 61, **EC2) for _ in range(3)],
            [record(f"{ROLE}deployer", 62, LIMIT, **EC2), record("a", 63, **EC2, **BY_AWS)],
            [record("a", 5, **alone, **BY_AWS)],
        ]
    )


def test_table_of_what_is_apart() -> None:
    """What uses up no quota stands below the callers, without a share, and the page is named."""
    quota = "100 requests at once, then 20 a second per account and region"
    assert list(write_incidents(apart(), "throttled", "table")) == [
        "ec2.amazonaws.com DescribeHosts  us-east-1  111122223333",
        "  2 of 905 calls throttled, 2023-07-10T12:01:02Z to 2023-07-10T12:01:03Z",
        "  worst second 2023-07-10T12:01:02Z: 1 of 1; worst minute 2023-07-10T12:01Z: 1 of 4",
        "  1 of the 2 throttled because of an operational issue of AWS, whoever called",
        f"  default quota, yours may differ: {quota}",
        "    https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html",
        "  calls   share  throttled  caller",
        "      3   75.0%          0  arn:aws:iam::111122223333:role/scanner",
        "      1   25.0%          1  arn:aws:iam::111122223333:role/deployer",
        f"    900       -          0  {LINKED}",
        "  without a share: 900 calls that do not count toward EC2's limits",
        "    https://docs.aws.amazon.com/ec2/latest/devguide/monitor.html",
        "",
        "ec2.amazonaws.com DescribeTags  us-east-1  111122223333",
        "  1 of 1 calls throttled, 2023-07-10T12:00:05Z",
        "  1 of the 1 throttled because of an operational issue of AWS, whoever called",
    ]


def test_csv_of_what_is_apart() -> None:
    """A caller outside of the quota has a row without a share; no caller is a row without one."""
    rows = list(csv.DictReader(write_incidents(apart(), "throttled", "csv")))

    columns = (
        "eventName",
        "worstSecondThrottled",
        "awsTriggered",
        "caller",
        "callerShare",
        "calls",
    )
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("DescribeHosts", "1", "1", f"{ROLE}scanner", "0.75", "3"),
        ("DescribeHosts", "1", "1", f"{ROLE}deployer", "0.25", "1"),
        ("DescribeHosts", "1", "1", LINKED, "", "900"),
        ("DescribeTags", "", "1", "", "", "0"),
    ]


def test_json_of_what_is_apart() -> None:
    """Members say who is outside of the quota and what AWS caused, where there is any."""
    first, second = json.loads("\n".join(write_incidents(apart(), "throttled", "json")))

    assert first["outsideQuota"] == [{"caller": LINKED, "calls": 900, "throttled": 0}]
    assert first["awsTriggered"] == 1
    assert {k: v for k, v in second.items() if k in {"worstSecond", "callers", "outsideQuota"}} == {
        "worstSecond": None,
        "callers": [],
    }


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_hostile_strings_are_inert(form: str) -> None:
    """What a caller wrote reaches no terminal as control characters and no sheet as a formula."""
    fields = {"name": HOSTILE, "awsRegion": HOSTILE, "recipientAccountId": HOSTILE}
    logs = [[record(HOSTILE, 0, "SlowDown", eventSource=HOSTILE, **fields)]]

    text = list(write_incidents(of_files(logs), "throttled", form))

    assert all(c.isprintable() for line in text for c in line.replace("\n", ""))
    if form == "csv":
        cells = next(csv.DictReader(io.StringIO("\n".join(text))))
        assert all(not cell.startswith("=") for cell in cells.values())
    if form == "json":
        assert json.loads("\n".join(text))[0]["callers"][0]["caller"] == HOSTILE


# --- the commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [[], ["trail"]])
def test_sample_names_the_culprit_and_the_denied(trail: Path, source: list[str]) -> None:
    """The synthetic incident has its culprit first; the burst of denials its caller."""
    throttled = json.loads(run(trail, "throttles", *source, "--format", "json").stdout)
    denied = json.loads(run(trail, "denials", *source, "--format", "json").stdout)

    assert throttled[0]["eventName"] == "DescribeInstances"
    assert throttled[0]["callers"][0]["caller"] == load_scenario().culprit
    victims = sorted(throttled[0]["callers"], key=lambda c: c["throttled"] / c["calls"])
    assert victims[0]["caller"] == load_scenario().culprit  # who is seldom throttled itself
    assert throttled[0]["defaultQuota"]["burst"] == 100
    assert throttled[0]["worstSecond"]["calls"] > 100 + 20
    assert [incident["callers"][0]["caller"] for incident in denied[:9]] == [
        load_scenario().denied_caller
    ] * 9


def test_no_quota_is_printed_beside_fewer_calls(trail: Path) -> None:
    """Wherever the synthetic trail has throttles of a known quota, the worst second is above it."""
    throttled = json.loads(run(trail, "throttles", "--format", "json").stdout)
    known = [incident for incident in throttled if "defaultQuota" in incident]

    assert (
        [
            incident["eventName"]
            for incident in known
            if incident["worstSecond"]["calls"]
            > (incident["defaultQuota"]["burst"] or incident["defaultQuota"]["rate"])
        ]
        == ["DescribeInstances"]
        == [incident["eventName"] for incident in known]
    )


@pytest.mark.parametrize("command", ["throttles", "denials"])
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_files_and_store_print_the_same(trail: Path, command: str, form: str) -> None:
    """It makes no difference whether the logs were ingested; files are accounted for as well."""
    asked = [command, "--format", form, "--where", "awsRegion=us-*", "--since", "2026-10-29"]

    files, store = run(trail, *asked, "trail"), run(trail, *asked, "--store", "usage.duckdb")

    assert (files.returncode, store.returncode) == (0, 0)
    assert store.stderr == (
        "usage.duckdb has calls of a synthetic trail"
        " from 2026-10-28T00:00:14Z to 2026-10-30T23:59:57Z\n"
    )
    assert files.stdout == store.stdout
    assert "276 logs; 14,175 records: 14,038 counted (374 not selected)" in files.stderr


def test_output_goes_to_a_file(trail: Path, tmp_path: Path) -> None:
    """With -o the rows are in the file and nowhere else."""
    done = run(trail, "denials", "--format", "csv", "-o", tmp_path / "denials.csv")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "denials.csv").read_text().startswith("eventSource,eventName,")


@pytest.mark.parametrize(("command", "what"), [("throttles", "throttled"), ("denials", "denied")])
def test_nothing_found_is_said(tmp_path: Path, command: str, what: str) -> None:
    """No incident is no output but a word on stderr; JSON is an empty list, CSV a header."""
    log = json.dumps({"Records": [record("a", 0)]})
    (tmp_path / "a.json").write_text(log)

    table = run(tmp_path, command, "a.json")
    rows = [run(tmp_path, command, "a.json", "--format", form).stdout for form in ("json", "csv")]

    assert (table.returncode, table.stdout) == (0, "")
    assert table.stderr.splitlines()[0] == f"no calls were {what}"
    assert (rows[0], len(rows[1].splitlines())) == ("[]\n", 1)


def test_wrong_usage(trail: Path) -> None:
    """Files and a store at once are refused, and so is what a store does not keep."""
    twice = run(trail, "throttles", "trail", "--store", "usage.duckdb")
    unkept = run(trail, "denials", "--where", "eventType=AwsApiCall")
    files = run(trail, "denials", "trail", "--where", "eventType=AwsApiCall")

    assert (twice.returncode, twice.stderr) == (
        2,
        "apitracker: give a SOURCE or --store, not both\n",
    )
    assert unkept.returncode == 2
    assert "eventType: not kept in counts" in unkept.stderr
    assert files.returncode == 0
    assert "calls denied" in files.stdout


def test_what_cannot_be_counted_is_named(tmp_path: Path) -> None:
    """A source that is missing is named, the rest is looked through, and the exit code says so."""
    (tmp_path / "a.json").write_text(json.dumps({"Records": [record("a", 0, "SlowDown")]}))

    done = run(tmp_path, "throttles", "a.json", "missing")
    store = run(tmp_path, "throttles")

    assert done.returncode == 1
    assert "1 of 1 calls throttled" in done.stdout
    assert "missing: " in done.stderr
    assert store.returncode == 3
    assert "no such store" in store.stderr


# --- real records -------------------------------------------------------------------------------

# Worked out with zcat and jq: the calls with the error code, grouped by API; the calls to that API
# in the minutes of those; the second with most of them.
THROTTLES = [
    ("DescribeParameters", 27, 96, "11:58:20", "12:08:07", "12:07:58", 8, 8),
    ("PutParameter", 25, 67, "11:58:13", "11:58:21", "11:58:13", 10, 10),
    ("DeleteParameter", 10, 15, "12:08:13", "12:08:20", "12:08:13", 3, 3),
]
DENIALS = [
    ("GetPasswordData", 30, "apiso-northsouth-3r"),
    ("GetPasswordData", 29, "us-east-1"),
    ("DescribeInstanceAttribute", 15, "apiso-westcentral-3r"),
    ("DescribeInstanceAttribute", 15, "us-east-1"),
    ("AssumeRole", 11, "us-east-1"),
]


@real
def test_real_throttles() -> None:
    """The 62 ThrottlingExceptions are three APIs of one user, who is read from the records."""
    done = run(DATA, "throttles", "s3", "--format", "json")
    found = json.loads(done.stdout)
    users = {
        record["userIdentity"]["arn"]
        for record in real_records()
        if record.get("errorCode") == "ThrottlingException"
    }

    assert [
        (
            i["eventName"],
            i["throttled"],
            i["calls"],
            i["first"][11:19],
            i["last"][11:19],
            i["worstSecond"]["second"][11:19],
            i["worstSecond"]["throttled"],
            i["worstSecond"]["calls"],
        )
        for i in found
    ] == THROTTLES
    assert {(i["eventSource"], i["awsRegion"]) for i in found} == {
        ("ssm.amazonaws.com", "us-east-1")
    }
    assert len(users) == 1
    assert [{c["caller"] for c in i["callers"]} for i in found] == [users] * 3


@real
def test_real_denials(tmp_path: Path) -> None:
    """All 331 denied calls are there, each with its caller, from files and from the store."""
    assert run(tmp_path, "ingest", DATA / "s3").returncode == 0
    files = run(tmp_path, "denials", DATA / "s3", "--format", "json").stdout
    found = json.loads(files)
    codes = Counter(record.get("errorCode") for record in real_records())
    denied = {code: n for code, n in codes.items() if code and classify(code, "") == "denied"}

    assert denied == {
        "AccessDenied": 193,
        "Client.UnauthorizedOperation": 136,
        "UnauthorizedException": 1,
        "VpceAccessDenied": 1,
    }
    assert (len(found), sum(i["denied"] for i in found)) == (231, 331)
    assert [(i["eventName"], i["denied"], i["awsRegion"]) for i in found[:5]] == DENIALS
    assert [len(i["callers"]) for i in found[:5]] == [1] * 5
    assert run(tmp_path, "denials", "--format", "json").stdout == files


def real_records() -> list[dict[str, Any]]:
    """The real records, by the standard library alone."""
    return [
        record
        for path in sorted((DATA / "s3").rglob("*.json.gz"))
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]
    ]
