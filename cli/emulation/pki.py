"""The deployment's certificate authority, self-signed, for one machine.

The authority is kept; the certificates that it issues are made anew at each start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom import certificates, durable, limits
from strongroom.certificates import BACKDATED_MS, Authority
from strongroom.clock import Clock
from strongroom.errors import ConflictError, InvalidArgumentError
from strongroom.identity import Identity

_DAY_MS: Final = 24 * 3600 * 1000
_CA_DAYS: Final = 3650
_LEAF_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key, PEM; `until` is the certificate's end, RFC 3339."""

    certificate: bytes
    key: bytes
    until: str


class CertificateAuthority:
    """Issues certificates of one deployment into one directory."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Load the authority; make it the first time.

        Raises:
            ConflictError: What lies there is none.
        """
        self._directory = directory
        self._clock = clock
        self._filesystem = durable.LocalFilesystem()
        self.certificate_file = directory / "ca.pem"
        key, certificate = self._read("ca.key"), self._read("ca.pem")
        if key is None or certificate is None:
            self._authority = self._make()
        else:
            self._authority = self._load(key, certificate)

    def issue(self, name: str, hosts: list[str]) -> Identity:
        """Return a certificate for DNS names and IP addresses, with a fresh key."""
        made = self.signed(name, hosts, _LEAF_DAYS)
        self._write(f"{name}.pem", made.certificate)
        self._write(f"{name}.key", made.key)
        return Identity(
            ca_file=self.certificate_file,
            certificate_file=self._directory / f"{name}.pem",
            key_file=self._directory / f"{name}.key",
        )

    def signed(self, name: str, hosts: list[str], days: int) -> Signed:
        """Return a certificate as `issue` does, which lies nowhere yet."""
        key, now_ms = certificates.new_key(), self._clock.wall_ms()
        lifetime_ms = BACKDATED_MS + days * _DAY_MS
        made = self._authority.issue(key.public_key(), name, hosts, now_ms, lifetime_ms)
        return Signed(made, certificates.private_pem(key), certificates.parse(made).until)

    def _load(self, key: bytes, certificate: bytes) -> Authority:
        try:
            return Authority.load(key, certificate)
        except InvalidArgumentError as error:
            raise ConflictError(
                f"the certificate authority in {self._directory} cannot be read; remove the folder"
                " to make a new one"
            ) from error

    def _make(self) -> Authority:
        made = Authority.make(self._clock.wall_ms(), _CA_DAYS * _DAY_MS)
        self._write("ca.key", made.private_pem())
        self._write("ca.pem", made.certificate_pem())
        return made

    def _read(self, name: str) -> bytes | None:
        path = str(self._directory / name)
        return durable.read_file(self._filesystem, path, limits.CONFIG_FILE_BYTES_MAX)

    def _write(self, name: str, data: bytes) -> None:
        durable.replace_file(self._filesystem, self._directory / name, data)
