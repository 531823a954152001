"""Many keys as requests of a size that every server takes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

from strongroom_client.calls import DeleteEntities, GetEntities
from strongroom_client.core.conversation import Conversation
from strongroom_client.core.steps import Steps
from strongroom_client.errors import (
    PartlyWrittenError,
    StrongroomClientError,
    TooLargeError,
    UnavailableError,
)
from strongroom_client.values import Entity
from strongroom_client.written import Written

_KEYS_MAX: Final = 100
_CHARS_MAX: Final = 6_000
"""Of keys in a URL: API Gateway takes 10,240 bytes of request line and header fields together."""

Outcome = Written | bool | StrongroomClientError


def portions(keys: Iterable[str]) -> Iterator[list[str]]:
    """Return the keys, none twice, in portions that fit into one request each."""
    portion: list[str] = []
    chars = 0
    for key in dict.fromkeys(keys):
        # What cannot be encoded is refused when it is sent.
        size = len(quote(key, safe="", errors="replace")) + len("&key=")
        if portion and (len(portion) >= _KEYS_MAX or chars + size > _CHARS_MAX):
            yield portion
            portion, chars = [], 0
        portion.append(key)
        chars += size
    if portion:
        yield portion


def get_many(
    conversation: Conversation, database: str, keys: Iterable[str], timeout_s: float
) -> Steps[dict[str, Entity]]:
    """Read entities; where they are too large together, in smaller portions."""
    ends_at = conversation.deadline(timeout_s)
    waiting = list(portions(keys))[::-1]
    found: dict[str, Entity] = {}
    while waiting:
        portion = waiting.pop()
        call = GetEntities(database=database, keys=portion)
        try:
            entities = yield from conversation.perform_until(call, ends_at)
        except TooLargeError:
            if len(portion) == 1:
                raise
            half = len(portion) // 2
            waiting += [portion[half:], portion[:half]]
        else:
            found |= {one.key: one for one in entities}
    return found


def delete_many(
    conversation: Conversation,
    database: str,
    keys: Iterable[str],
    idempotency_key: str,
    timeout_s: float,
) -> Steps[dict[str, bool]]:
    """Delete entities; a failure after the first portion is told with one outcome for each key."""
    ends_at = conversation.deadline(timeout_s)
    wanted = list(portions(keys))
    deleted: dict[str, bool] = {}
    for number, portion in enumerate(wanted):
        # One for all: the server keeps it with each entity, whatever portion that comes in.
        call = DeleteEntities(database=database, keys=portion, idempotency_key=idempotency_key)
        try:
            deleted |= yield from conversation.perform_until(call, ends_at)
        except StrongroomClientError as error:
            if len(wanted) == 1 or (number == 0 and not isinstance(error, PartlyWrittenError)):
                raise
            outcomes = deleted | _outcomes(error, portion, wanted[number + 1 :])
            raise PartlyWrittenError(
                "not all entities were deleted; see the outcome of each", outcomes
            ) from error
    return deleted


def _outcomes(
    error: StrongroomClientError, portion: Sequence[str], rest: Sequence[Sequence[str]]
) -> dict[str, Outcome]:
    of_portion: dict[str, Outcome] = dict.fromkeys(portion, error)
    if isinstance(error, PartlyWrittenError):
        of_portion = dict(error.outcomes)
    untried = UnavailableError("it was not tried, after others had failed")
    return of_portion | dict.fromkeys((key for keys in rest for key in keys), untried)
