"""Exports of the keyring on record: what could still open what was destroyed here."""

import msgspec


class ExportRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An export, wherever its file lies.

    Attributes:
        export_id: Its name.
        exported_at: RFC 3339.
        generation: The keyring's, of which it is a copy.
        key_ids: The data keys that it holds.
        recovery: The fingerprint of the recovery key that opens it.
    """

    export_id: str
    exported_at: str
    generation: int
    key_ids: tuple[str, ...]
    recovery: str
