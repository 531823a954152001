"""What each step of a request takes, against the library's call alone."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jsonschema_rs
import jwt
import msgspec
from cachetools import TTLCache
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: TID251 - the floor is it
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from benchmarks import documents, pace
from benchmarks.figure import Figure, Pair, Pairs, WrongAnswerError, at_most
from benchmarks.ground import Ground
from main_api.domain import placement
from main_api.domain.caller import Caller
from main_api.domain.grants import Action, Grant
from main_api.domain.registry import WorkerRecord
from processing_fn.service.ports import Place
from processing_fn.service.validation import compile_template
from processing_fn.storage.overlap import is_network
from strongroom import keyring, layout, signing_keys, tokens
from strongroom.clock import SystemClock
from strongroom.configuration import Template
from strongroom.crypto.aead import Cipher
from strongroom.crypto.secret import Secret
from tests.support.engines import AT, Rig, Worker
from tests.support.mains import MainRig

_CLOCK: Final = SystemClock()
_DOCUMENT: Final = documents.document()
_PURPOSE: Final = b"strongroom/file/v1"
_CLIENT_ID: Final = "reader"
_GRANTS: Final = (
    Grant(database="other", actions=frozenset({Action.READ})),
    Grant(database="chat*", actions=frozenset({Action.READ, Action.WRITE}), key_prefix="users/"),
)
_WORKERS: Final = 3


@dataclass(frozen=True, slots=True)
class _Both:
    """Two ways to the same answer."""

    ours: Callable[[], object]
    floor: Callable[[], object]


def _validation(_: Ground) -> _Both:
    template = Template(
        schema_id="chat.v1",
        schema_version=1,
        created_at=AT,
        updated_at=AT,
        schema=msgspec.Raw(documents.SCHEMA),
    )
    compiled = compile_template(template)
    validator = jsonschema_rs.validator_for(msgspec.json.decode(documents.SCHEMA))

    def ours() -> bool:
        compiled.check(_DOCUMENT)
        return True

    return _Both(ours, lambda: validator.is_valid(msgspec.json.decode(_DOCUMENT)))


def _encryption(_: Ground) -> _Both:
    key, file_id, iv = os.urandom(32), os.urandom(32), os.urandom(12)
    secret, aad = Secret(key), b"header" * 60
    info = len(_PURPOSE).to_bytes(2, "big") + _PURPOSE + file_id

    def floor() -> bytes:
        subkey = HKDFExpand(hashes.SHA256(), 32, info).derive(key)
        return AESGCM(subkey).encrypt(iv, _DOCUMENT, aad)

    return _Both(lambda: Cipher(secret, _PURPOSE, file_id).seal(iv, _DOCUMENT, aad), floor)


def _lookup(ground: Ground) -> _Both:
    worker, place = _one_cached(ground, "lookup")
    entry = worker.cache.get(place.file_id)
    bare: TTLCache[bytes, object] = TTLCache(1 << 20, 300, timer=_CLOCK.boot_s)
    bare[place.file_id] = entry
    return _Both(lambda: worker.cache.get(place.file_id), lambda: bare[place.file_id])


def _coherence(ground: Ground) -> _Both:
    worker, place = _one_cached(ground, "coherence")
    entry = worker.cache.get(place.file_id)
    if entry is None:
        raise WrongAnswerError("what was put is not cached")
    shard = worker.rig.layout.shard(place.database, place.file_id)
    storage, witness = worker.storage, entry.witness
    path = f"{shard}/{layout.sidecar_name(place.file_id)}"
    sidecar = Path(path).read_bytes()

    def floor() -> bool:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, len(sidecar) + 1) == sidecar
        finally:
            os.close(file)

    return _Both(lambda: storage.is_current(place, witness), floor)


def _token(_: Ground) -> _Both:
    ring = keyring.new("bench", AT)
    keys = ring.of(signing_keys.PURPOSE)
    token = tokens.issue(
        ring,
        _CLOCK,
        audience=tokens.CLIENT_AUDIENCE,
        subject=_CLIENT_ID,
        scope=frozenset(Action),
        lifetime_s=900,
        issued_to=tokens.Party(_CLIENT_ID, "00" * 16),
    )
    public = Ed25519PrivateKey.from_private_bytes(keys[0].material).public_key()
    issuer = tokens.issuer("bench")

    def ours() -> str:
        claims = tokens.verify(ring, _CLOCK, token, audience=tokens.CLIENT_AUDIENCE)
        return claims.subject

    def floor() -> object:
        audience = tokens.CLIENT_AUDIENCE
        claims = jwt.decode(token, public, algorithms=["EdDSA"], audience=audience, issuer=issuer)
        return claims["sub"]

    return _Both(ours, floor)


def _authorization(_: Ground) -> _Both:
    access = MainRig().access
    caller = Caller(_CLIENT_ID, "00" * 16, _CLIENT_ID, {}, _GRANTS, frozenset(Action))
    keys = ["users/one"]

    def floor() -> bool:
        return Action.READ in caller.scope and any(
            Action.READ in grant.actions
            and "chatdb".startswith(grant.database.rstrip("*"))
            and "users/one".startswith(grant.key_prefix)
            for grant in _GRANTS
        )

    return _Both(lambda: access.may(caller, "chatdb", keys, Action.READ), floor)


def _placement(_: Ground) -> _Both:
    workers = [
        WorkerRecord(
            worker_id=f"worker-{number}",
            address=f"127.0.0.1:{number}",
            subscription_id="",
            registered_at=AT,
            lease_until_ms=0,
        )
        for number in range(_WORKERS)
    ]

    def floor() -> list[WorkerRecord]:
        def score(worker: WorkerRecord) -> bytes:
            seed = hashlib.blake2b(
                f"chatdb\x00users/one{worker.worker_id}".encode(), digest_size=16
            )
            return seed.digest()

        return sorted(workers, key=score, reverse=True)

    return _Both(lambda: placement.rank(workers, "chatdb", "users/one"), floor)


def _one_cached(ground: Ground, name: str) -> tuple[Worker, Place]:
    rig = Rig(ground.folder(name), clock=_CLOCK)
    rig.is_network = is_network(rig.root)
    worker = rig.worker()
    worker.put("one", _DOCUMENT)
    binding = rig.binding
    file_id = worker.file_id(binding.database, binding.incarnation, "one")
    return worker, Place(binding.database, binding.incarnation, file_id)


def _figure(name: str, measures: str, floor: str, make: Callable[[Ground], _Both]) -> Figure:
    def pairs(ground: Ground) -> Pairs:
        both = make(ground)
        # A tenth: seven figures, and each round is of thousands of calls all the same.
        slice_s = ground.slice_s / 10
        while True:
            answers = both.ours(), both.floor()
            if not answers[0] or answers[0] != answers[1]:
                raise WrongAnswerError(f"{name}: {answers[0]!r} is not {answers[1]!r}")
            yield Pair(pace.us_each(both.ours, slice_s), pace.us_each(both.floor, slice_s))

    return Figure(name, measures, floor, "us", at_most(1.5), pairs, rounds=31)


FIGURES: Final = (
    _figure(
        "validation",
        "a document against its template",
        "msgspec's decode, jsonschema-rs' is_valid",
        _validation,
    ),
    _figure(
        "encryption",
        "AES-256-GCM of a document under a derived key",
        "cryptography's HKDFExpand, AESGCM and encrypt",
        _encryption,
    ),
    _figure("cache-lookup", "a cached entity", "cachetools' TTLCache", _lookup),
    _figure(
        "coherence-check",
        "whether a cached entity is what lies on the disk",
        "open, read, compare",
        _coherence,
    ),
    _figure("token", "a token that was not seen before", "PyJWT's decode", _token),
    _figure("authorization", "two grants, one key", "the conditions in one any()", _authorization),
    _figure("placement", "one key, three workers", "hashlib's blake2b, sorted", _placement),
)
