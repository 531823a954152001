"""`python -m infra.packaging`: build the function and its layer, and say how large they are."""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from infra.packaging import archive, function, layer

UNZIPPED_BYTES_MAX: Final = 70 * 1000 * 1000
"""What function and layer may have together; Lambda itself ends at 250 MiB."""


def main() -> int:
    """Build both; 1 where that fails, or where they are larger than they may be."""
    parser = argparse.ArgumentParser(prog="python -m infra.packaging", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/lambda"))
    output: Path = parser.parse_args().output
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    source = Path.cwd()
    try:
        sizes = {"layer": _layer(source, output), "function": _function(source, output)}
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(f"package: {error}\n")
        return 1
    for name, unzipped_bytes in sizes.items():
        _report(output / f"{name}.zip", unzipped_bytes)
    together = sum(sizes.values())
    if together > UNZIPPED_BYTES_MAX:
        sys.stderr.write(
            f"package: together {together / 1e6:.1f} MB unzipped, and not below"
            f" {UNZIPPED_BYTES_MAX / 1e6:.0f} MB: see what infra/packaging/layer.py leaves out\n"
        )
        return 1
    sys.stdout.write(f"together {together / 1e6:.1f} MB unzipped\n")
    return 0


def _layer(source: Path, output: Path) -> int:
    directory = output / "layer"
    directory.mkdir()
    layer.build(source, directory)
    return archive.pack(directory, output / "layer.zip", "python/")


def _function(source: Path, output: Path) -> int:
    staged = output / "stage"
    function.stage(source, staged)
    return function.package(source, staged, output / "function.zip")


def _report(path: Path, unzipped_bytes: int) -> None:
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    sys.stdout.write(
        f"{path}: {unzipped_bytes / 1e6:.1f} MB, {len(raw) / 1e6:.1f} MB zipped,"
        f" sha256 {digest[:16]}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
