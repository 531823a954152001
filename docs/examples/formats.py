"""Strongroom's formats, opened with `cryptography` and nothing of Strongroom's own.

docs/security.md, section 4, draws them. Whoever holds the keys can read their data with this page
of code, on a machine that has never seen Strongroom; a test opens real files with it.
"""
# ruff: noqa: INP001, TID251 - a script of its own, which does not use the project's modules

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


def subkey(key: bytes, purpose: str, context: bytes) -> bytes:
    """Return the 256-bit key of one purpose and context: HKDF-Expand-SHA256 (RFC 5869)."""
    info = _short(purpose) + context
    return HKDFExpand(hashes.SHA256(), 32, info).derive(key)


def tag(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA256 over the parts, each after its length in 4 bytes."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")


def file_id(naming_key: bytes, database: str, incarnation: str, entity_key: str) -> bytes:
    """Return the 32 bytes that name an entity's files."""
    label = b"strongroom/file-id/v1"
    parts = (label, database.encode(), bytes.fromhex(incarnation), entity_key.encode())
    return tag(naming_key, *parts)


def control_file_id(kind: str, name: str) -> bytes:
    """Return the 32 bytes that a file below control/ is bound to."""
    return hashlib.sha256(f"strongroom/control/{kind}/{name}".encode()).digest()


def open_blob(raw: bytes, identity: bytes, key: bytes) -> tuple[dict[str, Any], Any, bytes]:
    """Return (header, prelude, document) of a blob.

    Args:
        raw: The file.
        identity: Its file-id.
        key: The key that its header names: a data key, or below control/ the control key.
    """
    if raw[:4] != b"SRM\x01":
        raise ValueError("not a blob of format version 1")
    begin = 8 + int.from_bytes(raw[4:8], "big")
    header = json.loads(raw[8:begin])
    cipher = AESGCM(subkey(key, "strongroom/file/v1", identity))
    iv = base64.b64decode(header["iv"])
    plaintext = cipher.decrypt(iv, raw[begin:], raw[:begin] + identity)
    end = 4 + int.from_bytes(plaintext[:4], "big")
    return header, json.loads(plaintext[4:end]), plaintext[end:]


def open_keyring(raw: bytes, root: bytes) -> dict[str, tuple[str, str, bytes]]:
    """Return {key id: (purpose, state, key)}; a key that was destroyed is empty."""
    file = json.loads(raw)
    mac = base64.b64decode(file["mac"])
    signed = json.dumps({**file, "mac": ""}, separators=(",", ":"), ensure_ascii=False)
    mac_key = subkey(root, "strongroom/keyring-mac/v1", b"")
    _require(mac, tag(mac_key, signed.encode()))
    keys = {}
    for entry in file["keys"]:
        context = "\0".join((file["deployment"], entry["purpose"], entry["key_id"])).encode()
        cipher = AESGCM(subkey(root, "strongroom/keyring-wrap/v1", context))
        iv, wrapped = base64.b64decode(entry["iv"]), base64.b64decode(entry["wrapped"])
        key = cipher.decrypt(iv, wrapped, b"") if wrapped else b""
        keys[entry["key_id"]] = (entry["purpose"], entry["state"], key)
    return keys


def check_configuration(raw: bytes, kind: str, name: str, key: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return the body of a template ("template") or a database's configuration ("database")."""
    mac = base64.b64decode(json.loads(raw)["mac"]["tag"])
    body = raw[raw.index(b'"body":') + len(b'"body":') : raw.rindex(b"}")]
    label = b"strongroom/configuration/v1"
    _require(mac, tag(key, label, kind.encode(), name.encode(), body))
    return json.loads(body)


def check_audit_segment(raw: bytes, public_key: bytes) -> tuple[list[tuple[str, slice]], bytes]:
    """Return (kind, place of its payload) of each block of a segment, and the head after the last.

    The head has to be what stands in the next segment of the chain, from its byte 54 on.

    Args:
        raw: The file.
        public_key: The 32 bytes of it, from `GET /audit/keys`, for the key id in bytes 30 to 38.
    """
    if raw[:4] != b"SRA\x01":
        raise ValueError("not a segment of format version 1")
    verifier = Ed25519PublicKey.from_public_bytes(public_key)
    head, at = hashlib.sha256(raw[:86]).digest(), 86
    blocks = []
    while at < len(raw):
        end = at + int.from_bytes(raw[at : at + 4], "big")
        unsigned, signature = raw[at : end - 64], raw[end - 64 : end]
        chained = hashlib.sha256(head + unsigned).digest()
        verifier.verify(signature, b"strongroom/audit/v1\0" + chained)
        head = hashlib.sha256(chained + signature).digest()
        blocks.append((unsigned[4:5].decode(), slice(at + 25, end - 64)))
        at = end
    return blocks, head


def open_audit_records(raw: bytes, payload: slice, control_key: bytes) -> list[Any]:
    """Return the records of a segment's block of the kind R."""
    cipher = AESGCM(subkey(control_key, "strongroom/audit-records/v1", raw[4:22]))
    iv, sealed = raw[payload][:12], raw[payload][12:]
    additional = raw[:86] + raw[payload.start - 25 : payload.start]
    return [json.loads(line) for line in cipher.decrypt(iv, sealed, additional).split(b"\n")]


def audit_public_key(control_key: bytes, deployment: str) -> bytes:
    """Return the public key that verifies what was signed while a control key was active."""
    seed = subkey(control_key, "strongroom/audit-signing/v1", deployment.encode())
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def open_cursor(cursor: str, naming_key: bytes, database: str, bound_to: bytes) -> bytes:
    """Return the file-id that a page ended with; `bound_to` as section 4 says."""
    raw = base64.urlsafe_b64decode(cursor)
    cipher = AESGCM(subkey(naming_key, "strongroom/cursor/v1", database.encode()))
    return cipher.decrypt(raw[:12], raw[12:], bound_to)


def check_token(token: str, signing_key: bytes) -> tuple[Any, Any]:
    """Return (header, claims) of an access token; time and audience are the caller's to check."""
    signed, _, signature = token.rpartition(".")
    public_key = Ed25519PrivateKey.from_private_bytes(signing_key).public_key()
    public_key.verify(_base64url(signature), signed.encode())
    header, claims = (json.loads(_base64url(part)) for part in signed.split("."))
    return header, claims


def unseal(sealed: bytes, private_key: X25519PrivateKey, *binding: str) -> bytes:
    """Return a key that was sealed to a worker with the suite x25519 (RFC 9180, base mode).

    Args:
        sealed: 32 bytes of encapsulated key, 32 of ciphertext, 16 of tag.
        private_key: The one that the worker made for its request.
        binding: The deployment, the worker, the key's purpose and its id.
    """
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    info = b"".join(_short(part) for part in ("strongroom/worker-key/v1", *binding))
    return suite.decrypt(sealed, private_key, info)


def _require(found: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(found, expected):
        raise ValueError("the authentication code does not verify")


def _short(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
