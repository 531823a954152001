"""The protocol as it was in a version: every .proto file, as a set of descriptors.

    python -m tests.support.frozen_protocol tests/upgrades/protocol-1.binpb

writes that file. It is run once for each version that is released: a file that is there stands for
programs that run somewhere, and is never made anew.
"""

import importlib
import sys
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

MODULES: Final = ("admin", "auth", "common", "entity", "processing", "subscription")


def present() -> descriptor_pb2.FileDescriptorSet:
    """Return the protocol of this version, each file behind those that it imports."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for one in file.dependencies:
            add(one)
        if file.name not in found:
            proto = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(proto)
            found[file.name] = proto

    for name in MODULES:
        add(importlib.import_module(f"strongroom_pb.v1.{name}_pb2").DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=found.values())


def read(file: Path) -> descriptor_pb2.FileDescriptorSet:
    """Return a frozen one."""
    return descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes())


def main(target: Path) -> int:
    """Make the file."""
    if target.exists():
        sys.stderr.write(f"{target} is there, and stands for programs that run\n")
        return 1
    target.write_bytes(present().SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
