"""Why a finding of cdk-nag (AwsSolutions) stands: each with its reason, where it is."""

from dataclasses import dataclass
from typing import Final

from aws_cdk import Acknowledgment, Stack, Validations


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one finding stands.

    Attributes:
        place: The stack's part of the deployment, and the path of a construct in it.
        finding: As cdk-nag names it.
        text: Why.
    """

    place: str
    finding: str
    text: str


_SETTINGS: Final = "What stands in the environment are addresses, ARNs and paths; secrets do not."
_PULLING: Final = (
    "ecr:GetAuthorizationToken has no resource; pulling itself is allowed for our repository alone."
)
_SECRETS: Final = {
    "Authority": "The certificate authority is replaced by a procedure: two are trusted meanwhile.",
    "MainIdentity": "The founder replaces it before it ends; it runs every week.",
    "Enrolment": "Workers are given it at their start; docs/deploy.md says how it is replaced.",
    "Administrator": "Strongroom rotates clients' secrets itself, with an overlap.",
}

_TASKS: Final = ("services/MainTask", "services/WorkerTask", "founding/FounderTask")

REASONS: Final = (
    *(Reason(f"keys/{name}", "AwsSolutions-SMG4", text) for name, text in _SECRETS.items()),
    Reason(
        "storage/Backing",
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
        "AWSBackupServiceRolePolicyForBackup]",
        "AWS Backup's own policy for making backups: which calls it needs is AWS's to know.",
    ),
    *(Reason(task, "AwsSolutions-ECS2", _SETTINGS) for task in _TASKS),
    *(Reason(f"{task}Launcher", "AwsSolutions-IAM5[Resource::*]", _PULLING) for task in _TASKS),
    Reason(
        "founding/FounderTask",
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:{region}:*:task/<ClusterEB0386A7>/*]",
        "EventBridge tags the task that it starts, of this cluster, which has no name before.",
    ),
    Reason(
        "services/Subscriptions",
        "AwsSolutions-ELB2",
        "It passes TCP on, and a network load balancer logs TLS listeners only.",
    ),
    Reason(
        "services/ClientsLog",
        "AwsSolutions-S1",
        "It is itself where access is logged to.",
    ),
    Reason(
        "network/ClientsGroup",
        "AwsSolutions-EC23",
        "The load balancer of a public API: this stage's settings say that it is public.",
    ),
    Reason(
        "api/Running",
        "AwsSolutions-IAM5[Resource::*]",
        "Interfaces have no name before they are made; the function's code is denied the calls.",
    ),
    Reason(
        "api/GatewayLogging",
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
        "AmazonAPIGatewayPushToCloudWatchLogs]",
        "API Gateway asks for this very policy, once in a region.",
    ),
)


def give(stack: Stack, part: str) -> None:
    """Say so, to the constructs of one stack."""
    for reason in REASONS:
        where, _, path = reason.place.partition("/")
        construct = stack.node.try_find_child(path)
        if where == part and construct is not None:
            Validations.of(construct).acknowledge(
                Acknowledgment(
                    id="AwsSolutions::" + reason.finding.replace("{region}", stack.region),
                    reason=reason.text,
                )
            )
