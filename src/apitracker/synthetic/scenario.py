"""
What happens in the synthetic trail: who calls what, where and when. All tables, all invented.

No account, role, address or key in here is anybody's. Accounts look like AWS's examples, addresses
come from the ranges kept for documentation (RFC 5737), and every key id says EXAMPLE. Names of
services, APIs and error codes are AWS's; how often each occurs is made up, and so is the story:

- a steady hum of automation, busy office hours (UTC), quiet nights and quieter weekends;
- `CULPRIT` hammers ec2:DescribeInstances for twenty minutes, in bursts that use up AWS's default
  quota of it. It is seldom throttled itself; the roles that call just after it are, so whoever
  looks for the most throttled role finds a victim;
- `DENIED_CALLER` runs into denials for half an hour.

`sample` makes records of it, and writes them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from apitracker.core.quotas import Quota, quota

# Where ---------------------------------------------------------------------------------------


class Place(NamedTuple):
    """One account in one region: what CloudTrail delivers objects for."""

    account: str
    region: str


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


class Service(NamedTuple):
    """
    An AWS service: its APIs, and what its records have in common.

    Its *errors* are no throttles where `quotas` has a quota: calls here and there do not use it up.
    """

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

SERVICES = {
    "sts": Service(
        "1.08",
        "AssumeRole=60 AssumeRoleWithWebIdentity=12 AssumeRoleWithSAML=2 GetCallerIdentity=14"
        " GetSessionToken GetFederationToken GetAccessKeyInfo DecodeAuthorizationMessage",
        request="null",
        resource="AWS::IAM::Role arn:aws:iam::<account>:role/deploy-%(id).4s",
        errors=(("ExpiredTokenException", "The security token included has expired"),),
    ),
    "s3": Service(
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
    "ec2": Service(
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
    "kms": Service(
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
    "lambda": Service(
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
        errors=(_NOT_FOUND, ("ResourceConflictException", "An update is in progress.")),
    ),
    "dynamodb": Service(
        "1.10",
        "DescribeTable=20 ListTables=6 DescribeContinuousBackups=3 DescribeTimeToLive=3"
        " ListTagsOfResource=3 DescribeLimits DescribeBackup",
        "CreateTable UpdateTable=2 UpdateTimeToLive CreateBackup=2 DeleteBackup DeleteTable",
        request='{"tableName":"example-orders-%(id).4s"}',
        resource="AWS::DynamoDB::Table arn:aws:dynamodb:<region>:<account>:table/example-%(id).4s",
        errors=(("ResourceInUseException", "Table already exists"), _NOT_FOUND),
    ),
    "iam": Service(
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
    "logs": Service(
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
    "ssm": Service(
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
    "secretsmanager": Service(
        "1.08",
        "GetSecretValue=40 DescribeSecret=10 ListSecrets=4 GetResourcePolicy=2"
        " ListSecretVersionIds",
        "PutSecretValue UpdateSecret CreateSecret RotateSecret UpdateSecretVersionStage",
        happens="RotationStarted RotationSucceeded",
        request='{"secretId":"arn:aws:secretsmanager:<region>:<account>:secret:example-%(id).6s",'
        '"versionStage":"AWSCURRENT"}',
        errors=(("ResourceNotFoundException", "Secrets Manager can't find the secret."),),
    ),
    "cloudformation": Service(
        "1.08",
        "DescribeStacks=20 DescribeStackEvents=9 ListStacks=5 GetTemplate=3"
        " DescribeStackResources=5 ListStackResources=4 DescribeChangeSet=4 ListExports=2",
        "CreateChangeSet=3 ExecuteChangeSet=3 UpdateStack=2 CreateStack DeleteStack",
        request='{"stackName":"arn:aws:cloudformation:<region>:<account>:stack/example/%(id)s"}',
        errors=(_RATE, ("ValidationException", "Stack with id example does not exist")),
    ),
    "eks": Service(
        "1.08",
        "DescribeCluster=12 ListClusters=5 DescribeNodegroup=5 ListNodegroups=4 ListAddons=2"
        " DescribeAddon=2 ListUpdates",
        "AssumeRoleForPodIdentity=10 UpdateNodegroupConfig UpdateAddon UpdateClusterConfig",
        request='{"name":"example-cluster"}',
        errors=(("ResourceNotFoundException", "No cluster found for name: example-cluster."),),
    ),
    "ecr": Service(
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
    "rds": Service(
        "1.11",
        "DescribeDBInstances=20 DescribeDBClusters=12 DescribeDBSnapshots=5 ListTagsForResource=5"
        " DescribeDBParameters=2 DescribeEvents=2 DescribePendingMaintenanceActions",
        "CreateDBSnapshot=2 DeleteDBSnapshot=2 ModifyDBInstance CreateDBClusterSnapshot",
        request='{"dBInstanceIdentifier":"example-db-%(id).3s"}',
        errors=(("DBInstanceNotFoundFault", "DBInstance example-db not found."),),
    ),
    "autoscaling": Service(
        "1.11",
        "DescribeAutoScalingGroups=20 DescribeAutoScalingInstances=8 DescribeScalingActivities=4"
        " DescribeLaunchConfigurations=2 DescribePolicies=2 DescribeTags=3",
        "SetDesiredCapacity=2 UpdateAutoScalingGroup=2 CompleteLifecycleAction=2"
        " TerminateInstanceInAutoScalingGroup",
        request='{"autoScalingGroupNames":["example-workers"],"maxRecords":100}',
        errors=(("Throttling", "Rate exceeded"), _INVALID),
    ),
    "elasticloadbalancing": Service(
        "1.10",
        "DescribeTargetHealth=20 DescribeLoadBalancers=12 DescribeTargetGroups=10 DescribeRules=4"
        " DescribeListeners=6 DescribeTags=6 DescribeLoadBalancerAttributes=2",
        "RegisterTargets=4 DeregisterTargets=4 ModifyTargetGroup ModifyRule CreateTargetGroup",
        request='{"targetGroupArn":"arn:aws:elasticloadbalancing:<region>:<account>:'
        'targetgroup/example/%(id)s"}',
        errors=(("TargetGroupNotFoundException", "One or more target groups not found"),),
    ),
    "monitoring": Service(
        "1.11",
        "DescribeAlarms=10 ListMetrics=5 DescribeAlarmsForMetric=3 GetDashboard=2 ListDashboards"
        " DescribeInsightRules",
        "PutMetricAlarm=3 DeleteAlarms PutDashboard SetAlarmState",
        errors=(("LimitExceeded", "The maximum number of alarms has been reached."),),
    ),
    "sns": Service(
        "1.08",
        "ListTopics=4 GetTopicAttributes=5 ListSubscriptionsByTopic=3 ListTagsForResource",
        "Subscribe CreateTopic SetTopicAttributes",
        errors=(("NotFoundException", "Topic does not exist"),),
    ),
    "sqs": Service(
        "1.10",
        "ListQueues=4 GetQueueUrl=6 GetQueueAttributes=8",
        "CreateQueue SetQueueAttributes TagQueue PurgeQueue",
        errors=(("AWS.SimpleQueueService.NonExistentQueue", "The queue does not exist."),),
    ),
    "events": Service("1.09", "ListRules=4 DescribeRule=3 ListTargetsByRule=3", "PutRule=2"),
    "ecs": Service(
        "1.11",
        "DescribeTasks=12 DescribeServices=10 ListTasks=8 ListClusters=3 DescribeTaskDefinition=4"
        " DescribeContainerInstances=2",
        "RunTask=2 UpdateService RegisterTaskDefinition StopTask SubmitTaskStateChange=4",
        request='{"cluster":"example","tasks":["arn:aws:ecs:<region>:<account>:task/ex/%(id)s"]}',
        errors=(("ClusterNotFoundException", "Cluster not found."),),
    ),
    "config": Service(
        "1.08",
        "DescribeConfigurationRecorders=4 DescribeConfigRules=4 SelectResourceConfig=2"
        " DescribeComplianceByConfigRule=2",
        "PutEvaluations=10 PutConfigRule",
    ),
    "cloudtrail": Service(
        "1.11",
        "DescribeTrails=5 GetTrailStatus=5 GetEventSelectors=3 LookupEvents=4 ListTrails",
        "StartQuery PutEventSelectors",
        errors=(("TrailNotFoundException", "Unknown trail: example-trail"),),
    ),
    "guardduty": Service("1.08", "ListDetectors=3 GetFindings=3 ListFindings=3 GetDetector"),
    "organizations": Service(
        "1.08",
        "ListAccounts=5 DescribeOrganization=5 DescribeAccount=3 ListPolicies",
        request="null",
        is_global=True,
        errors=(("TooManyRequestsException", "You have sent too many requests."),),
    ),
    "route53": Service(
        "1.08",
        "ListHostedZones=5 ListResourceRecordSets=8 GetHostedZone=3 GetChange=3",
        "ChangeResourceRecordSets=3",
        request='{"hostedZoneId":"ZEXAMPLE%(id).6s"}',
        is_global=True,
        errors=(_RATE,),
    ),
    "acm": Service("1.08", "ListCertificates=4 DescribeCertificate=5", "RequestCertificate"),
    "tagging": Service("1.08", "GetResources=6 GetTagKeys", "TagResources"),
    "backup": Service("1.08", "ListBackupJobs=2", happens="BackupJobStarted BackupJobCompleted"),
    "sso": Service("1.08", "ListAccounts=5 ListAccountRoles=5 GetRoleCredentials=10 Logout"),
    "signin": Service(
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
SHAPES = {  # requestParameters and responseElements that differ from the service's own
    "sts:AssumeRole": (_ASSUME, _CREDENTIALS),
    "sts:AssumeRoleWithSAML": (_ASSUME, _CREDENTIALS),
    "sts:AssumeRoleWithWebIdentity": (_ASSUME, _CREDENTIALS),
    "iam:PutRolePolicy": (_POLICY, "null"),
    "iam:CreateRole": (_POLICY, "null"),
    "sts:GetCallerIdentity": ("null", "null"),
    "s3:ListBuckets": ('{"Host":"s3.<region>.amazonaws.com"}', "null"),
}


# Who calls -----------------------------------------------------------------------------------

_ROLE = (
    '{"type":"AssumedRole","principalId":"AROAEXAMPLE<number>:%(session)s",'
    '"arn":"arn:aws:sts::<account>:assumed-role/<name>/%(session)s","accountId":"<account>",'
    '"accessKeyId":"ASIAEXAMPLE%(key)s","sessionContext":{"sessionIssuer":{"type":"Role",'
    '"principalId":"AROAEXAMPLE<number>","arn":"arn:aws:iam::<account>:role/<path><name>",'
    '"accountId":"<account>","userName":"<name>"},'
    '"attributes":{"creationDate":"%(created)s","mfaAuthenticated":"false"}}}'
)
IDENTITIES = {
    "role": _ROLE,
    "person": _ROLE.replace('"mfaAuthenticated":"false"', '"mfaAuthenticated":"true"'),
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
    '"example-<name>-<account>","identityStoreArn":"arn:aws:identitystore::<account>:'
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
TAILS = {  # what stands at the end of a record of a caller of this kind
    **dict.fromkeys(IDENTITIES, _TLS),
    "person": ',"sessionCredentialFromConsole":"true"',
    "linked": "",
    "service": "",
    "event": "",
}
SHARING = ("account", "service")  # the other account has the same call: a sharedEventID

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


class Rhythm(NamedTuple):
    """How much goes on when."""

    hours: tuple[int, ...]  # in each hour of a working day, in UTC
    weekend: int = 100  # percent of a working day


_STEADY = Rhythm((10,) * 24)
_NIGHT = Rhythm((10, 60, 80, 40) + (2,) * 20)
# fmt: off
_WORK = Rhythm(
    (1, 0, 0, 0, 1, 2, 6, 16, 30, 38, 40, 37, 30, 36, 40, 38, 33, 24, 13, 7, 5, 4, 3, 2),
    weekend=12)
# fmt: on


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Someone who calls: who it is, how much, what, from where and when. In every account."""

    kind: str
    name: str
    weight: int
    uses: str  # service:API, either a glob, and its weight
    agent: str = ""  # the address, if nothing else
    sessions: str = "%(id)s"  # names to choose from
    address: str = _INSIDE
    rhythm: Rhythm = _STEADY
    path: str = ""
    fails: float = 0.04  # of its calls, where the service has errors to fail with


