"""What AWS lets through by default, as documented, and nothing where nothing is documented."""

import botocore.session
import pytest

from apitracker.core import quotas
from apitracker.core.quotas import describe, quota

EC2 = "ec2.amazonaws.com"
KMS = "kms.amazonaws.com"
TABLES = {
    "ec2": set(quotas.EC2_BUCKETS),
    "kms": {*quotas.KMS_SYMMETRIC, *quotas.KMS_RATES},
    "cloudwatch": set(quotas.CLOUDWATCH_RATES),
    "sts": set(quotas.STS_SHARED),
}


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

    assert list(describe(ec2)) == [
        "100 requests at once, then 20 a second per account and region",
        "50 at once, then 10 a second with neither filter nor page",
    ]
    rate, shared, _ = describe(sts)
    assert rate == "600 requests a second per account and region"
    assert shared == (
        "shared with DecodeAuthorizationMessage, GetAccessKeyInfo, GetCallerIdentity, "
        "GetFederationToken, GetSessionToken"
    )
    assert list(describe(cidr)) == ["1 request at once, then 0.1 a second per account and region"]


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


@pytest.mark.parametrize("service", TABLES)
def test_names_are_operations(service: str) -> None:
    """Every API in the tables is an operation of its service, as botocore knows it."""
    known = set(botocore.session.get_session().get_service_model(service).operation_names)

    assert TABLES[service] - known == set()


def test_every_quota_has_its_source() -> None:
    """Each says on which page of AWS's documentation it stands."""
    apis = [(EC2, "RunInstances"), (KMS, "Decrypt"), (KMS, "CreateKey")]
    apis += [("sts.amazonaws.com", "AssumeRole"), ("monitoring.amazonaws.com", "ListMetrics")]
    apis += [("s3.amazonaws.com", "PutObject"), ("cloudtrail.amazonaws.com", "LookupEvents")]
    for api in apis:
        found = quota(*api)
        assert found is not None
        assert found.source.startswith("https://docs.aws.amazon.com/")
