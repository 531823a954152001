"""`strongroom schema`, `db` and `client`. What a subcommand needs is imported when it runs."""

from typing import Annotated

import typer

from cli.options import Database, Json, Profile

_SchemaId = Annotated[str, typer.Argument(help="Name of a template.")]
_ClientId = Annotated[str, typer.Argument(help="Name of a client.")]
_GRANT = "DATABASE:ACTIONS[:PREFIX], such as chatdb:read,write:users/; * for every database."

_IssuerName = Annotated[str, typer.Argument(help="Name of an issuer, given here.")]

issuers = typer.Typer(
    help="Foreign issuers whose tokens are taken, and what these are good for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
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
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Create or replace a template; it is in force for every write from now on."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.put(schema_id, file, json=json, profile=profile)


@schemas.command("get")
def get_schema(schema_id: _SchemaId, *, profile: Profile = None) -> None:
    """Print a template's JSON Schema."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.get(schema_id, profile=profile)


@schemas.command("list")
def list_schemas(*, json: Json = False, profile: Profile = None) -> None:
    """List the templates."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@schemas.command("delete")
def delete_schema(schema_id: _SchemaId, *, json: Json = False, profile: Profile = None) -> None:
    """Delete a template that no database is bound to."""
    from cli.admin import schemas as command  # noqa: PLC0415

    command.delete(schema_id, json=json, profile=profile)


@databases.command("put")
def put_database(
    database: Database,
    schema_id: _SchemaId,
    *,
    ttl_seconds: Annotated[
        int | None, typer.Option(min=1, help="Its entities cease to be there after so long.")
    ] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Create a database, or bind it to another template."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.put(database, schema_id, ttl_seconds, json=json, profile=profile)


@databases.command("list")
def list_databases(*, json: Json = False, profile: Profile = None) -> None:
    """List the databases that you administer."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@databases.command("delete")
def delete_database(
    database: Database,
    *,
    yes_lose: Annotated[
        str | None,
        typer.Option(help="Confirm by its name, without being asked, that all of it may go."),
    ] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Delete a database with all its entities, after its name was typed once more."""
    from cli.admin import databases as command  # noqa: PLC0415

    command.delete(database, yes_lose, json=json, profile=profile)


@clients.command("put")
def put_client(
    client_id: _ClientId,
    *,
    grant: Annotated[list[str] | None, typer.Option(help=_GRANT)] = None,
    user_grant: Annotated[
        list[str] | None,
        typer.Option(help="The same, for tokens of the client's users; {sub} is the user."),
    ] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Make a client, and print its secret, once; or replace the grants of one."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.put(client_id, grant or [], user_grant or [], json=json, profile=profile)


@clients.command("list")
def list_clients(*, json: Json = False, profile: Profile = None) -> None:
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
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Give a client a new secret, and print it, once."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.rotate(client_id, overlap_seconds, json=json, profile=profile)


@clients.command("delete")
def delete_client(client_id: _ClientId, *, json: Json = False, profile: Profile = None) -> None:
    """Remove a client; it is refused within 5 seconds."""
    from cli.admin import clients as command  # noqa: PLC0415

    command.delete(client_id, json=json, profile=profile)


@issuers.command("put")
def put_issuer(
    name: _IssuerName,
    file: Annotated[
        str, typer.Argument(help="File with JSON, as docs/federation.md has it; - reads a pipe.")
    ],
    *,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Trust a foreign issuer, or change what it is trusted for."""
    from cli.admin import issuers as command  # noqa: PLC0415

    command.put(name, file, json=json, profile=profile)


@issuers.command("get")
def get_issuer(name: _IssuerName, *, profile: Profile = None) -> None:
    """Print what an issuer is trusted for, as JSON that `put` takes."""
    from cli.admin import issuers as command  # noqa: PLC0415

    command.get(name, profile=profile)


@issuers.command("list")
def list_issuers(*, json: Json = False, profile: Profile = None) -> None:
    """List the foreign issuers that are trusted."""
    from cli.admin import issuers as command  # noqa: PLC0415

    command.show_all(json=json, profile=profile)


@issuers.command("ask")
def ask_issuer(name: _IssuerName, *, json: Json = False, profile: Profile = None) -> None:
    """Have an issuer asked for its keys now, and print them; nothing is changed."""
    from cli.admin import issuers as command  # noqa: PLC0415

    command.ask(name, json=json, profile=profile)


@issuers.command("delete")
def delete_issuer(name: _IssuerName, *, json: Json = False, profile: Profile = None) -> None:
    """Trust an issuer no more; its tokens are refused within 5 seconds."""
    from cli.admin import issuers as command  # noqa: PLC0415

    command.delete(name, json=json, profile=profile)
