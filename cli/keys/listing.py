"""`strongroom keys list`: which data keys there are."""

from typing import Final

from cli.output import as_json, table, told
from cli.session import session
from strongroom_client.administration import Key

_COLUMNS: Final = ("KEY ID", "STATE", "CREATED AT", "WRITTEN BYTES")


def run(*, json: bool, profile: str | None) -> None:
    """Print the data keys, oldest first; `written_bytes` is known of the active one."""
    with session(profile) as client:
        found = list(client.admin.data_keys())
        if not json:
            table(_COLUMNS, map(_row, found))
            return
        signing = [told(one) for one in client.admin.signing_keys()]
        recovery = client.admin.recovery_key()
        as_json(
            {"keys": [told(one) for one in found], "recovery": recovery, "signing_keys": signing}
        )


def _row(key: Key) -> tuple[str, ...]:
    written = "" if key.written_bytes is None else str(key.written_bytes)
    return key.key_id, key.state, key.created_at, written
