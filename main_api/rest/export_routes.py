"""The paths of the keyring's exports."""

from typing import Any

from chalice.app import Response

from main_api.domain.exports import ExportRecord
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import parameters
from strongroom import jsontext


def add(app: StrongroomApp) -> None:
    """Register the paths."""

    @app.route("/keys/export", methods=["POST"])
    def export_keys() -> Response:
        """Answer a copy of the keyring that the recovery key alone opens."""
        parameters(app.request, frozenset())
        made, raw = app.main.exports.make(app.caller)
        return json_response(jsontext.dump({**_export(made), "keyring": raw.decode()}), 201)

    @app.route("/keys/exports", methods=["GET"])
    def list_exports() -> Response:
        """Answer the exports on record."""
        parameters(app.request, frozenset())
        found = app.main.exports.all(app.caller)
        return json_response(jsontext.dump({"exports": [_export(one) for one in found]}))

    @app.route("/keys/exports/{export_id}", methods=["DELETE"])
    def delete_export(export_id: str) -> Response:
        """Take an export that is gone off the record."""
        parameters(app.request, frozenset())
        app.main.exports.remove(app.caller, export_id)
        return Response("", {}, 204)


def _export(export: ExportRecord) -> dict[str, Any]:
    return {
        "export_id": export.export_id,
        "exported_at": export.exported_at,
        "generation": export.generation,
        "key_ids": list(export.key_ids),
        "recovery": export.recovery,
    }
