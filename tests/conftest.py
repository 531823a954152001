"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A running deployment with two workers; tests that share it leave it as they found it."""
    running = Deployment(tmp_path_factory.mktemp("deployment")).start()
    yield running
    assert running.stop() == 0
