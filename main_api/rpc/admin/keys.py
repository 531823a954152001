"""Data keys, and exports of the keyring."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.domain.exports import ExportRecord
from main_api.rpc.admin.jobs import job_message
from main_api.service.keys.signing import PublishedKey
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from strongroom.keyring import Key, State
from strongroom_pb.v1 import admin_pb2 as pb

KEY_STATES: Final = {
    State.ACTIVE: pb.KEY_STATE_ACTIVE,
    State.DECRYPT_ONLY: pb.KEY_STATE_DECRYPT_ONLY,
    State.DESTROYED: pb.KEY_STATE_DESTROYED,
}
_PURPOSES: Final = frozenset(pb.KeyPurpose.values())


def list_keys(main: Main, caller: Caller, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
    """Return a page of the data keys, and those that sign tokens, without their material."""
    found = main.keys.page(caller, request.page_size or limits.PAGE_SIZE, request.page_token)
    return pb.ListKeysResponse(
        keys=[_key(main, key) for key in found.records],
        next_page_token=found.cursor,
        recovery=main.keyring.current.recovery,
        signing_keys=map(_signing_key, main.signing_keys.published()),
    )


def rotate_keys(main: Main, caller: Caller, request: pb.RotateKeysRequest) -> pb.RotateKeysResponse:
    """Make a new key for what is encrypted, or for the tokens that are signed, from now on."""
    if request.purpose not in _PURPOSES:
        raise InvalidArgumentError(f"there are no keys for the purpose {request.purpose}")
    signs = request.purpose == pb.KEY_PURPOSE_TOKEN_SIGNING
    made = (main.signing_keys if signs else main.keys).rotate(caller)
    return pb.RotateKeysResponse(key_id=made.key_id)


def rewrap_keys(main: Main, caller: Caller, request: pb.RewrapKeysRequest) -> pb.Job:
    """Begin to put every file under the active key."""
    if request.HasField("files_per_second") and not request.files_per_second:
        raise InvalidArgumentError("files_per_second is at least 1")
    return job_message(main.jobs.rewrap(caller, request.files_per_second))


def destroy_key(main: Main, caller: Caller, request: pb.DestroyKeyRequest) -> pb.Job:
    """Begin to destroy a key; with `shred`, whatever may need it."""
    is_said = request.HasField("entities")
    if request.shred is not is_said:
        raise InvalidArgumentError(
            "shred goes with entities: how many of them may be lost, as was confirmed"
        )
    accepted = request.entities if is_said else None
    return job_message(main.jobs.destroy(caller, request.key_id, accepted))


def export_keys(main: Main, caller: Caller, request: pb.ExportKeysRequest) -> pb.ExportKeysResponse:
    """Return a copy of the keyring that the recovery key alone opens."""
    del request
    made, raw = main.exports.make(caller)
    return pb.ExportKeysResponse(export=_export(made), keyring=raw)


def list_key_exports(
    main: Main, caller: Caller, request: pb.ListKeyExportsRequest
) -> pb.ListKeyExportsResponse:
    """Return a page of the exports on record."""
    found = main.exports.page(caller, request.page_size or limits.PAGE_SIZE, request.page_token)
    return pb.ListKeyExportsResponse(
        exports=map(_export, found.records), next_page_token=found.cursor
    )


def delete_key_export(
    main: Main, caller: Caller, request: pb.DeleteKeyExportRequest
) -> pb.DeleteKeyExportResponse:
    """Take an export that is gone off the record."""
    main.exports.remove(caller, request.export_id)
    return pb.DeleteKeyExportResponse()


METHODS: Final = (
    list_keys,
    rotate_keys,
    rewrap_keys,
    destroy_key,
    export_keys,
    list_key_exports,
    delete_key_export,
)


def _key(main: Main, key: Key) -> pb.Key:
    is_active = key.state is State.ACTIVE
    return pb.Key(
        key_id=key.key_id,
        state=KEY_STATES[key.state],
        created_at=key.created_at,
        written_bytes=main.rotation.written_bytes(key.key_id) if is_active else None,
    )


def _signing_key(key: PublishedKey) -> pb.SigningKey:
    return pb.SigningKey(key_id=key.key_id, is_signing=key.is_signing, created_at=key.created_at)


def _export(export: ExportRecord) -> pb.KeyExport:
    return pb.KeyExport(
        export_id=export.export_id,
        exported_at=export.exported_at,
        generation=export.generation,
        key_ids=export.key_ids,
        recovery=export.recovery,
    )
