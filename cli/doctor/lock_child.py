"""A process that tries to lock bytes of a file, and says which it got.

    python -m cli.doctor.lock_child FILE OFFSET...

Prints a JSON list of booleans and ends, holding what it got: the kernel gives it back.
"""

import sys

from strongroom import jsontext
from strongroom.durable import LocalFilesystem


def main(path: str, *offsets: str) -> None:
    """Try each."""
    filesystem = LocalFilesystem()
    descriptor = filesystem.open_lock_file(path)
    got = [filesystem.try_lock(descriptor, int(offset)) for offset in offsets]
    sys.stdout.write(jsontext.dump(got).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