# A table reads better in rows.
# fmt: off
_SCANNER = Caller(
    "role", "inventory-scanner", 20, "ec2:DescribeInstances=4 ec2:Describe*=4 tagging:*",
    _PYTHON, "scan-%(id)s")
_REPORTER = Caller(
    "role", "report-builder", 6,
    "s3:ListBuckets=3 s3:GetBucketLocation=3 sts:GetCallerIdentity rds:Describe*",
    _PYTHON, "botocore-session-%(digits)s", _ELSEWHERE, _WORK)
_SCALER = Caller(
    "role", "cluster-autoscaler", 70,
    "autoscaling:Describe*=8 ec2:DescribeInstance*=4 ec2:DescribeLaunch*=2 eks:DescribeNodegroup",
    _GO, "%(digits)s")
_BALANCER = Caller(
    "role", "load-balancer-controller", 60,
    "elasticloadbalancing:*=9 ec2:DescribeSubnets ec2:DescribeSecurityGroups ec2:DescribeVpcs",
    _GO, "%(digits)s")
_COLLECTOR = Caller(
    "role", "metrics-collector", 90,
    "monitoring:*=3 ec2:Describe*=6 rds:Describe*=3 elasticloadbalancing:Describe*=3 ecs:*=2"
    " lambda:List*=2 sqs:*=2 dynamodb:Describe*=2 tagging:* sns:List*",
    _PYTHON, "collector", _OFFICE)
