"""Everything that a bad disk or a bad hand can do to a file, one change at a time."""

from collections.abc import Iterator


def flipped_bits(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes with each of their bits flipped in turn, and what was done."""
    changed = bytearray(raw)
    for position in range(len(raw)):
        for bit in range(8):
            changed[position] ^= 1 << bit
            yield f"bit {bit} of byte {position} ({raw[position]:#x})", bytes(changed)
            changed[position] ^= 1 << bit


def replaced_bytes(
    raw: bytes, begin: int = 0, end: int | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes with every other value in the place of each, and what was done."""
    changed = bytearray(raw)
    for position in range(begin, len(raw) if end is None else end):
        for value in range(256):
            if value != raw[position]:
                changed[position] = value
                yield f"byte {position} {raw[position]:#x} -> {value:#x}", bytes(changed)
        changed[position] = raw[position]


def truncations(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every shorter beginning of the bytes, and what was done."""
    for length in range(len(raw)):
        yield f"cut to {length} bytes", raw[:length]
