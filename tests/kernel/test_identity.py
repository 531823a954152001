"""An identity follows its files: a replaced pair is taken over whole, or not at all."""

import errno
import os
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import structlog

from strongroom import certificates, limits
from strongroom.certificates import BACKDATED_MS, Authority
from strongroom.durable import Filesystem
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.identity import Held, Identity, LiveIdentity
from tests.support.clocks import ManualClock
from tests.support.filesystems import FailingFilesystem
from tests.support.kills import killed_at

NAME = "worker-1.worker.strongroom.internal"
DAY_MS = 24 * 3600 * 1000


@dataclass
class Rig:
    """An authority, a directory with a certificate of it, and a clock."""

    directory: Path
    clock: ManualClock
    authority: Authority

    @property
    def files(self) -> Identity:
        """Return where everything lies."""
        return Identity(
            self.directory / "ca.pem", self.directory / "own.pem", self.directory / "own.key"
        )

    def pair(
        self, days: float = 90, name: str = NAME, authority: Authority | None = None
    ) -> tuple[bytes, bytes]:
        """Return a private key and a certificate, PEM."""
        key, issuing = certificates.new_key(), authority or self.authority
        lifetime_ms = BACKDATED_MS + round(days * DAY_MS)
        public = key.public_key()
        made = issuing.issue(public, "own", [name], self.clock.wall_ms(), lifetime_ms)
        return certificates.private_pem(key), made

    def put(self, pair: tuple[bytes, bytes]) -> None:
        """Replace the files, as an operator does."""
        self.files.key_file.write_bytes(pair[0])
        self.files.certificate_file.write_bytes(pair[1])

    def live(self, filesystem: Filesystem | None = None) -> LiveIdentity:
        """Return the identity as a process has it."""
        return LiveIdentity(self.files, self.clock, NAME, filesystem)

    def wait(self) -> None:
        """Let the time pass after which the files are read again."""
        self.clock.advance(limits.CERTIFICATE_REREAD_SECONDS)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a directory with a pair in it."""
    clock = ManualClock()
    made = Rig(tmp_path, clock, Authority.make(clock.wall_ms(), 3650 * DAY_MS))
    made.files.ca_file.write_bytes(made.authority.certificate_pem())
    made.put(made.pair())
    return made


def pair_of(held: Held) -> tuple[bytes, bytes]:
    """Return the key and the certificate that are in force."""
    return held.key_pem, held.certificate_pem


def test_a_replaced_pair_is_taken_over_by_a_running_process(rig: Rig) -> None:
    """A certificate can be renewed by a restart only."""
    live = rig.live()
    first = live.current()
    assert live.current() is first
    made = rig.pair()
    rig.put(made)
    # A file is read as often as that, not with every request.
    assert live.current() is first
    rig.wait()
    assert pair_of(live.current()) == made
    assert live.current() is live.current()


def test_a_process_that_starts_within_a_replacement_waits_for_its_end(rig: Rig) -> None:
    """A Main Worker that starts while an operator copies files refuses what it is asked first."""
    key, certificate = rig.pair()
    rig.files.key_file.write_bytes(key)
    rest = threading.Timer(0.05, rig.files.certificate_file.write_bytes, [certificate])
    rest.start()
    assert rig.live().current().certificate_pem == certificate
    rest.join()


def test_half_a_replacement_changes_nothing(rig: Rig) -> None:
    """Between the two files that an operator copies, every new connection fails."""
    live = rig.live()
    first, made = live.current(), rig.pair()
    rig.files.certificate_file.write_bytes(made[1])
    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            rig.wait()
            assert live.current() is first
    assert [(one["event"], one["reason"]) for one in told] == [
        ("certificate-unusable", "the private key is not the certificate's")
    ]
    rig.files.key_file.write_bytes(made[0])
    rig.wait()
    assert pair_of(live.current()) == made


@pytest.mark.parametrize("case", ["garbage", "nothing", "ended", "another", "too long", "key"])
def test_what_is_of_no_use_is_not_taken_over(rig: Rig, case: str) -> None:
    """A slip of an operator's takes a worker that runs out of service, or one starts with it."""
    live, made = rig.live(), rig.pair()
    first = live.current()
    if case == "garbage":
        rig.put((b"garbage", b"garbage"))
    elif case == "nothing":
        rig.files.certificate_file.unlink()
    elif case == "ended":
        rig.put(rig.pair(days=-0.01))
    elif case == "another":
        rig.put(rig.pair(name="worker-2.worker.strongroom.internal"))
    elif case == "too long":
        rig.put((made[0], made[1] + b"\n" * limits.CERTIFICATE_FILE_BYTES_MAX))
    else:
        rig.put((b"", made[1]))
    rig.wait()
    assert live.current() is first
    with pytest.raises(UnavailableError, match=r"own\.pem"):
        rig.live().current()


