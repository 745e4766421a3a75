"""Sentences about how a call ended; expectations are literals, models are botocore's own."""

import subprocess
import sys
import timeit
import tracemalloc
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from botocore.loaders import create_loader
from botocore.retries.standard import ThrottledRetryableChecker
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core import outcomes
from apitracker.core.outcomes import OUTCOMES, classify

EC2 = "ec2.amazonaws.com"


class ErrorShape(NamedTuple):
    """An error as a service's model has it: a code, a host as in eventSource, marks, a status."""

    code: str
    source: str
    throttling: bool
    status: int


def modelled() -> Iterator[ErrorShape]:
    """Read every error of every service: by its name, and by its code if that is another."""
    loader = create_loader()
    for service in loader.list_available_services("service-2"):
        model = loader.load_service_model(service, "service-2")
        metadata = model["metadata"]
        for name, shape in model["shapes"].items():
            if shape.get("exception") or "error" in shape:
                marked = shape.get("retryable", {}).get("throttling", False)
                error = shape.get("error", {})
                status = error.get("httpStatusCode", 0)
                for code in {name, error.get("code", name)}:
                    for host in {metadata["endpointPrefix"], metadata.get("signingName")} - {None}:
                        yield ErrorShape(code, f"{host}.amazonaws.com", marked, status)


@pytest.fixture(scope="module")
def shapes() -> frozenset[ErrorShape]:
    """Every error of every service that the installed botocore knows."""
    return frozenset(modelled())


