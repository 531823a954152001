"""Judges whether a recorded history is that of one register (Wing and Gong, 1993).

An operation has an interval: from its call to its answer, or to the end of time where no answer
came (it may take effect at any later moment, or never). A history is linearizable when every
operation can be given an instant within its interval so that, in that order, each answer is what a
single register would have answered. The search tries, among the operations that nothing still to
come precedes, each as the next one; states visited before are not tried again (Lowe, 2017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FOREVER = math.inf
Kind = Literal["read", "write", "delete"]


@dataclass(frozen=True)
class Operation:
    """One operation on one key.

    Attributes:
        kind: What it does.
        called_s: When it was called.
        answered_s: When it was answered; FOREVER where its outcome is unknown.
        value: What it wrote, or what a read saw; None for nothing there.
        version: Which version a write made or a read saw; None where unknown or nothing.
        if_version: A write or delete takes place only over this version; None for any.
        refused: Its condition did not hold; `version` is then the one that was there.
    """

    kind: Kind
    called_s: float
    answered_s: float
    value: str | None = None
    version: int | None = None
    if_version: int | None = None
    refused: bool = False


@dataclass(frozen=True)
class Register:
    """The state: a value (None for nothing) and how many writes there were."""

    value: str | None = None
    version: int = 0

    def after(self, operation: Operation) -> "Register | None":
        """Return the state after an operation, None where it would have answered otherwise."""
        there = self.version if self.value is not None else 0
        if operation.kind == "read":
            seen = operation.version or 0
            return self if (operation.value, seen) == (self.value, there) else None
        holds = operation.if_version is None or operation.if_version == there
        if operation.kind == "delete" and self.value is None:
            holds = False
        if operation.refused or not holds:
            as_answered = operation.refused and not holds and (operation.version or 0) == there
            unknown = operation.answered_s == FOREVER
            return self if as_answered or unknown else None
        if operation.version is not None and operation.version != self.version + 1:
            return None
        value = None if operation.kind == "delete" else operation.value
        return Register(value, self.version + 1)


def is_linearizable(history: Sequence[Operation]) -> bool:
    """Tell whether a history of one key can be explained by one register."""
    operations = sorted(history, key=lambda operation: operation.called_s)
    everything = (1 << len(operations)) - 1
    must = sum(1 << i for i, o in enumerate(operations) if o.answered_s != FOREVER)
    stack = [(0, Register())]
    visited = {(0, Register())}
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        for index in _next(operations, everything & ~done):
            after = state.after(operations[index])
            reached = (done | 1 << index, after)
            if after is not None and reached not in visited:
                visited.add((reached[0], after))
                stack.append((reached[0], after))
    return False


def _next(operations: Sequence[Operation], left: int) -> list[int]:
    """Return the operations that may come next: called before any other one was answered."""
    candidates: list[int] = []
    earliest = FOREVER
    index = 0
    while left >> index:
        if left >> index & 1:
            operation = operations[index]
            if operation.called_s > earliest:
                break
            candidates.append(index)
            earliest = min(earliest, operation.answered_s)
        index += 1
    return [i for i in candidates if operations[i].called_s <= earliest]
