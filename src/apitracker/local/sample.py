"""
A synthetic trail that looks real: CloudTrail's folders, objects and records, all of it invented.

No account, role, address or key in here is anybody's. Accounts look like AWS's examples, addresses
come from the ranges kept for documentation (RFC 5737), and every key id says EXAMPLE. Names of
services, APIs and error codes are AWS's; how often each occurs is made up, and so is the story:

- a steady hum of automation, busy office hours (UTC), quiet nights and quieter weekends;
- `CULPRIT` hammers ec2:DescribeInstances for twenty minutes. It is seldom throttled itself; the
  roles around it are, so whoever looks for the most throttled role finds a victim;
- `DENIED_CALLER` runs into denials for half an hour;
- about one record in a hundred is delivered a second time, in another object.

The tables come first, then how a record is made, how objects are delivered, and `write`.
"""

# ruff: noqa: S311  a pseudo-random generator is wanted: the same seed writes the same trail

import hashlib
import json
import random
import string
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeAlias

from isal import igzip

from apitracker.errors import UsageError

UNTIL = datetime(2026, 10, 31, tzinfo=UTC)
"""Where a trail ends unless told otherwise: a Saturday, so that three days are working days."""

MAX_DAYS = 366
FIRST_YEAR = 2014  # CloudTrail began in November 2013

SLICE = timedelta(minutes=5)  # CloudTrail delivers about every five minutes
SLICE_SECONDS = 300
HOURS = 24
FRIDAY = 4  # datetime.weekday()

FEWEST_LOGS = 400  # small trails have about as many objects as this,
FULL = 2_500  # until an object would hold more records than this: 3 MB of JSON
MOST = 5_000  # an object never holds more calls than this
ONE_AGAIN_IN = 100  # calls, of which one is delivered twice

LEVEL = 1  # igzip's fastest that still compresses like CloudTrail's own objects


class Window(NamedTuple):
    """A stretch of time: from *start* up to, and not including, *end*."""

    start: datetime
    end: datetime


class Written(NamedTuple):
    """
    What was written.

    *logs* are the objects that hold records, *digests* those that hold none. *records* is
    ``calls + duplicates + skipped + rejected``: what any honest count of the trail must find.
    *bytes* is the size of all files as they lie on disk, *inflated* that of the JSON in the logs.
    *incident* is when `CULPRIT` hammered.
    """

    logs: int
    digests: int
    records: int
    calls: int
    duplicates: int
    skipped: int
    rejected: int
    bytes: int
    inflated: int
    incident: Window


ACCOUNTED = ("calls", "duplicates", "skipped", "rejected")  # a record is one of these
COUNTED = ("logs", "digests", *ACCOUNTED, "bytes", "inflated")


class Place(NamedTuple):
    """One account in one region: what CloudTrail delivers objects for."""

    account: str
    region: str


# Where ---------------------------------------------------------------------------------------

PRODUCTION, STAGING, SHARED, SECURITY = (
    "111122223333",
    "444455556666",
    "777788889999",
    "222233334444",
)
ACCOUNTS = {PRODUCTION: 50, STAGING: 25, SHARED: 15, SECURITY: 10}  # percent of the calls
HOME = "us-east-1"  # global services are recorded here
REGIONS = {HOME: 60, "eu-west-1": 30, "ap-southeast-2": 10}
PLACES = {
    Place(account, region): part * share
    for account, part in ACCOUNTS.items()
    for region, share in REGIONS.items()
}
STRANGER = "999900001111"  # an account outside the trail that calls into it
BUCKET = "example-trail-bucket"


# What can be called --------------------------------------------------------------------------
#
# In these tables <account>, <region> and the like are filled in once, when a template is made;
# %(id)s and the like are filled in for every record. Weights follow an equals sign, 1 if absent.


class _Service(NamedTuple):
    """An AWS service: its APIs, and what its records have in common."""

    version: str
    reads: str = ""
    writes: str = ""
    happens: str = ""  # what the service does of its own accord: AwsServiceEvent
    signs_in: str = ""  # AwsConsoleSignIn
    request: str = '{"maxResults":100}'
    response: str = "null"  # of an API that writes
    refusal: str = "null"  # the response of a call that failed
    extra: str = ""  # additionalEventData
    resource: str = ""  # its type and ARN
    is_global: bool = False
    errors: tuple[tuple[str, str], ...] = ()


_NOT_FOUND = ("ResourceNotFoundException", "The resource you asked for does not exist.")
_RATE = ("ThrottlingException", "Rate exceeded")
_INVALID = ("ValidationException", "1 validation error detected: a value is out of range.")

