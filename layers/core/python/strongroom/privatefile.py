"""Files with a secret in them: made once, for one user, and read only while nobody else can.

They lie outside the shared directory: a master key on a machine without AWS, a recovery key on its
way to a safe, the export of a keyring. `durable` is for what lies inside.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from strongroom.errors import ConflictError, NotFoundError, UnavailableError
from strongroom.layout import TEMPORARY_PREFIX

_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077
# Of filesystems without hard links, as memory sticks have them.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def create(path: Path, data: bytes, *, mode: int = _PRIVATE) -> None:
    """Make a file that is not there yet: whole, durable, and in nobody's place.

    Args:
        path: Its directory has to be there.
        data: Its content.
        mode: Who may read it.

    Raises:
        ConflictError: There is something of this name; it stays as it is.
        OSError: As the kernel says; nothing is left behind.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        _write(temporary, data, mode)
        try:
            # Unlike a rename it refuses to take the place of another file.
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write_or_remove(path, data, mode)
    except FileExistsError:
        raise ConflictError(f"{path} is there already and is not overwritten") from None
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _sync_directory(path.parent)


def read(path: Path, size_max: int) -> bytes:
    """Return the content of a file that only its owner can read.

    Raises:
        NotFoundError: There is none.
        UnavailableError: It is no regular file, others may read it, it is longer than `size_max`
            bytes, or the kernel refuses; the detail says what to do.
    """
    try:
        # Not through a symbolic link, and without waiting for whoever writes to a pipe.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing") from None
    except OSError as error:
        raise UnavailableError(_refusal(path, error)) from error
    try:
        _require_private(path, os.fstat(descriptor))
        data = os.read(descriptor, size_max + 1)
    except OSError as error:
        raise UnavailableError(_refusal(path, error)) from error
    finally:
        os.close(descriptor)
    if len(data) > size_max:
        raise UnavailableError(f"{path} is longer than {size_max} bytes: it is another file")
    return data


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnavailableError(f"{path} is not a regular file")
    if status.st_mode & _OTHERS:
        raise UnavailableError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, so that others may read or change"
            f" it; run `chmod 600 {path}`, and consider who has read it so far"
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise UnavailableError(f"{path} belongs to another user, who may read and change it")


def _refusal(path: Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"{path} is a symbolic link; name the file itself"
    return f"{path} cannot be read: {error.strerror}"


def _write_or_remove(path: Path, data: bytes, mode: int) -> None:
    try:
        _write(path, data, mode)
    except FileExistsError:
        raise
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise


def _write(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
