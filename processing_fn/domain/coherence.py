"""Whether a worker may answer out of its cache (design.md section 3), and how old that may be.

strict           every read asks the disk whether what is cached is current
bounded:<ms>     a read answers without asking what was current at most so long before
"""

import re
import secrets
from typing import Final, NewType

from strongroom import limits
from strongroom.errors import InvalidArgumentError

STRICT: Final = 0.0
"""Nothing is believed without asking."""
Witness = NewType("Witness", int)
"""Stands for a sidecar's bytes beside every entity in the cache, in a tenth of their memory."""
_SALT: Final = secrets.token_bytes(16)
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

    Two that differ by chance share it once in 2^64. That nobody makes another sidecar to it is due
    to Python's key (SipHash, PEP 456) and, where PYTHONHASHSEED fixes that one, to the salt
    (docs/adr/0033-the-cache-keeps-a-witness-of-a-sidecar.md).
    """
    return Witness(hash(_SALT + sidecar))
