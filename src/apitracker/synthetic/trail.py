"""
A synthetic trail that looks real: CloudTrail's folders, objects and records, all of it invented.

`scenario` has the callers, their calls, places and times. This module makes records of them and
delivers them in objects, by `write_trail`. About one record in a hundred is delivered a second
time, in another object.
"""

# ruff: noqa: S311  a pseudo-random generator is wanted: the same seed writes the same trail

import hashlib
import json
import random
import string
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from isal import igzip

from apitracker.core.origins import TAG, UUID_VERSION
from apitracker.core.quotas import Quota
from apitracker.errors import UsageError
from apitracker.synthetic.scenario import (
    Actor,
    Failure,
    Part,
    Place,
    Scenario,
    Scene,
    Weights,
    compact,
    load_scenario,
)

UNTIL = datetime(2026, 10, 31, tzinfo=UTC)
"""The default end, so that figures stay the same: a Saturday, after three working days."""

MAX_DAYS = 366
FIRST_END_YEAR = 2014  # CloudTrail began in November 2013

SLICE = timedelta(minutes=5)  # CloudTrail delivers about every five minutes
SLICE_SECONDS = SLICE // timedelta(seconds=1)
FRIDAY = 4  # datetime.weekday()

FEWEST_LOGS = 400  # small trails have about as many objects as this,
FULL = 2_500  # until an object would hold more records than this: 3 MB of JSON
MOST_CALLS = 5_000  # an object never holds more calls than this
ONE_AGAIN_IN = 100  # calls, of which one is delivered twice

BURST = 2  # times as many calls as a quota lets through at once
CULPRIT_SECONDS, VICTIM_SECONDS = 4, 2  # from the beginning of a burst

LEVEL = 1  # igzip's fastest that still compresses like CloudTrail's own objects


class Period(NamedTuple):
    """A stretch of time: from *start* up to, and not including, *end*."""

    start: datetime
    end: datetime


class Written(NamedTuple):
    """
    The numbers of logs, records and bytes that were written.

    *logs* are the objects that hold records, *insight_logs* those among them that hold insight
    records only, *digests* are objects without records. *records* is
    ``calls + duplicates + skipped + rejected``, as an honest count of the trail must find it.
    *bytes* is the size of all files as they lie on disk, *inflated* that of the JSON in the logs.
    *incident* is the time in which the culprit hammered.
    """

    logs: int
    insight_logs: int
    digests: int
    records: int
    calls: int
    duplicates: int
    skipped: int
    rejected: int
    bytes: int
    inflated: int
    incident: Period


ACCOUNTED = ("calls", "duplicates", "skipped", "rejected")  # a record is one of these
COUNTED = ("logs", "insight_logs", "digests", *ACCOUNTED, "bytes", "inflated")


# From the scenario to a record ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Api:
    """One API of a service; *type* is the eventType of its records."""

    service: str
    name: str
    read: bool
    type: str = "AwsApiCall"


