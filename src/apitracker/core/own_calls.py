"""
The calls that tracking itself causes. They are not counted.

A trail may log them. If they counted, each payload would make calls that make the next payload,
without an end.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from apitracker.settings import Settings


class Own(Struct, frozen=True):
    """The tracker, as records name it: the ARNs of its function's role and of its function."""

    role: str = ""
    function: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Own | None":
        """Return the role and the function that *settings* name, or None if they name neither."""
        if not (settings.own_role or settings.own_function):
            return None
        return cls(settings.own_role, settings.own_function)

    def named_in(self, text: str) -> bool:
        """Whether *text*, a record, names the role or the function."""
        return any(arn in text for arn in (self.role, self.function) if arn)


# All that the template allows to the function's role: the tracker calls the first four, Lambda
# calls the others in the role's name, to write the function's log and to keep events that failed.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
CALLS_BY_ROLE: Final = frozenset(
    {
        ("dynamodb.amazonaws.com", "GetItem"),
        ("dynamodb.amazonaws.com", "UpdateItem"),
        ("monitoring.amazonaws.com", "DescribeAlarms"),
        ("monitoring.amazonaws.com", "PutMetricData"),
        ("logs.amazonaws.com", "CreateLogStream"),
        ("logs.amazonaws.com", "PutLogEvents"),
        ("s3.amazonaws.com", "HeadBucket"),  # s3:ListBucket allows both
        ("s3.amazonaws.com", "ListObjects"),
        ("s3.amazonaws.com", "PutObject"),
    }
)
INVOKE: Final = ("lambda.amazonaws.com", "Invoke")  # CloudWatch Logs delivers a payload
CALLS: Final = CALLS_BY_ROLE | {INVOKE}

# Principals of CloudWatch Logs: older ones name the region.
LOGS: Final = re.compile(r"logs\.([a-z0-9-]+\.)?amazonaws\.com(\.cn)?")


def is_own(call: tuple[str, str], caller: str, details: tuple[Raw, Raw], own: Own) -> bool:
    """
    Whether *own* made *call*, an eventSource and an eventName, or was invoked by it.

    *details* are resources and requestParameters of the record.
    """
    if call == INVOKE:
        return bool(own.function and LOGS.fullmatch(caller)) and _invokes(own.function, *details)
    return bool(own.role) and caller == own.role and call in CALLS_BY_ROLE


def _invokes(function: str, resources: Raw, parameters: Raw) -> bool:
    """Whether a record of Invoke names *function*; requestParameters may be null."""
    listed = _decoded(resources)
    named = [each.get("ARN") for each in listed if isinstance(each, dict)] if listed else []
    given = _decoded(parameters)
    if isinstance(given, dict):
        named.append(given.get("functionName"))
    # A version or an alias stands behind a colon.
    return any(
        isinstance(each, str) and (each == function or each.startswith(f"{function}:"))
        for each in named
    )


def _decoded(raw: Raw) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
