"""Arguments and options that many commands have."""

from typing import Annotated

import typer

from cli.completing import database_names

Database = Annotated[str, typer.Argument(help="Name of a database.", autocompletion=database_names)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
JsonObject = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Profile = Annotated[
    str | None,
    typer.Option(help="A profile (`strongroom profile`); else STRONGROOM_PROFILE."),
]