_NODE = Caller(
    "role", "cluster-node", 110,
    "ecr:Get*=6 ecr:Batch*=5 ec2:DescribeInstances=2 ec2:*NetworkInterface*=3 eks:*=3",
    _GO, "i-0%(id)s")
_DEPLOYER = Caller(
    "role", "ci-deploy", 60,
    "cloudformation:*=9 lambda:*=5 ecr:*=3 iam:GetRole iam:PutRolePolicy ssm:GetParameter*=2"
    " ec2:DescribeInstances s3:*",
    _CLI, "GitHubActions-%(digits)s", _ELSEWHERE, _WORK)

CALLERS = (
    _SCANNER, _REPORTER, _SCALER, _BALANCER, _COLLECTOR, _NODE, _DEPLOYER,
    Caller(
        "role", "orders-api", 120,
        "kms:Decrypt=12 kms:GenerateDataKey=8 secretsmanager:GetSecretValue=3 sqs:GetQueueUrl=2"
        " dynamodb:DescribeTable=3 sts:AssumeRole=4",
        _JAVA, "orders-%(id)s"),
    Caller(
        "role", "payments-api", 80,
        "kms:*=10 secretsmanager:GetSecretValue=4 sts:AssumeRole=2 sts:GetCallerIdentity",
        _JAVA, "i-0%(id)s"),
    Caller(
        "role", "thumbnail-function", 90,
        "logs:CreateLogStream=9 kms:Decrypt=6 logs:CreateLogGroup ssm:GetParameter=2",
        _NODEJS, "thumbnail thumbnail-large"),
    Caller(
        "role", "external-secrets", 60,
        "secretsmanager:GetSecretValue=6 secretsmanager:DescribeSecret ssm:GetParameter*=5",
        _GO, "external-secrets-provider-aws"),
    Caller(
        "role", "managed-instance", 110,
        "ssm:Update*=12 ssm:ListInstanceAssociations=4 ssm:PutInventory logs:DescribeLog*=2",
        _AGENT, "i-0%(id)s"),
    Caller(
        "role", "workflow-runner", 50,
        "ecs:*=5 sts:AssumeRole=4 logs:StartQuery logs:GetQueryResults=2 events:* sns:*",
        _PYTHON, "run-%(digits)s"),
    Caller(
        "role", "terraform", 70,
        "ec2:*=5 iam:*=5 s3:*=5 lambda:* rds:* kms:* route53:*=2 acm:* cloudformation:List*"
        " logs:* sns:* sqs:* events:* dynamodb:* elasticloadbalancing:* eks:*",
        _TERRAFORM, "aws-go-sdk-%(digits)s", _ELSEWHERE, _WORK),
    Caller(
        "role", "security-audit", 90,
        "iam:Get*=5 iam:List*=6 s3:Get*=6 config:*=2 guardduty:*=2 cloudtrail:*=2 kms:Get*"
        " kms:List* organizations:*=2 ec2:Describe*=3 lambda:Get*",
        _PYTHON, "audit-%(id)s", _OFFICE, _NIGHT),
    Caller(
        "role", "backup-runner", 40,
        "ec2:CreateSnapshot=3 ec2:DeleteSnapshot=2 ec2:DescribeSnapshots=2 rds:*Snapshot*=4"
        " dynamodb:*Backup* ec2:CreateTags=2",
        _PYTHON, "nightly-%(digits)s", rhythm=_NIGHT),
    Caller(
        "person", "AWSReservedSSO_PowerUser_0000000000example", 110,
        "ec2:*=6 s3:*=5 lambda:*=3 logs:*=5 cloudformation:*=3 monitoring:*=4 rds:* iam:List*=2"
        " ecs:*=2 dynamodb:* secretsmanager:List* ssm:*Session=2 eks:* sqs:* sns:*",
        _BROWSER, _PEOPLE, _OFFICE, _WORK, "aws-reserved/sso.amazonaws.com/", fails=0.08),
    Caller(
        "role", "AWSReservedSSO_ReadOnly_1111111111example", 40,
        "ec2:Describe*=5 s3:Get*=3 s3:List*=3 logs:*Quer*=4 cloudtrail:LookupEvents iam:Get*",
        _CLI, _PEOPLE, _OFFICE, _WORK, "aws-reserved/sso.amazonaws.com/", fails=0.08),
    Caller(
        "linked", "AWSServiceRoleForAutoScaling", 40,
        "ec2:Describe*=5 ec2:RunInstances ec2:TerminateInstances elasticloadbalancing:*=3",
        sessions="AutoScaling", address="autoscaling.amazonaws.com",
        path="aws-service-role/autoscaling.amazonaws.com/"),
    Caller(
        "linked", "AWSServiceRoleForConfig", 60,
        "ec2:Describe*=6 s3:GetBucket*=5 iam:Get*=2 rds:Describe*=2 lambda:List*=2 kms:List*"
        " config:PutEvaluations=2 dynamodb:List*",
        sessions="AWSConfig-Describe", address="config.amazonaws.com",
        path="aws-service-role/config.amazonaws.com/"),
    Caller(
        "user", "ci-legacy", 40,
        "s3:*=3 ecr:*=2 cloudformation:Describe*=3 sts:GetCallerIdentity=2",
        _CLI, address=_ELSEWHERE, rhythm=_WORK),
    Caller("user", "mail-relay", 60, "sts:GetCallerIdentity sqs:*=2 sns:*=2", _PYTHON),
    Caller(
        "root", "root", 1, "signin:*=2 iam:GetAccountSummary=2 iam:List* organizations:Describe*",
        _BROWSER, address=_OFFICE, rhythm=_WORK),
    Caller("service", "ec2", 90, "sts:AssumeRole", address="ec2.amazonaws.com", fails=0),
    Caller("service", "lambda", 120, "sts:AssumeRole", address="lambda.amazonaws.com", fails=0),
    Caller("service", "ecs", 40, "sts:AssumeRole", address="ecs-tasks.amazonaws.com", fails=0),
    Caller(
        "service", "cloudtrail", 110, "s3:GetBucketAcl=4 kms:GenerateDataKey=3",
        address="cloudtrail.amazonaws.com", fails=0),
    Caller(
        "account", "partner", 25,
        "kms:Decrypt=5 kms:DescribeKey sts:AssumeRole=3 ecr:BatchGetImage=2",
        _JAVA, "partner-%(id)s", _ELSEWHERE),
    Caller("web", "system:serviceaccount:shop:checkout", 45, "sts:*WebIdentity", _GO),
    Caller("center", "portal", 12, "sso:*", _BROWSER, address=_OFFICE, rhythm=_WORK),
    Caller(
        "federated", "token-vendor", 8,
        "s3:ListBuckets s3:GetBucketLocation=2 sts:GetCallerIdentity",
        _CLI, "tenant-a tenant-b tenant-c", _ELSEWHERE, _WORK),
    Caller("event", "kms", 1, "kms:RotateKey", address="kms.amazonaws.com"),
    Caller("event", "ec2", 3, "ec2:*Event ec2:Shared*", address="ec2.amazonaws.com"),
    Caller("event", "ecr", 3, "ecr:*Event", address="ecr.amazonaws.com"),
    Caller("event", "secrets", 2, "secretsmanager:*", address="secretsmanager.amazonaws.com"),
    Caller("event", "backup", 3, "backup:*", address="backup.amazonaws.com", rhythm=_NIGHT),
    Caller(
        "login", "ada", 9, "signin:*", _BROWSER, address=_OFFICE, rhythm=_WORK, fails=0),
    Caller(
        "guess", "guess", 2, "signin:*", _BROWSER, "admin root test ada", _ELSEWHERE, fails=1),
)
# fmt: on


