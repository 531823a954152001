"""`strongroom db`."""

import sys

from cli.output import as_json, line, printable, table
from cli.session import session
from strongroom.errors import InvalidArgumentError
from strongroom_client.administration import Database


def put(
    database: str, schema_id: str, ttl_seconds: int | None, *, json: bool, profile: str | None
) -> None:
    """Create a database, or bind it to another template."""
    with session(profile) as client:
        made = client.admin.put_database(database, schema_id, ttl_seconds=ttl_seconds)
        if json:
            as_json(_told(made))
        else:
            line(f"{made.name}: {made.schema_id}")


def show_all(*, json: bool, profile: str | None) -> None:
    """List the databases."""
    with session(profile) as client:
        found = list(client.admin.databases())
        if json:
            for one in found:
                as_json(_told(one))
        else:
            rows = (
                (one.name, one.schema_id, str(one.ttl_seconds or ""), one.created_at)
                for one in found
            )
            table(("DATABASE", "TEMPLATE", "TTL SECONDS", "CREATED AT"), rows)


def delete(database: str, confirmed: str | None, *, json: bool, profile: str | None) -> None:
    """Delete a database, once its name was typed.

    Raises:
        InvalidArgumentError: Another text was.
    """
    with session(profile) as client:
        known = client.admin.database(database)
        if confirmed is None:
            sys.stderr.write(
                f"All entities of {printable(known.name)} will be lost. Type its name to go on: "
            )
            sys.stderr.flush()
            confirmed = sys.stdin.readline().rstrip("\n")
        if confirmed != known.name:
            raise InvalidArgumentError(f"that is not its name; {known.name} is not deleted")
        client.admin.delete_database(known.name)
        if json:
            as_json({"name": known.name, "deleted": True})
        else:
            line(f"{known.name}: deleted")


def _told(one: Database) -> dict[str, object]:
    told: dict[str, object] = {"name": one.name, "schema_id": one.schema_id}
    told |= {} if one.ttl_seconds is None else {"ttl_seconds": one.ttl_seconds}
    return told | {"created_at": one.created_at}
