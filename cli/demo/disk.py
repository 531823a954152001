"""Step 3: what lies on the disk, and what does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.demo.search import Files, read_below
from cli.demo.stage import Stage, document
from cli.demo.step import Step
from strongroom import blob, jsontext
from strongroom.crypto import secret
from strongroom.errors import IntegrityError, StrongroomError

_MEANING: Final = (
    "An entity is two files: the blob, a clear header and all else encrypted, and the sidecar,"
    " which repeats the header. Their name is a keyed hash, so the entity's key shows nowhere."
    " Whoever holds the data key opens the blob, unless a bit of it was changed or it lies at"
    " another entity's path."
)
_OPENS: Final = "opens, and has the document"


def show(stage: Stage) -> Step:
    """Read the entity's two files, then every file that should hide what is secret."""
    blob_file, sidecar_file = stage.files()
    raw, sidecar = blob_file.read_bytes(), sidecar_file.read_bytes()
    files, openings = sorted(blob_file.parent.iterdir()), _openings(stage, raw)
    shared, logs = read_below(stage.deployment.shared_dir), read_below(stage.root / "run")
    secrets = {what: shared.holding(it) + logs.holding(it) for what, it in _secrets(stage).items()}
    public = shared.holding(stage.database.schema_id.encode())
    observed = {
        "directory": str(blob_file.parent.relative_to(stage.root)),
        "files": [_stat(path) for path in files],
        "blob_header": msgspec.to_builtins(blob.parse(raw).header),
        "sidecar": jsontext.parse(sidecar),
        "opening_the_blob": openings,
        "searched": [_extent("shared/", shared), _extent("logs", logs)],
        "files_that_hold": {**secrets, "the template's name, which is no secret": public},
    }
    expected = {
        "the two files are named by the keyed hash of the entity's key": (
            files == [blob_file, sidecar_file]
        ),
        "the sidecar is the blob's header and tag": sidecar == blob.sidecar(blob.parse(raw)),
        **_expected_openings(openings),
        "no file below shared/ and no log has text, entity key, a key, a token or a secret": (
            not any(secrets.values())
        ),
        "the same search does find the template's name": public > 0,
    }
    return Step("disk", "What lies on the disk", _MEANING, observed, expected)


def _stat(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"file": path.name, "bytes": status.st_size, "mode": f"{status.st_mode & 0o777:04o}"}


def _openings(stage: Stage, raw: bytes) -> dict[str, str]:
    """Try to open the blob with the data key: as it lies, and as somebody might have left it."""
    database, session = stage.database, stage.session
    file_id = session.file_id(database.name, database.incarnation, stage.entity_key)
    another = session.file_id(database.name, database.incarnation, stage.entity_key + "0")
    in_header = raw.replace(b'"version":1', b'"version":3')
    in_ciphertext = raw[:-1] + bytes([raw[-1] ^ 1])
    return {
        "as_it_lies": _opening(stage, raw, file_id),
        "one_bit_of_the_header_changed": _opening(stage, in_header, file_id),
        "its_last_bit_changed": _opening(stage, in_ciphertext, file_id),
        "at_another_entity's_path": _opening(stage, raw, another),
    }


def _opening(stage: Stage, raw: bytes, file_id: bytes) -> str:
    try:
        body = blob.decrypt(blob.parse(raw), file_id, stage.session.data_keys)
    except StrongroomError as error:
        return error.code
    is_ours = (body.entity_key, body.document) == (stage.entity_key, document(stage.text))
    return _OPENS if is_ours else "opens, and has something else"


def _expected_openings(openings: Mapping[str, str]) -> dict[str, bool]:
    as_it_lies, *changed = openings.values()
    return {
        "with the data key the blob opens, and the document is inside": as_it_lies == _OPENS,
        "changed by one bit, or at another path, it does not open": (
            set(changed) == {IntegrityError.code}
        ),
    }


def _secrets(stage: Stage) -> dict[str, bytes]:
    """Return what nothing on the disk may show."""
    session = stage.session
    return {
        "the text": stage.text.encode(),
        "the entity's key": stage.entity_key.encode(),
        "the data key": secret.use(session.data_keys.active()[1], bytes),
        "the naming key": secret.use(session.naming_key, bytes),
        "the configuration key": secret.use(session.configuration_keys.active()[1], bytes),
        "the access token": stage.access_token.encode(),
        "the client's secret": stage.deployment.credentials.client_secret.encode(),
    }


def _extent(name: str, files: Files) -> dict[str, Any]:
    return {"where": name, "files": len(files.files), "bytes": files.size_bytes()}
