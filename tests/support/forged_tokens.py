"""Tokens that an attacker could try: made by hand, because no library would make them."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom import limits, tokens
from strongroom.keyring import Keyring, Purpose


def encoded(part: object) -> str:
    """Return a JSON value as a segment of a token."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forge:
    """Makes tokens of a deployment, sound ones and all others."""

    def __init__(self, keys: Keyring, claims: Mapping[str, Any]) -> None:
        """Take the keys, and the claims of a sound token."""
        self._keys = keys
        self._claims = dict(claims)
        key = keys.active(Purpose.TOKEN_SIGNING)
        self._key_id = key.key_id
        self._private = Ed25519PrivateKey.from_private_bytes(key.material)
        self._headers: dict[str, Any] = {"kid": key.key_id, "typ": "at+jwt", "alg": "EdDSA"}

    def signed(
        self,
        claims: object,
        headers: object = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        """Return a token with a signature, that of the deployment unless said otherwise."""
        text = f"{encoded(self._headers if headers is None else headers)}.{encoded(claims)}"
        return f"{text}.{encoded((sign or self._private.sign)(text.encode()))}"

    def forgeries(self) -> dict[str, str]:
        """Return tokens that an attacker could try, by what is wrong with each."""
        signed, claims, headers = self.signed, self._claims, self._headers
        public = self._private.public_key()
        raw_public = public.public_bytes_raw()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        foreign = Ed25519PrivateKey.generate()

        def hs256(secret: bytes) -> str:
            return signed(
                claims, headers | {"alg": "HS256"}, lambda text: hmac.digest(secret, text, "sha256")
            )

        def without(name: str) -> dict[str, Any]:
            return {k: v for k, v in claims.items() if k != name}

        made = {
            "alg none": signed(claims, headers | {"alg": "none"}, lambda _: b""),
            "alg None": signed(claims, headers | {"alg": "None"}, lambda _: b""),
            "alg none with a signature": signed(claims, headers | {"alg": "none"}),
            "no alg": signed(claims, {k: v for k, v in headers.items() if k != "alg"}),
            "HS256 with the raw public key": hs256(raw_public),
            "HS256 with the public key's PEM": hs256(pem),
            "HS256 with an empty secret": hs256(b""),
            "alg of another curve": signed(claims, headers | {"alg": "ES256"}),
            "signed by somebody else": signed(claims, sign=foreign.sign),
            "signed by the key in its own header": signed(
                claims,
                headers
                | {
                    "jwk": {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": encoded(foreign.public_key().public_bytes_raw()),
                    }
                },
                foreign.sign,
            ),
            "signed by a key at an address": signed(
                claims, headers | {"jku": "https://127.0.0.1/keys", "kid": "mine"}, foreign.sign
            ),
            "expired": signed(claims | {"exp": claims["iat"] - 1}),
            "not valid yet": signed(claims | {"nbf": claims["iat"] + 60}),
            "no signature": signed(claims).rpartition(".")[0] + ".",
            "zero signature": signed(claims, sign=lambda _: bytes(64)),
            "unknown kid": signed(claims, headers | {"kid": "0" * 16}),
            "no kid": signed(claims, {k: v for k, v in headers.items() if k != "kid"}),
            "kid that is a list": signed(claims, headers | {"kid": [self._key_id]}),
            "kid of the data key": signed(
                claims,
                headers | {"kid": self._keys.active(Purpose.DATA).key_id},
                Ed25519PrivateKey.from_private_bytes(self._keys.active(Purpose.DATA).material).sign,
            ),
            "kid that is a path": signed(claims, headers | {"kid": "../../dev/null"}),
            "kid that is a query": signed(claims, headers | {"kid": "x' OR '1'='1"}),
            "kid of megabytes": signed(claims, headers | {"kid": "x" * 10_000_000}),
            "typ JWT": signed(claims, headers | {"typ": "JWT"}),
            "no typ": signed(claims, {k: v for k, v in headers.items() if k != "typ"}),
            "unknown critical extension": signed(claims, headers | {"crit": ["x"], "x": 1}),
            "detached payload": signed(claims, headers | {"b64": False, "crit": ["b64"]}),
            "audience of workers": signed(claims | {"aud": tokens.WORKER_AUDIENCE}),
            "no audience": signed(without("aud")),
            "empty audience": signed(claims | {"aud": []}),
            "issuer of another deployment": signed(claims | {"iss": "strongroom:other"}),
            "issuers of both deployments": signed(
                claims | {"iss": [claims["iss"], "strongroom:other"]}
            ),
            "header that is a list": signed(claims, []),
            "header of depth": signed(claims, b"[" * 2_000),
            "header that nests": signed(claims, _nested(headers, 500), foreign.sign),
            "payload that nests": signed(_nested(claims, 400), sign=foreign.sign),
            "header that nests too deep": signed(claims, _nested(headers, 1_200)),
            "payload that nests too deep": signed(_nested(claims, 1_200)),
            "header that is not UTF-8": signed(claims, b'{"alg": "\xff"}'),
            "payload that is a list": signed([claims]),
            "payload of depth": signed(b"[" * 2_000),
            "payload that is not JSON": signed(b"ada"),
            "issued to another client": signed(claims | {"client_id": "bob"}),
            "for a user, by nobody": signed(without("client_id") | {"act": {"sub": "ada"}}),
            "for a user, by another client": signed(claims | {"sub": "al", "act": {"sub": "bob"}}),
            "for a user, by a chain": signed(
                claims | {"sub": "al", "act": {"sub": "ada", "act": {"sub": "bob"}}}
            ),
            "for a user, by no object": signed(claims | {"sub": "al", "act": "ada"}),
            "for a user, by null": signed(claims | {"sub": "al", "act": None}),
            "for a user that is not told": signed(claims | {"sub": "al"}),
            "empty": "",
            "dots": "..",
            "more dots": "....",
            "no token": "ada:secret",
            "not ASCII": "é.é.é",
            "lone surrogate": "\ud800.\ud800.\ud800",
            "NUL": "\0",
            "line feed behind": signed(claims) + "\n",
            "too long": signed(claims | {"pad": "x" * limits.TOKEN_CHARS_MAX}),
            "far too long": "a" * 10_000_000,
        }
        for name in ("iss", "sub", "client_id", "iat", "nbf", "exp", "jti"):
            made[f"without {name}"] = signed(without(name))
            made[f"{name} that is null"] = signed(claims | {name: None})
        for name in ("nbf", "exp"):
            made[f"{name} that is no number"] = signed(claims | {name: "soon"})
        return made


def _nested(members: Mapping[str, Any], depth: int) -> bytes:
    """Return an object that has one member more, of some depth, and is sound JSON."""
    more = b"[" * depth + b"]" * depth
    return json.dumps(dict(members)).encode()[:-1] + b',"x":' + more + b"}"
