"""The containers: Main Workers that serve gRPC, Processing Workers, and what leads to them."""

from pathlib import Path
from typing import Any, Final

from aws_cdk import Duration, IgnoreMode, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.stacks import balancers, containers, ports
from infra.stacks.containers import Container
from infra.stacks.keys import Keys, for_tasks
from infra.stacks.log_groups import log_group
from infra.stacks.network import Network
from infra.stacks.scaling import scale
from infra.stacks.storage import Storage
from infra.stage import Stage

_MAIN_CPU: Final = 1024
_MAIN_MEMORY_MIB: Final = 2048


class Services(Stack):
    """ECS services of one cluster.

    Attributes:
        cluster: Of all tasks.
        main: Main Workers that serve gRPC.
        workers: Processing Workers.
        subscriptions: The load balancer that workers reach Main Workers through.
        clients: The one for clients of gRPC; None where the stage has none.
        founder: The task that is run once, to make the deployment.
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
        source: Path,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay them out; `source` is the root of the repository, of which images are built."""
        super().__init__(scope, name, **kwargs)
        self._stage, self._keys, self._network, self._storage = stage, keys, network, storage
        self._source = source
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
            enable_fargate_capacity_providers=True,
        )
        self.main_log = log_group(self, "MainLog", stage, keys.operations)
        self.worker_log = log_group(self, "WorkerLog", stage, keys.operations)
        self._main_image = self._image("MainImage", "main_api/Dockerfile")
        self.main = self._main_service()
        self.subscriptions = balancers.for_workers(self, network, self.main)
        self.clients: elb.ApplicationLoadBalancer | None = None
        if stage.client_grpc is not None:
            self.clients = balancers.for_clients(self, stage, stage.client_grpc, network, self.main)
        self.workers = self._worker_service()
        self.queue = scale(self, stage, self.workers, self.worker_log)
        self.founder = self._founder()

    def _main_service(self) -> ecs.FargateService:
        task = self._task("MainTask", _MAIN_CPU, _MAIN_MEMORY_MIB, self._keys.main_role)
        containers.add(
            task,
            Container(
                name="main",
                image=self._main_image,
                log=self.main_log,
                environment={
                    **containers.main_environment(self._keys),
                    "STRONGROOM_IDENTITY_SECRET_ARN": self._keys.main_identity.secret_arn,
                    "STRONGROOM_CA_KEY_FILE": f"{containers.RUN}/ca.key",
                    # Clients' load balancer takes any, and theirs ends there.
                    "STRONGROOM_SERVER_CERTIFICATE_FILE": f"{containers.RUN}/own.pem",
                    "STRONGROOM_SERVER_KEY_FILE": f"{containers.RUN}/own.key",
                    "STRONGROOM_AUTHORITY_SECRET_ARN": self._keys.authority.secret_arn,
                },
                ports=(ports.CLIENT_GRPC, ports.SUBSCRIPTION),
            ),
        )
        return self._service("Main", task, "main", desired_count=self._stage.main_tasks)

    def _worker_service(self) -> ecs.FargateService:
        stage = self._stage
        task = self._task(
            "WorkerTask",
            stage.worker_cpu,
            stage.worker_memory_mib,
            self._keys.worker_role,
        )
        host = self.subscriptions.load_balancer_dns_name
        containers.add(
            task,
            Container(
                name="worker",
                image=self._image("WorkerImage", "processing_fn/Dockerfile"),
                log=self.worker_log,
                environment={
                    **containers.worker_environment(stage),
                    "STRONGROOM_MAIN_ADDRESS": f"{host}:{ports.SUBSCRIPTION}",
                },
                secrets=containers.worker_secrets(self, self._keys),
                ports=(ports.PROCESSING,),
            ),
        )
        regular = ecs.CapacityProviderStrategy(
            capacity_provider="FARGATE",
            base=stage.worker_tasks.least,
            weight=0 if stage.spot else 1,
        )
        strategies = [regular]
        if stage.spot:
            strategies.append(
                ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT", weight=1)
            )
        service = self._service("Workers", task, "worker", capacity_provider_strategies=strategies)
        service.node.add_dependency(self.main)
        return service

    def _founder(self) -> ecs.FargateTaskDefinition:
        task = self._task("FounderTask", 512, 1024, self._keys.founder_role)
        containers.add(
            task,
            Container(
                name="founder",
                image=self._main_image,
                log=self.main_log,
                environment={
                    **containers.main_environment(self._keys),
                    "STRONGROOM_AUTHORITY_SECRET_ARN": self._keys.authority.secret_arn,
                    "STRONGROOM_IDENTITY_SECRET_ARN": self._keys.main_identity.secret_arn,
                    "STRONGROOM_ENROLMENT_SECRET_ARN": self._keys.enrolment.secret_arn,
                    "STRONGROOM_ADMINISTRATOR_SECRET_ARN": self._keys.administrator.secret_arn,
                },
                command=("python", "-m", "main_api.founding"),
                is_probed=False,
            ),
        )
        events.Rule(
            self,
            "Renewal",
            description="The founder again: what ends soon is renewed, what is there stays",
            schedule=events.Schedule.rate(Duration.days(7)),
            targets=[
                targets.EcsTask(
                    cluster=self.cluster,
                    task_definition=task,
                    subnet_selection=self._network.subnets,
                    security_groups=[self._network.groups["main"]],
                    assign_public_ip=False,
                )
            ],
        )
        return task

    def _task(
        self, name: str, cpu: int, memory_mib: int, role: iam.IRole
    ) -> ecs.FargateTaskDefinition:
        return containers.task_definition(
            self,
            name,
            cpu=cpu,
            memory_mib=memory_mib,
            role=role,
            launcher=iam.Role(self, f"{name}Launcher", assumed_by=for_tasks(self)),
            storage=self._storage,
        )

    def _service(
        self,
        name: str,
        task: ecs.FargateTaskDefinition,
        group: str,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> ecs.FargateService:
        return ecs.FargateService(
            self,
            name,
            cluster=self.cluster,
            task_definition=task,
            assign_public_ip=False,
            platform_version=ecs.FargatePlatformVersion.LATEST,
            security_groups=[self._network.groups[group]],
            vpc_subnets=self._network.subnets,
            # New tasks come up before old ones go.
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            **kwargs,
        )

    def _image(self, name: str, dockerfile: str) -> ecs.ContainerImage:
        return ecs.ContainerImage.from_docker_image_asset(
            ecr_assets.DockerImageAsset(
                self,
                name,
                directory=str(self._source),
                file=dockerfile,
                platform=ecr_assets.Platform.LINUX_AMD64,
                exclude=list(containers.BUILD_CONTEXT),
                ignore_mode=IgnoreMode.DOCKER,
            )
        )
