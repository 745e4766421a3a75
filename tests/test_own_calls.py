"""Calls that tracking itself causes are not counted, in any form of a log."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.payloads import Json, record

from apitracker.core.counting import Query, read_log
from apitracker.core.fields import rows
from apitracker.core.metric_sets import MetricSelection
from apitracker.core.model import Log
from apitracker.core.own_calls import CALLS_BY_ROLE, Own
from apitracker.core.records import parts
from apitracker.tracker.tracking import count_log

ROLE = "arn:aws:iam::111122223333:role/tracker"
FUNCTION = "arn:aws:lambda:eu-west-1:111122223333:function:tracker"
OWN = Own(ROLE, FUNCTION)
AS_ROLE = {
    "type": "AssumedRole",
    "arn": "arn:aws:sts::111122223333:assumed-role/tracker/tracker",
    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
}


def by_role(number: int, source: str, name: str, **fields: Json) -> Json:
    """A call of the function's role."""
    return record(
        number,
        eventSource=source,
        eventName=name,
        userIdentity=AS_ROLE,
        eventCategory="Data",
        **fields,
    )


def invoke(
    number: int,
    function: str = FUNCTION,
    service: str = "logs.amazonaws.com",
    parameters: Json = None,
    **fields: Json,
) -> Json:
    """A record of Invoke in the form that AWS's services leave: the function is in resources."""
    return record(
        number,
        **{
            "eventSource": "lambda.amazonaws.com",
            "eventName": "Invoke",
            "eventCategory": "Data",
            "userIdentity": {"type": "AWSService", "invokedBy": service},
            "sourceIPAddress": service,
            "requestParameters": parameters,
            "additionalEventData": {"functionVersion": f"{function}:$LATEST"},
            "resources": [
                {"accountId": "111122223333", "type": "AWS::Lambda::Function", "ARN": function}
            ],
            **fields,
        },
    )


KEPT = by_role(
    1,
    "s3.amazonaws.com",
    "PutObject",
    requestParameters={"bucketName": "failed", "key": "aws/lambda/async/tracker/2026/11/26/e"},
)
OURS = {
    "invoked": invoke(1),
    "invoked through a region's principal": invoke(1, service="logs.eu-west-1.amazonaws.com"),
    "invoked in China": invoke(1, service="logs.cn-north-1.amazonaws.com.cn"),
    "invoked, a version": invoke(1, resources=None, parameters={"functionName": f"{FUNCTION}:7"}),
    "invoked, no resources": invoke(1, resources=[], parameters={"functionName": FUNCTION}),
    "an event that failed is kept": KEPT,
    "a batch is marked": by_role(1, "dynamodb.amazonaws.com", "UpdateItem"),
    "a batch is sent": by_role(1, "monitoring.amazonaws.com", "PutMetricData"),
    "a log stream is made": by_role(1, "logs.amazonaws.com", "CreateLogStream"),
}
THEIRS = {
    "another function": invoke(1, f"{FUNCTION}-2"),
    "no function": invoke(1, resources=[7, None, {"ARN": None}]),
    "strange resources": invoke(1, resources={"ARN": FUNCTION}, parameters=FUNCTION),
    "a person invokes it": invoke(1, userIdentity={"type": "IAMUser", "arn": "arn:aws:iam::1:u"}),
    "another service invokes it": invoke(1, service="events.amazonaws.com"),
    "a service with a like name": invoke(1, service="logs.example.com"),
    "it is updated": invoke(1, eventName="UpdateFunctionCode20150331v2"),
    "another role": KEPT | {"userIdentity": {**AS_ROLE, "sessionContext": {}}},
    "the role does something else": by_role(1, "s3.amazonaws.com", "DeleteObject"),
    "its ARN is only named": record(
        1, eventName="PutObject", requestParameters={"key": f"{ROLE} {FUNCTION}"}
    ),
}


def text(records: list[Json]) -> bytes:
    """The file of *records*."""
    return json.dumps({"Records": records}).encode()


def logs(records: list[Json]) -> dict[str, Log]:
    """The forms in which *records* may come."""
    lines = b"\n".join(json.dumps(each).encode() for each in records)
    return {
        "payload": Log("id", "payload", [json.dumps(each) for each in records]),
        "object": Log.of("object", gzip.compress(text(records))),
        "lines": Log.of("lines", lines),
    }


