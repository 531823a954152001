"""On what a run was made: without it no figure can be compared with another one."""

import os
import platform
import subprocess
from pathlib import Path

from strongroom.clock import SystemClock, rfc3339


def facts() -> dict[str, str]:
    """Return the machine, its software, the date and the commit."""
    return {
        "date": rfc3339(SystemClock().wall_ms()),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return "unknown"


def _commit() -> str:
    # From where the code lies, whatever directory it is run in.
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(  # noqa: S603 - fixed
            command, cwd=here, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
