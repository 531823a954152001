"""Documents against templates, with jsonschema-rs (0.6 us where jsonschema takes 125)."""

from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from strongroom import jsontext, limits, templates
from strongroom.configuration import Template
from strongroom.errors import (
    IntegrityError,
    InvalidDocumentError,
    SchemaViolationError,
    Violation,
)


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template ready to decide."""

    template: Template
    validator: jsonschema_rs.Validator

    def check(self, document: bytes) -> None:
        """Decide about a document.

        Raises:
            InvalidDocumentError: It is not JSON as we keep it.
            TooLargeError: It has too many members.
            SchemaViolationError: The template refuses it; no value is in the error.
        """
        value = jsontext.parse(document)
        if not self.validator.is_valid(value):
            raise SchemaViolationError(
                "the document does not satisfy its template",
                violations=self._violations(value),
            )

    def _violations(self, value: jsontext.JsonValue) -> list[Violation]:
        violations: list[Violation] = []
        for error in self.validator.iter_errors(value):
            if len(violations) == limits.VIOLATIONS_REPORTED_MAX:
                break
            violations.append(
                Violation(_pointer(error.instance_path), error.kind.name, error.message)
            )
        return violations


def compile_template(template: Template) -> CompiledTemplate:
    """Compile a template that was admitted when it was stored.

    Raises:
        IntegrityError: It cannot be compiled here.
    """
    try:
        validator = templates.compile_schema(jsontext.parse(bytes(template.schema)))
    except InvalidDocumentError as error:
        raise IntegrityError(f"the template {template.schema_id} does not compile") from error
    return CompiledTemplate(template, validator)


def _pointer(path: list[Any]) -> str:
    """Return the JSON Pointer (RFC 6901) of a path."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "".join(f"/{part}" for part in parts)
