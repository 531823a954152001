"""What schemathesis has to be told of our formats and media types, and of what it must leave.

It finds the names of what there is, deletes clients, revokes workers, and would then meet 401 and
503 for the rest of the run. So the client that it acts as, the deployment's workers and the
database that it finds something in stay as they are; what else there is of their kind does not.
"""

import base64
import json
from typing import Any

import schemathesis
from hypothesis import strategies as st

from strongroom.crypto import seal

KEY_BYTES_MAX = 512
PUBLIC_KEY = base64.b64encode(seal.public_bytes(seal.new_private_key())).decode()
KEPT = {
    "client_id": {"admin", "front-end"},
    "worker_id": {"worker-1", "worker-2", "worker-7"},
    "database": {"open"},
    "schema_id": {"anything"},
}
ENDING = {"PUT", "DELETE"}
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])


def _fits(text: str) -> bool:
    return len(text.encode()) <= KEY_BYTES_MAX


def _flat(text: str) -> str:
    return text.replace("/", "-")


_expressions = st.sampled_from(
    ["@", "chat", "chat[0].text", "a.b || c", "[?x == `1`]", "{n: n}", "type(@) == 'null'"]
)
schemathesis.openapi.format("entity-key", st.text(_CHARACTERS, min_size=1).filter(_fits))
schemathesis.openapi.format("entity-key-prefix", st.text(_CHARACTERS).filter(_fits))
schemathesis.openapi.format("subject", st.text(_CHARACTERS, min_size=1, max_size=60).map(_flat))
schemathesis.openapi.format("jmespath", _expressions | st.just(""))
# Nobody can make up a cursor or a key; what is made up is refused.
schemathesis.openapi.format("cursor", st.just(""))
schemathesis.openapi.format("hpke-public-key", st.just(PUBLIC_KEY))
schemathesis.openapi.format("json-pointer", st.from_regex(r"\A(/([a-z0-9-]|~[01])*)*\Z"))


@schemathesis.deserializer("application/x-ndjson")
def lines(_context: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:  # noqa: ANN401 - a line's value
    """Return the first line: every line has the schema of the media type."""
    found = [json.loads(line) for line in response.content.splitlines()]
    return found[0] if found else None


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Any, _kwargs: Any) -> None:  # noqa: ANN401 - a case of anything
    """Have a request leave what the run needs, and be one that means something."""
    given = case.path_parameters or {}
    if given.get("client_id") == "admin" and case.operation.path.endswith("/rotate-secret"):
        given["client_id"] = "front-end"
    if not case.operation.path.startswith("/entity/") and case.method.upper() in ENDING:
        for name, kept in KEPT.items():
            if given.get(name) in kept:
                given[name] = "another"
    if case.meta is None or case.meta.generation.mode.is_positive:
        _make_sense(case)


def _make_sense(case: Any) -> None:  # noqa: ANN401 - a case of anything
    """Leave out parameters that each are as the document says, and contradict one another.

    That one parameter goes without another one can be said in a description alone. And in the
    place of a header whose pattern it cannot fulfil schemathesis puts "0".
    """
    query, headers = case.query or {}, case.headers or {}
    if query.get("key") and set(query) & {"limit", "cursor", "prefix", "select"}:
        del query["key"]
    if "cursor" in query and "dry_run" not in query and "limit" not in query:
        del query["cursor"]
    for name in ("If-Match", "If-None-Match"):
        if headers.get(name) == "0" or _is_about_several(case):
            headers.pop(name, None)


def _is_about_several(case: Any) -> bool:  # noqa: ANN401 - a case of anything
    """Tell whether a request is about no single entity that is there, as a condition has to be."""
    if case.operation.path != "/entity/{database}":
        return False
    if case.method.upper() in {"GET", "DELETE"}:
        keys = (case.query or {}).get("key")
        return not keys or (isinstance(keys, list) and len(set(map(str, keys))) != 1)
    if case.method.upper() == "PUT" and "dry_run" in (case.query or {}):
        return True
    return isinstance(case.body, dict) and len(case.body) > 1
