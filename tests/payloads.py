"""Subscription events as CloudWatch Logs delivers them, and time that a test moves."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.records import record as plain_record

Json: TypeAlias = Any
"""What `json` reads and writes."""

DATA = Path(__file__).parents[2] / "shared" / "data"
NOW = 1_790_000_000.0  # not a minute's start
MINUTE = 1_789_999_980
WHOLE = {
    "eventVersion": "1.11",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/Alice"},
    "awsRegion": "eu-west-1",
    "readOnly": True,
    "eventType": "AwsApiCall",
    "eventCategory": "Management",
}
"""Fields that counting does not need."""


@dataclass
class FakeClock:
    """Time that goes on only while somebody sleeps, and chance that is always the same."""

    time: float = NOW
    chance: float = 0.5
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.waits.append(seconds)
        self.time += seconds

    def random(self) -> float:
        """Give the same number each time."""
        return self.chance


class Context:
    """The context of an invocation that has a minute left."""

    aws_request_id = "0f9c1e1c-4a4e-4f57-9d5b-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """How long it may still take."""
        return 60_000


def record(number: int = 0, second: int = MINUTE, **fields: Json) -> dict[str, Json]:
    """The record of call *number*, with all that CloudTrail writes; *fields* replaces some."""
    return plain_record("GetObject", f"e-{number}", second, **{**WHOLE, **fields})


def event(records: list[Json], group: str = "trail", **fields: Json) -> Json:
    """Deliver *records*, or texts that are none, as CloudWatch Logs does."""
    texts = [text if isinstance(text, str) else json.dumps(text) for text in records]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": group,
        "logStream": "stream",
        "subscriptionFilters": ["CloudTrailLogFilter"],
        "logEvents": [
            {"id": f"{at:056}", "timestamp": 1_789_999_980_000, "message": text}
            for at, text in enumerate(texts)
        ],
        **fields,
    }
    body = gzip.compress(json.dumps(payload).encode(), 1)
    return {"awslogs": {"data": base64.b64encode(body).decode()}}


CONTROL = event(["CWL CONTROL MESSAGE: Checking health"], messageType="CONTROL_MESSAGE")


def real() -> list[Json]:
    """The real records of ``../shared/data``, in the order of their files."""
    if not DATA.is_dir():
        pytest.skip(f"real records are not here: {DATA}")
    return [
        record
        for path in sorted((DATA / "s3").rglob("*.json.gz"))
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]
    ]
