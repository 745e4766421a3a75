"""The quotas that AWS documents, and none where nothing is documented."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from apitracker.core import quotas
from apitracker.core.names import DATED
from apitracker.core.quotas import bucket_of, describe_quota, quota

EC2 = "ec2.amazonaws.com"
KMS = "kms.amazonaws.com"
LAMBDA = "lambda.amazonaws.com"
STS = "sts.amazonaws.com"
S3 = "s3.amazonaws.com"
DATA: dict[str, dict[str, Any]] = json.loads(
    Path(quotas.__file__).with_name(quotas.QUOTAS_FILE).read_bytes()
)["services"]
MODELS = {"monitoring": "cloudwatch"}
"""The services that botocore names otherwise than eventSource does."""


def operations(source: str) -> set[str]:
    """Return the APIs of a service, as botocore knows them."""
    label = source.partition(".")[0]
    model = botocore.session.get_session().get_service_model(MODELS.get(label, label))
    return set(model.operation_names)


@pytest.mark.parametrize(
    ("api", "burst", "rate"),
    [
        ("DescribeHosts", 100, 20),  # the documentation's own example
        ("DescribeInstances", 100, 20),
        ("AllocateHosts", 50, 5),
        ("CreateKeyPair", 50, 5),
        ("RunInstances", 5, 2),
        ("CreateVpcEndpoint", 4, 0.3),
        ("CreateTags", 100, 10),
        ("DescribeByoipCidrs", 1, 0.5),
        ("TerminateInstances", 100, 5),
    ],
)
def test_ec2_buckets(api: str, burst: int, rate: float) -> None:
    """An API that is named has its own bucket, any other that of reading or of changing."""
    found = quota(EC2, api)

    assert found is not None
    assert (found.burst, found.rate, found.shared) == (burst, rate, ())


def test_words() -> None:
    """A quota in words: the rate and whose it is, who shares it, what else is known."""
    ec2 = quota(EC2, "DescribeInstances")
    sts = quota("sts.amazonaws.com", "AssumeRole")
    cidr = quota(EC2, "WithdrawByoipCidr")
    assert ec2 is not None
    assert sts is not None
    assert cidr is not None

    assert list(describe_quota(ec2)) == [
        "100 requests at once, then 20 a second per account and region",
        "50 at once, then 10 a second with neither filter nor page",
    ]
    rate, shared, _ = describe_quota(sts)
    assert rate == "600 requests a second per account and region"
    assert shared == (
        "shared with DecodeAuthorizationMessage, GetAccessKeyInfo, GetCallerIdentity, "
        "GetFederationToken, GetSessionToken"
    )
    assert list(describe_quota(cidr)) == [
        "1 request at once, then 0.1 a second per account and region"
    ]


@pytest.mark.parametrize(
    ("region", "rate"), [("us-east-1", 100_000), ("eu-central-1", 20_000), ("eu-north-1", 10_000)]
)
def test_kms_by_region(region: str, rate: int) -> None:
    """What encrypts shares one quota, which depends on the region; the others have their own."""
    decrypt = quota(KMS, "Decrypt", region)
    describe_key = quota(KMS, "DescribeKey", region)
    assert decrypt is not None
    assert describe_key is not None

    assert decrypt.rate == rate
    assert "GenerateDataKey" in decrypt.shared
    assert (describe_key.rate, describe_key.shared) == (2_000, ())


@pytest.mark.parametrize(
    ("source", "api", "rate"),
    [
        ("cloudtrail.amazonaws.com", "LookupEvents", 2),
        ("lambda.amazonaws.com", "GetFunction20150331v2", 100),
        ("lambda.amazonaws.com", "GetPolicy20150331v2", 15),
        ("lambda.amazonaws.com", "ListFunctions20150331", 15),
        ("monitoring.amazonaws.com", "DescribeAlarms", 9),
        ("monitoring.amazonaws.com", "PutMetricData", 500),
        ("s3.amazonaws.com", "PutObject", 3_500),
        ("s3.amazonaws.com", "GetObject", 5_500),
    ],
)
def test_rates(source: str, api: str, rate: int) -> None:
    """The rates of some other services."""
    found = quota(source, api)

    assert found is not None
    assert (found.burst, found.rate) == (None, rate)
    assert json.dumps(found.rate) == str(rate)


@pytest.mark.parametrize(
    ("source", "api"),
    [
        ("", ""),
        (EC2, ""),
        ("ssm.amazonaws.com", "GetParameter"),
        ("cloudtrail.amazonaws.com", "GetTrail"),
        ("kms.amazonaws.com", "GenerateDataKeyPair"),  # its rate depends on the kind of key
        ("lambda.amazonaws.com", "Invoke"),
        ("lambda.amazonaws.com", "GetDurableExecution"),
        ("s3.amazonaws.com", "GetBucketAcl"),
        ("sts.amazonaws.com", "AssumeRoleWithSAML"),
        ("monitoring.amazonaws.com", "Other"),
    ],
)
def test_silence(source: str, api: str) -> None:
    """Nothing is said of what is not documented."""
    assert quota(source, api) is None


@pytest.mark.parametrize("source", DATA)
def test_names_are_operations(source: str) -> None:
    """Every API in the file is an operation of its service, as botocore knows it."""
    named = {api for row in DATA[source]["quotas"] for api in row.get("apis", [])}
    noted = {api for row in DATA[source]["quotas"] for api in row.get("notes", {})}

    assert named
    assert named - operations(source) == set()
    assert noted - named == set()


@pytest.mark.parametrize("source", DATA)
def test_every_row_counts(source: str) -> None:
    """Every row is the quota of some API, and no API is named twice."""
    rows = DATA[source]["quotas"]
    named = [api for row in rows for api in row.get("apis", [])]
    found = [quota(source, api) for api in operations(source)]
    rates = {(each.rate, each.burst) for each in found if each}

    assert len(named) == len(set(named))
    assert {(row["rate"], row.get("burst")) for row in rows} <= rates


@pytest.mark.parametrize("source", DATA)
def test_every_quota_has_its_source(source: str) -> None:
    """Each quota has a page of AWS's documentation, and the day on which it was looked up."""
    found = [each for api in operations(source) if (each := quota(source, api))]

    assert found
    assert all(each.source.startswith("https://docs.aws.amazon.com/") for each in found)
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", each.date) for each in found)


