"""Certificates that end soon, of a deployment's own authority."""

from pathlib import Path

from strongroom import certificates, durable
from strongroom.certificates import BACKDATED_MS, Authority
from strongroom.clock import SystemClock
from strongroom.identity import Identity

DAY_MS = 24 * 3600 * 1000


def opened(ca: Path) -> Authority:
    """Return the authority whose files lie in a directory."""
    return Authority.load((ca / "ca.key").read_bytes(), (ca / "ca.pem").read_bytes())


def pair(ca: Path, names: list[str], left_s: float, days: float = 90) -> tuple[bytes, bytes]:
    """Return key and certificate, PEM, of one that was issued days ago and ends in `left_s`."""
    key, lifetime_ms = certificates.new_key(), round(days * DAY_MS)
    begun_ms = SystemClock().wall_ms() + round(left_s * 1000) - lifetime_ms
    made = opened(ca).issue(
        key.public_key(), names[0][:60], names, begun_ms + BACKDATED_MS, lifetime_ms
    )
    return certificates.private_pem(key), made


def replace(files: Identity, left_s: float) -> None:
    """Put one that ends soon in the place of a certificate, for the same names."""
    names = list(certificates.parse(files.certificate_file.read_bytes()).names)
    key, made = pair(files.ca_file.parent, names, left_s)
    filesystem = durable.LocalFilesystem()
    durable.replace_file(filesystem, files.key_file, key)
    durable.replace_file(filesystem, files.certificate_file, made)


def written(
    directory: Path, name: str, key_and_certificate: tuple[bytes, bytes], ca: Path
) -> Identity:
    """Write a pair into a directory; return where it lies."""
    files = Identity(ca / "ca.pem", directory / f"{name}.pem", directory / f"{name}.key")
    files.key_file.write_bytes(key_and_certificate[0])
    files.certificate_file.write_bytes(key_and_certificate[1])
    return files
