"""Foreign issuers whose tokens are taken."""

from typing import Any, Final

import msgspec

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.domain.claim_rules import Rule
from main_api.domain.trusted_issuers import IssuerRecord, TrustedIssuer
from main_api.rpc.admin import grants
from strongroom.errors import InvalidArgumentError
from strongroom_pb.v1 import admin_pb2 as pb


def put_issuer(main: Main, caller: Caller, request: pb.PutIssuerRequest) -> pb.PutIssuerResponse:
    """Trust a foreign issuer, or change what it is trusted for."""
    made, is_new = main.issuers.put(caller, request.name, _to_trusted(request.trusted))
    return pb.PutIssuerResponse(issuer=_issuer(made), created=is_new)


def get_issuer(main: Main, caller: Caller, request: pb.GetIssuerRequest) -> pb.Issuer:
    """Return a foreign issuer."""
    return _issuer(main.issuers.get(caller, request.name))


def list_issuers(
    main: Main, caller: Caller, request: pb.ListIssuersRequest
) -> pb.ListIssuersResponse:
    """Return the foreign issuers that are trusted."""
    del request
    found, damaged = main.issuers.all(caller)
    return pb.ListIssuersResponse(issuers=map(_issuer, found), damaged=damaged)


def delete_issuer(
    main: Main, caller: Caller, request: pb.DeleteIssuerRequest
) -> pb.DeleteIssuerResponse:
    """Trust a foreign issuer no more."""
    main.issuers.remove(caller, request.name)
    return pb.DeleteIssuerResponse()


def ask_issuer(main: Main, caller: Caller, request: pb.AskIssuerRequest) -> pb.AskIssuerResponse:
    """Ask a foreign issuer for its keys now, and return which there are."""
    found = main.issuers.ask(caller, request.name)
    keys = [
        pb.IssuerKey(kid=key.kid, algorithms=sorted(key.algorithms)) for key in found.keys.values()
    ]
    return pb.AskIssuerResponse(keys=keys, exposed=found.exposed, passed_over=found.passed_over)


METHODS: Final = (put_issuer, get_issuer, list_issuers, delete_issuer, ask_issuer)


def _to_trusted(message: pb.TrustedIssuer) -> TrustedIssuer:
    members: dict[str, Any] = {
        "issuer": message.issuer,
        "audiences": list(message.audiences),
        "rules": [_rule_members(rule) for rule in message.rules],
        "algorithms": list(message.algorithms),
        "audience_claim": message.audience_claim,
        "token_type": message.token_type,
        "token_seconds_max": message.token_seconds_max,
        "jwks_uri": message.jwks_uri,
        "ca_certificates": message.ca_certificates,
    }
    required = ("issuer", "audiences", "rules")
    said = {name: value for name, value in members.items() if value or name in required}
    try:
        return msgspec.convert(said, TrustedIssuer)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from error


def _rule_members(rule: pb.ClaimRule) -> dict[str, Any]:
    claims = {one.claim: [_value(value) for value in one.values] for one in rule.claims}
    if len(claims) != len(rule.claims):
        raise InvalidArgumentError("a claim is repeated within one rule")
    return {"claims": claims, "grants": grants.members(rule.grants)}


def _value(message: pb.ClaimValue) -> str | int | bool | None:
    kind = message.WhichOneof("kind")
    return None if kind is None else getattr(message, kind)


def _issuer(record: IssuerRecord) -> pb.Issuer:
    trusted = record.trusted
    return pb.Issuer(
        name=record.name,
        trusted=pb.TrustedIssuer(
            issuer=trusted.issuer,
            audiences=trusted.audiences,
            rules=map(_rule, trusted.rules),
            algorithms=trusted.algorithms,
            audience_claim=trusted.audience_claim,
            token_type=trusted.token_type,
            token_seconds_max=trusted.token_seconds_max,
            jwks_uri=trusted.jwks_uri,
            ca_certificates=trusted.ca_certificates,
        ),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _rule(rule: Rule) -> pb.ClaimRule:
    return pb.ClaimRule(
        claims=[
            pb.ClaimCondition(claim=name, values=map(_value_message, values))
            for name, values in rule.claims.items()
        ],
        grants=map(grants.message, rule.grants),
    )


def _value_message(value: str | int | bool) -> pb.ClaimValue:  # noqa: FBT001 - a JSON value
    if isinstance(value, bool):
        return pb.ClaimValue(flag=value)
    return pb.ClaimValue(number=value) if isinstance(value, int) else pb.ClaimValue(text=value)