class _Act(NamedTuple):
    """The calls of *caller* in a scene (*plays* is a part) or on any day (*plays* is itself)."""

    caller: Actor
    plays: Actor | Part

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The errors that its calls fail with; none where they are those of the service."""
        return (self.plays.error,) if isinstance(self.plays, Part) else ()


class _Choice(NamedTuple):
    """APIs to choose from, by weight, as arguments of `random.choices`."""

    items: list[_Api]
    cum_weights: list[float]


@cache
def _apis() -> dict[_Api, int]:
    """Return every API there is, with its weight."""
    found = {}
    for name, service in load_scenario().services.items():
        groups: tuple[tuple[Weights, bool, str], ...] = (
            (service.reads, True, "AwsApiCall"),
            (service.writes, False, "AwsApiCall"),
            (service.happens, False, "AwsServiceEvent"),
            (service.signs_in, False, "AwsConsoleSignIn"),
        )
        for weights, read, kind in groups:
            found.update({_Api(name, api, read, kind): n for api, n in weights.items()})
    return found


@cache
def _choice(act: _Act, region: str) -> _Choice:
    """
    Return the APIs that *act* uses, as far as its caller can call them in *region*.

    A glob gets its own weight, shared out by the weights of the APIs that it matches.
    """
    scenario = load_scenario()
    weights: dict[_Api, float] = {}
    for pattern, weight in act.plays.uses.items():
        matches = {
            api: n
            for api, n in _apis().items()
            if fnmatchcase(f"{api.service}:{api.name}", pattern)
            and (api.type == "AwsServiceEvent") == (act.caller.kind == "event")
            and (region == scenario.home or not scenario.services[api.service].is_global)
        }
        for api, n in matches.items():
            weights[api] = weights.get(api, 0) + weight * n / sum(matches.values())
    return _Choice(list(weights), list(accumulate(weights.values())))


def _fill(text: str, **values: str) -> str:
    """Put *values* in place of their ``<names>`` in *text*."""
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text


@cache
def _template(api: _Api, place: Place, kind: str, *, failed: bool) -> str:
    """Make all of a record that is the same for every call of *api* by this *kind* of caller."""
    scenario = load_scenario()
    service, caller = scenario.services[api.service], scenario.kinds[kind]
    event = api.type == "AwsServiceEvent"
    shape = scenario.shapes.get(f"{api.service}:{api.name}")
    request, response = compact(service.request), compact(service.response)
    if shape:
        request, response = compact(shape.request), compact(shape.response)
    elif api.read:
        response = "null"
    if event:
        request = response = "null"
    if failed:
        response = compact(service.failure_response)
    extra, resource = compact(service.additional_event_data), service.resource
    ending = compact(scenario.endings[caller.ending])[1:-1]  # without the braces
    parts = (
        '{"eventVersion":"<version>","userIdentity":%(identity)s,"eventTime":"%(time)s",',
        '"eventSource":"<service>.amazonaws.com","eventName":"<api>","awsRegion":"<region>",',
        '"sourceIPAddress":"%(address)s","userAgent":"%(agent)s",%(error)s',
        f'"requestParameters":{request},',
        f'"responseElements":{response},',
        f'"additionalEventData":{extra},' if extra != "null" and not event else "",
        '"requestID":"%(request)s",' if api.type == "AwsApiCall" else "",
        f'"eventID":"%(event)s","readOnly":{json.dumps(api.read)},',
        '"resources":[{"accountId":"<account>","type":"<type>","ARN":"<arn>"}],'
        if resource
        else "",
        f'"eventType":"{api.type}","managementEvent":true,"recipientAccountId":"<account>",',
        '"sharedEventID":"%(shared)s",' if caller.is_shared else "",
        '"serviceEventDetails":{"resource":"example-%(id)s","state":"done"},' if event else "",
        '"eventCategory":"Management"',
        f",{ending}}}" if ending else "}",
    )
    return _fill(
        "".join(parts),
        version=service.version,
        service=api.service,
        api=api.name,
        type=resource.type if resource else "",
        arn=resource.arn if resource else "",
        account=place.account,
        region=place.region,
    )


@cache
def _identity(caller: Actor, place: Place) -> str:
    """Make all of a caller's userIdentity that is the same in each of its sessions."""
    return _fill(
        compact(load_scenario().kinds[caller.kind].user_identity),
        name=caller.name,
        path=caller.path,
        invokedBy=caller.invoked_by,
        number=f"{zlib.crc32(caller.name.encode()) % 10**9:09}",
        account=place.account,
        region=place.region,
    )


def _uuid(digits: str, at: int) -> str:
    """Cut a random UUID, version 4, out of hex *digits*."""
    return (
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-4{digits[at + 13 : at + 16]}"
        f"-a{digits[at + 17 : at + 20]}-{digits[at + 20 : at + 32]}"
    )


def _event_id(digits: str, at: int, end: str) -> str:
    """
    Cut an eventID out of hex *digits* that `core.origins` recognises.

    *end* is four digits for the end of the trail: trails of other times have no events in common.
    """
    first, second = digits[at : at + 8], end
    third, fourth = digits[at + 13 : at + 16], digits[at + 17 : at + 20]
    return f"{first}-{second}-{UUID_VERSION}{third}-a{fourth}-{TAG}"


