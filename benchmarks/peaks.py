"""
Memory that it takes to decode one log, and to count many.

One log: the peak of a process that reads and decodes it and keeps every call, beyond what the
interpreter with our modules takes, as a multiple of the log's inflated size; in the form that
CloudTrail writes, and in others that cannot be read in parts. Many logs: the peak of ``apitracker
count`` and its processes together, every 10 ms; memory that they share is counted once in the
proportional set size (PSS), and in each of them in the resident set size (RSS).
"""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks.corpora import MB, Corpora, describe, files
from benchmarks.decoding import MINUTE
from benchmarks.measure import MIB, SCRIPTS, Options, Result, child, memory, settle

from apitracker.core.compression import MAX_BYTES
from apitracker.core.counting import PartialCount
from apitracker.core.records import parts
from apitracker.jobs.ingest import ingest_query
from apitracker.logs import sources
from apitracker.logs.sources import Found
from apitracker.logs.workers import read

SIZES: Final = (10 * MB, 50 * MB)


def _pretty(records: list[bytes]) -> bytes:
    return json.dumps({"Records": [json.loads(record) for record in records]}, indent=2).encode()


FORMS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "as CloudTrail writes it": lambda records: b'{"Records":[' + b",".join(records) + b"]}",
    "JSON lines": lambda records: b"\n".join(records) + b"\n",
    "Records not the first key": lambda records: b'{"a":1,"Records":[' + b",".join(records) + b"]}",
    "pretty-printed": _pretty,
}


def _decoding(path: Path, how: str) -> int:
    """Return the bytes that decoding the log at *path* adds to the process."""
    settle()
    before = memory("VmRSS")
    if how == "decode":
        decoded = list(parts(sources.fetch_log(str(path))))
        assert any(part.calls for part in decoded)  # noqa: S101 - kept until here
    else:
        log = read(Found(str(path), 0), ingest_query(MAX_BYTES))
        assert isinstance(log.result, PartialCount)  # noqa: S101 - kept until here
    return memory("VmHWM") - before


def _counting(by: str, folder: Path, output: Path) -> tuple[int, int]:
    """Return the peaks of the sums of PSS and of RSS over a command and its processes."""
    command = [str(SCRIPTS / "apitracker"), "count", str(folder), "--by", by]
    process = subprocess.Popen(
        [*command, "--format", "csv", "-o", str(output)],
        env=os.environ | {"APITRACKER_PROCESSES": "2"},
        stderr=subprocess.DEVNULL,
    )
    peaks = (0, 0)
    while process.poll() is None:
        sums = [sum(column) for column in zip(*map(_smaps, _family(process.pid)), strict=True)]
        peaks = (max(peaks[0], sums[0]), max(peaks[1], sums[1])) if sums else peaks
        time.sleep(0.01)
    if process.returncode > 1:  # 1: some of the real records are malformed
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return peaks


def _family(pid: int) -> list[int]:
    """Return *pid* and the processes below it."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(child))]


def _smaps(pid: int) -> tuple[int, int]:
    """Return the PSS and the RSS of a process, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return (0, 0)  # it has ended
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines}
    return (sizes.get("Pss:", 0), sizes.get("Rss:", 0))


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Measure one log of each form and size, and the command on each corpus."""
    for name in corpora.names():
        records = _records(corpora.whole(name), max(SIZES))
        for form, write in FORMS.items():
            for size in SIZES[:1] if options.quick else SIZES:
                text = write(_first(records, size))
                path = options.work / "one.json.gz"
                path.write_bytes(gzip.compress(text, 6))
                for how in ("decode", "read") if form.startswith("as") else ("decode",):
                    peak = child("peaks", "decoding", str(path), how)
                    function = "records.parts" if how == "decode" else "workers.read"
                    yield Result(
                        f"peak memory of {function}, one log {form}",
                        name,
                        f"{peak / MIB:.1f} MiB",
                        f"{len(text) / MIB:.1f} MiB inflated",
                        peak / len(text),
                        3.0,
                        at_most=True,
                    )
    for name in corpora.names():
        whole = corpora.whole(name)
        for by in ("eventSource,eventName", ",".join(MINUTE)):
            pss, rss = child("peaks", "counting", by, str(whole), str(options.work / "counts.csv"))
            yield Result(
                f"peak memory of apitracker count --by {by}, all processes",
                f"{name}: {describe(whole)}",
                f"{pss / MIB:.0f} MiB PSS ({rss / MIB:.0f} MiB RSS)",
                "",
                pss / MIB,
                300.0,
                at_most=True,
                unit=" MiB",
            )


def _records(folder: Path, size: int) -> list[bytes]:
    """Return records of *folder*, *size* bytes of JSON or a little more, without white space."""
    records: list[bytes] = []
    for log in files(folder):
        if size <= 0:
            break
        document = json.loads(gzip.decompress(Path(log.name).read_bytes()))
        for record in document["Records"]:
            records.append(json.dumps(record, separators=(",", ":")).encode())
            size -= len(records[-1])
    return records


def _first(records: list[bytes], size: int) -> list[bytes]:
    """Return the first of *records*, *size* bytes of them."""
    taken = []
    for record in records:
        size -= len(record)
        if size < 0:
            break
        taken.append(record)
    return taken


if __name__ == "__main__":
    if sys.argv[1] == "decoding":
        print(_decoding(Path(sys.argv[2]), sys.argv[3]))
    else:
        print(json.dumps(_counting(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
