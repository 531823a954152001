"""Kinto with PostgreSQL: JSON over HTTP, with a JSON Schema; served as its command serves it."""

import base64
import secrets
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import msgspec

from benchmarks import documents
from benchmarks.figure import NotHereError
from benchmarks.load import http1
from benchmarks.load.closed_loop import Lanes
from benchmarks.peers import children
from benchmarks.peers.postgresql import Server
from benchmarks.peers.stores import Asked, Place, Traits

VERSION: Final = "26.5.0"
_CREDENTIALS: Final = ("bench", "bench")
_BASIC: Final = base64.b64encode(":".join(_CREDENTIALS).encode()).decode()
_COLLECTION: Final = "/v1/buckets/bench/collections/chats"
_RECORDS: Final = f"{_COLLECTION}/records"
_SETTINGS: Final = """
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = %(http_port)s

[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.cache_backend = kinto.core.cache.postgresql
kinto.cache_url = {url}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.userid_hmac_secret = {secret}
kinto.experimental_collection_schema_validation = true
kinto.bucket_create_principals = system.Authenticated
multiauth.policies = basicauth

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = plain

[logger_root]
level = WARNING
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = plain

[formatter_plain]
"""


_TRAITS: Final = Traits(
    encryption="none",
    schema="JSON Schema",
    durability="fsync of the log, shared by puts that wait at once",
    transport="HTTP, without TLS",
    caller="basic authentication, permissions",
)


@dataclass
class Kinto(Asked):
    """The store."""

    server: Server
    name: str = "Kinto, PostgreSQL"
    traits: Traits = _TRAITS
    _url: str = field(default="", init=False)
    _form: http1.Form = field(init=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start PostgreSQL and Kinto; make a collection with a schema."""
        kinto = _installed(place.downloads / f"kinto-{VERSION}")
        self.server.start(place, stack)
        self.server.sql("CREATE DATABASE kinto;")
        settings = place.directory / "kinto.ini"
        url = self.server.url("kinto")
        settings.write_text(_SETTINGS.format(url=url, secret=secrets.token_hex(16)))
        children.run_tool([kinto, "migrate", "--ini", str(settings)])
        port = children.free_port()
        command = [kinto, "start", "--ini", str(settings), "--port", str(port)]
        wait_until = children.serve(command, place.directory / "kinto.log", place, stack)
        wait_until(lambda: children.listens(port))
        self._url = f"http://127.0.0.1:{port}"
        self._form = http1.Form(self._url, {"Authorization": f"Basic {_BASIC}"})
        self._make_collection()
        self.fill()

    def lanes(self, in_flight: int) -> Lanes:
        """Connect; a lane is a connection.

        Puts that change one collection at the same instant are refused by Kinto, but for one of
        them, with "Integrity constraint violated, please retry": the client does, at once.
        """
        return http1.Http1(self._url, in_flight, retry=[b"409"])

    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        return self._form.wire("GET", f"{_RECORDS}/{key}")

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        return self._form.wire("PUT", f"{_RECORDS}/{key}", b'{"data": %s}' % document)

    def holds(self, answer: bytes, document: bytes) -> bool:
        """Compare as JSON: Kinto writes a document anew, and adds members of its own."""
        found = msgspec.json.decode(answer)["data"]
        members = msgspec.json.decode(document)
        return bool(found == found | members)

    def _make_collection(self) -> None:
        schema = {"data": {"schema": msgspec.json.decode(documents.SCHEMA)}}
        with httpx.Client(base_url=self._url, auth=_CREDENTIALS) as client:
            client.put("/v1/buckets/bench").raise_for_status()
            client.put(_COLLECTION, json=schema).raise_for_status()
            refused = client.put(f"{_RECORDS}/wrong", json={"data": {"chat": 1}})
        if refused.status_code != httpx.codes.BAD_REQUEST:
            raise NotHereError("this Kinto does not validate by a schema")


def _installed(venv: Path) -> str:
    """Return the command in an environment of its own, which is made where it is missing."""
    command = venv / "bin" / "kinto"
    done = venv / ".complete"
    if not done.exists():
        children.run_tool([sys.executable, "-m", "venv", "--clear", str(venv)])
        wanted = f"kinto[postgresql]=={VERSION}"
        children.run_tool([str(venv / "bin" / "python"), "-m", "pip", "install", "-qq", wanted])
        done.touch()
    return str(command)
