"""Patches of documents: RFC 7396 (merge patch) and RFC 6902 (JSON patch). Digits are kept."""

from enum import Enum

import jsonpatch

from strongroom import jsontext, limits
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    PatchFailedError,
    TooLargeError,
)
from strongroom.jsontext import JsonValue


class PatchKind(Enum):
    """Which RFC a patch follows."""

    MERGE = "merge"
    JSON = "json"


class Patch:
    """A patch, parsed and checked for its form."""

    def __init__(self, kind: PatchKind, text: bytes) -> None:
        """Parse it.

        Raises:
            InvalidDocumentError, TooLargeError: It is not JSON as we take it.
            InvalidArgumentError: It is not a JSON patch, or has too many operations.
        """
        self._kind = kind
        self._patch = jsontext.parse(text)
        if kind is PatchKind.JSON:
            self._check_operations()

    def apply(self, document: bytes) -> bytes:
        """Return the patched document.

        Raises:
            ConflictError: A `test` operation fails.
            PatchFailedError: A path leads nowhere.
            TooLargeError: The result is too large.
        """
        value = jsontext.parse(document)
        if self._kind is PatchKind.MERGE:
            return jsontext.dump(_merged(value, self._patch))
        try:
            for operation in self._patch:
                value = _applied(value, operation)
            return jsontext.dump(value)
        except RecursionError:
            raise TooLargeError("the patched document is nested too deep") from None

    def _check_operations(self) -> None:
        if not isinstance(self._patch, list):
            raise InvalidArgumentError("a JSON patch is a list of operations")
        if len(self._patch) > limits.PATCH_OPERATIONS_MAX:
            raise InvalidArgumentError(
                f"a JSON patch has at most {limits.PATCH_OPERATIONS_MAX} operations"
            )
        try:
            jsonpatch.JsonPatch(self._patch)
        except (jsonpatch.InvalidJsonPatch, jsonpatch.JsonPointerException, TypeError) as error:
            raise InvalidArgumentError("not a JSON patch (RFC 6902)") from error


def _merged(target: JsonValue, patch: JsonValue) -> JsonValue:
    """MergePatch of RFC 7396 section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _applied(value: JsonValue, operation: JsonValue) -> JsonValue:
    if operation["op"] == "copy" and jsontext.size(value) > limits.MEMBERS_MAX:
        # A copy of a whole into a part of it doubles; a hundred of them would not end.
        raise TooLargeError(f"the patched document has more than {limits.MEMBERS_MAX} members")
    try:
        return jsonpatch.JsonPatch([operation]).apply(value, in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise ConflictError("a test operation of the patch fails") from error
    except (jsonpatch.JsonPatchConflict, jsonpatch.JsonPointerException) as error:
        raise PatchFailedError("a path of the patch leads nowhere") from error
    except jsonpatch.InvalidJsonPatch as error:
        raise InvalidArgumentError("not a JSON patch (RFC 6902)") from error
