"""The function: app.py and the Main Worker, staged as a project of Chalice's and packaged by it.

Chalice ships app.py, what lies in vendor/, and its own router; what requirements.txt names, too,
and so there it names nothing: third-party code is the layer's. Its cache of packages compares
contents and no names, so each stage is made from nothing.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from infra.packaging import archive, bytecode
from infra.packaging.layer import only_modules

RUNTIME_PATH: Final = "/var/task"
_CHALICE: Final = Path(".venv/bin/chalice")
_STAGE: Final = "prod"


def stage(source: Path, target: Path) -> None:
    """Lay out the project of Chalice's.

    Args:
        source: The root of the repository.
        target: A directory that is not there yet.

    Raises:
        CalledProcessError: A module does not compile.
    """
    main = target / "vendor" / "main_api"
    shutil.copytree(source / "main_api", main, ignore=only_modules)
    shutil.copytree(
        source / ".chalice", target / ".chalice", ignore=shutil.ignore_patterns("depl*")
    )
    shutil.copy(source / "app.py", target)
    (target / "requirements.txt").touch()
    bytecode.compile_tree(target / "vendor", RUNTIME_PATH)


def package(source: Path, staged: Path, target: Path) -> int:
    """Have Chalice package a staged project; return its size unzipped, in bytes.

    What is in Chalice's cache afterwards are the same bytes as in `target`, so a CDK app that takes
    the staged project deploys them.

    Args:
        source: The root of the repository.
        staged: What `stage` has laid out.
        target: The zip file to write.

    Raises:
        CalledProcessError: Chalice refuses; it says why.
    """
    command = [str((source / _CHALICE).absolute()), "package", "--stage", _STAGE]
    output = staged.parent / "chalice"
    subprocess.run(  # noqa: S603 - the command of this environment
        [*command, str(output.absolute())],
        check=True,
        cwd=staged,
        # It wants a region, and writes none.
        env={"AWS_DEFAULT_REGION": "us-east-1", **os.environ},
        stdout=subprocess.DEVNULL,
    )
    size = archive.normalize(output / "deployment.zip", target)
    for cached in (staged / ".chalice" / "deployments").glob("*.zip"):
        shutil.copy(target, cached)
    return size
