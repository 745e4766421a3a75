"""
Where logs come from: a file, a folder, a glob, standard input or an S3 prefix.

`find` names the logs of a source, `fetch_log` reads one of them, perhaps in another process.

A source may be laid out as CloudTrail does it in S3, and is then understood::

    [prefix/]AWSLogs/[o-xxxx/]<account>/CloudTrail/<region>/YYYY/MM/DD/<file>.json.gz

The day is that of delivery. An event is delivered after it happened, some minutes or days, so
`find` looks from the day of *since* to `LATE_DELIVERY` after *until*. Other services deliver to the
same bucket: below a folder or a prefix, their folders are left out.
"""

import os
import re
import stat
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from apitracker import aws
from apitracker.core.balance import Balance, LeftOut, Unread
from apitracker.core.compression import MAX_BYTES
from apitracker.core.model import Log
from apitracker.core.selection import is_utf_8
from apitracker.errors import SourceError

LATE_DELIVERY = 30 * 86_400
"""
The seconds after *until* in which a log may still be delivered, and is looked for.

CloudTrail delivers after 5 minutes on average, and when a bucket cannot be written to, it tries
again for 30 days. To read only what was delivered on a day, name the folder of that day.
"""

EARLY_NAME = 900
"""
The seconds before *since* by which a log may be named, and is still read.

CloudTrail names a log by its time of delivery, which is after its calls; tools that copy or join
logs may name them by their first call.
"""

NOT_LOGS = frozenset({"CloudTrail-Digest", "CloudTrail-Insight"})
"""
Folders beside ``CloudTrail`` that are left out.

Digest files hold the hashes of log files and no records; Insight records report unusual rates of
calls that are in the log files already. A file or folder in them is read when it is named.
"""

FIRST_YEAR = 2013  # CloudTrail began in November
MARKERS = frozenset(
    {"_SUCCESS", "ConfigWritabilityCheckFile", "ELBAccessLogTestFile", "aws-logs-write-test"}
)
"""Files without logs that services put into a bucket; they are left out, as hidden files are."""

PIECE_BYTES = 16 * 1024 * 1024  # of a file at a time; most logs are shorter

_S3 = "s3://"
_YEAR_10000 = 253_402_300_800  # seconds since 1970
_OTHER = re.compile(rf"(?:^|/)(?:{'|'.join(sorted(NOT_LOGS))})(?=/)")
_REGION = "[a-z]+(?:-[a-z]+)+-[0-9]+"  # eu-west-1, us-gov-west-1, eusc-de-east-1
_DAY = re.compile(
    rf"(?:^|/)CloudTrail(?:-[A-Za-z]+)?/{_REGION}/"  # CloudTrail-NetworkActivity and others too
    r"([0-9]{4}(?:/[0-9]{2}(?:/[0-9]{2})?)?)(?:/|$)"
)
# VPC's flow logs may have the names of the parts before them, as Hive wants it.
_SERVICE = re.compile(
    r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(?:aws-account-id=)?[0-9]{12}/"
    rf"(?!CloudTrail(?:-[A-Za-z]+)?/|{_REGION}/)(?:aws-service=)?([A-Za-z][^/]*)(?=/)"
)
_REPEATED = re.compile(r"(?:\*\*/+){2,}")  # each would look through all folders again
_DELIVERED = re.compile(r"_CloudTrail(?:-[A-Za-z]+)?_[a-z0-9-]+_([0-9]{8}T[0-9]{4})Z_[^/]*$")


class Found(NamedTuple):
    """
    A log that has been found and not been read.

    *name* is for `fetch_log`. *size* is in bytes; -1 stands for standard input or a pipe, which
    only the process that found it can read. *etag* changes when the file or the S3 object does; it
    is empty where that cannot be seen.
    """

    name: str
    size: int
    etag: str = ""

    @property
    def path(self) -> str:
        """The name as it is from any folder: absolute, unless it is of S3 or standard input."""
        if self.name == "-" or self.name.startswith(_S3):
            return self.name
        return os.path.abspath(self.name)  # noqa: PTH100 - a Path takes ten times as long


Finding: TypeAlias = Generator[Found, None, list[LeftOut]]
"""The logs of a source, one by one, and at the end the folders that were left out."""


class _Days(NamedTuple):
    """
    The days of delivery of the wanted logs.

    *first* and *last* are days, as ``YYYY/MM/DD``; nothing before *minute*, ``YYYYMMDDTHHMM``.
    """

    first: str = "0000/00/00"
    last: str = "9999/99/99"
    minute: str = ""

    def __str__(self) -> str:
        """Word it as the middle of a sentence."""
        parts = []
        if self.first > "0001":
            parts.append(f"from {self.first}")
        if self.last < "9999":
            parts.append(f"to {self.last}")
        days = f"the folders of the days {' '.join(parts)}"
        if not self.minute:
            return days
        day, clock = self.minute.split("T")
        stamp = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:]}Z"
        return f"{days}, at logs delivered from {stamp} on"