_SERVICES = {
    "sts": _Service(
        "1.08",
        "AssumeRole=60 AssumeRoleWithWebIdentity=12 AssumeRoleWithSAML=2 GetCallerIdentity=14"
        " GetSessionToken GetFederationToken GetAccessKeyInfo DecodeAuthorizationMessage",
        request="null",
        resource="AWS::IAM::Role arn:aws:iam::<account>:role/deploy-%(id).4s",
        errors=(("ExpiredTokenException", "The security token included has expired"),),
    ),
    "s3": _Service(
        "1.10",
        "GetBucketAcl=30 ListBuckets=10 GetBucketLocation=9 GetBucketEncryption=5"
        " GetBucketPolicy=5 GetBucketPolicyStatus=4 GetBucketVersioning=4 GetBucketTagging=4"
        " GetBucketLifecycle=3 GetBucketLogging=3 GetBucketReplication=2 GetBucketCors=2"
        " GetBucketPublicAccessBlock=5 GetAccountPublicAccessBlock=3 GetBucketWebsite"
        " GetBucketObjectLockConfiguration GetBucketNotification GetStorageLensConfiguration",
        "PutBucketPolicy=2 PutBucketEncryption=2 PutBucketTagging=2 CreateBucket DeleteBucket"
        " PutBucketLifecycle PutBucketPublicAccessBlock PutBucketVersioning",
        request='{"bucketName":"example-data-%(id).6s","Host":"s3.<region>.amazonaws.com","acl":""}',
        extra='{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256",'
        '"bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader",'
        '"x-amz-id-2":"EXAMPLE%(id)sEXAMPLE","bytesTransferredOut":542}',
        resource="AWS::S3::Bucket arn:aws:s3:::example-data-%(id).6s",
        errors=(
            ("NoSuchBucketPolicy", "The bucket policy does not exist"),
            ("NoSuchTagSet", "The TagSet does not exist"),
            ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
            ("NoSuchBucket", "The specified bucket does not exist"),
        ),
    ),
    "ec2": _Service(
        "1.11",
        "DescribeInstances=40 DescribeInstanceStatus=10 DescribeVolumes=9 DescribeSubnets=9"
        " DescribeSecurityGroups=9 DescribeNetworkInterfaces=12 DescribeVpcs=7 DescribeTags=6"
        " DescribeRegions=4 DescribeAvailabilityZones=4 DescribeImages=4 DescribeSnapshots=4"
        " DescribeInstanceTypes=4 DescribeRouteTables=3 DescribeAddresses=3 DescribeKeyPairs"
        " DescribeLaunchTemplates=2 DescribeLaunchTemplateVersions=3 DescribeNatGateways=2"
        " DescribeVpcEndpoints=2 DescribeInternetGateways=2 DescribeNetworkAcls=2"
        " DescribeFlowLogs DescribeInstanceAttribute=2 DescribeSpotPriceHistory"
        " DescribeTransitGateways GetConsoleOutput GetEbsEncryptionByDefault",
        "RunInstances=3 TerminateInstances=3 CreateTags=5 DeleteTags CreateNetworkInterface=4"
        " DeleteNetworkInterface=4 AttachVolume=2 DetachVolume=2 CreateVolume=2 DeleteVolume"
        " CreateSnapshot=3 DeleteSnapshot=2 CreateSecurityGroup DeleteSecurityGroup"
        " AuthorizeSecurityGroupIngress=2 RevokeSecurityGroupIngress StartInstances StopInstances"
        " ModifyInstanceAttribute CreateLaunchTemplateVersion AssignPrivateIpAddresses=2",
        happens="BidEvictedEvent SharedSnapshotVolumeCreated",
        request='{"maxResults":1000,"instancesSet":{"items":[{"instanceId":"i-0%(id)s"}]},'
        '"filterSet":{}}',
        response='{"requestId":"%(request)s","_return":true}',
        errors=(
            ("Client.InvalidInstanceID.NotFound", "The instance ID does not exist"),
            ("Client.InvalidParameterValue", "A value for parameter maxResults is invalid."),
            ("Client.DryRunOperation", "Request would have succeeded, but DryRun flag is set."),
            ("Client.InvalidGroup.NotFound", "The security group does not exist"),
        ),
    ),
    "kms": _Service(
        "1.11",
        "Decrypt=60 GenerateDataKey=30 DescribeKey=8 GetKeyPolicy=2 GetKeyRotationStatus=3"
        " ListAliases=2 ListKeys=2 ListResourceTags Sign=2 GetPublicKey",
        "CreateGrant=4 RetireGrant=2 CreateKey PutKeyPolicy TagResource ScheduleKeyDeletion",
        happens="RotateKey",
        request='{"keyId":"arn:aws:kms:<region>:<account>:key/example-%(id)s",'
        '"encryptionAlgorithm":"SYMMETRIC_DEFAULT",'
        '"encryptionContext":{"aws:example:arn":"arn:aws:example:<region>:<account>:thing"}}',
        resource="AWS::KMS::Key arn:aws:kms:<region>:<account>:key/example-%(id)s",
        errors=(
            ("NotFoundException", "Key does not exist"),
            ("InvalidCiphertextException", "The ciphertext refers to a key that does not exist."),
            ("DisabledException", "The key is disabled."),
        ),
    ),
    "lambda": _Service(
        "1.11",
        "ListFunctions20150331=8 GetFunction20150331v2=7 GetFunctionConfiguration20150331v2=4"
        " ListTags20170331=4 ListVersionsByFunction20150331=2 GetPolicy20150331v2=2"
        " ListEventSourceMappings20150331=2 GetAccountSettings20160819 ListLayers20181031",
        "UpdateFunctionCode20150331v2=4 UpdateFunctionConfiguration20150331v2=3"
        " PublishVersion20150331=2 CreateFunction20150331 DeleteFunction20150331"
        " AddPermission20150331v2 TagResource20170331v2 UpdateAlias20150331",
        request='{"functionName":"arn:aws:lambda:<region>:<account>:function:example-%(id).5s"}',
        response='{"functionName":"example-%(id).5s","runtime":"python3.14","timeout":30,'
        '"memorySize":512,"state":"Active","architectures":["arm64"],"codeSize":1048576}',
        errors=(_NOT_FOUND, ("TooManyRequestsException", "Rate Exceeded.")),
    ),
    "dynamodb": _Service(
        "1.10",
        "DescribeTable=20 ListTables=6 DescribeContinuousBackups=3 DescribeTimeToLive=3"
        " ListTagsOfResource=3 DescribeLimits DescribeBackup",
        "CreateTable UpdateTable=2 UpdateTimeToLive CreateBackup=2 DeleteBackup DeleteTable",
        request='{"tableName":"example-orders-%(id).4s"}',
        resource="AWS::DynamoDB::Table arn:aws:dynamodb:<region>:<account>:table/example-%(id).4s",
        errors=(("ResourceInUseException", "Table already exists"), _NOT_FOUND),
    ),
    "iam": _Service(
        "1.11",
        "GetRole=12 ListAttachedRolePolicies=8 ListRolePolicies=7 GetPolicy=5 GetUser=4"
        " GetPolicyVersion=5 ListRoles=4 ListUsers=4 ListAccessKeys=4 ListMFADevices=3"
        " GetAccountPasswordPolicy=2 GetAccountSummary=2 ListPolicies=3 ListInstanceProfiles=2"
        " GetInstanceProfile=2 ListGroupsForUser=2 GetRolePolicy=3 GetCredentialReport"
        " GetAccessKeyLastUsed=3 ListEntitiesForPolicy GetLoginProfile",
        "CreateRole=2 DeleteRole PutRolePolicy=2 AttachRolePolicy=2 DetachRolePolicy"
        " CreatePolicyVersion TagRole CreateServiceLinkedRole UpdateAssumeRolePolicy"
        " CreateAccessKey DeleteAccessKey",
        request='{"roleName":"example-%(id).6s"}',
        is_global=True,
        errors=(
            ("NoSuchEntityException", "The role with this name cannot be found."),
            ("EntityAlreadyExistsException", "A role with this name already exists."),
            ("LimitExceededException", "Cannot exceed quota for PoliciesPerRole: 10"),
        ),
    ),
    "logs": _Service(
        "1.11",
        "DescribeLogGroups=12 DescribeLogStreams=8 StartQuery=3 GetQueryResults=6 GetLogRecord"
        " ListTagsForResource=2 DescribeSubscriptionFilters=2 DescribeMetricFilters",
        "CreateLogStream=40 CreateLogGroup=5 PutRetentionPolicy=2 PutSubscriptionFilter"
        " DeleteLogStream TagResource",
        request='{"logGroupName":"/aws/lambda/example-%(id).5s","logStreamName":"[$LATEST]%(id)s"}',
        errors=(
            ("ResourceAlreadyExistsException", "The specified log stream already exists"),
            _RATE,
            _NOT_FOUND,
        ),
    ),
    "ssm": _Service(
        "1.08",
        "GetParameter=10 GetParameters=8 GetParametersByPath=6 DescribeInstanceInformation=4"
        " ListAssociations=2 ListInstanceAssociations=6 DescribeParameters=2 GetDocument=2"
        " DescribeDocument=2 GetCommandInvocation=2 GetDeployablePatchSnapshotForInstance",
        "UpdateInstanceInformation=40 UpdateInstanceAssociationStatus=5 PutInventory=5"
        " SendCommand PutParameter StartSession TerminateSession",
        request='{"instanceId":"i-0%(id)s","agentVersion":"3.3.1.0","agentStatus":"Active",'
        '"platformType":"Linux","platformName":"Amazon Linux","platformVersion":"2023",'
        '"iPAddress":"192.0.2.10","computerName":"ip-192-0-2-10.<region>.compute.internal",'
        '"agentName":"amazon-ssm-agent","availabilityZone":"<region>a","sSMConnectionChannel":'
        '"ssmmessages"}',
        errors=(_RATE, ("ParameterNotFound", "Parameter not found."), _INVALID),
    ),
    "secretsmanager": _Service(
        "1.08",
        "GetSecretValue=40 DescribeSecret=10 ListSecrets=4 GetResourcePolicy=2"
        " ListSecretVersionIds",
        "PutSecretValue UpdateSecret CreateSecret RotateSecret UpdateSecretVersionStage",
        happens="RotationStarted RotationSucceeded",
        request='{"secretId":"arn:aws:secretsmanager:<region>:<account>:secret:example-%(id).6s",'
        '"versionStage":"AWSCURRENT"}',
        errors=(("ResourceNotFoundException", "Secrets Manager can't find the secret."),),
    ),
    "cloudformation": _Service(
        "1.08",
        "DescribeStacks=20 DescribeStackEvents=9 ListStacks=5 GetTemplate=3"
        " DescribeStackResources=5 ListStackResources=4 DescribeChangeSet=4 ListExports=2",
        "CreateChangeSet=3 ExecuteChangeSet=3 UpdateStack=2 CreateStack DeleteStack",
        request='{"stackName":"arn:aws:cloudformation:<region>:<account>:stack/example/%(id)s"}',
        errors=(_RATE, ("ValidationException", "Stack with id example does not exist")),
    ),
    "eks": _Service(
        "1.08",
        "DescribeCluster=12 ListClusters=5 DescribeNodegroup=5 ListNodegroups=4 ListAddons=2"
        " DescribeAddon=2 ListUpdates",
        "AssumeRoleForPodIdentity=10 UpdateNodegroupConfig UpdateAddon UpdateClusterConfig",
        request='{"name":"example-cluster"}',
        errors=(("ResourceNotFoundException", "No cluster found for name: example-cluster."),),
    ),
    "ecr": _Service(
        "1.10",
        "GetAuthorizationToken=20 BatchGetImage=16 GetDownloadUrlForLayer=16"
        " BatchCheckLayerAvailability=6 DescribeRepositories=4 DescribeImages=4 ListImages=2",
        "InitiateLayerUpload=2 UploadLayerPart=2 CompleteLayerUpload=2 PutImage=2",
        happens="PolicyExecutionEvent",
        request='{"repositoryName":"example/api","registryId":"<account>",'
        '"imageIds":[{"imageTag":"build-%(id).7s"}]}',
        resource="AWS::ECR::Repository arn:aws:ecr:<region>:<account>:repository/example/api",
        errors=(("ImageNotFoundException", "The image requested does not exist."),),
    ),
    "rds": _Service(
        "1.11",
        "DescribeDBInstances=20 DescribeDBClusters=12 DescribeDBSnapshots=5 ListTagsForResource=5"
        " DescribeDBParameters=2 DescribeEvents=2 DescribePendingMaintenanceActions",
        "CreateDBSnapshot=2 DeleteDBSnapshot=2 ModifyDBInstance CreateDBClusterSnapshot",
        request='{"dBInstanceIdentifier":"example-db-%(id).3s"}',
        errors=(("DBInstanceNotFoundFault", "DBInstance example-db not found."),),
    ),
    "autoscaling": _Service(
        "1.11",
        "DescribeAutoScalingGroups=20 DescribeAutoScalingInstances=8 DescribeScalingActivities=4"
        " DescribeLaunchConfigurations=2 DescribePolicies=2 DescribeTags=3",
        "SetDesiredCapacity=2 UpdateAutoScalingGroup=2 CompleteLifecycleAction=2"
        " TerminateInstanceInAutoScalingGroup",
        request='{"autoScalingGroupNames":["example-workers"],"maxRecords":100}',
        errors=(("Throttling", "Rate exceeded"), _INVALID),
    ),
    "elasticloadbalancing": _Service(
        "1.10",
        "DescribeTargetHealth=20 DescribeLoadBalancers=12 DescribeTargetGroups=10 DescribeRules=4"
        " DescribeListeners=6 DescribeTags=6 DescribeLoadBalancerAttributes=2",
        "RegisterTargets=4 DeregisterTargets=4 ModifyTargetGroup ModifyRule CreateTargetGroup",
        request='{"targetGroupArn":"arn:aws:elasticloadbalancing:<region>:<account>:'
        'targetgroup/example/%(id)s"}',
        errors=(("TargetGroupNotFoundException", "One or more target groups not found"),),
    ),
    "monitoring": _Service(
        "1.11",
        "DescribeAlarms=10 ListMetrics=5 DescribeAlarmsForMetric=3 GetDashboard=2 ListDashboards"
        " DescribeInsightRules",
        "PutMetricAlarm=3 DeleteAlarms PutDashboard SetAlarmState",
        errors=(("LimitExceeded", "The maximum number of alarms has been reached."),),
    ),
    "sns": _Service(
        "1.08",
        "ListTopics=4 GetTopicAttributes=5 ListSubscriptionsByTopic=3 ListTagsForResource",
        "Subscribe CreateTopic SetTopicAttributes",
        errors=(("NotFoundException", "Topic does not exist"),),
    ),
    "sqs": _Service(
        "1.10",
        "ListQueues=4 GetQueueUrl=6 GetQueueAttributes=8",
        "CreateQueue SetQueueAttributes TagQueue PurgeQueue",
        errors=(("AWS.SimpleQueueService.NonExistentQueue", "The queue does not exist."),),
    ),
    "events": _Service("1.09", "ListRules=4 DescribeRule=3 ListTargetsByRule=3", "PutRule=2"),
    "ecs": _Service(
        "1.11",
        "DescribeTasks=12 DescribeServices=10 ListTasks=8 ListClusters=3 DescribeTaskDefinition=4"
        " DescribeContainerInstances=2",
        "RunTask=2 UpdateService RegisterTaskDefinition StopTask SubmitTaskStateChange=4",
        request='{"cluster":"example","tasks":["arn:aws:ecs:<region>:<account>:task/ex/%(id)s"]}',
        errors=(("ClusterNotFoundException", "Cluster not found."),),
    ),
    "config": _Service(
        "1.08",
        "DescribeConfigurationRecorders=4 DescribeConfigRules=4 SelectResourceConfig=2"
        " DescribeComplianceByConfigRule=2",
        "PutEvaluations=10 PutConfigRule",
    ),
    "cloudtrail": _Service(
        "1.11",
        "DescribeTrails=5 GetTrailStatus=5 GetEventSelectors=3 LookupEvents=4 ListTrails",
        "StartQuery PutEventSelectors",
        errors=(("TrailNotFoundException", "Unknown trail: example-trail"), _RATE),
    ),
    "guardduty": _Service("1.08", "ListDetectors=3 GetFindings=3 ListFindings=3 GetDetector"),
    "organizations": _Service(
        "1.08",
        "ListAccounts=5 DescribeOrganization=5 DescribeAccount=3 ListPolicies",
        request="null",
        is_global=True,
        errors=(("TooManyRequestsException", "You have sent too many requests."),),
    ),
    "route53": _Service(
        "1.08",
        "ListHostedZones=5 ListResourceRecordSets=8 GetHostedZone=3 GetChange=3",
        "ChangeResourceRecordSets=3",
        request='{"hostedZoneId":"ZEXAMPLE%(id).6s"}',
        is_global=True,
        errors=(_RATE,),
    ),
    "acm": _Service("1.08", "ListCertificates=4 DescribeCertificate=5", "RequestCertificate"),
    "tagging": _Service("1.08", "GetResources=6 GetTagKeys", "TagResources"),
    "backup": _Service("1.08", "ListBackupJobs=2", happens="BackupJobStarted BackupJobCompleted"),
    "sso": _Service("1.08", "ListAccounts=5 ListAccountRoles=5 GetRoleCredentials=10 Logout"),
    "signin": _Service(
        "1.08",
        signs_in="ConsoleLogin",
        request="null",
        response='{"ConsoleLogin":"Success"}',
        refusal='{"ConsoleLogin":"Failure"}',
        extra='{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No",'
        '"MFAUsed":"Yes"}',
        is_global=True,
        errors=(("", "Failed authentication"),),  # CloudTrail gives no errorCode
    ),
}

