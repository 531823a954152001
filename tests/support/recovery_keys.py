"""Recovery keys for tests, made once per process: each takes a second, and a third to be opened."""

from functools import cache

from main_api.adapters.keys import recovery_key
from main_api.adapters.keys.escrow import EscrowOpener
from main_api.adapters.keys.recovery_key import RecoveryPrivateKey


@cache
def one() -> RecoveryPrivateKey:
    """Return the deployment's."""
    return recovery_key.make()


@cache
def other() -> RecoveryPrivateKey:
    """Return another deployment's."""
    return recovery_key.make()


@cache
def opener() -> EscrowOpener:
    """Return what opens what was wrapped for the deployment's."""
    return EscrowOpener(one())


@cache
def foreign_opener() -> EscrowOpener:
    """Return what opens what was wrapped for the other's."""
    return EscrowOpener(other())
