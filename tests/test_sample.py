"""The synthetic trail: its records, its figures, and the scenario that it is made of."""

import fnmatch
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import apitracker
from apitracker.core.quotas import quota
from apitracker.errors import UsageError
from apitracker.synthetic import trail as sample
from apitracker.synthetic.scenario import Actor, load_scenario
from apitracker.synthetic.trail import Written

LAYOUT = re.compile(
    r"AWSLogs/(?P<account>\d{12})/CloudTrail(-Insight)?/(?P<region>[a-z]+-[a-z]+-\d)"
    r"/(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)"
    r"/(?P=account)_CloudTrail(-Insight)?_(?P=region)"
    r"_(?P=year)(?P=month)(?P=day)T\d{4}Z_[0-9A-Za-z]{16}\.json\.gz"
)
DOCUMENTATION = [ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


class Trail(NamedTuple):
    """A trail on disk, read back with nothing but the standard library."""

    folder: Path
    written: Written
    objects: dict[str, list[Any]]  # by key, without digests

    def elements(self) -> Iterator[Any]:
        """Every element of every Records list."""
        for records in self.objects.values():
            yield from records

    def calls(self) -> list[dict[str, Any]]:
        """Every record of a call, each once."""
        calls = {r["eventID"]: r for r in self.elements() if "eventName" in r}
        return list(calls.values())


def files(folder: Path) -> dict[str, bytes]:
    """Every file under *folder*, by its key."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def unpack(packed: dict[str, bytes]) -> dict[str, list[Any]]:
    """Read the records of every object that has any, by its key."""
    bodies = {key: json.loads(gzip.decompress(body)) for key, body in packed.items()}
    return {key: body["Records"] for key, body in bodies.items() if "Records" in body}


def read(folder: Path, written: Written) -> Trail:
    """Read back what was *written* into *folder*."""
    return Trail(folder, written, unpack(files(folder)))


def caller(record: dict[str, Any]) -> str:
    """The role behind *record*, or who else it was."""
    identity = record["userIdentity"]
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
    return str(issuer.get("arn") or identity.get("arn") or identity.get("invokedBy"))


def usable(element: object) -> bool:
    """Whether anybody could count *element*."""
    if not isinstance(element, dict):
        return False
    try:
        datetime.strptime(element["eventTime"], "%Y-%m-%dT%H:%M:%S%z")
    except (KeyError, TypeError, ValueError):
        return False
    return True


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """The trail that one gets without asking for anything."""
    folder = tmp_path_factory.mktemp("trail")
    return read(folder, sample.write_trail(folder))


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    """A seed stands for a trail, down to the names and the bytes of its files."""
    first = sample.write_trail(tmp_path / "a", events=1_500, seed=7, broken=2)
    second = sample.write_trail(tmp_path / "b", events=1_500, seed=7, broken=2)
    assert first == second
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_hash_seed_of_the_interpreter_does_not_matter(tmp_path: Path) -> None:
    """Another process, which orders its sets otherwise, writes the same files."""
    code = (
        "import sys, pathlib; from apitracker.synthetic import trail;"
        "trail.write_trail(pathlib.Path(sys.argv[1]), events=300, days=1)"
    )
    for name in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": name}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], env=env, check=True)
    assert files(tmp_path / "1") == files(tmp_path / "2")


@pytest.mark.parametrize(
    ("given", "digest"),
    [
        ({}, "ed2b1a04c7687b149a7b35457f802ba3cef712e7da36666ac8ea5b22975c6a47"),
        (
            {"events": 1_500, "seed": 7, "broken": 9, "days": 1},
            "18b5f1d4e04b0732539cadaba32fbccebaff2a4a92be86b3a594c81b82451ba8",
        ),
        (
            {
                "events": 3_000,
                "days": 9,
                "seed": 3,
                "until": datetime(2026, 3, 2, 10, 17, tzinfo=UTC),
            },
            "5fe6a6aa78450530578d65585092444ceb4e9455f6e4af21fb7d69018f8636da",
        ),
    ],
)
def test_the_bytes_of_a_trail(given: dict[str, Any], digest: str, tmp_path: Path) -> None:
    """Names and JSON are the same as ever, to the byte; a new scenario has new digests here."""
    sample.write_trail(tmp_path, **given)

    found = hashlib.sha256()
    for key, packed in files(tmp_path).items():
        found.update(key.encode() + b"\0" + gzip.decompress(packed) + b"\0")
    assert found.hexdigest() == digest


def test_trails_of_other_times_have_no_event_in_common(tmp_path: Path) -> None:
    """With the same seed and another end, no call of one trail is a duplicate of the other's."""
    for day in (1, 2):
        until = datetime(2026, 3, day, tzinfo=UTC)
        sample.write_trail(tmp_path / str(day), events=300, days=1, until=until)
    both = apitracker.count(tmp_path, by=())
    assert (both.balance.counted, both.counts.calls) == (600, 600)


def test_another_seed_writes_another_trail(tmp_path: Path) -> None:
    """Seeds differ in every eventID, not in how much there is."""
    trails = [
        read(tmp_path / f"{seed}", sample.write_trail(tmp_path / f"{seed}", events=500, seed=seed))
        for seed in (1, 2)
    ]
    ids = [{call["eventID"] for call in trail.calls()} for trail in trails]
    assert [len(found) for found in ids] == [500, 500]
    assert ids[0].isdisjoint(ids[1])


@pytest.mark.parametrize("events", [1, 2, 99, 100, 5_000])
@pytest.mark.parametrize("days", [1, 9])
def test_there_are_as_many_calls_as_asked_for(tmp_path: Path, events: int, days: int) -> None:
    """Events are shared out over days, places and scenes without loss, however few."""
    trail = read(tmp_path, sample.write_trail(tmp_path, events=events, days=days))
    assert trail.written.calls == len(trail.calls()) == events


def test_objects_lie_where_cloudtrail_puts_them(trail: Trail) -> None:
    """Every object has a key of the real layout, and its records the account and region of it."""
    for key, records in trail.objects.items():
        found = LAYOUT.fullmatch(key)
        assert found, key
        assert {r["recipientAccountId"] for r in records} == {found["account"]}
        assert {r["awsRegion"] for r in records} == {found["region"]}


def test_objects_are_delivered_after_their_events(trail: Trail) -> None:
    """An object is named by its delivery, and the trail lasts exactly as long as it should."""
    for key, records in trail.objects.items():
        delivered = datetime.strptime(key.split("_")[-2], "%Y%m%dT%H%M%z")
        assert all(r["eventTime"] < f"{delivered:%Y-%m-%dT%H:%M:%SZ}" for r in records)
    times = sorted(r["eventTime"] for r in trail.elements())
    assert times[0].startswith("2026-10-28T00:")
    assert times[-1].startswith("2026-10-30T23:")


def test_a_small_trail_has_a_few_hundred_objects(trail: Trail) -> None:
    """Neither thousands of tiny objects nor a handful of large ones."""
    assert 200 <= trail.written.logs <= 600
    assert max(len(records) for records in trail.objects.values()) < 500


def test_what_was_written_is_what_is_there(tmp_path: Path) -> None:
    """The sums that are given back are those that counting finds."""
    written = sample.write_trail(tmp_path, events=3_000, broken=5)
    packed = files(tmp_path)
    objects = unpack(packed)
    elements = [e for records in objects.values() for e in records]
    good = [e for e in elements if usable(e)]
    ids = Counter(e["eventID"] for e in good if e["eventCategory"] != "Insight")
    assert written.logs == len(objects)
    assert written.insight_logs == sum("/CloudTrail-Insight/" in key for key in packed) == 2
    assert written.digests == sum("/CloudTrail-Digest/" in key for key in packed)
    assert written.logs + written.digests == len(packed)
    assert written.records == len(elements)
    assert written.calls == len(ids) == 3_000
    assert written.duplicates == ids.total() - len(ids)
    assert written.skipped == sum(e["eventCategory"] == "Insight" for e in good)
    assert written.rejected == len(elements) - len(good) == 5
    assert written.bytes == sum(len(body) for body in packed.values())
    assert written.inflated == sum(len(gzip.decompress(packed[key])) for key in objects)


def test_records_have_the_size_of_real_ones(trail: Trail) -> None:
    """Real records are about 1.2 KB each, all on one line of compact JSON."""
    assert 900 < trail.written.inflated / trail.written.records < 1_600
    body = gzip.decompress((trail.folder / next(iter(trail.objects))).read_bytes())
    assert body.startswith(b'{"Records":[{"eventVersion":"1.')
    assert b"\n" not in body
    assert b": " not in body


def test_records_have_the_shape_of_real_ones(trail: Trail) -> None:
    """Every call has the fields of a real one, in CloudTrail's order."""
    order = [
        "eventVersion",
        "userIdentity",
        "eventTime",
        "eventSource",
        "eventName",
        "awsRegion",
        "sourceIPAddress",
        "userAgent",
        "errorCode",
        "errorMessage",
        "requestParameters",
        "responseElements",
        "additionalEventData",
        "requestID",
        "eventID",
        "readOnly",
        "resources",
        "eventType",
        "managementEvent",
        "recipientAccountId",
        "sharedEventID",
        "serviceEventDetails",
        "eventCategory",
        "tlsDetails",
        "sessionCredentialFromConsole",
    ]
    for call in trail.calls():
        places = [order.index(field) for field in call]
        assert all(a < b for a, b in pairwise(places)), list(call)
        assert {"eventTime", "eventName", "eventSource", "eventID"} <= call.keys()
        assert isinstance(call["readOnly"], bool)


def test_every_kind_of_caller_and_event_occurs(trail: Trail) -> None:
    """A decoder meets every identity and event type that it has to know."""
    calls = trail.calls()
    assert {call["userIdentity"].get("type") for call in calls} == {
        "AssumedRole",
        "IAMUser",
        "Root",
        "AWSService",
        "AWSAccount",
        "WebIdentityUser",
        "IdentityCenterUser",
        "FederatedUser",
        None,
    }
    assert {call["eventType"] for call in calls} == {
        "AwsApiCall",
        "AwsServiceEvent",
        "AwsConsoleSignIn",
    }
    assert {call["eventVersion"] for call in calls} == {"1.08", "1.09", "1.10", "1.11"}
    assert all("sharedEventID" in c for c in calls if c["userIdentity"].get("type") == "AWSAccount")
    assert len({(call["eventSource"], call["eventName"]) for call in calls}) > 150


def test_sign_ins_fail_without_an_error_code(trail: Trail) -> None:
    """A console sign-in says in its response whether it succeeded."""
    sign_ins = [call for call in trail.calls() if call["eventName"] == "ConsoleLogin"]
    failures = [c for c in sign_ins if c["responseElements"] == {"ConsoleLogin": "Failure"}]
    assert 0 < len(failures) < len(sign_ins)
    assert all("errorCode" not in call for call in sign_ins)
    assert {c["errorMessage"] for c in failures} == {"Failed authentication"}


def test_sessions_change_and_roles_do_not(trail: Trail) -> None:
    """One role has many session names."""
    sessions: dict[str, set[str]] = {}
    for call in trail.calls():
        if call["userIdentity"].get("type") == "AssumedRole":
            sessions.setdefault(caller(call), set()).add(call["userIdentity"]["arn"])
    assert len(sessions) > 50
    assert len(sessions["arn:aws:iam::111122223333:role/orders-api"]) > 50


def test_nights_are_quiet_and_so_are_weekends(tmp_path: Path) -> None:
    """Working hours of a Wednesday are busier than its night and than those of a Saturday."""
    until = datetime(2026, 11, 2, tzinfo=UTC)
    calls = read(tmp_path, sample.write_trail(tmp_path, events=8_000, days=5, until=until)).calls()
    hours = Counter(call["eventTime"][:13] for call in calls)
    working = sum(hours[f"2026-10-28T{hour:02}"] for hour in range(9, 13))
    night = sum(hours[f"2026-10-28T{hour:02}"] for hour in (4, 5, 22, 23))
    weekend = sum(hours[f"2026-10-31T{hour:02}"] for hour in range(9, 13))
    assert working > 1.5 * night > 0
    assert working > 1.5 * weekend > 0


def test_the_culprit_calls_most_and_others_are_throttled_most(trail: Trail) -> None:
    """During the incident one role makes most of the calls, and another gets most of the errors."""
    culprit = load_scenario().culprit
    assert culprit == "arn:aws:iam::111122223333:role/inventory-scanner"
    start, end = (f"{moment:%Y-%m-%dT%H:%M}" for moment in trail.written.incident)
    assert (start, end) == ("2026-10-30T14:00", "2026-10-30T14:20")
    calls = [call for call in trail.calls() if start <= call["eventTime"] < end]
    describing = Counter(caller(c) for c in calls if c["eventName"] == "DescribeInstances")
    throttled = Counter(
        caller(c) for c in calls if c.get("errorCode") == "Client.RequestLimitExceeded"
    )
    assert describing.most_common(1)[0][0] == culprit
    assert describing[culprit] > describing.total() / 2
    assert throttled[culprit] < describing[culprit] / 5
    assert throttled.most_common(1)[0][0] != culprit
    assert len(throttled) >= 5


def seconds(calls: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """The *calls* of each second, in order."""
    found: dict[int, list[dict[str, Any]]] = {}
    for call in sorted(calls, key=lambda call: str(call["eventTime"])):
        moment = datetime.strptime(call["eventTime"], "%Y-%m-%dT%H:%M:%S%z")
        found.setdefault(int(moment.timestamp()), []).append(call)
    return found


@pytest.mark.parametrize("events", [800, 2_000, 20_000, 200_000])
def test_the_incident_uses_up_the_default_quota(tmp_path: Path, events: int) -> None:
    """Calls are throttled when the bucket of 100 and 20 a second is empty, and not otherwise."""
    written = sample.write_trail(tmp_path, events=events, days=1)
    start, end = (moment.timestamp() for moment in written.incident)
    describing = [
        call
        for call in read(tmp_path, written).calls()
        if call["eventName"] == "DescribeInstances"
        and (call["recipientAccountId"], call["awsRegion"]) == ("111122223333", "us-east-1")
    ]

    tokens, before, throttled = 100.0, start, 0
    for second, calls in seconds(describing).items():
        if start <= second < end:
            refused = [call for call in calls if call.get("errorCode", "").endswith("Exceeded")]
            tokens = min(100, tokens + 20 * (second - before))
            before = second
            tokens -= len(calls) - len(refused)
            throttled += len(refused)
            assert tokens > -5  # what the daily round calls besides
            assert not refused or tokens < 1
            tokens = max(0, tokens)
    assert throttled > 0.2 * min(events // 4, events * 0.04)


def test_the_worst_second_is_over_the_quota(trail: Trail) -> None:
    """The default trail's incident has seconds with more calls than pass at once."""
    start, end = (f"{moment:%Y-%m-%dT%H:%M}" for moment in trail.written.incident)
    describing = [
        call
        for call in trail.calls()
        if call["eventName"] == "DescribeInstances" and start <= call["eventTime"] < end
    ]

    assert max(map(len, seconds(describing).values())) > 100 + 20


def test_a_tiny_trail_has_no_throttling(tmp_path: Path) -> None:
    """Too few calls to use up a quota are not throttled."""
    trail = read(tmp_path, sample.write_trail(tmp_path, events=300, days=1))

    codes = {str(call.get("errorCode")) for call in trail.calls()}
    assert "Client.RequestLimitExceeded" not in codes


def test_requests_are_only_limited_during_the_incident(trail: Trail) -> None:
    """The code that the incident is about is met in its place and time and nowhere else."""
    limited = [c for c in trail.calls() if c.get("errorCode") == "Client.RequestLimitExceeded"]
    assert {(c["recipientAccountId"], c["awsRegion"]) for c in limited} == {
        ("111122223333", "us-east-1")
    }
    assert all("2026-10-30T14:00" <= c["eventTime"] < "2026-10-30T14:20" for c in limited)


def test_one_role_runs_into_most_denials(trail: Trail) -> None:
    """The burst of denials has one role behind it, in both of AWS's spellings."""
    denied = [
        call
        for call in trail.calls()
        if call.get("errorCode") in {"AccessDenied", "Client.UnauthorizedOperation"}
    ]
    assert (
        Counter(caller(call) for call in denied).most_common(1)[0][0]
        == load_scenario().denied_caller
    )
    assert len({call["errorCode"] for call in denied}) == 2
    assert all("arn:aws:sts::" in call["errorMessage"] for call in denied)


def test_duplicates_are_in_other_objects(trail: Trail) -> None:
    """About one call in a hundred comes twice, whole, and never twice in one object."""
    seen: dict[str, tuple[str, Any]] = {}
    again = 0
    for key, records in trail.objects.items():
        for record in records:
            other, first = seen.setdefault(record["eventID"], (key, record))
            if first is not record:
                assert other != key
                assert first == record
                again += 1
    assert again == trail.written.duplicates
    assert 150 <= again <= 200


def test_insights_have_a_folder_of_their_own(trail: Trail) -> None:
    """Insight records are not calls, open and close the incident, and lie beside the trail."""
    insights = {
        key: records for key, records in trail.objects.items() if "/CloudTrail-Insight/" in key
    }
    states = [
        (r["eventTime"], r["insightDetails"]["state"]) for rs in insights.values() for r in rs
    ]
    assert (
        sorted(states)
        == [("2026-10-30T14:00:00Z", "Start")] * 2 + [("2026-10-30T14:20:00Z", "End")] * 2
    )
    assert sum("insightDetails" in r for r in trail.elements()) == 4


def test_digests_list_the_objects_and_hold_no_records(trail: Trail) -> None:
    """A day's digest in each place names every object that was delivered there."""
    listed = [
        log["s3Object"]
        for key, packed in files(trail.folder).items()
        if "/CloudTrail-Digest/" in key
        for log in json.loads(gzip.decompress(packed))["logFiles"]
    ]
    assert sorted(listed) == sorted(trail.objects)


@pytest.mark.parametrize("broken", [0, 1, 7, 40])
def test_exactly_so_many_elements_are_broken(tmp_path: Path, broken: int) -> None:
    """As many elements as asked for are not records, spread over objects."""
    trail = read(tmp_path, sample.write_trail(tmp_path, events=3_000, broken=broken))
    bad = {
        key: sum(not usable(record) for record in records) for key, records in trail.objects.items()
    }
    assert sum(bad.values()) == trail.written.rejected == broken
    assert sum(n > 0 for n in bad.values()) >= broken * 0.9


def test_more_elements_may_be_broken_than_whole(tmp_path: Path) -> None:
    """A trail of one call can still have a dozen broken elements."""
    trail = read(tmp_path, sample.write_trail(tmp_path, events=1, broken=12))
    assert sum(not usable(element) for element in trail.elements()) == 12


def test_broken_elements_leave_the_rest_as_it_is(tmp_path: Path) -> None:
    """With and without broken elements a seed makes the same calls."""
    whole = read(tmp_path / "a", sample.write_trail(tmp_path / "a", events=700))
    broken = read(tmp_path / "b", sample.write_trail(tmp_path / "b", events=700, broken=9))
    assert [e for e in broken.elements() if usable(e)] == list(whole.elements())


def test_nothing_in_it_is_real(trail: Trail) -> None:
    """Addresses are documentation's, key ids say that they are examples, accounts are invented."""
    text = json.dumps(trail.objects)
    keys = re.findall(r'"accessKeyId": "([^"]+)"', text)
    assert all(key[4:11] == "EXAMPLE" for key in keys)
    addresses = {r["sourceIPAddress"] for r in trail.elements() if "sourceIPAddress" in r}
    numbers = [ip_address(a) for a in addresses if not a.endswith(".amazonaws.com")]
    assert all(any(number in net for net in DOCUMENTATION) for number in numbers)
    assert set(re.findall(r":(\d{12}):", text)) == {
        "111122223333",
        "222233334444",
        "444455556666",
        "777788889999",
    }


def test_every_table_of_the_scenario_has_a_source() -> None:
    """The scenario is dated, and each of its tables says where its values come from."""
    scenario = load_scenario()

    assert re.fullmatch(r"20\d\d-\d\d-\d\d", scenario.date)
    assert {*scenario.sources, "date", "sources"} == {*scenario.__struct_fields__}
    assert all(scenario.sources.values())


def named_apis(uses: dict[str, int], apis: set[str]) -> bool:
    """Tell whether each glob of *uses* matches one of *apis*."""
    return all(fnmatch.filter(apis, glob) for glob in uses)


def test_names_in_the_scenario_are_there() -> None:
    """Kinds, agents, networks, rhythms, endings, roles and APIs that are named exist."""
    scenario = load_scenario()
    apis = {
        f"{name}:{api}"
        for name, service in scenario.services.items()
        for api in (*service.reads, *service.writes, *service.happens, *service.signs_in)
    }
    parts = [part for scene in scenario.scenes.values() for part in scene.parts]

    assert {kind.ending for kind in scenario.kinds.values()} == {*scenario.endings}
    assert {each.kind for each in scenario.callers} == {*scenario.kinds}
    assert {each.agent for each in scenario.callers} == {"", *scenario.agents}
    assert {each.network for each in scenario.callers} == {*scenario.networks}
    assert {each.rhythm for each in scenario.callers} == {*scenario.rhythms}
    assert {len(rhythm.hours) for rhythm in scenario.rhythms.values()} == {24}
    assert {*scenario.shapes} <= apis
    assert all(named_apis(each.uses, apis) for each in scenario.callers)
    assert all(named_apis(part.uses, apis) for part in parts)
    assert all(isinstance(scenario.role(part.caller), Actor) for part in parts)
    assert scenario.incident.quota == quota("ec2.amazonaws.com", "DescribeInstances")


def test_a_folder_that_exists_keeps_what_is_in_it(tmp_path: Path) -> None:
    """Writing into a folder leaves the files that are there alone."""
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    sample.write_trail(tmp_path, events=1, days=1)
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_a_trail_ends_when_it_should(tmp_path: Path) -> None:
    """Any aware time will do as the end, cut to five minutes; the incident moves along."""
    until = datetime.fromisoformat("2026-03-04T17:38:21+02:00")
    trail = read(tmp_path, sample.write_trail(tmp_path, events=2_000, days=1, until=until))
    times = sorted(call["eventTime"] for call in trail.calls())
    assert times[0] >= "2026-03-03T15:35:00Z"
    assert "2026-03-04T15:25:00Z" < times[-1] < "2026-03-04T15:35:00Z"
    assert trail.written.incident.start == datetime(2026, 3, 4, 5, 35, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"events": 0}, "events is 0: a trail has at least 1"),
        ({"events": -1_000}, "events is -1,000: a trail has at least 1"),
        ({"days": 0}, "days is 0: choose from 1 to 366"),
        ({"days": 367}, "days is 367: choose from 1 to 366"),
        ({"broken": -1}, "broken is -1: choose 0 for none, or how many there shall be"),
        (
            {"until": datetime(2026, 1, 1)},  # noqa: DTZ001  a time without a zone is the point
            (
                "until is 2026-01-01 00:00:00, which has no time zone: add one,"
                " as in 2026-10-31 00:00:00+00:00"
            ),
        ),
        (
            {"until": datetime(2013, 12, 31, tzinfo=UTC)},
            "until is 2013-12-31 00:00:00+00:00, before CloudTrail: choose 2014 or later",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    """A bad argument is an error that names it, before anything is written."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        sample.write_trail(tmp_path / "trail", **bad)
    assert not (tmp_path / "trail").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is refused, by name."""
    file = tmp_path / "trail"
    file.touch()
    with pytest.raises(UsageError, match=r"trail is a file: name a folder"):
        sample.write_trail(file)
