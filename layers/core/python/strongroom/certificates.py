"""X.509 certificates of a deployment: what one says, who asks for one, who issues it (RFC 5280).

A deployment has one authority. A certificate names its holder in a DNS name (`rpc.tls`), and lives
from an hour before it was issued, for clocks that are behind, until its end. Keys are of the curve
P-256, which every TLS library has.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.errors import InvalidArgumentError, UnavailableError

BACKDATED_MS: Final = 3600 * 1000
_NAME_CHARS_MAX: Final = 64  # of a common name, RFC 5280 appendix A.1
_AUTHORITY_NAME: Final = "Strongroom deployment CA"
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
_LEAF_USAGE: Final = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says.

    Attributes:
        names: The DNS names and addresses that it is for.
        begins_ms: Milliseconds since 1970; it is in force from then on.
        ends_ms: Until then.
    """

    names: tuple[str, ...]
    begins_ms: int
    ends_ms: int

    @property
    def until(self) -> str:
        """Its end, RFC 3339."""
        return rfc3339(self.ends_ms)

    @property
    def lifetime_ms(self) -> int:
        """From its beginning to its end."""
        return self.ends_ms - self.begins_ms

    def has_ended(self, now_ms: int) -> bool:
        """Tell whether nobody takes it any more."""
        return now_ms >= self.ends_ms

    def is_due(self, now_ms: int) -> bool:
        """Tell whether it is time for the next one: a third of its life, or less, is left."""
        return 3 * (self.ends_ms - now_ms) <= self.lifetime_ms


def parse(pem: bytes) -> Certificate:
    """Return what the first certificate of a PEM text says.

    Raises:
        InvalidArgumentError: There is none.
    """
    return _facts(_loaded(pem))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as it lies in its file (PKCS #8, PEM)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def require_pair(certificate: bytes, key: bytes) -> Certificate:
    """Return what a certificate says, whose private key this is; both PEM.

    Raises:
        InvalidArgumentError: One cannot be read, or they do not belong together.
    """
    loaded = _loaded(certificate)
    try:
        private_key = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgumentError("the private key cannot be read") from error
    if _public_bytes(private_key.public_key()) != _public_bytes(loaded.public_key()):
        raise InvalidArgumentError("the private key is not the certificate's")
    return _facts(loaded)


def require_issued(certificate: bytes, authorities: bytes) -> None:
    """Refuse a certificate that none of some authorities has signed; all PEM.

    Raises:
        InvalidArgumentError: It is such a one.
    """
    loaded = _loaded(certificate)
    if not any(_has_issued(one, loaded) for one in _all(authorities)):
        raise InvalidArgumentError("the certificate is not of this deployment's authority")


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request for a certificate of a key (PKCS #10, RFC 2986, DER).

    It names nobody: whom the certificate is for is not the asker's to say.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key that a request is for, which its sender has proven to hold.

    Raises:
        InvalidArgumentError: Not such a request, or of another kind of key.
    """
    if len(request) > limits.CERTIFICATE_REQUEST_BYTES_MAX:
        raise InvalidArgumentError(
            f"a request has at most {limits.CERTIFICATE_REQUEST_BYTES_MAX} bytes"
        )
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
        is_signed = parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgumentError("the request is not PKCS #10") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidArgumentError("the key of a certificate is of the curve P-256")
    if not is_signed:
        raise InvalidArgumentError("the request is not signed by its own key")
    return key


class Authority:
    """A deployment's certificate authority, with its key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Take both; they belong together."""
        self._key = key
        self._certificate = certificate

    @classmethod
    def make(cls, now_ms: int, lifetime_ms: int) -> "Authority":
        """Make one, which signs itself."""
        key, name = new_key(), _name(_AUTHORITY_NAME)
        builder = _builder(
            name, name, key.public_key(), now_ms - BACKDATED_MS, now_ms + lifetime_ms
        )
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, key: bytes, certificates: bytes) -> "Authority":
        """Return the authority of a key; of several certificates, the one that is its own.

        Raises:
            InvalidArgumentError: One cannot be read, or none belongs to the key.
        """
        try:
            loaded = serialization.load_pem_private_key(key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidArgumentError("the key of the authority cannot be read") from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise InvalidArgumentError("the key of the authority is of another kind")
        own = _public_bytes(loaded.public_key())
        for certificate in _all(certificates):
            if _public_bytes(certificate.public_key()) == own:
                return cls(loaded, certificate)
        raise InvalidArgumentError("the key is not that of the authority's certificate")

    def private_pem(self) -> bytes:
        """Return the key as it lies in its file."""
        return private_pem(self._key)

    def certificate_pem(self) -> bytes:
        """Return the authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        subject: str,
        names: Sequence[str],
        now_ms: int,
        lifetime_ms: int,
    ) -> bytes:
        """Return a certificate, PEM.

        Args:
            public_key: Whose private half its holder has.
            subject: What people call its holder; nothing is decided by it.
            names: DNS names and addresses that it is for.
            now_ms: The wall clock.
            lifetime_ms: From its beginning, which is an hour ago, to its end. It ends with the
                authority's own certificate at the latest.

        Raises:
            UnavailableError: The authority's own certificate has ended.
        """
        authority = _facts(self._certificate)
        if authority.has_ended(now_ms):
            raise UnavailableError(f"the certificate authority has ended at {authority.until}")
        begins_ms = now_ms - BACKDATED_MS
        ends_ms = min(begins_ms + lifetime_ms, authority.ends_ms)
        issuer, issuer_key = self._certificate.subject, self._key.public_key()
        certificate = (
            _builder(_name(subject[:_NAME_CHARS_MAX]), issuer, public_key, begins_ms, ends_ms)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            # Two authorities may have one name while one takes the place of the other.
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
            )
            .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
            .add_extension(x509.ExtendedKeyUsage(_LEAF_USAGE), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def has_issued(self, certificate: bytes) -> bool:
        """Tell whether a certificate is this authority's."""
        return _has_issued(self._certificate, _loaded(certificate))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins_ms: int,
    ends_ms: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(begins_ms))
        .not_valid_after(_moment(ends_ms))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _loaded(pem: bytes) -> x509.Certificate:
    return _all(pem)[0]


def _all(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidArgumentError("the certificate cannot be read") from error


def _facts(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        _names(certificate),
        _milliseconds(certificate.not_valid_before_utc),
        _milliseconds(certificate.not_valid_after_utc),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(one.value) for one in found if isinstance(one, x509.DNSName | x509.IPAddress))


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public_bytes(key: object) -> bytes:
    """Return a public key as bytes; of a kind without them, nothing that another one has."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise InvalidArgumentError("keys of certificates are of elliptic curves, or RSA")
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _moment(wall_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(wall_ms / 1000, dt.UTC)


def _milliseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1000
