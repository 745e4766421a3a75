"""
The names by which CloudTrail records an API.

An alarm on another name watches a metric that never comes.

A name is known from the metrics that are published, or from botocore's models, which are the API's
own and mostly CloudTrail's too.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from apitracker.aws import Client, known_apis, known_regions, known_services
from apitracker.core.datums import NAME_LENGTH, valid
from apitracker.core.metric_sets import API, SETS, within
from apitracker.core.names import DATED, spellings, undated
from apitracker.errors import UsageError
from apitracker.operations.cloudwatch import list_metrics

HOST: Final = ".amazonaws.com"
NEAR_NAME: Final = 0.85  # of difflib's ratio: UpdateAssociation is not UpdateInstanceAssociation
NEAR_SERVICE: Final = 0.8  # names of services are short

ALIASES: Final = {
    "accessanalyzer": "access-analyzer",
    "amp": "aps",
    "apigatewayv2": "apigateway",
    "cloudcontrol": "cloudcontrolapi",
    "cloudwatch": "monitoring",
    "configservice": "config",
    "deploy": "codedeploy",
    "docdb": "rds",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "eventbridge": "events",
    "greengrassv2": "greengrass",
    "keyspaces": "cassandra",
    "kinesisanalyticsv2": "kinesisanalytics",
    "location": "geo",
    "msk": "kafka",
    "mwaa": "airflow",
    "neptune": "rds",
    "opensearch": "es",
    "opensearchserverless": "aoss",
    "resourcegroupstaggingapi": "tagging",
    "s3api": "s3",
    "service-quotas": "servicequotas",
    "sesv2": "ses",
    "sso-admin": "sso",
    "stepfunctions": "states",
}
"""
Services by their names in the AWS CLI -> the beginning of their eventSource, where they differ.

Mostly the endpoint prefixes in botocore's models, to which a test holds them. That CloudWatch is
monitoring.amazonaws.com says
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

RECORDED_AS: Final = {
    "s3.amazonaws.com": {
        # Names of the API: Amazon S3 CloudTrail events, as copies of that page had it by 2026,
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html
        "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
        "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "ListObjectsV2": "ListObjects",
        "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
        # Actions of IAM: Actions defined by Amazon S3, November 2026,
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
        "DeleteObjectVersion": "DeleteObject",
        "GetEncryptionConfiguration": "GetBucketEncryption",
        "GetLifecycleConfiguration": "GetBucketLifecycle",
        "GetObjectVersion": "GetObject",
        "GetReplicationConfiguration": "GetBucketReplication",
        "ListAllMyBuckets": "ListBuckets",
        "ListBucket": "ListObjects",
        "ListBucketMultipartUploads": "ListMultipartUploads",
        "ListBucketVersions": "ListObjectVersions",
        "ListMultipartUploadParts": "ListParts",
        "PutEncryptionConfiguration": "PutBucketEncryption",
        "PutLifecycleConfiguration": "PutBucketLifecycle",
        "PutReplicationConfiguration": "PutBucketReplication",
    },
    "lambda.amazonaws.com": {
        # https://docs.aws.amazon.com/lambda/latest/dg/logging-using-cloudtrail.html
        "InvokeFunction": "Invoke",
    },
}
"""By eventSource: a name of the API, or an action of IAM -> the name that CloudTrail records."""


ELSEWHERE: Final = frozenset(
    {
        "account.amazonaws.com",
        "cloudfront.amazonaws.com",
        "iam.amazonaws.com",
        "organizations.amazonaws.com",
        "route53.amazonaws.com",
        "route53domains.amazonaws.com",
        "support.amazonaws.com",
    }
)
"""
Global services, whose calls CloudTrail records in us-east-1 wherever they are made.

Those of AWS's pages on CloudFront, IAM, Organizations and Route 53, and those that were seen in
us-east-1 only in public records of many regions.
"""

APART: Final = ("cn-", "eu-iso", "eusc-", "us-gov-", "us-iso")  # partitions without us-east-1


class Resolved(Struct, frozen=True):
    """The names under which an API is recorded, and a doubt about them, if there is one."""

    names: tuple[str, ...]
    doubt: str = ""


def parse_api(text: str) -> tuple[str, str]:
    """
    Read ``SERVICE:API`` into eventSource and eventName.

    SERVICE is a name as the AWS CLI has it, or an eventSource in full. `UsageError` for anything
    else.
    """
    service, colon, name = text.partition(":")
    if not (colon and name.strip()):
        raise UsageError(f"{text}: write SERVICE:API, as in ec2:RunInstances")
    if {"*", "?"} & {*name}:
        raise UsageError(f"{text}: an alarm is on one API, and takes no glob")
    if re.fullmatch(r"[A-Za-z0-9-]{1,63}", service):
        short = service.lower()
        return ALIASES.get(short, short) + HOST, name
    if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", service):
        return service, name
    raise UsageError(f"{service}: not a service; write ec2, or an eventSource: ec2.amazonaws.com")


