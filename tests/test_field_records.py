"""Records rebuilt from public reports, and what they must count as."""

import json
from pathlib import Path

import pytest
from tests.logs import decode, group
from tests.real import DATA

from apitracker.core.model import Decoded, Log
from apitracker.core.outcomes import classify
from apitracker.core.selection import ALL
from apitracker.errors import LogError
from apitracker.jobs.incidents import find_incidents
from apitracker.jobs.ingest import ingest_query
from apitracker.logs.sources import find_all
from apitracker.logs.workers import read_all

FIELD = DATA / "field"

pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason=f"{FIELD} is not here")


def read(path: Path) -> Decoded:
    """What the log at *path* decodes to."""
    return decode(Log.of(path.name, path.read_bytes()))


def test_failed_sign_ins() -> None:
    """One of two console sign-ins failed, one of two of Identity Center, and one of its portal."""
    calls = read(FIELD / "signin" / "log.json").calls

    assert group(calls, ("eventName", "outcome")) == {
        ("ConsoleLogin", "failed"): 1,
        ("ConsoleLogin", "ok"): 1,
        ("CheckMfa", "ok"): 1,
        ("CredentialVerification", "failed"): 1,
        ("CredentialVerification", "ok"): 1,
        ("Authenticate", "failed"): 1,
    }
    assert len({call.caller for call in calls}) == 6


def test_people_and_roles_are_told_apart() -> None:
    """21 calls are by 17 callers, of whom deployer has two spellings and three are nobody."""
    calls = read(FIELD / "identities" / "log.json").calls
    provider = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-east-1.amazonaws.com"
    cluster = f"{provider}/id/EXAMPLED539D4633E53DE1B71EXAMPLE"

    assert group(calls, ["caller"]) == {
        ("u-1",): 1,
        ("u-2",): 1,
        ("anna@example.com",): 1,
        ("bert@example.com",): 1,
        ("accounts.google.com:app-id:1111",): 1,
        (f"{cluster}:sts.amazonaws.com:system:serviceaccount:kube-system:autoscaler",): 1,
        ("SampleUkh1i4=:anna@example.com",): 1,
        ("AROAEXAMPLEEXAMPLE009",): 1,
        ("AWSAccount ANONYMOUS_PRINCIPAL",): 1,
        ("autoscaling.amazonaws.com",): 1,
        ("arn:aws:iam::111122223333:user/alice",): 1,
        ("dora",): 1,
        ("arn:aws:sts::111122223333:assumed-role/deployer",): 3,
        ("arn:aws:iam::111122223333:role/ci/deployer",): 1,
        ("arn:aws:iam::111122223333:root",): 1,
        ("carl",): 1,
        ("",): 3,
    }


def test_service_linked_roles_are_not_blamed() -> None:
    """Of 1,020 calls 900 do not use up EC2's limits: the scanner is first among the others."""
    found = find_all([str(FIELD / "service-linked" / "log.json")])
    read = read_all(found, ingest_query(10_000_000), processes=1)

    (incident,), _ = find_incidents(read, "throttled", ALL)

    role = "arn:aws:iam::111122223333:role/"
    linked = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    assert (incident.refused, incident.calls) == (20, 1_020)
    assert [(c.caller, c.calls, c.refused) for c in incident.callers] == [
        (f"{role}scanner", 100, 0),
        (f"{role}deployer", 20, 20),
    ]
    assert [(o.caller, o.calls, o.refused) for o in incident.outside] == [(role + linked, 900, 0)]


@pytest.mark.parametrize("name", ["minio.json", "s3.json"])
def test_notices_are_rejected(name: str) -> None:
    """A notice to a function or a queue is no call, whoever sends it."""
    decoded = read(FIELD / "notices" / name)

    assert decoded.calls == []
    (rejected,) = decoded.rejected
    assert rejected.reason.startswith("is a notice of ")


def test_an_event_of_a_queue_is_named() -> None:
    """An event of SQS holds notices, and no record: it is refused for what it is."""
    with pytest.raises(LogError, match=r"is an event of SQS, which holds notices"):
        read(FIELD / "notices" / "sqs.json")


def test_error_codes() -> None:
    """Each call has the outcome that its eventName ends with."""
    calls = read(FIELD / "errorcodes" / "log.json").calls

    assert len(calls) == 58
    assert [
        call
        for call in calls
        if not call.eventName.endswith(classify(call.errorCode, call.eventSource))
    ] == []


def test_security_hub() -> None:
    """A call of an account that has not enabled Security Hub is denied."""
    path = FIELD / "errorcodes" / "securityhub.json"
    calls = read(path).calls

    assert group(calls, ["outcome"]) == {("denied",): 1}
    assert json.loads(path.read_bytes())["errorCode"] == "InvalidAccessException"
