"""`strongroom workers enrol`: a certificate for a Processing Worker, from the deployment's CA."""

from pathlib import Path

from cli.emulation.pki import CertificateAuthority
from cli.output import line
from strongroom import durable, ids, privatefile
from strongroom.clock import SystemClock
from strongroom.errors import ConflictError, InvalidArgumentError, NotFoundError
from strongroom.layout import Layout
from strongroom.rpc import tls


def run(name: str, ca: Path, out: Path, days: int, *, renew: bool) -> None:
    """Write NAME.pem, NAME.key and ca.pem, of mode 0600, into `out`.

    Raises:
        InvalidArgumentError: Not a worker's id, or a directory that is no place for a key.
        NotFoundError: There is no authority at `ca`, or no directory `out`.
        ConflictError: The name was enrolled before, or a file is there already.
        OSError: The disk refuses.
    """
    ids.worker_id(name)
    _require_authority(ca)
    _require_place(ca, out)
    if (ca / f"{name}.pem").exists():
        raise ConflictError(
            f"{name} belongs to `strongroom up`, which issues its certificates at each start"
        )
    remembered = ca / "enrolled" / f"{name}.pem"
    if remembered.exists() and not renew:
        raise ConflictError(f"{name} is enrolled already; --renew gives it another certificate")
    if not renew:
        for file in (out / f"{name}.key", out / f"{name}.pem"):
            if file.exists():
                raise ConflictError(f"{file} is there already and is not overwritten; see --renew")
    authority = CertificateAuthority(ca, SystemClock())
    made = authority.signed(name, [tls.worker_name(name)], days)
    roots = authority.certificate_file.read_bytes()
    for suffix, data in ((".key", made.key), (".pem", made.certificate)):
        if renew:
            durable.replace_file(durable.LocalFilesystem(), out / (name + suffix), data)
        else:
            privatefile.create(out / (name + suffix), data)
    durable.replace_file(durable.LocalFilesystem(), out / "ca.pem", roots)
    remembered.parent.mkdir(mode=0o700, exist_ok=True)
    # So that a second enrolment of the name is noticed; it is public, the key is not kept.
    durable.replace_file(durable.LocalFilesystem(), remembered, made.certificate)
    line(f"{out / name}.pem and .key are the certificate and key of {name}, until {made.until}")


def _require_authority(ca: Path) -> None:
    for file in (ca / "ca.pem", ca / "ca.key"):
        if not file.is_file():
            raise NotFoundError(
                f"{file} is missing; --ca names the directory of the deployment's CA"
            )


def _require_place(ca: Path, out: Path) -> None:
    if not out.is_dir():
        raise NotFoundError(f"{out} is not a directory; make it first, for nobody else to read")
    if out.resolve() == ca.resolve():
        raise InvalidArgumentError("--out is another directory than that of the CA")
    for place in (ca.resolve(), out.resolve()):
        for directory in (place, *place.parents):
            if Layout(directory).keyring().exists():
                raise InvalidArgumentError(
                    f"{place} lies in a shared directory, which every worker reads; keys of"
                    " certificates are kept elsewhere"
                )
