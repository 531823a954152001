"""When a data key has served for long enough, or for enough (design.md section 4)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom import limits

SECONDS_PER_DAY: Final = 24 * 3600
BYTES_PER_GIB: Final = 1024**3


class Reason(StrEnum):
    """Why a new data key is due."""

    AGE = "age"
    AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """What a data key may serve for; None for without end."""

    after_s: float | None = None
    after_bytes: int | None = None

    @property
    def is_off(self) -> bool:
        """Tell whether no key is ever due."""
        return self.after_s is None and self.after_bytes is None


NEVER: Final = RotationPolicy()


@dataclass(frozen=True, slots=True)
class ActiveKeyUse:
    """What the active data key has served for.

    Attributes:
        age_s: Since it was made, by the Main Worker's wall clock; negative for a clock set back.
        written_bytes: Of the files written under it, as far as workers have told.
    """

    age_s: float
    written_bytes: int


def due(policy: RotationPolicy, use: ActiveKeyUse) -> Reason | None:
    """Return why a new key is due now, None where it is not.

    A key younger than `limits.ROTATIONS_APART_SECONDS` is never replaced: a setting that is far too
    low must not flood the keyring.
    """
    if 0 <= use.age_s < limits.ROTATIONS_APART_SECONDS:
        return None
    if policy.after_s is not None and use.age_s >= policy.after_s:
        return Reason.AGE
    if policy.after_bytes is not None and use.written_bytes >= policy.after_bytes:
        return Reason.AMOUNT
    return None
