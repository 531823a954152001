"""What a verification of the audit log says: which chains there are, and what is wrong with them.

It needs no secret: the public keys, and the files. Told is whatever was changed, moved, repeated or
cut out. What is missing at the very end of a chain shows where another chain has mentioned how far
this one had come, or where somebody has kept its head elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from main_api.domain.audit import names, segments
from main_api.domain.audit.names import SegmentName
from main_api.domain.audit.segments import Head, Header, Kind, Link, Rest, Segment, unknown_format
from strongroom.errors import IntegrityError


class Log(Protocol):
    """Where the segments are; raises UnavailableError where the disk refuses."""

    def names(self) -> list[str]:
        """Return the names of the files that there are now, whatever they are."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where it is gone.

        Raises:
            IntegrityError: It is larger than any segment, or no file.
        """
        ...


class Ending(StrEnum):
    """How a chain ends."""

    CLOSED = "closed"
    """Its process has ended in order."""
    OPEN = "open"
    """Its process still runs, or was killed between two blocks."""
    TORN = "torn"
    """Within a block: its process was killed there, or the block is being written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        place: A file's name, or a chain.
        reason: A sentence for people.
        is_alarm: Whether it cannot be the doing of Strongroom, nor of a crash.
    """

    place: str
    reason: str
    is_alarm: bool = True


@dataclass(frozen=True, slots=True)
class ChainState:
    """A chain that was looked at.

    Attributes:
        segments: How many segments of it are there.
        first: The number of the first block that is there; 0 for none.
        head: How far it has come.
        ending: How it ends.
    """

    segments: int
    first: int
    head: Head
    ending: Ending


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification has found."""

    chains: tuple[ChainState, ...]
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Tell whether nothing was changed or cut out, as far as can be told."""
        return not any(finding.is_alarm for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Claim:
    """That a chain had come so far: of another chain, or kept elsewhere."""

    head: Head
    source: str


def verify(log: Log, public_keys: Mapping[str, bytes], kept: Sequence[Head] = ()) -> Verdict:
    """Look at everything.

    A log that is being written may be looked at: what one chain says of another is read before the
    other one.

    Args:
        log: The segments.
        public_keys: The keys that may have signed, by id.
        kept: Heads that were kept elsewhere.

    Raises:
        UnavailableError: The disk refuses.
    """
    claims = [_Claim(head, "a head that was kept") for head in kept]
    claims += _mentioned(log)
    walk = _Walk(public_keys, claims)
    ours, others = _sorted(log.names())
    walk.findings += [Finding(name, "it is none of our files", is_alarm=False) for name in others]
    for chain, files in names.by_chain(ours).items():
        walk.chain(chain, files, log)
    return walk.verdict()


def _mentioned(log: Log) -> list[_Claim]:
    """Return what chains say of each other; whether they may be believed is seen later."""
    found = []
    for name in _sorted(log.names())[0]:
        # What cannot be read is told when its chain is walked along.
        with suppress(IntegrityError):
            segment = segments.parse(log.read(str(name)) or b"")
            for block in segment.blocks:
                if block.kind is Kind.MENTIONS:
                    heads = segments.decode_mentions(segment.raw[block.payload])
                    found += [_Claim(head, f"chain {name.chain}") for head in heads]
    return found


def _sorted(found: list[str]) -> tuple[list[SegmentName], list[str]]:
    """Return the names of segments, and the other ones."""
    parsed = {text: names.parse(text) for text in sorted(found)}
    return (
        [name for name in parsed.values() if name is not None],
        [text for text, name in parsed.items() if name is None],
    )


class _Known(StrEnum):
    """What is known of the segment before."""

    NOTHING = "nothing"
    ALL = "all"
    WRONG = "wrong"
    """That it is not as it should be, which was told."""


@dataclass
class _Progress:
    """How far the walk along one chain has come; `torn` names the file that ends in a block."""

    head: Head
    files: int = 0
    first: int = 0
    ending: Ending = Ending.OPEN
    number: int = 0
    known: _Known = _Known.NOTHING
    torn: str = ""


@dataclass
class _Walk:
    public_keys: Mapping[str, bytes]
    claims: list[_Claim]
    findings: list[Finding] = field(default_factory=list)
    states: list[ChainState] = field(default_factory=list)
    late: list[tuple[str, Head]] = field(default_factory=list)
    removed_before_ms: int = 0

    def __post_init__(self) -> None:
        self._wanted: dict[str, dict[int, list[_Claim]]] = {}
        for claim in self.claims:
            of_chain = self._wanted.setdefault(claim.head.chain, {})
            of_chain.setdefault(claim.head.block, []).append(claim)

    def chain(self, chain: str, files: list[SegmentName], log: Log) -> None:
        """Walk along one chain."""
        at = _Progress(Head(chain, 0, 0, segments.NO_HEAD))
        for name in files:
            try:
                raw = log.read(str(name))
            except IntegrityError:
                self._alarm(name, "it is no segment")
                continue
            if raw is None:
                self._alarm(name, "it was removed while it was looked at")
                continue
            self._segment(at, name, segments.parse(raw))
        if at.torn:
            self.findings.append(Finding(at.torn, "it ends within a block", is_alarm=False))
        self.states.append(ChainState(at.files, at.first, at.head, at.ending))

    def verdict(self) -> Verdict:
        """Judge what could only be judged when all chains were seen."""
        for place, previous in self.late:
            if previous.at_ms >= self.removed_before_ms:
                self._alarm(place, f"the segments before it, to block {previous.block}, are gone")
        seen = {state.head.chain: state.head.block for state in self.states}
        for claims in (c for blocks in self._wanted.values() for c in blocks.values()):
            for claim in claims:
                self._missing(claim, seen.get(claim.head.chain, 0))
        return Verdict(tuple(self.states), tuple(self.findings))

    def _missing(self, claim: _Claim, seen: int) -> None:
        """Tell of a block that was there, and is not; one before the first has its own alarm."""
        head = claim.head
        if seen < head.block and head.at_ms >= self.removed_before_ms:
            told = f"it ends at block {seen}" if seen else "nothing of it is there"
            reason = f"{told}, and had come to block {head.block} by {claim.source}: it was cut"
            self._alarm(f"chain {head.chain}", reason)

    def _segment(self, at: _Progress, name: SegmentName, segment: Segment) -> None:
        if at.torn:
            self._alarm(at.torn, "it ends within a block, and the chain goes on after it")
            at.torn = ""
        if segment.header is None:
            self._headless(at, name, segment)
            return
        at.files += 1
        if not self._follows(at, name, segment.header) or not self._blocks(at, name, segment):
            at.known = _Known.WRONG
            return
        at.known = _Known.ALL
        if segment.rest is Rest.CHANGED:
            self._alarm(name, f"what follows block {at.head.block} is no block")
            at.known = _Known.WRONG
        elif segment.rest is Rest.TORN or not segment.blocks:
            # Only who has the key makes a block, anybody a beginning.
            at.torn, at.ending = str(name), Ending.TORN

    def _headless(self, at: _Progress, name: SegmentName, segment: Segment) -> None:
        """Judge a file without a beginning: a crash leaves one at the end of a chain."""
        unknown = unknown_format(segment.raw)
        if unknown is not None:
            self._alarm(name, f"format {unknown} is not known to this version of Strongroom")
        elif segment.rest is Rest.CHANGED:
            self._alarm(name, "it is no segment")
        else:
            at.torn, at.ending = str(name), Ending.TORN

    def _follows(self, at: _Progress, name: SegmentName, header: Header) -> bool:
        """Take a segment's beginning; False where it is not what its name says."""
        if (header.chain, header.number, header.begun_ms) != name:
            self._alarm(name, "it is another segment than its name says")
            return False
        if header.number <= at.number:
            self._alarm(name, f"segment {header.number} is there twice")
            return False
        is_next = header.number == at.number + 1
        at.number = header.number
        if at.known is _Known.ALL and (not is_next or header.previous != at.head):
            self._alarm(name, f"it does not follow block {at.head.block}, where the chain stood")
        elif at.known is _Known.NOTHING and header.number > 1:
            self.late.append((str(name), header.previous))
        at.head = header.previous
        return True

    def _blocks(self, at: _Progress, name: SegmentName, segment: Segment) -> bool:
        """Take the blocks of a segment, as far as they verify; tell whether all do."""
        key_id = segment.header.key_id if segment.header else ""
        public_key = self.public_keys.get(key_id)
        if public_key is None:
            self._alarm(name, f"it is signed with the key {key_id}, which is not known")
            return False
        chained = list(segments.links(segment))
        wrong = _first_wrong(segment, chained, public_key)
        self._take(at, name, segment, chained if wrong is None else chained[: wrong - 1])
        if wrong is not None:
            self._alarm(name, f"the block after block {at.head.block} was changed, moved or cut")
        return wrong is None

    def _take(
        self, at: _Progress, name: SegmentName, segment: Segment, genuine: list[Link]
    ) -> None:
        wanted = self._wanted.get(name.chain, {})
        for link in genuine:
            block = link.block
            if block.number != at.head.block + 1:
                self._alarm(name, f"block {block.number} follows block {at.head.block}")
            at.first = at.first or block.number
            at.head = Head(name.chain, block.number, block.at_ms, link.head)
            at.ending = Ending.CLOSED if block.kind is Kind.END else Ending.OPEN
            if block.kind is Kind.REMOVAL:
                before_ms = segments.decode_removal(segment.raw[block.payload])
                self.removed_before_ms = max(self.removed_before_ms, before_ms)
            for claim in wanted.get(block.number, ()):
                if claim.head.digest != link.head:
                    self._alarm(name, f"block {block.number} is not the one of {claim.source}")

    def _alarm(self, place: object, reason: str) -> None:
        self.findings.append(Finding(str(place), reason))


def _first_wrong(segment: Segment, chained: list[Link], public_key: bytes) -> int | None:
    """Return which block, from 1, is the first that does not verify.

    The last one's signature vouches for all; only where it does not are the others asked.
    """
    if not chained or _verifies(segment, chained[-1], public_key):
        return None
    return next(_wrong_ones(segment, chained, public_key))


def _wrong_ones(segment: Segment, chained: list[Link], public_key: bytes) -> Iterator[int]:
    for number, link in enumerate(chained, start=1):
        if not _verifies(segment, link, public_key):
            yield number


def _verifies(segment: Segment, link: Link, public_key: bytes) -> bool:
    try:
        segments.require_signature(segment, link, public_key)
    except IntegrityError:
        return False
    return True
