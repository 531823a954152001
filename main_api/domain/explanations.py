"""Which grant decides whether somebody may act on an entity, and why no other one does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from main_api.domain.grants import Action, Grant, resolved


class Verdict(StrEnum):
    """Why a grant covers an action on an entity, or does not."""

    COVERS = "covers"
    OTHER_DATABASE = "other-database"
    OTHER_ACTION = "other-action"
    NO_SUCH_CLAIM = "no-such-claim"
    OTHER_KEY = "other-key"

    @property
    def reason(self) -> str:
        """A sentence that says it."""
        return _REASONS[self]


_REASONS: Final = {
    Verdict.COVERS: "it names the database, the action and a prefix of the key",
    Verdict.OTHER_DATABASE: "it names other databases",
    Verdict.OTHER_ACTION: "it names other actions",
    Verdict.NO_SUCH_CLAIM: "a claim of its key_prefix is not there, or is no part of a key",
    Verdict.OTHER_KEY: "the key does not begin with its key_prefix",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A grant, as it is written and as it stands for whoever asks.

    Attributes:
        grant: As it is written.
        key_prefix: Its prefix with the claims put in; None where they cannot be.
        verdict: Why it covers what is asked for, or the first reason why not.
    """

    grant: Grant
    key_prefix: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """What comes of a question.

    Attributes:
        judged: Every grant, in the order in which they are written.
    """

    judged: tuple[Judged, ...]

    @property
    def decides(self) -> int | None:
        """Which of them lets it pass, the first one; None where none does."""
        covering = (n for n, one in enumerate(self.judged) if one.verdict is Verdict.COVERS)
        return next(covering, None)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        database: Its name.
        entity_key: The entity; empty for the database as a whole, which administration is about.
        action: What is to be done.
        user: By which of the client's users; None for the client itself.
    """

    database: str
    entity_key: str
    action: Action
    user: str | None = None


def explain(grants: Sequence[Grant], claims: Mapping[str, str], question: Question) -> Explanation:
    """Return which of some grants lets an action pass, as `grants.allowed` decides.

    Args:
        grants: As they are written.
        claims: What stands in their key prefixes.
        question: What is asked.
    """
    return Explanation(tuple(_judged(grant, claims, question) for grant in grants))


def _judged(grant: Grant, claims: Mapping[str, str], question: Question) -> Judged:
    mine = next(iter(resolved([grant], claims)), None)
    if not grant.names(question.database):
        verdict = Verdict.OTHER_DATABASE
    elif question.action not in grant.actions:
        verdict = Verdict.OTHER_ACTION
    elif mine is None:
        verdict = Verdict.NO_SUCH_CLAIM
    elif not mine.allows(question.database, question.entity_key, question.action):
        verdict = Verdict.OTHER_KEY
    else:
        verdict = Verdict.COVERS
    return Judged(grant, None if mine is None else mine.key_prefix, verdict)
