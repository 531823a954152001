"""`strongroom worker enrol`: a certificate for a Processing Worker, from the deployment's CA."""

from pathlib import Path

from cli.ca import issue
from cli.output import line
from strongroom import durable, ids
from strongroom.errors import ConflictError
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
    authority = issue.opened(ca, out)
    if (ca / f"{name}.pem").exists():
        raise ConflictError(
            f"{name} belongs to `strongroom up`, which issues its certificates at each start"
        )
    remembered = ca / "enrolled" / f"{name}.pem"
    if remembered.exists() and not renew:
        raise ConflictError(f"{name} is enrolled already; --renew gives it another certificate")
    made = authority.signed(name, [tls.worker_name(name)], days)
    issue.write(made, authority, out, name, renew=renew)
    remembered.parent.mkdir(mode=0o700, exist_ok=True)
    # So that a second enrolment of the name is noticed; it is public, the key is not kept.
    durable.replace_file(durable.LocalFilesystem(), remembered, made.certificate)
    line(f"{out / name}.pem and .key are the certificate and key of {name}, until {made.until}")
