"""The REST API: the Lambda that Chalice's own construct makes, behind API Gateway."""

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sam as sam
from chalice.cdk import Chalice
from constructs import Construct

from infra import gateway
from infra.packaging.layer import RUNTIME
from infra.stacks import containers
from infra.stacks.agreed import MOUNT
from infra.stacks.keys import Keys
from infra.stacks.log_groups import log_group
from infra.stacks.network import Network
from infra.stacks.storage import Storage
from infra.stage import Domain, Stage

STAGE_NAME: Final = "v1"
_TIMEOUT_S: Final = 28
"""API Gateway itself waits 29 s; a request of ours has ended by then (limits.REQUEST_SECONDS)."""

# Without paths as they were asked for and without queries: these hold entity keys.
_ACCESS_LOG: Final = (
    '{"request_id":"$context.requestId","ip":"$context.identity.sourceIp",'
    '"time":"$context.requestTimeEpoch","method":"$context.httpMethod",'
    '"route":"$context.resourcePath","status":"$context.status",'
    '"bytes":"$context.responseLength","latency_ms":"$context.responseLatency",'
    '"function_ms":"$context.integrationLatency","refusal":"$context.error.responseType"}'
)
_INTERFACES: Final = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


class Api(Stack):
    """API Gateway and the Lambda behind it.

    Attributes:
        function: The Lambda, as Chalice names it: APIHandler.
        rest_api: API Gateway's side.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        keys: Keys,
        network: Network,
        storage: Storage,
        package: Path,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay it out; `package` is what `make package` has built."""
        super().__init__(scope, name, **kwargs)
        self._stage, self._keys, self._network, self._storage = stage, keys, network, storage
        self.log = log_group(self, "FunctionLog", stage, keys.operations)
        layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=lambda_.Code.from_asset(str(package / "layer.zip")),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_11],
            compatible_architectures=[lambda_.Architecture.X86_64],
            description="The shared kernel and the locked wheels",
        )
        chalice = self._chalice(package, layer)
        self.function: sam.CfnFunction = chalice.get_resource("APIHandler")
        self.rest_api: sam.CfnApi = chalice.get_resource("RestAPI")
        self._complete_function()
        self._complete_api()
        if stage.domain is not None:
            self._name(stage.domain)

    def _chalice(self, package: Path, layer: lambda_.LayerVersion) -> Chalice:
        stage, vpc = self._stage, self._network.vpc
        configuration = {
            "api_gateway_stage": STAGE_NAME,
            "api_gateway_endpoint_type": "REGIONAL",
            "manage_iam_role": False,
            "iam_role_arn": self._keys.api_role.role_arn,
            "lambda_memory_size": stage.lambda_memory_mib,
            "lambda_timeout": _TIMEOUT_S,
            "reserved_concurrency": stage.lambda_concurrency,
            "layers": [layer.layer_version_arn],
            "subnet_ids": vpc.select_subnets(
                subnet_type=self._network.subnets.subnet_type
            ).subnet_ids,
            "security_group_ids": [self._network.groups["api"].security_group_id],
            "environment_variables": self._environment(),
        }
        # The construct asks for a region, and writes none.
        os.environ.setdefault("AWS_DEFAULT_REGION", stage.region)
        # And it writes beside wherever it is called.
        with contextlib.chdir(package):
            return Chalice(
                self, "Chalice", source_dir=str(package / "stage"), stage_config=configuration
            )

    def _environment(self) -> dict[str, str]:
        return {
            "STRONGROOM_SHARED_DIR": MOUNT,
            "STRONGROOM_KMS_KEY_ARN": self._keys.master.key_arn,
            "STRONGROOM_IDENTITY_SECRET_ARN": self._keys.main_identity.secret_arn,
            **containers.identity("/tmp/strongroom"),  # noqa: S108 - the one place to write to
        }

    def _complete_function(self) -> None:
        function = self.function
        function.add_property_override("Runtime", RUNTIME)
        function.add_property_override("LoggingConfig", {"LogGroup": self.log.log_group_name})
        function.add_property_override(
            "FileSystemConfigs",
            [{"Arn": self._storage.access_point.access_point_arn, "LocalMountPath": MOUNT}],
        )
        needed = iam.Policy(
            self,
            "Running",
            roles=[self._keys.api_role],
            statements=[
                iam.PolicyStatement(
                    sid="WritesItsLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[self.log.log_group_arn],
                ),
                iam.PolicyStatement(
                    sid="HasInterfacesInTheNetwork", actions=list(_INTERFACES), resources=["*"]
                ),
            ],
        )
        function.add_resource_dependency(needed.node.default_child)
        # Lambda needs those, to place the function; what runs in the function does not.
        iam.Policy(
            self,
            "NotForTheCode",
            roles=[self._keys.api_role],
            statements=[
                iam.PolicyStatement(
                    sid="InterfacesAreLambdasAffair",
                    effect=iam.Effect.DENY,
                    actions=list(_INTERFACES),
                    resources=["*"],
                    conditions={
                        "ArnEquals": {
                            "lambda:SourceFunctionArn": function.get_att("Arn").to_string()
                        }
                    },
                )
            ],
        )

    def _complete_api(self) -> None:
        stage, api = self._stage, self.rest_api
        log = log_group(self, "AccessLog", stage, self._keys.operations)
        # An override would be merged into what is there.
        api.definition_body = gateway.complete(api.definition_body)
        for name, value in {
            "Name": f"strongroom-{stage.name}",
            "EndpointConfiguration": {"Type": "REGIONAL"},
            # Without it SAM adds a second stage, of no limits and no log.
            "OpenApiVersion": "2.0",
            "AccessLogSetting": {"DestinationArn": log.log_group_arn, "Format": _ACCESS_LOG},
            "MethodSettings": [
                {
                    "ResourcePath": "/*",
                    "HttpMethod": "*",
                    "ThrottlingRateLimit": stage.requests_per_second,
                    "ThrottlingBurstLimit": 2 * stage.requests_per_second,
                    "MetricsEnabled": True,
                    "DataTraceEnabled": False,
                    "CachingEnabled": False,
                }
            ],
        }.items():
            api.add_property_override(name, value)
        api.add_resource_dependency(self._logging_account())

    def _logging_account(self) -> apigateway.CfnAccount:
        """Return the region's one setting that lets API Gateway write any log."""
        role = iam.Role(
            self,
            "GatewayLogging",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        account = apigateway.CfnAccount(self, "GatewayAccount", cloud_watch_role_arn=role.role_arn)
        # Other APIs of the account may have come to rest on it.
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        return account

    def _name(self, domain: Domain) -> None:
        named: dict[str, Any] = {
            "DomainName": domain.name,
            "CertificateArn": domain.certificate_arn,
            "EndpointConfiguration": "REGIONAL",
            "SecurityPolicy": "TLS_1_2",
        }
        if domain.truststore:
            named["MutualTlsAuthentication"] = {"TruststoreUri": domain.truststore}
        self.rest_api.add_property_override("Domain", named)
        # Or else the mutual TLS could be walked around.
        self.rest_api.add_property_override("DisableExecuteApiEndpoint", value=True)
