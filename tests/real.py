"""The real records of ``../shared/data``, moved to times that CloudWatch takes; their counts."""

import csv
import gzip
import json
import time
from calendar import timegm
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

DATA = Path(__file__).parents[2] / "shared" / "data"
DAY = 86_400

Counts: TypeAlias = Counter[tuple[str, str, str, str]]
"""Calls by minute (as 2023-07-10T11:42, or of the day alone), eventName, awsRegion, eventSource."""


class Event(NamedTuple):
    """A record, as CloudTrail writes it to a log group."""

    timestamp: int
    message: str


def records() -> list[dict[str, Any]]:
    """All real records."""
    found: list[dict[str, Any]] = []
    for path in sorted((DATA / "s3").rglob("*.json.gz")):
        found += json.loads(gzip.decompress(path.read_bytes()))["Records"]
    return found


def moved(record: dict[str, Any], end: int, *, days: int = 0) -> Event:
    """Move *record* to the same time of day in the 24 hours before *end*, or *days* before."""
    at = timegm(datetime.fromisoformat(record["eventTime"]).utctimetuple())
    at = end - (end - at) % DAY - days * DAY
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Event(at * 1_000, json.dumps({**record, "eventTime": stamp}))


def golden() -> Counts:
    """How often each API was called in each minute of a day, whatever the day."""
    counts: Counts = Counter()
    with (DATA / "golden" / "by_minute.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["eventName"], row["awsRegion"], row["eventSource"])
            counts[(row["minute"][11:16], *(value or "-" for value in key))] += int(row["count"])  # type: ignore[index]
    return counts


def counted(events: Iterable[Event]) -> Counts:
    """Count *events* themselves, by the minute."""
    counts: Counts = Counter()
    for event in events:
        record = json.loads(event.message)
        key = (record.get(name) for name in ("eventName", "awsRegion", "eventSource"))
        counts[(record["eventTime"][:16], *(value or "-" for value in key))] += 1
    return counts


def published(
    cloudwatch: Any,  # noqa: ANN401 - boto3 has no types
    namespace: str,
    *,
    days: int = 1,
) -> Counts:
    """What CloudWatch has in *namespace*, by the minute, of the last *days*."""
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    metrics = [metric for page in pages for metric in page["Metrics"]]
    now = int(time.time())
    counts: Counts = Counter()
    for number in range(0, len(metrics), 500):
        some = metrics[number : number + 500]
        queries = [
            {"Id": f"m{i}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
            for i, metric in enumerate(some)
        ]
        for page in cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries,
            StartTime=now - now % 3_600 - days * DAY - 3_600,
            EndTime=now + 60,
        ):
            for result in page["MetricDataResults"]:
                metric = some[int(result["Id"][1:])]
                value = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
                assert value.keys() == {"awsRegion", "eventSource"}
                for at, calls in zip(result["Timestamps"], result["Values"], strict=True):
                    minute = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
                    key = (minute, metric["MetricName"], value["awsRegion"], value["eventSource"])
                    counts[key] += round(calls)
    return counts


def of_day(counts: Counts) -> Counts:
    """Add up *counts* of the same minute of whatever day, as `golden` has them."""
    found: Counts = Counter()
    for (minute, *rest), calls in counts.items():
        found[(minute[-5:], *rest)] += calls  # type: ignore[index]
    return found
