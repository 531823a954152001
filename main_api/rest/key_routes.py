"""The paths of keys: which there are, and a new one."""

from typing import Any

from chalice.app import Response

from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import parameters
from strongroom import jsontext
from strongroom.keyring import Key


def add(app: StrongroomApp) -> None:
    """Register the paths."""

    @app.route("/keys", methods=["GET"])
    def list_keys() -> Response:
        """Answer the data keys, without their material."""
        parameters(app.request, frozenset())
        found = app.main.keys.list(app.caller)
        return json_response(jsontext.dump({"keys": [_key(one) for one in found]}))

    @app.route("/keys/rotate", methods=["POST"])
    def rotate_keys() -> Response:
        """Make a new data key active."""
        parameters(app.request, frozenset())
        made = app.main.keys.rotate(app.caller)
        return json_response(jsontext.dump({"key_id": made.key_id}), 201)


def _key(key: Key) -> dict[str, Any]:
    return {"key_id": key.key_id, "state": key.state.value, "created_at": key.created_at}