@pytest.mark.parametrize(
    ("code", "source", "outcome"),
    [
        # Throttles, in the ways that services write them
        ("Client.RequestLimitExceeded", EC2, "throttled"),
        ("Server.RequestLimitExceeded", EC2, "throttled"),
        ("SnapshotCreationPerVolumeRateExceeded", EC2, "throttled"),
        ("Throttling", "cloudformation.amazonaws.com", "throttled"),
        ("ThrottlingException", "ssm.amazonaws.com", "throttled"),
        ("ThrottledException", "tagging.amazonaws.com", "throttled"),
        ("ThrottledClientException", "chime.amazonaws.com", "throttled"),
        ("com.amazonaws.kms#ThrottlingException", "kms.amazonaws.com", "throttled"),
        ("ThrottlingException:http://internal.amazon.com/", "kms.amazonaws.com", "throttled"),
        ("a.b#TooManyRequestsException:http://c/#d", "lambda.amazonaws.com", "throttled"),
        ("KMS.ThrottlingException", "sqs.amazonaws.com", "throttled"),
        ("KmsThrottled", "sqs.amazonaws.com", "throttled"),
        ("DependencyThrottle", "elasticloadbalancing.amazonaws.com", "throttled"),
        ("PriorRequestNotComplete", "route53.amazonaws.com", "throttled"),
        ("SlowDown", "s3.amazonaws.com", "throttled"),
        ("BandwidthLimitExceeded", "sdb.amazonaws.com", "throttled"),
        ("ProvisionedThroughputExceededException", "dynamodb.amazonaws.com", "throttled"),
        (
            "ResourceProvisionedThroughputExceededException",
            "kinesisanalytics.amazonaws.com",
            "throttled",
        ),
        ("APICallRateForCustomerExceededFault", "memorydb.amazonaws.com", "throttled"),
        ("CallRateLimitExceededException", "imagebuilder.amazonaws.com", "throttled"),
        ("RateLimitExceededException", "license-manager.amazonaws.com", "throttled"),
        ("RateLimitError", "wickr.amazonaws.com", "throttled"),
        ("TooManyRequestException", "elementalinference.amazonaws.com", "throttled"),
        ("ClientLimitExceededException", "kinesisvideo.amazonaws.com", "throttled"),
        ("DescribeAttachmentLimitExceeded", "support.amazonaws.com", "throttled"),
        ("RateExceeded", "ssm.amazonaws.com", "throttled"),
        ("429", "execute-api.amazonaws.com", "throttled"),
        ("503 SlowDown", "s3.amazonaws.com", "throttled"),
        # The same code, another service, another meaning
        ("LimitExceededException", "kinesis.amazonaws.com", "throttled"),
        ("LimitExceededException", "kinesis.amazonaws.com.cn", "throttled"),
        ("LimitExceededException", "ce.amazonaws.com", "throttled"),
        ("LimitExceededException", "iam.amazonaws.com", "failed"),
        ("LimitExceededException", "dynamodb.amazonaws.com", "failed"),
        ("LimitExceededException", "", "failed"),
        ("TooManyRequests", "elasticfilesystem.amazonaws.com", "failed"),
        ("AttachmentLimitExceeded", "support.amazonaws.com", "throttled"),
        ("AttachmentLimitExceeded", EC2, "failed"),
        ("ConcurrentLimitExceededException", "ebs.amazonaws.com", "throttled"),
        ("InvalidToken", "s3.amazonaws.com", "denied"),
        ("InvalidToken", "states.amazonaws.com", "failed"),
        ("Client.Blocked", EC2, "denied"),
        ("Blocked", "iam.amazonaws.com", "failed"),
        ("OperationNotPermittedFault", "swf.amazonaws.com", "denied"),
        ("OperationNotPermittedException", "elasticloadbalancing.amazonaws.com", "failed"),
        # Quotas, conflicts and models not ready are no throttles
        ("Client.VpcLimitExceeded", EC2, "failed"),
        ("Client.InstanceLimitExceeded", EC2, "failed"),
        ("ServiceQuotaExceededException", "oam.amazonaws.com", "failed"),
        ("TooManyTagsException", "acm.amazonaws.com", "failed"),
        ("VolumeModificationRateExceeded", EC2, "failed"),
        ("TransactionInProgressException", "dynamodb.amazonaws.com", "failed"),
        ("ModelNotReadyException", "bedrock.amazonaws.com", "failed"),
        # Denials: no permission
        ("AccessDeniedException", "kms.amazonaws.com", "denied"),
        ("KMS.AccessDeniedException", "sqs.amazonaws.com", "denied"),
        ("AccessToClusterDenied", "redshift.amazonaws.com", "denied"),
        ("ForbiddenException", "chime.amazonaws.com", "denied"),
        ("NotAuthorized", "iam.amazonaws.com", "denied"),
        ("NotAuthorizedException", "cognito-idp.amazonaws.com", "denied"),
        ("UnauthorizedAccess", "s3.amazonaws.com", "denied"),
        ("AuthorizationError", "sns.amazonaws.com", "denied"),
        ("AuthorizationErrorException", "discovery.amazonaws.com", "denied"),
        ("AuthException", "ec2-instance-connect.amazonaws.com", "denied"),
        ("InsufficientPermissionsException", "config.amazonaws.com", "denied"),
        ("InsufficientPrivilegesException", "elasticbeanstalk.amazonaws.com", "denied"),
        ("SNSNoAuthorization", "rds.amazonaws.com", "denied"),
        ("ChannelInsufficientPermission", "cloudtrail-data.amazonaws.com", "denied"),
        (
            "InsufficientDependencyServiceAccessPermissionException",
            "cloudtrail.amazonaws.com",
            "denied",
        ),
        ("InsufficientIAMAccessPermissionException", "cloudtrail.amazonaws.com", "denied"),
        ("403", "codeartifact.amazonaws.com", "denied"),
        # Denials: credentials that do not hold
        ("UnauthenticatedException", "lightsail.amazonaws.com", "denied"),
        ("401", "codeartifact.amazonaws.com", "denied"),
        ("Client.AuthFailure", EC2, "denied"),
        ("Client.AuthFailure.ServiceLinkedRoleCreationNotPermitted", EC2, "denied"),
        ("Client.RequestExpired", EC2, "denied"),
        ("ExpiredTokenException", "sts.amazonaws.com", "denied"),
        ("IncompleteSignatureException", "dynamodb.amazonaws.com", "denied"),
        ("InvalidClientTokenId", "sts.amazonaws.com", "denied"),
        ("InvalidSignatureException", "dynamodb.amazonaws.com", "denied"),
        ("MissingAuthenticationToken", "apigateway.amazonaws.com", "denied"),
        ("SignatureDoesNotMatch", "s3.amazonaws.com", "denied"),
        ("UnrecognizedClientException", "logs.amazonaws.com", "denied"),
        ("InvalidAccessKeyId", "s3.amazonaws.com", "denied"),
        ("RequestTimeTooSkewed", "s3.amazonaws.com", "denied"),
        ("InvalidSecurity", "sns.amazonaws.com", "denied"),
        ("TokenRefreshRequired", "s3.amazonaws.com", "denied"),
        ("InvalidClientException", "sso.amazonaws.com", "denied"),
        ("InvalidCredentialsException", "elasticache.amazonaws.com", "denied"),
        ("ExpiredTradeInTokenException", "sts.amazonaws.com", "denied"),
        ("InvalidIdentityToken", "sts.amazonaws.com", "denied"),
        ("IDPRejectedClaim", "sts.amazonaws.com", "denied"),
        # Denials: an account without the service, or shut off
        ("AccountProblem", "s3.amazonaws.com", "denied"),
        ("AllAccessDisabled", "s3.amazonaws.com", "denied"),
        ("NotSignedUp", "s3.amazonaws.com", "denied"),
        ("Client.OptInRequired", EC2, "denied"),
        ("Client.PendingVerification", EC2, "denied"),
        ("SubscriptionRequiredException", "support.amazonaws.com", "denied"),
        ("InvalidAccessException", "securityhub.amazonaws.com", "denied"),
        ("AccountSuspendedException", "codebuild.amazonaws.com", "denied"),
        ("BlockedByOrganizationPolicyException", "ecr.amazonaws.com", "denied"),
        ("S3SubscriptionRequiredException", "elasticbeanstalk.amazonaws.com", "denied"),
        ("SerialConsoleAccessDisabledException", "ec2-instance-connect.amazonaws.com", "denied"),
        # Close in name to a denial, and none
        ("RegionDisabledException", "sts.amazonaws.com", "failed"),
        ("404", "codeartifact.amazonaws.com", "failed"),
        ("503", "s3.amazonaws.com", "failed"),
        ("AuthorizationAlreadyExists", "rds.amazonaws.com", "failed"),
        ("AuthorizationNotFound", "redshift.amazonaws.com", "failed"),
        ("AuthorizationPendingException", "sso.amazonaws.com", "failed"),
        ("ExpiredNextTokenException", "kinesis.amazonaws.com", "failed"),
        ("ExpiredIteratorException", "kinesis.amazonaws.com", "failed"),
        ("KMSInvalidSignatureException", "kms.amazonaws.com", "failed"),
        ("Client.OperationNotPermitted", EC2, "failed"),
        # AWS writes codes in one case only
        ("accessdenied", "s3.amazonaws.com", "failed"),
        # Nothing but spelling
        ("Exception", EC2, "failed"),
        ("Client.", EC2, "failed"),
        ("#", EC2, "failed"),
        (":", EC2, "failed"),
    ],
)
def test_a_code_of_a_service_has_its_outcome(code: str, source: str, outcome: str) -> None:
    """Each code, as its service writes it, is what the documentation says it is."""
    assert classify(code, source) == outcome


