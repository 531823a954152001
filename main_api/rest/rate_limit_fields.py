"""The fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11.

Both are lists of items (RFC 9651): a policy's name as a string, with parameters.

    RateLimit-Policy: "requests";q=20;w=2, "bytes";q=1000000;qu="content-bytes";w=10
    RateLimit: "requests";r=19;t=2, "bytes";r=998877;t=10
"""

from collections.abc import Iterable
from functools import cache

from main_api.domain.buckets import Policy, Standing
from main_api.service.buckets import QuotaExceededError


def fields(policies: tuple[Policy, ...], standings: Iterable[Standing]) -> dict[str, str]:
    """Return both fields; at least one policy applies."""
    left = ", ".join(
        f'"{standing.policy.name}";r={standing.available};t={standing.effective_window_s}'
        for standing in standings
    )
    return {"RateLimit-Policy": _policies(policies), "RateLimit": left}


def of_refusal(error: QuotaExceededError) -> dict[str, str]:
    """Return the fields of a refusal.

    Only what refuses is told of: `Retry-After` must not be earlier than the end of any effective
    window (section 6), and a policy with units left does not make the client wait.
    """
    return fields(error.policies, error.violated)


@cache
def _policies(policies: tuple[Policy, ...]) -> str:
    # There are as many as settings name: two kinds of refusals, and quotas.
    return ", ".join(map(_policy, policies))


def _policy(policy: Policy) -> str:
    unit = "" if policy.unit == "requests" else f';qu="{policy.unit}"'
    return f'"{policy.name}";q={policy.burst}{unit};w={policy.window_s}'