def _end_digits(end: datetime) -> str:
    """Return four hex digits for the *end* of a trail."""
    return hashlib.sha256(_stamp(end).encode()).hexdigest()[:4]


def _stamp(moment: datetime) -> str:
    """Write *moment* the way CloudTrail does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _error(error: Failure, api: _Api, arn: str) -> str:
    """Write errorCode, if there is one, and errorMessage."""
    text = error.message % {"arn": arn, "action": f"{api.service}:{api.name}"}
    return (f'"errorCode":"{error.code}",' if error.code else "") + f'"errorMessage":"{text}",'


class _Session(NamedTuple):
    """A caller's session in a place: the values of its records, until it ends."""

    identity: str
    arn: str
    address: str
    agent: str
    end: datetime


_ID_BYTES = 48  # of random data for a record: an eventID, a requestID and one more
_LONGEST_SESSION = timedelta(hours=1)


class _Moment(NamedTuple):
    """When a call is made, in seconds of its slice, and whether it fails."""

    second: int
    failed: bool


class _TokenBucket:
    """A quota as AWS keeps it: so many requests at once, and a number that comes back a second."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._tokens: float = _at_once(quota)
        self._second = 0

    def take(self, second: int) -> bool:
        """Return whether a request passes at *second*; seconds never go back."""
        returned = (second - self._second) * self._quota.rate
        self._tokens = min(_at_once(self._quota), self._tokens + returned)
        self._second = second
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _at_once(quota: Quota) -> float:
    return quota.burst or quota.rate


def _burst(quota: Quota) -> int:
    """Return how many calls a burst has that uses *quota* up."""
    return int(BURST * _at_once(quota))


class _Cast:
    """All callers: makes their records, and remembers only the sessions that are open."""

    def __init__(self, scenario: Scenario, rng: random.Random, end: datetime) -> None:
        self._scenario = scenario
        self._rng = rng
        self._end = _end_digits(end)
        self._sessions: dict[tuple[Actor, Place], _Session] = {}
        self._buckets: dict[Scene, _TokenBucket] = {}

    def daily(self, place: Place, start: datetime, n: int) -> list[tuple[int, str]]:
        """Make *n* calls of the daily round in the five minutes from *start*."""
        callers, cum_weights = _on_duty(place.region, start.hour, start.weekday())
        chosen = Counter(self._rng.choices(callers, cum_weights=cum_weights, k=n))
        return [
            record
            for caller, k in chosen.items()
            for record in self._calls(
                _Act(caller, caller),
                place,
                start,
                self._by_chance(caller.fails, self._seconds(k)),
            )
        ]

    def scene(self, scene: Scene, start: datetime, n: int) -> list[tuple[int, str]]:
        """Make *n* calls of *scene* in the five minutes from *start*, hurried, as in a loop."""
        if quota := scene.quota:
            moments = self._limited(scene, quota, start, n)
        else:
            shares = _portions(n, [part.weight for part in scene.parts])
            moments = [
                self._by_chance(part.fails, self._hurried(k))
                for part, k in zip(scene.parts, shares, strict=True)
            ]
        return [
            record
            for part, some in zip(scene.parts, moments, strict=True)
            for record in self._calls(
                _Act(self._scenario.role(part.caller), part), scene.place, start, some
            )
        ]

    def _limited(self, scene: Scene, quota: Quota, start: datetime, n: int) -> list[list[_Moment]]:
        """Share *n* calls of *scene* out to parts and seconds; *quota* fails some of them."""
        bucket = self._buckets.setdefault(scene, _TokenBucket(quota))
        bursts = max(1, round(n / _burst(quota)))
        draw = self._rng.random
        moments: list[list[_Moment]] = [[] for _ in scene.parts]
        for i, size in enumerate(_portions(n, [1] * bursts)):
            begin = SLICE_SECONDS * i // bursts
            shares = _portions(size, [part.weight for part in scene.parts])
            calls = []
            for order, k in enumerate(shares):
                for _ in range(k):
                    # Most of the first part's calls come in the first second.
                    late = draw() * VICTIM_SECONDS if order else draw() ** 6 * CULPRIT_SECONDS
                    calls.append((begin + int(late), order > 0, draw(), order))
            for second, _, _, order in sorted(calls):
                passes = bucket.take(int(start.timestamp()) + second)
                moments[order].append(_Moment(second, failed=not passes))
        return moments

    def _by_chance(self, fails: float, seconds: list[int]) -> list[_Moment]:
        """Choose which of the calls at *seconds* are among those of which a share *fails*."""
        draw = self._rng.random
        return [_Moment(second, failed=draw() < fails) for second in seconds]

    def _seconds(self, n: int) -> list[int]:
        """Choose *n* seconds of a slice."""
        draw = self._rng.random
        return [int(draw() * SLICE_SECONDS) for _ in range(n)]

    def _hurried(self, n: int) -> list[int]:
        """Choose *n* seconds of a slice, most of them early in one of its minutes."""
        draw = self._rng.random
        return [int(draw() * 5) * 60 + int(draw() ** 3 * 60) for _ in range(n)]

    def _calls(
        self, act: _Act, place: Place, start: datetime, moments: list[_Moment]
    ) -> Iterator[tuple[int, str]]:
        """Make the record of a call of *act* for each of *moments* after *start*."""
        rng, kind, n = self._rng, act.caller.kind, len(moments)
        is_shared = self._scenario.kinds[kind].is_shared
        choice = _choice(act, place.region)
        session = self._session(act.caller, place, start)
        stamps = _stamps(start)
        digits = rng.randbytes(_ID_BYTES * n).hex()
        values = {
            "identity": session.identity,
            "address": session.address,
            "agent": session.agent,
        }
        apis = rng.choices(choice.items, cum_weights=choice.cum_weights, k=n)
        for i, (moment, api) in enumerate(zip(moments, apis, strict=True)):
            at = i * _ID_BYTES * 2
            error = self._failure(act, api, session) if moment.failed else ""
            values["error"] = error
            values["time"] = stamps[moment.second]
            values["event"] = _event_id(digits, at, self._end)
            values["request"] = _uuid(digits, at + 32)
            values["id"] = digits[at + 64 : at + 80]
            if is_shared:
                values["shared"] = _uuid(digits, at + 64)
            yield moment.second, _template(api, place, kind, failed=bool(error)) % values

    def _failure(self, act: _Act, api: _Api, session: _Session) -> str:
        """Write the error of a call that failed: the scene's, or one usual for the service."""
        errors = act.errors or self._scenario.services[api.service].errors
        return _error(self._rng.choice(errors), api, session.arn) if errors else ""

    def _session(self, caller: Actor, place: Place, start: datetime) -> _Session:
        """Return the open session of *caller* in *place*, or open another."""
        session = self._sessions.get((caller, place))
        if session is None or session.end <= start:
            session = self._sessions[caller, place] = self._open(caller, place, start)
        return session

    def _open(self, caller: Actor, place: Place, start: datetime) -> _Session:
        """Open a session at *start*, with a name, a key and an address of its own."""
        rng = self._rng
        name = rng.choice(caller.sessions) % {
            "id": rng.randbytes(8).hex(),
            "digits": rng.randrange(10**9, 10**10),
        }
        values = {"session": name, "key": f"{rng.randrange(10**9):09}", "created": _stamp(start)}
        address = self._scenario.address(caller) % {"host": rng.randrange(1, 255)}
        return _Session(
            identity=_identity(caller, place) % values,
            arn=f"arn:aws:sts::{place.account}:assumed-role/{caller.name}/{name}",
            address=address,
            agent=self._scenario.agents[caller.agent] if caller.agent else address,
            end=start + rng.random() * _LONGEST_SESSION,
        )


