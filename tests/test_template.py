"""The stack: both ways of it, what it may do, and that it continues the predecessor's in place."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import fields

from apitracker.cli.main import cli
from apitracker.core.fields import FIELDS
from apitracker.core.metric_sets import API, SETS
from apitracker.core.selection import parse_where
from apitracker.operations.alarms import LONGEST_QUERY, evaluation_periods
from apitracker.settings import MOST_METRICS, PREFIX, Settings
from apitracker.tracker.emf import DIMENSION, METRIC_UNITS, OWN_METRICS
from apitracker.tracker.tracking import select_metrics

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "sam.yaml"
PREDECESSOR = json.loads((Path(__file__).parent / "predecessor.json").read_text())
EMULATOR = ROOT / ".venv-emulator"
LINT = ROOT / ".venv-lint"
EXISTING = "CloudTrail/logs"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
TOPIC = "arn:aws:sns:us-east-1:123456789012:ops"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "cloudwatch-api-tracker",
    "AWS::URLSuffix": "amazonaws.com",
}
CHINA = {
    "AWS::Partition": "aws-cn",
    "AWS::Region": "cn-north-1",
    "AWS::URLSuffix": "amazonaws.com.cn",
}
EVERY = ",".join(SETS)
NO_VALUE = object()

# Reads the template as CloudFormation's own transform does: SAM's library is in that virtualenv.
EXPAND = """
import json, sys
import yaml
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

