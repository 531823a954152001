"""What one step of the demonstration has seen, and whether that is what it should have seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Step:
    """One step, done.

    Attributes:
        name: Names it in the JSON output.
        title: Its heading.
        meaning: What there is to see, independent of this run.
        observed: What this run has shown; a pair of numbers is a counter before and after. Never a
            key, a token or a secret.
        expected: Sentences about `observed`, and whether each of them is true.
    """

    name: str
    title: str
    meaning: str
    observed: Mapping[str, Any]
    expected: Mapping[str, bool]

    def missed(self) -> list[str]:
        """Return the sentences that are not true."""
        return [sentence for sentence, is_true in self.expected.items() if not is_true]


def as_json(steps: list[Step]) -> str:
    """Return the steps for machines: a JSON array of objects with the attributes above."""
    return msgspec.json.format(msgspec.json.encode(steps), indent=2).decode()


def shortcomings(steps: list[Step]) -> list[str]:
    """Return what should have been true and was not, a line each; empty when all was."""
    return [f"{step.name}: {missed}" for step in steps for missed in step.missed()]