@cache
def _on_duty(region: str, hour: int, weekday: int) -> tuple[list[Actor], list[int]]:
    """Return the callers of *region* in this *hour* of the *weekday*, with the weights added up."""
    scenario = load_scenario()
    weekend = weekday > FRIDAY
    weights = {
        caller: caller.weight * rhythm.hours[hour] * (rhythm.weekend if weekend else 100)
        for caller in scenario.callers
        if _choice(_Act(caller, caller), region).items
        for rhythm in (scenario.rhythm(caller),)
    }
    return list(weights), list(accumulate(weights.values()))


@lru_cache(maxsize=1)
def _stamps(start: datetime) -> list[str]:
    """Write every second of the slice from *start*."""
    hour = f"{start:%Y-%m-%dT%H}"
    return [f"{hour}:{start.minute + s // 60:02}:{s % 60:02}Z" for s in range(SLICE_SECONDS)]


# From records to objects ---------------------------------------------------------------------


class _Bucket:
    """The folder as CloudTrail's bucket: gathers records, delivers objects, keeps count."""

    def __init__(  # noqa: PLR0913 - two generators are made of two of these
        self,
        scenario: Scenario,
        folder: Path,
        rng: random.Random,
        start: datetime,
        *,
        events: int,
        broken: int,
    ) -> None:
        places = scenario.places
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self._scenario = scenario
        self._broken = [compact(element) for element in scenario.broken]
        self._folder = folder
        self._rng = rng
        self._day = start
        self._full = max(1, min(events // FEWEST_LOGS, FULL))
        self._waiting: dict[Place, list[str]] = {place: [] for place in places}
        self._again: dict[Place, list[str]] = {place: [] for place in places}
        self._listed: dict[Place, list[dict[str, str]]] = {place: [] for place in places}
        # A generator apart, so that with and without broken elements the calls are the same.
        self._breaker = random.Random(broken)
        self._breaks = [events * i // (broken + 1) for i in range(1, broken + 1)]

    def put(self, place: Place, records: list[str], at: datetime) -> None:
        """Take the *records* of *place* from the slice before *at*."""
        waiting = self._waiting[place]
        waiting += records
        if len(waiting) >= self._full:
            self._deliver(place, at)

    def close_day(self, at: datetime) -> None:
        """Deliver all records that wait, and a digest of the day in each place."""
        for place in self._waiting:
            self._deliver(place, at)
            self._digest(place, at)
        self._day = at

    def insights(self, place: Place, records: list[str], at: datetime) -> None:
        """Deliver insight *records*, in a folder of their own."""
        self._write_log(place, "CloudTrail-Insight", records, at)
        self.counts["insight_logs"] += 1
        self.counts["skipped"] += len(records)

    def _deliver(self, place: Place, at: datetime) -> None:
        """Deliver the records that wait for *place*, in as few objects as may be."""
        waiting = self._waiting[place]
        objects = -(-len(waiting) // MOST_CALLS)
        for i in range(objects):
            calls = waiting[len(waiting) * i // objects : len(waiting) * (i + 1) // objects]
            self._deliver_one(place, calls, at)
        waiting.clear()

    def _deliver_one(self, place: Place, calls: list[str], at: datetime) -> None:
        """Deliver *calls*, some of the object before once more, and the broken elements due."""
        records = calls + self._again[place]
        self.counts["duplicates"] += len(self._again[place])
        before = self.counts["calls"]
        self.counts["calls"] += len(calls)
        owed = self.counts["calls"] // ONE_AGAIN_IN - before // ONE_AGAIN_IN
        self._again[place] = self._rng.sample(calls, owed)
        self._break(records)
        self._write_log(place, "CloudTrail", records, at)

    def _break(self, records: list[str]) -> None:
        """Slip in the broken elements that are due by now."""
        while self.counts["rejected"] < len(self._breaks):
            if self._breaks[self.counts["rejected"]] >= self.counts["calls"]:
                break
            element = self._broken[self.counts["rejected"] % len(self._broken)]
            records.insert(self._breaker.randrange(len(records) + 1), element)
            self.counts["rejected"] += 1

    def _write_log(self, place: Place, kind: str, records: list[str], at: datetime) -> None:
        """Write *records* as one object, and list it for the digest."""
        suffix = "".join(self._rng.choices(string.ascii_letters + string.digits, k=16))
        name = f"{place.account}_{kind}_{place.region}_{at:%Y%m%dT%H%MZ}_{suffix}.json.gz"
        body = ('{"Records":[' + ",".join(records) + "]}").encode("ascii")
        path = self._write(place, kind, name, body, at)
        self.counts["logs"] += 1
        self.counts["inflated"] += len(body)
        self._listed[place].append(
            {
                "s3Bucket": self._scenario.bucket,
                "s3Object": path,
                "hashValue": hashlib.sha256(body).hexdigest(),
                "hashAlgorithm": "SHA-256",
            }
        )

    def _digest(self, place: Place, at: datetime) -> None:
        """Write the digest of the day: CloudTrail's are hourly, and hold no records either."""
        name = (
            f"{place.account}_CloudTrail-Digest_{place.region}_example-trail_{self._scenario.home}"
            f"_{at:%Y%m%dT%H%M%SZ}.json.gz"
        )
        digest = {
            "awsAccountId": place.account,
            "digestStartTime": _stamp(self._day),
            "digestEndTime": _stamp(at),
            "digestS3Bucket": self._scenario.bucket,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "logFiles": self._listed[place],
        }
        self._write(place, "CloudTrail-Digest", name, _json(digest).encode(), at)
        self.counts["digests"] += 1
        self._listed[place] = []

    def _write(self, place: Place, kind: str, name: str, body: bytes, at: datetime) -> str:
        """Write one object, packed, and return its key."""
        key = f"AWSLogs/{place.account}/{kind}/{place.region}/{at:%Y/%m/%d}/{name}"
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = igzip.compress(body, LEVEL, mtime=0)
        path.write_bytes(packed)
        self.counts["bytes"] += len(packed)
        return key


def _json(value: object) -> str:
    """Write *value* without a space too many, as CloudTrail does."""
    return json.dumps(value, separators=(",", ":"))


def _insight(moment: datetime, state: str, kind: str, shared: str, rng: random.Random) -> str:
    """Make the insight record that opens (*state* Start) or closes (End) the incident."""
    scenario = load_scenario()
    incident = scenario.incident
    attributions = [
        {
            "attribute": "userIdentityArn",
            "insight": [{"value": scenario.culprit, "average": 28.0}],
            "baseline": [{"value": scenario.culprit, "average": 0.05}],
        }
    ]
    return _json(
        {
            "eventVersion": "1.09",
            "eventTime": _stamp(moment),
            "awsRegion": incident.region,
            "eventID": _event_id(rng.randbytes(16).hex(), 0, _end_digits(moment)),
            "eventType": "AwsCloudTrailInsight",
            "recipientAccountId": incident.account,
            "sharedEventID": shared,
            "insightDetails": {
                "state": state,
                "eventSource": "ec2.amazonaws.com",
                "eventName": "DescribeInstances",
                "insightType": kind,
                "insightContext": {
                    "statistics": {
                        "baseline": {"average": 0.8},
                        "insight": {"average": 40.0},
                        "insightDuration": 20,
                        "baselineDuration": 10080,
                    },
                    "attributions": attributions,
                },
            },
            "eventCategory": "Insight",
        }
    )


# From arguments to a trail -------------------------------------------------------------------


def write_trail(  # noqa: PLR0913  each is a choice of its own, by name and with a default
    folder: Path,
    *,
    events: int = 20_000,
    days: int = 3,
    seed: int = 1,
    broken: int = 0,
    until: datetime = UNTIL,
) -> Written:
    """
    Write a trail of *events* calls over the *days* before *until* under *folder*.

    Beside the calls there are duplicates, insight records, digests and *broken* elements that
    are not records; `Written` has the number of each. The same arguments write the same bytes; on
    another processor the gzip may come out otherwise, the JSON does not. *until* is cut to whole
    five minutes. As with CloudTrail, an object is named and filed by the time of its delivery,
    after its events: the last ones of a day lie in the folder of the next. *folder* may exist;
    files in it are left alone. `UsageError` if an argument makes no sense.
    """
    _check(folder, events, days, broken, until)
    end = _whole(until)
    starts = [end - SLICE * i for i in range(days * timedelta(days=1) // SLICE, 0, -1)]
    rng = random.Random(seed)
    scenario = load_scenario()
    places = scenario.places
    cast = _Cast(scenario, rng, end)
    bucket = _Bucket(scenario, folder, rng, starts[0], events=events, broken=broken)
    incident = _window(scenario.incident, end)
    insights = _insights(incident, rng)
    scenes = _scene_calls(scenario, events, end)
    daily = _daily_calls(events - sum(scenes.values()), places, starts, rng)

    for start in starts:
        delivery = start + SLICE
        for place in places:
            happened = cast.daily(place, start, next(daily))
            for scene in scenario.scenes.values():
                if scene.place == place and (scene, start) in scenes:
                    happened += cast.scene(scene, start, scenes[scene, start])
            happened.sort()
            bucket.put(place, [record for _, record in happened], delivery)
        if start in insights:
            bucket.insights(scenario.incident.place, insights[start], delivery)
        if delivery.time() == time.min or delivery == end:
            bucket.close_day(delivery)
    records = sum(bucket.counts[kind] for kind in ACCOUNTED)
    return Written(**bucket.counts, records=records, incident=incident)


def _check(folder: Path, events: int, days: int, broken: int, until: datetime) -> None:
    """Raise `UsageError` for the first argument that makes no sense."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder to write the sample trail into")
    if events < 1:
        raise UsageError(f"events is {events:,}: a trail has at least 1")
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"days is {days:,}: choose from 1 to {MAX_DAYS}")
    if broken < 0:
        raise UsageError(f"broken is {broken:,}: choose 0 for none, or how many there shall be")
    if until.tzinfo is None:
        raise UsageError(f"until is {until}, which has no time zone: add one, as in {UNTIL}")
    if until.year < FIRST_END_YEAR:
        raise UsageError(f"until is {until}, before CloudTrail: choose {FIRST_END_YEAR} or later")


def _whole(moment: datetime) -> datetime:
    """Cut *moment* to whole five minutes, in UTC."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


def _portions(whole: int, weights: Sequence[int]) -> Iterator[int]:
    """Share *whole* out by *weights*: the portions add up to it exactly."""
    total = sum(weights)
    given = 0
    for reached in accumulate(weights):
        due = (whole * reached + total // 2) // total  # rounded
        yield due - given
        given = due


def _window(scene: Scene, end: datetime) -> Period:
    """Return the time of *scene* in a trail that ends at *end*."""
    start = end - scene.before
    return Period(start, start + scene.lasts)


def _scene_calls(
    scenario: Scenario, events: int, end: datetime
) -> dict[tuple[Scene, datetime], int]:
    """Return the number of calls that each scene makes in the slice that begins at each time."""
    return {
        (scene, _window(scene, end).start + SLICE * i): n
        for scene in scenario.scenes.values()
        for i, n in enumerate(_scene_slices(scene, events))
    }


def _scene_slices(scene: Scene, events: int) -> Iterator[int]:
    """
    Return the number of calls, of *events* in all, that *scene* makes in each of its slices.

    Against a quota it makes whole bursts: one even in a small trail, as far as a quarter of the
    calls go; and no more in a large one than half as many again as the quota lets through.
    """
    size = events * scene.permille // 1000
    weights = [1] * (scene.lasts // SLICE)
    if quota := scene.quota:
        burst = _burst(quota)
        most = int(quota.rate * scene.lasts.total_seconds() * 3 / 2)
        size = min(max(size, min(burst, events // 4)), most)
        weights = list(_portions(max(1, size // burst), weights))
    return _portions(size, weights)


def _daily_calls(
    events: int, places: dict[Place, int], starts: list[datetime], rng: random.Random
) -> Iterator[int]:
    """Share *events* out to slices, and within each slice to *places*."""
    weights = array("Q")
    for start in starts:
        ripple = rng.randrange(75, 126)  # no two slices are quite alike
        for place, share in places.items():
            _, on_duty = _on_duty(place.region, start.hour, start.weekday())
            weights.append(share * ripple * on_duty[-1])
    return _portions(events, weights)


def _insights(incident: Period, rng: random.Random) -> dict[datetime, list[str]]:
    """Make the insight records about *incident*, by the slice that they belong to."""
    shared = {
        kind: _uuid(rng.randbytes(16).hex(), 0)
        for kind in ("ApiCallRateInsight", "ApiErrorRateInsight")
    }
    return {
        moment: [_insight(moment, state, kind, id_, rng) for kind, id_ in shared.items()]
        for state, moment in (("Start", incident.start), ("End", incident.end))
    }
