"""What every attack starts with: clients of a running deployment, made for one test."""

from collections.abc import Iterator

import pytest

from tests.support.attackers import Intruders, intruders
from tests.support.deployment import Deployment


@pytest.fixture
def making(deployment: Deployment) -> Iterator[Intruders]:
    """Return what makes clients; they are removed after the test."""
    with intruders(deployment) as found:
        yield found
