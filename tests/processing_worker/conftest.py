"""A shared directory with one database, for engines without a deployment around them."""

from pathlib import Path

import pytest

from tests.support.engines import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a fresh shared directory."""
    return Rig(tmp_path)
