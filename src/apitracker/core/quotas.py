"""
How many requests AWS lets through: the default rates that its public documentation gives.

A rate is there for what the documentation names, and nothing else: of other APIs we say nothing.
These are defaults; an account's own may have been raised, and a new account's may be lower. Each
has the page that it stands on, as published copies of that page had it by November 2026.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from apitracker.core.names import undated


class Quota(Struct, frozen=True):
    """
    What an API lets through by default: *rate* requests a second, for each *per*.

    *burst* is how many pass at once from a full bucket, None where there is no bucket of another
    size. *shared* are the other APIs that draw on it; *note* is what else there is to know of it;
    *source* is the page that says so.
    """

    rate: float
    burst: int | None
    shared: tuple[str, ...]
    note: str
    source: str
    per: str = "account and region"


def quota(source: str, name: str, region: str = "") -> Quota | None:
    """Give the default quota of the API *name* of the eventSource *source*, None if not known."""
    make = _SERVICES.get(source)
    return make(name, region) if make and name else None


# Who calls EC2 outside of its limits: the services of AWS, and roles linked to one, as by their own
# ARN or by that of a session, which lacks the role's path. Of other services nothing is known.
# It matches a whole caller, in Python and in DuckDB alike.
OUTSIDE_SERVICE: Final = "ec2"  # the first label of eventSource
OUTSIDE_SOURCE: Final = "https://docs.aws.amazon.com/ec2/latest/devguide/monitor.html"
OUTSIDE_CALLERS: Final = (
    r"(?s:arn:[a-z-]+:iam::[0-9]+:role/aws-service-role/.+"
    r"|arn:[a-z-]+:sts::[0-9]+:assumed-role/AWSServiceRoleFor.+"
    r"|[a-z0-9.-]+\.amazonaws\.com(\.cn)?)"
)
_is_outside_caller = re.compile(OUTSIDE_CALLERS).fullmatch


def is_outside(source: str, caller: str) -> bool:
    """Tell whether calls by *caller* to the eventSource *source* do not count toward its quotas."""
    return source.partition(".")[0] == OUTSIDE_SERVICE and bool(_is_outside_caller(caller))


def describe(quota: Quota) -> Iterator[str]:
    """Say in words what *quota* is, a line for each thing there is to say."""
    requests = "request" if (quota.burst or quota.rate) == 1 else "requests"
    if quota.burst:
        text = f"{quota.burst:,} {requests} at once, then {quota.rate:,g} a second"
    else:
        text = f"{quota.rate:,g} {requests} a second"
    yield f"{text} per {quota.per}"
    if quota.shared:
        yield f"shared with {', '.join(quota.shared)}"
    if quota.note:
        yield quota.note


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# --- EC2 ----------------------------------------------------------------------------------------
# A bucket belongs to one API, and the callers of an account in a region share it.

_EC2: Final = "https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"
_READING: Final = ("Describe", "List", "Search", "Get")
_UNFILTERED: Final = frozenset(
    _words(
        "DescribeInstances DescribeInstanceStatus DescribeNetworkInterfaces DescribeSecurityGroups"
        " DescribeSnapshots DescribeSpotInstanceRequests DescribeVolumes"
    )
)
_UNFILTERED_NOTE: Final = "50 at once, then 10 a second with neither filter nor page"
_RESOURCES: Final = {
    "RunInstances": "and 1,000 instances at once, then 2 a second",
    "StartInstances": "and 1,000 instances at once, then 2 a second",
    "StopInstances": "and 1,000 instances at once, then 20 a second",
    "TerminateInstances": "and 1,000 instances at once, then 20 a second",
}
# Burst and rate, and the APIs that have a bucket of that size of their own.
_OWN: Final = (
    (1, 0.1, """
        AdvertiseByoipCidr DeprovisionByoipCidr DisableImageBlockPublicAccess
        DisableSnapshotBlockPublicAccess EnableImageBlockPublicAccess
        EnableSnapshotBlockPublicAccess ProvisionByoipCidr WithdrawByoipCidr
        """),
    (1, 0.5, """
        AssociateCapacityReservationBillingOwner DescribeByoipCidrs
        DisassociateCapacityReservationBillingOwner
        """),
    (1, 1, """
        CancelDeclarativePoliciesReport CreateDefaultSubnet CreateDefaultVpc
        DescribeInstanceTopology DescribeMovingAddresses MoveAddressToVpc RestoreAddressToClassic
        StartDeclarativePoliciesReport
        """),
    (2, 2, "ModifyInstanceMetadataDefaults"),
    (4, 0.3, "CreateVpcEndpoint DeleteVpcEndpoints ModifyVpcEndpoint"),
    (5, 1, """
        CreateCoipCidr CreateCoipPool CreateSubnetCidrReservation DeleteCoipCidr DeleteCoipPool
        DeleteSubnetCidrReservation
        """),
    (5, 2, """
        AuthorizeClientVpnIngress CreateClientVpnRoute DeleteClientVpnRoute
        DescribeHostReservations DescribeHostReservationOfferings DisableFastLaunch
        EnableFastLaunch GetHostReservationPurchasePreview PurchaseHostReservation
        RevokeClientVpnIngress RunInstances StartInstances
        """),
    (5, 5, """
        DeleteQueuedReservedInstances DescribeDeclarativePoliciesReports
        GetDeclarativePoliciesReportSummary PurchaseReservedInstancesOffering
        """),
    (10, 0.15, """
        DescribeCapacityBlockExtensionOfferings DescribeCapacityBlockOfferings
        PurchaseCapacityBlock PurchaseCapacityBlockExtension
        """),
    (10, 1, """
        AcceptVpcEndpointConnections AssignPrivateNatGatewayAddress
        AssociateEnclaveCertificateIamRole AssociateNatGatewayAddress CreateNatGateway
        CreateVpcEndpointServiceConfiguration DeleteNatGateway
        DeleteVpcEndpointServiceConfigurations DisassociateEnclaveCertificateIamRole
        DisassociateNatGatewayAddress GetAssociatedEnclaveCertificateIamRoles
        ModifyVpcEndpointServiceConfiguration RejectVpcEndpointConnections
        UnassignPrivateNatGatewayAddress
        """),
    (10, 2, """
        AttachVerifiedAccessTrustProvider CreateVerifiedAccessGroup CreateVerifiedAccessInstance
        CreateVerifiedAccessTrustProvider DeleteVerifiedAccessGroup DeleteVerifiedAccessInstance
        DeleteVerifiedAccessTrustProvider DescribeVerifiedAccessInstanceLoggingConfigurations
        DetachVerifiedAccessTrustProvider ModifyVerifiedAccessGroup ModifyVerifiedAccessInstance
        ModifyVerifiedAccessInstanceLoggingConfiguration ModifyVerifiedAccessTrustProvider
        """),
    (10, 10, """
        DescribeAggregateIdFormat DescribeIdentityIdFormat DescribeIdFormat
        DescribePrincipalIdFormat DescribeReservedInstancesOfferings
        """),
    (20, 4, """
        CreateVerifiedAccessEndpoint DeleteVerifiedAccessEndpoint ModifyVerifiedAccessEndpoint
        ModifyVerifiedAccessEndpointPolicy ModifyVerifiedAccessGroupPolicy
        """),
    (20, 5, "DescribeSecurityGroupReferences DescribeStaleSecurityGroups"),
    (50, 0.1, "CreateRestoreImageTask CreateStoreImageTask"),
    (50, 0.5, "DescribeStoreImageTasks"),
    (50, 3, """
        CreateSpotDatafeedSubscription DeleteSpotDatafeedSubscription DescribeSpotFleetRequests
        """),
    (100, 1, "CopyImage"),
    (100, 5, """
        AssignIpv6Addresses AssignPrivateIpAddresses AssociateIamInstanceProfile
        CreateLaunchTemplateVersion CreateNetworkInterface CreateSnapshot CreateSnapshots
        CreateVolume DeleteNetworkInterface DeleteSnapshot DeleteVolume DeregisterImage
        DescribeSpotFleetInstances DescribeSpotFleetRequestHistory DisassociateIamInstanceProfile
        ModifyImageAttribute ModifyInstanceMetadataOptions ModifyLaunchTemplate
        ModifyNetworkInterfaceAttribute ModifySnapshotAttribute TerminateInstances
        UnassignPrivateIpAddresses
        """),
    (100, 10, "CreateTags DeleteTags"),
    (100, 13, "DescribeSpotDatafeedSubscription"),
)  # fmt: skip
EC2_BUCKETS: Final = {name: (burst, rate) for burst, rate, names in _OWN for name in names.split()}


def _ec2(name: str, _region: str) -> Quota | None:
    note = _RESOURCES.get(name, "")
    if name in EC2_BUCKETS:
        burst, rate = EC2_BUCKETS[name]
    elif name.startswith(_READING):
        # The console's calls have a bucket of their own, which no record tells apart.
        burst, rate = 100, 20
        note = _UNFILTERED_NOTE if name in _UNFILTERED else ""
    else:
        # Those that the page calls resource-intensive have a bucket of this size as well.
        burst, rate = 50, 5
    return Quota(rate, burst, (), note, _EC2)


# --- STS ----------------------------------------------------------------------------------------

_STS: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
STS_SHARED: Final = _words(
    "AssumeRole DecodeAuthorizationMessage GetAccessKeyInfo GetCallerIdentity GetFederationToken"
    " GetSessionToken"
)


def _sts(name: str, _region: str) -> Quota | None:
    if name not in STS_SHARED:
        return None
    note = "of the caller's account; calls of AWS services do not count"
    return Quota(600, None, _others(name, STS_SHARED), note, _STS)


# --- KMS ----------------------------------------------------------------------------------------

_KMS: Final = "https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html"
KMS_SYMMETRIC: Final = _words(
    "Decrypt Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom"
    " ReEncrypt VerifyMac"
)
_SYMMETRIC_RATES: Final = dict.fromkeys(_words("us-east-1 us-west-2 eu-west-1"), 100_000) | (
    dict.fromkeys(
        _words("us-east-2 ap-southeast-1 ap-southeast-2 ap-northeast-1 eu-central-1 eu-west-2"),
        20_000,
    )
)
KMS_RATES: Final = {
    name: rate
    for rate, names in (
        (1, "GetParametersForImport"),
        (5, """
        CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateKey
        DeleteCustomKeyStore DescribeCustomKeyStores DisableKey DisableKeyRotation
        DisconnectCustomKeyStore EnableKey ReplicateKey RotateKeyOnDemand UntagResource
        UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion
        """),
        (10, "TagResource"),
        (15, """
        DeleteAlias DeleteImportedKeyMaterial EnableKeyRotation ImportKeyMaterial PutKeyPolicy
        ScheduleKeyDeletion
        """),
        (50, "CreateGrant RetireGrant RevokeGrant"),
        (100, "ListGrants ListKeyPolicies ListKeyRotations ListRetirableGrants"),
        (500, "ListAliases ListKeys"),
        (1_000, "GetKeyPolicy GetKeyRotationStatus"),
        (2_000, "DescribeKey GetPublicKey ListResourceTags"),
    )
    for name in names.split()
}  # fmt: skip


def _kms(name: str, region: str) -> Quota | None:
    if name in KMS_SYMMETRIC:
        rate = _SYMMETRIC_RATES.get(region, 10_000)
        note = "that is with symmetric keys; less with others and in a custom key store"
        return Quota(rate, None, _others(name, KMS_SYMMETRIC), note, _KMS)
    if name in KMS_RATES:
        return Quota(KMS_RATES[name], None, (), "", _KMS)
    return None


# --- CloudWatch ---------------------------------------------------------------------------------

_CLOUDWATCH: Final = "https://docs.aws.amazon.com/general/latest/gr/cw_region.html"
CLOUDWATCH_RATES: Final = {
    name: rate
    for rate, names in (
        (1, "DisableInsightRules EnableInsightRules"),
        (3, """
        DeleteAlarms DisableAlarmActions EnableAlarmActions PutCompositeAlarm PutMetricAlarm
        SetAlarmState
        """),
        (5, "DeleteAnomalyDetector DeleteInsightRules PutInsightRule"),
        (9, "DescribeAlarmContributors DescribeAlarms DescribeAlarmsForMetric"),
        (10, """
        DeleteDashboards DeleteMetricStream DescribeAnomalyDetectors GetDashboard GetMetricStream
        ListDashboards ListMetricStreams ListTagsForResource PutAnomalyDetector PutDashboard
        PutMetricStream StartMetricStreams StopMetricStreams
        """),
        (20, """
        DescribeAlarmHistory DescribeInsightRules GetInsightRuleReport GetMetricWidgetImage
        TagResource UntagResource
        """),
        (25, "ListMetrics"),
        (400, "GetMetricStatistics"),
        (500, "GetMetricData PutMetricData"),
    )
    for name in names.split()
}  # fmt: skip


def _cloudwatch(name: str, _region: str) -> Quota | None:
    rate = CLOUDWATCH_RATES.get(name)
    return Quota(rate, None, (), "", _CLOUDWATCH) if rate else None


# --- Lambda, CloudTrail, S3 ---------------------------------------------------------------------

_LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_CLOUDTRAIL: Final = (
    "https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html"
)
_S3: Final = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
_LAMBDA_RATES: Final = {"GetFunction": 100, "GetPolicy": 15}
_LAMBDA_SHARED: Final = ("all of Lambda's APIs but GetFunction, GetPolicy and Invoke",)
_LAMBDA_APART: Final = re.compile("Invoke|Durable|CapacityProvider|MicroVM", re.IGNORECASE)


def _lambda(name: str, _region: str) -> Quota | None:
    plain = undated(name)
    if _LAMBDA_APART.search(plain):
        return None
    if plain in _LAMBDA_RATES:
        return Quota(_LAMBDA_RATES[plain], None, (), "", _LAMBDA)
    return Quota(15, None, _LAMBDA_SHARED, "", _LAMBDA)


def _cloudtrail(name: str, _region: str) -> Quota | None:
    return Quota(2, None, (), "", _CLOUDTRAIL) if name == "LookupEvents" else None


def _s3(name: str, _region: str) -> Quota | None:
    rates = dict.fromkeys(_words("PutObject CopyObject DeleteObject"), 3_500) | dict.fromkeys(
        _words("GetObject HeadObject"), 5_500
    )
    if name not in rates:
        return None
    others = (
        ("GET", "HEAD") if name in {"GetObject", "HeadObject"} else _words("PUT COPY POST DELETE")
    )
    note = "at least; it grows with lasting load"
    return Quota(rates[name], None, others, note, _S3, per="partitioned prefix")


def _others(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)


_SERVICES: Final = {
    "cloudtrail.amazonaws.com": _cloudtrail,
    "ec2.amazonaws.com": _ec2,
    "kms.amazonaws.com": _kms,
    "lambda.amazonaws.com": _lambda,
    "monitoring.amazonaws.com": _cloudwatch,
    "s3.amazonaws.com": _s3,
    "sts.amazonaws.com": _sts,
}