@pytest.mark.parametrize(
    ("code", "source", "outcome"),
    [
        ("AccessDenied", "s3.amazonaws.com", "denied"),
        ("Blocked", EC2, "denied"),
        ("BucketNotEmpty", "s3.amazonaws.com", "failed"),
        ("Client.DryRunOperation", EC2, "failed"),
        ("Client.InvalidAllocationID.NotFound", EC2, "failed"),
        ("Client.InvalidGroup.NotFound", EC2, "failed"),
        ("Client.InvalidInstanceID.Malformed", EC2, "failed"),
        ("Client.InvalidInternetGatewayID.NotFound", EC2, "failed"),
        ("Client.InvalidNetworkAclId.Malformed", EC2, "failed"),
        ("Client.InvalidParameterCombination", EC2, "failed"),
        ("Client.InvalidParameterValue", EC2, "failed"),
        ("Client.InvalidRequest", EC2, "failed"),
        ("Client.InvalidRouteTableID.NotFound", EC2, "failed"),
        ("Client.InvalidSnapshotID.Malformed", EC2, "failed"),
        ("Client.InvalidSubnetID.NotFound", EC2, "failed"),
        ("Client.InvalidVolume.NotFound", EC2, "failed"),
        ("Client.InvalidVpcID.NotFound", EC2, "failed"),
        ("Client.NetworkInterfaceNotSupported", EC2, "failed"),
        ("Client.UnauthorizedOperation", EC2, "denied"),
        ("Client.VcpuLimitExceeded", EC2, "failed"),
        ("ClientException", "ecs.amazonaws.com", "failed"),
        ("CloudTrailInvalidClientTokenIdException", "cloudtrail.amazonaws.com", "failed"),
        ("ConflictException", "organizations.amazonaws.com", "failed"),
        ("DBInstanceNotFoundFault", "rds.amazonaws.com", "failed"),
        ("EntityAlreadyExists", "iam.amazonaws.com", "failed"),
        ("EntityNotFoundException", "glue.amazonaws.com", "failed"),
        ("EntityTemporarilyUnmodifiableException", "iam.amazonaws.com", "failed"),
        ("ExpiredToken", "sts.amazonaws.com", "denied"),
        ("InternalFailure", "ce.amazonaws.com", "failed"),
        ("InvalidCharacter", EC2, "failed"),
        ("InvalidDBInstanceState", "rds.amazonaws.com", "failed"),
        ("InvalidDBInstanceStateFault", "rds.amazonaws.com", "failed"),
        ("InvalidDBSnapshotState", "rds.amazonaws.com", "failed"),
        ("InvalidDeliveryChannelNameException", "config.amazonaws.com", "failed"),
        ("InvalidInstanceId", "ssm.amazonaws.com", "failed"),
        ("InvalidParameterValueException", "lambda.amazonaws.com", "failed"),
        ("InvalidTrailNameException", "cloudtrail.amazonaws.com", "failed"),
        ("InvocationDoesNotExist", "ssm.amazonaws.com", "failed"),
        ("LimitExceededException", "iam.amazonaws.com", "failed"),
        ("NoSuchBucket", "s3.amazonaws.com", "failed"),
        ("NoSuchBucketPolicy", "s3.amazonaws.com", "failed"),
        ("NoSuchCORSConfiguration", "s3.amazonaws.com", "failed"),
        ("NoSuchDeliveryChannelException", "config.amazonaws.com", "failed"),
        ("NoSuchEntity", "iam.amazonaws.com", "failed"),
        ("NoSuchEntityException", "iam.amazonaws.com", "failed"),
        ("NoSuchLifecycleConfiguration", "s3.amazonaws.com", "failed"),
        ("NoSuchPublicAccessBlockConfiguration", "s3.amazonaws.com", "failed"),
        ("NoSuchTagSet", "s3.amazonaws.com", "failed"),
        ("NoSuchWebsiteConfiguration", "s3.amazonaws.com", "failed"),
        ("NotFoundException", "kms.amazonaws.com", "failed"),
        ("NotOrganizationMasterAccountException", "cloudtrail.amazonaws.com", "failed"),
        ("ObjectLockConfigurationNotFoundError", "s3.amazonaws.com", "failed"),
        ("ReplicationConfigurationNotFoundError", "s3.amazonaws.com", "failed"),
        ("RequestExpired", EC2, "denied"),
        ("ResourceInUseException", "dynamodb.amazonaws.com", "failed"),
        ("ResourceNotFoundException", "secretsmanager.amazonaws.com", "failed"),
        ("SomeErrorCode", EC2, "failed"),
        ("ThrottlingException", "ssm.amazonaws.com", "throttled"),
        ("TrailNotFoundException", "cloudtrail.amazonaws.com", "failed"),
        ("UnauthorizedException", "resource-explorer-2.amazonaws.com", "denied"),
        ("UnauthorizedOperation", EC2, "denied"),
        ("UnknownParameter", EC2, "failed"),
        ("ValidationError", "cloudformation.amazonaws.com", "failed"),
        ("ValidationException", "ssm.amazonaws.com", "failed"),
        ("VpceAccessDenied", "s3.amazonaws.com", "denied"),
    ],
)
def test_every_code_in_the_golden_trails_has_its_outcome(
    code: str,
    source: str,
    outcome: str,
) -> None:
    """Each errorCode of the public trails that we count against has the outcome written here."""
    assert classify(code, source) == outcome


