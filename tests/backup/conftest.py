"""A deployment's directory to take backups of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backups import BackupRig


@pytest.fixture
def backups(tmp_path: Path) -> Iterator[BackupRig]:
    """Return a deployment with no entities and no backup."""
    made = BackupRig(tmp_path)
    yield made
    made.rig.close()
