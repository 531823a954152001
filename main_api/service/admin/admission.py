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
    if isinstance(schema, dict) and not isinstance(schema.get("$schema", ""), str):
        raise InvalidDocumentError("$schema names a draft by its URI")
    try:
        dialect = jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        )
    except ValueError as error:
        raise InvalidDocumentError("$schema names a draft by its URI") from error
    # Without formats: with them, valid patterns such as \p{Letter} are refused.
    metaschema = dialect(dialect.META_SCHEMA)
    try:
        refusal = best_match(metaschema.iter_errors(msgspec.json.decode(text)))
    except msgspec.MsgspecError as beyond:
        raise InvalidDocumentError("a number in the schema is beyond a double") from beyond
    if refusal is not None:
        raise InvalidDocumentError(f"not a JSON Schema: {refusal.message}")
    templates.compile_schema(schema)
    enrichment.of_schema(schema)