text = open(sys.argv[1]).read()
template = yaml_parse(text)
given = yaml_parse(text)
given["Resources"]["APITrackerLambdaFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"

class NoPolicies:
    def load(self):
        return {}

aliases = sum(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
print(json.dumps([template, transform(given, {}, NoPolicies()), aliases]))
"""

CREATE_ONLY = {
    "AWS::CloudTrail::Trail": {"TrailName"},
    "AWS::IAM::Role": {"Path", "RoleName"},
    "AWS::Lambda::Function": {"FunctionName", "PackageType", "TenancyConfig"},
    "AWS::Lambda::Permission": {
        "Action",
        "EventSourceToken",
        "FunctionName",
        "FunctionUrlAuthType",
        "InvokedViaFunctionUrl",
        "Principal",
        "PrincipalOrgID",
        "SourceAccount",
        "SourceArn",
    },
    "AWS::Logs::LogGroup": {"LogGroupName"},
    "AWS::Logs::SubscriptionFilter": {"FilterName", "LogGroupName"},
    "AWS::S3::Bucket": {"BucketName", "BucketNamePrefix", "BucketNamespace"},
    "AWS::S3::BucketPolicy": {"Bucket"},
}
"""The properties whose change makes CloudFormation replace a resource: its resource schemas."""


def missing(what: str) -> None:
    """Skip the test; on CI, where everything has to be there, fail it."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


@cache
def read() -> tuple[dict[str, Any], dict[str, Any], int]:
    """The template as written, as SAM expands it, and how many YAML aliases it has."""
    python = EMULATOR / "bin" / "python"
    if not python.exists():
        missing(f"no {EMULATOR.name}: make test makes it")
    done = subprocess.run(
        [python, "-c", EXPAND, TEMPLATE],
        check=True,
        capture_output=True,
        text=True,
        env={"AWS_DEFAULT_REGION": "us-east-1", "PATH": os.environ["PATH"]},
    )
    template, expanded, aliases = json.loads(done.stdout)
    return template, expanded, aliases


class Stack:
    """What CloudFormation would make of *template*: conditions decided and functions evaluated."""

    def __init__(self, template: dict[str, Any], **given: str) -> None:
        self.template = template
        pseudo = {**PSEUDO, **{k: v for k, v in given.items() if k.startswith("AWS::")}}
        defaults = {k: p.get("Default") for k, p in template["Parameters"].items()}
        self.values = {**defaults, **pseudo, **given}
        self.resources: dict[str, dict[str, Any]] = {
            name: {
                **body,
                "Properties": self.value(body.get("Properties", {})),
            }
            for name, body in template["Resources"].items()
            if self.holds(body)
        }
        self.outputs: dict[str, Any] = {
            name: self.value(body["Value"])
            for name, body in template.get("Outputs", {}).items()
            if self.holds(body)
        }

    def __getitem__(self, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self.resources[name]["Properties"]
        return properties

    def holds(self, body: dict[str, Any]) -> bool:
        """Whether what has *body* is made."""
        return "Condition" not in body or self.condition(body["Condition"])

    def condition(self, name: str) -> bool:
        """Decide a condition."""
        return bool(self.value(self.template["Conditions"][name]))

    def value(self, node: Any) -> Any:  # noqa: ANN401 - whatever a template holds
        """Evaluate *node*. A resource's name or ARN is its logical id in angle brackets."""
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), *_ = node.items()
            if function == "Ref" or function.startswith("Fn::") or function == "Condition":
                return self.call(function, argument)
        return {k: v for k, v in ((k, self.value(v)) for k, v in node.items()) if v is not NO_VALUE}

    def call(self, function: str, argument: Any) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - a case a function
        """Evaluate one function."""
        match function:
            case "Ref" if argument == "AWS::NoValue":
                return NO_VALUE
            case "Ref":
                return self.values.get(argument, f"<{argument}>")
            case "Condition":
                return self.condition(argument)
            case "Fn::GetAtt":
                return "<{}.{}>".format(*argument)
            case "Fn::If":
                return self.value(argument[1 if self.condition(argument[0]) else 2])
            case "Fn::Equals":
                return self.value(argument[0]) == self.value(argument[1])
            case "Fn::Not":
                return not self.value(argument[0])
            case "Fn::And":
                return all(map(self.value, argument))
            case "Fn::Or":
                return any(map(self.value, argument))
            case "Fn::FindInMap":
                name, *keys = map(self.value, argument)
                found = self.template["Mappings"][name]
                return found[str(keys[0])][keys[1]]
            case "Fn::Join":
                return argument[0].join(self.value(argument[1]))
            case "Fn::Split":
                return self.value(argument[1]).split(argument[0])
            case "Fn::Sub":
                return self.substituted(*(argument if isinstance(argument, list) else [argument]))
            case _:
                raise AssertionError(function)

    def substituted(self, text: str, own: dict[str, Any] | None = None) -> str:
        """Put values in for the names in *text*, first those of *own*."""
        values = {**self.values, **self.value(own or {})}

        def replace(found: re.Match[str]) -> str:
            name = found[1]
            return f"${{{name[1:]}}}" if name[0] == "!" else str(values.get(name, f"<{name}>"))

        return re.sub(r"\$\{([^}]+)\}", replace, text)


def stack(**given: str) -> Stack:
    """The expanded template with these parameters and, as ``AWS::…``, in this place."""
    return Stack(read()[1], **given)


def references(node: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a template holds
    """The names that *node* refers to."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    elif isinstance(node, dict):
        for key, each in node.items():
            if key == "Ref":
                yield each
            elif key == "Fn::GetAtt":
                yield each[0]
            elif key == "Fn::Sub":
                text = each[0] if isinstance(each, list) else each
                yield from (name.partition(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text))
                yield from references(each[1:] if isinstance(each, list) else [])
            else:
                yield from references(each)


def before() -> dict[str, set[str]]:
    """For each resource, those that CloudFormation makes before it."""
    resources = read()[1]["Resources"]
    needs = {}
    for name, body in resources.items():
        named = body.get("DependsOn", [])
        found = {
            *references(body.get("Properties", {})),
            *([named] if isinstance(named, str) else named),
        }
        needs[name] = found & resources.keys()
    done: dict[str, set[str]] = {}
    for name in TopologicalSorter(needs).static_order():
        done[name] = needs[name].union(*(done[n] for n in needs[name]))
    return done


BOTH = pytest.mark.parametrize("group", ["", EXISTING], ids=["new trail", "existing trail"])
NEW = {"NewTrail", "NewTrailRole", "NewTrailCWLogGroup", "NewTrailBucket", "NewTrailBucketPolicy"}


# It continues the predecessor's stack.


@BOTH
def test_predecessor_is_kept(group: str) -> None:
    """Every resource of the predecessor's stack is still there, under its id and of its type."""
    old = Stack(PREDECESSOR, CloudTrailLogGroupName=group).resources
    new = stack(CloudTrailLogGroupName=group).resources

    assert {name: new[name]["Type"] for name in old} == {n: b["Type"] for n, b in old.items()}


def replaced(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Which of the *old* resources CloudFormation would replace, or remove, for the *new*."""
    return {
        name
        for name, body in old.items()
        if name not in new
        or new[name]["Type"] != body["Type"]
        or any(
            new[name]["Properties"].get(key) != body["Properties"].get(key)
            for key in CREATE_ONLY[body["Type"]]
        )
    }


@BOTH
def test_nothing_is_replaced(group: str) -> None:
    """No property that CloudFormation knows a resource by differs from the predecessor's."""
    old = Stack(PREDECESSOR, CloudTrailLogGroupName=group).resources

    assert replaced(old, stack(CloudTrailLogGroupName=group).resources) == set()


@BOTH
def test_a_replacement_would_be_seen(group: str) -> None:
    """A resource that gets another name or type, or goes, is one that the test above reports."""
    old = Stack(PREDECESSOR, CloudTrailLogGroupName=group).resources
    new = stack(CloudTrailLogGroupName=group).resources

    for name, body in old.items():
        others = {key: each for key, each in new.items() if key != name}
        assert replaced(old, others) == {name}
        assert replaced(old, {**others, name: {**new[name], "Type": "AWS::SNS::Topic"}}) == {name}
        for key in CREATE_ONLY[body["Type"]]:
            properties = {**new[name]["Properties"], key: "another"}
            assert replaced(old, {**others, name: {**new[name], "Properties": properties}}) == {
                name
            }


def test_create_only_is_what_cloudformation_says() -> None:
    """The properties taken for those that replace are the ones of CloudFormation's schemas."""
    python = LINT / "bin" / "python"
    if not python.exists():
        missing(f"no {LINT.name}: make check makes it")
    script = (
        "import json, sys; from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as m\n"
        "print(json.dumps({t: m.get_resource_schema('us-east-1', t)"
        ".schema.get('createOnlyProperties', []) for t in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [python, "-c", script, *CREATE_ONLY], check=True, capture_output=True, text=True
    )

    assert {
        kind: {path.removeprefix("/properties/") for path in paths}
        for kind, paths in json.loads(done.stdout).items()
    } == CREATE_ONLY


def test_parameter_of_the_predecessor() -> None:
    """The predecessor's commands work: its parameter has its name, and nothing has to be given."""
    parameters = read()[0]["Parameters"]

    assert parameters["CloudTrailLogGroupName"]["Default"] == ""
    assert all("Default" in parameter for parameter in parameters.values())


# Both ways.


def test_new_trail() -> None:
    """Without a group there is a trail of all regions, validated, to group and bucket."""
    made = stack()

    assert made["NewTrail"] == {
        "S3BucketName": "<NewTrailBucket>",
        "CloudWatchLogsLogGroupArn": "<NewTrailCWLogGroup.Arn>",
        "CloudWatchLogsRoleArn": "<NewTrailRole.Arn>",
        "IsLogging": True,
        "IsMultiRegionTrail": True,
        "IncludeGlobalServiceEvents": True,
        "EnableLogFileValidation": True,
    }
    assert made["CloudTrailLogFilter"]["LogGroupName"] == "<NewTrailCWLogGroup>"
    assert made["LambdaPermission"]["SourceArn"].endswith(":log-group:<NewTrailCWLogGroup>:*")
    assert made.outputs["TrailLogGroupName"] == "<NewTrailCWLogGroup>"
    assert made.outputs["TrailBucketName"] == "<NewTrailBucket>"


def test_existing_trail() -> None:
    """With an existing group, it is subscribed to, and nothing of a trail is made."""
    made = stack(CloudTrailLogGroupName=EXISTING)

    assert stack().resources.keys() - made.resources.keys() == NEW
    assert made["CloudTrailLogFilter"] == {
        "LogGroupName": EXISTING,
        "FilterPattern": "",
        "DestinationArn": "<APITrackerLambdaFunction.Arn>",
    }
    assert made["LambdaPermission"] == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "<APITrackerLambdaFunction.Arn>",
        "Principal": "logs.us-east-1.amazonaws.com",
        "SourceAccount": "123456789012",
        "SourceArn": f"arn:aws:logs:us-east-1:123456789012:log-group:{EXISTING}:*",
    }
    assert made.outputs["TrailLogGroupName"] == EXISTING
    assert "TrailBucketName" not in made.outputs


@BOTH
@pytest.mark.parametrize("dashboard", ["true", "false"])
@pytest.mark.parametrize("alarms", ["true", "false"])
@pytest.mark.parametrize("email", ["", "ops@example.com"])
@pytest.mark.parametrize("above", ["", "0"])
def test_nothing_refers_to_what_is_not_made(
    group: str, dashboard: str, alarms: str, email: str, above: str
) -> None:
    """Whatever is chosen, no resource and no output refers to a resource that is not made."""
    made = stack(
        CloudTrailLogGroupName=group,
        CreateDashboard=dashboard,
        CreateAlarms=alarms,
        AlarmEmail=email,
        DenialsAbove=above,
        CreateInsightRule="true",
    )
    text = json.dumps([{n: b["Properties"] for n, b in made.resources.items()}, made.outputs])

    assert {name.partition(".")[0] for name in re.findall(r"<([A-Za-z.]+)>", text)} <= (
        made.resources.keys()
    )


# Order.


def test_order() -> None:
    """There is no circle, and nothing is made before what it relies on at once."""
    first = before()

    assert {"NewTrailBucketPolicy", "NewTrailRole", "NewTrailCWLogGroup"} <= first["NewTrail"]
    assert {
        "LambdaPermission",
        "APITrackerLambdaFunction",
        "APITrackerCWLogs",
        "APITrackerLogPolicy",
        "APITrackerInvokeConfig",
        "Ledger",
        "FailedEvents",
        "FailedEventsPolicy",
    } <= first["CloudTrailLogFilter"]
    assert {"APITrackerLambdaFunctionRole", "FailedEventsPolicy", "APITrackerLogPolicy"} <= (
        first["APITrackerInvokeConfig"]
    )


# What it may do.


def statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """All statements of the policies in a role's, or of a policy's *properties*."""
    documents = [p["PolicyDocument"] for p in properties.get("Policies", [properties])]
    return [statement for document in documents for statement in document["Statement"]]


@BOTH
def test_function_may_do_what_it_does_only(group: str) -> None:
    """The function may publish, see alarms, keep its ledger, put events aside, log; no more."""
    made = stack(CloudTrailLogGroupName=group, MetricNamespace="Ours")
    here = {"StringEquals": {"s3:ResourceAccount": "123456789012"}}

    assert statements(made["APITrackerLambdaFunctionRole"]) == [
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": ["Ours", "Ours/Usage"]}},
        },
        {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
            "Resource": "<Ledger.Arn>",
        },
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::<FailedEvents>/*",
            "Condition": here,
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::<FailedEvents>",
            "Condition": here,
        },
    ]
    assert statements(made["APITrackerLogPolicy"]) == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "<APITrackerCWLogs.Arn>",
        }
    ]
    assert made["APITrackerLogPolicy"]["Roles"] == ["<APITrackerLambdaFunctionRole>"]
    assert made["APITrackerLambdaFunction"]["Role"] == "<APITrackerLambdaFunctionRole.Arn>"
    others = {"APITrackerLambdaFunctionRole", "APITrackerLogPolicy", "NewTrailRole"}
    kinds = {"AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}
    assert {name for name, body in made.resources.items() if body["Type"] in kinds} <= others


def test_policies_for_the_console() -> None:
    """What docs/deploy.md lets a role made by hand do is what the template lets the function do."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    blocks = [json.loads(each) for each in re.findall(r"(?s)```json\n(.*?)```", text)]
    by_hand = [statement for block in blocks for statement in block["Statement"]]
    made = stack()
    ours = [
        *statements(made["APITrackerLambdaFunctionRole"]),
        *statements(made["APITrackerLogPolicy"]),
    ]

    def allowed(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
        listed = [(s["Action"], json.dumps(s.get("Condition"))) for s in found]
        return {
            (each, condition.replace("ACCOUNT", PSEUDO["AWS::AccountId"]))
            for actions, condition in listed
            for each in ([actions] if isinstance(actions, str) else actions)
        }

    assert all(each["Effect"] == "Allow" for each in by_hand)
    # The template makes the log group itself.
    assert allowed(by_hand) == allowed(ours) | {("logs:CreateLogGroup", "null")}


def test_trail_may_log_only() -> None:
    """CloudTrail may write to its own streams of the new group, and no more."""
    assert statements(stack()["NewTrailRole"]) == [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:<NewTrailCWLogGroup>"
            ":log-stream:123456789012_CloudTrail_us-east-1*",
        }
    ]


@BOTH
def test_no_capability_but_iam(group: str) -> None:
    """CAPABILITY_IAM is enough: no IAM resource has a name, and there is no macro but SAM."""
    template, _, _ = read()
    made = stack(CloudTrailLogGroupName=group)
    names = {"RoleName", "ManagedPolicyName", "UserName", "GroupName", "InstanceProfileName"}

    assert template["Transform"] == "AWS::Serverless-2016-10-31"
    assert "Fn::Transform" not in json.dumps(template)
    for body in made.resources.values():
        assert not body["Properties"].keys() & names
        assert body["Type"] != "AWS::CloudFormation::Stack"
        if body["Type"] == "AWS::IAM::Role":
            assert not body["Properties"].get("ManagedPolicyArns")


@pytest.mark.parametrize("name", ["NewTrailBucket", "FailedEvents"])
def test_buckets(name: str) -> None:
    """Each bucket is encrypted, closed to the public, emptied in time, and outlives the stack."""
    made = stack(LogRetentionInDays="90", NewTrailRetentionInDays="400")
    bucket = made[name]

    assert bucket == {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Status": "Enabled",
                    "ExpirationInDays": {"NewTrailBucket": "400", "FailedEvents": 30}[name],
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    }
    assert made.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert made.resources[name]["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_of_a_new_trail_keeps_a_year() -> None:
    """An audit log is kept for a year unless told otherwise; its parameter explains an update."""
    (rule,) = stack()["NewTrailBucket"]["LifecycleConfiguration"]["Rules"]
    said = read()[0]["Parameters"]["NewTrailRetentionInDays"]["Description"]

    assert rule["ExpirationInDays"] == 365
    assert "An update holds for the files that are there already" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CloudTrailLogGroupName", "deleted with the stack, and also by an update that names"),
        ("MetricSets", "separated by commas without spaces"),
        (
            "KeepRules",
            "FIELD=GLOB of eventName, eventSource or awsRegion, several separated by one",
        ),
        ("AlarmEmail", "With neither this nor AlarmTopicArn nobody is told."),
    ],
)
def test_parameters_say_what_they_do(name: str, words: str) -> None:
    """The description of a parameter says what it takes, and what choosing it brings about."""
    assert words in read()[0]["Parameters"][name]["Description"]


BOUNDARY = "arn:aws:iam::123456789012:policy/edge/boundary"


@BOTH
def test_roles_of_a_guarded_account(group: str) -> None:
    """Each role gets the boundary and the path that are given; without them it has neither."""
    given = {"PermissionsBoundaryArn": BOUNDARY, "RolePath": "/trackers/"}

    def kept(made: Stack) -> list[dict[str, str]]:
        bodies = [body for body in made.resources.values() if body["Type"] == "AWS::IAM::Role"]
        return [
            {k: v for k, v in body["Properties"].items() if k in {"PermissionsBoundary", "Path"}}
            for body in bodies
        ]

    number = 1 if group else 2
    guarded = {"PermissionsBoundary": BOUNDARY, "Path": "/trackers/"}
    assert kept(stack(CloudTrailLogGroupName=group)) == [{}] * number
    assert kept(stack(CloudTrailLogGroupName=group, **given)) == [guarded] * number


@BOTH
def test_every_bucket_needs_tls(group: str) -> None:
    """Each bucket has a policy that denies everything without TLS, to everyone."""
    made = stack(CloudTrailLogGroupName=group)
    kinds = {name: body["Type"] for name, body in made.resources.items()}
    buckets = {name for name, kind in kinds.items() if kind == "AWS::S3::Bucket"}
    denied = {}
    for name, kind in kinds.items():
        if kind == "AWS::S3::BucketPolicy":
            *_, last = statements(made[name])
            denied[made[name]["Bucket"]] = last

    assert denied == {
        f"<{name}>": {
            "Sid": "OnlyTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::<{name}>", f"arn:aws:s3:::<{name}>/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        for name in buckets
    }


@BOTH
def test_nothing_is_public(group: str) -> None:
    """Whom a policy of a resource allows anything is a service of AWS, never everybody."""
    made = stack(CloudTrailLogGroupName=group, AlarmEmail="ops@example.com")
    documents = [
        body["Properties"]["PolicyDocument"]
        for body in made.resources.values()
        if body["Type"] in {"AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"}
    ]
    allowed = [
        each
        for document in documents
        for each in document["Statement"]
        if each["Effect"] == "Allow"
    ]

    assert all(each["Principal"].keys() == {"Service"} for each in allowed)
    assert all("aws:SourceAccount" in each["Condition"]["StringEquals"] for each in allowed)
    assert statements(made["FailedEventsPolicy"])[0]["Effect"] == "Deny"
    assert len(statements(made["FailedEventsPolicy"])) == 1


@BOTH
def test_ledger(group: str) -> None:
    """The table is known by id, paid for by use, tidied up by time, and goes with the stack."""
    made = stack(CloudTrailLogGroupName=group, KmsKeyArn=KEY)

    assert made["Ledger"] == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
    }  # without an SSESpecification it is encrypted with the key that AWS owns
    assert made.resources["Ledger"]["DeletionPolicy"] == "Delete"
    assert made.resources["Ledger"]["UpdateReplacePolicy"] == "Delete"


@BOTH
def test_failed_events_are_kept(group: str) -> None:
    """Lambda tries an event for as long as it can, then puts it into the bucket."""
    made = stack(CloudTrailLogGroupName=group)

    assert made["APITrackerInvokeConfig"] == {
        "FunctionName": "<APITrackerLambdaFunction>",
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 2,
        "MaximumEventAgeInSeconds": 21_600,
        "DestinationConfig": {"OnFailure": {"Destination": "<FailedEvents.Arn>"}},
    }


def test_bucket_policy() -> None:
    """Only CloudTrail may write, for trails of this account; and nobody without TLS."""
    *allowed, denied = statements(stack()["NewTrailBucketPolicy"])

    assert {s["Action"] for s in allowed} == {"s3:GetBucketAcl", "s3:PutObject"}
    for statement in allowed:
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"
        assert statement["Condition"]["ArnLike"] == {
            "aws:SourceArn": "arn:aws:cloudtrail:us-east-1:123456789012:trail/*"
        }
    assert denied["Effect"] == "Deny"
    assert denied["Action"] == "s3:*"
    assert denied["Resource"] == [
        "arn:aws:s3:::<NewTrailBucket>",
        "arn:aws:s3:::<NewTrailBucket>/*",
    ]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@BOTH
def test_retention(group: str) -> None:
    """Every log group keeps for seven days, as the predecessor's, or for as long as is asked."""
    for days in (7, "30"):
        given = {} if days == 7 else {"LogRetentionInDays": str(days)}
        made = stack(CloudTrailLogGroupName=group, **given)
        groups = [b for b in made.resources.values() if b["Type"] == "AWS::Logs::LogGroup"]
        assert {body["Properties"]["RetentionInDays"] for body in groups} == {days}
        assert all("DeletionPolicy" in body for body in groups)


def test_key() -> None:
    """A key, where one is given, encrypts groups, trail and topic; without one none is named."""
    keyed = stack(KmsKeyArn=KEY, AlarmEmail="ops@example.com")

    assert keyed["NewTrail"]["KMSKeyId"] == KEY
    assert keyed["NewTrailCWLogGroup"]["KmsKeyId"] == KEY
    assert keyed["APITrackerCWLogs"]["KmsKeyId"] == KEY
    assert keyed["AlarmTopic"]["KmsMasterKeyId"] == KEY
    assert "kms" not in json.dumps(stack().resources["NewTrailCWLogGroup"]["Properties"]).lower()


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso"])
def test_every_partition(partition: str) -> None:
    """Every ARN is of the partition that the stack is in."""
    made = stack(**{"AWS::Partition": partition}, AlarmEmail="ops@example.com")
    text = json.dumps([body["Properties"] for body in made.resources.values()])

    assert set(re.findall(r"arn:([a-z-]+):", text)) == {partition}


def test_principal_of_logs_in_china() -> None:
    """CloudWatch Logs has a name of its own in each region, and another domain in China."""
    assert stack(**CHINA)["LambdaPermission"]["Principal"] == "logs.cn-north-1.amazonaws.com.cn"


# Parameters and the function.


def test_parameters_are_explained() -> None:
    """Each parameter has a description, a label and a place in the console's form."""
    template = read()[0]
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(template["Parameters"])
    assert interface["ParameterLabels"].keys() == template["Parameters"].keys()
    assert all(parameter["Description"] for parameter in template["Parameters"].values())


def accepts(name: str, value: str) -> bool:
    """Whether CloudFormation would take *value* for the parameter *name*."""
    parameter = read()[0]["Parameters"][name]
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        return bool(parameter["MinValue"] <= int(value) <= parameter["MaxValue"])
    long_enough = len(value) >= parameter.get("MinLength", 0)
    short_enough = len(value) <= parameter.get("MaxLength", 4_096)
    pattern = re.compile(parameter["AllowedPattern"])
    return long_enough and short_enough and bool(pattern.fullmatch(value))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "CloudTrailLogGroupName",
            ["", "CloudTrail/logs", "/aws/x_y.z-#1"],
            ["a b", "arn:aws:logs"],
        ),
        (
            "MetricNamespace",
            ["API-COUNT", "a/b"],
            ["", "AWS/Lambda", ":a", "a b", 'a"b', "a'b", "é", "a" * 241],
        ),
        (
            "IncludeRules",
            ["", "readOnly=true", "eventSource=s3.* eventName=Get[AB]?", "caller="],
            ["read", "nothing=1", "readOnly=true  a=b", " readOnly=true", "eventName"],
        ),
        ("ExcludeRules", ["", "readOnly=true"], ["nothing=1"]),
        ("MetricBudget", ["1", "5000", "25000"], ["0", "25001"]),
        (
            "KeepRules",
            ["", "eventName=StopLogging", "eventSource=iam.* awsRegion=us-*-1"],
            ["StopLogging", "caller=x", "readOnly=true", "eventName=a  eventName=b"],
        ),
        (
            "MetricSets",
            [*SETS, "api,outcomes", EVERY],
            ["", "apis", "api, outcomes", "api,", ",api", "api outcomes", "callers-throttled"],
        ),
        (
            "RecordedAccounts",
            ["", "*", "111122223333", "111122223333 4444*", "1111222233[0-4]?", "[!1]*"],
            ["a", "111122223333,444455556666", "111122223333  4*", " 1"],
        ),
        ("ThrottlesAbove", ["", "0", "100", "999999999"], ["-1", "1.5", "many"]),
        ("DenialsAbove", ["", "0", "100"], ["-1", "1e3"]),
        ("AboveMinutes", ["1", "5", "15", "60"], ["0", "2", "5m"]),
        ("CreateInsightRule", ["true", "false"], ["yes", ""]),
        ("LedgerDown", ["hold", "publish"], ["", "drop"]),
        ("AlarmEmail", ["", "a@b.c"], ["a", "a@b c", "a@b,c@d e"]),
        ("AlarmTopicArn", ["", TOPIC, "arn:aws-cn:sns:cn-north-1:123456789012:t"], ["ops", KEY]),
        ("KmsKeyArn", ["", KEY], ["alias/x", "1234abcd", TOPIC]),
        ("LogRetentionInDays", ["1", "7", "3653"], ["0", "2", "8"]),
        ("NewTrailRetentionInDays", ["1", "365", "2557"], ["0", "36501"]),
        (
            "PermissionsBoundaryArn",
            ["", BOUNDARY, "arn:aws-cn:iam::aws:policy/PowerUserAccess"],
            ["boundary", TOPIC, "arn:aws:iam::123456789012:role/r"],
        ),
        ("RolePath", ["", "/", "/trackers/", "/a/b_c/"], ["trackers", "/trackers", "//", "/a b/"]),
        ("Architecture", ["arm64", "x86_64"], ["arm", ""]),
        ("MemorySize", ["128", "10240"], ["64", "10241"]),
        ("Timeout", ["10", "900"], ["1", "901"]),
        ("CreateDashboard", ["true", "false"], ["yes", ""]),
        ("CreateAlarms", ["true", "false"], ["yes", ""]),
    ],
)
def test_parameters_are_checked(name: str, good: list[str], bad: list[str]) -> None:
    """CloudFormation takes a parameter's good values, the default too, and none of the bad."""
    default = str(read()[0]["Parameters"][name]["Default"])

    assert [value for value in [default, *good] if not accepts(name, value)] == []
    assert [value for value in bad if accepts(name, value)] == []


@pytest.mark.parametrize("name", ["IncludeRules", "ExcludeRules"])
def test_rules_take_every_field(name: str) -> None:
    """What the template takes as a rule the function takes too, and every field is taken."""
    rules = [f"{field}=x*" for field in FIELDS]

    assert all(accepts(name, rule) for rule in rules)
    assert parse_where(" ".join(rules).split()).keys() == set(FIELDS)


def test_variables_fit_the_environment() -> None:
    """With the longest values the variables are within the 4 KB that Lambda keeps for them."""
    parameters = read()[0]["Parameters"]
    longest = {
        name: "x" * parameters[name]["MaxLength"]
        for name in (
            "MetricNamespace",
            "MetricSets",
            "IncludeRules",
            "ExcludeRules",
            "KeepRules",
            "RecordedAccounts",
        )
    }
    made = stack(**longest, LedgerDown="publish", MetricBudget="25000", DenialsAbove="1")
    variables = made["APITrackerLambdaFunction"]["Environment"]["Variables"]
    table = "t" * 255
    path = "/" + "p" * (parameters["RolePath"]["MaxLength"] - 2) + "/"
    role = f"arn:aws-us-gov:iam::123456789012:role{path}" + "r" * 64
    values = {**variables, "APITRACKER_LEDGER": table, "APITRACKER_OWN_ROLE": role}

    assert len(json.dumps(values, separators=(",", ":"))) <= 4_096


def test_every_set_can_be_chosen() -> None:
    """All sets together are no longer than the parameter may be, and the function takes them."""
    made = stack(MetricSets=EVERY)["APITrackerLambdaFunction"]["Environment"]["Variables"]

    assert len(EVERY) <= read()[0]["Parameters"]["MetricSets"]["MaxLength"]
    assert select_metrics(Settings(metrics=made["APITRACKER_METRICS"])).metrics == tuple(SETS)


def test_derived_namespaces_fit() -> None:
    """Behind the longest namespace there is room, of 255 characters, for what is derived."""
    longest = read()[0]["Parameters"]["MetricNamespace"]["MaxLength"]

    assert longest + len("/Usage") <= 255
    assert longest + len("/Tracker") <= 255


def test_budgets_are_bounded_alike() -> None:
    """What the template takes as the largest budget the function takes too."""
    assert read()[0]["Parameters"]["MetricBudget"]["MaxValue"] == MOST_METRICS


def test_function() -> None:
    """The function is what `make package` builds, and each parameter is a variable of its."""
    template = read()[0]["Resources"]["APITrackerLambdaFunction"]["Properties"]
    made = stack(
        MetricNamespace="Ours",
        IncludeRules="readOnly=false",
        ExcludeRules="caller=x",
        LedgerDown="publish",
        MetricBudget="12",
        KeepRules="eventName=StopLogging",
        MetricSets="service,callers",
        RecordedAccounts="1111*",
    )
    function = made["APITrackerLambdaFunction"]

    assert template["CodeUri"] == "build/lambda"
    assert function["Handler"] == "app.handler"
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] == 256
    assert function["Timeout"] == 60
    assert function["Environment"]["Variables"] == {
        "APITRACKER_NAMESPACE": "Ours",
        "APITRACKER_METRICS": "service,callers",
        "APITRACKER_INCLUDE": "readOnly=false",
        "APITRACKER_EXCLUDE": "caller=x",
        "APITRACKER_LEDGER": "<Ledger>",
        "APITRACKER_LEDGER_DOWN": "publish",
        "APITRACKER_BUDGET": "12",
        "APITRACKER_KEEP": "eventName=StopLogging",
        "APITRACKER_RECORDED": "1111*",
        "APITRACKER_OWN_ROLE": "<APITrackerLambdaFunctionRole.Arn>",
    }


def test_variables_are_settings() -> None:
    """Each variable of the function is a setting, with the same default."""
    variables = stack()["APITrackerLambdaFunction"]["Environment"]["Variables"]
    defaults = {f"{PREFIX}{field.name.upper()}": field.default for field in fields(Settings)}
    made = {"APITRACKER_LEDGER", "APITRACKER_OWN_ROLE"}  # by the stack

    assert variables.keys() <= defaults.keys()
    assert {name: str(defaults[name]) for name in variables.keys() - made} == {
        name: str(variables[name]) for name in variables.keys() - made
    }


# Alarms, dashboard, outputs.


ALARMS = {
    "FunctionErrors": ("AWS/Lambda", "Errors"),
    "FunctionThrottled": ("AWS/Lambda", "Throttles"),
    "NoInvocations": ("AWS/Lambda", "Invocations"),
    "EventsKept": ("AWS/Lambda", "AsyncEventsDropped"),
    "EventsLost": ("AWS/Lambda", "DestinationDeliveryFailures"),
    "RecordsRejected": ("Ours/Tracker", "Rejected"),
    "CallsRefused": ("Ours/Tracker", "Refused"),
    "PagesInDoubt": ("Ours/Tracker", "InDoubt"),
    "CallsLate": ("Ours/Tracker", "Lag"),
    "BudgetReached": ("Ours/Tracker", "Other"),
}
"""What each alarm on the tracker itself watches, but for the one that calculates."""

PASSING = {"FunctionErrors", "FunctionThrottled", "NoInvocations", "CallsLate"}
"""The alarms on what can pass by itself."""

OF_THE_FUNCTION = [{"Name": "FunctionName", "Value": "<APITrackerLambdaFunction>"}]


def test_alarms() -> None:
    """The tracker is watched: what it says of itself, and what Lambda says of it."""
    made = stack(MetricNamespace="Ours")
    alarms = {
        name: body["Properties"]
        for name, body in made.resources.items()
        if body["Type"] == "AWS::CloudWatch::Alarm"
    }

    assert alarms.keys() == {*ALARMS, "BalanceBroken"}
    for name, watched in ALARMS.items():
        assert (alarms[name]["Namespace"], alarms[name]["MetricName"]) == watched
        assert alarms[name]["Dimensions"] == OF_THE_FUNCTION
    assert {name: alarms[name]["TreatMissingData"] for name in alarms} == {
        **dict.fromkeys(alarms, "notBreaching"),
        "NoInvocations": "breaching",
    }
    silent = made["NoInvocations"]
    assert 3_600 <= silent["Period"] * silent["EvaluationPeriods"] <= 86_400


@pytest.mark.parametrize("name", sorted(ALARMS.keys() - PASSING))
def test_alarms_on_what_must_not_be(name: str) -> None:
    """One is enough: an alarm on what must not happen at all fires when it happens once."""
    alarm = stack()[name]

    assert alarm["Statistic"] == "Sum"
    assert alarm["EvaluationPeriods"] == 1
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["Period"] == (86_400 if name == "BudgetReached" else 300)


def test_alarm_on_throttles() -> None:
    """It fires if Lambda holds the function back in two of three periods, not for a moment."""
    alarm = stack()["FunctionThrottled"]

    assert alarm["Statistic"] == "Sum"
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (300, 3)
    assert alarm["DatapointsToAlarm"] == 2
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_alarm_on_lateness() -> None:
    """Calls are late if a tenth of them is half an hour old, for a quarter of an hour."""
    alarm = stack()["CallsLate"]

    assert alarm["ExtendedStatistic"] == "p90"
    assert "Statistic" not in alarm
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (300, 3)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 1_800)


def test_alarm_on_the_balance() -> None:
    """It fires on what is received and not accounted for, and on what is accounted for twice."""
    alarm = stack(MetricNamespace="Ours")["BalanceBroken"]
    calculated, *metrics = alarm["Metrics"]

    assert calculated["Expression"] == (
        "ABS(received - (counted + duplicates + skipped + rejected))"
    )
    assert calculated.get("ReturnData", True) is True
    assert metrics == [
        {
            "Id": name.lower(),
            "ReturnData": False,
            "MetricStat": {
                "Metric": {
                    "Namespace": "Ours/Tracker",
                    "MetricName": name,
                    "Dimensions": OF_THE_FUNCTION,
                },
                "Stat": "Sum",
                "Period": 300,
            },
        }
        for name in ("Received", "Counted", "Duplicates", "Skipped", "Rejected")
    ]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["EvaluationPeriods"] == 1


USAGE_ALARMS = {
    "CallsThrottled": (
        "ThrottlesAbove",
        "throttled",
        'SELECT SUM(Throttled) FROM SCHEMA("Ours/Usage", awsRegion, eventSource, eventName)',
    ),
    "CallsDenied": (
        "DenialsAbove",
        "denied",
        'SELECT SUM(Denied) FROM SCHEMA("Ours/Usage", awsRegion, eventSource, eventName)',
    ),
}
"""The alarms on what is published: the parameter that asks for each, its outcome, its query."""


@pytest.mark.parametrize("name", USAGE_ALARMS)
@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_alarms_on_outcomes(name: str, minutes: int) -> None:
    """Throttles and denials are added up over all APIs, and looked for as `alarm` does it."""
    above, outcome, expression = USAGE_ALARMS[name]
    made = stack(**{above: "7"}, AboveMinutes=str(minutes), MetricNamespace="Ours")
    (outcomes,) = select_metrics(Settings(namespace="Ours", metrics="outcomes")).sets
    alarm = made[name]
    (query,) = alarm["Metrics"]

    assert query == {
        "Id": outcome,
        "Label": f"{outcome} calls",
        "Expression": expression,
        "Period": minutes * 60,
        "ReturnData": True,
    }
    assert f'"{outcomes.namespace}", {", ".join(outcomes.dimensions)})' in expression
    assert f"({outcomes.names[outcome]})" in expression
    assert alarm["EvaluationPeriods"] == evaluation_periods(minutes * 60)
    assert alarm["DatapointsToAlarm"] == 1
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", "7")
    assert alarm["TreatMissingData"] == "notBreaching"
    assert query["Period"] * alarm["EvaluationPeriods"] <= LONGEST_QUERY


@pytest.mark.parametrize(
    ("given", "metrics", "made"),
    [
        ({}, "api", set()),
        ({"MetricSets": "callers,outcomes"}, "callers,outcomes", set()),
        ({"ThrottlesAbove": "0"}, "api,outcomes", {"CallsThrottled"}),
        ({"DenialsAbove": "9", "MetricSets": "callers"}, "callers,outcomes", {"CallsDenied"}),
        (
            {"DenialsAbove": "9", "ThrottlesAbove": "9", "MetricSets": "outcomes,api"},
            "outcomes,api,outcomes",
            {"CallsDenied", "CallsThrottled"},
        ),
    ],
)
def test_alarms_on_outcomes_have_their_metrics(
    given: dict[str, str], metrics: str, made: set[str]
) -> None:
    """An alarm on throttles or denials is made if it is asked for, and so are its metrics."""
    one = stack(**given)
    function = one["APITrackerLambdaFunction"]["Environment"]["Variables"]

    assert function["APITRACKER_METRICS"] == metrics
    assert ("outcomes" in select_metrics(Settings(metrics=metrics)).metrics) or not made
    assert one.resources.keys() & USAGE_ALARMS.keys() == made


def test_alarms_on_outcomes_without_the_others() -> None:
    """Alarms on throttles and denials are told of where there are none on the tracker itself."""
    made = stack(CreateAlarms="false", AlarmEmail="ops@example.com", ThrottlesAbove="0")

    assert made["CallsThrottled"]["AlarmActions"] == ["<AlarmTopic>"]
    assert made["CallsThrottled"]["OKActions"] == ["<AlarmTopic>"]
    assert made["AlarmSubscription"]["Endpoint"] == "ops@example.com"


@pytest.mark.parametrize(
    ("name", "command"), [("CallsThrottled", "throttles"), ("CallsDenied", "denials")]
)
def test_alarms_on_outcomes_name_the_caller(name: str, command: str) -> None:
    """The alarms say which row of the dashboard and which command name the caller."""
    made = stack(ThrottlesAbove="7", DenialsAbove="7", MetricSets=EVERY)
    said = made[name]["AlarmDescription"]
    titles = [
        widget["properties"].get("title", "")
        for widget in json.loads(made["TrackerDashboard"]["DashboardBody"])["widgets"]
    ]
    rows = re.findall(r'row "([^"]+)"', said)

    assert f"apitracker {command} s3://BUCKET/PREFIX --since 1h" in said
    assert command in cli.commands
    assert made["TrackerDashboard"]["DashboardName"] in said
    assert rows
    assert all(any(title.startswith(f"{row}: ") for title in titles) for row in rows)
    assert len(said) < 900  # of 1,024, with names longer than here


LOG = "aws logs tail /aws/lambda/<APITrackerLambdaFunction> --since"


@pytest.mark.parametrize(
    ("name", "way_on"),
    [
        ("FunctionErrors", [f"{LOG} 1h", "bucket <FailedEvents>"]),
        (
            "FunctionThrottled",
            ["get-function-concurrency --function-name <APITrackerLambdaFunction>"],
        ),
        ("NoInvocations", ["log group <NewTrailCWLogGroup>"]),
        ("EventsKept", [f"{LOG} 6h", "apitracker redrive --stack cloudwatch-api-tracker"]),
        ("EventsLost", ["role <APITrackerLambdaFunctionRole>", "apitracker reconcile s3://"]),
        ("RecordsRejected", [f"{LOG} 1h --filter-pattern '{{ $.Rejected > 0 }}'"]),
        ("CallsRefused", [f"{LOG} 1h --filter-pattern '{{ $.Refused > 0 }}'"]),
        (
            "PagesInDoubt",
            [f"""{LOG} 1h --filter-pattern '{{ $.message = "in doubt" }}'""", "reconcile s3://"],
        ),
        ("CallsLate", ["apitracker verify --stack cloudwatch-api-tracker"]),
        ("BalanceBroken", [f"""{LOG} 1h --filter-pattern '{{ $.message = "tracked" }}'"""]),
        ("BudgetReached", ["5000 metrics", "API-COUNT/Usage", "KeepRules", "MetricBudget"]),
    ],
)
def test_alarms_say_what_to_do(name: str, way_on: list[str]) -> None:
    """Each alarm names the command, the log or the parameter that is the way on."""
    said = stack()[name]["AlarmDescription"]

    assert [each for each in way_on if each not in said] == []
    assert len(said) < 900  # of 1,024, with names longer than here


@pytest.mark.parametrize(("email", "topic"), list(product(["", "ops@example.com"], ["", TOPIC])))
def test_notifications(email: str, topic: str) -> None:
    """Alarms tell the topic and the address that are given, both, one or none."""
    made = stack(AlarmEmail=email, AlarmTopicArn=topic)
    told = [arn for arn in (topic, "<AlarmTopic>" if email else "") if arn]

    for name in (*ALARMS, "BalanceBroken"):
        assert made[name]["AlarmActions"] == told
        assert made[name].get("OKActions") == (told if name in PASSING else None)
    assert ("AlarmTopic" in made.resources) == bool(email)
    if email:
        assert made["AlarmSubscription"] == {
            "TopicArn": "<AlarmTopic>",
            "Protocol": "email",
            "Endpoint": email,
        }
        statement, denied = statements(made["AlarmTopicPolicy"])
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert statement["Action"] == "sns:Publish"
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
        assert denied == {
            "Sid": "OnlyTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": "<AlarmTopic>",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }


EMAIL = {"AlarmEmail": "ops@example.com"}
CONFIRMED = "ops@example.com, once it has confirmed the subscription"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "NOBODY is told. Deploy again with AlarmEmail or AlarmTopicArn"),
        (EMAIL, CONFIRMED),
        ({"AlarmTopicArn": TOPIC}, TOPIC),
        ({**EMAIL, "AlarmTopicArn": TOPIC}, f"{CONFIRMED}, and {TOPIC}"),
        (
            {**EMAIL, "CreateAlarms": "false"},
            "NOBODY is told, as the stack has no alarms. Deploy again with CreateAlarms=true",
        ),
        (
            {"CreateAlarms": "false", "DenialsAbove": "5"},
            "NOBODY is told. Deploy again with AlarmEmail or AlarmTopicArn",
        ),
        ({**EMAIL, "CreateAlarms": "false", "DenialsAbove": "5"}, CONFIRMED),
    ],
)
def test_the_stack_says_who_is_told(given: dict[str, str], said: str) -> None:
    """An output says who is told when an alarm fires, and loudly if it is nobody."""
    assert stack(**given).outputs["Notifications"] == said


def test_without_alarms_and_dashboard() -> None:
    """Alarms, their topic and the dashboard can each be left out."""
    made = stack(CreateAlarms="false", CreateDashboard="false", AlarmEmail="ops@example.com")
    kinds = {body["Type"] for body in made.resources.values()}

    assert not {kind for kind in kinds if kind.startswith(("AWS::CloudWatch::", "AWS::SNS::"))}
    assert "DashboardConsole" not in made.outputs


def widgets(**given: str) -> list[dict[str, Any]]:
    """The widgets of the dashboard."""
    found: list[dict[str, Any]] = json.loads(stack(**given)["TrackerDashboard"]["DashboardBody"])[
        "widgets"
    ]
    return found


def expressions(**given: str) -> list[str]:
    """The expressions of all widgets."""
    metrics = [m for w in widgets(**given) for m in w["properties"].get("metrics", [])]
    return [m[0]["expression"] for m in metrics if isinstance(m[0], dict)]


def test_dashboard_is_laid_out() -> None:
    """Widgets are of known types, within the grid's 24 columns, and none lies on another."""
    placed = widgets()

    assert {widget["type"] for widget in placed} == {"text", "metric", "log"}
    assert all(widget["x"] + widget["width"] <= 24 for widget in placed)
    for one, other in combinations(placed, 2):
        assert (
            one["x"] + one["width"] <= other["x"]
            or other["x"] + other["width"] <= one["x"]
            or one["y"] + one["height"] <= other["y"]
            or other["y"] + other["height"] <= one["y"]
        )


def test_dashboard_metrics() -> None:
    """Metric widgets are of the stack's region; in each, expressions have ids of their own."""
    for widget in widgets():
        properties = widget["properties"]
        if widget["type"] != "metric":
            continue
        assert properties["region"] == "us-east-1"
        assert properties["metrics"]
        ids = [m[0]["id"] for m in properties["metrics"] if isinstance(m[0], dict)]
        assert len(ids) == len(set(ids)) <= 100
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", each) for each in ids)
        assert all(isinstance(metric, list) for metric in properties["metrics"])


def test_dashboard_searches() -> None:
    """Searches are of the namespace with the dimensions that are published, and not too long."""
    schema = ",".join(API.dimensions)
    found = expressions(MetricNamespace="Ours/1")
    searches = [re.findall(r"SEARCH\('([^']*)', 'Sum'\)", expression) for expression in found]

    assert all(len(each) == 1 for each in searches)
    for (search,) in searches:
        if "/Usage" not in search:
            assert search.startswith(f'{{"Ours/1",{schema}}}')
        assert len(search) <= 1_024
        assert search.count('"') % 2 == 0
        assert search.count("(") == search.count(")")
    assert sum("SORT(" in each for each in found) == 6
    for dimension in API.dimensions:
        assert sum(f" {dimension}=" in each for each in found) > 10


def test_dashboard_of_metric_sets() -> None:
    """Throttles, denials and callers are searched for where the function publishes them."""
    shown = {}
    for widget in widgets(MetricNamespace="Ours"):
        if found := re.search(r": (.*) \(metric set (.*)\)", widget["properties"].get("title", "")):
            ((line,),) = widget["properties"]["metrics"]
            shown[found[1]] = (found[2], line["expression"])
    sets = {
        each.name: each for each in select_metrics(Settings(namespace="Ours", metrics=EVERY)).sets
    }

    def searched(name: str, metric: str) -> tuple[str, str]:
        schema = f'{{"{sets[name].namespace}",{",".join(sets[name].dimensions)}}}'
        search = f"""SEARCH('{schema} MetricName="{metric}"', 'Sum')"""
        return name, f"SLICE(SORT({search}, SUM, DESC), 0, 20)"

    assert shown == {
        "throttled calls by API": searched("outcomes", "Throttled"),
        "denied calls by API": searched("outcomes", "Denied"),
        "the 20 that are throttled most": searched("throttled-callers", "Throttled"),
        "the 20 that call most": searched("callers", "Calls"),
    }


def test_dashboard_says_which_sets_there_are() -> None:
    """The dashboard says which sets are published, one that an alarm has added among them."""
    texts = [
        widget["properties"]["markdown"]
        for widget in widgets(ThrottlesAbove="1", MetricSets="service")
        if widget["type"] == "text"
    ]

    assert [text for text in texts if "`service,outcomes`: a graph of another set" in text]


# Contributor Insights, as AWS documents the syntax:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContributorInsights-RuleSyntax.html

Field = Annotated[str, Meta(pattern=r"^\$(\.[A-Za-z0-9_]+(\[[0-9]+\])?)+$")]
Texts = Annotated[list[str], Meta(min_length=1, max_length=10)]


class RuleSchema(Struct, forbid_unknown_fields=True, rename="pascal"):
    """What every rule on logs begins with."""

    name: Literal["CloudWatchLogRule"]
    version: Literal[1]


class RuleFilter(Struct, forbid_unknown_fields=True, rename="pascal", omit_defaults=True):
    """One filter: a field, and one operator, with texts, a number, or whether it is there."""

    match: Field
    in_: Texts | UnsetType = field(default=UNSET, name="In")
    not_in: Texts | UnsetType = UNSET
    starts_with: Texts | UnsetType = UNSET
    greater_than: float | UnsetType = UNSET
    less_than: float | UnsetType = UNSET
    equal_to: float | UnsetType = UNSET
    not_equal_to: float | UnsetType = UNSET
    is_present: bool | UnsetType = UNSET


class RuleContribution(Struct, forbid_unknown_fields=True, rename="pascal"):
    """Who contributes: up to four fields, and up to four filters that must all match."""

    keys: Annotated[list[Field], Meta(min_length=1, max_length=4)]
    filters: Annotated[list[RuleFilter], Meta(max_length=4)] = []
    value_of: Field | UnsetType = UNSET


class Rule(Struct, forbid_unknown_fields=True, rename="pascal"):
    """A rule on logs."""

    schema: RuleSchema
    log_group_names: Annotated[list[str], Meta(min_length=1)]
    log_format: Literal["JSON", "CLF"]
    contribution: RuleContribution
    aggregate_on: Literal["Count", "Sum"]


@BOTH
def test_contributor_insights(group: str) -> None:
    """If it is asked for, a rule that AWS takes ranks roles by their calls of an API."""
    made = stack(CloudTrailLogGroupName=group, CreateInsightRule="true")["BusiestCallers"]
    rule = msgspec.json.decode(made["RuleBody"], type=Rule)
    role = "$.userIdentity.sessionContext.sessionIssuer.arn"

    assert "BusiestCallers" not in stack(CloudTrailLogGroupName=group).resources
    assert (made["RuleName"], made["RuleState"]) == ("cloudwatch-api-tracker-callers", "ENABLED")
    assert made["RuleBody"].isascii()
    assert len(made["RuleBody"]) + 512 <= 8_192  # the longest name of a log group is in it
    assert rule.log_group_names == [group or "<NewTrailCWLogGroup>"]
    assert rule.log_format == "JSON"
    assert rule.contribution.keys == [role, "$.eventSource", "$.eventName", "$.awsRegion"]
    assert rule.contribution.filters == [RuleFilter(role, is_present=True)]
    assert all(len(msgspec.to_builtins(each)) == 2 for each in rule.contribution.filters)
    assert (rule.aggregate_on, rule.contribution.value_of) == ("Count", UNSET)


def test_contributor_insights_says_its_price() -> None:
    """Before anybody asks for the rule its price is said."""
    said = read()[0]["Parameters"]["CreateInsightRule"]["Description"]

    assert "$0.50 a month" in said
    assert "$0.02 per million" in said


def graphed(namespace: str, **given: str) -> dict[str, set[tuple[str, ...]]]:
    """The metrics of *namespace* that the dashboard names, and their dimensions."""
    lines = [line for w in widgets(**given) for line in w["properties"].get("metrics", [])]
    found: dict[str, set[tuple[str, ...]]] = {}
    for line in lines:
        if line[0] == namespace:
            found.setdefault(line[1], set()).add(tuple(line[2:-1]))
    return found


def test_dashboard_health() -> None:
    """The dashboard shows what Lambda and the function itself say of the function."""
    one = {("FunctionName", "<APITrackerLambdaFunction>")}

    assert graphed("AWS/Lambda") == dict.fromkeys(
        [
            "Invocations",
            "Errors",
            "Throttles",
            "Duration",
            "AsyncEventAge",
            "AsyncEventsReceived",
            "AsyncEventsDropped",
            "DestinationDeliveryFailures",
        ],
        one,
    )
    assert graphed("Ours/Tracker", MetricNamespace="Ours") == dict.fromkeys(METRIC_UNITS, one)


def test_alarms_watch_what_is_written() -> None:
    """Each metric of the tracker that an alarm watches is one that the function writes."""
    made = stack()
    own = [made[name] for name, (namespace, _) in ALARMS.items() if namespace == "Ours/Tracker"]
    written = {f"{API.namespace}{OWN_METRICS}": METRIC_UNITS.keys()}

    assert all(alarm["MetricName"] in written[alarm["Namespace"]] for alarm in own)
    assert [each["Name"] for alarm in own for each in alarm["Dimensions"]] == [DIMENSION] * 5


def test_dashboard_shows_the_log() -> None:
    """The dashboard shows the lines of the function's log that somebody should look into."""
    (query,) = [w["properties"]["query"] for w in widgets() if w["type"] == "log"]

    assert query == (
        "SOURCE '<APITrackerCWLogs>' | fields @timestamp, @message"
        " | filter level in ['WARNING', 'ERROR'] or @message like '[ERROR]'"
        " or Rejected > 0 or Refused > 0"
        " | sort @timestamp desc | limit 20"
    )


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ({}, "us-east-1.console.aws.amazon.com"),
        (CHINA, "console.amazonaws.cn"),
        ({"AWS::Partition": "aws-us-gov"}, "console.amazonaws-us-gov.com"),
    ],
    ids=["aws", "aws-cn", "aws-us-gov"],
)
def test_links_to_the_console(place: dict[str, str], host: str) -> None:
    """The links lead to the partition's console, to the namespace and to the dashboard."""
    found = stack(**place, MetricNamespace="Ours/1").outputs

    assert found["MetricsConsole"].startswith(f"https://{host}/cloudwatch/home?region=")
    assert found["MetricsConsole"].endswith("namespace=~'Ours*2f1")
    assert found["DashboardConsole"].startswith(f"https://{host}/cloudwatch/home?region=")
    assert found["DashboardConsole"].endswith("#dashboards:name=<TrackerDashboard>")


def test_outputs_are_explained() -> None:
    """Each output has a description; function, groups and namespace are among them."""
    outputs = read()[0]["Outputs"]

    assert all(output["Description"] for output in outputs.values())
    assert {"FunctionName", "FunctionLogGroupName", "TrailLogGroupName", "MetricsNamespace"} <= (
        outputs.keys()
    )
    assert stack().outputs["LedgerTable"] == "<Ledger>"
    assert stack().outputs["FailedEventsBucket"] == "<FailedEvents>"


# As others judge it.


def test_no_aliases() -> None:
    """There is no YAML alias in the template: CloudFormation does not take them."""
    assert read()[2] == 0


def lint(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of the virtualenv for linters."""
    program = LINT / "bin" / command[0]
    if not program.exists():
        missing(f"no {LINT.name}: make check makes it")
    return subprocess.run(
        [program, *command[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )


def test_cfn_lint() -> None:
    """cfn-lint has nothing to say, not even for information."""
    done = lint("cfn-lint", "--include-checks", "I", "--template", TEMPLATE.name)

    assert (done.returncode, done.stdout) == (0, "")


def test_checkov() -> None:
    """Checkov finds nothing but what is suppressed, and really looks."""
    done = lint(
        "checkov",
        "-f",
        TEMPLATE.name,
        "--framework",
        "cloudformation",
        "--skip-download",
        "-o",
        "json",
    )
    found = json.loads(done.stdout)

    assert found["results"]["failed_checks"] == []
    assert found["summary"]["passed"] > 30
    assert found["summary"]["parsing_errors"] == 0


def test_suppressions_have_reasons() -> None:
    """Each suppressed check says why, in the resource that it is about."""
    for body in read()[0]["Resources"].values():
        for skip in body.get("Metadata", {}).get("checkov", {}).get("skip", []):
            assert len(skip["comment"]) > 40
        assert "cfn-lint" not in body.get("Metadata", {})


def test_suppressions_are_needed(tmp_path: Path) -> None:
    """Without its suppressions the template fails exactly the checks that are suppressed."""
    suppressed = {
        (name, skip["id"])
        for name, body in read()[0]["Resources"].items()
        for skip in body.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }
    bare = tmp_path / "bare.yaml"
    bare.write_text(TEMPLATE.read_text().replace("checkov:", "unread:"))

    done = lint(
        "checkov", "-f", str(bare), "--framework", "cloudformation", "--skip-download", "-o", "json"
    )

    failed = json.loads(done.stdout)["results"]["failed_checks"]
    assert {(f["resource"].rpartition(".")[2], f["check_id"]) for f in failed} == suppressed
