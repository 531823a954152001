"""`strongroom workers` as an operator runs it: enrolment, the registry, revocation."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom.errors import ForbiddenError
from strongroom.identity import Identity
from tests.support.commands import Ended, environment, ran
from tests.support.deployment import Deployment
from tests.support.held_identities import live

NAME = "worker-9"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment."""
    running = Deployment(tmp_path_factory.mktemp("own")).start()
    yield running
    assert running.stop() == 0


def enrol(own: Deployment, out: Path, *options: str, name: str = NAME) -> Ended:
    """Enrol a worker."""
    ca = own.root / "pki"
    return ran({}, "workers", "enrol", name, "--ca", str(ca), "--out", str(out), *options)


def test_an_enrolled_worker_is_given_keys_until_it_is_revoked(
    own: Deployment, tmp_path: Path
) -> None:
    """A new worker cannot be added to a deployment, or a lost one not be shut out."""
    made = enrol(own, tmp_path, "--days", "7")
    assert made.returncode == 0, made.stderr
    files = {path.name: path for path in tmp_path.iterdir()}
    assert set(files) == {f"{NAME}.pem", f"{NAME}.key", "ca.pem"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    certificate = x509.load_pem_x509_certificate(files[f"{NAME}.pem"].read_bytes())
    valid = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert valid.days == 7
    ports = json.loads((own.root / "run" / "grpc.ready").read_text())
    identity = Identity(files["ca.pem"], files[f"{NAME}.pem"], files[f"{NAME}.key"])
    main = GrpcMainWorker(NAME, f"127.0.0.1:{ports['subscription_port']}", live(identity))
    named = environment(own)
    try:
        main.register(main.subscribe().token, "127.0.0.1:1")
        assert f"{NAME}\tlive\t" in ran(named, "workers", "list").stdout
        assert ran(named, "worker", "revoke", NAME).returncode == 0
        with pytest.raises(ForbiddenError, match="revoked"):
            main.subscribe()
        shown = json.loads(ran(named, "worker", "list", "--json").stdout)
        assert [one["worker_id"] for one in shown["revoked"]] == [NAME]
        assert ran(named, "workers", "reinstate", NAME).returncode == 0
        main.subscribe()
        assert ran(named, "worker", "reinstate", NAME).returncode == 3
        assert ran(named, "worker", "revoke", "nobody").returncode == 3
    finally:
        main.close()


def test_a_name_is_enrolled_again_on_purpose_only(own: Deployment, tmp_path: Path) -> None:
    """Two machines have one name, and each takes the other's place in the registry."""
    (tmp_path / "other").mkdir()
    assert enrol(own, tmp_path, name="twice").returncode == 0
    before = (tmp_path / "twice.pem").read_bytes()
    for out in (tmp_path, tmp_path / "other"):
        refused = enrol(own, out, name="twice")
        assert (refused.returncode, "--renew" in refused.stderr) == (1, True)
    # Those of `strongroom up` are replaced by nobody: their keys lie beside the authority.
    for name in ("worker-1", "main", "server", "ca"):
        assert enrol(own, tmp_path, "--renew", name=name).returncode == 1
    assert (tmp_path / "twice.pem").read_bytes() == before
    assert enrol(own, tmp_path, "--renew", name="twice").returncode == 0
    assert (tmp_path / "twice.pem").read_bytes() != before


def test_no_certificate_is_issued_by_mistake(own: Deployment, tmp_path: Path) -> None:
    """A key lies where every worker reads it, or an authority is made by a slip of the pen."""
    for name in ("UPPER", "../x", "a.b", "subscribe"):
        assert enrol(own, tmp_path, name=name).returncode == 1
    for days in ("0", "826", "x"):
        assert enrol(own, tmp_path, "--days", days).returncode == 2
    for out in (own.shared_dir, own.shared_dir / "control", own.root / "pki", tmp_path / "none"):
        assert enrol(own, out).returncode == 1
    nothing = ran({}, "workers", "enrol", "new", "--ca", str(tmp_path), "--out", str(tmp_path))
    assert (nothing.returncode, "ca.pem is missing" in nothing.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
