"""
A deployed tracker: where its parts are, looked up once.

They are found by the name of a CloudFormation stack or, where there is no such stack, by the name
of a Lambda function. Whoever deploys without CloudFormation gives the function a tag, `GROUP_TAG`;
all else is in its settings.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from apitracker.aws import DENIED, Client, RefusedError, translate_errors
from apitracker.core.metric_sets import API, MetricSelection
from apitracker.errors import ServiceError
from apitracker.settings import PREFIX, Settings, load
from apitracker.tracker.tracking import select_metrics

# Logical ids in sam.yaml.
FUNCTION: Final = "APITrackerLambdaFunction"
GROUP: Final = "NewTrailCWLogGroup"
TRAIL: Final = "NewTrail"
LEDGER: Final = "Ledger"
FAILED_EVENTS: Final = "FailedEvents"
SUBSCRIPTION: Final = "AlarmSubscription"
# Parameters in sam.yaml.
METRIC_SETS: Final = "MetricSets"
GIVEN_GROUP: Final = "CloudTrailLogGroupName"

GROUP_TAG: Final = "apitracker:log-group"
"""The tag of a function with the name of the log group that feeds it."""

NO_STACK: Final = "ValidationError"  # CloudFormation's answer where there is no such stack
NO_FUNCTION: Final = "ResourceNotFoundException"  # Lambda's where there is no such function

_Answer = TypeVar("_Answer")

MakeClient: TypeAlias = Callable[[str], Client]
"""Makes the client of a service: `apitracker.aws.client`, or a test's."""


class NotDeployedError(ServiceError):
    """There is neither a stack nor a function of this name."""


class Deployment(Struct, frozen=True, kw_only=True):
    """
    The parts of a deployed tracker by their names in AWS, each empty if there is none.

    *alarms* are the names of the stack's own alarms, *subscription* is the ARN of their e-mail
    address. *status* is the stack's, empty for a function without a stack, and *parameters* are the
    stack's. *changed* is the time of its last deployment, in seconds since 1970.
    """

    name: str
    function: str = ""
    log_group: str = ""
    trail: str = ""
    ledger: str = ""
    subscription: str = ""
    alarms: frozenset[str] = frozenset()
    status: str = ""
    parameters: Mapping[str, str] = {}
    changed: int = 0
    seen_configuration: Mapping[str, Any] | RefusedError = {}
    seen_bucket: str | RefusedError = ""

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The function's configuration by Lambda. `RefusedError` if it may not be seen."""
        if isinstance(self.seen_configuration, RefusedError):
            raise self.seen_configuration
        return self.seen_configuration

    @property
    def failed_events(self) -> str:
        """The bucket of failed events. `RefusedError` if it may not be seen."""
        if isinstance(self.seen_bucket, RefusedError):
            raise self.seen_bucket
        return self.seen_bucket

    @property
    def settings(self) -> Settings:
        """The function's settings. `SettingsError` if one of them cannot be read."""
        settings, _ = load(variables(self.configuration))
        return settings

    @property
    def selection(self) -> MetricSelection:
        """
        The metrics that the function publishes.

        `SettingsError` if one of its settings cannot be read; the predecessor has none.
        """
        return select_metrics(self.settings)

    @property
    def namespace(self) -> str:
        """The namespace that the function publishes to."""
        return namespace_of(self.configuration)


def find(name: str, client: MakeClient) -> Deployment:
    """
    Find the tracker in the stack *name* or, if there is none, the function *name*.

    `NotDeployedError` if there is neither, `RefusedError` if it may not be seen.
    """
    try:
        return _find_stack(name, client("cloudformation"), client("lambda"))
    except RefusedError as refused:
        return _find_function(name, client("lambda"), no_stack=refused)


