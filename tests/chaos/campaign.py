"""
The fault campaign: real records through the Lambda while all that is around it goes wrong.

What CloudWatch has afterwards is held against what was delivered, to the last call. A campaign is
drawn from a seed; ``python -m tests.chaos --help`` says how to run many.
"""

import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import boto3
from tests.chaos.asynchronous import ATTEMPTS, Delivery, Invocation, play, record
from tests.chaos.drawing import deliver, dice, setback, trouble
from tests.chaos.payloads import Payload, pack, spread
from tests.chaos.proxy import Journal, Plan, Proxy
from tests.commands import APITRACKER
from tests.emulator import DUMMY

HANDLER = "apitracker.tracker.handler.handler"
TIMEOUT = 3.0  # seconds, of which the function keeps two
# Where nothing goes wrong nothing waits for the timeout, and no invocation may be over before its
# work is done, however busy the machine is: Lambda would repeat it.
UNHURRIED = 600.0
WORKERS = 3
HOPELESS = 2  # payloads with which each attempt fails
REDRIVES = 4  # that are disturbed, before one that is not
PATIENCE = 60  # seconds, until a redrive has ended
DOUBT = re.compile(r"batch (\S+) may count twice")

Client: TypeAlias = Callable[[str], Any]
Doubts: TypeAlias = set[tuple[str, str]]
"""The batches that are in doubt: log and batch."""


class Stack(NamedTuple):
    """What an account has of the function: its *environ*, and the *bucket* of what it failed on."""

    name: str
    environ: Mapping[str, str]
    bucket: str

    @property
    def namespace(self) -> str:
        """Where it publishes."""
        return self.environ["APITRACKER_NAMESPACE"]

    @property
    def table(self) -> str:
        """The ledger, even if it is not used."""
        return f"{self.name}-ledger"


class Campaign(NamedTuple):
    """
    What was done. *payloads* has what each delivery brought, by the delivery's number; *kept* the
    logs that were given up, by the key of what Lambda keeps.
    """

    seed: int
    stack: Stack
    payloads: dict[int, Payload]
    invocations: list[Invocation]
    kept: dict[str, str]
    journal: Journal

    @property
    def logs(self) -> dict[str, Payload]:
        """Each payload once, by its log."""
        return {each.log: each for each in self.payloads.values()}

    @property
    def doubts(self) -> Doubts:
        """What the function's log says is in doubt."""
        lines = (line for each in self.invocations for line in each.outcome.lines)
        return {(line["log"], line["batch"]) for line in lines if line["message"] == "in doubt"}


def clients(aws: str) -> Client:
    """Give what makes clients of the local AWS at *aws*."""
    session = boto3.session.Session(
        aws_access_key_id=DUMMY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=DUMMY["AWS_SECRET_ACCESS_KEY"],
        region_name=DUMMY["AWS_DEFAULT_REGION"],
    )
    return partial(session.client, endpoint_url=aws)


def deploy(client: Client, name: str, settings: Mapping[str, str]) -> Stack:
    """Deploy what of the template is needed here; the function has *settings*, and never runs."""
    key = {"AttributeName": "id"}
    variables = {"NAMESPACE": name, "LEDGER": f"{name}-ledger", **settings}
    resources = {
        "Ledger": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": f"{name}-ledger",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{**key, "AttributeType": "S"}],
                "KeySchema": [{**key, "KeyType": "HASH"}],
            },
        },
        "FailedEvents": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"{name}-failed"}},
        "APITrackerLambdaFunction": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": "arn:aws:iam::123456789012:role/tracker",
                "Code": {"ZipFile": ""},
                "Environment": {
                    "Variables": {f"APITRACKER_{name}": each for name, each in variables.items()}
                },
            },
        },
    }
    cloudformation = client("cloudformation")
    template = json.dumps({"Resources": resources})
    cloudformation.create_stack(StackName=name, TemplateBody=template)
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 0.1})
    function = cloudformation.describe_stack_resource(
        StackName=name, LogicalResourceId="APITrackerLambdaFunction"
    )["StackResourceDetail"]["PhysicalResourceId"]
    configuration = client("lambda").get_function_configuration(FunctionName=function)
    return Stack(name, configuration["Environment"]["Variables"], f"{name}-failed")


