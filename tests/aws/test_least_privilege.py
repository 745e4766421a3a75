"""
The function's role is enough for all that it does, and nothing in it is unused.

On a local AWS that asks the role before each call. It takes the condition on namespaces for one
that is never met, so that goes; tests/test_template.py has it to the letter.
"""

import base64
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
import pytest
from tests.emulator import DUMMY, VENV, emulator
from tests.real import Event, published
from tests.stack import Account, build, names, one, package

BUCKET = "guarded"

USED = [
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricData",
    "dynamodb:GetItem",
    "dynamodb:UpdateItem",
]
"""What the function itself calls."""

UNSEEN = {
    "logs:CreateLogStream": "Lambda writes the log; the local AWS does so without the role",
    "logs:PutLogEvents": "as above",
    "s3:ListBucket": "Lambda asks for it before it takes a bucket as destination; not so here",
    "s3:PutObject": "Lambda puts events there that failed; the local AWS puts none into a bucket",
}
"""What only Lambda uses, for the function, and why that is not to be seen here."""


class Outcome(NamedTuple):
    """What became of a few logs: how many invocations failed, and the calls of each metric."""

    failed: int
    published: Counter[str]
    other: Counter[str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A packaged template, in the bucket of a local AWS that asks roles, which clients go to."""
    if not VENV.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {VENV.name}")
    folder = tmp_path_factory.mktemp("guarded")
    with emulator(folder, AUTH="true") as url, pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        for name, value in {**DUMMY, "AWS_ENDPOINT_URL": url}.items():
            environment.setenv(name, value)
        yield package(client, BUCKET, build(tmp_path_factory.mktemp("built")), folder)


@pytest.fixture(scope="module")
def whole(guarded: Path) -> Outcome:
    """What becomes of logs with all that the role may do."""
    return outcome(guarded)


def client(service: str) -> Any:  # noqa: ANN401 - boto3 has no types
    """Make a client of the local AWS."""
    return boto3.session.Session().client(service)


def allowed(role: str) -> dict[str, dict[str, Any]]:
    """The policies of *role*, by name, without conditions and with a list of actions in each."""
    iam = client("iam")
    found = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in policy["Statement"]:
            statement.pop("Condition", None)
            actions = statement["Action"]
            statement["Action"] = [actions] if isinstance(actions, str) else actions
        found[name] = policy
    return found


def actions(role: str) -> set[str]:
    """All that *role* may do."""
    return {
        action
        for policy in allowed(role).values()
        for statement in policy["Statement"]
        for action in statement["Action"]
    }


def allow(role: str, *, without: str) -> None:
    """Give *role* its own policies again, but for conditions and the action *without*."""
    put = partial(client("iam").put_role_policy, RoleName=role)
    for name, policy in allowed(role).items():
        for statement in policy["Statement"]:
            statement["Action"] = [each for each in statement["Action"] if each != without]
        policy["Statement"] = [each for each in policy["Statement"] if each["Action"]]
        if policy["Statement"]:
            put(PolicyName=name, PolicyDocument=json.dumps(policy))
        else:
            client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def delivery(events: Sequence[Event], name: str) -> bytes:
    """What CloudWatch Logs gives to the function."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "CloudTrail/logs",
        "logStream": "123456789012_CloudTrail_us-east-1",
        "subscriptionFilters": ["all"],
        "logEvents": [{"id": f"{name}-{i}", **e._asdict()} for i, e in enumerate(events)],
    }
    data = base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()
    return json.dumps({"awslogs": {"data": data}}).encode()


def alarm(namespace: str, event_name: str) -> None:
    """Make an alarm on the API's metric in *namespace*."""
    client("cloudwatch").put_metric_alarm(
        AlarmName=f"{namespace}-{event_name}",
        Namespace=namespace,
        MetricName=event_name,
        Dimensions=[
            {"Name": "awsRegion", "Value": "us-east-1"},
            {"Name": "eventSource", "Value": "iam.amazonaws.com"},
        ],
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
    )


def outcome(template: Path, *, without: str = "") -> Outcome:
    """
    Give a new stack's function three logs while its role may not do *without*.

    The budget is one metric. The first log uses it up; the second has an API that an alarm names,
    and one that none does; the third is the first, delivered again.
    """
    name = f"t-{uuid4().hex[:12]}"
    account = Account(client, name, template, bucket=BUCKET)
    account.deploy(
        template,
        CloudTrailLogGroupName=account.group,
        MetricNamespace=name,
        MetricBudget=1,
        Timeout=10,
        CreateAlarms="false",
        CreateDashboard="false",
    )
    made = account.resources
    allow(made["APITrackerLambdaFunctionRole"], without=without)
    alarm(name, "StopLogging")
    first = delivery([one("GetUser")], "first")
    second = delivery([one("ListUsers"), one("StopLogging")], "second")
    invoke = partial(client("lambda").invoke, FunctionName=made["APITrackerLambdaFunction"])
    failed = sum("FunctionError" in invoke(Payload=payload) for payload in (first, second, first))
    cloudwatch = client("cloudwatch")
    return Outcome(
        failed,
        names(published(cloudwatch, name)),
        names(published(cloudwatch, f"{name}/Usage")),
    )


def test_every_action_is_looked_at(guarded: Path) -> None:
    """What the deployed role may do is what is taken away below, and what cannot be seen here."""
    account = Account(client, f"t-{uuid4().hex[:12]}", guarded, bucket=BUCKET)
    account.deploy(guarded, CloudTrailLogGroupName=account.group)

    assert actions(account.resources["APITrackerLambdaFunctionRole"]) == {*USED, *UNSEEN}


def test_role_is_enough(whole: Outcome) -> None:
    """With its role the function publishes each call once, within the budget but for the alarm."""
    assert whole == Outcome(
        failed=0,
        published=Counter({"GetUser": 1, "StopLogging": 1}),
        other=Counter({"__other__": 1}),
    )


@pytest.mark.parametrize("action", USED)
def test_nothing_in_the_role_is_unused(action: str, guarded: Path, whole: Outcome) -> None:
    """Without one of its actions the function cannot do all that it does with them."""
    assert outcome(guarded, without=action) != whole