Offer: TypeAlias = Callable[[str, _Days], Finding]


def find(source: str, *, since: int | None = None, until: int | None = None) -> Finding:
    """
    Find the logs of *source*, in the same order each time.

    *source* is a file, a folder with all below it, a pattern of ``*``, ``?``, ``[…]`` and
    ``**``, ``-`` for standard input, or ``s3://bucket/prefix``: an object, else a folder, else
    every object whose key begins so. *since* and *until* (exclusive) are the wanted event times
    in seconds since 1970 UTC; logs that cannot hold them, going by CloudTrail's folders, are left
    out. The other logs may hold other times as well.

    Below a folder, `NOT_LOGS`, hidden files, sockets and pipes are left out. Folders of other
    services are left out too, and returned at the end. All of these are read when they are named.
    Links are followed, a folder is entered once. A folder or a link that cannot be opened is
    returned as a log, so that `fetch_log` names it and the rest is not lost.

    `SourceError`, on the first step, if *source* is missing, cannot be read, or holds no wanted
    log; then it names the days that were searched and the newest log.
    """
    if source.startswith(_S3) and not is_utf_8(source):
        raise SourceError(source, "not in UTF-8: names in S3 are")
    offer = _objects if source.startswith(_S3) else _files
    days = _days(since, until)
    found = offer(source, days)
    try:
        first = next(found)
    except StopIteration:
        raise SourceError(source, _nothing(offer, source, days)) from None
    yield first
    return (yield from found)


def find_all(
    sources: Iterable[str], *, since: int | None = None, until: int | None = None
) -> Iterator[Found | Balance]:
    """
    Find the logs of all *sources*, as `find` does.

    Folders that were left out come as a balance, and so does a missing source: the rest is found.
    """
    for source in sources:
        try:
            left_out = yield from find(source, since=since, until=until)
        except SourceError as e:
            yield Balance(unread=(Unread(e.name, e.fault),))
        else:
            if left_out:
                yield Balance(left_out=tuple(left_out))


def _nothing(offer: Offer, source: str, days: _Days) -> str:
    """Word that *source* holds no log of *days*, and name its newest log."""
    if next(offer(source, _Days()), None) is None:
        return (
            "there are no log files in it: check the name; hidden files and what is in "
            f"{' or '.join(sorted(NOT_LOGS))} or in other services' folders are read only when "
            "they are named"
        )
    near = max(offer(source, days._replace(minute="")), key=_delivered, default=None)
    newest = near or _newest(offer, source)
    which = "the last one before that" if near else "the newest one"
    return f"no log there may hold calls of that time: looked at {days}; {which} is {newest.name}"


def _newest(offer: Offer, source: str) -> Found:
    """
    Find the log that was delivered last, going by CloudTrail's folders. There is at least one.

    Years, then months, then days are tried from the last one back, as a bucket cannot be listed
    backwards. All logs are in such folders: any other would have been found, for whatever day.
    """
    year = time.gmtime().tm_year
    years = [(f"{y:04}/00/00", f"{y:04}/99/99") for y in range(year, FIRST_YEAR - 1, -1)]
    first, last = _last_with_logs(offer, source, [(f"{year + 1:04}/00/00", "9999/99/99"), *years])
    if first[:4] == last[:4]:
        months = [(f"{first[:4]}/{m:02}/00", f"{first[:4]}/{m:02}/99") for m in range(12, 0, -1)]
        first, last = _last_with_logs(offer, source, months)
        each = [f"{first[:7]}/{day:02}" for day in range(31, 0, -1)]
        first, last = _last_with_logs(offer, source, [(day, day) for day in each])
    return max(offer(source, _Days(first, last)), key=_delivered)


