"""What both workers mean by an entity's condition and metadata."""

from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom.errors import PreconditionFailedError


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to hold of the entity; the default asks for nothing (RFC 9110 section 13).

    Attributes:
        if_version: It is there in this version.
        if_absent: It is not there.
        if_present: It is there.
        if_one_of: It is there in one of these versions; empty for any.
        if_none_of: It is not there in one of these versions.
    """

    if_version: int | None = None
    if_absent: bool = False
    if_present: bool = False
    if_one_of: tuple[int, ...] = ()
    if_none_of: tuple[int, ...] = ()

    def check(self, version: int | None) -> None:
        """Compare with the version that is there, None where nothing is.

        Raises:
            PreconditionFailedError: It does not hold.
        """
        holds = (
            (self.if_version is None or self.if_version == version)
            and not (self.if_absent and version is not None)
            and not (self.if_present and version is None)
            and (not self.if_one_of or version in self.if_one_of)
            and version not in self.if_none_of
        )
        if not holds:
            raise PreconditionFailedError(
                "the entity is not as the request demands", current_version=version or 0
            )


UNCONDITIONAL: Final = Condition()


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """What is known of an entity beside its document; timestamps are RFC 3339."""

    version: int
    created_at: str
    updated_at: str
    expires_at: str | None
    schema_id: str
    schema_version: int