# --- buckets ------------------------------------------------------------------------------------


def members(source: str, bucket: str) -> set[str]:
    """Return the APIs of *source* that draw on *bucket*."""
    return {api for api in operations(source) if bucket_of(source, api) == bucket}


@pytest.mark.parametrize(
    ("source", "bucket", "expected"),
    [
        (STS, "sts.amazonaws.com:requests", {"AssumeRole", "GetCallerIdentity"}),
        (KMS, "kms.amazonaws.com:symmetric", {"Decrypt", "ReEncrypt", "GenerateMac"}),
        (KMS, "kms.amazonaws.com:DescribeKey", {"DescribeKey"}),
        (S3, "s3.amazonaws.com:reads", {"GetObject", "HeadObject"}),
        (EC2, "ec2.amazonaws.com:DescribeInstances", {"DescribeInstances"}),
        (LAMBDA, "lambda.amazonaws.com:management", {"ListFunctions", "CreateFunction"}),
        (LAMBDA, "lambda.amazonaws.com:GetFunction", {"GetFunction"}),
    ],
)
def test_members_of_a_bucket(source: str, bucket: str, expected: set[str]) -> None:
    """A bucket has an id; calls of all APIs with that id draw on it, and no others."""
    found = members(source, bucket)

    assert expected <= found
    for api in found:
        drawn = quota(source, api)
        assert drawn is not None
        assert drawn.bucket == bucket
        if bucket.endswith(f":{api}"):
            assert found == {api}


@pytest.mark.parametrize("source", [STS, KMS])
def test_a_shared_bucket_names_the_others(source: str) -> None:
    """The APIs that a quota is shared with are the others of its bucket."""
    for api in operations(source):
        found = quota(source, api)
        if found:
            assert {api, *found.shared} == members(source, found.bucket)


def test_lambda_shares_what_is_not_named() -> None:
    """Lambda's bucket has every API of its management, however its name is dated, and no other."""
    bucket = "lambda.amazonaws.com:management"

    assert LAMBDA in DATED
    assert bucket_of(LAMBDA, "ListFunctions20150331") == bucket
    assert bucket_of(LAMBDA, "GetFunction20150331v2") == "lambda.amazonaws.com:GetFunction"
    assert members(LAMBDA, bucket).isdisjoint({"GetFunction", "GetPolicy", "Invoke"})
    assert bucket_of(LAMBDA, "InvokeAsync") == ""
    assert bucket_of("ssm.amazonaws.com", "GetParameter") == ""


def test_an_import_reads_no_file() -> None:
    """The file is read for the first quota, not when the core is imported."""
    script = (
        "import sys; from apitracker.core import quotas\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        "quotas.is_outside('ec2.amazonaws.com', 'ec2.amazonaws.com')\n"
        "assert quotas._load_services.cache_info().misses == 0\n"
        "quotas.quota('sts.amazonaws.com', 'AssumeRole')\n"
        "quotas.quota('kms.amazonaws.com', 'Decrypt')\n"
        "print(sum(name.endswith('quotas.json') for name in opened))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("module", ["apitracker.cli.main", "apitracker.tracker.handler"])
def test_only_answers_load_quotas(module: str) -> None:
    """Neither help nor the Lambda loads quotas, the scenario or prices."""
    script = (
        f"import sys, {module}\n"
        "print([m for m in sys.modules if m.startswith(('apitracker.costs', 'apitracker.synth'))"
        " or m == 'apitracker.core.quotas'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")
