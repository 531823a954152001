"""Certificates from a deployment's authority, written where an operator takes them from."""

from pathlib import Path
from typing import Final

from cli.emulation.pki import CertificateAuthority, Signed
from cli.output import line
from strongroom import durable, privatefile
from strongroom.clock import SystemClock
from strongroom.errors import ConflictError, InvalidArgumentError, NotFoundError
from strongroom.layout import Layout
from strongroom.rpc import tls

_MAIN: Final = "main"


def make(directory: Path) -> None:
    """Make an authority.

    Raises:
        ConflictError: There is one.
        InvalidArgumentError: The directory is below a shared directory.
        OSError: The disk refuses.
    """
    require_unshared(directory)
    for file in (directory / "ca.pem", directory / "ca.key"):
        if file.exists():
            raise ConflictError(f"{file} is there already and is not overwritten")
    CertificateAuthority(directory, SystemClock())
    line(f"{directory / 'ca.pem'} is the authority; whoever has ca.key can issue certificates")


def main(ca: Path, out: Path, days: int, *, renew: bool) -> None:
    """Issue a Main Worker's certificate.

    Raises:
        InvalidArgumentError: A directory that is no place for a key.
        NotFoundError: There is no authority at `ca`, or no directory `out`.
        ConflictError: A file is there already.
        OSError: The disk refuses.
    """
    authority = opened(ca, out)
    made = authority.signed(_MAIN, [tls.MAIN_NAME], days)
    write(made, authority, out, _MAIN, renew=renew)
    line(f"{out / _MAIN}.pem and .key are those of a Main Worker, until {made.until}")


def opened(ca: Path, out: Path) -> CertificateAuthority:
    """Return the authority at `ca`, which will issue something into `out`; raises as `main`."""
    for file in (ca / "ca.pem", ca / "ca.key"):
        if not file.is_file():
            raise NotFoundError(
                f"{file} is missing; --ca names the directory of the deployment's CA"
            )
    if not out.is_dir():
        raise NotFoundError(f"{out} is not a directory; make it first, for nobody else to read")
    if out.resolve() == ca.resolve():
        raise InvalidArgumentError("--out is another directory than that of the CA")
    for place in (ca, out):
        require_unshared(place)
    return CertificateAuthority(ca, SystemClock())


def write(
    made: Signed, authority: CertificateAuthority, out: Path, name: str, *, renew: bool
) -> None:
    """Write NAME.pem, NAME.key and ca.pem, of mode 0600.

    Raises:
        ConflictError: One is there already, and `renew` is not said.
        OSError: The disk refuses.
    """
    files = {out / f"{name}.key": made.key, out / f"{name}.pem": made.certificate}
    for file in files:
        if not renew and file.exists():
            raise ConflictError(f"{file} is there already and is not overwritten; see --renew")
    roots = authority.certificate_file.read_bytes()
    for file, data in files.items():
        if renew:
            durable.replace_file(durable.LocalFilesystem(), file, data)
        else:
            privatefile.create(file, data)
    durable.replace_file(durable.LocalFilesystem(), out / "ca.pem", roots)


def require_unshared(place: Path) -> None:
    """Refuse a directory that every worker reads.

    Raises:
        InvalidArgumentError: It is such a one.
    """
    directory = place.resolve()
    for above in (directory, *directory.parents):
        if Layout(above).keyring().exists():
            raise InvalidArgumentError(
                f"{directory} lies in a shared directory, which every worker reads; keys of"
                " certificates are kept elsewhere"
            )
