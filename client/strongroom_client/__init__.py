"""A client of Strongroom, the encrypted JSON database: over REST or gRPC, blocking or for asyncio.

    with Client("https://db.example", ClientCredentials("me", secret)) as client:
        client.put("chatdb", "Chat_id", {"chat": []})
        print(client.get("chatdb", "Chat_id").value)

docs/client.md shows the rest.
"""

from strongroom_client.administration import Grant
from strongroom_client.aio import AsyncClient
from strongroom_client.assembly import Options
from strongroom_client.client import Client
from strongroom_client.core.retrying import Retries
from strongroom_client.credentials import ClientCredentials, StaticToken
from strongroom_client.errors import (
    ConfigurationError,
    ConflictError,
    DamagedError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    PartlyWrittenError,
    PreconditionFailedError,
    RateLimitedError,
    SchemaViolationError,
    ServerError,
    StrongroomClientError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
)
from strongroom_client.values import Entity, JsonText, Page
from strongroom_client.written import Written

__all__ = [
    "AsyncClient",
    "Client",
    "ClientCredentials",
    "ConfigurationError",
    "ConflictError",
    "DamagedError",
    "Entity",
    "ForbiddenError",
    "GoneError",
    "Grant",
    "InvalidError",
    "JsonText",
    "NotFoundError",
    "Options",
    "OutcomeUnknownError",
    "Page",
    "PartlyWrittenError",
    "PreconditionFailedError",
    "RateLimitedError",
    "Retries",
    "SchemaViolationError",
    "ServerError",
    "StaticToken",
    "StrongroomClientError",
    "TooLargeError",
    "UnauthenticatedError",
    "UnavailableError",
    "Violation",
    "Written",
]
