"""JSON Schema templates, compiled the same way wherever a document or a template is judged."""

from typing import Final

import jsonschema_rs

from strongroom import jsontext, limits
from strongroom.errors import InvalidDocumentError

_MASK: Final = "the value"


def compile_schema(schema: jsontext.JsonValue) -> jsonschema_rs.Validator:
    """Return a validator; references lead into the schema or to a draft's metaschema, never out.

    `format` is asserted unless the schema says `"x-format": "annotate"`. Patterns may backtrack a
    bounded number of times. Messages show no value of a document.

    Raises:
        InvalidDocumentError: The schema cannot be compiled.
    """
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=_asserts_formats(schema),
            offline=True,
            mask=_MASK,
            pattern_options=jsonschema_rs.FancyRegexOptions(
                backtrack_limit=limits.PATTERN_BACKTRACKS_MAX
            ),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InvalidDocumentError("the schema does not compile") from error


def _asserts_formats(schema: jsontext.JsonValue) -> bool:
    return not (isinstance(schema, dict) and schema.get("x-format") == "annotate")