def test_a_certificate_that_ends_under_way_stays_what_it_is(rig: Rig) -> None:
    """A process ends because of its certificate, and nobody can renew it any more."""
    live = rig.live()
    first = live.current()
    rig.clock.advance(91 * DAY_MS / 1000)
    assert live.current() is first
    assert first.certificate.has_ended(rig.clock.wall_ms())
    made = rig.pair()
    rig.put(made)
    rig.wait()
    assert pair_of(live.current()) == made


def test_another_authority_is_followed_too(rig: Rig) -> None:
    """An authority that ends can be replaced by a restart of everything only."""
    live = rig.live()
    live.current()
    other = Authority.make(rig.clock.wall_ms(), DAY_MS)
    both = rig.authority.certificate_pem() + other.certificate_pem()
    rig.files.ca_file.write_bytes(both)
    rig.wait()
    assert live.current().authorities == both


def test_a_stored_pair_is_in_force_at_once_and_after_a_restart(rig: Rig) -> None:
    """A worker renews its certificate, and starts with the old one the next time."""
    live, made = rig.live(), rig.pair()
    live.store(*made, live.current())
    assert pair_of(live.current()) == made
    assert pair_of(rig.live().current()) == made
    assert {path.name for path in rig.directory.iterdir()} == {
        "ca.pem",
        "own.pem",
        "own.key",
        "own.key.lock",
    }
    assert rig.files.key_file.stat().st_mode & 0o777 == 0o600


def test_what_does_not_fit_is_not_stored(rig: Rig) -> None:
    """A Main Worker that answers nonsense takes a worker's certificate from it."""
    live = rig.live()
    first = live.current()
    key, certificate = rig.pair()
    foreign = Authority.make(rig.clock.wall_ms(), DAY_MS)
    for bad in (
        (key, rig.pair()[1]),
        (b"x", certificate),
        (key, b"x"),
        (key, b""),
        rig.pair(days=-0.01),
        rig.pair(name="main.strongroom.internal"),
        rig.pair(authority=foreign),
    ):
        with pytest.raises(InvalidArgumentError):
            live.store(*bad, first)
        assert pair_of(rig.live().current()) == pair_of(first)


def test_of_two_who_renew_at_once_one_is_obeyed(rig: Rig) -> None:
    """Two processes with the same files leave the key of one beside the other's certificate."""
    one, other = rig.live(), rig.live()
    before, made = one.current(), rig.pair()
    seen_by_other = other.current()
    one.store(*made, before)
    other.store(*rig.pair(), seen_by_other)
    assert pair_of(one.current()) == pair_of(other.current()) == made


def test_a_kill_at_every_call_leaves_one_pair_or_the_other(rig: Rig) -> None:
    """A power cut while the certificate is renewed keeps the worker from ever starting again."""
    old, new = pair_of(rig.live().current()), rig.pair()
    seen = set()
    for nth in count():
        rig.put(old)

        def renew(filesystem: Filesystem) -> None:
            live = rig.live(filesystem)
            live.store(*new, live.current())

        ended = killed_at(nth, renew)
        found = pair_of(rig.live().current())
        assert found in (old, new)
        # Whoever runs meanwhile, and reads in that state, agrees with who starts.
        assert pair_of(rig.live().current()) == found
        seen.add(found)
        if ended:
            assert found == new
            break
    assert seen == {old, new}


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_refuses_leaves_one_pair_or_the_other(rig: Rig, *, lasting: bool) -> None:
    """A full disk takes a worker's certificate."""
    old, new = pair_of(rig.live().current()), rig.pair()
    for nth in count():
        rig.put(old)
        filesystem = FailingFilesystem()
        live = rig.live(filesystem)
        before = live.current()
        filesystem.arm(nth, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), lasting=lasting)
        try:
            live.store(*new, before)
        except UnavailableError as error:
            assert "No space left" in error.detail  # noqa: PT017 - of those that fail
        else:
            assert pair_of(live.current()) == new
            break
        assert pair_of(rig.live().current()) in (old, new)
        filesystem.disarm()
        rig.wait()
        assert pair_of(live.current()) in (old, new)
    assert nth > 10
