"""
How a call ended: ok, throttled, denied or failed, from its errorCode and its eventSource.

*Throttled*: too many or too large calls just then; the same call later would pass. *Denied*: the
caller, role or key may not do it: no permission, credentials that do not hold, an account without
the service. *Failed*: every other error, quotas and missing resources among them. *Ok*: no error.

Outcomes are derived on reading, so better tables reclassify the past. Their sources: botocore
1.44.5 (``retries/standard.py`` and the models of its services, named here as there), "Error codes
for the Amazon EC2 API", S3's "Error responses", and "Common errors" in any service's API reference.
"""

from functools import lru_cache

OUTCOMES: tuple[str, ...] = ("ok", "throttled", "denied", "failed")
_OK, _THROTTLED, _DENIED, _FAILED = OUTCOMES

# EC2 writes Client.UnauthorizedOperation; other services leave the side out.
_SIDES = ("Client.", "Server.")
# One error is Throttling, ThrottlingException and ThrottledException; SNS has AuthorizationError
# as AuthorizationErrorException in its model.
_ENDINGS = ("Exception", "Fault", "Error")

# Words: a code that contains one belongs to a family that AWS names consistently.
#
# A missing resource can neither be denied nor throttled: redshift's AuthorizationNotFound, EC2's
# InvalidRouteTableID.NotFound, S3's NoSuchBucket. These come first.
_NOT_THERE = ("NotFound", "NoSuch")
# Throttling (235 services), ThrottledClient (chime), RequestThrottled (sqs), KMS.Throttling and
# KmsThrottled (sqs, sns, kinesis, dms, states), EC2Throttled (lambda), DependencyThrottle (elb).
_THROTTLED_WORDS = ("Throttl",)
# AccessDenied (258 services), VpceAccessDenied (network activity events), KMSAccessDenied,
# AccessToClusterDenied (redshift); UnauthorizedOperation (ec2), Unauthorized (28 services);
# NotAuthorized ("Common errors"; cognito-idp answers a wrong password with it); Forbidden (28
# services, HTTP 403); AuthFailure and AuthFailure.ServiceLinkedRoleCreationNotPermitted (ec2);
# OptInRequired (ec2: "You are not authorized to use the requested service"; KMSOptInRequired).
_DENIED_WORDS = (
    "Denied",
    "Unauthorized",
    "NotAuthorized",
    "Forbidden",
    "AuthFailure",
    "OptInRequired",
)

# Codes, spelled plainly.
#
# Not here, though botocore retries or models it like a throttle, because asking less often does
# not help: TransactionInProgress (dynamodb: the transaction with this token is still running, a
# conflict with the caller's own first attempt), ModelNotReady (bedrock, sagemaker),
# ConcurrentModification (cloudwatch) and ServiceUnavailable (chatbot), all HTTP 429. Nor quotas
# on what exists: LimitExceeded, ResourceLimitExceeded, VcpuLimitExceeded, VpcLimitExceeded,
# InstanceLimitExceeded, TooManyTags, ServiceQuotaExceeded, be its status 429 as in oam; nor
# VolumeModificationRateExceeded, four in 24 hours.
_THROTTLED_CODES = frozenset(
    {
        # botocore, retries/standard.py
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "TooManyRequests",
        # botocore, service models
        "APICallRateForCustomerExceeded",  # elasticache, memorydb
        "CallRateLimitExceeded",  # imagebuilder
        "ClientLimitExceeded",  # kinesisvideo: "throttled the request"
        "DescribeAttachmentLimitExceeded",  # support: requests "in a short period of time"
        "RateLimit",  # wickr: RateLimitError
        "RateExceeded",  # the message "Rate exceeded", as some services write it for a code
        "RateLimitExceeded",  # license-manager
        "ResourceProvisionedThroughputExceeded",  # kinesisanalytics, of the stream it reads
        "TooManyRequest",  # elementalinference
        "429",  # the HTTP status, where a service has no other code
        # ec2 itself, of a volume: "CreateSnapshot request rate has been exceeded"
        "SnapshotCreationPerVolumeRateExceeded",
    },
)

