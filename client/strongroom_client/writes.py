"""What a caller says of a write, as a call."""

from collections.abc import Mapping
from typing import TypedDict

from strongroom_client import calls
from strongroom_client.assembly import new_id
from strongroom_client.errors import InvalidError
from strongroom_client.values import Condition, JsonValue, encode


class Repeatable(TypedDict, total=False):
    """What any write takes.

    Attributes:
        idempotency_key: The server does the write once for it, within 24 hours and the last 16
            writes of the entity; without one, each call makes one for its own attempts.
        timeout_s: How long the call may take with all its attempts.
    """

    idempotency_key: str
    timeout_s: float


class Conditional(Repeatable, total=False):
    """What a write of one entity takes; of the three conditions at most one.

    Attributes:
        if_version: Only if the entity is there in this version.
        if_absent: Only if it is not there.
        if_present: Only if it is there.
    """

    if_version: int
    if_absent: bool
    if_present: bool


def put(
    database: str, key: str, value: JsonValue, ttl_seconds: int | None, how: Conditional
) -> calls.PutEntity:
    """Return the call of `Client.put`."""
    return calls.PutEntity(
        database=database,
        key=key,
        document=encode(value),
        ttl_seconds=ttl_seconds,
        condition=_condition(how),
        idempotency_key=idempotency_key(how),
    )


def put_many(
    database: str, values: Mapping[str, JsonValue], ttl_seconds: int | None, how: Repeatable
) -> calls.PutEntities:
    """Return the call of `Client.put_many`."""
    return calls.PutEntities(
        database=database,
        documents=documents(values),
        ttl_seconds=ttl_seconds,
        idempotency_key=idempotency_key(how),
    )


def patch(
    database: str, key: str, value: JsonValue, *, is_json_patch: bool, how: Conditional
) -> calls.PatchEntity:
    """Return the call of `Client.patch` and `Client.json_patch`."""
    return calls.PatchEntity(
        database=database,
        key=key,
        patch=encode(value),
        is_json_patch=is_json_patch,
        condition=_condition(how),
        idempotency_key=idempotency_key(how),
    )


def store_transformed(
    database: str, key: str, expression: str, how: Conditional
) -> calls.StoreTransformedEntity:
    """Return the call of `Client.store_transformed`."""
    return calls.StoreTransformedEntity(
        database=database,
        key=key,
        expression=expression,
        condition=_condition(how),
        idempotency_key=idempotency_key(how),
    )


def delete(database: str, key: str, how: Conditional) -> calls.DeleteEntity:
    """Return the call of `Client.delete`."""
    return calls.DeleteEntity(
        database=database,
        key=key,
        condition=_condition(how),
        idempotency_key=idempotency_key(how),
    )


def documents(values: Mapping[str, JsonValue]) -> dict[str, bytes]:
    """Return values as JSON texts."""
    return {key: encode(value) for key, value in values.items()}


def idempotency_key(how: Repeatable) -> str:
    """Return the caller's own key, or a new one."""
    return how.get("idempotency_key") or new_id()


def _condition(how: Conditional) -> Condition:
    version = how.get("if_version")
    absent, present = how.get("if_absent", False), how.get("if_present", False)
    if (version is not None) + absent + present > 1:
        raise InvalidError("of if_version, if_absent and if_present one at the most")
    if version is not None and not 1 <= version < 2**53:
        raise InvalidError("a version is a number from 1")
    return Condition(version, absent, present)
