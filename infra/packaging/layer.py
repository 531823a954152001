"""The layer: the shared kernel, its stubs, and the locked wheels of what they import.

Lambda unpacks it to /opt, and /opt/python is on the path.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from infra.packaging import bytecode

RUNTIME_PATH: Final = "/opt/python"
_UV: Final = Path(".venv/bin/uv")
_KERNEL: Final = Path("layers/core/python")
_LOCK: Final = Path("requirements/layer.txt")
# Lambda's Python 3.11 runs on Amazon Linux 2, with glibc 2.26.
_PLATFORM: Final = "x86_64-manylinux2014"
_PYTHON: Final = "3.11"
RUNTIME: Final = f"python{_PYTHON}"
"""What the layer is made for."""

_SERVICES: Final = frozenset({"kms", "secretsmanager", "sts"})
"""The service models of botocore that are called: of keys, of certificates, and STS for roles."""

_ENDPOINTS: Final = Path("botocore/data/endpoints.json")
"""Where every service of AWS is, in every region; read whole for the first client."""

_KEPT_OF_METADATA: Final = frozenset({"METADATA", "entry_points.txt"})
_DIRECTORIES_LEFT_OUT: Final = frozenset(
    {"__pycache__", "tests", "test", "bin", "include", "sboms"}
)
_SUFFIXES_LEFT_OUT: Final = frozenset({".pyi", ".proto", ".rst", ".js", ".lock", ".c", ".h"})
_FILES_LEFT_OUT: Final = frozenset(
    {
        Path("grpc/_cython/_credentials/roots.pem"),
        Path("dateutil/zoneinfo/dateutil-zoneinfo.tar.gz"),
    }
)
"""The internet's authorities, where every channel of ours names its own; and time zones."""
_LEFT_OUT: Final = frozenset(
    {Path("cffi"), Path("pycparser")}
    | {Path("boto3", name) for name in ("data", "examples")}
    | {
        Path("google", name)
        for name in ("api", "cloud", "gapic", "iam", "logging", "longrunning", "shopping", "type")
    }
)
"""The compiler's side of cffi (cryptography loads _cffi_backend alone), models of boto3's
resources, and messages of Google's services beside google.rpc."""


def build(source: Path, target: Path) -> None:
    """Lay out what stands under /opt/python.

    Args:
        source: The root of the repository.
        target: An empty directory.

    Raises:
        CalledProcessError: The wheels cannot be had, or one does not match its hash.
    """
    subprocess.run(  # noqa: S603 - the command of this environment
        [
            *(str(source / _UV), "pip", "install", "--quiet", "--no-config"),
            *("--target", str(target), "--link-mode", "copy"),
            *("--python-version", _PYTHON, "--python-platform", _PLATFORM),
            *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
            *("--requirements", str(source / _LOCK)),
        ],
        check=True,
    )
    for path in list(_left_out(target)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _leave_endpoints_of(_SERVICES, target / _ENDPOINTS)
    shutil.copytree(source / _KERNEL, target, dirs_exist_ok=True, ignore=only_modules)
    bytecode.compile_tree(target, RUNTIME_PATH)


def _leave_endpoints_of(services: frozenset[str], path: Path) -> None:
    endpoints = msgspec.json.decode(path.read_bytes())
    for partition in endpoints["partitions"]:
        every = partition["services"]
        partition["services"] = {name: every[name] for name in sorted(services & every.keys())}
    path.write_bytes(msgspec.json.encode(endpoints))


def only_modules(_directory: str, names: list[str]) -> set[str]:
    """Say what `shutil.copytree` leaves out of a package of ours."""
    return {n for n in names if n == "__pycache__" or Path(n).suffix not in {"", ".py", ".typed"}}


def _left_out(target: Path) -> Iterator[Path]:
    """Yield what no Lambda reads, outermost first, nothing below what was yielded."""
    for directory, folders, files in os.walk(target):
        above = Path(directory)
        for name in [n for n in folders if _is_left_out((above / n).relative_to(target))]:
            folders.remove(name)
            yield above / name
        yield from (
            above / name
            for name in files
            if _is_file_left_out(above / name)
            or (above / name).relative_to(target) in _FILES_LEFT_OUT
        )


def _is_left_out(directory: Path) -> bool:
    if directory.parent == Path("botocore", "data"):
        return directory.name not in _SERVICES
    return directory in _LEFT_OUT or directory.name in _DIRECTORIES_LEFT_OUT


def _is_file_left_out(path: Path) -> bool:
    if ".dist-info" in path.parent.name:
        return path.name not in _KEPT_OF_METADATA
    return path.suffix in _SUFFIXES_LEFT_OUT and "licenses" not in path.parts