def test_a_call_without_a_code_is_ok_unless_it_failed() -> None:
    """A failed console sign-in has no errorCode, and is failed all the same."""
    assert classify("", "signin.amazonaws.com") == "ok"
    assert classify("", "signin.amazonaws.com", failed_without_code=True) == "failed"


def test_a_code_says_more_than_that_the_call_failed() -> None:
    """A call marked as failed keeps the outcome of its errorCode."""
    assert classify("AccessDenied", "signin.amazonaws.com", failed_without_code=True) == "denied"


def test_there_are_four_outcomes() -> None:
    """The outcomes are ok, throttled, denied and failed, in this order."""
    assert OUTCOMES == ("ok", "throttled", "denied", "failed")


@given(st.text(), st.text(), st.booleans())
def test_any_two_strings_have_one_of_the_four_outcomes(
    code: str,
    source: str,
    failed: bool,  # noqa: FBT001
) -> None:
    """Codes and sources are hostile input: whatever they are, there is an outcome."""
    assert classify(code, source, failed_without_code=failed) in OUTCOMES


@given(st.text(min_size=1), st.text())
def test_only_a_call_without_a_code_is_ok(code: str, source: str) -> None:
    """Where CloudTrail recorded an error there is one, though the table may not know it."""
    assert classify(code, source) != "ok"


