"""Whether a keyring is the one of the directory that it lies in.

Two deployments may share a master key. Then the keyring's file of the one opens in the directory of
the other: its message names its own deployment. What lies beside it does not verify.
"""

from collections.abc import Callable
from typing import Final

from main_api.service.ports import ControlStore, Kind
from strongroom.errors import IntegrityError

_TRIED: Final = 3


def require_own(store: ControlStore) -> None:
    """Refuse to start with a keyring under which nothing verifies of what was made under one.

    One record is enough, and read at a start; three of each kind are tried before it is refused, so
    that a damaged one stops nobody.

    Raises:
        IntegrityError: There are records, and none verifies.
        UnavailableError: The disk refuses.
    """
    reads: dict[Kind, Callable[[str], object]] = {
        Kind.CLIENT: store.client,
        Kind.DATABASE: store.database_record,
        Kind.TEMPLATE: store.template_record,
    }
    tried = 0
    for kind, read in reads.items():
        for name in store.names(kind)[:_TRIED]:
            try:
                read(name)
            except IntegrityError:
                tried += 1
            else:
                return
    if tried:
        raise IntegrityError(
            "the keyring is another deployment's: no client, database or template that lies here"
            " verifies under it; restore control/keyring.json from a backup of this directory"
        )
