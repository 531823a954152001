"""The templates are deployed, into moto, and what they have made is read back through boto3."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.support.synthesized import UNKNOWN_TO_MOTO, UNLISTED, Account, Templates

# moto's, for each type that it does not know.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")


@pytest.fixture(scope="module")
def account(full: Templates) -> Iterator[Account]:
    """An account with the stage `full` in it."""
    with mock_aws():
        made = Account("eu-central-1")
        made.deploy(full)
        yield made


def test_everything_was_made_that_moto_can_make(account: Account) -> None:
    """A resource is left out, and the test that reads it back reads nothing."""
    assert set(account.missing.values()) <= UNKNOWN_TO_MOTO | UNLISTED


def test_the_function_has_its_code_and_is_in_each_zone(account: Account, full: Templates) -> None:
    """The Lambda runs something else than was packaged; or a zone fails, and REST with it."""
    name = account.physical("strongroom-full-api", "APIHandler", "AWS::Lambda::Function")
    function = account.client("lambda").get_function(FunctionName=name)["Configuration"]
    [layer] = account.client("lambda").list_layers()["Layers"]
    digests = {
        b64encode(hashlib.sha256(p.read_bytes()).digest()).decode()
        for p in full.directory.glob("asset.*.zip")
    }
    version = account.client("lambda").get_layer_version(
        LayerName=layer["LayerName"], VersionNumber=1
    )
    assert {function["CodeSha256"], version["Content"]["CodeSha256"]} == digests
    assert function["Handler"] == "app.app"
    vpc = function["VpcConfig"]
    subnets = account.client("ec2").describe_subnets(SubnetIds=vpc["SubnetIds"])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 3


def test_the_api_hands_every_method_to_the_function(account: Account) -> None:
    """A path leads nowhere."""
    gateway = account.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    function = account.physical("strongroom-full-api", "APIHandler", "AWS::Lambda::Function")
    resources = gateway.get_resources(restApiId=api["id"], limit=500)["items"]
    served = {r["path"]: r["resourceMethods"] for r in resources if r.get("resourceMethods")}
    assert {"/", "/{proxy+}", "/entity/{database}", "/oauth/token"} <= set(served)
    for resource in resources:
        if resource["path"] in served:
            assert list(resource["resourceMethods"]) == ["ANY"]
            integration = gateway.get_integration(
                restApiId=api["id"], resourceId=resource["id"], httpMethod="ANY"
            )
            assert f":function:{function}/invocations" in integration["uri"]


def test_the_function_may_be_called_by_its_api_alone(account: Account) -> None:
    """Any API of the account calls it."""
    function = account.physical("strongroom-full-api", "APIHandler", "AWS::Lambda::Function")
    policy = json.loads(account.client("lambda").get_policy(FunctionName=function)["Policy"])
    [statement] = policy["Statement"]
    assert statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
    assert "execute-api" in json.dumps(statement["Condition"])


def test_services_run_their_tasks_and_keep_their_logs(account: Account) -> None:
    """A task cannot start, because the log that it is to write to is another one's, or nobody's."""
    ecs, known = account.client("ecs"), account.client("logs").describe_log_groups()["logGroups"]
    [cluster] = ecs.list_clusters()["clusterArns"]
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    services = ecs.describe_services(cluster=cluster, services=arns)["services"]
    names = set()
    for service in services:
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        task = definition["taskDefinition"]
        assert {_in(volume, "name") for volume in task["volumes"]} == {"shared", "run"}
        [container] = task["containerDefinitions"]
        options = _in(_in(container, "logConfiguration"), "options")
        assert options["awslogs-group"] in {group["logGroupName"] for group in known}
        names.add(_in(container, "name"))
    assert names == {"main", "worker"}


def test_a_worker_knows_where_its_main_workers_are(account: Account) -> None:
    """Workers come up and find nobody."""
    arn = account.physical(
        "strongroom-full-services", "Subscriptions", "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
    balancers = account.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])
    host = balancers["LoadBalancers"][0]["DNSName"]
    ecs = account.client("ecs")
    containers = [
        ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"][
            0
        ]
        for arn in ecs.list_task_definitions()["taskDefinitionArns"]
    ]
    [worker] = [c for c in containers if _in(c, "name") == "worker"]
    environment = {_in(e, "name"): _in(e, "value") for e in _in(worker, "environment")}
    assert environment["STRONGROOM_MAIN_ADDRESS"] == f"{host}:50052"


def test_the_file_system_has_a_way_in_from_each_zone(account: Account) -> None:
    """A worker of one zone cannot mount it."""
    efs = account.client("efs")
    [files] = efs.describe_file_systems()["FileSystems"]
    assert files["Encrypted"] is True
    targets = efs.describe_mount_targets(FileSystemId=files["FileSystemId"])["MountTargets"]
    assert len({target["AvailabilityZoneId"] for target in targets}) == 3


def test_the_master_key_has_its_policy(account: Account) -> None:
    """The key is there, and everybody may use it."""
    kms = account.client("kms")
    [alias] = [
        a for a in kms.list_aliases()["Aliases"] if a["AliasName"] == "alias/strongroom-full"
    ]
    key = alias["TargetKeyId"]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    # moto answers it as the template had it, not as text.
    policy: Any = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    [opening] = [s for s in policy["Statement"] if s["Sid"] == "OpensTheKeyringOfThisDeployment"]
    iam = account.client("iam")
    known = {role["Arn"] for role in iam.list_roles(MaxItems=100)["Roles"]}
    assert set(opening["Principal"]["AWS"]) <= known


def test_who_speaks_to_whom(account: Account) -> None:
    """A rule names a group that is another one's."""
    ec2 = account.client("ec2")
    groups = {g["GroupId"]: g for g in ec2.describe_security_groups()["SecurityGroups"]}
    texts = {g["Description"]: g for g in groups.values()}
    worker = texts["Processing Workers"]
    sources = {
        groups[pair["GroupId"]]["Description"]
        for rule in worker["IpPermissions"]
        for pair in rule["UserIdGroupPairs"]
    }
    assert sources == {"The Lambda of the REST API", "Main Workers that serve gRPC"}


def _in(made: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - moto's
    """Return a member, which moto answers in CloudFormation's spelling or in the service's."""
    [found] = [value for key, value in made.items() if key.lower() == name.lower()]
    return found
