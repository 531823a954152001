"""`strongroom client`."""

from collections.abc import Iterable, Sequence
from typing import Any

import typer

from cli.output import as_json, line, table
from cli.session import session
from strongroom_client import Grant
from strongroom_client.administration import ClientRecord


def put(
    client_id: str,
    grants: Sequence[str],
    user_grants: Sequence[str],
    *,
    json: bool,
    profile: str | None,
) -> None:
    """Make a client, or replace the grants of one."""
    theirs, users = _grants(grants, "--grant"), _grants(user_grants, "--user-grant")
    with session(profile) as client:
        _show(client.admin.put_client(client_id, theirs, user_grants=users), json=json)


def rotate(client_id: str, overlap_seconds: int | None, *, json: bool, profile: str | None) -> None:
    """Give a client a new secret."""
    with session(profile) as client:
        _show(client.admin.rotate_secret(client_id, overlap_seconds=overlap_seconds), json=json)


def show_all(*, json: bool, profile: str | None) -> None:
    """List the clients."""
    with session(profile) as client:
        found = list(client.admin.clients())
        if json:
            for one in found:
                as_json(_told(one))
        else:
            rows = ((one.client_id, " ".join(map(_said, one.grants))) for one in found)
            table(("CLIENT", "GRANTS"), rows)


def delete(client_id: str, *, json: bool, profile: str | None) -> None:
    """Remove a client."""
    with session(profile) as client:
        client.admin.delete_client(client_id)
        if json:
            as_json({"client_id": client_id, "deleted": True})
        else:
            line(f"{client_id}: deleted")


def _show(record: ClientRecord, *, json: bool) -> None:
    """Print a client, with its secret where it is a new one: nobody can print it again."""
    if json:
        as_json(_told(record))
        return
    line(f"{record.client_id}: {' '.join(map(_said, record.grants)) or 'no grants'}")
    if record.client_secret is not None:
        line(f"its secret, which is not shown again: {record.client_secret}")


def _grants(texts: Iterable[str], option: str) -> list[Grant]:
    return [_grant(text, option) for text in texts]


def _grant(text: str, option: str) -> Grant:
    database, _, rest = text.partition(":")
    actions, _, prefix = rest.partition(":")
    if not database or not actions:
        raise typer.BadParameter("a grant is DATABASE:ACTIONS[:PREFIX]", param_hint=option)
    return Grant(database, frozenset(actions.split(",")), prefix)


def _said(grant: Grant) -> str:
    prefix = f":{grant.key_prefix}" if grant.key_prefix else ""
    return f"{grant.database}:{','.join(sorted(grant.actions))}{prefix}"


def _told(record: ClientRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "client_id": record.client_id,
        "grants": [_members(one) for one in record.grants],
        "user_grants": [_members(one) for one in record.user_grants],
        "created_at": record.created_at,
    }
    if record.client_secret is not None:
        told["client_secret"] = record.client_secret
    return told


def _members(grant: Grant) -> dict[str, Any]:
    members = {"database": grant.database, "actions": sorted(grant.actions)}
    return members | ({"key_prefix": grant.key_prefix} if grant.key_prefix else {})