_CREDENTIALS = (
    '{"credentials":{"accessKeyId":"ASIAEXAMPLE%(id).9s","sessionToken":"EXAMPLE"},'
    '"assumedRoleUser":{"assumedRoleId":"AROAEXAMPLE%(id).9s:%(id)s","arn":"arn:aws:sts::<account>:assumed-role/deploy/%(id)s"}}'
)
_POLICY = (
    r'{"roleName":"example-%(id).6s","policyName":"inline","policyDocument":'
    r'"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":'
    r'[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":\"*\"}]}"}'
)
_ASSUME = (
    '{"roleArn":"arn:aws:iam::<account>:role/deploy-%(id).4s","roleSessionName":"%(id)s",'
    '"durationSeconds":3600}'
)
_SHAPES = {  # requestParameters and responseElements that differ from the service's own
    "sts:AssumeRole": (_ASSUME, _CREDENTIALS),
    "sts:AssumeRoleWithSAML": (_ASSUME, _CREDENTIALS),
    "sts:AssumeRoleWithWebIdentity": (_ASSUME, _CREDENTIALS),
    "iam:PutRolePolicy": (_POLICY, "null"),
    "iam:CreateRole": (_POLICY, "null"),
    "sts:GetCallerIdentity": ("null", "null"),
    "s3:ListBuckets": ('{"Host":"s3.<region>.amazonaws.com"}', "null"),
}


# Who calls -----------------------------------------------------------------------------------

