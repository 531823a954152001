"""What others say of the templates: cdk-nag, cfn-lint; and which rights have no bound."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from infra import stage
from tests.support.synthesized import Templates

# Where IAM knows no resource, or none that has a name yet; each with its reason.
UNBOUND = {
    ("services/MainTaskLauncherDefaultPolicy", "ecr:GetAuthorizationToken"): "has no resource",
    ("services/WorkerTaskLauncherDefaultPolicy", "ecr:GetAuthorizationToken"): "has no resource",
    ("founding/FounderTaskLauncherDefaultPolicy", "ecr:GetAuthorizationToken"): "has no resource",
    **{
        ("api/Running", f"ec2:{action}"): "the interface is not made yet; denied to the code itself"
        for action in (
            "AssignPrivateIpAddresses",
            "CreateNetworkInterface",
            "DeleteNetworkInterface",
            "DescribeNetworkInterfaces",
            "DescribeSubnets",
            "UnassignPrivateIpAddresses",
        )
    },
}


@pytest.mark.parametrize("name", ["full", "dev"])
def test_cdk_nag_finds_nothing_without_a_reason(synthesized: Path, name: str) -> None:
    """A finding that nobody has thought about goes to production."""
    report = msgspec.json.decode((synthesized / name / "validation-report.json").read_bytes())
    judges = {one["pluginName"]: one for one in report["pluginReports"]}
    assert "AwsSolutions" in judges
    for judge in judges.values():
        open_findings = [v["ruleName"] for v in judge["violations"] if not _is_acknowledged(v)]
        assert open_findings == [], judge["pluginName"]


def test_cfn_lint_has_nothing_to_say(synthesized: Path) -> None:
    """CloudFormation refuses a template, midway through a deployment."""
    templates = sorted(str(p) for p in synthesized.glob("*/*.template.json"))
    assert len(templates) == 2 * 7
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "W6001"]
    # W3005: the CDK says twice what a reference says already. W6001: the founder's outputs repeat
    # what is exported elsewhere, because an operator reads them in one place.
    done = subprocess.run(  # noqa: S603 - of this environment
        [*command, "--", *templates], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_rights_name_what_they_are_for(full: Templates) -> None:
    """A role may do something to everything: to what is not ours, too."""
    unbound = set()
    for where, statement in full.statements():
        if statement["Effect"] != "Allow":
            continue
        actions, resources = _list(statement["Action"]), _list(statement["Resource"])
        assert not [a for a in actions if a == "*" or a.endswith(":*")], where
        if "*" in resources:
            unbound |= {(_place(where), action) for action in actions}
    assert unbound == set(UNBOUND)


def test_resource_policies_are_for_the_resource_itself(full: Templates) -> None:
    """A policy of a key or a file system lets in whom nobody has named."""
    kinds = {"AWS::KMS::Key": "KeyPolicy", "AWS::EFS::FileSystem": "FileSystemPolicy"}
    for kind, policy in kinds.items():
        for name, resource in full.of(kind).items():
            for statement in resource["Properties"][policy]["Statement"]:
                anybody = statement["Principal"] in ("*", {"AWS": "*"})
                assert not anybody or statement["Effect"] == "Deny", name


def test_roles_are_assumed_by_services_of_this_account(full: Templates) -> None:
    """Somebody else's task, or user, becomes one of ours."""
    for name, role in full.of("AWS::IAM::Role").items():
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            assert set(statement["Principal"]) == {"Service"}, name
            if statement["Principal"]["Service"] == "ecs-tasks.amazonaws.com":
                assert "aws:SourceAccount" in json.dumps(statement["Condition"]), name


def test_a_stages_file_is_read_strictly(tmp_path: Path) -> None:
    """A misspelt setting is taken for its default: the backup that was meant is not made."""
    good = (stage.STAGES / "dev.json").read_text()
    for wrong, said in (
        (good.replace('"keep_data"', '"keep_date"'), "keep_dat"),
        (good.replace('"log_days": 14', '"log_days": 15'), "log_days"),
        (good.replace('"least": 2', '"least": 9'), "above"),
        (good.replace('"zones": 2', '"zones": 1'), "zones"),
    ):
        assert wrong != good
        (tmp_path / "odd.json").write_text(wrong)
        with pytest.raises(ValueError, match=said):
            stage.load("odd", tmp_path)
    with pytest.raises(ValueError, match="no stage 'none'"):
        stage.load("none")


def test_every_stage_can_be_read() -> None:
    """`make synth` fails for a stage."""
    assert {stage.load(name).name for name in stage.names()} == {"dev", "prod"}


def _is_acknowledged(violation: dict[str, object]) -> bool:
    return violation.get("severity") == "suppressed" or bool(violation.get("acknowledged"))


def _place(where: str) -> str:
    # A logical id ends in eight digits of a hash.
    return where[:-8]


def _list(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [v for v in value if isinstance(v, str)]  # type: ignore[attr-defined]
