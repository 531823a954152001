"""The two load balancers, which differ in where TLS ends.

Workers come through a network load balancer that passes TCP on: their mutual TLS ends in the Main
Worker, which has to see their certificates. Clients prove themselves by tokens; theirs ends in an
application load balancer, which speaks gRPC and spreads calls, not connections, and TLS again from
there to the Main Worker.
"""

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_s3 as s3

from infra.stacks import ports
from infra.stacks.network import Network
from infra.stage import ClientGrpc, Stage


def for_workers(
    scope: Stack, network: Network, main: ecs.FargateService
) -> elb.NetworkLoadBalancer:
    """Return the load balancer that workers reach Main Workers through."""
    balancer = elb.NetworkLoadBalancer(
        scope,
        "Subscriptions",
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        internet_facing=False,
        cross_zone_enabled=True,
        security_groups=[network.groups["subscriptions"]],
    )
    listener = balancer.add_listener(
        "Subscription", port=ports.SUBSCRIPTION, protocol=elb.Protocol.TCP
    )
    listener.add_targets(
        "SubscriptionTargets",
        port=ports.SUBSCRIPTION,
        protocol=elb.Protocol.TCP,
        # A held event stream ends with its task, and is taken up again elsewhere.
        deregistration_delay=Duration.seconds(20),
        health_check=elb.HealthCheck(
            protocol=elb.Protocol.TCP,
            interval=Duration.seconds(10),
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
        ),
        targets=[
            main.load_balancer_target(container_name="main", container_port=ports.SUBSCRIPTION)
        ],
    )
    return balancer


def for_clients(
    scope: Stack,
    stage: Stage,
    wanted: ClientGrpc,
    network: Network,
    main: ecs.FargateService,
) -> elb.ApplicationLoadBalancer:
    """Return the load balancer for clients of gRPC."""
    balancer = elb.ApplicationLoadBalancer(
        scope,
        "Clients",
        vpc=network.vpc,
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
        if wanted.is_public
        else network.subnets,
        internet_facing=wanted.is_public,
        security_group=network.groups["clients"],
        http2_enabled=True,
        drop_invalid_header_fields=True,
        deletion_protection=stage.keep_data,
        # Longer than any call takes; streams send something more often.
        idle_timeout=Duration.seconds(120),
    )
    balancer.log_access_logs(_log_bucket(scope, stage))
    listener = balancer.add_listener(
        "Grpc",
        port=ports.HTTPS,
        protocol=elb.ApplicationProtocol.HTTPS,
        certificates=[elb.ListenerCertificate.from_arn(wanted.certificate_arn)],
        ssl_policy=elb.SslPolicy.TLS13_RES,
        open=False,
    )
    listener.add_targets(
        "GrpcTargets",
        port=ports.CLIENT_GRPC,
        protocol=elb.ApplicationProtocol.HTTPS,
        protocol_version=elb.ApplicationProtocolVersion.GRPC,
        deregistration_delay=Duration.seconds(20),
        health_check=elb.HealthCheck(
            path="/grpc.health.v1.Health/Check",
            healthy_grpc_codes="0",
            interval=Duration.seconds(10),
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
        ),
        targets=[
            main.load_balancer_target(container_name="main", container_port=ports.CLIENT_GRPC)
        ],
    )
    return balancer


def _log_bucket(scope: Stack, stage: Stage) -> s3.Bucket:
    return s3.Bucket(
        scope,
        "ClientsLog",
        # A load balancer writes its log under S3's own key, and no other.
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        enforce_ssl=True,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(stage.log_days))],
        removal_policy=RemovalPolicy.RETAIN,
    )
