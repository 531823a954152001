"""A recovery: the newest keyring, tried on what lies there, and nothing written in doubt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from main_api.domain import recovery as rules
from main_api.domain.recovery import Trial
from main_api.service.keys.recovery import Recovered, recover
from strongroom import keyring
from strongroom.crypto import aead
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StrongroomError,
    UnavailableError,
)
from strongroom.keyring import Keyring, Purpose
from tests.support.main_fakes import FakeKeyProvider, MemoryKeyringStore
from tests.support.mains import AT

WELL = Trial(opened=9, destroyed=1, refused=0, first_refused="", running=())
ROOT = aead.new_key()
FIRST = keyring.new("deployment", AT, "SHA256:mine")
SECOND = keyring.with_active(FIRST, keyring.new_key(Purpose.DATA, AT))


@dataclass
class Stored:
    """What lies in the directory."""

    trial: Trial = WELL
    tried: list[Keyring] = field(default_factory=list)

    def try_keyring(self, keyring: Keyring) -> Trial:
        """Tell what a test has decided on."""
        self.tried.append(keyring)
        return self.trial


class Rig:
    """A deployment whose provider is gone; `escrow` is what the recovery key opens."""

    def __init__(self, lying: Keyring | None = SECOND) -> None:
        """Put a keyring there."""
        self.escrow = FakeKeyProvider("SHA256:mine")
        self.new = FakeKeyProvider("SHA256:mine")
        self.stored = Stored()
        self.store = MemoryKeyringStore()
        self.store.raw = None if lying is None else self.file(lying)
        self.before = self.store.raw
        self.made: list[FakeKeyProvider] = []
        self.recorded: list[tuple[str, str]] = []
        self.audit_is_down = False

    def file(self, of: Keyring, root: bytes = ROOT) -> bytes:
        """Return a file that the recovery key opens."""
        return keyring.encode(of, root, self.escrow.wrap(root, of.deployment))

    def recover(self, export: bytes | None = None, *, accept_loss: bool = False) -> Recovered:
        """Run it."""
        return recover(
            self.store,
            self.stored,
            self.escrow.unwrap,
            self._make,
            export,
            record=self._record,
            accept_loss=accept_loss,
        )

    @contextmanager
    def _record(self, made: Keyring, source: str) -> Iterator[None]:
        assert self.store.raw == self.before, "it was written before that was on record"
        self.recorded.append((made.deployment, source))
        if self.audit_is_down:
            raise UnavailableError("the audit log cannot be written")
        yield

    def refuses(self, export: bytes | None = None, *, accept_loss: bool = False) -> StrongroomError:
        """Return why it refuses; nothing was written, and no new key asked for."""
        with pytest.raises(StrongroomError) as failure:
            self.recover(export, accept_loss=accept_loss)
        assert self.store.raw == self.before
        assert self.made == []
        return failure.value

    def _make(self) -> FakeKeyProvider:
        self.made.append(self.new)
        return self.new


def test_the_root_is_wrapped_under_the_new_key() -> None:
    """The keyring does not open under the key that the deployment is to live under."""
    rig = Rig()
    done = rig.recover()
    assert rig.store.raw is not None
    opened, root, _ = keyring.decode(rig.store.raw, rig.new.unwrap)
    assert (opened, root) == (done.keyring, ROOT)
    assert opened == replace(SECOND, generation=SECOND.generation + 1)
    assert rig.stored.tried == [SECOND]


@pytest.mark.parametrize(
    ("lying", "exported", "source"),
    [
        (SECOND, FIRST, "control/keyring.json"),
        (FIRST, SECOND, "the export"),
        (SECOND, SECOND, "control/keyring.json"),
        (None, FIRST, "the export"),
    ],
)
def test_the_newer_one_is_taken(lying: Keyring | None, exported: Keyring, source: str) -> None:
    """What was written since the older one is lost."""
    rig = Rig(lying)
    done = rig.recover(rig.file(exported))
    assert done.source == source
    newest = exported if lying is None else max(lying, exported, key=lambda one: one.generation)
    assert done.keyring.keys == newest.keys


def test_a_recovery_is_on_record_before_it_is_made() -> None:
    """Somebody takes a deployment over with the recovery key, and the audit log does not tell."""
    rig = Rig()
    rig.recover()
    assert rig.recorded == [("deployment", "control/keyring.json")]
    rig = Rig()
    rig.audit_is_down = True
    with pytest.raises(UnavailableError):
        rig.recover()
    assert rig.store.raw == rig.before


def test_a_file_that_does_not_open_is_never_overwritten() -> None:
    """A damaged keyring is gone before anybody could look at it."""
    rig = Rig()
    whole = rig.file(SECOND)
    rig.store.raw = rig.before = whole.replace(b'"generation": 2', b'"generation": 3')
    for export in (None, whole):
        assert "keyring.json does not open" in rig.refuses(export).detail
    rig = Rig()
    assert "the export does not open" in rig.refuses(b"{}").detail
    assert isinstance(Rig(None).refuses(), NotFoundError)


def test_an_export_of_another_deployment_is_refused() -> None:
    """A deployment goes on under the keys of another one."""
    rig = Rig(FIRST)
    other = replace(SECOND, deployment="elsewhere")
    assert "of another deployment" in rig.refuses(rig.file(other)).detail
    # And a keyring of the same name that somebody has made for the recovery key.
    forged = keyring.with_active(keyring.new("deployment", AT), keyring.new_key(Purpose.DATA, AT))
    assert "of another deployment" in rig.refuses(rig.file(forged, aead.new_key())).detail


@pytest.mark.parametrize(
    ("trial", "kind"),
    [
        (replace(WELL, refused=1, first_refused="files/x"), ConflictError),
        (replace(WELL, opened=0, refused=1, first_refused="files/x"), IntegrityError),
        (replace(WELL, running=("worker-1",)), ConflictError),
    ],
)
def test_what_does_not_open_the_files_is_refused(trial: Trial, kind: type[Exception]) -> None:
    """A keyring that somebody has left on the disk is taken, and new writes lie under his keys."""
    rig = Rig()
    rig.stored.trial = trial
    refused = rig.refuses()
    assert type(refused) is kind
    assert "\n" not in refused.detail


def test_only_a_loss_can_be_accepted() -> None:
    """With --accept-loss anything is taken; or nothing can be had back but everything."""
    some = replace(WELL, refused=1, first_refused="files/x")
    rules.admit(some, accept_loss=True)
    for never in (replace(some, opened=0), replace(some, running=("worker-1",))):
        with pytest.raises(StrongroomError):
            rules.admit(never, accept_loss=True)
    # A deployment without a file yet, or whose every file was shredded.
    rules.admit(replace(WELL, opened=0), accept_loss=False)


def test_a_new_key_that_does_not_answer_changes_nothing() -> None:
    """The keyring is lost because the new KMS was not reached."""
    rig = Rig()
    rig.new.down = True
    with pytest.raises(UnavailableError):
        rig.recover()
    assert rig.store.raw == rig.before
