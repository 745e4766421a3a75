"""The names by which an alarm finds the calls of an API. That AWS is asked is in aws/."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.real import DATA, records

from apitracker.cli.main import cli
from apitracker.errors import UsageError
from apitracker.operations import api_names
from apitracker.operations.api_names import Resolved, parse_region, resolve

EC2 = "ec2.amazonaws.com"
LAMBDA = "lambda.amazonaws.com"
S3 = "s3.amazonaws.com"
V2 = "UpdateFunctionCode20150331v2"


@pytest.mark.parametrize(
    ("source", "name", "known", "names"),
    [
        (EC2, "RunInstances", [], ["RunInstances"]),
        ("elasticloadbalancing.amazonaws.com", "CreateRule", [], ["CreateRule"]),
        ("monitoring.amazonaws.com", "PutMetricAlarm", [], ["PutMetricAlarm"]),
        ("bedrock.amazonaws.com", "InvokeModel", [], ["InvokeModel"]),
        ("dynamodb.amazonaws.com", "GetRecords", [], ["GetRecords"]),
        (S3, "PutBucketPublicAccessBlock", [], ["PutBucketPublicAccessBlock"]),
        ("signin.amazonaws.com", "ConsoleLogin", ["ConsoleLogin"], ["ConsoleLogin"]),
        (S3, "ListAllMyBuckets", ["ListAllMyBuckets"], ["ListAllMyBuckets"]),
        ("x.example.com", "Grüße", ["Gr__e~f83e039796c6"], ["Gr__e~f83e039796c6"]),
        (LAMBDA, "UpdateFunctionCode", [V2, "Invoke"], [V2]),
        (
            LAMBDA,
            "UpdateFunctionCode",
            [V2, "UpdateFunctionCode20150331", "UpdateFunctionConfiguration20150331v2"],
            ["UpdateFunctionCode20150331", V2],
        ),
        (LAMBDA, V2, [V2, "UpdateFunctionCode20150331"], [V2]),
        (LAMBDA, V2, [], [V2]),
        (LAMBDA, "Invoke", ["Invoke"], ["Invoke"]),
    ],
)
def test_names_that_are_known(source: str, name: str, known: list[str], names: list[str]) -> None:
    """What is published, or an API of botocore, is taken without a doubt."""
    assert resolve(source, name, known, force=False) == Resolved(tuple(names))


@pytest.mark.parametrize(
    ("source", "name", "names"),
    [
        (LAMBDA, "GetPolicy", ["GetPolicy", "GetPolicy20150331", "GetPolicy20150331v2"]),
        (
            "cloudfront.amazonaws.com",
            "CreateFunction",
            ["CreateFunction", "CreateFunction2020_05_31"],
        ),
    ],
)
def test_dated_names_before_any_is_published(source: str, name: str, names: list[str]) -> None:
    """All spellings that CloudTrail may use are watched, and that is said."""
    assert resolve(source, name, [], force=False) == Resolved(
        tuple(names),
        f"{name} has no metric yet, and CloudTrail may record it as {' or '.join(names)}: make the "
        "alarm again once it has one",
    )


@pytest.mark.parametrize(
    ("source", "name", "known", "near"),
    [
        (EC2, "DescribeInstanses", [], "did you mean DescribeInstances?"),
        (EC2, "runinstances", [], "did you mean RunInstances?"),
        ("signin.amazonaws.com", "ConsoleLogins", ["ConsoleLogin"], "did you mean ConsoleLogin?"),
        (LAMBDA, "UpdateFunctionCod", [], "did you mean UpdateFunctionCode?"),
        (S3, "ListAllMyBuckets", [], "CloudTrail records this as ListBuckets"),
        (S3, "PutBucketLifecycleConfiguration", [], "records this as PutBucketLifecycle:"),
        (S3, "PutEncryptionConfiguration", [], "records this as PutBucketEncryption:"),
        (LAMBDA, "InvokeFunction", [], "CloudTrail records this as Invoke:"),
        ("lamda.amazonaws.com", "Invoke", [], "did you mean lambda?"),
    ],
)
def test_names_that_are_nearly_one(source: str, name: str, known: list[str], near: str) -> None:
    """A misspelling, an action of IAM and a service that is none are refused with the right one."""
    with pytest.raises(UsageError) as caught:
        resolve(source, name, known, force=False)

    assert near in str(caught.value)
    assert "--force" in str(caught.value)
    assert resolve(source, name, known, force=True).names == (name,)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("signin.amazonaws.com", "ConsoleLogin"),
        ("ssm.amazonaws.com", "UpdateInstanceInformation"),
        ("billingconsole.amazonaws.com", "GetContactInformation"),
        ("iam.amazonaws.com", "PassRole"),
        ("x.example.com", "Describe"),
    ],
)
def test_names_that_nobody_knows(source: str, name: str) -> None:
    """Botocore does not have all that CloudTrail records: the name is taken, with a doubt."""
    resolved = resolve(source, name, ["Describe20150331"], force=False)

    assert resolved.names == (name,)
    assert resolved.doubt == (
        f"{source}:{name} is neither an API that botocore knows nor a metric of the last two "
        "weeks: the alarm never fires unless CloudTrail records exactly this name"
    )


def test_no_name_is_recorded_as_itself_or_twice_removed() -> None:
    """What CloudTrail records an action as is recorded as such."""
    for recorded in api_names.RECORDED_AS.values():
        assert set(recorded) & set(recorded.values()) == set()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_no_name_that_aws_recorded_is_refused() -> None:
    """No name in the records that S3 wrote, which have an eventID, is said to be another."""
    recorded = api_names.RECORDED_AS[S3]
    found = {e["eventName"] for e in records() if e["eventSource"] == S3 and "eventID" in e}

    assert len(found) > 10
    assert found & set(recorded) == set()


@pytest.mark.parametrize("text", ["us-east-1", "eusc-de-east-1", "us-isob-west-1", "cn-north-1"])
def test_regions(text: str) -> None:
    """A region of any partition is known."""
    assert parse_region(text, force=False) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("all", "--region all: not a region; for all together give --any-region"),
        ("ANY", "--region ANY: not a region; for all together give --any-region"),
        ("*", "--region *: not a region; for all together give --any-region"),
        ("EU-WEST-1", "--region EU-WEST-1: not a region; did you mean eu-west-1?"),
        ("useast1", "--region useast1: not a region; did you mean us-east-1?"),
        ("global", "--region global: not a region; write it as in eu-west-1"),
        (
            "eu-wst-1",
            (
                "--region eu-wst-1: not a region that botocore knows; did you mean eu-west-1? "
                "--force takes it as it is"
            ),
        ),
    ],
)
def test_no_regions(text: str, message: str) -> None:
    """What is not a region is refused, with the one that was probably meant."""
    with pytest.raises(UsageError) as caught:
        parse_region(text, force=False)

    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["eu-west-9", "th-central-1"])
def test_a_new_region(text: str) -> None:
    """AWS may have opened a region since: it is taken, with a doubt."""
    assert parse_region(text, force=False) == (
        f"{text} is not a region that botocore knows: the alarm never fires if there is none"
    )


def test_a_region_by_force() -> None:
    """A misspelt region can be forced; all regions cannot be one."""
    assert "not a region that botocore knows" in parse_region("eu-wst-1", force=True)
    with pytest.raises(UsageError):
        parse_region("all", force=True)


@pytest.mark.parametrize(
    ("source", "region", "instead"),
    [
        ("iam.amazonaws.com", "eu-west-1", "us-east-1"),
        ("cloudfront.amazonaws.com", "eu-west-1", "us-east-1"),
        ("iam.amazonaws.com", "us-east-1", ""),
        ("iam.amazonaws.com", "cn-north-1", ""),
        ("iam.amazonaws.com", "us-gov-west-1", ""),
        (EC2, "eu-west-1", ""),
    ],
)
def test_where_global_services_are_recorded(source: str, region: str, instead: str) -> None:
    """An alarm on IAM in another region of the same partition would never fire."""
    assert api_names.region_of(source, region) == instead


def test_a_dry_run_without_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a region, credentials and a readable profile an alarm is checked and printed."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli, ["alarm", *arguments, "--above", "1", "--dry-run"])
        return done.exit_code, done.stdout, done.stderr

    code, printed, said = run("ec2:RunInstances", "--any-region")
    assert (code, '"AlarmName": "API-COUNT ec2.amazonaws.com' in printed) == (0, True)
    assert said.startswith("warning: AWS was not asked which names and metric sets are published: ")
    code, printed, said = run("ec2:RunInstances", "--region", "eu-west-1")
    assert (code, '"MetricName": "RunInstances"' in printed) == (0, True)
    code, printed, said = run("ec2:RunInstances")
    assert (code, printed) == (2, "")
    assert "no region is named: give --region or --any-region" in said
