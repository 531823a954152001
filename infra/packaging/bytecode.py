"""Compiles what a Lambda imports, because it cannot keep what it compiles itself.

/opt and /var/task are read-only there: without bytecode every cold start compiles every module
anew. PEP 552's unchecked hash-based files hold neither a time nor a path of the machine that made
them, so the same sources give the same bytes.
"""

import subprocess
import sys
from pathlib import Path


def compile_tree(directory: Path, runtime_path: str) -> None:
    """Write `__pycache__` for every module below a directory.

    Args:
        directory: Where the modules are now.
        runtime_path: Where they will be, for tracebacks: `/opt/python`, say.

    Raises:
        CalledProcessError: A module does not compile.
    """
    subprocess.run(  # noqa: S603 - Python's own compiler
        # In a process of its own: what is written depends on which objects are shared in memory.
        [
            *(sys.executable, "-I", "-m", "compileall", "-q"),
            *("--invalidation-mode", "unchecked-hash"),
            *("-s", str(directory), "-p", runtime_path, str(directory)),
        ],
        check=True,
        env={"PYTHONHASHSEED": "0"},
    )
