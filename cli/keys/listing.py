"""`strongroom keys list`: which data keys there are."""

import time
from typing import Final

import msgspec

from cli.access import Deployment
from cli.output import as_json, table

_COLUMNS: Final = ("KEY ID", "STATE", "CREATED AT", "WRITTEN BYTES")


class _Key(msgspec.Struct, frozen=True):
    key_id: str
    state: str
    created_at: str
    written_bytes: int | msgspec.UnsetType = msgspec.UNSET


class _SigningKey(msgspec.Struct, frozen=True):
    key_id: str
    is_signing: bool
    created_at: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[_Key]
    recovery: str | None = None
    signing_keys: list[_SigningKey] = []


def run(*, json: bool) -> None:
    """Print the data keys, oldest first; `written_bytes` is known of the active one.

    Raises:
        InvalidArgumentError: The environment names no deployment.
        ForbiddenError, UnavailableError: It does not show them.
    """
    found = Deployment(time.sleep).get("/keys", _Keys)
    if json:
        as_json(msgspec.to_builtins(found))
    else:
        table(_COLUMNS, map(_row, found.keys))


def _row(key: _Key) -> tuple[str, ...]:
    written = "" if key.written_bytes is msgspec.UNSET else str(key.written_bytes)
    return key.key_id, key.state, key.created_at, written