_IDENTITIES = {
    "role": '{"type":"AssumedRole","principalId":"AROAEXAMPLE<number>:%(session)s",'
    '"arn":"arn:aws:sts::<account>:assumed-role/<name>/%(session)s","accountId":"<account>",'
    '"accessKeyId":"ASIAEXAMPLE%(key)s","sessionContext":{"sessionIssuer":{"type":"Role",'
    '"principalId":"AROAEXAMPLE<number>","arn":"arn:aws:iam::<account>:role/<path><name>",'
    '"accountId":"<account>","userName":"<name>"},'
    '"attributes":{"creationDate":"%(created)s","mfaAuthenticated":"false"}}}',
    "person": '{"type":"AssumedRole","principalId":"AROAEXAMPLE<number>:%(session)s",'
    '"arn":"arn:aws:sts::<account>:assumed-role/<name>/%(session)s","accountId":"<account>",'
    '"accessKeyId":"ASIAEXAMPLE%(key)s","sessionContext":{"sessionIssuer":{"type":"Role",'
    '"principalId":"AROAEXAMPLE<number>","arn":"arn:aws:iam::<account>:role/<path><name>",'
    '"accountId":"<account>","userName":"<name>"},'
    '"attributes":{"creationDate":"%(created)s","mfaAuthenticated":"true"}}}',
    "linked": '{"type":"AssumedRole","principalId":"AROAEXAMPLE<number>:%(session)s",'
    '"arn":"arn:aws:sts::<account>:assumed-role/<name>/%(session)s","accountId":"<account>",'
    '"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE<number>",'
    '"arn":"arn:aws:iam::<account>:role/<path><name>","accountId":"<account>",'
    '"userName":"<name>"},"attributes":{"creationDate":"%(created)s",'
    '"mfaAuthenticated":"false"}},"invokedBy":"<address>"}',
    "user": '{"type":"IAMUser","principalId":"AIDAEXAMPLE<number>",'
    '"arn":"arn:aws:iam::<account>:user/<name>","accountId":"<account>",'
    '"accessKeyId":"AKIAEXAMPLE<number>","userName":"<name>"}',
    "root": '{"type":"Root","principalId":"<account>","arn":"arn:aws:iam::<account>:root",'
    '"accountId":"<account>","accessKeyId":"ASIAEXAMPLE%(key)s","sessionContext":{"attributes":'
    '{"creationDate":"%(created)s","mfaAuthenticated":"true"}}}',
    "service": '{"type":"AWSService","invokedBy":"<address>"}',
    "event": '{"accountId":"<account>","invokedBy":"<address>"}',
    "account": '{"type":"AWSAccount","principalId":"AROAEXAMPLE<number>:%(session)s",'
    '"accountId":"' + STRANGER + '"}',
    "web": '{"type":"WebIdentityUser","principalId":"arn:aws:iam::<account>:oidc-provider/'
    'oidc.eks.<region>.amazonaws.com/id/EXAMPLE:sts.amazonaws.com:<name>","userName":"<name>",'
    '"identityProvider":"arn:aws:iam::<account>:oidc-provider/oidc.eks.<region>.amazonaws.com/'
    'id/EXAMPLE"}',
    "center": '{"type":"IdentityCenterUser","accountId":"<account>","onBehalfOf":{"userId":'
    '"example-%(session)s","identityStoreArn":"arn:aws:identitystore::<account>:'
    'identitystore/d-example"},"credentialId":"example-%(key)s"}',
    "federated": '{"type":"FederatedUser","principalId":"<account>:%(session)s",'
    '"arn":"arn:aws:sts::<account>:federated-user/%(session)s","accountId":"<account>",'
    '"accessKeyId":"ASIAEXAMPLE%(key)s","sessionContext":{"sessionIssuer":{"type":"IAMUser",'
    '"principalId":"AIDAEXAMPLE<number>","arn":"arn:aws:iam::<account>:user/<name>",'
    '"accountId":"<account>","userName":"<name>"},"webIdFederationData":{},'
    '"attributes":{"creationDate":"%(created)s","mfaAuthenticated":"false"}}}',
    "login": '{"type":"IAMUser","principalId":"AIDAEXAMPLE<number>",'
    '"arn":"arn:aws:iam::<account>:user/<name>","accountId":"<account>","userName":"<name>"}',
    "guess": '{"type":"IAMUser","accountId":"<account>","accessKeyId":"","userName":"%(session)s"}',
}
_TLS = (
    ',"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
    '"clientProvidedHostHeader":"<service>.<region>.amazonaws.com"}'
)
_TAILS = {  # what stands at the end of a record of a caller of this kind; _TLS if nothing else
    "person": ',"sessionCredentialFromConsole":"true"',
    "linked": "",
    "service": "",
    "event": "",
}
_SHARING = ("account", "service")  # the other account has the same call: a sharedEventID

_PYTHON = "Boto3/1.42.3 md/Botocore#1.42.3 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.13.1"
_GO = "aws-sdk-go-v2/1.39.0 ua/2.1 os/linux lang/go#1.25.1 md/GOARCH#arm64 api/example#1.30.1"
_JAVA = "aws-sdk-java/2.33.0 md/io#async md/http#NettyNio ua/2.1 os/Linux#6.1 lang/java#21.0.8"
_NODEJS = "aws-sdk-js/3.896.0 ua/2.1 os/linux#6.1 lang/js md/nodejs#24.8.0 AWS_Lambda_nodejs24.x"
_AGENT = "aws-sdk-go/1.55.8 (go1.25.1; linux; amd64) amazon-ssm-agent/3.3.1.0"
_CLI = "aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 lang/python#3.13.7 md/prompt#off"
_TERRAFORM = "APN/1.0 HashiCorp/1.0 Terraform/1.13.0 (+https://www.terraform.io) " + _GO
_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0"
    " Safari/537.36"
)

_INSIDE, _OFFICE, _ELSEWHERE = "192.0.2.%(host)d", "203.0.113.%(host)d", "198.51.100.%(host)d"
_PEOPLE = "ada@example.com grace@example.com alan@example.com edsger@example.com mary@example.com"

_Rhythm: TypeAlias = tuple[int, ...]  # how much goes on in each hour of a day, in UTC
_STEADY: _Rhythm = (10,) * HOURS
_WORK: _Rhythm = (
    1,
    0,
    0,
    0,
    1,
    2,
    6,
    16,
    30,
    38,
    40,
    37,
    30,
    36,
    40,
    38,
    33,
    24,
    13,
    7,
    5,
    4,
    3,
    2,
)
_NIGHT: _Rhythm = (10, 60, 80, 40) + (2,) * (HOURS - 4)
_WEEKEND = {_STEADY: 100, _WORK: 12, _NIGHT: 100}  # percent of a working day


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    """Someone who calls: who it is, how much, what, from where and when. In every account."""

    kind: str
    name: str
    weight: int
    uses: str  # service:API, either a glob, and its weight
    agent: str = ""  # the address, if nothing else
    sessions: str = "%(id)s"  # names to choose from
    address: str = _INSIDE
    rhythm: _Rhythm = _STEADY
    path: str = ""
    fails: float = 0.04  # of its calls, where the service has errors to fail with


# A table reads better in rows.
# fmt: off
_SCANNER = _Caller(
    "role", "inventory-scanner", 20, "ec2:DescribeInstances=4 ec2:Describe*=4 tagging:*",
    _PYTHON, "scan-%(id)s")
_REPORTER = _Caller(
    "role", "report-builder", 6,
    "s3:ListBuckets=3 s3:GetBucketLocation=3 sts:GetCallerIdentity rds:Describe*",
    _PYTHON, "botocore-session-%(digits)s", _ELSEWHERE, _WORK)
_SCALER = _Caller(
    "role", "cluster-autoscaler", 70,
    "autoscaling:Describe*=8 ec2:DescribeInstance*=4 ec2:DescribeLaunch*=2 eks:DescribeNodegroup",
    _GO, "%(digits)s")
_BALANCER = _Caller(
    "role", "load-balancer-controller", 60,
    "elasticloadbalancing:*=9 ec2:DescribeSubnets ec2:DescribeSecurityGroups ec2:DescribeVpcs",
    _GO, "%(digits)s")
