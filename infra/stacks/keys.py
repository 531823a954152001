"""Who may do what, and the keys: the master key, the key of everything else, the secrets.

The roles stand beside the keys whose policies name them.

    api        the Lambda: opens the keyring, presents a certificate
    main       a Main Worker that serves gRPC: that, and issues certificates to workers
    worker     a Processing Worker: the shared directory, nothing else of AWS
    founder    a task that runs once: makes the keyring, the certificate authority, the first client

What ECS needs to start a task (its image, its log, a secret that it hands over) is a role of each
task definition's own, beside it.
"""

from typing import Any, Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.stacks.agreed import ROOT_PURPOSE
from infra.stacks.log_groups import removal
from infra.stage import Stage

_OPENING: Final = ("kms:Decrypt", "kms:GenerateDataKey")
# What an administrator of a key may do, as the documentation has it, without any use of it.
_ADMINISTERING: Final = (
    *("kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*"),
    *("kms:Get*", "kms:Disable*", "kms:Revoke*", "kms:TagResource", "kms:UntagResource"),
    *("kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:RotateKeyOnDemand"),
)


def for_tasks(scope: Stack) -> iam.ServicePrincipal:
    """Return ECS, when it acts for this account (and is nobody's confused deputy)."""
    return iam.ServicePrincipal(
        "ecs-tasks.amazonaws.com",
        conditions={"StringEquals": {"aws:SourceAccount": scope.account}},
    )


class Keys(Stack):
    """Roles, KMS keys, secrets.

    Attributes:
        master: Wraps the keyring's root.
        operations: Encrypts file system, backups, secrets, logs, notices.
        authority: The deployment's certificate authority, with its key.
        main_identity: The certificate of Main Workers, with its key.
        enrolment: The certificate that a new Processing Worker enrols with.
        administrator: The first client's id and secret.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay them out."""
        super().__init__(scope, name, **kwargs)
        self.api_role = self._role("Api", iam.ServicePrincipal("lambda.amazonaws.com"))
        self.main_role = self._task_role("Main")
        self.worker_role = self._task_role("Worker")
        self.founder_role = self._task_role("Founder")
        self.master = self._master_key(stage)
        self.operations = self._operations_key(stage)
        self.authority = self._secret("Authority", stage, "The certificate authority, with its key")
        self.main_identity = self._secret(
            "MainIdentity", stage, "The certificate of Main Workers, with its key"
        )
        self.enrolment = self._secret(
            "Enrolment", stage, "What a Processing Worker has its first certificate issued with"
        )
        self.administrator = self._secret("Administrator", stage, "The first client")
        self._let_read()

    @property
    def openers(self) -> list[iam.Role]:
        """The roles that open the keyring."""
        return [self.api_role, self.main_role, self.founder_role]

    def _role(self, name: str, principal: iam.IPrincipal) -> iam.Role:
        return iam.Role(self, name, assumed_by=principal)

    def _task_role(self, name: str) -> iam.Role:
        return self._role(name, for_tasks(self))

    def _master_key(self, stage: Stage) -> kms.Key:
        """Return the key that wraps the keyring's root: without it all data is lost for good."""
        key = kms.Key(
            self,
            "Master",
            description=f"Strongroom {stage.name}: wraps the root of the keyring",
            enable_key_rotation=True,
            rotation_period=Duration.days(365),
            pending_window=Duration.days(30),
            removal_policy=RemovalPolicy.RETAIN,
            policy=iam.PolicyDocument(statements=self._master_statements(stage)),
        )
        key.add_alias(f"alias/strongroom-{stage.name}")
        return key

    def _master_statements(self, stage: Stage) -> list[iam.PolicyStatement]:
        openers = [iam.ArnPrincipal(role.role_arn) for role in self.openers]
        bound: dict[str, Any] = {
            "StringEquals": {"kms:EncryptionContext:purpose": ROOT_PURPOSE},
            "ForAllValues:StringEquals": {
                "kms:EncryptionContextKeys": ["deployment", "purpose"],
            },
            "Null": {"kms:EncryptionContext:deployment": "false"},
        }
        if stage.deployment_id:
            bound["StringEquals"]["kms:EncryptionContext:deployment"] = stage.deployment_id
        return [
            iam.PolicyStatement(
                sid="AdministeredByTheAccountAndUsedByNoneOfIt",
                principals=[iam.AccountRootPrincipal()],
                actions=list(_ADMINISTERING),
                resources=["*"],
            ),
            iam.PolicyStatement(
                sid="OpensTheKeyringOfThisDeployment",
                principals=openers,
                actions=list(_OPENING),
                resources=["*"],
                conditions=bound,
            ),
            # Whoever means it takes this statement out first.
            iam.PolicyStatement(
                sid="IsNotDeletedByAccident",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["kms:ScheduleKeyDeletion", "kms:DisableKey"],
                resources=["*"],
            ),
        ]

    def _operations_key(self, stage: Stage) -> kms.Key:
        key = kms.Key(
            self,
            "Operations",
            description=f"Strongroom {stage.name}: file system, backups, secrets, logs, notices",
            enable_key_rotation=True,
            pending_window=Duration.days(30),
            removal_policy=removal(stage),
        )
        groups = f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:*"
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EncryptsLogGroups",
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EncryptsNoticesOfAlarmsAndBudgets",
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("budgets.amazonaws.com"),
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return key

    def _secret(self, name: str, stage: Stage, description: str) -> secretsmanager.Secret:
        """Return a secret that the founder fills in: CloudFormation never sees what is in it."""
        return secretsmanager.Secret(
            self,
            name,
            description=f"Strongroom {stage.name}: {description}",
            encryption_key=self.operations,
            removal_policy=removal(stage),
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106 - none is in it yet
                generate_string_key="unset",
            ),
        )

    def _let_read(self) -> None:
        self.authority.grant_read(self.main_role)
        for role in (self.api_role, self.main_role):
            self.main_identity.grant_read(role)
        for secret in (self.authority, self.main_identity, self.enrolment, self.administrator):
            secret.grant_read(self.founder_role)
            secret.grant_write(self.founder_role)
        for role in self.openers:
            role.add_to_policy(
                iam.PolicyStatement(
                    sid="OpensTheKeyring",
                    actions=list(_OPENING),
                    resources=[self.master.key_arn],
                )
            )
