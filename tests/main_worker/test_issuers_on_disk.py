"""Records of foreign issuers on the shared directory: whoever can write it cannot add one."""

from pathlib import Path

import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain.claim_rules import Rule
from main_api.domain.grants import Action
from main_api.domain.trusted_issuers import IssuerRecord
from strongroom import keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.errors import IntegrityError, UnauthenticatedError
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.foreign_issuers import ISSUER, MemoryIssuers, claims, jwks, signing_key, trusted
from tests.support.mains import AT, MainRig, grant

KEY = signing_key()
RULE = Rule(claims={"groups": ("chat",)}, grants=(grant("chatdb", Action.READ),))


@pytest.fixture
def rig(tmp_path: Path) -> MainRig:
    """Return a Main Worker whose state is on the disk, and which trusts an issuer."""
    clock, keys = ManualClock(), keyring.new("test-deployment", AT)
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), keys, clock)
    made = MainRig(
        clock=clock, keys=keys, other_store=store, issuers=MemoryIssuers({ISSUER: jwks(KEY)})
    )
    made.main().issuers.put(made.caller(), "login", trusted(RULE))
    clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    return made


def records(root: Path) -> Path:
    """Return where the records lie."""
    return Layout(root).records("issuers")


def comes_in(rig: MainRig) -> bool:
    """Tell whether a user of the issuer comes in, once every cache is over."""
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    try:
        rig.access.authenticate("Bearer " + KEY.sign(claims(rig.clock, groups=["chat"])))
    except UnauthenticatedError:
        return False
    return True


def test_a_record_is_read_back_as_it_was_trusted(rig: MainRig) -> None:
    """After a restart an issuer is trusted for something else."""
    assert comes_in(rig)
    found = rig.store.issuers.get("login")
    assert found is not None
    assert found.trusted == trusted(RULE)


def test_a_record_shows_nothing_on_the_disk(rig: MainRig, tmp_path: Path) -> None:
    """Whoever reads the disk learns whom a deployment trusts, and for what."""
    assert comes_in(rig)
    (file,) = records(tmp_path).iterdir()
    for text in (b"login.example", b"groups", b"chatdb", b"strongroom.example"):
        assert text not in file.read_bytes()


@pytest.mark.parametrize("name", ["evil", "login"])
def test_a_record_that_was_not_written_here_is_not_trusted(
    rig: MainRig, tmp_path: Path, name: str
) -> None:
    """Whoever can write the disk adds an issuer, which makes its users administrators."""
    place = records(tmp_path)
    raw = (place / "login.sealed").read_bytes()
    (place / "login.sealed").unlink()
    other = tmp_path / "theirs"
    theirs = ControlFiles(LocalFilesystem(), Layout(other), keyring.new("x", AT), rig.clock)
    theirs.issuers.put(
        name,
        IssuerRecord(
            name=name, incarnation="1", created_at=AT, updated_at=AT, trusted=trusted(RULE)
        ),
    )
    foreign = (records(other) / f"{name}.sealed").read_bytes()
    for content in (foreign, b"", b"{}", raw[:-1], raw + b"x"):
        (place / f"{name}.sealed").write_bytes(content)
        assert not comes_in(rig)
        with pytest.raises(IntegrityError):
            rig.store.issuers.get(name)
    told = [one.path for one in rig.store.inspect(repair=False)]
    assert f"control/issuers/{name}.sealed" in told


def test_a_record_under_another_name_is_not_trusted(rig: MainRig, tmp_path: Path) -> None:
    """Whoever can write the disk trusts a removed issuer again under a new name, or twice."""
    place = records(tmp_path)
    (place / "other.sealed").write_bytes((place / "login.sealed").read_bytes())
    assert comes_in(rig)
    (place / "login.sealed").unlink()
    assert not comes_in(rig)


def test_a_damaged_record_can_be_replaced_and_removed(rig: MainRig, tmp_path: Path) -> None:
    """An administrator is helpless before a record that does not verify."""
    file = records(tmp_path) / "login.sealed"
    administrator = rig.caller(client_id="root")
    issuers = rig.main().issuers
    file.write_bytes(b"x")
    assert issuers.all(administrator) == ([], 1)
    issuers.put(administrator, "login", trusted(RULE))
    assert comes_in(rig)
    file.write_bytes(b"x")
    issuers.remove(administrator, "login")
    assert not file.exists()
