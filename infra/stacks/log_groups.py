"""Log groups: encrypted, and kept as long as the stage says."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.stage import Stage


def log_group(
    scope: Construct, name: str, stage: Stage, key: kms.IKey, group_name: str | None = None
) -> logs.LogGroup:
    """Return a log group; it goes with its stack, unless the stage keeps its data."""
    group = logs.LogGroup(
        scope,
        name,
        log_group_name=group_name,
        encryption_key=key,
        removal_policy=removal(stage),
    )
    resource = group.node.default_child
    assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - for the type
    resource.retention_in_days = stage.log_days
    return group


def removal(stage: Stage) -> RemovalPolicy:
    """Return what becomes of data whose stack is deleted."""
    return RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY
