"""Whether a worker may answer out of its cache (design.md section 3), and how old that may be.

strict           every read asks the disk whether what is cached is current
bounded:<ms>     a read answers without asking what was current at most so long before
"""

import re
from typing import Final, NewType

from strongroom import limits
from strongroom.errors import InvalidArgumentError

STRICT: Final = 0.0
"""Nothing is believed without asking."""
Witness = NewType("Witness", int)
"""Stands for a sidecar's bytes beside every entity in the cache, in a tenth of their memory."""
_BOUNDED: Final = re.compile(r"bounded:([0-9]{1,9})")


def bound_s(setting: str) -> float:
    """Return the bound that a setting names, in seconds; 0 for strict.

    Raises:
        InvalidArgumentError: It is neither of the two.
    """
    if setting in {"", "strict"}:
        return STRICT
    match = _BOUNDED.fullmatch(setting)
    most = limits.COHERENCE_BOUND_MS_MAX
    if match is None or not 1 <= int(match[1]) <= most:
        raise InvalidArgumentError(
            f"STRONGROOM_COHERENCE is strict, or bounded:<milliseconds> with 1 to {most}"
        )
    return int(match[1]) / 1000


def witness(sidecar: bytes) -> Witness:
    """Return what stands for a sidecar: 64 bits of a keyed hash that every warm read can afford.

    Python's hash of bytes is SipHash under a key that each process draws for itself (PEP 456), so
    that nobody can make another sidecar to it; two that differ by chance share it once in 2^64.
    SHA-256 would make the check of design.md section 3 slower by a seventh.
    """
    return Witness(hash(sidecar))
