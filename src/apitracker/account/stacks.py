"""What a deployed stack is made of."""

from typing import Final

from msgspec import Struct

from apitracker.account.clients import Client, RefusedError, asking
from apitracker.errors import ServiceError

# Logical ids in sam.yaml.
FUNCTION: Final = "APITrackerLambdaFunction"
FILTER: Final = "CloudTrailLogFilter"
GROUP: Final = "NewTrailCWLogGroup"
TRAIL: Final = "NewTrail"
LEDGER: Final = "Ledger"
FAILED_EVENTS: Final = "FailedEvents"
MISSING: Final = "ValidationError"  # what CloudFormation answers when there is no such stack


class Resource(Struct, frozen=True):
    """One resource: its name in AWS, which is empty until it is made, and its type."""

    name: str
    type: str


class Stack(Struct, frozen=True):
    """A stack, with its resources by logical id and the values of its parameters."""

    name: str
    status: str
    resources: dict[str, Resource]
    parameters: dict[str, str]

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
