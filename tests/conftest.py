"""Fixtures that more than one folder of tests uses."""

import gc
import resource
from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment

# These take longest, a minute and more each: begun first, none of them is waited for in the end.
LONGEST = (
    "e2e/test_recovery_drill.py",
    "e2e/test_disaster_drill.py",
    "docs/test_backup.py",
    "docs/test_tutorial.py",
    "e2e/test_key_provider_faults.py",
    "e2e/test_life_and_death.py",
    "e2e/test_rewrap.py",
    "e2e/test_keys_command.py",
    "conformance/test_rest_conformance.py",
    "packages/test_lambda.py",
    "docs/test_readme.py",
)
# What starts processes comes next; what is left in the end is short.
WAITING = ("e2e", "docs", "conformance", "packages", "infra", "upgrades")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, whose order is a random one otherwise, by how long they take."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    name = "/".join(item.path.parts[-2:])
    if name in LONGEST:
        return LONGEST.index(name)
    # What forks this process, hundreds of times, comes before it has grown: a fork takes as long as
    # the process is large.
    if isinstance(item, pytest.Function) and hasattr(item.module, "killed_at"):
        return len(LONGEST)
    return len(LONGEST) + 1 + (item.path.parent.name not in WAITING)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the tests and all that is imported be: each collection of garbage would look at them."""
    gc.collect()
    gc.freeze()


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
