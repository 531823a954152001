"""The network: private subnets, the endpoints of AWS in it, and who may speak to whom.

Nothing in it has a way to the internet, unless token federation has to fetch an issuer's keys. The
rules of the security groups stand here as one table, because together they are one statement.
"""

from typing import Any, Final

from aws_cdk import Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.stacks import ports
from infra.stacks.log_groups import log_group
from infra.stage import Stage

_SERVICES: Final = {
    "Kms": ec2.InterfaceVpcEndpointAwsService.KMS,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "EcrApi": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Secrets": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
}


class Network(Stack):
    """Subnets, endpoints, security groups.

    Attributes:
        vpc: The network.
        subnets: Where everything of ours runs.
        groups: Security groups by role: api, main, worker, files, subscriptions, clients.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        log_key: kms.IKey,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay it out; what it logs is encrypted under `log_key`."""
        super().__init__(scope, name, **kwargs)
        self.has_public = stage.federation or (
            stage.client_grpc is not None and stage.client_grpc.is_public
        )
        private = (
            ec2.SubnetType.PRIVATE_WITH_EGRESS
            if stage.federation
            else ec2.SubnetType.PRIVATE_ISOLATED
        )
        kinds = [ec2.SubnetConfiguration(name="private", subnet_type=private, cidr_mask=20)]
        if self.has_public:
            kinds.append(
                ec2.SubnetConfiguration(
                    name="public",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=24,
                    map_public_ip_on_launch=False,
                )
            )
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=[Fn.select(n, Fn.get_azs()) for n in range(stage.zones)],
            ip_addresses=ec2.IpAddresses.cidr("10.64.0.0/16"),
            subnet_configuration=kinds,
            nat_gateways=stage.zones if stage.federation else 0,
            # Emptying the default group would take a Lambda of the CDK's own; nothing is in it.
            restrict_default_security_group=False,
        )
        self.subnets = ec2.SubnetSelection(subnet_type=private)
        self.vpc.add_flow_log(
            "Flows",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                log_group(self, "FlowLogs", stage, log_key)
            ),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        self.groups = {
            name: ec2.SecurityGroup(
                self,
                f"{name.title()}Group",
                vpc=self.vpc,
                description=text,
                allow_all_outbound=False,
            )
            for name, text in _GROUPS.items()
        }
        self._allow(stage)
        self._add_endpoints()

    def _allow(self, stage: Stage) -> None:
        """Let through what is in the table, and nothing else."""
        for source, target, port, text in _RULES:
            self.groups[source].add_egress_rule(self.groups[target], ec2.Port.tcp(port), text)
            self.groups[target].add_ingress_rule(self.groups[source], ec2.Port.tcp(port), text)
        for puller in ("main", "worker"):
            # S3's addresses have no group. Without federation the subnets lead nowhere else.
            self.groups[puller].add_egress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(ports.HTTPS), "layers of images, from S3"
            )
        if stage.client_grpc is not None:
            from_where = (
                ec2.Peer.any_ipv4()
                if stage.client_grpc.is_public
                else ec2.Peer.ipv4(self.vpc.vpc_cidr_block)
            )
            self.groups["clients"].add_ingress_rule(
                from_where, ec2.Port.tcp(ports.HTTPS), "clients of gRPC, over TLS"
            )
        if stage.federation:
            self.groups["api"].add_egress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(ports.HTTPS), "keys of foreign token issuers"
            )

    def _add_endpoints(self) -> None:
        gateway = self.vpc.add_gateway_endpoint(
            "S3", service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[self.subnets]
        )
        # ECR keeps the layers of images in a bucket of its own, one in each region.
        gateway.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=[f"arn:{self.partition}:s3:::prod-{self.region}-starport-layer-bucket/*"],
            )
        )
        for name, service in _SERVICES.items():
            endpoint = self.vpc.add_interface_endpoint(
                name,
                service=service,
                subnets=self.subnets,
                security_groups=[self.groups["endpoints"]],
                private_dns_enabled=True,
                open=False,
            )
            endpoint.add_to_policy(
                iam.PolicyStatement(
                    principals=[iam.AnyPrincipal()],
                    actions=["*"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:PrincipalAccount": self.account}},
                )
            )


_GROUPS: Final = {
    "api": "The Lambda of the REST API",
    "main": "Main Workers that serve gRPC",
    "worker": "Processing Workers",
    "files": "The shared file system",
    "subscriptions": "The load balancer that workers reach Main Workers through",
    "clients": "The load balancer for clients of gRPC",
    "endpoints": "Endpoints of AWS services",
}
_RULES: Final = [
    ("api", "worker", ports.PROCESSING, "requests, over mutual TLS"),
    ("main", "worker", ports.PROCESSING, "requests, over mutual TLS"),
    ("worker", "subscriptions", ports.SUBSCRIPTION, "subscriptions, over mutual TLS"),
    ("worker", "main", ports.SUBSCRIPTION, "the other Main Workers, each by its address"),
    ("subscriptions", "main", ports.SUBSCRIPTION, "subscriptions, passed through"),
    ("clients", "main", ports.CLIENT_GRPC, "clients of gRPC, over TLS"),
    *((who, "files", ports.NFS, "the shared directory") for who in ("api", "main", "worker")),
    *((who, "endpoints", ports.HTTPS, "services of AWS") for who in ("api", "main", "worker")),
]
