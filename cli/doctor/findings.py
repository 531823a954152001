"""What a check has found, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from strongroom.errors import StrongroomError


class Outcome(StrEnum):
    """How a check ended. What could not be looked at was skipped, which says nothing."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Attributes:
        check: Its name.
        outcome: How it ended.
        found: What was seen, on one line.
        advice: What to do; empty where nothing is to be done.
    """

    check: str
    outcome: Outcome
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Outcome.OK, found)


def warning(check: str, found: str, advice: str) -> Finding:
    """Return that it works, and not as well, or not for as long, as it should."""
    return Finding(check, Outcome.WARNING, found, advice)


def failure(check: str, found: str, advice: str) -> Finding:
    """Return that a deployment would not start, or would not keep its promises."""
    return Finding(check, Outcome.FAILURE, found, advice)


def skipped(check: str, found: str, advice: str = "") -> Finding:
    """Return that it could not be looked at."""
    return Finding(check, Outcome.SKIPPED, found, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at; what stops it from looking is its finding."""

    name: str
    look: Callable[[], Iterable[Finding]]
    advice: str = "see what the message names"

    def findings(self) -> Iterator[Finding]:
        """Look."""
        try:
            yield from self.look()
        except StrongroomError as error:
            yield failure(self.name, error.detail, self.advice)
        except OSError as error:
            told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            yield failure(self.name, told, self.advice)
