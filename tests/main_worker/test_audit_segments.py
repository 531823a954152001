"""The audit log's bytes: frozen, and no change of a record goes unnoticed."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from main_api.domain.audit import chain, segments
from main_api.domain.audit.chain import Chain
from main_api.domain.audit.names import SegmentName
from main_api.domain.audit.segments import HEADER_BYTES, Head, Kind, Rest
from main_api.domain.audit.verification import Ending
from strongroom.errors import IntegrityError
from strongroom.keyring import Key, Keyring, Purpose, State
from tests.support.audit_logs import AT, MemoryLog, alarms, heads, line, public_keys, read, verify
from tests.support.bytes_changed import flipped_bits, truncations

GOLDEN = Path(__file__).parent / "golden" / "audit-segment-v1.hex"
MS = 1_800_000_000_000
CHAIN = f"{MS:012x}" + "00112233445566ff"
CONTROL = Key("0123456789abcdef", Purpose.CONTROL, State.ACTIVE, AT, bytes(range(32)))
KEYS = Keyring("test-deployment", 1, (CONTROL,))
OTHER = Head("01a3185c5000ffeeddccbbaa9988", 7, MS - 1000, bytes(range(32)))
RECORDS = [line("put_client", client="admin", target={"client_id": "reader"}), line("list_keys")]
RECORDS_MAX = 4


def a_chain() -> Chain:
    """Return a writer whose bytes are always the same."""
    ivs = iter(range(100))
    return Chain(chain.active_key(KEYS), CHAIN, lambda: next(ivs).to_bytes(12, "big"))


def golden() -> bytes:
    """Return the frozen segment; hex text in lines, `#` begins a comment."""
    lines = GOLDEN.read_text().splitlines()
    return bytes.fromhex("".join(one.partition("#")[0] for one in lines))


def a_segment() -> tuple[SegmentName, list[bytes]]:
    """Return a segment with a block of each kind, in pieces."""
    mine = a_chain()
    name, header = mine.begin(MS)
    return name, [
        header,
        mine.mentions([OTHER], MS),
        mine.records(RECORDS, MS + 1),
        mine.removal(MS - 10_000, MS + 2),
        mine.end(MS + 3),
    ]


# -- the format is frozen --------------------------------------------------------------------------


def test_the_bytes_of_format_version_1_do_not_change() -> None:
    """An audit log that was kept for years cannot be verified any more."""
    name, pieces = a_segment()
    assert str(name) == f"{CHAIN}-000001-{MS:012x}.audit"
    assert b"".join(pieces) == golden()


def test_the_golden_segment_says_what_was_written() -> None:
    """A log of today reads differently tomorrow."""
    segment = segments.parse(golden())
    assert segment.header is not None
    assert segment.header.previous == Head(CHAIN, 0, 0, bytes(32))
    assert (segment.header.key_id, segment.header.begun_ms) == (CONTROL.key_id, MS)
    assert segment.rest is Rest.NOTHING
    assert [block.kind for block in segment.blocks] == [
        Kind.MENTIONS,
        Kind.RECORDS,
        Kind.REMOVAL,
        Kind.END,
    ]
    mentions, written, removal, _ = segment.blocks
    assert segments.decode_mentions(segment.raw[mentions.payload]) == (OTHER,)
    assert segments.decode_removal(segment.raw[removal.payload]) == MS - 10_000
    assert chain.Opener(segment, chain.every_key(KEYS)).lines(written) == RECORDS


def test_nothing_of_a_record_is_readable_without_the_key() -> None:
    """Who reads the disk learns who did what to whose data."""
    for word in (b"admin", b"put_client", b"reader"):
        assert word not in golden()
    segment = segments.parse(golden())
    stranger = Key(CONTROL.key_id, Purpose.CONTROL, State.ACTIVE, AT, bytes(32))
    keys = chain.every_key(Keyring("test-deployment", 1, (stranger,)))
    for wrong in (keys, {}):
        with pytest.raises(IntegrityError):
            chain.Opener(segment, wrong).lines(segment.blocks[1])


def test_a_record_is_bound_to_its_place() -> None:
    """A block of another segment passes for one of this when it is read."""
    mine = a_chain()
    _, first = mine.begin(MS)
    first += mine.records(RECORDS, MS)
    _, header = mine.begin(MS)
    moved = segments.parse(header + first[HEADER_BYTES:])
    with pytest.raises(IntegrityError):
        chain.Opener(moved, chain.every_key(KEYS)).lines(moved.blocks[0])


def test_the_public_key_is_of_one_deployment() -> None:
    """A log of one deployment verifies as another one's."""
    other = Keyring("another-deployment", 1, (CONTROL,))
    assert public_keys(other).keys() == public_keys(KEYS).keys()
    assert public_keys(other) != public_keys(KEYS)


