"""What Lambda has given up is published by a command: what is missing, and nothing else."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.commands import run_in_account as run
from tests.payloads import Json, event, record

Client = Callable[[str], Any]
CODE = "def handler(event, context):\n    return None\n"


class Stack:
    """The part of the stack that redriving needs, with failed events in its bucket."""

    def __init__(self, client: Client, name: str, **environ: str) -> None:
        self.name = name
        self.s3, self.cloudwatch = client("s3"), client("cloudwatch")
        self.dynamodb, self.cloudformation = client("dynamodb"), client("cloudformation")
        table = {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        }
        variables = {
            "APITRACKER_NAMESPACE": name,
            "APITRACKER_LEDGER": {"Ref": "Ledger"},
            **environ,
        }
        function = {
            "Handler": "index.handler",
            "Runtime": "python3.13",
            "Role": "arn:aws:iam::123456789012:role/r",
            "Code": {"ZipFile": CODE},
            "Environment": {"Variables": variables},
        }
        resources = {
            "Ledger": {"Type": "AWS::DynamoDB::Table", "Properties": table},
            "FailedEvents": {"Type": "AWS::S3::Bucket"},
            "APITrackerLambdaFunction": {"Type": "AWS::Lambda::Function", "Properties": function},
        }
        self.cloudformation.create_stack(
            StackName=name, TemplateBody=json.dumps({"Resources": resources})
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1}
        )
        found = self.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
        self.bucket, self.table = names["FailedEvents"], names["Ledger"]

    def keep(self, key: str, payload: Json) -> None:
        """Put an event there, as Lambda does when it gives it up."""
        invocation = {
            "version": "1.0",
            "timestamp": "2026-11-23T00:00:00.000Z",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": payload,
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            "responsePayload": {"errorType": "UnpublishedError"},
        }
        body = json.dumps(invocation).encode()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    @property
    def kept(self) -> list[str]:
        """The keys of the events that wait."""
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [each["Key"] for each in found]

    @property
    def published(self) -> Counter[str]:
        """The calls in CloudWatch, by name."""
        sums: Counter[str] = Counter()
        for metric in self.cloudwatch.list_metrics(Namespace=self.name)["Metrics"]:
            found = self.cloudwatch.get_metric_statistics(
                Namespace=self.name,
                MetricName=metric["MetricName"],
                Dimensions=metric["Dimensions"],
                StartTime=datetime.now(UTC) - timedelta(hours=1),
                EndTime=datetime.now(UTC),
                Period=3_600,
                Statistics=["Sum"],
            )
            sums[metric["MetricName"]] += sum(int(each["Sum"]) for each in found["Datapoints"])
        return sums

    def redrive(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run the command."""
        return run("redrive", "--stack", self.name, *options)


@pytest.fixture
def stack(client: Client, name: str) -> Iterator[Stack]:
    """A stack with an empty bucket."""
    made = Stack(client, name, APITRACKER_EXCLUDE="eventName=Left*")
    yield made
    for key in made.kept:
        made.s3.delete_object(Bucket=made.bucket, Key=key)
    made.cloudformation.delete_stack(StackName=name)


def payload(*names: str, group: str = "trail", age: int = 120) -> Json:
    """A payload of calls two minutes ago."""
    second = int(time.time()) - age
    return event([record(at, second, eventName=name) for at, name in enumerate(names)], group=group)


def test_what_is_missing_is_published(stack: Stack) -> None:
    """Each event is published by the function's settings, and deleted; a copy of it counts once."""
    one = payload("Get", "Get", "LeftOut", group="a")
    stack.keep("aws/lambda/async/f/1", one)
    stack.keep("aws/lambda/async/f/2", payload("Put", group="b"))
    stack.keep("aws/lambda/async/f/3", one)

    done = stack.redrive()

    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "published  aws/lambda/async/f/1  2 calls in 1 requests\n"
        "published  aws/lambda/async/f/2  1 calls in 1 requests\n"
        "published  aws/lambda/async/f/3  was published before\n"
    )
    assert done.stderr == f"3 events are published and deleted, 0 are kept in {stack.bucket}\n"
    assert (stack.published, stack.kept) == ({"Get": 2, "Put": 1}, [])

    again = stack.redrive()
    assert (again.returncode, again.stdout) == (0, "")