def published_names(source: str, namespace: str, cloudwatch: Client) -> set[str]:
    """
    List the API names of *source* with a metric in the tracker's *namespace* in the last two weeks.

    They are as published, in any region, by the sets `api` and `outcomes`. `ServiceError` if AWS
    cannot be asked.
    """
    found = set()
    for metric_set in (within(API, namespace), within(SETS["outcomes"], namespace)):
        listed = list_metrics(
            cloudwatch,
            metric_set.namespace,
            Dimensions=[{"Name": "eventSource", "Value": source}],
        )
        for metric in listed:
            dimensions = dict(metric.dimensions)
            if {*dimensions} == {*metric_set.dimensions}:
                found.add(dimensions.get("eventName", metric.name))
    return found


def resolve(source: str, name: str, known: Collection[str], *, force: bool) -> Resolved:
    """
    Find the names under which CloudTrail records the API *name* of the eventSource *source*.

    *known* are names that are published. `UsageError` for a name that no API has and one nearly
    has, unless *force*; any other unknown name is taken, with a doubt.
    """
    written = valid(name, NAME_LENGTH)
    spelled = {each for each in known if source in DATED and undated(each) == written}
    if found := sorted({each for each in known if each == written} | spelled):
        return Resolved(tuple(found))
    recorded = RECORDED_AS.get(source, {})
    if name in recorded and not force:
        raise UsageError(
            f"{source}:{name}: CloudTrail records this as {recorded[name]}: give that name, or "
            "--force to alarm on this one"
        )
    prefix = source.removesuffix(HOST)
    likely = {prefix, *(alias for alias, begin in ALIASES.items() if begin == prefix)}
    modelled: set[str] = set()
    for apis in known_apis(prefix, likely):
        if (plain := undated(name)) in apis and (source in DATED or plain == name):
            return _unpublished(source, name, apis[plain])
        modelled |= {*apis}
    if name in recorded.values():
        return Resolved((name,))
    if not force:
        plain_names = {undated(each) if source in DATED else each for each in known}
        _refuse_near(source, name, {*modelled, *plain_names, *recorded.values()})
    return Resolved(
        (name,),
        f"{source}:{name} is neither an API that botocore knows nor a metric of the last two weeks:"
        " the alarm never fires unless CloudTrail records exactly this name",
    )


def parse_region(text: str, *, force: bool) -> str:
    """
    Check the name of a region, and return the doubt about it; empty if it is known.

    `UsageError` for a text that cannot be a region, or is nearly one's name unless *force*.
    """
    if text.lower() in {"all", "any", "*", "every"}:
        raise UsageError(f"--region {text}: not a region; for all together give --any-region")
    regions = known_regions()
    if text in regions:
        return ""
    area, dash, number = text.rpartition("-")
    if not (dash and re.fullmatch(r"[a-z]{2,4}(-[a-z]{2,})+", area) and number.isdecimal()):
        near = get_close_matches(text.lower(), regions, n=1)
        way_on = f"did you mean {near[0]}?" if near else "write it as in eu-west-1"
        raise UsageError(f"--region {text}: not a region; {way_on}")
    begin = area.partition("-")[0] + "-"  # a new country is not a misspelt one
    areas = {each.rpartition("-")[0] for each in regions if each.startswith(begin)}
    near = [] if area in areas or force else get_close_matches(area, areas, n=1, cutoff=NEAR_NAME)
    if near:
        raise UsageError(
            f"--region {text}: not a region that botocore knows; did you mean {near[0]}-{number}? "
            "--force takes it as it is"
        )
    return f"{text} is not a region that botocore knows: the alarm never fires if there is none"


def region_of(source: str, region: str) -> str:
    """Return where the calls of *source* are recorded instead of in *region*; empty if there."""
    home = "us-east-1"
    return home if source in ELSEWHERE and region != home and not region.startswith(APART) else ""


def _unpublished(source: str, name: str, path: str) -> Resolved:
    """Return how an API that exists may be recorded, of which there is no metric yet."""
    if undated(name) != name:
        return Resolved((name,))
    date = re.match(r"/(\d{4}-\d\d-\d\d)/", path)
    names = spellings(source, name, date[1] if date else "")
    if len(names) == 1:
        return Resolved(names)
    return Resolved(
        names,
        f"{name} has no metric yet, and CloudTrail may record it as {' or '.join(names)}: make the "
        "alarm again once it has one",
    )


def _refuse_near(source: str, name: str, names: Collection[str]) -> None:
    """`UsageError` if *name* is nearly one of *names*, or *source* nearly a service."""
    near = [each for each in names if each.lower() == name.lower()]
    near = near or get_close_matches(name, names, n=1, cutoff=NEAR_NAME)
    if near:
        raise UsageError(
            f"{source}:{name}: no API has this name; did you mean {near[0]}? --force takes it as "
            "it is"
        )
    if names:
        return
    prefix = source.removesuffix(HOST)
    services = {*known_services(), *ALIASES, *ALIASES.values()} - {prefix}
    if like := get_close_matches(prefix, services, n=1, cutoff=NEAR_SERVICE):
        raise UsageError(
            f"{source}:{name}: no service has this name; did you mean {like[0]}? --force takes it "
            "as it is"
        )