# Codes of every outcome, and anything else that is shorter than what is read of a code.
codes = st.sampled_from(
    ["Throttling", "SlowDown", "LimitExceeded", "AccessDenied", "ExpiredToken", "NoSuchKey"],
) | st.text(min_size=1, max_size=32)
sources = st.sampled_from(["kinesis.amazonaws.com", "s3.amazonaws.com"]) | st.text(max_size=32)
before = st.sampled_from(["Client.", "Server.", "com.amazonaws.kms#"])
after = st.sampled_from(["Exception", "Fault", "Error", ":http://internal.amazon.com/coral/"])


@given(codes, sources, st.lists(before, max_size=3), st.lists(after, max_size=3))
def test_spelling_does_not_change_the_outcome(
    code: str,
    source: str,
    befores: list[str],
    afters: list[str],
) -> None:
    """Sides, namespaces, endings and addresses around a code are spelling, not meaning."""
    spelled = "".join([*befores, code, *afters])
    assert classify(spelled, source) == classify(code, source)


families = st.sampled_from(["Throttling", "AccessDenied", "Unauthorized", ""])


@given(st.sampled_from(["NotFound", "NoSuch"]), families, families)
def test_what_is_not_there_is_never_denied(word: str, left: str, right: str) -> None:
    """Looking for what is not there is an expected read, whatever else the code says."""
    assert classify(f"{left}{word}{right}", EC2) == "failed"


# Marked as throttling in a model, and not throttled here: waiting for a model that is not ready
# to serve helps, asking less often does not.
NO_THROTTLE = {"ModelNotReadyException"}


def test_what_a_model_marks_as_throttling_is_throttled(shapes: frozenset[ErrorShape]) -> None:
    """Every error that its service's model marks as throttling is throttled, or listed above."""
    marked = {(shape.code, shape.source) for shape in shapes if shape.throttling}
    assert len(marked) > 50
    assert {code for code, host in marked if classify(code, host) != "throttled"} <= NO_THROTTLE


def test_what_botocore_retries_as_a_throttle_is_throttled(shapes: frozenset[ErrorShape]) -> None:
    """Every code in botocore's list of throttles is one in every service, save what is named."""
    listed = set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)  # noqa: SLF001
    # A conflict with the caller's own transaction; a quota in most services, tested below.
    listed -= {"TransactionInProgressException", "LimitExceededException"}
    assert len(listed) >= 12
    pairs = {(code, shape.source) for code in listed for shape in shapes}
    assert {pair for pair in pairs if classify(*pair) != "throttled"} == {
        # Changing a file system's throughput again within 24 hours.
        ("TooManyRequestsException", "elasticfilesystem.amazonaws.com"),
    }


def test_exceeding_a_limit_is_a_throttle_in_four_services(shapes: frozenset[ErrorShape]) -> None:
    """LimitExceededException is a quota wherever its model does not speak of calls."""
    code = "LimitExceededException"
    hosts = {shape.source for shape in shapes if shape.code == code}
    assert {host for host in hosts if classify(code, host) == "throttled"} == {
        "ce.amazonaws.com",
        "kinesis.amazonaws.com",
        "lex.amazonaws.com",
        "transcribe.amazonaws.com",
    }


