"""The deployment's certificate authority, self-signed, for one machine.

The authority is kept; the certificates that it issues are made anew at each start.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom import durable, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError
from strongroom.rpc.tls import Identity

_CA_DAYS: Final = 3650
_LEAF_DAYS: Final = 365
_BACKDATED: Final = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key, PEM; `until` is the certificate's end, RFC 3339."""

    certificate: bytes
    key: bytes
    until: str


class CertificateAuthority:
    """Issues certificates of one deployment into one directory."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Load the authority; make it the first time."""
        self._directory = directory
        self._clock = clock
        self._filesystem = durable.LocalFilesystem()
        self.certificate_file = directory / "ca.pem"
        key, certificate = self._read("ca.key"), self._read("ca.pem")
        if key is None or certificate is None:
            self._key, self._certificate = self._make_authority()
        else:
            self._key, self._certificate = self._load(key, certificate)

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
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(name, self._certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([_general(h) for h in hosts]), critical=False
            )
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Signed(
            certificate.public_bytes(serialization.Encoding.PEM),
            _private_pem(key),
            rfc3339(int(certificate.not_valid_after_utc.timestamp() * 1000)),
        )

    def _load(
        self, key: bytes, certificate: bytes
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        try:
            loaded = serialization.load_pem_private_key(key, password=None)
            authority = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise self._unreadable() from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise self._unreadable()
        return loaded, authority

    def _unreadable(self) -> ConflictError:
        return ConflictError(
            f"the certificate authority in {self._directory} cannot be read; remove the folder to"
            " make a new one"
        )

    def _make_authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name("Strongroom deployment CA")
        certificate = (
            self._builder("Strongroom deployment CA", subject, key.public_key(), _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write("ca.key", _private_pem(key))
        self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return key, certificate

    def _builder(
        self, subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = dt.datetime.fromtimestamp(self._clock.wall_ms() / 1000, dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _read(self, name: str) -> bytes | None:
        path = str(self._directory / name)
        return durable.read_file(self._filesystem, path, limits.CONFIG_FILE_BYTES_MAX)

    def _write(self, name: str, data: bytes) -> None:
        durable.replace_file(self._filesystem, self._directory / name, data)


_CA_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
