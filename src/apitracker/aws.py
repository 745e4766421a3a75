"""
AWS clients for all that is not the hot path, with their errors as our own.

The only module that imports boto3 and botocore, and only when a client is asked for.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from apitracker.errors import ServiceError, SourceError

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.client import BaseClient

Client: TypeAlias = Any
"""A client of boto3: its methods are made at run time, so that no type can name them."""

ATTEMPTS = 5  # at one request; botocore waits longer each time. AWS_MAX_ATTEMPTS goes before it
DOWNLOADS = 3  # of one object: botocore does not repeat a body that breaks off while streaming
CONNECT_SECONDS = 10  # botocore would wait for a minute, ATTEMPTS times

SOURCE_FAULTS = {
    "NoSuchBucket": "there is no such bucket: check its name, and whose credentials these are",
    "NoSuchKey": "there is no such object: it may have expired; list again",
    "AccessDenied": "access denied: reading needs s3:ListBucket on the bucket, s3:GetObject on "
    "its objects and, where they are encrypted with a KMS key, kms:Decrypt",
    "InvalidObjectState": "it is archived: restore it from Glacier first",
    "InvalidBucketName": "S3 allows no such bucket name: check it",
}
"""The error codes of S3 that are about a source, with the fault and the way on."""

SIGN_IN_HINT = (
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


def client(service: str, *, source: str = "") -> Client:
    """
    Return the client for *service*, one for each process and setting of the AWS_* environment.

    It goes to AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_<SERVICE> where that is set. `ServiceError` if
    no region is known, or the AWS settings cannot be used; it names the *source* if there is one.
    """
    with translate_errors(service, source=source):
        return _client(service, made_for=_surroundings())


def region() -> str:
    """
    Return the region that the AWS settings name, or an empty text.

    `ServiceError` if they name a profile that is not there, or cannot be read.
    """
    with translate_errors("region"):
        return _session().region_name or ""


def find_credentials() -> Any:  # noqa: ANN401 - botocore has no types
    """
    Return botocore's credentials; they refresh themselves.

    `ServiceError` if there are none.
    """
    with translate_errors("credentials"):
        found = _session().get_credentials()
    if found is None:
        raise ServiceError(f"no AWS credentials were found: {SIGN_IN_HINT}")
    return found


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


def paginate(
    client: Client, action: str, name: str, **parameters: object
) -> Iterator[dict[str, Any]]:
    """Request *action* of *client*, by its method *name*, until the answer is whole."""
    with translate_errors(action):
        yield from client.get_paginator(name).paginate(**parameters)


def download(bucket: str, key: str, *, again: int = DOWNLOADS - 1) -> bytes:
    """
    Read one S3 object whole, as it is stored; *again* when its body breaks off on the way.

    `SourceError` when it is missing or may not be read, `StorageError` when S3 fails.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError  # noqa: PLC0415

    source = f"s3://{bucket}/{key}"
    with translate_errors("s3:GetObject", source=source):
        body = client("s3", source=source).get_object(Bucket=bucket, Key=key)["Body"]
        try:
            return cast("bytes", body.read())
        except (HTTPClientError, IncompleteReadError):
            if not again:
                raise
    return download(bucket, key, again=again - 1)


@contextmanager
def translate_errors(action: str, *, source: str = "") -> Iterator[None]:
    """
    Turn boto3's errors while *action* is performed, as ``logs:DescribeLogStreams``, into ours.

    `RefusedError` when AWS answered with an error that is about this action, else `ServiceError`.
    With a *source*, the name of something that is read from S3, `SourceError` when that is missing
    or may not be read, and the messages name it instead.
    """
    from botocore.exceptions import (  # noqa: PLC0415
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )

    try:
        yield
    except ClientError as error:
        raise _translated(error, action, source) from error
    except ParamValidationError as error:
        if source:
            raise SourceError(source, "S3 has no such names: write s3://bucket/prefix") from error
        raise ServiceError(f"{action}: {_fault(error)}") from error
    except (BotoCoreError, ValueError) as error:  # boto3 refuses an endpoint with a ValueError
        if source:
            raise StorageError(source, _fault(error)) from error
        raise ServiceError(f"{action}: {_fault(error)}") from error


def _translated(error: Any, action: str, source: str) -> Exception:  # noqa: ANN401 - botocore's
    """Return our error for the *error* that AWS answered with."""
    code = error.response["Error"]["Code"]
    message = error.response["Error"].get("Message", "")
    if source and code in SOURCE_FAULTS:
        return SourceError(source, f"{SOURCE_FAULTS[code]} (S3: {message})")
    if source:
        way_on = SIGN_IN_HINT if code in EXPIRED else "try again later"
        return StorageError(source, f"S3 refused: {code}: {message}: {way_on}")
    if code in EXPIRED:
        return ServiceError(f"{action}: AWS refused: {code}: {message}: {SIGN_IN_HINT}")
    way_on = "" if code not in DENIED else f": allow {action} to these credentials"
    return RefusedError(f"{action} was refused: {code}: {message}{way_on}", code)


def _fault(error: Exception) -> str:
    """Return the reason why a request was not answered, and the way on."""
    from botocore import exceptions  # noqa: PLC0415

    unanswered = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    )
    if isinstance(error, exceptions.NoCredentialsError):
        return f"no AWS credentials were found: {SIGN_IN_HINT}"
    if isinstance(error, exceptions.NoRegionError):
        return "no region is named: set AWS_REGION, or region in ~/.aws/config"
    if isinstance(error, unanswered):
        return f"no whole answer came from AWS: {error}: check the network and AWS_ENDPOINT_URL"
    way_on = f"check the AWS_* variables and ~/.aws/config, or {SIGN_IN_HINT}"
    return f"AWS could not be asked: {error}: {way_on}"


def _loader() -> Any:  # noqa: ANN401 - botocore has no types
    """Make a loader of botocore's own data, independent of the AWS settings."""
    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader()


def _surroundings() -> tuple[int, tuple[tuple[str, str], ...]]:
    """
    Return the process and the AWS_* environment: a client must not outlive them.

    Two processes must not share a connection.
    """
    return os.getpid(), tuple(sorted(i for i in os.environ.items() if i[0].startswith("AWS_")))


def _session() -> "Session":
    """Make a session of boto3; loading boto3 takes a while."""
    import boto3  # noqa: PLC0415

    # boto3 does not know AWS_REGION, which Lambda, version 2 of the AWS CLI and our docs use.
    return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)


@lru_cache(maxsize=16)  # more than the services that one command uses
def _client(service: str, *, made_for: object) -> "BaseClient":
    """Make a client; the same arguments return the same one."""
    from botocore.config import Config  # noqa: PLC0415

    del made_for
    retries: dict[str, Any] = {"mode": os.environ.get("AWS_RETRY_MODE", "standard")}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = ATTEMPTS
    config = Config(connect_timeout=CONNECT_SECONDS, retries=retries)
    # A session of its own: boto3's default one must not be used by two threads at once.
    return _session().client(service, config=config)
