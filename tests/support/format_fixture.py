"""Makes the deployment that the tests of upgrades read for ever.

    python -m tests.support.format_fixture tests/upgrades/format-1

writes `format-1.tar.gz`, the files of a deployment that holds something of every kind, and
`format-1.json`, what a client was told of it. It is run once for each version of a format: what
lies there already is never made anew, because it stands for the data of users.
"""

import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.deployment import Deployment

KEPT: Final = ("shared", "kms", "admin.json")
_LEFT_OUT: Final = ("shared/locks", "shared/control/workers", "shared/control/mains")
_TEMPLATE: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "visits": {"type": "integer", "default": 0}},
    "required": ["name"],
}
_DOCUMENTS: Final[dict[str, Any]] = {
    "plain": {"name": "Ada", "visits": 1},
    "unicode/ключ ✓": {"name": "Zoë \u0000\U0001f510", "nested": {"list": [1, -0.5, None, True]}},
    "large numbers": {"name": "n", "big": 2**53 - 1, "small": -(2**53) + 1, "float": 1.5e300},
    "long": {"name": "x" * 5_000},
    "x" * 512: {"name": "the longest key"},
}


def write(http: httpx.Client) -> None:
    """Write something of every kind, under two data keys."""
    _ok(http.put("/schemas/people", json=_TEMPLATE))
    _ok(http.put("/databases/people", json={"schema_id": "people"}))
    _ok(http.put("/databases/kept", json={"schema_id": "chat.v1"}))
    _ok(http.put("/databases/passing", json={"schema_id": "people", "ttl_seconds": 1}))
    _ok(http.put("/databases/gone", json={"schema_id": "people"}))
    _ok(http.put("/clients/reader", json={"grants": [{"database": "people", "actions": ["read"]}]}))
    for key, document in _DOCUMENTS.items():
        _ok(http.put("/entity/people", json={key: document}))
    _ok(http.put("/entity/people", json={"rewritten": {"name": "1"}, "deleted": {"name": "-"}}))
    _ok(http.put("/entity/gone", json={"lost": {"name": "-"}}))
    _ok(http.post("/keys/rotate"))
    _ok(http.put("/entity/people", json={"rewritten": {"name": "2"}}))
    merge = {"Content-Type": "application/merge-patch+json"}
    _ok(http.patch("/entity/people", content=b'{"plain":{"visits":2}}', headers=merge))
    _ok(http.put("/entity/kept", json={"chat": {"chat": []}}))
    _ok(http.put("/entity/passing", json={"passed": {"name": "-"}}))
    _ok(http.put("/entity/people", json={"of a second template": {"name": "b"}}))
    _ok(http.put("/schemas/people", json={**_TEMPLATE, "description": "the second version"}))
    _ok(http.put("/entity/people", json={"new": {"name": "c", "visits": 3}}))
    _ok(http.delete("/entity/people", params={"key": "deleted"}))
    _ok(http.delete("/databases/gone"))


def told(http: httpx.Client) -> dict[str, Any]:
    """Return what a client is told of all that is there."""
    entities: dict[str, Any] = {}
    for database in ("people", "kept"):
        listed = _ok(http.get(f"/entity/{database}", params={"limit": 100})).json()
        for key in listed:
            answer = _ok(http.get(f"/entity/{database}", params={"key": key}))
            entities[f"{database}:{key}"] = [answer.headers["ETag"], answer.json()[key]]
    keys = _ok(http.get("/keys")).json()["keys"]
    return {
        "entities": entities,
        "template": _ok(http.get("/schemas/people")).json(),
        "databases": _ok(http.get("/databases")).json(),
        "clients": _ok(http.get("/clients/reader")).json()["grants"],
        "keys": {one["key_id"]: one["state"] for one in keys},
    }


def main(target: Path) -> int:
    """Make both files."""
    archive, expected = Path(f"{target}.tar.gz"), Path(f"{target}.json")
    if archive.exists():
        sys.stderr.write(f"{archive} is there, and stands for the data of users\n")
        return 1
    with tempfile.TemporaryDirectory() as directory:
        running = Deployment(Path(directory)).start()
        try:
            with running.http() as http:
                write(http)
                facts = told(http)
        finally:
            running.stop()
        expected.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        with tarfile.open(archive, "w:gz") as tar:
            for name in KEPT:
                tar.add(running.root / name, arcname=name, filter=_only_kept)
    return 0


def _only_kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if member.name.startswith(_LEFT_OUT) else member


def _ok(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.text}"
    return answer


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
