"""The commands that read and write entities. What one needs is imported when it runs."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cli.data.sources import Format
from cli.options import Database, Json, Profile

_Key = Annotated[str, typer.Argument(help="Key of an entity.")]
_Keys = Annotated[list[str], typer.Argument(help="Keys of entities.")]
_File = Annotated[str, typer.Argument(help="File with JSON text; - for standard input.")]
_Expression = Annotated[str, typer.Argument(help="JMESPath.")]
_IfVersion = Annotated[int | None, typer.Option(min=1, help="Only if it is there in this version.")]
_IfAbsent = Annotated[bool, typer.Option("--if-absent", help="Only if it is not there.")]
_IfPresent = Annotated[bool, typer.Option("--if-present", help="Only if it is there.")]
_IdempotencyKey = Annotated[
    str | None, typer.Option(help="Entered again with the same one, it is done once.")
]
_Prefix = Annotated[str, typer.Option(help="Only keys that begin with it.")]
_Select = Annotated[str, typer.Option(help="JMESPath; its result takes the entity's place.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="How many at the most; else all.")]

PANEL: Final = "Entities"


def add(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (get, put, patch, delete, transform, validate, query):
        app.command(rich_help_panel=PANEL)(command)
    app.command("list", rich_help_panel=PANEL)(list_entities)
    app.command("import", rich_help_panel=PANEL)(import_entities)
    app.command("export", rich_help_panel=PANEL)(export_entities)


def get(database: Database, key: _Key, *, json: Json = False, profile: Profile = None) -> None:
    """Print an entity's document, as it is stored."""
    from cli.data import reading  # noqa: PLC0415

    reading.get(database, key, json=json, profile=profile)


def put(  # noqa: PLR0913 - an option each
    database: Database,
    key: _Key,
    file: _File,
    *,
    ttl_seconds: Annotated[
        int | None, typer.Option(min=1, help="It ceases to be there after so long.")
    ] = None,
    if_version: _IfVersion = None,
    if_absent: _IfAbsent = False,
    if_present: _IfPresent = False,
    idempotency_key: _IdempotencyKey = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Create or replace an entity."""
    from cli.data import writing  # noqa: PLC0415

    how = writing.conditions(if_version, idempotency_key, absent=if_absent, present=if_present)
    writing.put(database, key, file, ttl_seconds, how, json=json, profile=profile)


def patch(
    database: Database,
    key: _Key,
    file: _File,
    *,
    json_patch: Annotated[
        bool, typer.Option("--json-patch", help="It is an RFC 6902 patch, else an RFC 7396 one.")
    ] = False,
    if_version: _IfVersion = None,
    idempotency_key: _IdempotencyKey = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Change a part of an entity."""
    from cli.data import writing  # noqa: PLC0415

    how = writing.conditions(if_version, idempotency_key)
    writing.patch(database, key, file, how, is_json_patch=json_patch, json=json, profile=profile)


def delete(
    database: Database,
    keys: _Keys,
    *,
    if_version: _IfVersion = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Delete entities. Exit code 3: one was not there; the others are deleted nevertheless."""
    from cli.data import writing  # noqa: PLC0415

    if if_version is not None and len(keys) > 1:
        raise typer.BadParameter("it is for one entity", param_hint="--if-version")
    how = writing.conditions(if_version, None)
    writing.delete(database, keys, how, json=json, profile=profile)


def transform(
    database: Database,
    key: _Key,
    expression: _Expression,
    *,
    store: Annotated[bool, typer.Option("--store", help="Store the result in its place.")] = False,
    if_version: _IfVersion = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print what an expression makes of an entity; or store it."""
    from cli.data import reading, writing  # noqa: PLC0415

    if if_version is not None and not store:
        raise typer.BadParameter("it goes with --store", param_hint="--if-version")
    if store:
        how = writing.conditions(if_version, None)
        writing.store(database, key, expression, how, json=json, profile=profile)
    else:
        reading.transform(database, key, expression, json=json, profile=profile)


def validate(
    database: Database, key: _Key, file: _File, *, json: Json = False, profile: Profile = None
) -> None:
    """Tell what would refuse a put; nothing is written. Exit code 5: it would be refused."""
    from cli.data import writing  # noqa: PLC0415

    writing.validate(database, key, file, json=json, profile=profile)


def list_entities(
    database: Database,
    *,
    prefix: _Prefix = "",
    select: _Select = "",
    limit: _Limit = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print the keys and versions of a database; with --json or --select the documents too."""
    from cli.data import reading  # noqa: PLC0415

    wanted = reading.Wanted("", select, prefix, limit, with_documents=bool(select))
    reading.entities(database, wanted, json=json, profile=profile)


def query(
    database: Database,
    filter: Annotated[str, typer.Argument(help="JMESPath; asked of every entity.")],  # noqa: A002
    *,
    prefix: _Prefix = "",
    select: _Select = "",
    limit: _Limit = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print the entities for which a filter is true: key, version and document."""
    from cli.data import reading  # noqa: PLC0415

    wanted = reading.Wanted(filter, select, prefix, limit, with_documents=True)
    reading.entities(database, wanted, json=json, profile=profile)


def import_entities(  # noqa: PLR0913 - an option each
    database: Database,
    file: Annotated[str, typer.Argument(help="NDJSON or JSON; - for standard input.")],
    *,
    form: Annotated[
        Format, typer.Option("--format", help="Of the file; else its first line tells.")
    ] = Format.AUTO,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the import before of FILE has ended.")
    ] = False,
    from_line: Annotated[
        int, typer.Option(min=1, help="Pass over the lines before; in JSON, the entities.")
    ] = 1,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Tell of what is refused, and write the rest.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(help="As --keep-going, and what is refused goes into this file, with why."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only validate.")] = False,
    ttl_seconds: Annotated[
        int | None, typer.Option(min=1, help="They cease to be there after so long.")
    ] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Put entities: {"key": "...", "entity": ...} a line, an array of these, or {"KEY": ENTITY}.

    How far it is stands in FILE.import, until it is done. Where it ends before the last line, it
    says how to go on. Exit code 5: some were refused.
    """
    from cli.data import importing  # noqa: PLC0415

    options = importing.Options(
        from_line=from_line,
        ttl_seconds=ttl_seconds,
        format=form,
        rejects=rejects,
        keep_going=keep_going or rejects is not None,
        dry_run=dry_run,
        resume=resume,
    )
    importing.run(database, file, options, json=json, profile=profile)


def export_entities(
    database: Database,
    file: Annotated[
        str, typer.Argument(help="Written, not there yet, for its owner alone; - prints.")
    ] = "-",
    *,
    prefix: _Prefix = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an export into FILE broke.")
    ] = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Write the entities of a database, one a line, as `import` takes them.

    FILE is there once it is whole. Until then FILE.part has the lines, and FILE.export says how far
    they are good. Exit code 1: some were left out, because their files do not verify.
    """
    from cli.data import exporting  # noqa: PLC0415

    exporting.run(database, file, prefix, resume=resume, json=json, profile=profile)
