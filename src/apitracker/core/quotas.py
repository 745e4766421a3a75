"""
Default rates at which AWS throttles: quotas.json, read when the first quota is asked for.

A quota is there for an API that AWS's public documentation names, and for no other. These are
defaults; an account's own may have been raised, and a new account's may be lower. quotas.json has
the page of each service and the day on which it was looked up.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct, field

from apitracker.core.names import undated

QUOTAS_FILE: Final = "quotas.json"


class Quota(Struct, frozen=True):
    """
    A default quota: *rate* requests a second, for each *per*.

    *bucket* is the id of the token bucket that the requests draw on: calls of all APIs with that
    `bucket_of` count together. *burst* is how many requests pass at once from a full bucket, None
    where no other size is documented. *shared* names the other APIs of the bucket, *note* adds to
    all that, and *source* is the page that was read on the day *date*.
    """

    bucket: str
    rate: float
    burst: int | None
    shared: tuple[str, ...]
    note: str
    source: str
    date: str
    per: str


class _Row(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """
    A rate, and the APIs that it is for: *apis*, and those that match *globs* but not *but_not*.

    With a *bucket* these APIs share one; without, each has one of that size. *regions* have other
    rates, *notes* are on single APIs, and *shared_with* puts the other APIs in words.
    """

    rate: int | float  # a whole number stays one, and is printed as such
    bucket: str = ""
    apis: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    but_not: tuple[str, ...] = field(default=(), name="except")
    burst: int | None = None
    regions: dict[str, int | float] = {}
    per: str = "account and region"
    shared_with: tuple[str, ...] = ()
    note: str = ""
    notes: dict[str, str] = {}

    def holds(self, name: str) -> bool:
        """Tell whether the API *name* is one of the row's."""
        if name in self.apis:
            return True
        return _matches(name, self.globs) and not _matches(name, self.but_not)

    def others(self, name: str) -> tuple[str, ...]:
        """Return the APIs that share the bucket with the API *name*."""
        if self.shared_with or not self.bucket:
            return self.shared_with
        return tuple(api for api in self.apis if api != name)


class _Service(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The quotas of a service by one page: the first row that holds an API is the API's.

    *about* are remarks for maintainers of the file.
    """

    source: str
    date: str
    quotas: tuple[_Row, ...]
    about: tuple[str, ...] = ()

    def row(self, name: str) -> _Row | None:
        """Return the row of the API *name*, None if the page has none."""
        return next((row for row in self.quotas if row.holds(name)), None)


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of quotas.json: services by their eventSource."""

    services: dict[str, _Service]


def quota(source: str, name: str, region: str = "") -> Quota | None:
    """Return the default quota of the API *name* of the eventSource *source*, None if not known."""
    service = _load_services().get(source)
    plain = undated(name)
    row = service.row(plain) if service and plain else None
    if service is None or row is None:
        return None
    return Quota(
        bucket=f"{source}:{row.bucket or plain}",
        rate=row.regions.get(region, row.rate),
        burst=row.burst,
        shared=row.others(plain),
        note=row.notes.get(plain, row.note),
        source=service.source,
        date=service.date,
        per=row.per,
    )


def bucket_of(source: str, name: str) -> str:
    """Return the id of the bucket that the API *name* of *source* draws on, empty if not known."""
    found = quota(source, name)
    return found.bucket if found else ""


# Callers outside of EC2's limits: the services of AWS, and roles linked to one, as by their own
# ARN or by that of a session, which lacks the role's path. Of other services nothing is known.
# It matches a whole caller, in Python and in DuckDB alike.
OUTSIDE_SERVICE: Final = "ec2"  # the first label of eventSource
OUTSIDE_SOURCE: Final = "https://docs.aws.amazon.com/ec2/latest/devguide/monitor.html"
OUTSIDE_CALLERS: Final = (
    r"(?s:arn:[a-z-]+:iam::[0-9]+:role/aws-service-role/.+"
    r"|arn:[a-z-]+:sts::[0-9]+:assumed-role/AWSServiceRoleFor.+"
    r"|[a-z0-9.-]+\.amazonaws\.com(\.cn)?)"
)
_is_outside_caller = re.compile(OUTSIDE_CALLERS).fullmatch


def is_outside(source: str, caller: str) -> bool:
    """Tell whether calls by *caller* to the eventSource *source* do not count toward its quotas."""
    return source.partition(".")[0] == OUTSIDE_SERVICE and bool(_is_outside_caller(caller))


def describe_quota(quota: Quota) -> Iterator[str]:
    """Put *quota* in words: its rate, the APIs that share it, and its note, a line for each."""
    requests = "request" if (quota.burst or quota.rate) == 1 else "requests"
    if quota.burst:
        text = f"{quota.burst:,} {requests} at once, then {quota.rate:,g} a second"
    else:
        text = f"{quota.rate:,g} {requests} a second"
    yield f"{text} per {quota.per}"
    if quota.shared:
        yield f"shared with {', '.join(quota.shared)}"
    if quota.note:
        yield quota.note


@cache
def _load_services() -> dict[str, _Service]:
    text = resources.files(__package__).joinpath(QUOTAS_FILE).read_bytes()
    return msgspec.json.decode(text, type=_Table).services


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
