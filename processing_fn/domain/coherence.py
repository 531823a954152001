"""How old what a worker answers out of its cache may be (design.md section 3).

strict           every read asks the disk whether what is cached is current
bounded:<ms>     a read answers without asking what was current at most so long before
"""

import re
from typing import Final

from strongroom import limits
from strongroom.errors import InvalidArgumentError

STRICT: Final = 0.0
"""Nothing is believed without asking."""
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
