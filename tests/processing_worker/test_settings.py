"""What a Processing Worker takes of its environment."""

import pytest

from processing_fn import settings
from strongroom.errors import InvalidArgumentError

NEEDED = {
    "STRONGROOM_WORKER_ID": "worker-1",
    "STRONGROOM_SHARED_DIR": "/shared",
    "STRONGROOM_MAIN_ADDRESS": "main:50052",
    "STRONGROOM_CA_FILE": "ca.pem",
    "STRONGROOM_CERTIFICATE_FILE": "own.pem",
    "STRONGROOM_KEY_FILE": "own.key",
}


@pytest.mark.parametrize("name", ["LISTEN_PORT", "CACHE_BYTES", "CACHE_TTL_SECONDS"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e30", "many"])
def test_a_number_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    """A slip of the pen starts a worker without a cache, or ends it with a stack trace."""
    with pytest.raises(InvalidArgumentError, match=f"STRONGROOM_{name} is a number from 0 to"):
        settings.from_environment({**NEEDED, f"STRONGROOM_{name}": value})


def test_the_cache_may_be_switched_off() -> None:
    """A worker that is to keep nothing in memory does not start."""
    told = settings.from_environment({**NEEDED, "STRONGROOM_CACHE_BYTES": "0"})
    assert told.cache_bytes == 0


def test_an_empty_variable_is_as_good_as_none() -> None:
    """A worker is not reached, because what starts it sets variables to nothing."""
    names = ("LISTEN_HOST", "ADVERTISE_HOST", "LISTEN_PORT", "CACHE_BYTES")
    empty = {f"STRONGROOM_{name}": "" for name in names}
    assert settings.from_environment({**NEEDED, **empty}) == settings.from_environment(NEEDED)
