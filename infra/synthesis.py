"""The CDK app: seven stacks of a stage, and what they are judged by."""

from pathlib import Path
from typing import Final

from aws_cdk import App, Environment, Stack, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra import reasons
from infra.stacks.api import Api
from infra.stacks.founding import Founding
from infra.stacks.keys import Keys
from infra.stacks.monitoring import Monitoring
from infra.stacks.network import Network
from infra.stacks.services import Services
from infra.stacks.storage import Storage
from infra.stage import Stage

SOURCE: Final = Path(__file__).parents[1]
_CONTEXT: Final = {
    # What CloudFormation would refuse is an error here already.
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    # Policies as narrow as the CDK has learnt to make them.
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-kms:reduceCrossAccountRegionPolicyScope": True,
    "@aws-cdk/aws-efs:denyAnonymousAccess": True,
    "@aws-cdk/aws-efs:mountTargetOrderInsensitiveLogicalId": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/aws-ecs:reduceEc2FargateCloudWatchPermissions": True,
    "@aws-cdk/aws-ecs:removeDefaultDeploymentAlarm": True,
}


def build(stage: Stage, package: Path, output: Path) -> App:
    """Return the app of a stage; `synth()` writes its templates.

    Args:
        stage: Its settings.
        package: What `make package` has built, absolute.
        output: Where the templates go.
    """
    app = App(outdir=str(output), analytics_reporting=False, context=_CONTEXT)
    # The account is whoever's credentials deploy it: templates name none.
    common = {
        "env": Environment(region=stage.region),
        "termination_protection": stage.keep_data,
        "stage": stage,
    }

    def name(part: str) -> str:
        return f"strongroom-{stage.name}-{part}"

    keys = Keys(app, name("keys"), **common)
    network = Network(app, name("network"), log_key=keys.operations, **common)
    storage = Storage(app, name("storage"), keys=keys, network=network, **common)
    placed = {"keys": keys, "network": network, "storage": storage, **common}
    founding = Founding(app, name("founding"), source=SOURCE, **placed)
    services = Services(app, name("services"), cluster=founding.cluster, source=SOURCE, **placed)
    api = Api(app, name("api"), package=package, **placed)
    Monitoring(
        app,
        name("monitoring"),
        keys=keys,
        storage=storage,
        services=services,
        api=api,
        **common,
    )
    # What the budget counts.
    Tags.of(app).add("deployment", f"strongroom-{stage.name}")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    for stack in app.node.children:
        if isinstance(stack, Stack):
            reasons.give(stack, stack.stack_name.rpartition("-")[2])
    return app
