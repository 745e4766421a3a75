"""
AWS clients for all that is not the hot path, and their errors made ours.

The only module that imports boto3 and botocore, and only when a client is asked for.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from msgspec import Struct

from apitracker.errors import ServiceError, SourceError

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from apitracker.tracker.signing import Connection, Service

Client: TypeAlias = Any
"""A client of boto3: its methods are made at run time, so that no type can name them."""

ATTEMPTS = 5  # at one request; botocore waits longer each time. AWS_MAX_ATTEMPTS goes before it
QUERIES = 500  # metrics in one GetMetricData request
POINTS = 100_800  # data points in the answer to one
DOWNLOADS = 3  # of one object: botocore does not repeat what breaks while a body is streaming
CONNECT_SECONDS = 10  # botocore would wait for a minute, ATTEMPTS times

SOURCE_FAULTS = {
    "NoSuchBucket": "there is no such bucket: check its name, and whose credentials these are",
    "NoSuchKey": "there is no such object: it may have expired; list again",
    "AccessDenied": "access denied: reading needs s3:ListBucket on the bucket, s3:GetObject on "
    "its objects and, where they are encrypted with a KMS key, kms:Decrypt",
    "InvalidObjectState": "it is archived: restore it from Glacier first",
    "InvalidBucketName": "S3 allows no such bucket name: check it",
}
"""What is wrong with a source and the way on, by the error code of S3."""

SIGN_IN = (
    "set AWS_PROFILE to a profile that works, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or sign in with: aws sso login"
)
EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
)


class RefusedError(ServiceError):
    """AWS answered a request with an error; *code* is its name in the service's API."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class StorageError(ServiceError):
    """S3 failed while *name* was looked for or read; *fault* says how."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name}: {fault}")
        self.name = name
        self.fault = fault


class Metric(Struct, frozen=True):
    """What tells one CloudWatch metric from all others."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def client(service: str) -> Client:
    """
    A client for *service*, made once for each process and setting of the AWS_* environment.

    `ServiceError` if no region is known, or what is set for AWS cannot be used.
    """
    with asking(service):
        return _client(service, made_for=_surroundings())


def region() -> str:
    """
    Return the region that the AWS settings name, or an empty text.

    `ServiceError` if they name a profile that is not there, or cannot be read.
    """
    import boto3  # noqa: PLC0415

    with asking("region"):
        found = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None).region_name
    return found or ""


def known_services() -> list[str]:
    """Return the services that botocore has a model of, as the AWS CLI names them."""
    return sorted(_loader().list_available_services("service-2"))


def known_regions() -> set[str]:
    """Return the regions of all partitions that botocore knows."""
    partitions = _loader().load_data("endpoints")["partitions"]
    return {name for partition in partitions for name in partition["regions"]}


def known_apis(prefix: str, first: Collection[str]) -> Iterator[dict[str, str]]:
    """
    Load the APIs that botocore knows of a service, by name, each with the path of its requests.

    *prefix* is how the eventSource begins; several models may share it, as those of Bedrock do.
    The services *first* come first: loading all models takes seconds.
    """
    loader = _loader()
    services = loader.list_available_services("service-2")
    for service in sorted(services, key=lambda each: each not in first):
        model = loader.load_service_model(service, "service-2")
        named = (model["metadata"].get(name) for name in ("endpointPrefix", "signingName"))
        if service in first or prefix in {service, *named}:
            apis = model["operations"].items()
            yield {name: api.get("http", {}).get("requestUri", "") for name, api in apis}


def connection(service: "Service") -> "Connection":
    """
    A connection to *service*, to where boto3 would send the same requests, with its credentials.

    `ServiceError` if there are none.
    """
    # Loaded here: all who read logs import this module, and few publish any.
    from apitracker.tracker.signing import Connection, Credentials  # noqa: PLC0415

    made = client(service.id.lower())
    with asking(service.id.lower()):
        found = made._get_credentials()  # noqa: SLF001 - boto3 hands them out nowhere else
    if found is None:
        raise ServiceError(f"no AWS credentials were found: {SIGN_IN}")

    def credentials() -> Credentials:
        with asking(service.id.lower()):
            now = found.get_frozen_credentials()  # which refreshes those that expire
            return Credentials(now.access_key, now.secret_key, now.token or "")

    return Connection(
        service, made.meta.region_name, made.meta.endpoint_url, credentials=credentials
    )


