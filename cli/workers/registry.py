"""`strongroom workers list`, `revoke` and `reinstate`: the registry, over REST."""

import time
from typing import Final

import msgspec

from cli.access import Deployment
from cli.output import as_json, line, table
from strongroom import ids

_COLUMNS: Final = ("WORKER ID", "STATE", "ADDRESS", "SINCE", "CERTIFICATE UNTIL", "LOAD", "VERSION")


class _Live(msgspec.Struct, frozen=True, omit_defaults=True):
    worker_id: str
    address: str
    registered_at: str
    lease_until: str
    certificate_until: str = ""
    state: str = "live"
    load: float = 0.0
    cache_entries: int = 0
    cache_bytes: int = 0
    version: str = ""


class _Revoked(msgspec.Struct, frozen=True, omit_defaults=True):
    worker_id: str
    revoked_at: str = ""


class _Workers(msgspec.Struct, frozen=True):
    workers: list[_Live]
    revoked: list[_Revoked]


def show(*, json: bool) -> None:
    """Print who is available, and who is revoked; raises as `revoke`."""
    found = Deployment(time.sleep).get("/workers", _Workers)
    if json:
        as_json(msgspec.to_builtins(found))
        return
    live = [
        (
            one.worker_id,
            one.state,
            one.address,
            one.registered_at,
            one.certificate_until,
            f"{one.load:.1f}",
            one.version,
        )
        for one in found.workers
    ]
    gone = [(one.worker_id, "revoked", "", one.revoked_at, "", "", "") for one in found.revoked]
    table(_COLUMNS, live + gone)


def revoke(name: str, *, unseen: bool) -> None:
    """Revoke a worker.

    Raises:
        InvalidArgumentError: The environment names no deployment, or this is no worker's id.
        NotFoundError: The registry does not know it, and `unseen` is not said.
        ForbiddenError, UnavailableError: The deployment does not do it.
    """
    query = "?unseen=true" if unseen else ""
    Deployment(time.sleep).delete(f"/workers/{ids.worker_id(name)}{query}")
    line(f"{name} is revoked; `strongroom workers reinstate {name}` lifts it")


def reinstate(name: str) -> None:
    """Lift a revocation; raises as `revoke`, NotFoundError for one that is not revoked."""
    path = f"/workers/{ids.worker_id(name)}/reinstate"
    Deployment(time.sleep).post(path, b"", type(None))
    line(f"{name} may come into service again")