@pytest.mark.parametrize("form", ["payload", "object", "lines"])
@pytest.mark.parametrize("what", OURS)
def test_ours(form: str, what: str) -> None:
    """It is skipped, beside a call that counts, and counts where nobody says who we are."""
    log = logs([record(0), OURS[what], record(2)])[form]

    counts, balance = count_log(log, MetricSelection(), OWN)
    _, unknown = count_log(log, MetricSelection(), None)

    assert (balance.received, balance.counted, balance.skipped) == (3, 2, {"own": 1})
    assert {*counts.texts("eventName")} == {"GetObject"}
    assert (unknown.counted, unknown.skipped) == (3, {})


@pytest.mark.parametrize("form", ["payload", "object", "lines"])
@pytest.mark.parametrize("what", THEIRS)
def test_theirs(form: str, what: str) -> None:
    """It counts like any other call."""
    log = logs([record(0), THEIRS[what], record(2)])[form]

    _, balance = count_log(log, MetricSelection(), OWN)

    assert (balance.counted, balance.skipped) == (3, {})


@pytest.mark.parametrize("own", [Own(), Own(role=ROLE), Own(function=FUNCTION)])
def test_half_known(own: Own) -> None:
    """Where only the role or the function is known, only its calls are left out."""
    records = [invoke(1), KEPT | {"eventID": "e-2"}]
    expected = bool(own.role) + bool(own.function)

    for log in logs(records).values():
        _, balance = count_log(log, MetricSelection(), own)
        assert balance.skipped.total() == expected


def test_a_record_that_comes_twice() -> None:
    """An own call is skipped each time; a call of others is a duplicate the second time."""
    records = [invoke(1), record(2), invoke(1), record(2)]

    for log in logs(records).values():
        _, balance = count_log(log, MetricSelection(), OWN)
        assert (balance.counted, balance.duplicates, balance.skipped) == (1, 1, {"own": 2})


def test_many_pieces() -> None:
    """In a log of many pieces each own call is found where it is, and its neighbours stay."""
    records = [
        invoke(at) if at % 7 == 0 else record(at, eventName=f"N{at % 3}") for at in range(1_001)
    ]

    for log in logs(records).values():
        counts, balance = count_log(log, MetricSelection(), OWN)
        assert (balance.counted, balance.skipped) == (858, {"own": 143})
        assert counts.calls == 858


def test_files_are_read_as_payloads_are() -> None:
    """What the laptop reads leaves out the same records as the function does."""
    records = [*OURS.values(), *THEIRS.values()]
    records = [each | {"eventID": f"e-{at}"} for at, each in enumerate(records)]
    log = logs(records)["object"]
    query = Query(("eventName",), own=OWN)

    balance = read_log(log, query).balance
    _, of_payload = count_log(logs(records)["payload"], MetricSelection(), OWN)

    assert (balance.skipped, balance.received) == ({"own": 9}, 19)
    assert of_payload.skipped == {"own": 9}
    assert read_log(log, replace(query, own=None)).balance.counted == 19


def test_calls_are_as_they_are_without() -> None:
    """Looking for own calls changes nothing else about the calls that stay."""
    records = [record(at, eventName=name) for at, name in enumerate(["Invoke", "A", "PutObject"])]
    log = logs([*records, invoke(7)])["payload"]

    found = [call for part in parts(log, own=OWN) for call in part.calls]

    assert found == [call for part in parts(log) for call in part.calls][:3]
    fields = ("eventName", "caller")
    assert Counter(rows(found, fields)) == Counter(
        dict.fromkeys(
            (
                (name, "arn:aws:iam::111122223333:user/Alice")
                for name in ("Invoke", "A", "PutObject")
            ),
            1,
        )
    )


def test_all_that_the_role_may_do() -> None:
    """Each action that the template allows to the function's role is known as its own call."""
    template = (Path(__file__).parents[1] / "sam.yaml").read_text()
    role = template[template.index("  APITrackerLambdaFunctionRole:") :]
    role = role[: role.index("  APITrackerLambdaFunction:")]
    policy = template[template.index("  APITrackerLogPolicy:") :]
    policy = policy[: policy.index("  APITrackerInvokeConfig:")]
    actions = {
        action
        for given in re.findall(r"Action: \[?([^\]\n]+)", role + policy)
        for action in given.split(", ")
    }
    sources = {"cloudwatch": "monitoring"}
    names = {"s3:ListBucket": "ListObjects"}
    calls = {
        (
            f"{sources.get(action.partition(':')[0], action.partition(':')[0])}.amazonaws.com",
            names.get(action, action.partition(":")[2]),
        )
        for action in actions - {"sts:AssumeRole"}
    }

    assert calls | {("s3.amazonaws.com", "HeadBucket")} == CALLS_BY_ROLE
