"""
Is the Lambda fast, and small? Against a plain Python port of the predecessor: benchmarks/port.py.

Payloads hold 1,000 records of 20 seconds, drawn at random, with fresh ids and times.
"""

import base64
import gzip
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import port, stub
from benchmarks.corpora import REAL, Corpora, files
from benchmarks.invoke import SETTINGS
from benchmarks.measure import MIB, ROOT, Options, Result, ratio, rounds, seconds

from apitracker.core.metric_sets import MetricSelection
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.put_metric_data import Batch, plan
from apitracker.tracker.tracking import count_log

EVENTS: Final = 1_000
PAYLOADS: Final = 20
TARGETS: Final = {
    "count": {"ours": ("decode and count", 3)},
    "whole": {
        "ours": ("whole handler, loopback", 20),
        "ledger": ("whole handler with the ledger, loopback", 10),
    },
}


def run(options: Options, corpora: Corpora) -> Iterator[Result]:
    """Measure."""
    with stub.running() as environ:
        for name in corpora.names():
            records = list(_records(corpora, name))
            dice = random.Random(1)
            folder = options.work / f"payloads-{name}"
            folder.mkdir()
            for at in range(PAYLOADS):
                some = dice.choices(records, k=EVENTS)  # of many callers, as an account has them
                (folder / f"{at:02}.json").write_text(json.dumps(event(_fresh(some))))
            for what, wanted in TARGETS.items():
                contenders = [*wanted, "port"]
                taken = rounds(
                    options.rounds,
                    {who: _timed(what, who, folder, environ) for who in contenders},
                )
                for who, (title, least) in wanted.items():
                    yield Result(
                        title,
                        f"{name}, {PAYLOADS} payloads of 1,000 events",
                        seconds(taken[who]),
                        seconds(taken["port"]),
                        ratio(taken["port"], taken[who]),
                        least,
                    )
            for size, most in ((1_100_000, 64), (5_500_000, 128)):
                file = options.work / f"{name}-{size}.json"
                file.write_text(json.dumps(_of_size(records, size)))
                peaks = {who: _child("peak", who, file, environ) for who in ("ours", "port")}
                yield Result(
                    "peak memory",
                    f"{name}, a payload of {size / 1e6:.1f} MB",
                    f"{peaks['ours'] / MIB:.0f} MiB",
                    f"{peaks['port'] / MIB:.0f} MiB",
                    peaks["ours"] / MIB,
                    most,
                    at_most=True,
                    unit=" MiB",
                )
    if REAL.is_dir():
        yield _requests()


def event(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Deliver *records* as CloudWatch Logs does."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "aws-cloudtrail-logs",
        "logStream": "111122223333_CloudTrail_us-east-1",
        "subscriptionFilters": ["CloudTrailLogFilter"],
        "logEvents": [
            {
                "id": f"{at:056}",
                "timestamp": 1_790_000_000_000,
                "message": json.dumps(record, separators=(",", ":")),
            }
            for at, record in enumerate(records)
        ],
    }
    body = gzip.compress(json.dumps(payload, separators=(",", ":")).encode())
    return {"awslogs": {"data": base64.b64encode(body).decode()}}


def _records(corpora: Corpora, name: str) -> Iterator[dict[str, Any]]:
    """Give records of a corpus, as many as the payloads hold; the real ones as they are."""
    logs = sorted(REAL.rglob("*.json.gz")) if name == "real" else None
    left = EVENTS * PAYLOADS
    for log in logs or [Path(found.name) for found in files(corpora.whole(name))]:
        for record in json.loads(gzip.decompress(log.read_bytes()))["Records"]:
            yield record
            left -= 1
            if not left:
                return


def _fresh(records: list[dict[str, Any]], span: int = 20) -> list[dict[str, Any]]:
    """Give *records* with ids of their own, in *span* seconds of the last hour, in their order."""
    begin = time.time() - 3_600
    return [
        {
            **record,
            "eventTime": time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin + span * at / len(records))
            ),
            "eventID": str(uuid.uuid4()),
            "requestID": str(uuid.uuid4()),
        }
        for at, record in enumerate(records)
    ]


def _of_size(records: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Deliver as many records as fill about *size* bytes of base64."""
    dice = random.Random(2)
    sample = event(_fresh(dice.choices(records, k=EVENTS)))
    n = round(size * EVENTS / len(sample["awslogs"]["data"]))
    return event(_fresh(dice.choices(records, k=n), 300))


def _requests() -> Result:
    """Count the requests that real records make, 1,000 a payload in the order of their times."""
    records: list[dict[str, Any]] = []
    for log in REAL.rglob("*.json.gz"):
        records += json.loads(gzip.decompress(log.read_bytes()))["Records"]
    records.sort(key=lambda record: str(record["eventTime"]))
    for record in records:
        record["eventID"] = str(uuid.uuid4())
        record.pop("addendum", None)
    ours = theirs = 0
    for at in range(0, len(records), EVENTS):
        given = event(records[at : at + EVENTS])
        theirs += len(port.requests(port.count(given["awslogs"]["data"])))
        ours += len(_batches(given))
    return Result(
        "PutMetricData requests",
        f"real, {len(records):,} records in payloads of 1,000",
        f"{ours}",
        f"{theirs}",
        theirs / ours,
        15,
    )


def _batches(given: dict[str, Any]) -> list[Batch]:
    [log] = open_event(given)
    return plan(count_log(log, MetricSelection(), None).counts, MetricSelection()).batches


def _timed(what: str, who: str, folder: Path, environ: dict[str, str]) -> Callable[[], float]:
    return lambda: _child(what, who, folder, environ)


def _child(what: str, who: str, path: Path, environ: dict[str, str]) -> float:
    """Let a process of its own do it, and give what it found."""
    command = [sys.executable, "-m", "benchmarks.invoke", what, who, str(path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environ | SETTINGS.get(who, {}),
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout.splitlines()[-1])