@contextmanager
def asking(action: str) -> Iterator[None]:
    """
    Turn what boto3 raises while *action* is asked for, as ``logs:DescribeLogStreams``, into ours.

    `RefusedError` when AWS answered with an error that is about this action, else `ServiceError`.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        said = error.response["Error"].get("Message", "")
        if code in EXPIRED:
            raise ServiceError(f"{action}: AWS refused: {code}: {said}: {SIGN_IN}") from error
        way_on = "" if code not in DENIED else f": allow {action} to these credentials"
        raise RefusedError(f"{action} was refused: {code}: {said}{way_on}", code) from error
    except (BotoCoreError, ValueError) as error:  # boto3 refuses an endpoint with a ValueError
        raise ServiceError(f"{action}: {_fault(error)}") from error


def pages(client: Client, action: str, name: str, **parameters: object) -> Iterator[dict[str, Any]]:
    """Ask *client* for all pages of *action*, which its method *name* performs."""
    with asking(action):
        yield from client.get_paginator(name).paginate(**parameters)


def metrics(cloudwatch: Client, namespace: str, **parameters: object) -> Iterator[Metric]:
    """List the metrics of *namespace* that had data in the last two weeks."""
    for page in pages(
        cloudwatch, "cloudwatch:ListMetrics", "list_metrics", Namespace=namespace, **parameters
    ):
        for found in page["Metrics"]:
            dimensions = sorted((each["Name"], each["Value"]) for each in found["Dimensions"])
            yield Metric(namespace, found["MetricName"], tuple(dimensions))


def sums(
    cloudwatch: Client, wanted: Iterable[Metric], *, period: int, start: int, end: int
) -> dict[Metric, dict[int, float]]:
    """
    Ask for the sums of metrics from *start* to before *end*, in seconds since 1970.

    They come by the start of each *period*, without those in which there were no data. AWS wants
    a cent for a thousand metrics; each is asked for once.
    """
    asked = list(wanted)
    found: dict[Metric, dict[int, float]] = {metric: {} for metric in asked}
    most = fitting(period, start, end)
    for some in (asked[at : at + most] for at in range(0, len(asked), most)):
        for page in pages(
            cloudwatch,
            "cloudwatch:GetMetricData",
            "get_metric_data",
            MetricDataQueries=_queries(some, period),
            StartTime=start,
            EndTime=end,
        ):
            for result in page["MetricDataResults"]:
                if result.get("StatusCode") in {"InternalError", "Forbidden"}:
                    said = "; ".join(each.get("Value", "") for each in result.get("Messages", []))
                    raise ServiceError(f"cloudwatch:GetMetricData gave no data: {said}")
                times = (int(time.timestamp()) for time in result["Timestamps"])
                values = zip(times, result["Values"], strict=True)
                found[some[int(result["Id"][1:])]].update(values)
    return found


def fitting(period: int, start: int, end: int) -> int:
    """
    Say how many metrics fit into one GetMetricData request, so that its answer is one page.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
    """
    return max(1, min(QUERIES, POINTS * period // max(period, end - start)))


def _queries(some: Sequence[Metric], period: int) -> list[dict[str, Any]]:
    return [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in metric.dimensions],
                },
                "Period": period,
                "Stat": "Sum",
            },
        }
        for number, metric in enumerate(some)
    ]


def s3() -> "BaseClient":
    """
    A client for S3, made once for each process and setting of the AWS_* environment.

    It goes to AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_S3 where that is set, with the bucket in the
    path; botocore sees to both.
    """
    return _client("s3", made_for=_surroundings())


def download(bucket: str, key: str, *, again: int = DOWNLOADS - 1) -> bytes:
    """
    Read one S3 object whole, as it is stored; *again* when its body breaks off on the way.

    `SourceError` when it is missing or may not be read, `StorageError` when S3 fails.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError  # noqa: PLC0415

    with reading(f"s3://{bucket}/{key}"):
        body = s3().get_object(Bucket=bucket, Key=key)["Body"]
        try:
            return cast("bytes", body.read())
        except (HTTPClientError, IncompleteReadError):
            if not again:
                raise
    return download(bucket, key, again=again - 1)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """
    Turn the errors that botocore raises while *name* is read from S3 into ours.

    `SourceError` when *name* is missing or may not be read, else `StorageError`.
    """
    from botocore.exceptions import (  # noqa: PLC0415
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        said = error.response["Error"].get("Message", "")
        if code in SOURCE_FAULTS:
            raise SourceError(name, f"{SOURCE_FAULTS[code]} (S3: {said})") from error
        way_on = SIGN_IN if code in EXPIRED else "try again later"
        raise StorageError(name, f"S3 refused: {code}: {said}: {way_on}") from error
    except ParamValidationError as error:
        raise SourceError(name, "S3 has no such names: write s3://bucket/prefix") from error
    except (BotoCoreError, ValueError) as error:  # boto3 refuses an endpoint with a ValueError
        raise StorageError(name, _fault(error)) from error


def _fault(error: Exception) -> str:
    """Say what kept a request from being answered, and the way on."""
    from botocore import exceptions  # noqa: PLC0415

    unanswered = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    )
    if isinstance(error, exceptions.NoCredentialsError):
        return f"no AWS credentials were found: {SIGN_IN}"
    if isinstance(error, exceptions.NoRegionError):
        return "no region is named: set AWS_REGION, or region in ~/.aws/config"
    if isinstance(error, unanswered):
        return f"no whole answer came from AWS: {error}: check the network and AWS_ENDPOINT_URL"
    way_on = f"check the AWS_* variables and ~/.aws/config, or {SIGN_IN}"
    return f"AWS could not be asked: {error}: {way_on}"


def _loader() -> Any:  # noqa: ANN401 - botocore has no types
    """Make a loader of botocore's own data, whatever the AWS settings are."""
    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader()


def _surroundings() -> tuple[int, tuple[tuple[str, str], ...]]:
    """
    What a client must not outlive.

    The process, as two processes must not share a connection, and the environment it was
    made from.
    """
    return os.getpid(), tuple(sorted(i for i in os.environ.items() if i[0].startswith("AWS_")))


@lru_cache(maxsize=8)
def _client(service: str, *, made_for: object) -> "BaseClient":
    """Make a client; the same arguments give the same one. Loading boto3 takes a while."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    del made_for
    retries: dict[str, Any] = {"mode": os.environ.get("AWS_RETRY_MODE", "standard")}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    config = Config(connect_timeout=CONNECT_SECONDS, retries=retries)
    # A session of its own: boto3's default one must not be used by two threads at once.
    # boto3 does not know AWS_REGION, which Lambda, version 2 of the AWS CLI and our docs use.
    region = os.environ.get("AWS_REGION") or None
    return boto3.session.Session(region_name=region).client(service, config=config)