def variables(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a function."""
    found: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
    return found


def namespace_of(configuration: Mapping[str, Any]) -> str:
    """Return the namespace of a tracker; the predecessor's cannot be set."""
    return variables(configuration).get(f"{PREFIX}NAMESPACE") or API.namespace


def command_adding(metric_set: str, deployment: Deployment) -> str:
    """
    Write the command that adds *metric_set* to the published ones, and changes nothing else.
    """
    if not deployment.status:
        value = f"{deployment.settings.metrics},{metric_set}"
        return f"set {PREFIX}METRICS={value} in the environment of {deployment.function}"
    if METRIC_SETS not in deployment.parameters:
        return f"deploy this version over it, with MetricSets=api,{metric_set}"
    kept = [
        f"ParameterKey={name},UsePreviousValue=true"
        for name in deployment.parameters
        if name != METRIC_SETS
    ]
    value = f"{deployment.parameters[METRIC_SETS]},{metric_set}"
    given = f"'ParameterKey={METRIC_SETS},ParameterValue=\"{value}\"'"
    return (
        f"aws cloudformation update-stack --stack-name {deployment.name} --use-previous-template "
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND "
        f"--parameters {' '.join([given, *kept])}"
    )


def _find_stack(name: str, cloudformation: Client, functions: Client) -> Deployment:
    with translate_errors("cloudformation:DescribeStacks"):
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    with translate_errors("cloudformation:DescribeStackResources"):
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    names = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in resources}
    alarms = [each for each in resources if each["ResourceType"] == "AWS::CloudWatch::Alarm"]
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}
    function = names.get(FUNCTION, "")
    return Deployment(
        name=name,
        function=function,
        log_group=parameters.get(GIVEN_GROUP) or names.get(GROUP, ""),
        trail=names.get(TRAIL, ""),
        ledger=names.get(LEDGER, ""),
        subscription=names.get(SUBSCRIPTION, ""),
        alarms=frozenset(each.get("PhysicalResourceId", "") for each in alarms),
        status=stack["StackStatus"],
        parameters=parameters,
        changed=int((stack.get("LastUpdatedTime") or stack["CreationTime"]).timestamp()),
        seen_configuration=_seen(partial(_configuration, function, functions)) if function else {},
        seen_bucket=names.get(FAILED_EVENTS, ""),
    )


def _find_function(name: str, functions: Client, *, no_stack: RefusedError) -> Deployment:
    try:
        configuration = _configuration(name, functions)
    except RefusedError as e:
        if no_stack.code != NO_STACK:
            raise no_stack from e
        unseen = f" ({e})" if e.code in DENIED else ""
        raise NotDeployedError(
            f"there is no stack or function {name} here{unseen}: deploy it, or give its name with "
            "--stack and its region with AWS_REGION"
        ) from e
    with translate_errors("lambda:ListTags"):
        tags = functions.list_tags(Resource=configuration["FunctionArn"])["Tags"]
    return Deployment(
        name=name,
        function=configuration["FunctionName"],
        log_group=tags.get(GROUP_TAG, ""),
        ledger=variables(configuration).get(f"{PREFIX}LEDGER", ""),
        changed=int(datetime.fromisoformat(configuration["LastModified"]).timestamp()),
        seen_configuration=configuration,
        seen_bucket=_seen(partial(_failure_destination, name, functions)),
    )


def _configuration(function: str, functions: Client) -> dict[str, Any]:
    with translate_errors("lambda:GetFunctionConfiguration"):
        found: dict[str, Any] = functions.get_function_configuration(FunctionName=function)
    return found


def _failure_destination(function: str, functions: Client) -> str:
    """Return the bucket that Lambda keeps failed events in, or an empty text."""
    try:
        with translate_errors("lambda:GetFunctionEventInvokeConfig"):
            found = functions.get_function_event_invoke_config(FunctionName=function)
    except RefusedError as e:
        if e.code == NO_FUNCTION:  # which also stands for a function without such a configuration
            return ""
        raise
    on_failure: dict[str, str] = found.get("DestinationConfig", {}).get("OnFailure", {})
    return on_failure.get("Destination", "").partition(":s3:::")[2]


def _seen(look: Callable[[], _Answer]) -> _Answer | RefusedError:
    """Return the answer of *look*, or AWS's refusal, to be raised where the answer is needed."""
    try:
        return look()
    except RefusedError as e:
        return e
