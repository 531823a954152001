"""The commands that read: get, list, query, transform."""

import sys
from dataclasses import dataclass
from itertools import islice

from cli.data.documents import line, one_line, show
from cli.session import session


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entities, what of them, how many at the most, and whether documents are printed."""

    filter: str
    select: str
    prefix: str
    limit: int | None
    with_documents: bool


def get(database: str, key: str, *, json: bool, profile: str | None) -> None:
    """Print an entity."""
    with session(profile) as client:
        show(client.get(database, key), json=json)


def transform(database: str, key: str, expression: str, *, json: bool, profile: str | None) -> None:
    """Print what an expression makes of an entity."""
    with session(profile) as client:
        show(client.transform(database, key, expression), json=json)


def entities(database: str, wanted: Wanted, *, json: bool, profile: str | None) -> None:
    """Print entities, a page at a time, as they come."""
    with session(profile) as client:
        found = client.query(
            database, filter=wanted.filter, select=wanted.select, prefix=wanted.prefix
        )
        for entity in islice(found, wanted.limit):
            if json:
                sys.stdout.write(line(entity) + "\n")
            elif wanted.with_documents:
                text = one_line(entity.text)
                sys.stdout.write(f"{entity.key}\t{entity.version}\t{text}\n")
            else:
                sys.stdout.write(f"{entity.key}\t{entity.version}\n")
