"""The main job, end to end, on real processes: what a newcomer tries first."""

import uuid
from itertools import product

import pytest

from strongroom_client import JsonText, NotFoundError
from tests.support.deployment import CHAT, Deployment


def test_put_then_get_over_rest(deployment: Deployment) -> None:
    """A newcomer's first two requests do not answer as the README says."""
    # The key of the examples may have been somebody's before, and its versions go on.
    key = f"Chat_{uuid.uuid4()}"
    with deployment.http() as http:
        created = http.put("/entity/chatdb", json={key: CHAT})
        found = http.get("/entity/chatdb", params={"key": key})
    assert created.status_code == 201
    assert created.json()[key]["version"] == 1
    assert found.status_code == 200
    assert found.json() == {key: CHAT}
    assert found.headers["ETag"] == '"1"'
    assert found.headers["Cache-Control"] == "no-store"


def test_delete_over_both_faces(deployment: Deployment) -> None:
    """What a client deletes is still there, or cannot be deleted."""
    with deployment.client("rest") as rest, deployment.client("grpc") as rpc:
        rest.put_many("chatdb", {"by-rest": CHAT, "by-grpc": CHAT})
        rest.delete("chatdb", "by-rest")
        rpc.delete("chatdb", "by-grpc")
        for client, key in product((rest, rpc), ("by-rest", "by-grpc")):
            for ask in (client.get, client.delete):
                with pytest.raises(NotFoundError):
                    ask("chatdb", key)


def test_what_rest_wrote_grpc_reads(deployment: Deployment) -> None:
    """The two faces show two databases."""
    document = b'{"chat": [], "n": 1.50}'
    with deployment.client("rest") as rest, deployment.client("grpc") as rpc:
        rest.put("chatdb", "shared", JsonText(document))
        assert rpc.get("chatdb", "shared").text == document
