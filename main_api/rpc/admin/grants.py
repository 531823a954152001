"""Grants as messages."""

from collections.abc import Iterable
from typing import Any, Final

from main_api.domain.grants import Action, Grant
from strongroom.errors import InvalidArgumentError
from strongroom_pb.v1 import admin_pb2 as pb

_ACTIONS: Final = {
    pb.ACTION_READ: Action.READ,
    pb.ACTION_WRITE: Action.WRITE,
    pb.ACTION_DELETE: Action.DELETE,
    pb.ACTION_ADMIN: Action.ADMIN,
}
_NUMBERS: Final = {action: number for number, action in _ACTIONS.items()}


def members(messages: Iterable[pb.Grant]) -> list[dict[str, Any]]:
    """Return grants as JSON has them, not checked.

    Raises:
        InvalidArgumentError: One has an action that there is not.
    """
    return [
        {
            "database": one.database,
            "actions": [action(number) for number in one.actions],
            "key_prefix": one.key_prefix,
        }
        for one in messages
    ]


def message(grant: Grant) -> pb.Grant:
    """Return the message of a grant."""
    return pb.Grant(
        database=grant.database,
        actions=sorted(_NUMBERS[action] for action in grant.actions),
        key_prefix=grant.key_prefix,
    )


def action(number: pb.Action.ValueType) -> Action:
    """Return an action.

    Raises:
        InvalidArgumentError: There is none of this number.
    """
    if number not in _ACTIONS:
        raise InvalidArgumentError(f"there is no action {number}")
    return _ACTIONS[number]
