"""The commands that write: put, patch, delete, transform --store; and validate."""

from collections.abc import Sequence

import msgspec
import typer

from cli.data import documents
from cli.output import as_json, line
from cli.session import NOT_THERE, exit_code, session, tell
from strongroom_client.writes import Conditional


def conditions(
    if_version: int | None,
    idempotency_key: str | None,
    *,
    absent: bool = False,
    present: bool = False,
) -> Conditional:
    """Return what has to hold, as the client library takes it.

    Raises:
        typer.BadParameter: Two conditions at once.
    """
    if (if_version is not None) + absent + present > 1:
        raise typer.BadParameter("of --if-version, --if-absent and --if-present only one")
    how = Conditional(if_absent=absent, if_present=present)
    if if_version is not None:
        how["if_version"] = if_version
    if idempotency_key is not None:
        how["idempotency_key"] = idempotency_key
    return how


def put(
    database: str,
    key: str,
    file: str,
    ttl_seconds: int | None,
    how: Conditional,
    *,
    json: bool,
    profile: str | None,
) -> None:
    """Create or replace an entity."""
    with session(profile) as client:
        document = documents.read(file)
        written = client.put(database, key, document, ttl_seconds=ttl_seconds, **how)
        documents.show_written(written, json=json)


def patch(
    database: str,
    key: str,
    file: str,
    how: Conditional,
    *,
    is_json_patch: bool,
    json: bool,
    profile: str | None,
) -> None:
    """Change a part of an entity."""
    with session(profile) as client:
        document = documents.read(file)
        if is_json_patch:
            # It is passed on as the text that it is.
            written = client.json_patch(database, key, document, **how)
        else:
            written = client.patch(database, key, document, **how)
        documents.show_written(written, json=json)


def store(
    database: str, key: str, expression: str, how: Conditional, *, json: bool, profile: str | None
) -> None:
    """Replace an entity by what an expression makes of it."""
    with session(profile) as client:
        written = client.store_transformed(database, key, expression, **how)
        documents.show_written(written, json=json)


def delete(
    database: str, keys: Sequence[str], how: Conditional, *, json: bool, profile: str | None
) -> None:
    """Delete entities, and say of each whether it was there."""
    with session(profile) as client:
        if len(keys) == 1:
            client.delete(database, keys[0], **how)
            deleted = {keys[0]: True}
        else:
            deleted = client.delete_many(database, keys)
        for key, was_there in deleted.items():
            if json:
                as_json({"key": key, "deleted": was_there})
            else:
                line(f"{key}: {'deleted' if was_there else 'not there'}")
    if not all(deleted.values()):
        raise typer.Exit(NOT_THERE)


def validate(database: str, key: str, file: str, *, json: bool, profile: str | None) -> None:
    """Say whether an entity would be written, and why not."""
    with session(profile) as client:
        refusal = client.validate(database, {key: documents.read(file)})[key]
        if json:
            told: dict[str, object] = {"key": key, "valid": refusal is None}
            if refusal is not None:
                found = [msgspec.to_builtins(one) for one in refusal.violations]
                told |= {"error": refusal.code, "detail": refusal.detail, "violations": found}
            as_json(told)
        elif refusal is None:
            line(f"{key}: would be written")
    if refusal is not None:
        if not json:
            tell(refusal, key)
        raise typer.Exit(exit_code(refusal))