_COLLECTOR = _Caller(
    "role", "metrics-collector", 90,
    "monitoring:*=3 ec2:Describe*=6 rds:Describe*=3 elasticloadbalancing:Describe*=3 ecs:*=2"
    " lambda:List*=2 sqs:*=2 dynamodb:Describe*=2 tagging:* sns:List*",
    _PYTHON, "collector", _OFFICE)
_NODE = _Caller(
    "role", "cluster-node", 110,
    "ecr:Get*=6 ecr:Batch*=5 ec2:DescribeInstances=2 ec2:*NetworkInterface*=3 eks:*=3",
    _GO, "i-0%(id)s")
_DEPLOYER = _Caller(
    "role", "ci-deploy", 60,
    "cloudformation:*=9 lambda:*=5 ecr:*=3 iam:GetRole iam:PutRolePolicy ssm:GetParameter*=2"
    " ec2:DescribeInstances s3:*",
    _CLI, "GitHubActions-%(digits)s", _ELSEWHERE, _WORK)

_CALLERS = (
    _SCANNER, _REPORTER, _SCALER, _BALANCER, _COLLECTOR, _NODE, _DEPLOYER,
    _Caller(
        "role", "orders-api", 120,
        "kms:Decrypt=12 kms:GenerateDataKey=8 secretsmanager:GetSecretValue=3 sqs:GetQueueUrl=2"
        " dynamodb:DescribeTable=3 sts:AssumeRole=4",
        _JAVA, "orders-%(id)s"),
    _Caller(
        "role", "payments-api", 80,
        "kms:*=10 secretsmanager:GetSecretValue=4 sts:AssumeRole=2 sts:GetCallerIdentity",
        _JAVA, "i-0%(id)s"),
    _Caller(
        "role", "thumbnail-function", 90,
        "logs:CreateLogStream=9 kms:Decrypt=6 logs:CreateLogGroup ssm:GetParameter=2",
        _NODEJS, "thumbnail thumbnail-large"),
    _Caller(
        "role", "external-secrets", 60,
        "secretsmanager:GetSecretValue=6 secretsmanager:DescribeSecret ssm:GetParameter*=5",
        _GO, "external-secrets-provider-aws"),
    _Caller(
        "role", "managed-instance", 110,
        "ssm:Update*=12 ssm:ListInstanceAssociations=4 ssm:PutInventory logs:DescribeLog*=2",
        _AGENT, "i-0%(id)s"),
    _Caller(
        "role", "workflow-runner", 50,
        "ecs:*=5 sts:AssumeRole=4 logs:StartQuery logs:GetQueryResults=2 events:* sns:*",
        _PYTHON, "run-%(digits)s"),
    _Caller(
        "role", "terraform", 70,
        "ec2:*=5 iam:*=5 s3:*=5 lambda:* rds:* kms:* route53:*=2 acm:* cloudformation:List*"
        " logs:* sns:* sqs:* events:* dynamodb:* elasticloadbalancing:* eks:*",
        _TERRAFORM, "aws-go-sdk-%(digits)s", _ELSEWHERE, _WORK),
    _Caller(
        "role", "security-audit", 90,
        "iam:Get*=5 iam:List*=6 s3:Get*=6 config:*=2 guardduty:*=2 cloudtrail:*=2 kms:Get*"
        " kms:List* organizations:*=2 ec2:Describe*=3 lambda:Get*",
        _PYTHON, "audit-%(id)s", _OFFICE, _NIGHT),
    _Caller(
        "role", "backup-runner", 40,
        "ec2:CreateSnapshot=3 ec2:DeleteSnapshot=2 ec2:DescribeSnapshots=2 rds:*Snapshot*=4"
        " dynamodb:*Backup* ec2:CreateTags=2",
        _PYTHON, "nightly-%(digits)s", rhythm=_NIGHT),
    _Caller(
        "person", "AWSReservedSSO_PowerUser_0000000000example", 110,
        "ec2:*=6 s3:*=5 lambda:*=3 logs:*=5 cloudformation:*=3 monitoring:*=4 rds:* iam:List*=2"
        " ecs:*=2 dynamodb:* secretsmanager:List* ssm:*Session=2 eks:* sqs:* sns:*",
        _BROWSER, _PEOPLE, _OFFICE, _WORK, "aws-reserved/sso.amazonaws.com/", fails=0.08),
    _Caller(
        "role", "AWSReservedSSO_ReadOnly_1111111111example", 40,
        "ec2:Describe*=5 s3:Get*=3 s3:List*=3 logs:*Quer*=4 cloudtrail:LookupEvents iam:Get*",
        _CLI, _PEOPLE, _OFFICE, _WORK, "aws-reserved/sso.amazonaws.com/", fails=0.08),
    _Caller(
        "linked", "AWSServiceRoleForAutoScaling", 40,
        "ec2:Describe*=5 ec2:RunInstances ec2:TerminateInstances elasticloadbalancing:*=3",
        sessions="AutoScaling", address="autoscaling.amazonaws.com",
        path="aws-service-role/autoscaling.amazonaws.com/"),
    _Caller(
        "linked", "AWSServiceRoleForConfig", 60,
        "ec2:Describe*=6 s3:GetBucket*=5 iam:Get*=2 rds:Describe*=2 lambda:List*=2 kms:List*"
        " config:PutEvaluations=2 dynamodb:List*",
        sessions="AWSConfig-Describe", address="config.amazonaws.com",
        path="aws-service-role/config.amazonaws.com/"),
    _Caller(
        "user", "ci-legacy", 40,
        "s3:*=3 ecr:*=2 cloudformation:Describe*=3 sts:GetCallerIdentity=2",
        _CLI, address=_ELSEWHERE, rhythm=_WORK),
    _Caller("user", "mail-relay", 60, "sts:GetCallerIdentity sqs:*=2 sns:*=2", _PYTHON),
    _Caller(
        "root", "root", 1, "signin:*=2 iam:GetAccountSummary=2 iam:List* organizations:Describe*",
        _BROWSER, address=_OFFICE, rhythm=_WORK),
    _Caller("service", "ec2", 90, "sts:AssumeRole", address="ec2.amazonaws.com", fails=0),
    _Caller("service", "lambda", 120, "sts:AssumeRole", address="lambda.amazonaws.com", fails=0),
    _Caller("service", "ecs", 40, "sts:AssumeRole", address="ecs-tasks.amazonaws.com", fails=0),
    _Caller(
        "service", "cloudtrail", 110, "s3:GetBucketAcl=4 kms:GenerateDataKey=3",
        address="cloudtrail.amazonaws.com", fails=0),
    _Caller(
        "account", "partner", 25,
        "kms:Decrypt=5 kms:DescribeKey sts:AssumeRole=3 ecr:BatchGetImage=2",
        _JAVA, "partner-%(id)s", _ELSEWHERE),
    _Caller("web", "system:serviceaccount:shop:checkout", 45, "sts:*WebIdentity", _GO),
    _Caller("center", "portal", 12, "sso:*", _BROWSER, address=_OFFICE, rhythm=_WORK),
    _Caller(
        "federated", "token-vendor", 8,
        "s3:ListBuckets s3:GetBucketLocation=2 sts:GetCallerIdentity",
        _CLI, "tenant-a tenant-b tenant-c", _ELSEWHERE, _WORK),
    _Caller("event", "kms", 1, "kms:RotateKey", address="kms.amazonaws.com"),
    _Caller("event", "ec2", 3, "ec2:*Event ec2:Shared*", address="ec2.amazonaws.com"),
    _Caller("event", "ecr", 3, "ecr:*Event", address="ecr.amazonaws.com"),
    _Caller("event", "secrets", 2, "secretsmanager:*", address="secretsmanager.amazonaws.com"),
    _Caller("event", "backup", 3, "backup:*", address="backup.amazonaws.com", rhythm=_NIGHT),
    _Caller(
        "login", "ada", 9, "signin:*", _BROWSER, address=_OFFICE, rhythm=_WORK, fails=0),
    _Caller(
        "guess", "guess", 2, "signin:*", _BROWSER, "admin root test ada", _ELSEWHERE, fails=1),
)
# fmt: on