def run(seed: int, aws: str, stack: Stack, *, faults: bool = True) -> Campaign:
    """Run the campaign of *seed* against *aws*; without *faults*, events only come repeatedly."""
    payloads = list(pack(dice(seed, "payloads"), spread(dice(seed, "records"))))
    delivered = list(deliver(seed, payloads))
    brought = {each.number: payload for each, payload in delivered}
    hopeless = {each.log for each in dice(seed, "hopeless").sample(payloads, HOPELESS)}

    def plan(delivery: Delivery, attempt: int) -> Plan:
        if not faults:
            return lambda *_: None
        log = brought[delivery.number].log
        return trouble(seed, delivery.number, attempt, hopeless=log in hopeless)

    journal = Journal()
    invocations = play(
        [each for each, _ in delivered],
        HANDLER,
        stack.environ,
        aws=aws,
        journal=journal,
        plan=plan,
        workers=WORKERS,
        timeout=TIMEOUT if faults else UNHURRIED,
        unhurried=not faults,
    )
    given_up = [each for each in invocations if each.failed and each.attempt == ATTEMPTS]
    kept = {keep(aws, stack, each): brought[each.delivery.number].log for each in given_up}
    return Campaign(seed, stack, brought, invocations, kept, journal)


def keep(aws: str, stack: Stack, invocation: Invocation) -> str:
    """Keep the event of *invocation*, as Lambda does when it gives up, and say under which key."""
    key, body = record(invocation)
    clients(aws)("s3").put_object(Bucket=stack.bucket, Key=key, Body=body)
    return key


def redrive(campaign: Campaign, aws: str) -> tuple[int, Doubts]:
    """
    Run ``apitracker redrive`` until nothing is kept. Gives how often, and what is in doubt by it.

    The first runs are refused and killed, as the seed has it; the last one is left alone.
    """
    s3 = clients(aws)("s3")
    told: Doubts = set()
    for attempt in itertools.count(1):
        plan = setback(campaign.seed, attempt) if attempt <= REDRIVES else lambda *_: None
        said, doubts = redrive_once(campaign, aws, plan)
        told |= doubts
        if not s3.list_objects_v2(Bucket=campaign.stack.bucket)["KeyCount"]:
            return attempt, told
        assert attempt <= REDRIVES, said
        expire(campaign, aws)
    raise AssertionError  # count() has no end


def redrive_once(campaign: Campaign, aws: str, plan: Plan) -> tuple[str, Doubts]:
    """
    Run ``apitracker redrive`` while goes wrong what *plan* says.

    Gives what it said, and what of that is in doubt.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with (
        Proxy(aws, campaign.journal).running() as proxy,
        subprocess.Popen(
            [APITRACKER, "redrive", "--stack", campaign.stack.name],
            env={**environ, **DUMMY, "AWS_ENDPOINT_URL": proxy.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        proxy.kill = process.kill
        proxy.begin(0, plan)
        said, _ = process.communicate(timeout=PATIENCE)
    doubts: Doubts = set()
    for line in said.splitlines():
        log = next((log for key, log in campaign.kept.items() if key in line), "")
        doubts |= {(log, batch) for batch in DOUBT.findall(line)}
    return said, doubts


def expire(campaign: Campaign, aws: str) -> None:
    """Let the minute pass that a claim lasts: all claims end a minute earlier."""
    table = clients(aws)("dynamodb")
    for log in set(campaign.kept.values()):
        item = {"TableName": campaign.stack.table, "Key": {"id": {"S": log}}}
        deadline = table.get_item(**item).get("Item", {}).get("deadline", {"N": "0"})
        if deadline != {"N": "0"}:
            table.update_item(
                **item,
                UpdateExpression="SET deadline = deadline - :minute",
                ExpressionAttributeValues={":minute": {"N": "60"}},
            )
