"""
The plain Python port of the predecessor, which the Lambda is measured against.

json, gzip, base64, a dict and boto3; one datum for each second of eventTime, 20 in a request.
"""

import base64
import gzip
import json
import os
from datetime import datetime
from typing import Any, Final

PER_REQUEST: Final = 20

Second = tuple[str, str, str, str]


def count(data: str) -> dict[Second, int]:
    """Count the calls of a payload by second, name, region and source, each eventID once."""
    payload = json.loads(gzip.decompress(base64.b64decode(data)))
    counts: dict[Second, int] = {}
    seen = set()
    for event in payload["logEvents"]:
        record = json.loads(event["message"])
        if record["eventID"] in seen:
            continue
        seen.add(record["eventID"])
        key = (
            record["eventTime"],
            record.get("eventName") or "-",
            record.get("awsRegion") or "-",
            record.get("eventSource") or "-",
        )
        counts[key] = counts.get(key, 0) + 1
    return counts


def requests(counts: dict[Second, int]) -> list[list[dict[str, Any]]]:
    """Give the data of each request."""
    data = [
        {
            "MetricName": name,
            "Dimensions": [
                {"Name": "awsRegion", "Value": region},
                {"Name": "eventSource", "Value": source},
            ],
            "Timestamp": datetime.fromisoformat(time),
            "Value": n,
        }
        for (time, name, region, source), n in counts.items()
    ]
    return [data[at : at + PER_REQUEST] for at in range(0, len(data), PER_REQUEST)]


def _client() -> Any:  # noqa: ANN401 - boto3 makes its clients' types when it runs
    import boto3  # noqa: PLC0415 - whoever only counts does not pay for it

    return boto3.client("cloudwatch")


CLIENT = _client() if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else None


def handler(event: dict[str, Any], _context: object) -> None:
    """Publish what a payload holds."""
    assert CLIENT  # noqa: S101 - only inside the Lambda is it called
    for data in requests(count(event["awslogs"]["data"])):
        CLIENT.put_metric_data(Namespace="API-COUNT", MetricData=data)
