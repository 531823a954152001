"""`strongroom worker list`, `revoke` and `reinstate`: the registry of a deployment."""

from typing import Final

from cli.output import as_json, line, table, told
from cli.session import session

_COLUMNS: Final = ("WORKER ID", "STATE", "ADDRESS", "SINCE", "CERTIFICATE UNTIL", "LOAD", "VERSION")


def show(*, json: bool, profile: str | None) -> None:
    """Print who is available, and who is revoked."""
    with session(profile) as client:
        found, gone = list(client.admin.workers()), list(client.admin.revoked_workers())
        if json:
            as_json(
                {"workers": [told(one) for one in found], "revoked": [told(one) for one in gone]}
            )
            return
        live = [
            (
                one.worker_id,
                one.state,
                one.address,
                one.registered_at,
                one.certificate_until or "",
                f"{one.load:.1f}",
                one.version,
            )
            for one in found
        ]
        rows = [(one.worker_id, "revoked", "", one.revoked_at or "", "", "", "") for one in gone]
        table(_COLUMNS, live + rows)


def revoke(name: str, *, unseen: bool, json: bool, profile: str | None) -> None:
    """Revoke a worker."""
    with session(profile) as client:
        client.admin.revoke_worker(name, unseen=unseen)
        if json:
            as_json({"worker_id": name, "revoked": True})
        else:
            line(f"{name} is revoked; `strongroom worker reinstate {name}` lifts it")


def reinstate(name: str, *, json: bool, profile: str | None) -> None:
    """Lift a revocation."""
    with session(profile) as client:
        client.admin.reinstate_worker(name)
        if json:
            as_json({"worker_id": name, "revoked": False})
        else:
            line(f"{name} may come into service again")
