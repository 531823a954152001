"""Documents against templates, with jsonschema-rs (0.6 us where jsonschema takes 125)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs

from processing_fn.service import explaining
from strongroom import enrichment, jsontext, limits, templates, tracing
from strongroom.configuration import Template
from strongroom.enrichment import Creation, Enrichment
from strongroom.errors import (
    IntegrityError,
    InvalidDocumentError,
    SchemaViolationError,
    StrongroomError,
    TooLargeError,
    Violation,
)

_TOO_INVOLVED: Final = Violation(
    "", "template", "the document is too large, or its template branches too much, to say where"
)


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template ready to decide."""

    template: Template
    validator: jsonschema_rs.Validator
    enrichment: Enrichment
    branching: float

    def completed(self, document: bytes, creation: Creation) -> bytes:
        """Return a document with what the template has the server add to it.

        Args:
            document: JSON text; it comes back as it is when the template asks for nothing.
            creation: The entity's.

        Raises:
            InvalidDocumentError: It is not JSON as we keep it.
            TooLargeError: With what is added it is larger than an entity may be.
        """
        if self.enrichment.is_empty():
            return document
        value = jsontext.parse(document)
        self.enrichment.apply(value, len(document), creation)
        return jsontext.dump(value)

    @tracing.spanned("validate")
    def check(self, document: bytes) -> None:
        """Decide about a document.

        Raises:
            InvalidDocumentError: It is not JSON as we keep it.
            TooLargeError: It has too many bytes or members.
            SchemaViolationError: The template refuses it; no value is in the error.
        """
        if len(document) > limits.ENTITY_BYTES_MAX:
            raise TooLargeError(f"an entity has at most {limits.ENTITY_BYTES_MAX} bytes")
        value = jsontext.parse(document)
        if not self.validator.is_valid(value):
            raise SchemaViolationError(
                "the document does not satisfy its template",
                violations=self._violations(value, len(document)),
            )

    def _violations(self, value: jsontext.JsonValue, size_bytes: int) -> list[Violation]:
        """Say what is wrong, as far as that takes no more work than the document is worth."""
        if size_bytes * self.branching > limits.EXPLAINED_BYTES_MAX:
            return [self._first_violation(value)] if self.branching == 1 else [_TOO_INVOLVED]
        violations: list[Violation] = []
        for error in self.validator.iter_errors(value):
            if len(violations) == limits.VIOLATIONS_REPORTED_MAX:
                break
            violations.append(_violation(error))
        return violations

    def _first_violation(self, value: jsontext.JsonValue) -> Violation:
        try:
            self.validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return _violation(error)
        return _TOO_INVOLVED


def compile_template(template: Template) -> CompiledTemplate:
    """Compile a template that was admitted when it was stored.

    Raises:
        IntegrityError: It cannot be compiled here.
    """
    try:
        schema = jsontext.parse(bytes(template.schema))
        validator = templates.compile_schema(schema)
        asked = enrichment.of_schema(schema)
    except InvalidDocumentError as error:
        raise IntegrityError(f"the template {template.schema_id} does not compile") from error
    return CompiledTemplate(template, validator, asked, explaining.branching(schema))


def bounded(verdicts: Iterable[StrongroomError | None]) -> list[StrongroomError | None]:
    """Return verdicts on many documents, as one answer can hold them.

    The reasons of one document may take as much as a twentieth of a message. Past the bound a
    verdict keeps its first one alone.
    """
    found: list[StrongroomError | None] = []
    left_bytes = limits.VERDICTS_BYTES_MAX
    for verdict in verdicts:
        if verdict is not None:
            left_bytes -= sum(map(_size_bytes, verdict.violations))
            if left_bytes < 0:
                verdict.violations = verdict.violations[:1]
        found.append(verdict)
    return found


def _size_bytes(violation: Violation) -> int:
    texts = len(violation.pointer.encode()) + len(violation.detail.encode())
    return limits.ITEM_OVERHEAD_BYTES + texts


def _violation(error: jsonschema_rs.ValidationError) -> Violation:
    place = _clipped(_pointer(error.instance_path))
    return Violation(place, error.kind.name, _clipped(error.message))


def _pointer(path: list[Any]) -> str:
    """Return the JSON Pointer (RFC 6901) of a path."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "".join(f"/{part}" for part in parts)


def _clipped(text: str) -> str:
    """Return the beginning of a text in which names of a document's members stand."""
    longest = limits.VIOLATION_CHARS_MAX
    return text if len(text) <= longest else text[: longest - 1] + "…"