def _last_with_logs(
    offer: Offer, source: str, periods: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """Return the first of *periods*, sorted back in time, that has a log; else any time."""
    found = (each for each in periods if next(offer(source, _Days(*each)), None))
    return next(found, ("0000/00/00", "9999/99/99"))


def fetch_log(name: str, *, max_bytes: int = MAX_BYTES) -> Log:
    """
    Read a whole log from the place where `find` found it.

    If a file or a pipe is longer than *max_bytes*, only its beginning is read: it may be endless.
    `SourceError` if it cannot be read any more, `StorageError` if S3 fails.
    """
    if name.startswith(_S3):
        return Log.of(name, aws.download(*_split(name)))
    if name == "-":
        if sys.stdin is None:
            raise SourceError("-", "standard input is closed: pipe a log into it")
        return Log.of(name, _beginning(sys.stdin.buffer, max_bytes))
    try:
        with Path(name).open("rb") as file:
            return Log.of(name, _beginning(file, max_bytes))
    except OSError as error:
        raise SourceError(name, _fault(error)) from error


def _beginning(file: BinaryIO, max_bytes: int) -> bytes:
    """Read *file* to its end, or until it is longer than *max_bytes*."""
    pieces: list[bytes] = []
    size = 0
    while size <= max_bytes and (piece := file.read(PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _days(since: int | None, until: int | None) -> _Days:
    """Return the days on which events from *since* to before *until* are delivered."""
    days = _Days()
    if since is not None and since > 0:  # nothing was delivered before 1970
        minute = time.strftime("%Y%m%dT%H%M", time.gmtime(max(since - EARLY_NAME, 0)))
        days = days._replace(first=_day(since), minute=minute)
    if until is not None and until + LATE_DELIVERY < _YEAR_10000:  # days are compared as texts
        days = days._replace(last=_day(until - 1 + LATE_DELIVERY))
    return days


def _day(second: int) -> str:
    day = time.gmtime(second)
    return f"{day.tm_year:04}/{day.tm_mon:02}/{day.tm_mday:02}"  # %Y has no zeros in front


def _within(path: str, days: _Days) -> bool:
    """Return whether a file or folder may hold logs delivered on *days*; if unclear, it may."""
    found = _DAY.search(path)
    if not found:
        return True
    day = found[1]  # or a year, or a month
    return days.first[: len(day)] <= day <= days.last


def _early(path: str, days: _Days) -> bool:
    """Return whether a log, going by its name, was delivered well before the wanted calls."""
    delivered = _DELIVERED.search(path)
    return delivered is not None and delivered[1] < days.minute


def _delivered(found: Found) -> tuple[str, str]:
    """Return a key to sort logs by their delivery, going by the name or else the folder."""
    name, day = _DELIVERED.search(found.name), _DAY.search(found.name)
    stamp = name[1] if name else day[1].replace("/", "") if day else ""
    return stamp, found.name


# Files


def _files(source: str, days: _Days) -> Finding:
    """Find the logs of a file, a folder, a pattern or standard input."""
    if source == "-":
        yield Found(source, -1)
        return []
    if not source:
        fault = "an empty name is not a source: name a file, a folder or s3://bucket"
        raise SourceError(source, fault)
    try:
        status = Path(source).stat()
    except OSError as error:
        if not isinstance(error, FileNotFoundError) or not any(c in source for c in "*?["):
            raise SourceError(source, _fault(error)) from error
        return (yield from _matches(source, days))
    if stat.S_ISDIR(status.st_mode):
        return (yield from _below(source, days, set()))
    yield _file(source, status) if stat.S_ISREG(status.st_mode) else Found(source, -1)
    return []


def _below(named: str, days: _Days, entered: set[tuple[int, int]]) -> Finding:
    """
    Find the logs of the folder *named* and all below it, or of a file, sorted by code point.

    A folder that was *entered* is not entered again. Folders wait in a list, as they can be nested
    deeper than calls of a function can.
    """
    left_out: list[LeftOut] = []
    waiting = [named]
    while waiting:
        path = waiting.pop()
        if not _within(path, days):
            continue
        try:
            status = Path(path).stat()
            if stat.S_ISREG(status.st_mode) and not _early(path, days):
                yield _file(path, status)
            if not stat.S_ISDIR(status.st_mode) or (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            if path != named and (service := _service(path)):
                left_out.append(LeftOut(path, service, _count(path)))
                continue
            names = sorted((entry.name for entry in Path(path).iterdir()), reverse=True)
        except OSError:
            yield Found(path, -1)
            continue
        # A Path would make "./-" standard input.
        waiting += [os.path.join(path, name) for name in names if not _left_out(name)]  # noqa: PTH118
    return left_out


def _service(folder: str) -> str:
    """Return the service, other than CloudTrail, that *folder* is the folder of; else nothing."""
    path = f"{Path(folder).absolute()}/"
    found = _SERVICE.search(path)
    return found[1] if found and found.end() == len(path) - 1 else ""


def _count(folder: str) -> int:
    """Count the files below *folder*."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _file(path: str, status: os.stat_result) -> Found:
    """
    Describe a file, with an etag that no other state of it and no other file has.

    A writer of a file can set its time of modification, but not its time of change; another file
    of the same name has another inode.
    """
    state = (status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size)
    return Found(path, status.st_size, "-".join(map(str, state)))


def _matches(pattern: str, days: _Days) -> Finding:
    """Find the logs that match a pattern; of a folder that matches, all below it."""
    path = Path(_REPEATED.sub("**/", pattern))
    try:
        matches = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    except ValueError as error:
        raise SourceError(pattern, "not a pattern: write folder/**/*.json.gz") from error
    except RecursionError as error:
        raise SourceError(pattern, "the folders are nested too deep for **: name one") from error
    if not matches:
        raise SourceError(pattern, "nothing matches this pattern: check it with ls")
    entered: set[tuple[int, int]] = set()
    walked: set[PurePath] = set()
    folders: set[str] = set()
    left_out: list[LeftOut] = []
    for match in matches:
        here = PurePath(match)
        named_by_chance = set(here.parts) - set(path.parts)
        if any(map(_left_out, named_by_chance)) or not walked.isdisjoint(here.parents):
            continue
        service = _SERVICE.search(f"{match}/")
        folder = match[: service.end()] if service else ""
        if service and PurePath(folder).name in named_by_chance:
            if folder not in folders:
                folders.add(folder)
                left_out.append(LeftOut(folder, service[1], _count(folder)))
            continue
        walked.add(here)
        # A file of this name that a pattern matches is not standard input.
        left_out += yield from _below("./-" if match == "-" else match, days, entered)
    return left_out


def _left_out(name: str) -> bool:
    return name.startswith(".") or name in NOT_LOGS or _is_marker(name)


def _fault(error: OSError) -> str:
    """Return why a file cannot be read, and the remedy."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder: check the name"
    if isinstance(error, PermissionError):
        return "permission denied: make it readable for this user"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name a file"
    return f"it cannot be read: {error.strerror}: check the disk or the link"


# S3


def _split(name: str) -> tuple[str, str]:
    """Return the bucket and the key of ``s3://bucket/key``."""
    bucket, _, key = name.removeprefix(_S3).partition("/")
    return bucket, key


def _objects(source: str, days: _Days) -> Finding:
    """
    Find the logs of an S3 prefix, sorted by key.

    Keys come in order, 1,000 at a time, from any key on. So unwanted keys are jumped over: the days
    before and after, the digests, other services. That takes about two requests for each region,
    one for each folder jumped over and one for each 1,000 logs; to descend folder by folder would
    take one for each year, month and day.
    """
    bucket, named = _split(source)
    prefix = _prefix(source, named)
    page, after = _page(source, Prefix=prefix), ""
    left_out: list[LeftOut] = []
    while True:
        for entry in page.get("Contents", ()):
            key = entry["Key"]
            if key < after:
                continue
            if key == named and not key.endswith("/"):
                yield _object(bucket, entry)
                return left_out
            if service := _not_named(_SERVICE.search(key), prefix):
                folder = f"{_S3}{bucket}/{key[: service.end()]}"
                left_out.append(LeftOut(folder, service[1], -1))
            after = _jump(key, prefix, days) or key
            if after == key and not _early(key, days) and not _is_marker(key):
                yield _object(bucket, entry)
        if not page["IsTruncated"]:
            return left_out
        page = _page(source, Prefix=prefix, StartAfter=after)


def _object(bucket: str, entry: dict[str, Any]) -> Found:
    return Found(f"{_S3}{bucket}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'))


def _is_marker(key: str) -> bool:
    """Return whether a file of this name is a marker: consoles and Hadoop make empty "folders"."""
    name = key.rpartition("/")[2]
    return not name or name.endswith("_$folder$") or name in MARKERS


def _prefix(source: str, key: str) -> str:
    """
    Return the prefix to list for *key*: of the object with that name, else the folder, else itself.

    ``logs`` means the folder and not ``logs-old`` too; ``2023/07/1`` the tenth to the nineteenth.
    """
    folder = f"{key}/"
    if not key or key.endswith("/"):
        return key
    if any(e["Key"] == key for e in _page(source, Prefix=key, MaxKeys=1).get("Contents", ())):
        return key
    return folder if _page(source, Prefix=folder, MaxKeys=1).get("Contents") else key


def _page(source: str, **request: str | int) -> dict[str, Any]:
    """List at most 1,000 objects of the bucket of *source*."""
    with aws.translate_errors("s3:ListBucket", source=source):
        s3 = aws.client("s3", source=source)
        page: dict[str, Any] = s3.list_objects_v2(Bucket=_split(source)[0], **request)
        return page


def _not_named(folder: re.Match[str] | None, prefix: str) -> re.Match[str] | None:
    """Return the match of a *folder* unless *prefix* names that folder."""
    return folder if folder and folder.end() >= len(prefix) else None


def _jump(key: str, prefix: str, days: _Days) -> str:
    """
    Return the text to continue after if *key* is unwanted; empty if it is wanted.

    In code points ``0`` comes next after ``/`` and ``:`` after ``9``, so one folder is jumped over,
    or the days in one region.
    """
    other = _not_named(_OTHER.search(key) or _SERVICE.search(key), prefix)
    if other:
        return key[: other.end()] + "0"
    dated = _DAY.search(key)
    if not dated or _within(key, days):
        return ""
    return key[: dated.start(1)] + (days.first if dated[1] < days.first else ":")