def test_dry_run(stack: Stack) -> None:
    """It says what would be published, and changes nothing."""
    stack.keep("1", payload("Get", "Get", "LeftOut"))

    done = stack.redrive("--dry-run")

    assert (done.returncode, done.stdout) == (0, "would publish  1  2 calls\n")
    assert done.stderr == "1 events would be published, 0 cannot be; nothing was changed\n"
    assert (stack.published, stack.kept) == ({}, ["1"])
    assert stack.dynamodb.scan(TableName=stack.table)["Count"] == 0


def test_what_cannot_be_published_stays(stack: Stack) -> None:
    """What is no event is named and kept, whatever its name holds; what is good is published."""
    stack.s3.put_object(Bucket=stack.bucket, Key="1\x1b[2J", Body=b"not JSON")
    stack.s3.put_object(Bucket=stack.bucket, Key="2", Body=b"[" * 100_000)
    stack.keep("3", {"Records": []})
    stack.keep("4", payload("Get"))

    done = stack.redrive()

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(r"kept  1\x1b[2J  1\x1b[2J: is not a record of an invocation: ")
    assert lines[1].startswith("kept  2  2: is not a record of an invocation: ")
    assert lines[2].startswith("kept  3  event: is not a CloudWatch Logs subscription event: ")
    assert lines[3] == "published  4  1 calls in 1 requests"
    assert done.stderr == f"1 events are published and deleted, 3 are kept in {stack.bucket}\n"
    assert len(stack.kept) == 3
    assert stack.published == {"Get": 1}


def test_what_is_too_old(stack: Stack) -> None:
    """What CloudWatch does not take any more is said, and does not wait for ever."""
    stack.keep("1", payload("Get", age=15 * 86_400))

    done = stack.redrive()

    assert (done.returncode, done.stdout) == (1, "published  1  0 calls in 0 requests\n")
    assert done.stderr.splitlines()[1] == (
        "1 calls are older than two weeks: CloudWatch does not take them any more"
    )
    assert stack.kept == []


def test_held_elsewhere(stack: Stack) -> None:
    """What another execution is publishing at this moment stays, and comes later."""
    given = payload("Get")
    stack.keep("1", given)
    assert stack.redrive().returncode == 0
    [item] = [
        each for each in stack.dynamodb.scan(TableName=stack.table)["Items"] if "decision" in each
    ]
    del item["finished"], item["done"]
    later = {"N": str(time.time() + 600)}
    stack.dynamodb.put_item(TableName=stack.table, Item={**item, "deadline": later})
    stack.keep("1", given)

    done = stack.redrive()

    assert done.returncode == 1
    assert "another execution is publishing this log" in done.stdout
    assert (stack.kept, stack.published) == (["1"], {"Get": 1})


def test_in_doubt(stack: Stack) -> None:
    """A batch that was claimed and not marked is published, and said to be in doubt."""
    given = payload("Get")
    stack.keep("1", given)
    stack.redrive()
    [item] = [
        each for each in stack.dynamodb.scan(TableName=stack.table)["Items"] if "decision" in each
    ]
    del item["finished"], item["done"]
    stack.dynamodb.put_item(TableName=stack.table, Item={**item, "deadline": {"N": "1"}})
    stack.keep("1", given)

    done = stack.redrive()

    assert done.stdout == (
        "in doubt  1  batch api.0 may count twice\npublished  1  1 calls in 1 requests\n"
    )
    assert (stack.kept, stack.published) == ([], {"Get": 2})


@pytest.mark.usefixtures("account")
def test_no_stack(name: str) -> None:
    """A stack that is not there is an error that says what to do."""
    done = run("redrive", "--stack", name)

    assert done.returncode == 3
    assert done.stderr.startswith(
        f"apitracker: there is no stack or function {name} here: deploy it"
    )