# What happens --------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A caller's part in a scene: *fails* of its calls fail, with *error* unless it is None."""

    caller: _Caller
    uses: str
    weight: int
    fails: float
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Something that happens once, *before* the end of the trail, on top of the daily round."""

    place: Place
    before: timedelta
    slices: int
    permille: int  # of all calls
    parts: tuple[_Part, ...]

    def window(self, end: datetime) -> Window:
        """When it happens in a trail that ends at *end*."""
        return Window(end - self.before, end - self.before + SLICE * self.slices)


_THROTTLED = ("Client.RequestLimitExceeded", "Request limit exceeded.")
_DENIED = (
    "AccessDenied",
    "User: %(arn)s is not authorized to perform: %(action)s because no policy allows the action",
)
_UNAUTHORIZED = (
    "Client.UnauthorizedOperation",
    "You are not authorized to perform this operation. User: %(arn)s may not: %(action)s",
)

_INCIDENT = _Scene(
    Place(PRODUCTION, HOME),
    timedelta(hours=10),
    slices=4,
    permille=40,
    parts=(
        _Part(_SCANNER, "ec2:DescribeInstances", 70, 0.08, _THROTTLED),
        _Part(_COLLECTOR, "ec2:DescribeInstance*", 11, 0.85, _THROTTLED),
        _Part(_SCALER, "ec2:DescribeInstance*=3 ec2:DescribeLaunch*", 7, 0.85, _THROTTLED),
        _Part(_NODE, "ec2:DescribeInstances ec2:*NetworkInterface*=2", 5, 0.85, _THROTTLED),
        _Part(_BALANCER, "ec2:DescribeSubnets ec2:DescribeVpcs", 4, 0.85, _THROTTLED),
        _Part(_DEPLOYER, "ec2:DescribeInstances", 3, 0.85, _THROTTLED),
    ),
)
_DENIALS = _Scene(
    Place(STAGING, HOME),
    timedelta(hours=13),
    slices=6,
    permille=10,
    parts=(
        _Part(_REPORTER, "s3:Get*=3 iam:List*=2 secretsmanager:* kms:List*", 75, 0.97, _DENIED),
        _Part(_REPORTER, "ec2:Describe*", 25, 0.97, _UNAUTHORIZED),
    ),
)
_SCENES = (_INCIDENT, _DENIALS)

CULPRIT = f"arn:aws:iam::{PRODUCTION}:role/{_SCANNER.name}"
"""The role that hammers ec2:DescribeInstances during the incident, as the field `caller` has it."""

DENIED_CALLER = f"arn:aws:iam::{STAGING}:role/{_REPORTER.name}"
"""The role that the burst of denials is about, as the field `caller` has it."""

BROKEN = (
    '"not a record"',
    "null",
    "42",
    "{}",
    "[]",
    '{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"ListBuckets"}',
    '{"eventVersion":"1.08","eventTime":"yesterday","eventName":"ListBuckets"}',
    '{"eventVersion":"1.08","eventTime":"2026-13-45T99:00:00Z","eventName":"GetRole"}',
    '{"eventVersion":"1.08","eventTime":null,"eventName":"GetRole"}',
)
"""Elements of a Records list that are no record anybody could count, used in turn."""


# From the tables to a record -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Api:
    """One API of a service; *type* is the eventType of its records."""

    service: str
    name: str
    read: bool
    type: str = "AwsApiCall"


class _Choice(NamedTuple):
    """Something to choose from, by weight, the way `random.choices` wants it."""

    items: list[_Api]
    cum_weights: list[float]


def _weighted(text: str) -> Iterator[tuple[str, int]]:
    """Read ``a=3 b`` as a with the weight 3 and b with the weight 1."""
    for word in text.split():
        name, _, weight = word.partition("=")
        yield name, int(weight or 1)


@cache
def _apis() -> dict[_Api, int]:
    """Every API there is, with its weight."""
    found = {}
    for name, service in _SERVICES.items():
        for text, read, kind in (
            (service.reads, True, "AwsApiCall"),
            (service.writes, False, "AwsApiCall"),
            (service.happens, False, "AwsServiceEvent"),
            (service.signs_in, False, "AwsConsoleSignIn"),
        ):
            found.update({_Api(name, api, read, kind): n for api, n in _weighted(text)})
    return found


@cache
def _choice(uses: str, region: str, kind: str) -> _Choice:
    """
    What *uses* names, as far as it can be called in *region* by a caller of this *kind*.

    A glob gets its own weight, shared out by the weights of the APIs that it matches.
    """
    weights: dict[_Api, float] = {}
    for pattern, weight in _weighted(uses):
        matches = {
            api: n
            for api, n in _apis().items()
            if fnmatchcase(f"{api.service}:{api.name}", pattern)
            and (api.type == "AwsServiceEvent") == (kind == "event")
            and (region == HOME or not _SERVICES[api.service].is_global)
        }
        for api, n in matches.items():
            weights[api] = weights.get(api, 0) + weight * n / sum(matches.values())
    return _Choice(list(weights), list(accumulate(weights.values())))


def _fill(text: str, **values: str) -> str:
    """Put *values* in place of their ``<names>`` in *text*."""
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text


@cache
def _template(api: _Api, place: Place, kind: str, *, failed: bool) -> str:
    """Make all of a record that is the same for every call of *api* by this *kind* of caller."""
    service = _SERVICES[api.service]
    event = api.type == "AwsServiceEvent"
    request, response = _SHAPES.get(
        f"{api.service}:{api.name}",
        (service.request, "null" if api.read else service.response),
    )
    if event:
        request = response = "null"
    resource_type, _, arn = service.resource.partition(" ")
    parts = (
        '{"eventVersion":"<version>","userIdentity":%(identity)s,"eventTime":"%(time)s",',
        '"eventSource":"<service>.amazonaws.com","eventName":"<api>","awsRegion":"<region>",',
        '"sourceIPAddress":"%(address)s","userAgent":"%(agent)s",%(error)s',
        f'"requestParameters":{request},',
        f'"responseElements":{service.refusal if failed else response},',
        f'"additionalEventData":{service.extra},' if service.extra and not event else "",
        '"requestID":"%(request)s",' if api.type == "AwsApiCall" else "",
        f'"eventID":"%(event)s","readOnly":{json.dumps(api.read)},',
        '"resources":[{"accountId":"<account>","type":"<resource>","ARN":"<arn>"}],' if arn else "",
        '"eventType":"<type>","managementEvent":true,"recipientAccountId":"<account>",',
        '"sharedEventID":"%(shared)s",' if kind in _SHARING else "",
        '"serviceEventDetails":{"resource":"example-%(id)s","state":"done"},' if event else "",
        '"eventCategory":"Management"',
        _TAILS.get(kind, _TLS) + "}",
    )
    return _fill(
        "".join(parts),
        version=service.version,
        service=api.service,
        api=api.name,
        type=api.type,
        resource=resource_type,
        arn=arn,
        account=place.account,
        region=place.region,
    )


@cache
def _identity(caller: _Caller, place: Place) -> str:
    """Make all of a caller's userIdentity that is the same in each of its sessions."""
    return _fill(
        _IDENTITIES[caller.kind],
        name=caller.name,
        path=caller.path,
        address=caller.address,
        number=f"{zlib.crc32(caller.name.encode()) % 10**9:09}",
        account=place.account,
        region=place.region,
    )


def _uuid(digits: str, at: int) -> str:
    """Cut a random UUID, version 4, out of hex *digits*."""
    return (
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-4{digits[at + 13 : at + 16]}"
        f"-a{digits[at + 17 : at + 20]}-{digits[at + 20 : at + 32]}"
    )


