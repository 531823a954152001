"""The containers: Main Workers that serve gRPC, Processing Workers, and what leads to them."""

from pathlib import Path
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct

from infra.stacks import balancers, containers, ports
from infra.stacks.containers import Container
from infra.stacks.keys import Keys
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
        cluster: ecs.Cluster,
        source: Path,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay them out; `source` is the root of the repository, of which images are built."""
        super().__init__(scope, name, **kwargs)
        self._stage, self._keys, self._network, self._storage = stage, keys, network, storage
        self._source = source
        self.cluster = cluster
        self.main_log = log_group(self, "MainLog", stage, keys.operations)
        self.worker_log = log_group(self, "WorkerLog", stage, keys.operations)
        self.main = self._main_service()
        self.subscriptions = balancers.for_workers(self, network, self.main)
        self.clients: elb.ApplicationLoadBalancer | None = None
        if stage.client_grpc is not None:
            self.clients = balancers.for_clients(self, stage, stage.client_grpc, network, self.main)
        self.workers = self._worker_service()
        self.queue = scale(self, stage, self.workers, self.worker_log)

    def _main_service(self) -> ecs.FargateService:
        task = containers.task_definition(
            self,
            "MainTask",
            cpu=_MAIN_CPU,
            memory_mib=_MAIN_MEMORY_MIB,
            role=self._keys.main_role,
            storage=self._storage,
        )
        containers.add(
            task,
            Container(
                name="main",
                image=containers.image(self, "MainImage", self._source, "main_api/Dockerfile"),
                log=self.main_log,
                environment={
                    **containers.main_environment(self._keys),
                    **containers.metrics(),
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
        task = containers.task_definition(
            self,
            "WorkerTask",
            cpu=stage.worker_cpu,
            memory_mib=stage.worker_memory_mib,
            role=self._keys.worker_role,
            storage=self._storage,
        )
        host = self.subscriptions.load_balancer_dns_name
        containers.add(
            task,
            Container(
                name="worker",
                image=containers.image(
                    self, "WorkerImage", self._source, "processing_fn/Dockerfile"
                ),
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
