"""The task that makes a deployment (main_api/founding.py), before anything of it can start."""

from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.stacks import containers
from infra.stacks.containers import Container
from infra.stacks.keys import Keys
from infra.stacks.log_groups import log_group
from infra.stacks.network import Network
from infra.stacks.storage import Storage
from infra.stage import Stage


class Founding(Stack):
    """The cluster, and the founder in it.

    Attributes:
        cluster: Of all tasks.
        task: The founder's.
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
        """Lay them out; `source` is the root of the repository, of which the image is built."""
        super().__init__(scope, name, **kwargs)
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
            enable_fargate_capacity_providers=True,
        )
        log = log_group(self, "Log", stage, keys.operations)
        self.task = containers.task_definition(
            self,
            "FounderTask",
            cpu=512,
            memory_mib=1024,
            role=keys.founder_role,
            storage=storage,
        )
        containers.add(
            self.task,
            Container(
                name="founder",
                image=containers.image(self, "Image", source, "main_api/Dockerfile"),
                log=log,
                environment={
                    **containers.main_environment(keys),
                    "STRONGROOM_AUTHORITY_SECRET_ARN": keys.authority.secret_arn,
                    "STRONGROOM_IDENTITY_SECRET_ARN": keys.main_identity.secret_arn,
                    "STRONGROOM_ENROLMENT_SECRET_ARN": keys.enrolment.secret_arn,
                    "STRONGROOM_ADMINISTRATOR_SECRET_ARN": keys.administrator.secret_arn,
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
                    task_definition=self.task,
                    subnet_selection=network.subnets,
                    security_groups=[network.groups["main"]],
                    assign_public_ip=False,
                )
            ],
        )

        subnets = network.vpc.select_subnets(subnet_type=network.subnets.subnet_type).subnet_ids
        # What `aws ecs run-task` is told (docs/deploy.md).
        for output, value in {
            "ClusterOfTasks": self.cluster.cluster_name,
            "Founder": self.task.task_definition_arn,
            "SubnetsOfTasks": ",".join(subnets),
            "GroupOfFounder": network.groups["main"].security_group_id,
            "Administrator": keys.administrator.secret_arn,
        }.items():
            CfnOutput(self, output, value=value)
