"""A deployment that serves, into which the entities of a backup are put as any client puts."""

from collections.abc import Callable, Mapping

from strongroom_client import Client, JsonText
from strongroom_client import errors as refusals

_OF_ONE = (refusals.InvalidError, refusals.DamagedError, refusals.GoneError)
"""What may be the matter with one entity, and not with another one."""


class RunningDeployment:
    """The `Running` of a deployment."""

    def __init__(self, client: Client) -> None:
        """Take a client of it, which administers it."""
        self._client = client

    def has_template(self, schema_id: str) -> bool:
        """Ask for it."""
        return _has(lambda: self._client.admin.schema(schema_id))

    def make_template(self, schema_id: str, schema: bytes) -> None:
        """Put it."""
        self._client.admin.put_schema(schema_id, JsonText(schema))

    def has_database(self, name: str) -> bool:
        """Ask for it."""
        return _has(lambda: self._client.admin.database(name))

    def make_database(self, name: str, schema_id: str, ttl_seconds: int | None) -> None:
        """Put it."""
        self._client.admin.put_database(name, schema_id, ttl_seconds=ttl_seconds)

    def current(self, database: str, keys: list[str]) -> Mapping[str, bytes]:
        """Get them; where one is damaged, nobody knows of the others either."""
        try:
            found = self._client.get_many(database, keys)
        except _OF_ONE:
            return {}
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
        return refused


def _has(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except refusals.NotFoundError:
        return False
    return True


def _reason(error: refusals.StrongroomClientError) -> str:
    where = "; ".join(f"{one.pointer or '/'}: {one.detail}" for one in error.violations[:3])
    return f"{error.detail} ({where})" if where else error.detail
