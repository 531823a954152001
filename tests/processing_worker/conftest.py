"""A shared directory with one database, for engines without a deployment around them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a fresh shared directory."""
    made = Rig(tmp_path)
    yield made
    made.close()
