"""A tracker that was deployed without CloudFormation, by the name of its function."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import real
from tests.commands import run_in_account as run
from tests.payloads import event, record
from tests.records import write_log

Client = Callable[[str], Any]


@pytest.fixture
def function(client: Client, name: str, table: str) -> Iterator[str]:
    """A function with a ledger, a bucket of failed events, a log group and its tag; its name."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return None\n")
    client("logs").create_log_group(logGroupName=name)
    client("s3").create_bucket(Bucket=name)
    functions = client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role="arn:aws:iam::123456789012:role/r",
        Code={"ZipFile": code.getvalue()},
        Tags={"apitracker:log-group": name},
        Environment={"Variables": {"APITRACKER_NAMESPACE": name, "APITRACKER_LEDGER": table}},
    )
    functions.put_function_event_invoke_config(
        FunctionName=name,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{name}"}},
    )
    yield name
    functions.delete_function(FunctionName=name)


def test_verify(function: str) -> None:
    """Each step is looked at, with the parts that the function names."""
    done = run("verify", "--stack", function)

    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    checks = {check: (state, text) for state, check, text in lines}
    assert done.returncode == 1
    assert checks["stack"] == ("ok", f"{function} is a function without a stack")
    assert checks["filter"][1].startswith(f"{function} has no subscription filter to {function}: ")
    assert checks["failures"] == ("ok", f"no failed events wait in {function}")
    assert checks["trackers"] == ("ok", f"no other tracker publishes to {function}")


def test_redrive(client: Client, function: str) -> None:
    """A failed event is published once, by the function's ledger."""
    second = int(time.time()) - 120
    payload = event([record(1, second, eventName="Get"), record(2, second, eventName="Get")])
    body = json.dumps({"requestPayload": payload}).encode()
    for key in ("1", "2"):
        client("s3").put_object(Bucket=function, Key=key, Body=body)

    done = run("redrive", "--stack", function)

    assert (done.returncode, done.stdout) == (
        0,
        "published  1  2 calls in 1 requests\npublished  2  was published before\n",
    )
    assert real.published(client("cloudwatch"), function).total() == 2


def test_reconcile(client: Client, function: str, table: str, tmp_path: Path) -> None:
    """Calls that are sent are recorded in the function's ledger."""
    at = datetime.now(UTC) - timedelta(days=1)
    log = write_log(tmp_path / "a.json", record(1, int(at.timestamp()), eventName="Get"))

    done = run("reconcile", log, "--publish", "--stack", function, APITRACKER_NAMESPACE=function)

    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("published 1 calls\n")
    assert "nothing remembers what is sent" not in done.stderr
    (item,) = client("dynamodb").scan(TableName=table)["Items"]
    assert item["id"]["S"].startswith("reconciled:")


def test_alarm(function: str) -> None:
    """A set that the function does not publish is refused, with the setting that adds it."""
    throttled = ("alarm", "ec2:RunInstances", "--above", 1, "--outcome", "throttled")

    done = run(*throttled, "--stack", function, APITRACKER_NAMESPACE=function)

    assert done.returncode == 2
    assert done.stderr == (
        f"apitracker: {function} does not publish the metric set outcomes, so that the alarm could "
        f"never fire; to add it: set APITRACKER_METRICS=api,outcomes in the environment of "
        f"{function}; --force makes the alarm all the same\n"
    )
