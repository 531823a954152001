"""`strongroom schema`."""

import sys

from cli.data import documents
from cli.output import as_json, line, table
from cli.session import session


def put(schema_id: str, file: str, *, json: bool, profile: str | None) -> None:
    """Create or replace a template."""
    with session(profile) as client:
        made = client.admin.put_schema(schema_id, documents.read(file))
        if json:
            as_json({"schema_id": made.schema_id, "schema_version": made.schema_version})
        else:
            line(f"{made.schema_id}: version {made.schema_version}")


def get(schema_id: str, *, profile: str | None) -> None:
    """Print a template."""
    with session(profile) as client:
        sys.stdout.write(client.admin.schema(schema_id).text.decode() + "\n")


def show_all(*, json: bool, profile: str | None) -> None:
    """List the templates."""
    with session(profile) as client:
        found = list(client.admin.schemas())
        if json:
            for one in found:
                told = {"schema_id": one.schema_id, "schema_version": one.schema_version}
                as_json(told | {"created_at": one.created_at, "updated_at": one.updated_at})
        else:
            rows = ((one.schema_id, str(one.schema_version), one.updated_at) for one in found)
            table(("TEMPLATE", "VERSION", "UPDATED AT"), rows)


def delete(schema_id: str, *, json: bool, profile: str | None) -> None:
    """Delete a template."""
    with session(profile) as client:
        client.admin.delete_schema(schema_id)
        if json:
            as_json({"schema_id": schema_id, "deleted": True})
        else:
            line(f"{schema_id}: deleted")
