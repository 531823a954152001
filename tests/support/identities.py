"""Everybody who may ask: who proves nothing, who once could, and who may do one thing each.

Each identity says in its own data what it may do, so that a test can work out by the rules alone
what it is granted (docs/guarantees.md), without the code that decides.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import jwt

from main_api.domain.claim_rules import Rule
from main_api.domain.grants import ALL_ACTIONS, Action, Grant
from strongroom import keyring, limits, tokens
from tests.support.foreign_issuers import (
    ISSUER,
    MemoryIssuers,
    SigningKey,
    claims,
    jwks,
    signing_key,
    trusted,
)
from tests.support.mains import AT, MainRig, grant

ALL: Final = frozenset(map(str, ALL_ACTIONS))
_USERS: Final = (grant("*", *ALL_ACTIONS),)


@dataclass(frozen=True)
class Identity:
    """Somebody, and what is theirs by the rules; without grants they have proven nothing.

    Attributes:
        name: For a report.
        authorization: What they send.
        grants: Theirs, with claims put in; None for who is nobody.
        scope: The actions that the token is narrowed to.
    """

    name: str
    authorization: str | None
    grants: tuple[Grant, ...] | None = None
    scope: frozenset[str] = ALL

    def has(self, right: str, database: str | None, keys: Iterable[str] | None) -> bool:
        """Tell whether the rules give them a right.

        Args:
            right: An action, or "everywhere".
            database: The database that the request names; None where it names none.
            keys: The entities that it names; None where it names none.
        """
        action = Action.ADMIN if right in {"admin", "everywhere"} else Action(right)
        if str(action) not in self.scope:
            return False
        named = {"*"} if right == "everywhere" else {"*", database}
        there = [
            one
            for one in self.grants or ()
            if action in one.actions and (one.database in named or named == {"*", None})
        ]
        if action is Action.ADMIN:
            return any(one.key_prefix == "" for one in there)
        prefixes = tuple(one.key_prefix for one in there)
        return bool(there) if keys is None else all(key.startswith(prefixes) for key in keys)


def everybody(rig: MainRig) -> list[Identity]:
    """Return every identity of a Main Worker; its clock goes on by the life of a token."""
    past = _who_was_somebody(rig)
    present = [*_who_proves_nothing(rig), *_who_may_something(rig), *_users(rig)]
    return [*past, *present, *_users_of_issuers(rig)]


def _who_was_somebody(rig: MainRig) -> list[Identity]:
    expired = rig.bearer(rig.add_client("expired"))
    rig.clock.advance(limits.ACCESS_TOKEN_SECONDS + 1)
    leaver = rig.add_client("leaver")
    removed = rig.bearer(leaver)
    rig.provisioning.delete_client("leaver")
    renewed = rig.bearer(rig.add_client("renewed"))
    rig.provisioning.delete_client("renewed")
    rig.add_client("renewed")
    revoker = rig.add_client("revoker")
    revoked = rig.bearer(revoker)
    rig.authorization.revoke(revoker.client_id, revoker.secret, revoked.partition(" ")[2])
    return [
        Identity("an expired token", expired),
        Identity("a removed client's token", removed),
        Identity("an earlier client's of the same name", renewed),
        Identity("a revoked token", revoked),
    ]


def _who_proves_nothing(rig: MainRig) -> list[Identity]:
    admin = rig.add_client("basic")
    foreign = keyring.new("another-deployment", AT)
    worker = tokens.issue(
        rig.live,
        rig.clock,
        audience=tokens.WORKER_AUDIENCE,
        subject="worker-1",
        scope=frozenset({"subscription"}),
        lifetime_s=60,
    )
    elsewhere = tokens.issue(
        foreign,
        rig.clock,
        audience=tokens.CLIENT_AUDIENCE,
        subject="basic",
        scope=ALL,
        lifetime_s=60,
    )
    ours = jwt.decode(rig.bearer(admin).partition(" ")[2], options={"verify_signature": False})
    unsigned = jwt.encode(ours, "", algorithm="none", headers={"typ": "at+jwt"})
    credential = base64.b64encode(b"worker-1:secret").decode()
    return [
        Identity("nobody", None),
        Identity("no token", "Bearer x.y.z"),
        Identity("a secret in the place of a token", admin.basic),
        Identity("a secret as a token", f"Bearer {admin.secret}"),
        Identity("a worker's credential", f"Basic {credential}"),
        Identity("a worker's token", f"Bearer {worker}"),
        Identity("another deployment's token", f"Bearer {elsewhere}"),
        Identity("an unsigned token", f"Bearer {unsigned}"),
    ]


def _who_may_something(rig: MainRig) -> list[Identity]:
    several: dict[str, tuple[Grant, ...]] = {
        "everything": (grant("*", *ALL_ACTIONS),),
        "everything but admin": (grant("*", *(ALL_ACTIONS - {Action.ADMIN})),),
        "another database": (grant("otherdb", *ALL_ACTIONS),),
        "a name that this one begins with": (grant("chat", *ALL_ACTIONS),),
        "one database": (grant("chatdb", *ALL_ACTIONS),),
        "some keys": (grant("chatdb", *ALL_ACTIONS, key_prefix="mine/"),),
        "some keys everywhere": (grant("*", *ALL_ACTIONS, key_prefix="mine/"),),
        "keys of users": (grant("*", *ALL_ACTIONS, key_prefix="{sub}/"),),
    }
    several |= {f"{action} everywhere": (grant("*", action),) for action in Action}
    several |= {f"{action} in one": (grant("chatdb", action),) for action in Action}
    found = []
    for number, (name, grants) in enumerate(several.items()):
        client = rig.add_client(f"client-{number}", *grants)
        resolved = tuple(_resolved(one, client.client_id) for one in grants)
        found.append(Identity(f"who may {name}", rig.bearer(client), resolved))
    everything = rig.add_client("narrowed")
    for action in Action:
        token = rig.bearer(everything, str(action))
        scope = frozenset({str(action)})
        grants = (grant("*", *ALL_ACTIONS),)
        found.append(Identity(f"everything, narrowed to {action}", token, grants, scope))
    return found


def _users(rig: MainRig) -> list[Identity]:
    theirs = grant("chatdb", Action.READ, Action.WRITE, key_prefix="{sub}/")
    front_end = rig.add_front_end("front-end", _USERS, (theirs,))
    return [
        Identity(
            f"the user {user} of a front end",
            rig.user_bearer(front_end, user),
            (_resolved(theirs, user),),
            frozenset({"read", "write"}),
        )
        for user in ("mine", "yours", "admin")
    ]


def _users_of_issuers(rig: MainRig) -> list[Identity]:
    """Return users of a foreign issuer, of one that was removed, and who only says to be one."""
    issuers, root = rig.main().issuers, rig.caller(client_id="truster-of-issuers")
    key, theirs = (
        signing_key("mine"),
        grant("chatdb", Action.READ, Action.WRITE, key_prefix="{sub}/"),
    )
    rules = (
        Rule(claims={"groups": ("ops",)}, grants=_USERS),
        Rule(claims={"groups": ("chat",)}, grants=(theirs,)),
    )
    assert isinstance(rig.issuers, MemoryIssuers)
    rig.issuers.published[ISSUER] = jwks(key)
    issuers.put(root, "of-users", trusted(*rules))
    issuers.put(root, "removed", trusted(*rules, issuer="https://removed.example"))
    issuers.remove(root, "removed")
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)

    def bearer(group: str, signed_with: SigningKey = key, **members: str | int) -> str:
        said = claims(rig.clock, groups=[group], **{"sub": "mine", **members})
        return f"Bearer {signed_with.sign(said)}"

    mine = (_resolved(theirs, "mine"),)
    return [
        Identity("a foreign administrator", bearer("ops"), _USERS),
        Identity("a foreign user", bearer("chat"), mine, frozenset({"read", "write"})),
        Identity("a foreign user without a rule", bearer("none"), (), frozenset()),
        Identity("a foreign user, forged", bearer("ops", signing_key("mine"))),
        Identity("a foreign user, of another audience", bearer("ops", aud="other")),
        Identity("a foreign user, expired", bearer("ops", iat=1, exp=2)),
        Identity("a user of an issuer nobody trusts", bearer("ops", iss="https://evil.example")),
        Identity(
            "a user of an issuer that was removed", bearer("ops", iss="https://removed.example")
        ),
    ]


def _resolved(one: Grant, subject: str) -> Grant:
    return Grant(
        database=one.database,
        actions=one.actions,
        key_prefix=one.key_prefix.replace("{sub}", subject),
    )
