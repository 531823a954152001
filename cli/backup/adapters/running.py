"""A deployment that serves, into which the entities of a backup are put as any client puts."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from cli.access import Deployment
from strongroom import jsontext
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    StrongroomError,
    UnavailableError,
)
from strongroom_client import Client, JsonText
from strongroom_client import errors as refusals

_OF_ONE = (refusals.InvalidError, refusals.DamagedError, refusals.GoneError)
"""What may be the matter with one entity, and not with another one."""
_TRANSLATED: tuple[tuple[type[refusals.StrongroomClientError], type[StrongroomError]], ...] = (
    (refusals.ConfigurationError, InvalidArgumentError),
    (refusals.UnauthenticatedError, ForbiddenError),
    (refusals.ForbiddenError, ForbiddenError),
    (refusals.NotFoundError, NotFoundError),
    (refusals.ConflictError, ConflictError),
)


class RunningDeployment:
    """The `Running` of the deployment that the environment names."""

    def __init__(self, deployment: Deployment) -> None:
        """Take what administers it.

        Raises:
            InvalidArgumentError: The environment names none.
        """
        self._deployment = deployment
        try:
            self._client = Client.from_environment()
        except refusals.ConfigurationError as error:
            raise InvalidArgumentError(error.detail) from error

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give up its connections."""
        self._client.close()

    def has_template(self, schema_id: str) -> bool:
        """Ask for it."""
        return self._has(f"/schemas/{quote(schema_id)}")

    def make_template(self, schema_id: str, schema: bytes) -> None:
        """Put it."""
        self._deployment.put(f"/schemas/{quote(schema_id)}", schema, object)

    def has_database(self, name: str) -> bool:
        """Ask for it."""
        return self._has(f"/databases/{quote(name)}")

    def make_database(self, name: str, schema_id: str, ttl_seconds: int | None) -> None:
        """Put it."""
        body: dict[str, jsontext.JsonValue] = {"schema_id": schema_id}
        if ttl_seconds is not None:
            body["ttl_seconds"] = ttl_seconds
        self._deployment.put(f"/databases/{quote(name)}", jsontext.dump(body), object)

    def current(self, database: str, keys: list[str]) -> Mapping[str, bytes]:
        """Get them; where one is damaged, nobody knows of the others either."""
        try:
            found = self._client.get_many(database, keys)
        except _OF_ONE:
            return {}
        except refusals.StrongroomClientError as error:
            raise _translated(error) from error
        return {key: one.text for key, one in found.items()}

    def put(
        self, database: str, documents: Mapping[str, bytes], ttl_seconds: int | None
    ) -> Mapping[str, str]:
        """Put them together; where one is refused, each by itself."""
        texts = {key: JsonText(raw) for key, raw in documents.items()}
        try:
            self._client.put_many(database, texts, ttl_seconds=ttl_seconds)
        except (*_OF_ONE, refusals.PartlyWrittenError):
            return self._each(database, texts, ttl_seconds)
        except refusals.StrongroomClientError as error:
            raise _translated(error) from error
        return {}

    def _each(
        self, database: str, texts: Mapping[str, JsonText], ttl_seconds: int | None
    ) -> dict[str, str]:
        refused = {}
        for key, text in texts.items():
            try:
                self._client.put(database, key, text, ttl_seconds=ttl_seconds)
            except _OF_ONE as error:
                refused[key] = _reason(error)
            except refusals.StrongroomClientError as error:
                raise _translated(error) from error
        return refused

    def _has(self, path: str) -> bool:
        try:
            self._deployment.get(path, msgspec.Raw)
        except NotFoundError:
            return False
        return True


def _reason(error: refusals.StrongroomClientError) -> str:
    where = "; ".join(f"{one.pointer or '/'}: {one.detail}" for one in error.violations[:3])
    return f"{error.detail} ({where})" if where else error.detail


def _translated(error: refusals.StrongroomClientError) -> StrongroomError:
    for theirs, ours in _TRANSLATED:
        if isinstance(error, theirs):
            return ours(error.detail)
    return UnavailableError(error.detail)
