"""The shared file system, who may mount it, and its backups."""

from typing import Any, Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_backup as backup
from aws_cdk import aws_efs as efs
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.stacks.agreed import UID
from infra.stacks.keys import Keys
from infra.stacks.log_groups import removal
from infra.stacks.network import Network
from infra.stage import Stage

_USING: Final = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")


class Storage(Stack):
    """The file system and its backups.

    Attributes:
        files: The file system.
        access_point: Its one way in: the directory and the user that every process has.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        keys: Keys,
        network: Network,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay it out."""
        super().__init__(scope, name, **kwargs)
        self.files = efs.FileSystem(
            self,
            "Files",
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            security_group=network.groups["files"],
            encrypted=True,
            kms_key=keys.operations,
            performance_mode=efs.PerformanceMode.GENERAL_PURPOSE,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            # No lifecycle rule: a file in Infrequent Access takes tens of milliseconds to open.
            enable_automatic_backups=False,
            removal_policy=removal(stage),
        )
        self.access_point = self.files.add_access_point(
            "Shared",
            path="/strongroom",
            create_acl=efs.Acl(owner_uid=UID, owner_gid=UID, permissions="700"),
            posix_user=efs.PosixUser(uid=UID, gid=UID),
        )
        self._mounters = [keys.api_role, keys.main_role, keys.worker_role, keys.founder_role]
        self._guard()
        self._back_up(stage, keys)

    def _guard(self) -> None:
        """Let the roles in: over TLS, through the access point, at a mount target, not as root."""
        points = f"arn:{self.partition}:elasticfilesystem:{self.region}:{self.account}:access-point"
        # Not statement by statement: beside the first one the CDK would let in everybody, as root.
        policy = iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="MountedByOurRolesThroughTheAccessPoint",
                    principals=[iam.ArnPrincipal(role.role_arn) for role in self._mounters],
                    actions=list(_USING),
                    resources=["*"],  # this file system
                    conditions={
                        "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
                        # Which one, the roles' own policies say: here it would be a circle.
                        "StringLike": {"elasticfilesystem:AccessPointArn": f"{points}/*"},
                    },
                ),
                iam.PolicyStatement(
                    sid="NeverWithoutTls",
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["elasticfilesystem:Client*"],
                    resources=["*"],  # this file system
                    conditions={"Bool": {"aws:SecureTransport": "false"}},
                ),
            ]
        )
        resource = self.files.node.default_child
        assert isinstance(resource, efs.CfnFileSystem)  # noqa: S101 - for the type
        resource.file_system_policy = policy
        iam.Policy(
            self,
            "Mounting",
            roles=self._mounters,
            statements=[
                iam.PolicyStatement(
                    actions=list(_USING),
                    resources=[
                        self.format_arn(
                            service="elasticfilesystem",
                            resource="file-system",
                            resource_name=self.files.file_system_id,
                        )
                    ],
                    conditions={
                        "StringEquals": {
                            "elasticfilesystem:AccessPointArn": self.access_point.access_point_arn
                        }
                    },
                )
            ],
        )

    def _back_up(self, stage: Stage, keys: Keys) -> None:
        vault = backup.BackupVault(
            self,
            "Vault",
            encryption_key=keys.operations,
            removal_policy=removal(stage),
            block_recovery_point_deletion=stage.keep_data,
        )
        plan = backup.BackupPlan(self, "Daily", backup_vault=vault)
        plan.add_rule(
            backup.BackupPlanRule(
                rule_name="daily",
                schedule_expression=events.Schedule.cron(hour="2", minute="0"),
                start_window=Duration.hours(1),
                completion_window=Duration.hours(8),
                delete_after=Duration.days(stage.backup_days),
            )
        )
        role = iam.Role(
            self,
            "Backing",
            assumed_by=iam.ServicePrincipal(
                "backup.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            ),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AWSBackupServiceRolePolicyForBackup"
                ),
            ],
        )
        plan.add_selection(
            "Files",
            resources=[backup.BackupResource.from_efs_file_system(self.files)],
            role=role,
            disable_default_backup_policy=True,
        )
