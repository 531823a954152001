"""Pages of a database: list and query, in storage order, bounded in time, work and size.

A page may be short, or empty, and yet not the last one; its cursor always advances. The cursor is
the last file-id that was examined, encrypted and bound to database, caller and query, so that it is
of no use for anything else.
"""

import base64
import binascii
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from processing_fn.service import deadline
from processing_fn.service.expressions import Expression
from processing_fn.service.pool import ReadingPool
from processing_fn.service.ports import CachedEntity, EntityStorage, Place
from processing_fn.service.reading import Reader
from processing_fn.service.session import Session
from processing_fn.service.validation import CompiledTemplate
from strongroom import enrichment, limits
from strongroom.clock import Clock
from strongroom.configuration import Database
from strongroom.crypto import aead
from strongroom.entity import Metadata
from strongroom.errors import IntegrityError, InvalidArgumentError, StrongroomError

_CURSOR_PURPOSE = b"strongroom/cursor/v1"
_CHUNKS = (4, 16)
"""How many entities are read at a time, at the least and at the most."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which entities, and what of them.

    Attributes:
        prefix: Their keys begin with it.
        key_prefixes: What the caller's grants allow: their keys begin with one of these.
        filter: JMESPath that has to be true; empty for all.
        select: JMESPath whose result takes the document's place; empty for the document.
        limit: How many at the most.
        cursor: Where the page before has ended; empty for the first one.
        scope: Who asks; a cursor is of no use to anybody else.
    """

    prefix: str = ""
    key_prefixes: tuple[str, ...] = ("",)
    filter: str = ""
    select: str = ""
    limit: int = limits.PAGE_SIZE
    cursor: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One entity of a page.

    Attributes:
        entity_key: Its key.
        metadata: Its version and so on.
        document: What the lens has made of it.
        refusal: Why a template would refuse it, where that was asked.
    """

    entity_key: str
    metadata: Metadata
    document: bytes
    refusal: StrongroomError | None = None

    def size_bytes(self) -> int:
        """Return what the item takes in a message, at the most."""
        violations = self.refusal.violations if self.refusal else []
        texts = sum(len(v.pointer.encode()) + len(v.keyword) + len(v.detail) for v in violations)
        overhead = limits.ITEM_OVERHEAD_BYTES * (1 + len(violations))
        return len(self.document) + len(self.entity_key.encode()) + texts + overhead


Lens = Callable[[CachedEntity], Item | None]
"""What a page shows of an entity; None for nothing."""


def selection(query: Query) -> Lens:
    """Return the lens of a list or query.

    Raises:
        InvalidArgumentError: Not an expression.
    """
    prefix = query.prefix
    matches = Expression(query.filter).holds if query.filter else None
    select = Expression(query.select).apply if query.select else None

    def look(found: CachedEntity) -> Item | None:
        if prefix and not found.entity_key.startswith(prefix):
            return None
        if matches is not None and not matches(found.document):
            return None
        document = select(found.document) if select else found.document
        return Item(found.entity_key, found.metadata, document)

    return look


def trial(template: CompiledTemplate) -> Lens:
    """Return the lens that shows what a template would refuse, were it put again as it is."""

    def look(found: CachedEntity) -> Item | None:
        creation = enrichment.some_creation(found.entity_key, found.metadata.created_at)
        try:
            template.check(template.completed(found.document, creation))
        except StrongroomError as refusal:
            refusal.violations = refusal.violations[: limits.TRIAL_VIOLATIONS_MAX]
            return Item(found.entity_key, found.metadata, b"", refusal)
        return None

    return look


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        items: What was found.
        cursor: Where the next page begins, empty for the end.
        examined: How many entities that the caller may see were looked at.
        damaged: How many files did not verify; they are left out. 0 for who may not see all.
    """

    items: tuple[Item, ...]
    cursor: str
    examined: int
    damaged: int