# Not here: tokens and permissions that are not the caller's identity: ExpiredNextToken,
# ExpiredIterator, ExpiredImportToken, AuthorizationPending (an SSO sign-in being polled),
# AuthorizationAlreadyExists, OperationNotPermitted (ec2: a protected resource),
# CloudTrailInvalidClientTokenId (a topic of a suspended account), NotOrganizationMasterAccount.
# Nor DryRunOperation (ec2: "the request would have succeeded"): nobody was denied, yet nothing
# was done and there is an errorCode; ok is kept for calls without one.
_DENIED_CODES = frozenset(
    {
        # Credentials that do not hold: "Common errors"; DynamoDB's "Error handling"
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignature",  # as JSON services write SignatureDoesNotMatch
        "MissingAuthenticationToken",
        "RequestExpired",  # EC2 says so of an expired session token too: aws-sdk-go #253
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
        # ... S3's "Error responses"
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "RequestTimeTooSkewed",
        "TokenRefreshRequired",
        # ... botocore, service models
        "Auth",  # ec2-instance-connect: AuthException
        "ExpiredTradeInToken",  # sts
        "IDPRejectedClaim",  # sts
        "InvalidClient",  # sso-oidc, HTTP 401
        "InvalidCredentials",  # cloudcontrol, elasticache, memorydb
        "InvalidIdentityToken",  # sts
        "Unauthenticated",  # lightsail
        "401",  # the HTTP status, where a service has no other code
        # No permission: botocore, service models
        "Authorization",  # sns, discovery: AuthorizationError; license-manager
        "ChannelInsufficientPermission",  # cloudtrail-data
        "InsufficientDependencyServiceAccessPermission",  # cloudtrail
        "InsufficientIAMAccessPermission",  # cloudtrail
        "InsufficientPermissions",  # config, ds
        "InsufficientPrivileges",  # elasticbeanstalk
        "403",  # the HTTP status, as codeartifact writes it
        "SNSNoAuthorization",  # dms, docdb, neptune, rds, redshift
        # An account without the service, or shut off: EC2's "Error codes", S3's "Error responses"
        "AccountProblem",
        "AccountSuspended",  # codebuild, ses
        "AllAccessDisabled",
        "BlockedByOrganizationPolicy",  # ecr
        "InvalidAccess",  # securityhub: of an account that has not enabled it, HTTP 401
        "NotSignedUp",
        "PendingVerification",
        "S3SubscriptionRequired",  # elasticbeanstalk
        "SerialConsoleAccessDisabled",  # ec2-instance-connect
        "SubscriptionRequired",  # support, without a support plan; bedrock-agentcore, 403
    },
)

# Codes with a meaning in one service only, by the first label of eventSource. LimitExceeded is a
# quota unless the service's model speaks of calls: in ce, lex and transcribe every operation
# declares it, with HTTP 429 or "too many calls", and there is no other code for a throttle.
# Where there is one (apigateway, securityhub, connect), LimitExceeded is a quota, 429 or not.
_IN_SERVICE = {
    ("ce", "LimitExceeded"): _THROTTLED,  # "too many calls in a short period of time"
    ("kinesis", "LimitExceeded"): _THROTTLED,  # concurrent requests; botocore retries it
    ("lex", "LimitExceeded"): _THROTTLED,  # 429 with retryAfterSeconds
    ("transcribe", "LimitExceeded"): _THROTTLED,  # "you've ... sent too many requests"
    ("ebs", "ConcurrentLimitExceeded"): _THROTTLED,  # "concurrent API requests"
    ("support", "AttachmentLimitExceeded"): _THROTTLED,  # a rate; in ec2 a quota of volumes
    ("elasticfilesystem", "TooManyRequests"): _FAILED,  # one change of throughput in 24 hours
    ("ec2", "Blocked"): _DENIED,  # "Your account is currently blocked"
    ("swf", "OperationNotPermitted"): _DENIED,  # permissions; in ec2 and elb what is protected
    ("s3", "InvalidToken"): _DENIED,  # a session token; in states a task's, in others a page's
}

# Error codes are hostile input: how much of one is read, and how many are remembered, is bounded.
_LONGEST = 256  # characters; the longest code in botocore's models has 61
_REMEMBERED = 1024  # pairs of code and source; our sample trails have under a hundred


def classify(errorCode: str, eventSource: str, *, failed_without_code: bool = False) -> str:  # noqa: N803
    """
    Return how a call ended: one of OUTCOMES.

    *failed_without_code* marks a call that failed although it has no errorCode: a sign-in.
    """
    if not errorCode:
        return _FAILED if failed_without_code else _OK
    return _look_up(errorCode[:_LONGEST], eventSource[:_LONGEST])


@lru_cache(_REMEMBERED)
def _look_up(error: str, source: str) -> str:
    code = _spelled_plainly(error)
    service = source.partition(".")[0]  # the same service in every AWS partition
    if (service, code) in _IN_SERVICE:
        return _IN_SERVICE[service, code]
    if any(word in code for word in _NOT_THERE):
        return _FAILED
    if code in _THROTTLED_CODES or any(word in code for word in _THROTTLED_WORDS):
        return _THROTTLED
    if code in _DENIED_CODES or any(word in code for word in _DENIED_WORDS):
        return _DENIED
    return _FAILED


def _spelled_plainly(error: str) -> str:
    """
    Strip all that is spelling, not meaning: HTTP status, sides, endings, additions of protocols.

    Those name an error ``com.amazonaws.kms#ThrottlingException:http://…``; botocore's
    ``parsers.py`` takes the name out of it in the same way.
    """
    code = error.partition(":")[0].rpartition("#")[2]
    status, _, name = code.partition(" ")
    if name and len(status) == 3 and status.isdigit():  # noqa: PLR2004 - "503 SlowDown"
        code = name
    while code.startswith(_SIDES):
        code = code.partition(".")[2]
    while code.endswith(_ENDINGS):
        for ending in _ENDINGS:
            code = code.removesuffix(ending)
    return code
