"""
The scenario of the synthetic trail, all of it invented: scenario.json, read when it is asked for.

No account, role, address or key in it is anybody's. Accounts look like AWS's examples, addresses
come from the ranges kept for documentation (RFC 5737), and every key id says EXAMPLE. Names of
services, APIs and error codes are AWS's; how often each occurs is made up, and so is the story:

- a steady hum of automation, busy office hours (UTC), quiet nights and quieter weekends;
- the *culprit* hammers ec2:DescribeInstances for twenty minutes, in bursts that use up AWS's
  default quota of it. It is seldom throttled itself; the roles that call just after it are, so
  looking for the most throttled role finds a victim;
- the *denied caller* runs into denials for half an hour.

In the texts of scenario.json <account>, <region> and the like are filled in once, when a template
is made; %(id)s and the like are filled in for every record.
"""

from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct, field

from apitracker.core.quotas import Quota, quota

SCENARIO_FILE: Final = "scenario.json"
NULL: Final = Raw(b"null")

Weights: TypeAlias = dict[str, int]
"""Names or globs, and how often each is chosen beside the others."""


class Place(NamedTuple):
    """An account in a region: CloudTrail delivers its records in objects of their own."""

    account: str
    region: str


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """An errorCode, empty where CloudTrail gives none, and its errorMessage."""

    message: str
    code: str = ""


class UsedResource(Struct, frozen=True, forbid_unknown_fields=True):
    """The type and the ARN of the one resource of a record."""

    type: str
    arn: str = field(name="ARN")


class ServiceApis(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """
    An AWS service: its APIs, and the fields that its records have in common.

    *happens* are the events of its own accord (AwsServiceEvent), *signs_in* those of the console
    (AwsConsoleSignIn). *response* is of an API that writes, *failure_response* of a call that
    failed. None of its *errors* is a throttle if the service has quotas in `core.quotas`: calls
    here and there do not use them up.
    """

    version: str
    reads: Weights = {}
    writes: Weights = {}
    happens: Weights = {}
    signs_in: Weights = {}
    request: Raw = Raw(b'{"maxResults":100}')
    response: Raw = NULL
    failure_response: Raw = NULL
    additional_event_data: Raw = NULL
    resource: UsedResource | None = None
    is_global: bool = False
    errors: tuple[Failure, ...] = ()


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """The requestParameters and responseElements of an API that differ from its service's."""

    request: Raw
    response: Raw


class Kind(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """
    A kind of caller: its *user_identity*, and by name the fields that end its records.

    With *is_shared* the other account has the same call, and records have a sharedEventID.
    """

    user_identity: Raw
    ending: str = "tls"
    is_shared: bool = False


class Rhythm(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The activity in each of the *hours* of a working day, in UTC.

    A day of the *weekend* has that many percent of it.
    """

    hours: tuple[int, ...]
    weekend: int = 100


class Actor(Struct, frozen=True, eq=False, forbid_unknown_fields=True, rename="camel"):
    """
    A caller that is there in every account: its kind, its weight, and the APIs that it uses.

    *uses* are globs of service:API. *sessions* are names to choose from. *fails* is the share of
    its calls that fail, where the service has errors to fail with. *agent*, *network* and *rhythm*
    are names in the scenario; a service of AWS, *invoked_by*, stands for agent and address.
    """

    kind: str
    name: str
    weight: int
    uses: Weights
    agent: str = ""
    sessions: tuple[str, ...] = ("%(id)s",)
    network: str = "inside"
    invoked_by: str = ""
    rhythm: str = "steady"
    path: str = ""
    fails: float = 0.04


class Part(Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """The part of a role, *caller*, in a scene: a share *fails* of its calls fails with *error*."""

    caller: str
    weight: int
    uses: Weights
    error: Failure
    fails: float = 0.0


class LimitedApi(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An API, by the fields of CloudTrail."""

    event_source: str
    event_name: str


class Scene(Struct, frozen=True, eq=False, forbid_unknown_fields=True, rename="camel"):
    """
    An episode that takes place once, *before* the end of the trail, on top of the daily round.

    It makes *permille* of all calls. If it *uses_up* the quota of an API, all its calls are to
    that API. They come in bursts, those of the first part first, and fail where they find the
    quota used up.
    """

    account: str
    region: str
    before: timedelta
    lasts: timedelta
    permille: int
    parts: tuple[Part, ...]
    uses_up: LimitedApi | None = None

    @property
    def place(self) -> Place:
        """The account and the region."""
        return Place(self.account, self.region)

    @property
    def quota(self) -> Quota | None:
        """The quota that it uses up, if any."""
        return quota(self.uses_up.event_source, self.uses_up.event_name) if self.uses_up else None

    @property
    def first_caller(self) -> str:
        """The role of the first part, in the form of the field `caller`."""
        return f"arn:aws:iam::{self.account}:role/{self.parts[0].caller}"


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The whole of scenario.json, as it was on the day *date*, with the *sources* of each table.

    *accounts* and *regions* have the percentages of the calls; *home* is the region that global
    services are recorded in. *endings* are the last fields of records. *shapes* are by service:API.
    *broken* are elements of a Records list that cannot be counted, used in turn.
    """

    date: str
    sources: dict[str, str]
    accounts: Weights
    home: str
    regions: Weights
    bucket: str
    networks: dict[str, str]
    agents: dict[str, str]
    rhythms: dict[str, Rhythm]
    endings: dict[str, Raw]
    kinds: dict[str, Kind]
    services: dict[str, ServiceApis]
    shapes: dict[str, Shape]
    callers: tuple[Actor, ...]
    scenes: dict[str, Scene]
    broken: tuple[Raw, ...]

    @property
    def places(self) -> dict[Place, int]:
        """Every place, with its weight."""
        return {
            Place(account, region): part * share
            for account, part in self.accounts.items()
            for region, share in self.regions.items()
        }

    @property
    def incident(self) -> Scene:
        """The scene that is throttled."""
        return self.scenes["incident"]

    @property
    def culprit(self) -> str:
        """The role that hammers ec2:DescribeInstances, in the form of the field `caller`."""
        return self.incident.first_caller

    @property
    def denied_caller(self) -> str:
        """The role that the burst of denials is about, in the form of the field `caller`."""
        return self.scenes["denials"].first_caller

    def role(self, name: str) -> Actor:
        """Return the caller that is the role *name*."""
        return next(each for each in self.callers if (each.kind, each.name) == ("role", name))

    def address(self, caller: Actor) -> str:
        """Return the sourceIPAddress of *caller*'s records, as a text to be filled in."""
        return caller.invoked_by or self.networks[caller.network]

    def rhythm(self, caller: Actor) -> Rhythm:
        """Return when *caller* calls."""
        return self.rhythms[caller.rhythm]


@cache
def load_scenario() -> Scenario:
    """Return the scenario."""
    text = resources.files(__package__).joinpath(SCENARIO_FILE).read_bytes()
    return msgspec.json.decode(text, type=Scenario)


def compact(raw: Raw) -> str:
    """Return the JSON *raw* without a space too many, as CloudTrail writes it."""
    return msgspec.json.format(raw, indent=-1).decode()
