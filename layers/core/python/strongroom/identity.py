"""Certificate and private key of a process, which may be replaced while it runs.

They lie in files, and are read again every other second; whoever replaces both, an operator or the
process itself, has a moment in which they do not belong together. Then, and whenever what lies
there is of no use, the former ones stay in force, and the log says why. A process that starts in
this moment has no former ones: it looks again for a second.

A process that stores a new pair does it so that no crash leaves half of it:

    <key file>.next      the new private key, durable
    <certificate file>   the new certificate: from here on the new pair is in force
    <key file>           the new key, whose former name goes

A certificate whose key is the one of `.next` has met a crash before the last step; whoever reads
it takes that step. One lock file beside the key keeps two processes apart.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom import certificates, durable, filelock, limits, logs
from strongroom.certificates import Certificate
from strongroom.clock import Clock
from strongroom.errors import InvalidArgumentError, StrongroomError, UnavailableError

_NEXT: Final = ".next"
_LOCK: Final = ".lock"
_LOCK_S: Final = 2.0
_FIRST_READS_MAX: Final = 20
_FIRST_READS_APART_S: Final = 0.05
_log = logs.logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of one holder, PEM: the deployment's authority, certificate and private key."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in the files of an identity.

    Attributes:
        authorities: The certificates of the authorities that it trusts, PEM.
        certificate_pem: Its own.
        key_pem: The private key.
        certificate: What its own certificate says.
    """

    authorities: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    certificate: Certificate


class LiveIdentity:
    """An identity that follows its files. Safe under threads."""

    def __init__(
        self,
        files: Identity,
        clock: Clock,
        name: str = "",
        filesystem: durable.Filesystem | None = None,
    ) -> None:
        """Take the files; nothing is read yet.

        Args:
            files: Where they lie.
            clock: Whose wall clock is the machine's, as TLS has it.
            name: What the certificate has to name; empty for anything.
            filesystem: What a new pair is stored with.
        """
        self._filesystem = filesystem or durable.LocalFilesystem()
        self._files = files
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._reread_at_s = 0.0
        self._trouble = ""

    def current(self) -> Held:
        """Return what is in force; the same object as long as that does not change.

        Raises:
            UnavailableError: Nothing was in force yet, and what lies there is of no use.
        """
        held = self._held
        if held is not None and self._clock.boot_s() < self._reread_at_s:
            return held
        with self._lock:
            if self._held is None or self._clock.boot_s() >= self._reread_at_s:
                self._take(self._reread(self._held))
            return self._in_force()

    def store(self, key_pem: bytes, certificate_pem: bytes, replaced: Held) -> None:
        """Put a new pair in force, here and for whoever reads the files later.

        Args:
            key_pem: The private key.
            certificate_pem: The certificate.
            replaced: What it takes the place of; what lies there by now instead of that stays.

        Raises:
            InvalidArgumentError: They do not belong together, or are not of this holder.
            UnavailableError: The disk refuses. What was in force stays so, unless the new pair is
                in its place already.
        """
        with self._lock:
            try:
                with self._exclusive():
                    if self._lying(replaced) is replaced:
                        certificates.require_issued(certificate_pem, replaced.authorities)
                        made = certificates.require_pair(certificate_pem, key_pem)
                        self._require_in_force(made)
                        self._replace(key_pem, certificate_pem)
                    self._take(self._lying(replaced))
            except OSError as error:
                raise UnavailableError(f"the certificate is not stored: {_said(error)}") from error

    def _take(self, held: Held) -> None:
        self._held = held
        self._reread_at_s = self._clock.boot_s() + limits.CERTIFICATE_REREAD_SECONDS

    def _in_force(self) -> Held:
        if self._held is None:
            raise UnavailableError("there is no certificate")
        return self._held

    def _replace(self, key_pem: bytes, certificate_pem: bytes) -> None:
        filesystem, files = self._filesystem, self._files
        durable.replace_file(filesystem, _next(files), key_pem)
        durable.replace_file(filesystem, files.certificate_file, certificate_pem)
        self._finish(key_pem)

    def _finish(self, key_pem: bytes) -> None:
        filesystem, files = self._filesystem, self._files
        durable.replace_file(filesystem, files.key_file, key_pem)
        durable.remove_file(filesystem, _next(files))

    def _reread(self, held: Held | None) -> Held:
        """Return what lies there now where that is of use, else what was in force."""
        trouble = ""
        try:
            lying = self._first() if held is None else self._healed(held)
            if lying is not held:
                self._require_in_force(lying.certificate)
                held = lying
        except (OSError, StrongroomError) as error:
            trouble = error.detail if isinstance(error, StrongroomError) else _said(error)
            if held is None:
                raise UnavailableError(f"{self._files.certificate_file}: {trouble}") from error
        if trouble and trouble != self._trouble:
            _log.error("certificate-unusable", reason=trouble)
        self._trouble = trouble
        return held

    def _first(self) -> Held:
        """Return what lies there, for a process that has nothing in force to go on with."""
        pause = threading.Event()
        for _ in range(_FIRST_READS_MAX - 1):
            with suppress(InvalidArgumentError):
                return self._healed(None)
            # Somebody may be between the one file and the other.
            pause.wait(_FIRST_READS_APART_S)
        return self._healed(None)

    def _healed(self, held: Held | None) -> Held:
        """Return what lies there, after a replacement that a crash has cut short was finished."""
        try:
            return self._lying(held)
        except InvalidArgumentError:
            if not _next(self._files).exists():
                raise
        with self._exclusive():
            with suppress(InvalidArgumentError):
                # Whoever was replacing it has come to the end.
                return self._lying(held)
            key_pem = _read(_next(self._files))
            certificates.require_pair(_read(self._files.certificate_file), key_pem)
            self._finish(key_pem)
            return self._lying(held)

    def _lying(self, held: Held | None) -> Held:
        """Return what lies there; `held` itself where it is the same."""
        files = self._files
        authorities, certificate_pem = _read(files.ca_file), _read(files.certificate_file)
        key_pem = _read(files.key_file)
        if held is not None and (authorities, certificate_pem, key_pem) == (
            held.authorities,
            held.certificate_pem,
            held.key_pem,
        ):
            return held
        certificate = certificates.require_pair(certificate_pem, key_pem)
        return Held(authorities, certificate_pem, key_pem, certificate)

    def _require_in_force(self, certificate: Certificate) -> None:
        if self._name and self._name not in certificate.names:
            names = ", ".join(certificate.names) or "nobody"
            raise InvalidArgumentError(f"the certificate is for {names}, not for {self._name}")
        if certificate.has_ended(self._clock.wall_ms()):
            raise InvalidArgumentError(f"the certificate has ended at {certificate.until}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep out other processes that have the same files; raises OSError, UnavailableError."""
        filesystem = self._filesystem
        path = self._files.key_file.with_name(self._files.key_file.name + _LOCK)
        descriptor = filelock.open_file(filesystem, path)
        try:
            until_s = self._clock.boot_s() + _LOCK_S
            if not filelock.acquire_file(filesystem, self._clock, descriptor, until_s):
                raise UnavailableError("another process is replacing the certificate")
            yield
        finally:
            filesystem.close(descriptor)


def _next(files: Identity) -> Path:
    return files.key_file.with_name(files.key_file.name + _NEXT)


def _said(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(limits.CERTIFICATE_FILE_BYTES_MAX + 1)
    if len(data) > limits.CERTIFICATE_FILE_BYTES_MAX:
        raise InvalidArgumentError(f"{path} is too long for a certificate or key")
    return data
