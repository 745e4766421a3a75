"""The stack on a local AWS: built, packaged, deployed and fed."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from tests.emulator import VENV
from tests.real import Counts, Event

ROOT = Path(__file__).parents[1]
PATIENCE = 60  # seconds, until what was delivered has been counted
UNKNOWN = ("BalanceBroken", "CallsThrottled", "CallsDenied")
"""Alarms that calculate, by metric math or a query: the local AWS takes them in no template."""

Client: TypeAlias = Callable[[str], Any]


def build(folder: Path) -> Path:
    """Write the template, and the function built for the emulator's Python, into *folder*."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run(
        [VENV / "bin" / "python", "-c", asked], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "package.py", "--to", folder, "--python", version],
        check=True,
        capture_output=True,
    )
    text = (ROOT / "sam.yaml").read_text()
    for name in UNKNOWN:
        text, taken = re.subn(rf"(?m)^  {name}:\n(?:    .*\n)+\n", "", text)
        assert taken == 1
    (folder / "sam.yaml").write_text(text)
    return folder


def package(client: Client, name: str, built: Path, folder: Path) -> Path:
    """Put what is *built* into a new bucket, and a template that names it there into *folder*."""
    client("s3").create_bucket(Bucket=name)
    packaged = folder / "sam-output.yaml"
    aws(
        *("cloudformation", "package", "--template-file", built / "sam.yaml"),
        *("--output-template-file", packaged, "--s3-bucket", name, "--s3-prefix", "code"),
    )
    return packaged


def aws(*args: object) -> str:
    """Run the AWS command line in the environment of the test."""
    done = subprocess.run(
        [VENV / "bin" / "aws", *map(str, args)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Account:
    """What a test does in the local account."""

    def __init__(self, client: Client, name: str, package: Path, *, bucket: str) -> None:
        self.client = client
        self.name = name
        self.bucket = bucket
        self.group = f"CloudTrail/{name}"
        self.package = package
        client("logs").create_log_group(logGroupName=self.group)

    def deploy(self, template: Path, **parameters: object) -> None:
        """Deploy as the README says."""
        given = [f"{key}={value}" for key, value in parameters.items()]
        # The AWS CLI names a change set by the second, and the local AWS has one list of names.
        time.sleep(1)
        aws(
            *("cloudformation", "deploy", "--template-file", template, "--stack-name", self.name),
            *("--capabilities", "CAPABILITY_IAM"),
            # Beyond 51,200 bytes CloudFormation reads a template from a bucket.
            *("--s3-bucket", self.bucket, "--s3-prefix", "template"),
            *(("--parameter-overrides", *given) if given else ()),
        )

    @property
    def resources(self) -> dict[str, str]:
        """The physical id of each resource of the stack."""
        cloudformation = self.client("cloudformation")
        found = cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def put(
        self, events: Sequence[Event], *, stream: str = "123456789012_CloudTrail_us-east-1"
    ) -> None:
        """Put *events* into the log group of the trail."""
        logs = self.client("logs")
        logs.create_log_stream(logGroupName=self.group, logStreamName=stream)
        logs.put_log_events(
            logGroupName=self.group,
            logStreamName=stream,
            logEvents=[event._asdict() for event in events],
        )

    def tracked(self, payloads: int) -> list[dict[str, Any]]:
        """What the function logged of *payloads* payloads, once it has."""
        group = self.outputs["FunctionLogGroupName"]
        deadline = time.monotonic() + PATIENCE
        lines: list[dict[str, Any]] = []
        while len(lines) < payloads and time.monotonic() < deadline:
            time.sleep(0.05)
            pages = (
                self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
            )
            messages = [event["message"].strip() for page in pages for event in page["events"]]
            lines = [json.loads(m) for m in messages if m.startswith("{")]
            lines = [line for line in lines if line["message"] == "tracked"]
        assert len(lines) == payloads, messages[-20:]
        return lines


def one(event_name: str, **fields: object) -> Event:
    """A record of one call just now."""
    now = int(time.time())
    record = {
        "eventTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventName": event_name,
        "eventSource": "iam.amazonaws.com",
        "awsRegion": "us-east-1",
        "eventID": os.urandom(8).hex(),
        **fields,
    }
    return Event(now * 1_000, json.dumps(record))


def names(counts: Counts) -> Counter[str]:
    """The calls by eventName alone."""
    found: Counter[str] = Counter()
    for (_, event_name, _, _), calls in counts.items():
        found[event_name] += calls
    return found
