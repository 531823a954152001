"""Fixtures that more than one folder of tests uses."""

import resource
from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment


def pytest_configure() -> None:
    """Open as many files as may be: the workers of engine tests live as long as this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A running deployment with two workers; tests that share it leave it as they found it."""
    running = Deployment(tmp_path_factory.mktemp("deployment")).start()
    yield running
    assert running.stop() == 0
