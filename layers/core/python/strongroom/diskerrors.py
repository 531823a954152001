"""What clients are told of an error of the kernel's; a path of the server is not for them."""

import errno
from typing import Final

from strongroom.errors import IntegrityError, StrongroomError, UnavailableError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_OURS: Final = frozenset({errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.EAGAIN})


def translated(error: OSError) -> StrongroomError:
    """Return the error that it is to a client."""
    if error.errno in _FULL:
        return UnavailableError("the storage is full", retry_after_s=30)
    if error.errno in _NOT_OURS:
        return IntegrityError("a stored file is not one of ours")
    return UnavailableError("the storage does not answer", retry_after_s=1)
