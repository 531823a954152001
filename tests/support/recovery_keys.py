"""Recovery keys for tests, made once per process: each takes a second."""

from functools import cache

from main_api.adapters.keys import recovery_key
from main_api.adapters.keys.recovery_key import RecoveryPrivateKey


@cache
def one() -> RecoveryPrivateKey:
    """Return the deployment's."""
    return recovery_key.make()


@cache
def other() -> RecoveryPrivateKey:
    """Return another deployment's."""
    return recovery_key.make()
