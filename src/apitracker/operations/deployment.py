"""What a deployed stack is made of."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from apitracker.aws import Client, RefusedError, asking
from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import ServiceError
from apitracker.settings import load
from apitracker.tracker.tracking import select_metrics

# Logical ids in sam.yaml.
FUNCTION: Final = "APITrackerLambdaFunction"
FILTER: Final = "CloudTrailLogFilter"
GROUP: Final = "NewTrailCWLogGroup"
TRAIL: Final = "NewTrail"
LEDGER: Final = "Ledger"
FAILED_EVENTS: Final = "FailedEvents"
SUBSCRIPTION: Final = "AlarmSubscription"
METRIC_SETS: Final = "MetricSets"  # a parameter
MISSING: Final = "ValidationError"  # what CloudFormation answers when there is no such stack


class Resource(Struct, frozen=True):
    """One resource: its name in AWS, which is empty until it is made, and its type."""

    name: str
    type: str


class Stack(Struct, frozen=True):
    """
    A stack, with its resources by logical id and the values of its parameters.

    *changed* is when it was last made or updated, in seconds since 1970.
    """

    name: str
    status: str
    resources: dict[str, Resource]
    parameters: dict[str, str]
    changed: int = 0

    def resource(self, logical_id: str) -> str:
        """Give the name of a resource in AWS; empty if there is none."""
        found = self.resources.get(logical_id)
        return found.name if found else ""


def describe(name: str, cloudformation: Client) -> Stack:
    """Describe the stack *name*. `RefusedError` if there is none, or it may not be seen."""
    with asking("cloudformation:DescribeStacks"):
        found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    with asking("cloudformation:DescribeStackResources"):
        listed = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return Stack(
        name,
        found["StackStatus"],
        {
            each["LogicalResourceId"]: Resource(
                each.get("PhysicalResourceId", ""), each["ResourceType"]
            )
            for each in listed
        },
        {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])},
        int((found.get("LastUpdatedTime") or found["CreationTime"]).timestamp()),
    )


def configuration(function: str, functions: Client) -> dict[str, Any]:
    """Get the configuration of the Lambda *function*. `RefusedError` if it may not be seen."""
    with asking("lambda:GetFunctionConfiguration"):
        found: dict[str, Any] = functions.get_function_configuration(FunctionName=function)
    return found


def variables(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a function."""
    found: dict[str, str] = configuration.get("Environment", {}).get("Variables", {})
    return found


def choice_of(configuration: Mapping[str, Any]) -> MetricSelection:
    """
    Return what a tracker with this *configuration* publishes.

    `SettingsError` if one of its settings cannot be read; the predecessor has none.
    """
    settings, _ = load(variables(configuration))
    return select_metrics(settings)


def command_adding(metric_set: str, stack: Stack) -> str:
    """
    Write the command that adds *metric_set* to what *stack* publishes, and changes nothing else.
    """
    if METRIC_SETS not in stack.parameters:
        return f"deploy this version over it, with MetricSets=api,{metric_set}"
    kept = [
        f"ParameterKey={name},UsePreviousValue=true"
        for name in stack.parameters
        if name != METRIC_SETS
    ]
    value = f"{stack.parameters[METRIC_SETS]},{metric_set}"
    given = f"'ParameterKey={METRIC_SETS},ParameterValue=\"{value}\"'"
    return (
        f"aws cloudformation update-stack --stack-name {stack.name} --use-previous-template "
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND "
        f"--parameters {' '.join([given, *kept])}"
    )


def require(name: str, cloudformation: Client) -> Stack:
    """Describe the stack *name*. `ServiceError` says what to do where there is none."""
    try:
        return describe(name, cloudformation)
    except RefusedError as e:
        if e.code == MISSING:
            raise ServiceError(no_stack(name)) from e
        raise


def no_stack(name: str) -> str:
    """Say that there is no stack *name*, and the way on."""
    return (
        f"there is no stack {name} here: deploy it, or give its name with --stack and its region "
        "with AWS_REGION"
    )