# -- no change goes unnoticed ----------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A chain of two segments, block by block, and the heads that somebody has kept of it."""

    files: dict[str, list[bytes]]
    kept: tuple[Head, ...]

    def log(self) -> MemoryLog:
        """Return it as it was written."""
        return MemoryLog({name: b"".join(pieces) for name, pieces in self.files.items()})

    def edited(self, name: str, edit: Callable[[list[bytes]], list[bytes]]) -> MemoryLog:
        """Return it with the blocks of a segment edited; the header stays."""
        header, *blocks = self.files[name]
        return self.log().with_file(name, header + b"".join(edit(blocks)))


@pytest.fixture(scope="module")
def written() -> Written:
    """Return a chain of two segments, with `RECORDS_MAX` blocks each."""
    mine = Chain(chain.active_key(KEYS), CHAIN)
    files: dict[str, list[bytes]] = {}
    for begun_ms in (MS, MS + 1):
        name, header = mine.begin(begun_ms)
        blocks = [mine.records([line(f"act-{n}")], begun_ms) for n in range(RECORDS_MAX)]
        files[str(name)] = [header, *blocks]
    return Written(files, (mine.head,))


def wrong(log: MemoryLog, kept: tuple[Head, ...] = ()) -> list[str]:
    """Return the alarms of a verification with the public key."""
    verdict = verify(log, kept, KEYS)
    return [finding.reason for finding in verdict.findings if finding.is_alarm]


def test_a_log_as_it_was_written_verifies(written: Written) -> None:
    """The verification cries wolf."""
    verdict = verify(written.log(), written.kept, KEYS)
    assert verdict.findings == ()
    (state,) = verdict.chains
    assert (state.segments, state.first, state.ending) == (2, 1, Ending.OPEN)
    assert heads(verdict) == written.kept
    assert state.head.block == 2 * RECORDS_MAX


def test_every_changed_byte_is_told(written: Written) -> None:
    """Somebody changes a record, and nobody notices."""
    for name, raw in written.log().files.items():
        for position, (what, changed) in enumerate(flipped_bits(raw)):
            if position % 7 == 0:  # at least one bit of each byte
                assert wrong(written.log().with_file(name, changed)), f"{name}: {what}"


def test_every_cut_is_told(written: Written) -> None:
    """Somebody cuts the end of a log off, whose head was kept, and nobody notices."""
    first, last = sorted(written.files)
    for name in (first, last):
        for what, shorter in truncations(written.log().files[name]):
            assert wrong(written.log().with_file(name, shorter), written.kept), f"{name}: {what}"
    # Within the log no head has to be kept.
    for what, shorter in truncations(written.log().files[first]):
        assert wrong(written.log().with_file(first, shorter)), what


def test_a_cut_at_the_very_end_shows_against_a_kept_head_alone(written: Written) -> None:
    """The page promises more than can be."""
    _, last = sorted(written.files)
    log = written.edited(last, lambda blocks: blocks[:-1])
    assert wrong(log) == []
    (reason,) = wrong(log, written.kept)
    assert reason == (
        f"it ends at block {2 * RECORDS_MAX - 1}, and had come to block {2 * RECORDS_MAX} by a head"
        " that was kept: it was cut"
    )


@pytest.mark.parametrize("position", range(RECORDS_MAX))
def test_every_record_that_is_cut_out_is_told(written: Written, position: int) -> None:
    """Somebody takes one record out, and nobody notices."""
    for name in written.files:
        log = written.edited(name, lambda blocks: blocks[:position] + blocks[position + 1 :])
        assert wrong(log, written.kept), name


@pytest.mark.parametrize("position", range(RECORDS_MAX))
@pytest.mark.parametrize("place", range(RECORDS_MAX + 1))
def test_every_record_that_is_repeated_is_told(written: Written, position: int, place: int) -> None:
    """Somebody puts a record in a second time, and nobody notices."""
    for name in written.files:
        log = written.edited(name, lambda b: [*b[:place], b[position], *b[place:]])
        assert wrong(log), name


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in range(4) for b in range(a)])
def test_records_that_change_places_are_told(written: Written, one: int, other: int) -> None:
    """Somebody has one thing seem to follow another, and nobody notices."""

    def swap(blocks: list[bytes]) -> list[bytes]:
        swapped = list(blocks)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        return swapped

    for name in written.files:
        assert wrong(written.edited(name, swap)), name


def test_segments_that_are_missing_moved_or_copied_are_told(written: Written) -> None:
    """Somebody takes a whole file away, or renames it, and nobody notices."""
    log = written.log()
    first, last = sorted(log.files)
    assert wrong(log.without(first)) == [
        f"the segments before it, to block {RECORDS_MAX}, are gone"
    ]
    assert wrong(log.without(last), written.kept)
    for one, other in ((first, last), (last, first)):
        assert wrong(log.with_file(one, log.files[other])), one
    swapped = MemoryLog({first: log.files[last], last: log.files[first]})
    assert wrong(swapped)
    elsewhere = last.replace("-000002-", "-000003-")
    assert wrong(log.with_file(elsewhere, log.files[last]))
    again = last.replace(f"{MS + 1:012x}", f"{MS + 2:012x}")
    assert wrong(log.with_file(again, log.files[last]))


