"""What tasks have in common: no root, nothing to write to but the shared directory and /run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aws_cdk import Duration, IgnoreMode, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.stacks import ports
from infra.stacks.agreed import MOUNT, UID
from infra.stacks.keys import Keys, for_tasks
from infra.stacks.storage import Storage
from infra.stage import Stage

RUN: Final = "/run/strongroom"
"""Where a task keeps its certificate; it goes with the task, and no other task sees it."""

BUILD_CONTEXT: Final = (
    "*",
    *("!requirements", "!layers", "!main_api", "!processing_fn"),
    "**/__pycache__",
)
"""Of the repository, what images are built of (in the syntax of .dockerignore)."""

_SHARE_OF_CACHE: Final = 0.35
"""Of a worker's memory: a cached document takes up to 2.5 times its bytes with its overhead."""


@dataclass(frozen=True, slots=True)
class Container:
    """The one container of a task.

    Attributes:
        name: Its name.
        image: What it runs.
        log: Where its log goes.
        environment: Its settings.
        secrets: Settings that ECS reads from Secrets Manager at each start.
        ports: Where it listens.
        command: In the place of the image's own.
        is_probed: Whether ECS asks for its health.
    """

    name: str
    image: ecs.ContainerImage
    log: logs.ILogGroup
    environment: Mapping[str, str]
    secrets: Mapping[str, ecs.Secret] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    command: tuple[str, ...] = ()
    is_probed: bool = True


def main_environment(keys: Keys) -> dict[str, str]:
    """Return the settings that a Main Worker has in every face."""
    return {
        "STRONGROOM_SHARED_DIR": MOUNT,
        "STRONGROOM_KMS_KEY_ARN": keys.master.key_arn,
        **identity(RUN),
    }


def metrics() -> dict[str, str]:
    """Return where a process of a task serves its metrics."""
    return {"STRONGROOM_METRICS_LISTEN": f"127.0.0.1:{ports.METRICS}"}


def identity(directory: str) -> dict[str, str]:
    """Return where a process has its certificate."""
    return {
        "STRONGROOM_CA_FILE": f"{directory}/ca.pem",
        "STRONGROOM_CERTIFICATE_FILE": f"{directory}/own.pem",
        "STRONGROOM_KEY_FILE": f"{directory}/own.key",
    }


def worker_environment(stage: Stage) -> dict[str, str]:
    """Return a worker's settings, but for where its Main Workers are."""
    cache_bytes = int(stage.worker_memory_mib * 1024 * 1024 * _SHARE_OF_CACHE)
    return {
        "STRONGROOM_SHARED_DIR": MOUNT,
        "STRONGROOM_CACHE_BYTES": str(cache_bytes),
        "STRONGROOM_LISTEN_PORT": str(ports.PROCESSING),
        **metrics(),
        **identity(RUN),
    }


def worker_secrets(scope: Construct, keys: Keys) -> dict[str, ecs.Secret]:
    """Return what a worker has its first certificate issued with."""
    # By name, so that the right to read it goes to the role alone, not into the key's policy.
    enrolment = secretsmanager.Secret.from_secret_attributes(
        scope,
        "Enrolment",
        secret_complete_arn=keys.enrolment.secret_arn,
        encryption_key=kms.Key.from_key_arn(scope, "EnrolmentKey", keys.operations.key_arn),
    )
    return {"STRONGROOM_ENROLMENT": ecs.Secret.from_secrets_manager(enrolment)}


def task_definition(
    scope: Construct,
    name: str,
    *,
    cpu: int,
    memory_mib: int,
    role: iam.IRole,
    storage: Storage,
) -> ecs.FargateTaskDefinition:
    """Return a task that has the shared directory mounted, over TLS, by its role."""
    return ecs.FargateTaskDefinition(
        scope,
        name,
        cpu=cpu,
        memory_limit_mib=memory_mib,
        task_role=role,
        execution_role=iam.Role(scope, f"{name}Launcher", assumed_by=for_tasks(Stack.of(scope))),
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=ecs.CpuArchitecture.X86_64,
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        ),
        volumes=[
            ecs.Volume(
                name="shared",
                efs_volume_configuration=ecs.EfsVolumeConfiguration(
                    file_system_id=storage.files.file_system_id,
                    transit_encryption="ENABLED",
                    authorization_config=ecs.AuthorizationConfig(
                        access_point_id=storage.access_point.access_point_id, iam="ENABLED"
                    ),
                ),
            ),
            ecs.Volume(name="run"),
        ],
    )


def add(task: ecs.FargateTaskDefinition, container: Container) -> None:
    """Give a task its container."""
    made = task.add_container(
        container.name,
        image=container.image,
        command=list(container.command) or None,
        environment=dict(container.environment),
        secrets=dict(container.secrets) or None,
        logging=ecs.LogDriver.aws_logs(
            log_group=container.log,
            stream_prefix=container.name,
            # A log that nobody takes stops no request.
            mode=ecs.AwsLogDriverMode.NON_BLOCKING,
        ),
        user=f"{UID}:{UID}",
        readonly_root_filesystem=True,
        privileged=False,
        linux_parameters=_without_capabilities(task, container.name),
        # What is under way is finished; two seconds more than the server's own patience.
        stop_timeout=Duration.seconds(30),
        health_check=_PROBE if container.is_probed else None,
        port_mappings=[ecs.PortMapping(container_port=port) for port in container.ports] or None,
    )
    made.add_mount_points(
        ecs.MountPoint(container_path=MOUNT, source_volume="shared", read_only=False),
        ecs.MountPoint(container_path=RUN, source_volume="run", read_only=False),
    )


def image(scope: Construct, name: str, source: Path, dockerfile: str) -> ecs.ContainerImage:
    """Return an image that the CDK builds of the repository and puts into ECR."""
    return ecs.ContainerImage.from_docker_image_asset(
        ecr_assets.DockerImageAsset(
            scope,
            name,
            directory=str(source),
            file=dockerfile,
            platform=ecr_assets.Platform.LINUX_AMD64,
            exclude=list(BUILD_CONTEXT),
            ignore_mode=IgnoreMode.DOCKER,
        )
    )


def _without_capabilities(scope: Construct, name: str) -> ecs.LinuxParameters:
    parameters = ecs.LinuxParameters(scope, f"{name}Linux")
    parameters.drop_capabilities(ecs.Capability.ALL)
    return parameters


# The image's own health check says the same; ECS does not read it.
_PROBE: Final = ecs.HealthCheck(
    command=["CMD", "python", "-m", "strongroom.rpc.probe"],
    interval=Duration.seconds(10),
    timeout=Duration.seconds(7),
    retries=3,
    start_period=Duration.seconds(60),
)
