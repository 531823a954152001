"""PostgreSQL: the server that two of the stores keep their data in, and pgcrypto on top of it.

The load comes from pgbench, which is part of it. As the server refuses to run as root, it is given
the user that Debian's package has made for it.
"""

import math
import os
import pwd
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.documents import document
from benchmarks.figure import NotHereError, WrongAnswerError
from benchmarks.load.closed_loop import percentile
from benchmarks.peers import children
from benchmarks.peers.ledger import KEYS
from benchmarks.peers.stores import Place, Told, Traits
from strongroom.identity import Identity

_PACKAGE: Final = "Debian's postgresql and postgresql-contrib"
_SYSTEM_USER: Final = "postgres"
_USER: Final = "bench"
_PRIVATE: Final = 0o700
_FAILED: Final = re.compile(r"number of failed transactions: (\d+)")
_DONE: Final = re.compile(r"number of transactions actually processed: (\d+)")
_RATE: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


@dataclass
class Server:
    """One server, on loopback, with the defaults of its package: fsync and synchronous commits.

    Attributes:
        identity: What it serves TLS with.
    """

    identity: Identity
    port: int = 0
    _password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start it, once."""
        if self.port:
            return
        port = children.free_port()
        directory = place.directory / "postgresql"
        directory.mkdir(mode=_PRIVATE)
        data, certificate, key = (directory / name for name in ("data", "server.pem", "server.key"))
        password_file = directory / "password"
        password_file.write_text(self._password)
        shutil.copyfile(self.identity.certificate_file, certificate)
        shutil.copyfile(self.identity.key_file, key)
        for one in (directory, password_file, certificate, key):
            one.chmod(_PRIVATE)
            if not os.geteuid():
                shutil.chown(one, *_account())
        initdb = [_tool("initdb"), "--pgdata", str(data), "--username", _USER, "--encoding=UTF8"]
        access = ["--auth=scram-sha-256", "--pwfile", str(password_file)]
        children.run_tool([*_as_its_user(), *initdb, *access])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": str(certificate),
            "ssl_key_file": str(key),
            "fsync": "on",
            "synchronous_commit": "on",
        }
        command = [*_as_its_user(), _tool("postgres"), "-D", str(data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        wait_until = children.serve(command, place.directory / "postgresql.log", place, stack)
        wait_until(lambda: self._is_ready(port))
        self.port = port

    @property
    def environment(self) -> dict[str, str]:
        """What its clients take from their environment."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": _USER,
            "PGPASSWORD": self._password,
            "PGSSLMODE": "require",
        }

    def url(self, database: str) -> str:
        """Return where a database is, for a client on this machine that uses no TLS."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run statements; return what they print."""
        psql = [_tool("psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At", database]
        return children.run_tool(psql, self.environment, text)

    def _is_ready(self, port: int) -> bool:
        try:
            children.run_tool([_tool("pg_isready"), "-h", "127.0.0.1", "-p", str(port)])
        except NotHereError:
            return False
        return True


def _account() -> tuple[int, int]:
    """Return the (uid, gid) that the server runs under where this program is root."""
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError as error:
        raise NotHereError(f"there is no user {_SYSTEM_USER}: install {_PACKAGE}") from error
    return entry.pw_uid, entry.pw_gid


def _as_its_user() -> list[str]:
    if os.geteuid():
        return []
    uid, gid = _account()
    # The signal for the death of the parent is lost with the change of user, and set again.
    user = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    return ["setpriv", *user, "--pdeathsig", "KILL"]


def _tool(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return children.tool(name, _PACKAGE, *versions)


_TABLE: Final = """
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE TABLE entities (key text PRIMARY KEY, document bytea NOT NULL, version bigint NOT NULL);
INSERT INTO entities
SELECT 'chat' || n, pgp_sym_encrypt('{document}', '{secret}', '{options}'), 1
FROM generate_series(1, {keys}) AS n;
"""
_GET: Final = """
\\set n random(1, {keys})
SELECT pgp_sym_decrypt(document, '{secret}') AS found FROM entities WHERE key = 'chat' || :n \\gset
"""
_PUT: Final = """
\\set n random(1, {keys})
UPDATE entities
SET document = pgp_sym_encrypt('{document}', '{secret}', '{options}'), version = version + 1
WHERE key = 'chat' || :n;
"""
_JUDGED: Final = """
SELECT count(*) FROM entities WHERE pgp_sym_decrypt(document, '{secret}') = '{document}';
SELECT sum(version) FROM entities;
"""


_TRAITS: Final = Traits(
    encryption="OpenPGP, AES-256; the key goes with each statement",
    schema="none",
    durability="fsync of the log, shared by puts that wait at once",
    transport="its own, TLS",
    caller="password, once for a connection",
)


@dataclass
class Pgcrypto:
    """Documents that PostgreSQL encrypts under a key which the client sends with each statement.

    OpenPGP with AES-256 is what pgcrypto has that notices a changed byte. Its key is drawn by
    chance, not made up by a person, so it is hashed once and not 65,536 times.
    """

    server: Server
    name: str = "PostgreSQL, pgcrypto"
    traits: Traits = _TRAITS
    _values: dict[str, str] = field(default_factory=dict, init=False)
    _scratch: Path = field(default=Path(), init=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start the server and fill a table."""
        self.server.start(place, stack)
        self._scratch = place.directory
        self._values = {
            "document": document(1).decode(),
            "secret": secrets.token_hex(32),
            "options": "cipher-algo=aes256, compress-algo=0, s2k-mode=1",
            "keys": str(KEYS),
        }
        self.server.sql(_TABLE.format(**self._values))

    def get(self, in_flight: int, seconds: float) -> Told:
        """Read; that each is the document is judged afterwards, on the server."""
        told, _ = self._load("get", _GET, in_flight, seconds)
        self._judge(self._versions())
        return told

    def put(self, in_flight: int, seconds: float) -> Told:
        """Write; each one that was answered has to count in some version."""
        before = self._versions()
        told, done = self._load("put", _PUT, in_flight, seconds)
        self._judge(before + done)
        return told

    def _load(self, what: str, script: str, in_flight: int, seconds: float) -> tuple[Told, int]:
        """Return what was measured, and how many transactions there were."""
        file = self._scratch / f"{what}.sql"
        file.write_text(script.format(**self._values))
        log = self._scratch / f"pgbench-{what}"
        # Connecting counts in its time, though not in its rate.
        number, whole_s = str(in_flight), str(math.ceil(seconds) + 1)
        options = ["-n", "-M", "prepared", "-c", number, "-j", "1", "-T", whole_s, "-f", str(file)]
        options += ["--log", f"--log-prefix={log}", "postgres"]
        printed = children.run_tool([_tool("pgbench"), *options], self.server.environment)
        took_ms = _took_ms(sorted(self._scratch.glob(f"pgbench-{what}.*")))
        done, rate, failed = _DONE.search(printed), _RATE.search(printed), _FAILED.search(printed)
        if done is None or rate is None or failed is None or int(failed[1]):
            raise WrongAnswerError(printed)
        told = Told(float(rate[1]), percentile(took_ms, 50), percentile(took_ms, 99))
        return told, int(done[1])

    def _versions(self) -> int:
        return int(self.server.sql("SELECT sum(version) FROM entities;"))

    def _judge(self, versions: int) -> None:
        found = self.server.sql(_JUDGED.format(**self._values)).split()
        if found != [str(KEYS), str(versions)]:
            raise WrongAnswerError(f"PostgreSQL has {found}, not {KEYS} and {versions}")


def _took_ms(logs: Sequence[Path]) -> list[float]:
    """Read the logs of pgbench, a line for each: client, number, microseconds, ...; once."""
    took = []
    for log in logs:
        took += [int(line.split()[2]) / 1e3 for line in log.read_text().splitlines()]
        log.unlink()
    return took
