"""
Corpora to measure on: a synthetic trail, and one made of real records where they are.

The real records are in ``../shared/data``, which is no part of the project: the corpus repeats
them, each time with fresh ids and times, in gzip files that hold 1 to 10 MB, five minutes each.
"""

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.measure import ROOT, Options

from apitracker.logs import sources
from apitracker.logs.sources import Found
from apitracker.synthetic import trail as sample

REAL: Final = ROOT.parent / "shared" / "data" / "s3"
MB: Final = 1_000_000
WHOLE: Final = 500 * MB  # of JSON
BEGIN: Final = datetime(2026, 10, 1, tzinfo=UTC)
FRESH: Final = re.compile(
    r"(?P<time>(?<=\"eventTime\":\")[^\"]*)"
    r"|(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)


class Corpora:
    """The corpora, each made when it is first asked for, in the folder for work."""

    def __init__(self, options: Options) -> None:
        self.work = options.work
        self.bytes = WHOLE // 10 if options.quick else WHOLE

    def names(self) -> list[str]:
        """Name the corpora that there can be on this machine."""
        return ["synthetic", "real"] if REAL.is_dir() else ["synthetic"]

    def whole(self, name: str) -> Path:
        """Return the corpus of 500 MB of JSON, or of a tenth of it with ``--quick``."""
        folder = self.work / name
        if not folder.exists():
            if name == "real":
                _repeat(REAL, folder, self.bytes)
            else:
                sample.write_trail(folder, events=self.bytes // 1_317, days=1)
        return folder

    def part(self, name: str, of: int, nth: int = 0) -> Path:
        """Return the *nth* of *of* parts of a corpus, all of about the same size."""
        folder = self.work / f"{name}-{nth}-of-{of}"
        if not folder.exists():
            folder.mkdir()
            sizes = [0] * of
            for i, log in enumerate(sorted(files(self.whole(name)), key=lambda log: -log.size)):
                smallest = sizes.index(min(sizes))
                sizes[smallest] += log.size
                if smallest == nth:
                    os.link(log.name, folder / f"{i:04}.json.gz")
        return folder


def files(folder: Path) -> list[Found]:
    """Find the logs in *folder*, as the command line does."""
    return list(sources.find(str(folder)))


def describe(folder: Path) -> str:
    """Word the size of the corpus in *folder*."""
    found = files(folder)
    text = sum(len(gzip.decompress(Path(log.name).read_bytes())) for log in found)
    return f"{len(found)} files, {text / MB:.0f} MB of JSON"


def _repeat(source: Path, folder: Path, size: int) -> None:
    """Write files of 1 to 10 MB, *size* bytes of JSON in all, of the records in *source*."""
    rng = random.Random(1)
    records = [text for log in files(source) for text in _records(Path(log.name))]
    endless = _endless(records, rng)
    folder.mkdir(parents=True)
    begin = BEGIN
    number = 0
    while size > 0:
        wanted = min(int(MB * 10 ** rng.random()), max(size, MB))
        size -= wanted
        texts = []
        while wanted > 0:
            record = next(endless)
            wanted -= len(record)
            texts.append(record)
        times = sorted(rng.randrange(300) for _ in texts)
        stamped = [
            _freshen(record, begin + timedelta(seconds=second), rng)
            for record, second in zip(texts, times, strict=True)
        ]
        text = '{"Records":[' + ",".join(stamped) + "]}"
        (folder / f"{number:04}.json.gz").write_bytes(gzip.compress(text.encode(), 6))
        begin += timedelta(minutes=5)
        number += 1


def _records(log: Path) -> list[str]:
    records = json.loads(gzip.decompress(log.read_bytes()))["Records"]
    return [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records]


def _endless(records: list[str], rng: random.Random) -> Iterator[str]:
    """Return the records again and again: runs of neighbours, as they were delivered."""
    while True:
        start = rng.randrange(len(records))
        yield from records[start : start + 200]


def _freshen(record: str, moment: datetime, rng: random.Random) -> str:
    """Give *record* another time and other ids: the same id in it stays the same."""
    ids: dict[str, str] = {}

    def fresh(found: re.Match[str]) -> str:
        if found["time"]:
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        digits = f"{rng.getrandbits(128):032x}"
        uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return ids.setdefault(found["uuid"], uuid)

    return FRESH.sub(fresh, record)
