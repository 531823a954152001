"""Writes the Python stubs in layers/core/python/strongroom_pb from the .proto files beside it.

    python proto/generate.py            write them
    python proto/generate.py --check    write nothing; exit 1 where the committed ones are stale

The .proto files lie under proto/strongroom_pb/v1/, because protoc makes the path below its include
directory the import path of the stubs: `from strongroom_pb.v1 import entity_pb2`.
"""

import argparse
import re
import sys
import sysconfig
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from grpc_tools import protoc

PROTO_DIR = Path(__file__).resolve().parent
STUBS_DIR = PROTO_DIR.parent / "layers" / "core" / "python"
PACKAGE = "strongroom_pb"
INIT = '"""Generated from proto/ by `make proto`: not to be edited."""\n'


def main() -> int:
    """Write or check the stubs; return the exit code."""
    arguments = argparse.ArgumentParser(description="Python stubs from the .proto files")
    arguments.add_argument("--check", action="store_true", help="only say whether they are stale")
    check_only = arguments.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = contents(Path(scratch))
    committed = contents(STUBS_DIR)
    stale = sorted(
        path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path)
    )
    if check_only:
        for path in stale:
            print(f"stale: {path} (run `make proto`)", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        write(STUBS_DIR / path, fresh.get(path))
        print(f"{'wrote' if path in fresh else 'removed'} {path}")
    return 0


def generate(output: Path) -> None:
    """Generate all stubs, with their types, below `output`.

    Raises:
        SystemExit: protoc refused a file; it has said why on stderr.
    """
    sources = sorted(PROTO_DIR.glob(f"{PACKAGE}/**/*.proto"))
    services = [
        path for path in sources if re.search(r"^service\b", path.read_text(), re.MULTILINE)
    ]
    run_protoc(sources, f"--python_out={output}", f"--mypy_out=quiet:{output}")
    run_protoc(services, f"--grpc_python_out={output}", f"--mypy_grpc_out=quiet:{output}")
    for directory in {parent for path in output.rglob("*.py") for parent in path.parents}:
        if directory.is_relative_to(output / PACKAGE):
            (directory / "__init__.py").write_text(INIT)


def run_protoc(sources: list[Path], *outputs: str) -> None:
    """Run protoc over `sources`, with the plugins of the environment that runs this script."""
    scripts = sysconfig.get_path("scripts")
    includes = [
        PROTO_DIR,
        distribution("googleapis-common-protos").locate_file(""),  # google/rpc
        distribution("grpcio-tools").locate_file("grpc_tools/_proto"),  # google/protobuf
    ]
    exit_code = protoc.main(
        [
            "protoc",
            *(f"--plugin={scripts}/protoc-gen-{name}" for name in ("mypy", "mypy_grpc")),
            *(f"--proto_path={path}" for path in includes),
            *outputs,
            *(str(path) for path in sources),
        ]
    )
    if exit_code != 0:
        sys.exit(exit_code)


def contents(root: Path) -> dict[Path, bytes]:
    """Return the generated files below `root`: path from there, and bytes."""
    return {
        path.relative_to(root): path.read_bytes()
        for path in (root / PACKAGE).rglob("*.py*")
        if path.suffix in {".py", ".pyi"}
    }


def write(path: Path, content: bytes | None) -> None:
    """Write one stub, or remove it where there is no content for it any more."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
