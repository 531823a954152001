"""`python -m infra.packaging`: build the function and its layer, and say how large they are."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from infra.packaging import archive, function, layer

UNZIPPED_BYTES_MAX: Final = 70 * 1000 * 1000
"""What function and layer may have together; Lambda itself ends at 250 MiB."""

_BUILD: Final = Path("build/lambda")


def main() -> int:
    """Build both; 1 where that fails, or where they are larger than they may be."""
    source = Path.cwd()
    shutil.rmtree(_BUILD, ignore_errors=True)
    _BUILD.mkdir(parents=True)
    try:
        sizes = {
            "layer": _layer(source, _BUILD / "layer.zip"),
            "function": _function(source, _BUILD / "function.zip"),
        }
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(f"package: {error}\n")
        return 1
    for name, unzipped_bytes in sizes.items():
        _report(_BUILD / f"{name}.zip", unzipped_bytes)
    together = sum(sizes.values())
    if together > UNZIPPED_BYTES_MAX:
        sys.stderr.write(
            f"package: together {together / 1e6:.1f} MB unzipped, and not below"
            f" {UNZIPPED_BYTES_MAX / 1e6:.0f} MB: see what infra/packaging/layer.py leaves out\n"
        )
        return 1
    sys.stdout.write(f"together {together / 1e6:.1f} MB unzipped\n")
    return 0


def _layer(source: Path, target: Path) -> int:
    directory = _BUILD / "layer"
    directory.mkdir()
    layer.build(source, directory)
    return archive.pack(directory, target, "python/")


def _function(source: Path, target: Path) -> int:
    staged = _BUILD / "stage"
    function.stage(source, staged)
    return function.package(source, staged, target)


def _report(path: Path, unzipped_bytes: int) -> None:
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    sys.stdout.write(
        f"{path}: {unzipped_bytes / 1e6:.1f} MB, {len(raw) / 1e6:.1f} MB zipped,"
        f" sha256 {digest[:16]}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
