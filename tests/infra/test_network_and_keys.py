"""The templates say who reaches whom, and who may use which key."""

import json
from typing import Any

import pytest

from infra.stacks.agreed import ROOT_PURPOSE
from main_api.adapters.keys import root_message
from tests.support.synthesized import Templates


def _flat(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def test_a_stage_without_federation_has_no_way_out(dev: Templates) -> None:
    """What has broken into a worker sends the documents somewhere."""
    kinds = {r["Type"] for r in dev.parts["network"]["Resources"].values()}
    assert not kinds & {"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::EIP"}
    routes = [t for t in kinds if t == "AWS::EC2::Route"]
    assert routes == []


def test_federation_has_a_way_out_in_each_zone(full: Templates) -> None:
    """A zone that fails takes the verification of foreign tokens with it."""
    assert len(full.of("AWS::EC2::NatGateway")) == 3


def test_nothing_of_ours_has_a_public_address(full: Templates) -> None:
    """A worker can be spoken to from the internet."""
    for subnet in full.of("AWS::EC2::Subnet").values():
        assert not subnet["Properties"].get("MapPublicIpOnLaunch", False)
    for service in full.of("AWS::ECS::Service").values():
        network = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert "privateSubnet" in _flat(network["Subnets"])
        assert "publicSubnet" not in _flat(network["Subnets"])


def test_aws_services_are_reached_inside_the_network(dev: Templates) -> None:
    """Without an endpoint a task cannot start: there is no other way to its image or its key."""
    endpoints = dev.of("AWS::EC2::VPCEndpoint").values()
    named = _flat([e["Properties"]["ServiceName"] for e in endpoints])
    for service in ("kms", "logs", "ecr.api", "ecr.dkr", "s3", "secretsmanager"):
        assert service in named, service


def test_endpoints_serve_this_account_and_these_layers_alone(dev: Templates) -> None:
    """Somebody else's credentials, brought along, take data out through an endpoint."""
    for name, endpoint in dev.of("AWS::EC2::VPCEndpoint").items():
        for statement in endpoint["Properties"]["PolicyDocument"]["Statement"]:
            is_layers = "starport-layer-bucket" in _flat(statement["Resource"])
            bound = statement.get("Condition", {}).get("StringEquals", {})
            assert is_layers or bound == {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}, name


def test_only_a_public_load_balancer_is_open_to_the_world(full: Templates, dev: Templates) -> None:
    """A port that nobody thought of can be reached from everywhere."""
    assert _open(dev) == []
    [(group, port)] = _open(full)
    assert group.startswith("ClientsGroup")
    assert port == 443


def test_groups_name_each_other_port_by_port(full: Templates) -> None:
    """The Lambda reaches what it has no business with: the subscription API, say."""
    seen = set()
    for rule in full.of("AWS::EC2::SecurityGroupIngress").values():
        properties = rule["Properties"]
        source = properties["SourceSecurityGroupId"]["Fn::GetAtt"][0]
        target = properties["GroupId"]["Fn::GetAtt"][0]
        assert properties["IpProtocol"] == "tcp"
        assert properties["FromPort"] == properties["ToPort"]
        seen.add((_name(source), _name(target), properties["ToPort"]))
    assert seen == {
        ("Api", "Worker", 50061),
        ("Main", "Worker", 50061),
        ("Worker", "Subscriptions", 50052),
        ("Worker", "Main", 50052),
        ("Subscriptions", "Main", 50052),
        ("Clients", "Main", 50051),
        *((who, "Files", 2049) for who in ("Api", "Main", "Worker")),
        *((who, "Endpoints", 443) for who in ("Api", "Main", "Worker")),
    }


def test_flows_that_were_refused_are_recorded(dev: Templates) -> None:
    """Nobody sees that somebody is trying doors."""
    assert dev.one("AWS::EC2::FlowLog")["TrafficType"] == "REJECT"


def test_the_master_key_is_used_by_main_workers_for_the_keyring_alone(dev: Templates) -> None:
    """An administrator of the account, or a worker, opens the keyring."""
    statements = dev.one("AWS::KMS::Key", "Master")["KeyPolicy"]["Statement"]
    using = [s for s in statements if _may(s, "kms:Decrypt") or _may(s, "kms:GenerateDataKey")]
    [statement] = [s for s in using if s["Effect"] == "Allow"]
    roles = {p["Fn::GetAtt"][0][:4] for p in statement["Principal"]["AWS"]}
    assert roles == {"ApiF", "Main", "Foun"}
    condition = statement["Condition"]
    assert condition["StringEquals"] == {"kms:EncryptionContext:purpose": ROOT_PURPOSE}
    assert condition["Null"] == {"kms:EncryptionContext:deployment": "false"}
    assert condition["ForAllValues:StringEquals"] == {
        "kms:EncryptionContextKeys": ["deployment", "purpose"]
    }


def test_the_encryption_context_is_the_one_that_main_workers_send() -> None:
    """The policy demands a context that nobody sends: no Main Worker can start."""
    sent = root_message._context("some-deployment")  # noqa: SLF001 - it has no other name
    assert sent == {"deployment": "some-deployment", "purpose": ROOT_PURPOSE}


def test_a_deployment_that_is_known_binds_the_key_to_itself(full: Templates) -> None:
    """The key opens another deployment's keyring too."""
    statements = full.one("AWS::KMS::Key", "Master")["KeyPolicy"]["Statement"]
    [bound] = [s for s in statements if s["Sid"] == "OpensTheKeyringOfThisDeployment"]
    assert bound["Condition"]["StringEquals"]["kms:EncryptionContext:deployment"] == (
        "0123456789abcdef0123456789abcdef"
    )


def test_the_master_key_rotates_and_is_hard_to_lose(dev: Templates) -> None:
    """A deleted key is a deleted database."""
    [key] = [r for n, r in dev.of("AWS::KMS::Key").items() if n.startswith("Master")]
    assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
    properties = key["Properties"]
    assert properties["EnableKeyRotation"] is True
    assert properties["PendingWindowInDays"] == 30
    [denied] = [s for s in properties["KeyPolicy"]["Statement"] if s["Effect"] == "Deny"]
    assert set(denied["Action"]) == {"kms:ScheduleKeyDeletion", "kms:DisableKey"}
    assert denied["Principal"] == {"AWS": "*"}


@pytest.mark.parametrize("role", ["Worker"])
def test_a_worker_has_no_key_and_no_secret_of_aws(dev: Templates, role: str) -> None:
    """Whoever breaks into a worker has what it holds in memory, and nothing for later."""
    for where, statement in dev.statements():
        actions = _list(statement["Action"])
        is_workers = f"/{role}" in where and "Launcher" not in where
        if is_workers and statement["Effect"] == "Allow":
            assert not [a for a in actions if a.startswith(("kms:", "secretsmanager:"))], where


def test_the_authoritys_key_is_read_by_grpc_main_workers_alone(dev: Templates) -> None:
    """Who has that key makes himself a worker, which is given every data key."""
    readers = set()
    for where, statement in dev.statements():
        reads = "secretsmanager:GetSecretValue" in _list(statement["Action"])
        if reads and "Authority" in _flat(statement["Resource"]):
            readers.add(where.removesuffix(where[-8:]))
    assert readers == {
        "keys/MainDefaultPolicy",
        "keys/FounderDefaultPolicy",
    }


def test_secrets_lie_under_a_key_of_ours(dev: Templates) -> None:
    """Whoever may read secrets of the account reads these."""
    for secret in dev.of("AWS::SecretsManager::Secret").values():
        assert "Operations" in _flat(secret["Properties"]["KmsKeyId"])
        assert "SecretString" not in secret["Properties"]


def _open(templates: Templates) -> list[tuple[str, int]]:
    found = []
    for name, group in templates.of("AWS::EC2::SecurityGroup").items():
        rules: list[dict[str, Any]] = group["Properties"].get("SecurityGroupIngress", [])
        found += [(name, r["FromPort"]) for r in rules if r.get("CidrIp") == "0.0.0.0/0"]
    return found


def _name(logical: str) -> str:
    return logical.partition("Group")[0]


def _may(statement: dict[str, Any], action: str) -> bool:
    return action in _list(statement["Action"]) or "kms:*" in _list(statement["Action"])


def _list(value: Any) -> list[str]:  # noqa: ANN401 - one or several, as IAM has it
    return [value] if isinstance(value, str) else value
