"""A client that blocks."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from strongroom_client import assembly, writes
from strongroom_client.admin import Admin
from strongroom_client.calls import (
    Call,
    GetEntity,
    ReadPage,
    TransformEntity,
    ValidateEntities,
)
from strongroom_client.core import batches
from strongroom_client.core.paging import following
from strongroom_client.credentials import ClientCredentials, StaticToken, TokenSource
from strongroom_client.driver import Driver
from strongroom_client.errors import ConfigurationError
from strongroom_client.values import Entity, JsonText, JsonValue, Page, Refusals
from strongroom_client.writes import Conditional, Repeatable
from strongroom_client.written import Written

T = TypeVar("T")


class Client:
    """Asks a deployment, over REST or gRPC; for any number of threads.

    Made with `with Client(url, credentials) as client`, or closed with `close`. After a fork parent
    and child both go on with it, over REST; gRPC itself does not outlive a fork.

    Every method raises errors of `strongroom_client.errors`. A call is tried again by itself where
    that is safe and may help; `timeout_s` bounds all of its attempts together.
    """

    def __init__(
        self,
        url: str,
        credentials: ClientCredentials | StaticToken | TokenSource,
        options: assembly.Options | None = None,
    ) -> None:
        """Take where a deployment is and as whom to ask; nothing is connected yet.

        Args:
            url: `https://HOST[:PORT]` for REST, `grpc://HOST[:PORT]` for gRPC over TLS;
                `http://127.0.0.1:8080` on this machine.
            credentials: A client's id and secret, an access token, or a function that returns one
                each time that one is needed.
            options: How it behaves.

        Raises:
            ConfigurationError: It cannot be used so.
        """
        if isinstance(credentials, ClientCredentials | StaticToken):
            made, source = assembly.parts(url, credentials, options), None
        else:
            made, source = assembly.parts(url, None, options), credentials
        self._made = made
        self._source = source
        self._address = made.address
        self._conversation = made.conversation
        self._timeout_s = made.timeout_s
        self._connect()
        self._is_closed = False
        self._parents: list[object] = []
        self.admin = Admin(self._run)

    @classmethod
    def from_environment(cls) -> Self:
        """Return a client of the deployment that the environment names.

        STRONGROOM_URL, STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET; STRONGROOM_CA_FILE where
        the deployment has a certificate authority of its own.

        Raises:
            ConfigurationError: One is missing.
        """
        return cls(**assembly.environment())

    def __repr__(self) -> str:
        """Say where it asks; nothing of its credentials."""
        return f"Client({str(self._address)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self) -> None:
        """Begin without a connection."""
        self._pid = os.getpid()
        self._channel = assembly.channel(self._made)
        self._driver = Driver(self._channel, self._source)

    def close(self) -> None:
        """Give up the connections; the client is of no use any more."""
        self._is_closed = True
        self._channel.close()

    def get(self, database: str, key: str, *, timeout_s: float | None = None) -> Entity:
        """Return an entity.

        Raises:
            NotFoundError: It is not there.
        """
        found = self._run(GetEntity(database=database, key=key), timeout_s)
        assert found is not None, "without a version that is known there is no other answer"  # noqa: S101
        return found

    def get_if_changed(
        self, database: str, key: str, version: int, *, timeout_s: float | None = None
    ) -> Entity | None:
        """Return an entity, None where it still has a version that the caller knows.

        Raises:
            NotFoundError: It is not there.
        """
        return self._run(GetEntity(database=database, key=key, known=version), timeout_s)

    def get_many(
        self, database: str, keys: Iterable[str], *, timeout_s: float | None = None
    ) -> dict[str, Entity]:
        """Return those of many entities that are there, by key; in as many requests as it takes."""
        within = self._within(timeout_s)
        steps = batches.get_many(self._conversation, database, keys, within)
        return self._driver.run(steps)

    def put(
        self,
        database: str,
        key: str,
        value: JsonValue,
        *,
        ttl_seconds: int | None = None,
        **how: Unpack[Conditional],
    ) -> Written:
        """Create or replace an entity.

        Args:
            database: Where.
            key: Which.
            value: What JSON can say, or a `JsonText`.
            ttl_seconds: After how many seconds it ceases to be there; None: as the database has it.
            **how: `if_version`, `if_absent` or `if_present`; `idempotency_key`; `timeout_s`.

        Raises:
            SchemaViolationError: The template refuses the value; `violations` says where and why.
            PreconditionFailedError: The condition does not hold.
            OutcomeUnknownError: It may have been written.
        """
        call = writes.put(database, key, value, ttl_seconds, how)
        return self._run(call, how.get("timeout_s"))

    def put_many(
        self,
        database: str,
        values: Mapping[str, JsonValue],
        *,
        ttl_seconds: int | None = None,
        **how: Unpack[Repeatable],
    ) -> dict[str, Written]:
        """Create or replace up to 100 entities; all are validated before any is written.

        Raises:
            PartlyWrittenError: It failed midway; `outcomes` says of each what became of it.
            SchemaViolationError: Of one, whose `key` the error has; none was written.
        """
        call = writes.put_many(database, values, ttl_seconds, how)
        written = self._run(call, how.get("timeout_s"))
        return {one.key: one for one in written}

    def patch(
        self, database: str, key: str, patch: JsonValue, **how: Unpack[Conditional]
    ) -> Written:
        """Change a part of an entity by a merge patch (RFC 7396); arguments and errors as in `put`.

        Raises:
            NotFoundError: The entity is not there.
        """
        call = writes.patch(database, key, patch, is_json_patch=False, how=how)
        return self._run(call, how.get("timeout_s"))

    def json_patch(
        self,
        database: str,
        key: str,
        operations: Sequence[Mapping[str, JsonValue]] | JsonText,
        **how: Unpack[Conditional],
    ) -> Written:
        """Change a part of an entity by a JSON patch (RFC 6902); arguments and errors as in `put`.

        Raises:
            NotFoundError: The entity is not there.
            ConflictError: A `test` of the patch fails.
        """
        call = writes.patch(database, key, operations, is_json_patch=True, how=how)
        return self._run(call, how.get("timeout_s"))

    def delete(self, database: str, key: str, **how: Unpack[Conditional]) -> None:
        """Delete an entity; arguments as in `put`.

        Raises:
            NotFoundError: It is not there.
        """
        self._run(writes.delete(database, key, how), how.get("timeout_s"))

    def delete_many(
        self, database: str, keys: Iterable[str], **how: Unpack[Repeatable]
    ) -> dict[str, bool]:
        """Delete many entities, in as many requests as it takes; return which were there.

        Raises:
            PartlyWrittenError: It failed midway; `outcomes` says of each what became of it.
        """
        within = self._within(how.get("timeout_s"))
        key = writes.idempotency_key(how)
        steps = batches.delete_many(self._conversation, database, keys, key, within)
        return self._driver.run(steps)

    def transform(
        self, database: str, key: str, expression: str, *, timeout_s: float | None = None
    ) -> Entity:
        """Return what a JMESPath expression makes of an entity; nothing is written."""
        call = TransformEntity(database=database, key=key, expression=expression)
        return self._run(call, timeout_s)

    def store_transformed(
        self, database: str, key: str, expression: str, **how: Unpack[Conditional]
    ) -> Written:
        """Replace an entity by what a JMESPath expression makes of it; arguments as in `put`."""
        call = writes.store_transformed(database, key, expression, how)
        return self._run(call, how.get("timeout_s"))

    def validate(
        self, database: str, values: Mapping[str, JsonValue], *, timeout_s: float | None = None
    ) -> Refusals:
        """Return of up to 100 entities what would refuse a put, None where nothing would."""
        call = ValidateEntities(database=database, documents=writes.documents(values))
        return self._run(call, timeout_s)

    def page(
        self,
        database: str,
        *,
        filter: str = "",  # noqa: A002 - what JMESPath and the API call it
        select: str = "",
        prefix: str = "",
        page_size: int = 0,
        cursor: str = "",
        timeout_s: float | None = None,
    ) -> Page:
        """Return a page of a database.

        Args:
            database: Which.
            filter: JMESPath; only entities for which it is true.
            select: JMESPath; its result takes the entity's place.
            prefix: Only keys that begin with it.
            page_size: How many at the most, up to 1,000; 0: 100. A page may be shorter, and empty.
            cursor: That of the page before; "" for the first one.
            timeout_s: How long it may take.
        """
        call = ReadPage(
            database=database,
            filter=filter,
            select=select,
            prefix=prefix,
            page_size=page_size,
            cursor=cursor,
        )
        return self._run(call, timeout_s)

    def pages(
        self,
        database: str,
        *,
        filter: str = "",  # noqa: A002 - as above
        select: str = "",
        prefix: str = "",
        page_size: int = 0,
    ) -> Iterator[Page]:
        """Read page after page, each one when it is wanted; arguments as in `page`."""
        call: ReadPage | None = ReadPage(
            database=database, filter=filter, select=select, prefix=prefix, page_size=page_size
        )
        while call is not None:
            page = self._run(call, None)
            call = following(call, page)
            yield page

    def query(
        self,
        database: str,
        *,
        filter: str = "",  # noqa: A002 - as above
        select: str = "",
        prefix: str = "",
        page_size: int = 0,
    ) -> Iterator[Entity]:
        """Read the entities for which a filter is true; arguments as in `page`."""
        pages = self.pages(
            database, filter=filter, select=select, prefix=prefix, page_size=page_size
        )
        for page in pages:
            yield from page.entities

    def list(
        self, database: str, *, prefix: str = "", select: str = "", page_size: int = 0
    ) -> Iterator[Entity]:
        """Read the entities of a database, a page at a time; arguments as in `page`."""
        return self.query(database, prefix=prefix, select=select, page_size=page_size)

    def _run(self, call: Call[T], timeout_s: float | None) -> T:
        within = self._within(timeout_s)
        return self._driver.run(self._conversation.perform(call, within))

    def _within(self, timeout_s: float | None) -> float:
        if self._is_closed:
            raise ConfigurationError("the client is closed")
        if os.getpid() != self._pid:
            # This process is a fork's child: two on one connection get each other's answers, and a
            # lock may be held by a thread that is not here. What the parent has is left alone.
            self._parents.append(self._channel)
            self._connect()
        return self._timeout_s if timeout_s is None else assembly.seconds(timeout_s, "timeout_s")