def test_no_modelled_error_about_what_is_missing_is_denied(shapes: frozenset[ErrorShape]) -> None:
    """No error of any service whose name has NotFound or NoSuch in it is denied or throttled."""
    missing = {
        (shape.code, shape.source)
        for shape in shapes
        if "NotFound" in shape.code or "NoSuch" in shape.code
    }
    assert len(missing) > 500
    assert {pair for pair in missing if classify(*pair) != "failed"} == set()


def test_every_access_denied_in_the_models_is_denied(shapes: frozenset[ErrorShape]) -> None:
    """No service's AccessDenied, under whatever fuller name, is anything but denied."""
    refused = {(shape.code, shape.source) for shape in shapes if "AccessDenied" in shape.code}
    assert len(refused) > 250
    assert {pair for pair in refused if classify(*pair) != "denied"} == set()


# Of HTTP 401 or 403 in a model, and not denied here: nobody's permission or credentials are at
# fault, but a quota, a state, what is asked for, or the credentials of a third party.
NO_DENIAL = {
    # a quota or a lack of capacity
    "AccessPointLimitExceeded",
    "DBClusterEndpointQuotaExceededFault",
    "DBClusterQuotaExceededFault",
    "FileSystemLimitExceeded",
    "FilterPolicyLimitExceeded",
    "InsufficientDBClusterCapacityFault",
    "LimitExceededException",
    "ReplayLimitExceeded",
    "SubscriptionLimitExceeded",
    "TopicLimitExceeded",
    # a state of what is asked for
    "InvalidObjectState",
    "ObjectAlreadyInActiveTierError",
    "ObjectNotInActiveTierError",
    "OutboundWebIdentityFederationDisabledException",
    "RegionDisabledException",
    "UnsupportedPricingPlanException",
    "UnsupportedUserEditionException",
    # what is asked for
    "DestinationNotAllowedException",
    "DomainNotWhitelistedException",
    "IdentityTypeNotSupportedException",
    "OutboundContactNotPermittedException",
    "RealtimeLogConfigOwnerMismatch",
    "SessionDurationEscalationException",
    # somebody else's credentials, or a device's code
    "ConnectorAuthenticationException",
    "EFSMountFailureException",
    "InvalidAuthenticationCode",
    "InvalidPasswordException",
    "S3FilesMountFailureException",
}


def test_a_modelled_status_of_denial_is_denied(shapes: frozenset[ErrorShape]) -> None:
    """Every error that its model gives HTTP 401 or 403 is denied or throttled, or listed above."""
    refused = {shape for shape in shapes if shape.status in {401, 403}}
    assert len(refused) > 150
    failed = {shape.code for shape in refused if classify(*shape[:2]) == "failed"}
    assert {code.removesuffix("Exception") for code in failed} == {
        code.removesuffix("Exception") for code in NO_DENIAL
    }


def test_no_modelled_quota_is_throttled(shapes: frozenset[ErrorShape]) -> None:
    """No error of any service whose name has Quota in it is denied or throttled."""
    quotas = {(shape.code, shape.source) for shape in shapes if "Quota" in shape.code}
    assert len(quotas) > 200
    assert {pair for pair in quotas if classify(*pair) != "failed"} == set()


def test_huge_codes_cost_little_time() -> None:
    """A code of megabytes, all spelling, is classified at once: only its start is read."""
    code = "Client." * 1_000_000
    assert timeit.timeit(lambda: classify(code, EC2), number=1000) < 1


def test_huge_codes_and_sources_are_not_remembered() -> None:
    """However many codes and sources of a megabyte there are, they are not kept in memory."""
    tracemalloc.start()
    for number in range(50):
        classify(f"{number}" * 1_000_000, f"{number}" * 1_000_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


def test_importing_it_is_cheap() -> None:
    """The module is on a Lambda's cold start: no botocore, no msgspec, no regular expressions."""
    program = "import sys; exec(open(sys.argv[1]).read()); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, outcomes.__file__],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert "functools" in loaded
    assert not {"botocore", "msgspec", "re"} & loaded
