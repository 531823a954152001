"""Databases."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from strongroom import limits
from strongroom.configuration import Database
from strongroom_pb.v1 import admin_pb2 as pb


def put_database(
    main: Main, caller: Caller, request: pb.PutDatabaseRequest
) -> pb.PutDatabaseResponse:
    """Make a database, or change it."""
    made, is_new = main.administration.put_database(
        caller, request.database, request.schema_id, request.ttl_seconds or None
    )
    return pb.PutDatabaseResponse(database=_database(made), created=is_new)


def get_database(main: Main, caller: Caller, request: pb.GetDatabaseRequest) -> pb.Database:
    """Return a database's configuration."""
    return _database(main.administration.database(caller, request.database))


def list_databases(
    main: Main, caller: Caller, request: pb.ListDatabasesRequest
) -> pb.ListDatabasesResponse:
    """Return a page of the databases that the caller administers."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.administration.databases(caller, limit, request.page_token)
    return pb.ListDatabasesResponse(
        databases=map(_database, found.records),
        next_page_token=found.cursor,
        damaged=found.damaged,
    )


def delete_database(
    main: Main, caller: Caller, request: pb.DeleteDatabaseRequest
) -> pb.DeleteDatabaseResponse:
    """Delete a database with all its entities."""
    main.administration.delete_database(caller, request.database)
    return pb.DeleteDatabaseResponse()


METHODS: Final = (put_database, get_database, list_databases, delete_database)


def _database(database: Database) -> pb.Database:
    return pb.Database(
        name=database.name,
        schema_id=database.schema_id,
        ttl_seconds=database.ttl_seconds or 0,
        created_at=database.created_at,
    )