def test_a_block_of_another_chain_is_told(written: Written) -> None:
    """Somebody puts something in that was true elsewhere, and nobody notices."""
    other = Chain(chain.active_key(KEYS), CHAIN[:-1] + "0")
    other.begin(MS)
    foreign = other.records([line("act-0")], MS)
    for name, (header, *blocks) in written.files.items():
        for place in range(RECORDS_MAX + 1):
            mixed = [header, *blocks[:place], foreign, *blocks[place:]]
            assert wrong(written.log().with_file(name, b"".join(mixed))), name


def test_a_log_that_another_key_has_signed_is_told(written: Written) -> None:
    """Somebody writes a log of his own."""
    stranger = Key(CONTROL.key_id, Purpose.CONTROL, State.ACTIVE, AT, bytes(32))
    forger = Chain(chain.active_key(Keyring("test-deployment", 1, (stranger,))), CHAIN)
    name, header = forger.begin(MS)
    forged = header + forger.records([line("act-0")], MS)
    assert wrong(MemoryLog({str(name): forged})) == [
        "the block after block 0 was changed, moved or cut"
    ]
    assert alarms(written.log()), "a log of a deployment verifies with another one's key"


def test_a_log_that_was_rewritten_with_its_own_key_shows_against_what_was_kept(
    written: Written,
) -> None:
    """Whoever has taken a Main Worker over changes what was recorded before he came."""
    forger = Chain(chain.active_key(KEYS), CHAIN)
    files: dict[str, bytes] = {}
    for number, (name, (header, *blocks)) in enumerate(written.files.items()):
        begun, raw = forger.begin(MS + number)
        assert (str(begun), len(raw)) == (name, len(header))
        for position in range(len(blocks)):
            act = "another" if (number, position) == (0, 1) else f"act-{position}"
            raw += forger.records([line(act)], MS + number)
        files[name] = raw
    rewritten = MemoryLog(files)
    assert wrong(rewritten) == []
    (reason,) = wrong(rewritten, written.kept)
    assert reason == f"block {2 * RECORDS_MAX} is not the one of a head that was kept"
    # So it is with what another process has mentioned.
    witness = Chain(chain.active_key(KEYS), CHAIN[:-1] + "0")
    segment, raw = witness.begin(MS + 2)
    seen = raw + witness.mentions(list(written.kept), MS + 2)
    assert len(wrong(rewritten.with_file(str(segment), seen))) == 1
    assert wrong(written.log().with_file(str(segment), seen)) == []


# -- what a crash leaves is told apart -------------------------------------------------------------


def test_what_a_crash_leaves_at_the_end_is_no_alarm(written: Written) -> None:
    """Each crash looks like an attack, until nobody looks any more."""
    log = written.log()
    _, last = sorted(log.files)
    raw = log.files[last]
    *_, before, end = _boundaries(written.files[last])
    for length in range(before + 1, end):
        (told,) = verify(log.with_file(last, raw[:length]), (), KEYS).findings
        assert (told.is_alarm, told.reason) == (False, "it ends within a block")
        (state,) = verify(log.with_file(last, raw[:length]), (), KEYS).chains
        assert (state.ending, state.head.block) == (Ending.TORN, 2 * RECORDS_MAX - 1)


@pytest.mark.parametrize("unwritten", [4, 64, 65, 200, 1_000])
def test_a_file_that_is_longer_than_what_was_written_is_no_alarm(
    written: Written, unwritten: int
) -> None:
    """After a power cut, space that was not written yet looks like an attack."""
    log = written.log()
    _, last = sorted(log.files)
    raw = log.files[last]
    assert wrong(log.with_file(last, raw + bytes(unwritten))) == []
    assert wrong(log.with_file(last, raw[:-unwritten] + bytes(unwritten))) == []
    assert wrong(log.with_file(last, raw + b"x" * 100)) == [
        f"what follows block {2 * RECORDS_MAX} is no block"
    ]


def test_within_the_log_what_looks_like_a_crash_is_an_alarm(written: Written) -> None:
    """Somebody cuts a segment within a block, and it passes for a crash."""
    log = written.log()
    first, _ = sorted(log.files)
    raw = log.files[first]
    for changed in (raw[:-1], raw + bytes(10), raw[:10], b""):
        assert wrong(log.with_file(first, changed))


def test_a_chain_that_was_ended_in_order_is_told_apart() -> None:
    """Nobody can tell a process that was stopped from one that was killed."""
    name, pieces = a_segment()
    for count, ending in ((5, Ending.CLOSED), (4, Ending.OPEN), (1, Ending.TORN)):
        (state,) = verify(MemoryLog({str(name): b"".join(pieces[:count])}), (), KEYS).chains
        assert state.ending is ending
        assert state.head.block == count - 1


def test_an_intact_log_is_read_as_it_was_written(written: Written) -> None:
    """Records are lost between two segments."""
    found = [record.act for record in read(written.log(), KEYS)]
    assert found == [f"act-{n}" for n in range(RECORDS_MAX)] * 2


def _boundaries(pieces: list[bytes]) -> list[int]:
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    assert all(a < b for a, b in pairwise(ends))
    return ends