class Scanner:
    """Reads pages. Safe under threads."""

    def __init__(
        self,
        session: Session,
        storage: EntityStorage,
        reader: Reader,
        clock: Clock,
        *,
        is_remote: bool,
    ) -> None:
        """Take the parts; `is_remote` is whether every read of a file is a round trip."""
        self._session = session
        self._storage = storage
        self._reader = reader
        self._clock = clock
        self._pool = ReadingPool("scan", is_remote=is_remote)

    def page(
        self,
        database: Database,
        query: Query,
        lens: Lens,
        bytes_max: int = limits.PAGE_BYTES_MAX,
    ) -> Page:
        """Read a page of a database through a lens; a single item may be larger than `bytes_max`.

        Raises:
            InvalidArgumentError: A bad cursor, limit or expression.
            UnavailableError: The disk refuses, or nobody waits for the page any more.
        """
        if not 1 <= query.limit <= limits.PAGE_SIZE_MAX:
            raise InvalidArgumentError(f"limit is 1 to {limits.PAGE_SIZE_MAX}")
        seal = _CursorSeal(self._session, database, query)
        ids = self._storage.file_ids(database.name, seal.open(query.cursor))
        page = _PageUnderWay(query, lens, bytes_max)
        ends_at_s = self._clock.boot_s() + limits.SCAN_SECONDS
        while page.looked_at < limits.SCAN_ENTITIES_MAX:
            deadline.require()
            self._session.lease.require()
            size = page.chunk()
            chunk = list(itertools.islice(ids, size))
            for file_id, found in zip(chunk, self._read(database, chunk), strict=True):
                if not page.take(file_id, found) or self._clock.boot_s() >= ends_at_s:
                    return page.finished(seal.seal(page.last_id))
            if len(chunk) < size:
                return page.finished("")
        return page.finished(seal.seal(page.last_id))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()

    def _read(
        self, database: Database, chunk: list[bytes]
    ) -> Iterator[CachedEntity | IntegrityError | None]:
        def read(file_id: bytes) -> CachedEntity | IntegrityError | None:
            try:
                place = Place(database.name, database.incarnation, file_id)
                return self._reader.scan(place, database.retired)
            except IntegrityError as error:
                return error

        return self._pool.map(read, chunk)


class _PageUnderWay:
    def __init__(self, query: Query, lens: Lens, bytes_max: int) -> None:
        self._query = query
        self._limit = query.limit
        self._sees_all = "" in query.key_prefixes
        self._lens = lens
        self._items: list[Item] = []
        self._left_bytes = bytes_max
        self._examined = 0
        self._damaged = 0
        self.looked_at = 0
        self.last_id = b""

    def chunk(self) -> int:
        """Return how many entities to read at once: no more than the page may have room for."""
        least, most = _CHUNKS
        wanted = min(max(self._limit - len(self._items), least), most)
        return min(wanted, limits.SCAN_ENTITIES_MAX - self.looked_at)

    def take(self, file_id: bytes, found: CachedEntity | IntegrityError | None) -> bool:
        """Look at the next entity; False when the page ends, with it or before it."""
        if isinstance(found, CachedEntity) and (self._sees_all or self._may_see(found)):
            item = self._lens(found)
            if item is not None and not self._add(item):
                return False
            self._examined += 1
        elif isinstance(found, IntegrityError):
            self._damaged += 1
        self.looked_at += 1
        self.last_id = file_id
        return len(self._items) < self._limit

    def finished(self, cursor: str) -> Page:
        # Whose file a damaged one was is not known: who may not see all learns nothing of it.
        damaged = self._damaged if self._sees_all else 0
        return Page(tuple(self._items), cursor, self._examined, damaged)

    def _may_see(self, found: CachedEntity) -> bool:
        return found.entity_key.startswith(self._query.key_prefixes)

    def _add(self, item: Item) -> bool:
        size_bytes = item.size_bytes()
        if self._items and size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        self._items.append(item)
        return True


class _CursorSeal:
    """Makes and opens the cursors of one query."""

    def __init__(self, session: Session, database: Database, query: Query) -> None:
        parts = (query.scope, query.prefix, query.filter, query.select, *query.key_prefixes)
        lengths = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        self._bound_to = bytes.fromhex(database.incarnation) + lengths
        self._cipher = aead.Cipher(session.naming_key, _CURSOR_PURPOSE, database.name.encode())

    def seal(self, file_id: bytes) -> str:
        iv = aead.new_iv()
        sealed = self._cipher.seal(iv, file_id, self._bound_to)
        return base64.urlsafe_b64encode(iv + sealed).decode()

    def open(self, cursor: str) -> bytes:
        if not cursor:
            return b""
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            iv, sealed = raw[: aead.IV_BYTES], raw[aead.IV_BYTES :]
            return self._cipher.open(iv, sealed, self._bound_to)
        except (binascii.Error, ValueError, IntegrityError) as error:
            raise InvalidArgumentError("the cursor is not one of this query") from error
