"""`strongroom doctor` as an operator enters it."""

import json
from pathlib import Path

import pytest

from tests.support.commands import Command, environment, ran
from tests.support.deployment import Deployment

ANYWHERE = {f"STRONGROOM_{name}_LISTEN": "127.0.0.1:0" for name in ("HTTP", "GRPC", "SUBSCRIPTION")}
CHECKS = {
    "mount",
    "locks",
    "fsync",
    "rename",
    "clock of files",
    "space",
    "clock",
    "open files",
    "certificates",
    "key provider",
    "ports",
    "clock of the deployment",
    "deployment",
    "a deployment's key provider",
    "a deployment's audit log",
}


def test_a_deployment_that_serves_is_well(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator is sent after a trouble that is none, or the doctor leaves files behind."""
    named = environment(deployment) | ANYWHERE
    root = deployment.shared_dir
    before = {path.name for path in root.iterdir()}
    ended = Command(monkeypatch, capsys)(named, "doctor", str(root), "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["ok"], ended.stderr) == (0, True, "")
    assert {one["check"] for one in told["findings"]} == CHECKS
    assert [one for one in told["findings"] if one["outcome"] == "failure"] == []
    certificates = [one["found"] for one in told["findings"] if one["check"] == "certificates"]
    assert len(certificates) == len(list((deployment.root / "pki").glob("*.pem")))
    assert {path.name for path in root.iterdir()} == before


def test_what_is_wrong_stands_with_what_to_do(tmp_path: Path) -> None:
    """An operator sees a stack trace, a script sees that all is well."""
    named = ANYWHERE | {"STRONGROOM_URL": "http://127.0.0.1:1"}
    ended = ran(named, "doctor", str(tmp_path / "missing"))
    lines = ended.stdout.splitlines()
    assert (ended.returncode, ended.stderr) == (1, "")
    at = next(n for n, one in enumerate(lines) if one.startswith("failure directory: "))
    assert str(tmp_path / "missing") in lines[at]
    assert lines[at + 1].startswith("        -> make it")
    assert any(one.startswith("failure deployment: http://127.0.0.1:1 does not") for one in lines)
    assert lines[-1].startswith("2 failures, ")