def _stamp(moment: datetime) -> str:
    """Write *moment* the way CloudTrail does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _error(error: tuple[str, str], api: _Api, arn: str) -> str:
    """Write errorCode, if there is one, and errorMessage."""
    code, message = error
    text = message % {"arn": arn, "action": f"{api.service}:{api.name}"}
    return (f'"errorCode":"{code}",' if code else "") + f'"errorMessage":"{text}",'


class _Session(NamedTuple):
    """A caller's session in a place: what it gives to each of its records, and until when."""

    identity: str
    arn: str
    address: str
    agent: str
    end: datetime


_ID_BYTES = 48  # of random data for a record: an eventID, a requestID and one more
_LONGEST_SESSION = timedelta(hours=1)


class _Cast:
    """Everyone who calls: makes records, and remembers only which sessions are open."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._sessions: dict[tuple[_Caller, Place], _Session] = {}

    def daily(self, place: Place, start: datetime, n: int) -> list[tuple[int, str]]:
        """Make *n* calls of the daily round in the five minutes from *start*."""
        callers, cum_weights = _on_duty(place.region, start.hour, start.weekday())
        chosen = Counter(self._rng.choices(callers, cum_weights=cum_weights, k=n))
        return [
            record
            for caller, k in chosen.items()
            for record in self._calls(
                _Part(caller, caller.uses, 1, caller.fails), place, start, self._seconds(k)
            )
        ]

    def scene(self, scene: _Scene, start: datetime, n: int) -> list[tuple[int, str]]:
        """Make *n* calls of *scene* in the five minutes from *start*, hurried, as in a loop."""
        shares = _portions(n, [part.weight for part in scene.parts])
        return [
            record
            for part, k in zip(scene.parts, shares, strict=True)
            for record in self._calls(part, scene.place, start, self._hurried(k))
        ]

    def _seconds(self, n: int) -> list[int]:
        """Choose *n* seconds of a slice."""
        draw = self._rng.random
        return [int(draw() * SLICE_SECONDS) for _ in range(n)]

    def _hurried(self, n: int) -> list[int]:
        """Choose *n* seconds of a slice, most of them early in one of its minutes."""
        draw = self._rng.random
        return [int(draw() * 5) * 60 + int(draw() ** 3 * 60) for _ in range(n)]

    def _calls(
        self, part: _Part, place: Place, start: datetime, seconds: list[int]
    ) -> Iterator[tuple[int, str]]:
        """Make the record of a call by *part* for each of *seconds* after *start*."""
        rng, kind, n = self._rng, part.caller.kind, len(seconds)
        choice = _choice(part.uses, place.region, kind)
        session = self._session(part.caller, place, start)
        stamps = _stamps(start)
        digits = rng.randbytes(_ID_BYTES * n).hex()
        values = {
            "identity": session.identity,
            "address": session.address,
            "agent": session.agent,
        }
        apis = rng.choices(choice.items, cum_weights=choice.cum_weights, k=n)
        for i, (second, api) in enumerate(zip(seconds, apis, strict=True)):
            at = i * _ID_BYTES * 2
            error = ""
            if rng.random() < part.fails:
                error = self._failure(part, api, session)
            values["error"] = error
            values["time"] = stamps[second]
            values["event"] = _uuid(digits, at)
            values["request"] = _uuid(digits, at + 32)
            values["id"] = digits[at + 64 : at + 80]
            if kind in _SHARING:
                values["shared"] = _uuid(digits, at + 64)
            yield second, _template(api, place, kind, failed=bool(error)) % values

    def _failure(self, part: _Part, api: _Api, session: _Session) -> str:
        """Say what went wrong with a call: the scene's error, or one usual for the service."""
        errors = (part.error,) if part.error else _SERVICES[api.service].errors
        return _error(self._rng.choice(errors), api, session.arn) if errors else ""

    def _session(self, caller: _Caller, place: Place, start: datetime) -> _Session:
        """Give the open session of *caller* in *place*, or open another."""
        session = self._sessions.get((caller, place))
        if session is None or session.end <= start:
            session = self._sessions[caller, place] = self._open(caller, place, start)
        return session

    def _open(self, caller: _Caller, place: Place, start: datetime) -> _Session:
        """Open a session at *start*, with a name, a key and an address of its own."""
        rng = self._rng
        name = rng.choice(caller.sessions.split()) % {
            "id": rng.randbytes(8).hex(),
            "digits": rng.randrange(10**9, 10**10),
        }
        values = {"session": name, "key": f"{rng.randrange(10**9):09}", "created": _stamp(start)}
        address = caller.address % {"host": rng.randrange(1, 255)}
        return _Session(
            identity=_identity(caller, place) % values,
            arn=f"arn:aws:sts::{place.account}:assumed-role/{caller.name}/{name}",
            address=address,
            agent=caller.agent or address,
            end=start + rng.random() * _LONGEST_SESSION,
        )


@cache
def _on_duty(region: str, hour: int, weekday: int) -> tuple[list[_Caller], list[int]]:
    """Who calls in *region* in this *hour* on this *weekday*, with the weights added up."""
    weekend = weekday > FRIDAY
    weights = {
        caller: caller.weight * caller.rhythm[hour] * (_WEEKEND[caller.rhythm] if weekend else 100)
        for caller in _CALLERS
        if _choice(caller.uses, region, caller.kind).items
    }
    return list(weights), list(accumulate(weights.values()))


@lru_cache(maxsize=1)
def _stamps(start: datetime) -> list[str]:
    """Write every second of the slice from *start*."""
    hour = f"{start:%Y-%m-%dT%H}"
    return [f"{hour}:{start.minute + s // 60:02}:{s % 60:02}Z" for s in range(SLICE_SECONDS)]


# From records to objects ---------------------------------------------------------------------