# What happens --------------------------------------------------------------------------------


class Part(NamedTuple):
    """A caller's part in a scene: *fails* of its calls fail, with *error* unless it is None."""

    caller: Caller
    uses: str
    weight: int
    fails: float
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """
    Something that happens once, *before* the end of the trail, on top of the daily round.

    With a *quota* all calls are to the API that it belongs to. They come in bursts, those of the
    first part first, and fail where they find the quota used up.
    """

    place: Place
    before: timedelta
    lasts: timedelta
    permille: int  # of all calls
    parts: tuple[Part, ...]
    quota: Quota | None = None


_THROTTLED = ("Client.RequestLimitExceeded", "Request limit exceeded.")
_DENIED = (
    "AccessDenied",
    "User: %(arn)s is not authorized to perform: %(action)s because no policy allows the action",
)
_UNAUTHORIZED = (
    "Client.UnauthorizedOperation",
    "You are not authorized to perform this operation. User: %(arn)s may not: %(action)s",
)

INCIDENT = Scene(
    Place(PRODUCTION, HOME),
    before=timedelta(hours=10),
    lasts=timedelta(minutes=20),
    permille=40,
    parts=tuple(
        Part(caller, "ec2:DescribeInstances", weight, 0, _THROTTLED)
        for caller, weight in {
            _SCANNER: 70,
            _COLLECTOR: 11,
            _SCALER: 7,
            _NODE: 5,
            _BALANCER: 4,
            _DEPLOYER: 3,
        }.items()
    ),
    quota=quota("ec2.amazonaws.com", "DescribeInstances"),
)
_DENIALS = Scene(
    Place(STAGING, HOME),
    before=timedelta(hours=13),
    lasts=timedelta(minutes=30),
    permille=10,
    parts=(
        Part(_REPORTER, "s3:Get*=3 iam:List*=2 secretsmanager:* kms:List*", 75, 0.97, _DENIED),
        Part(_REPORTER, "ec2:Describe*", 25, 0.97, _UNAUTHORIZED),
    ),
)
SCENES = (INCIDENT, _DENIALS)

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
