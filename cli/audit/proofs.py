"""`strongroom audit heads` and `key`: what to keep elsewhere; and reading what was kept."""

import base64
from pathlib import Path
from typing import Final

import msgspec

from cli.audit.answer import Heads, PublicKey, PublicKeys
from cli.output import as_json, line
from cli.session import session
from main_api.domain.audit.segments import Head
from strongroom import jsontext, limits
from strongroom.clock import from_rfc3339, rfc3339
from strongroom.crypto import signing
from strongroom.errors import InvalidArgumentError
from strongroom_client.oversight import AuditHead, AuditKey

_WORD: Final = "head"
_DIGEST_BYTES: Final = 32


def heads(*, json: bool, profile: str | None) -> None:
    """Print the heads of now."""
    with session(profile) as client:
        found = list(client.admin.audit_heads())
        if json:
            as_json(msgspec.to_builtins(Heads(found)))
            return
        for one in found:
            line(shown(one))


def key(*, profile: str | None) -> None:
    """Print the public keys."""
    with session(profile) as client:
        keys = [_jwk(one) for one in client.admin.audit_keys()]
        as_json(msgspec.to_builtins(PublicKeys(keys)))


def shown(head: AuditHead) -> str:
    """Return a head as a line."""
    return f"{_WORD} {head.chain} {head.block} {head.at} {head.head}"


def kept(head: Head) -> AuditHead:
    """Return a head as it is printed."""
    return AuditHead(
        chain=head.chain, block=head.block, at=rfc3339(head.at_ms), head=head.digest.hex()
    )


def read_heads(path: Path) -> tuple[Head, ...]:
    """Return the heads in a file: what one of the commands has printed, as lines or as JSON.

    Raises:
        InvalidArgumentError: There are none in it, or one that is none.
        OSError: It cannot be read.
    """
    text = _read(path)
    try:
        if text.lstrip().startswith("{"):
            found = msgspec.json.decode(text, type=Heads).heads
        else:
            lines = (one.split() for one in text.splitlines())
            found = [_of_words(words) for words in lines if words[:1] == [_WORD]]
        heads = tuple(map(_head, found))
    except jsontext.UNREADABLE as error:
        raise InvalidArgumentError(f"{path} holds no heads as the commands print them") from error
    if not heads:
        raise InvalidArgumentError(f"{path} holds no heads")
    return heads


def public_keys(path: Path | None, profile: str | None) -> dict[str, bytes]:
    """Return the public keys of a file, or those that the deployment says.

    Raises:
        InvalidArgumentError: There is none in it; or no file and no deployment is named.
        Exit: The deployment does not say them.
        OSError: The file cannot be read.
    """
    if path is None:
        with session(profile) as client:
            return {one.key_id: one.public_key for one in client.admin.audit_keys()}
    try:
        keys = msgspec.json.decode(_read(path), type=PublicKeys)
    except jsontext.UNREADABLE as error:
        raise _no_keys(path) from error
    found = {one.kid: _bytes(one.x) for one in keys.keys if one.crv == "Ed25519"}
    if not found or any(len(key) != signing.PUBLIC_KEY_BYTES for key in found.values()):
        raise _no_keys(path)
    return found


def _no_keys(path: Path) -> InvalidArgumentError:
    return InvalidArgumentError(f"{path} holds no keys as `strongroom audit key` prints them")


def _of_words(words: list[str]) -> AuditHead:
    _, chain, block, at, head = words
    return AuditHead(chain=chain, block=int(block), at=at, head=head)


def _head(one: AuditHead) -> Head:
    digest = bytes.fromhex(one.head)
    if len(digest) != _DIGEST_BYTES or one.block < 1:
        raise ValueError("not a head")
    return Head(one.chain, one.block, from_rfc3339(one.at), digest)


def _jwk(key: AuditKey) -> PublicKey:
    x = base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode()
    return PublicKey(kty="OKP", crv="Ed25519", kid=key.key_id, x=x)


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(limits.CONFIG_FILE_BYTES_MAX)
    return raw.decode(errors="replace")
