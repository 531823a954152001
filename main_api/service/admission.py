"""Which JSON Schemas are admitted as templates: `jsonschema` asks the draft's metaschema."""

import jsonschema
import msgspec
from jsonschema.exceptions import best_match

from strongroom import enrichment, jsontext, limits, templates
from strongroom.errors import InvalidDocumentError, TooLargeError


def admit(text: bytes) -> None:
    """Check a template's text.

    Raises:
        InvalidDocumentError: Not a JSON Schema that can be used here; the detail says why.
        TooLargeError: Larger than `limits.TEMPLATE_BYTES_MAX`.
    """
    if len(text) > limits.TEMPLATE_BYTES_MAX:
        raise TooLargeError(f"a template has at most {limits.TEMPLATE_BYTES_MAX} bytes")
    schema = jsontext.parse(text)
    if not isinstance(schema, dict | bool):
        raise InvalidDocumentError("a JSON Schema is an object, true or false")
    dialect = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    # Without formats: with them, valid patterns such as \p{Letter} are refused.
    metaschema = dialect(dialect.META_SCHEMA)
    error = best_match(metaschema.iter_errors(msgspec.json.decode(text)))
    if error is not None:
        raise InvalidDocumentError(f"not a JSON Schema: {error.message}")
    templates.compile_schema(schema)
    enrichment.of_schema(schema)
