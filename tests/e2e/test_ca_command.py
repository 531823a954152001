"""`strongroom ca` as an operator runs it: an authority, and a Main Worker's certificate."""

from pathlib import Path

import pytest

from strongroom import certificates
from strongroom.layout import Layout
from strongroom.rpc import tls
from tests.support.commands import ran


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """Make an authority."""
    assert ran({}, "ca", "make", str(tmp_path / "ca")).returncode == 0
    return tmp_path / "ca"


def test_a_deployment_gets_an_authority_and_certificates(ca: Path, tmp_path: Path) -> None:
    """A deployment that `up` did not make cannot be set up, or its keys can be read by others."""
    assert {path.name for path in ca.iterdir()} == {"ca.pem", "ca.key"}
    out = tmp_path / "out"
    out.mkdir()
    for command in (("ca", "issue-main"), ("workers", "enrol", "worker-1")):
        made = ran({}, *command, "--ca", str(ca), "--out", str(out), "--days", "30")
        assert made.returncode == 0, made.stderr
    for name, named in (("main", tls.MAIN_NAME), ("worker-1", tls.worker_name("worker-1"))):
        pem = (out / f"{name}.pem").read_bytes()
        found = certificates.require_pair(pem, (out / f"{name}.key").read_bytes())
        certificates.require_issued(pem, (out / "ca.pem").read_bytes())
        assert found.names == (named,)
        assert found.lifetime_ms // 86_400_000 == 30
    files = [path for path in (*ca.iterdir(), *out.iterdir()) if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_nothing_is_overwritten_by_mistake(ca: Path, tmp_path: Path) -> None:
    """A second authority takes the place of the first: no worker is believed any more."""
    before = {path: path.read_bytes() for path in ca.iterdir()}
    again = ran({}, "ca", "make", str(ca))
    assert (again.returncode, "not overwritten" in again.stderr) == (1, True)
    assert {path: path.read_bytes() for path in ca.iterdir()} == before
    issue = ("ca", "issue-main", "--ca", str(ca), "--out", str(tmp_path))
    assert ran({}, *issue).returncode == 0
    first = (tmp_path / "main.pem").read_bytes()
    refused = ran({}, *issue)
    assert (refused.returncode, "--renew" in refused.stderr) == (1, True)
    assert (tmp_path / "main.pem").read_bytes() == first
    assert ran({}, *issue, "--renew").returncode == 0
    assert (tmp_path / "main.pem").read_bytes() != first


def test_no_key_lies_where_workers_read(ca: Path, tmp_path: Path) -> None:
    """The authority's key is on the shared directory: every worker can make a Main Worker."""
    shared = tmp_path / "shared"
    layout = Layout(shared)
    layout.keyring().parent.mkdir(parents=True)
    layout.keyring().write_text("{}")
    for command in (
        ("ca", "make", str(shared / "ca")),
        ("ca", "issue-main", "--ca", str(ca), "--out", str(shared)),
    ):
        refused = ran({}, *command)
        assert (refused.returncode, "shared directory" in refused.stderr) == (1, True)
    assert ran({}, "ca", "issue-main", "--ca", str(tmp_path)).returncode == 1
