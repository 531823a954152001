"""`strongroom schema`, `db` and `client`. What a subcommand needs is imported when it runs."""

from typing import Annotated

import typer

_SchemaId = Annotated[str, typer.Argument(help="Name of a template.")]
_Database = Annotated[str, typer.Argument(help="Name of a database.")]
_ClientId = Annotated[str, typer.Argument(help="Name of a client.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
_Profile = Annotated[
    str | None,
    typer.Option(help="A profile of strongroom/profiles.toml; else STRONGROOM_PROFILE."),
]
_GRANT = "DATABASE:ACTIONS[:PREFIX], such as chatdb:read,write:users/; * for every database."

schemas = typer.Typer(
    help="Templates: the JSON Schemas that entities are validated by.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
databases = typer.Typer(
    help="Databases: which template each has, and how long its entities live.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
clients = typer.Typer(
    help="Clients, their grants and their secrets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@schemas.command("put")
def put_schema(
    schema_id: _SchemaId,
    file: Annotated[str, typer.Argument(help="File with a JSON Schema; - for standard input.")],
    *,
    json: _Json = False,
    profile: _Profile = None,
) -> None:
    """Create or replace a template; it is in force for every write from now on."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.put(schema_id, file, json=json, profile=profile)


@schemas.command("get")
def get_schema(schema_id: _SchemaId, *, profile: _Profile = None) -> None:
    """Print a template's JSON Schema."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.get(schema_id, profile=profile)


@schemas.command("list")
def list_schemas(*, json: _Json = False, profile: _Profile = None) -> None:
    """List the templates."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@schemas.command("delete")
def delete_schema(schema_id: _SchemaId, *, profile: _Profile = None) -> None:
    """Delete a template that no database is bound to."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.delete(schema_id, profile=profile)


@databases.command("put")
def put_database(
    database: _Database,
    schema_id: _SchemaId,
    *,
    ttl_seconds: Annotated[
        int | None, typer.Option(min=1, help="Its entities cease to be there after so long.")
    ] = None,
    json: _Json = False,
    profile: _Profile = None,
) -> None:
    """Create a database, or bind it to another template."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.put(database, schema_id, ttl_seconds, json=json, profile=profile)


@databases.command("list")
def list_databases(*, json: _Json = False, profile: _Profile = None) -> None:
    """List the databases that you administer."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@databases.command("delete")
def delete_database(
    database: _Database,
    *,
    yes_lose: Annotated[
        str | None,
        typer.Option(help="Confirm by its name, without being asked, that all of it may go."),
    ] = None,
    profile: _Profile = None,
) -> None:
    """Delete a database with all its entities, after its name was typed once more."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.delete(database, yes_lose, profile=profile)


@clients.command("put")
def put_client(
    client_id: _ClientId,
    *,
    grant: Annotated[list[str] | None, typer.Option(help=_GRANT)] = None,
    user_grant: Annotated[
        list[str] | None,
        typer.Option(help="The same, for tokens of the client's users; {sub} is the user."),
    ] = None,
    json: _Json = False,
    profile: _Profile = None,
) -> None:
    """Make a client, and print its secret, once; or replace the grants of one."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.put(client_id, grant or [], user_grant or [], json=json, profile=profile)


@clients.command("list")
def list_clients(*, json: _Json = False, profile: _Profile = None) -> None:
    """List the clients and their grants."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@clients.command()
def rotate_secret(
    client_id: _ClientId,
    *,
    overlap_seconds: Annotated[
        int | None,
        typer.Option(min=0, help="For how long the old one is taken too; a day; 0 ends it."),
    ] = None,
    json: _Json = False,
    profile: _Profile = None,
) -> None:
    """Give a client a new secret, and print it, once."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.rotate(client_id, overlap_seconds, json=json, profile=profile)


@clients.command("delete")
def delete_client(client_id: _ClientId, *, profile: _Profile = None) -> None:
    """Remove a client; it is refused within 5 seconds."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.delete(client_id, profile=profile)
