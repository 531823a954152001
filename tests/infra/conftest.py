"""The templates are synthesized once for all tests, in a process of their own."""

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import stage
from infra.packaging import function
from tests.support.synthesized import Templates

SOURCE = Path(__file__).parents[2]
STAGES = Path(__file__).parent / "stages"


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python -m infra`: the stage `full`, where everything optional is on."""
    base = tmp_path_factory.getbasetemp()
    # One for all processes of pytest-xdist.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "synthesized"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            _synthesize(shared)
            (shared / "done").touch()
    return shared


def _synthesize(shared: Path) -> None:
    package = shared / "package"
    package.mkdir()
    function.stage(SOURCE, package / "stage")
    # Of the layer a template says the digest alone.
    with zipfile.ZipFile(package / "layer.zip", "w") as layer:
        layer.writestr("python/strongroom/__init__.py", "")
    # Both in one process: most of its time goes into the start of the CDK.
    stages = shared / "stages"
    shutil.copytree(STAGES, stages)
    shutil.copy(stage.STAGES / "dev.json", stages)
    done = subprocess.run(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "infra", "--package", str(package), "--output", str(shared)),
            *("--stages", str(stages), "--stage", "full", "--stage", "dev"),
        ],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def full(synthesized: Path) -> Templates:
    """Everything optional is on."""
    return Templates.read(synthesized, "full")


@pytest.fixture(scope="session")
def dev(synthesized: Path) -> Templates:
    """The smallest stage."""
    return Templates.read(synthesized, "dev")