class _Bucket:
    """The folder as CloudTrail's bucket: gathers records, delivers objects, keeps count."""

    def __init__(
        self, folder: Path, rng: random.Random, start: datetime, *, events: int, broken: int
    ) -> None:
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self._folder = folder
        self._rng = rng
        self._day = start
        self._full = max(1, min(events // FEWEST_LOGS, FULL))
        self._waiting: dict[Place, list[str]] = {place: [] for place in PLACES}
        self._again: dict[Place, list[str]] = {place: [] for place in PLACES}
        self._listed: dict[Place, list[dict[str, str]]] = {place: [] for place in PLACES}
        # A generator apart, so that with and without broken elements the calls are the same.
        self._breaker = random.Random(broken)
        self._breaks = [events * i // (broken + 1) for i in range(1, broken + 1)]

    def put(self, place: Place, records: list[str], at: datetime) -> None:
        """Hand over what happened in *place* in the slice before *at*."""
        waiting = self._waiting[place]
        waiting += records
        if len(waiting) >= self._full:
            self._deliver(place, at)

    def close_day(self, at: datetime) -> None:
        """Deliver all that waits, and a digest of the day in each place."""
        for place in PLACES:
            self._deliver(place, at)
            self._digest(place, at)
        self._day = at

    def insights(self, place: Place, records: list[str], at: datetime) -> None:
        """Deliver insight *records*, which have a folder to themselves."""
        self._write_log(place, "CloudTrail-Insight", records, at)
        self.counts["skipped"] += len(records)

    def _deliver(self, place: Place, at: datetime) -> None:
        """Deliver what waits for *place*, in as few objects as may be."""
        waiting = self._waiting[place]
        objects = -(-len(waiting) // MOST)
        for i in range(objects):
            calls = waiting[len(waiting) * i // objects : len(waiting) * (i + 1) // objects]
            self._deliver_one(place, calls, at)
        waiting.clear()

    def _deliver_one(self, place: Place, calls: list[str], at: datetime) -> None:
        """Deliver *calls*, with some of the object before it once more, and what is broken."""
        records = calls + self._again[place]
        self.counts["duplicates"] += len(self._again[place])
        before = self.counts["calls"]
        self.counts["calls"] += len(calls)
        owed = self.counts["calls"] // ONE_AGAIN_IN - before // ONE_AGAIN_IN
        self._again[place] = self._rng.sample(calls, owed)
        self._break(records)
        self._write_log(place, "CloudTrail", records, at)

    def _break(self, records: list[str]) -> None:
        """Slip in the broken elements that are due by now."""
        while self.counts["rejected"] < len(self._breaks):
            if self._breaks[self.counts["rejected"]] >= self.counts["calls"]:
                break
            element = BROKEN[self.counts["rejected"] % len(BROKEN)]
            records.insert(self._breaker.randrange(len(records) + 1), element)
            self.counts["rejected"] += 1

    def _write_log(self, place: Place, kind: str, records: list[str], at: datetime) -> None:
        """Write *records* as one object, and list it for the digest."""
        suffix = "".join(self._rng.choices(string.ascii_letters + string.digits, k=16))
        name = f"{place.account}_{kind}_{place.region}_{at:%Y%m%dT%H%MZ}_{suffix}.json.gz"
        body = ('{"Records":[' + ",".join(records) + "]}").encode("ascii")
        path = self._write(place, kind, name, body, at)
        self.counts["logs"] += 1
        self.counts["inflated"] += len(body)
        self._listed[place].append(
            {
                "s3Bucket": BUCKET,
                "s3Object": path,
                "hashValue": hashlib.sha256(body).hexdigest(),
                "hashAlgorithm": "SHA-256",
            }
        )

    def _digest(self, place: Place, at: datetime) -> None:
        """Write the digest of the day: CloudTrail's are hourly, and hold no records either."""
        name = (
            f"{place.account}_CloudTrail-Digest_{place.region}_example-trail_{HOME}"
            f"_{at:%Y%m%dT%H%M%SZ}.json.gz"
        )
        digest = {
            "awsAccountId": place.account,
            "digestStartTime": _stamp(self._day),
            "digestEndTime": _stamp(at),
            "digestS3Bucket": BUCKET,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "logFiles": self._listed[place],
        }
        self._write(place, "CloudTrail-Digest", name, _json(digest).encode(), at)
        self.counts["digests"] += 1
        self._listed[place] = []

    def _write(self, place: Place, kind: str, name: str, body: bytes, at: datetime) -> str:
        """Write one object, packed, and give its key."""
        key = f"AWSLogs/{place.account}/{kind}/{place.region}/{at:%Y/%m/%d}/{name}"
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = igzip.compress(body, LEVEL, mtime=0)
        path.write_bytes(packed)
        self.counts["bytes"] += len(packed)
        return key


def _json(value: object) -> str:
    """Write *value* without a space too many, as CloudTrail does."""
    return json.dumps(value, separators=(",", ":"))


def _insight(moment: datetime, state: str, kind: str, shared: str, rng: random.Random) -> str:
    """Make the insight record that opens (*state* Start) or closes (End) the incident."""
    attributions = [
        {
            "attribute": "userIdentityArn",
            "insight": [{"value": CULPRIT, "average": 25.5}],
            "baseline": [{"value": CULPRIT, "average": 0.05}],
        }
    ]
    return _json(
        {
            "eventVersion": "1.09",
            "eventTime": _stamp(moment),
            "awsRegion": _INCIDENT.place.region,
            "eventID": _uuid(rng.randbytes(16).hex(), 0),
            "eventType": "AwsCloudTrailInsight",
            "recipientAccountId": _INCIDENT.place.account,
            "sharedEventID": shared,
            "insightDetails": {
                "state": state,
                "eventSource": "ec2.amazonaws.com",
                "eventName": "DescribeInstances",
                "insightType": kind,
                "insightContext": {
                    "statistics": {
                        "baseline": {"average": 0.8},
                        "insight": {"average": 28.2},
                        "insightDuration": 20,
                        "baselineDuration": 10080,
                    },
                    "attributions": attributions,
                },
            },
            "eventCategory": "Insight",
        }
    )


# From arguments to a trail -------------------------------------------------------------------


def write(  # noqa: PLR0913  each is a choice of its own, by name and with a default
    folder: Path,
    *,
    events: int = 20_000,
    days: int = 3,
    seed: int = 1,
    broken: int = 0,
    until: datetime = UNTIL,
) -> Written:
    """
    Write a trail of *events* calls over the *days* before *until* under *folder*.

    Beside the calls there are duplicates, insight records, digests and *broken* elements that
    are no records; `Written` says how many. The same arguments write the same bytes; on another
    processor the gzip may come out otherwise, the JSON does not. *until* is cut to whole five
    minutes. An object is named and filed, as by CloudTrail, by when it was delivered, which is
    after its events: the last ones of a day lie in the folder of the next. *folder* may exist,
    and what is in it is left alone. `UsageError` if an argument makes no sense.
    """
    _check(folder, events, days, broken, until)
    end = _whole(until)
    starts = [end - SLICE * i for i in range(days * timedelta(days=1) // SLICE, 0, -1)]
    rng = random.Random(seed)
    cast = _Cast(rng)
    bucket = _Bucket(folder, rng, starts[0], events=events, broken=broken)
    incident = _INCIDENT.window(end)
    insights = _insights(incident, rng)
    scenes = _scene_calls(events, end)
    daily = _daily_calls(events - sum(scenes.values()), starts, rng)

    for start in starts:
        delivery = start + SLICE
        for place in PLACES:
            happened = cast.daily(place, start, next(daily))
            for scene in _SCENES:
                if scene.place == place and (scene, start) in scenes:
                    happened += cast.scene(scene, start, scenes[scene, start])
            happened.sort()
            bucket.put(place, [record for _, record in happened], delivery)
        if start in insights:
            bucket.insights(_INCIDENT.place, insights[start], delivery)
        if delivery.time() == time.min or delivery == end:
            bucket.close_day(delivery)
    records = sum(bucket.counts[kind] for kind in ACCOUNTED)
    return Written(**bucket.counts, records=records, incident=incident)


def _check(folder: Path, events: int, days: int, broken: int, until: datetime) -> None:
    """Raise `UsageError` for the first argument that makes no sense."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder to write the sample trail into")
    if events < 1:
        raise UsageError(f"events is {events:,}: a trail has at least 1")
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"days is {days:,}: choose from 1 to {MAX_DAYS}")
    if broken < 0:
        raise UsageError(f"broken is {broken:,}: choose 0 for none, or how many there shall be")
    if until.tzinfo is None:
        raise UsageError(f"until is {until}, which has no time zone: add one, as in {UNTIL}")
    if until.year < FIRST_YEAR:
        raise UsageError(f"until is {until}, before CloudTrail: choose {FIRST_YEAR} or later")


def _whole(moment: datetime) -> datetime:
    """Cut *moment* to whole five minutes, in UTC."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


def _portions(whole: int, weights: Sequence[int]) -> Iterator[int]:
    """Share *whole* out by *weights*: the portions add up to it exactly."""
    total = sum(weights)
    given = 0
    for reached in accumulate(weights):
        due = (whole * reached + total // 2) // total  # rounded
        yield due - given
        given = due


def _scene_calls(events: int, end: datetime) -> dict[tuple[_Scene, datetime], int]:
    """How many calls each scene makes in the slice that begins at each time."""
    return {
        (scene, scene.window(end).start + SLICE * i): n
        for scene in _SCENES
        for i, n in enumerate(_portions(events * scene.permille // 1000, [1] * scene.slices))
    }


def _daily_calls(events: int, starts: list[datetime], rng: random.Random) -> Iterator[int]:
    """How many of *events* fall to each place in each slice, places within slices."""
    weights = array("Q")
    for start in starts:
        ripple = rng.randrange(75, 126)  # no two slices are quite alike
        for place, share in PLACES.items():
            _, on_duty = _on_duty(place.region, start.hour, start.weekday())
            weights.append(share * ripple * on_duty[-1])
    return _portions(events, weights)


def _insights(incident: Window, rng: random.Random) -> dict[datetime, list[str]]:
    """Make what CloudTrail Insights says about *incident*, by the slice in which it says so."""
    shared = {
        kind: _uuid(rng.randbytes(16).hex(), 0)
        for kind in ("ApiCallRateInsight", "ApiErrorRateInsight")
    }
    return {
        moment: [_insight(moment, state, kind, id_, rng) for kind, id_ in shared.items()]
        for state, moment in (("Start", incident.start), ("End", incident.end))
    }
