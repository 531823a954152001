"""What is wrong with a document is said as far as that takes no more work than it is worth."""

import math
import resource

import msgspec
import pytest

from processing_fn.service.explaining import branching
from processing_fn.service.validation import CompiledTemplate, compile_template
from strongroom import jsontext, limits
from strongroom.configuration import Template
from strongroom.errors import SchemaViolationError
from tests.support.engines import AT

TREE = b'{"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "number"}}}'
AND_OR = (
    b'{"anyOf": [{"properties": {"kind": {"const": "and"}, "of": {"$ref": "#"}}},'
    b' {"properties": {"kind": {"const": "or"}, "of": {"$ref": "#"}}}]}'
)


def _compiled(schema: bytes) -> CompiledTemplate:
    return compile_template(
        Template(
            schema_id="t",
            schema_version=1,
            created_at=AT,
            updated_at=AT,
            schema=msgspec.Raw(schema),
        )
    )


def _said(schema: bytes, document: bytes) -> list[tuple[str, str]]:
    with pytest.raises(SchemaViolationError) as refusal:
        _compiled(schema).check(document)
    return [(found.pointer, found.keyword) for found in refusal.value.violations]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (b"true", 1),
        (b'{"type": "string"}', 1),
        (TREE, 1),
        (b'{"items": {"$ref": "#"}, "properties": {"a": {"$ref": "#"}}}', 1),
        (b'{"allOf": [{"type": "object"}, {"properties": {"next": {"$ref": "#"}}}]}', 1),
        (b'{"anyOf": [{"type": "string"}, {"type": "number"}]}', 2),
        (b'{"items": {"oneOf": [{"properties": {"a": {}, "b": {}}}, {"type": "null"}]}}', 4),
        (b'{"$defs": {"d": {"anyOf": [{}, {}]}}, "anyOf": [{"$ref": "#/$defs/d"}]}', 4),
        (AND_OR, math.inf),
        (
            b'{"$ref": "#/$defs/d", "$defs": {"d": {"not": {"items": {"$ref": "#/$defs/d"}}}}}',
            math.inf,
        ),
        (b'{"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}', math.inf),
        (
            b'{"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}}',
            math.inf,
        ),
        (b'{"anyOf": [{"$ref": "https://example.com/elsewhere"}]}', math.inf),
    ],
)
def test_how_far_a_template_branches(schema: bytes, expected: float) -> None:
    """A template is taken for harmless that is not, or the other way round."""
    assert branching(jsontext.parse(schema)) == expected


def test_a_chain_of_branches_is_counted_unfolded() -> None:
    """A template of twenty lines makes a million branches."""
    steps = ", ".join(
        f'"d{n}": {{"anyOf": [{{"$ref": "#/$defs/d{n + 1}"}}, {{"$ref": "#/$defs/d{n + 1}"}}]}}'
        for n in range(24)
    )
    schema = f'{{"$defs": {{{steps}, "d24": {{"type": "string"}}}}, "$ref": "#/$defs/d0"}}'
    assert branching(jsontext.parse(schema.encode())) > 2**24
    assert _said(schema.encode(), b"1") == [("", "template")]


def test_a_small_document_does_not_take_the_worker_down() -> None:
    """Three hundred bytes take gigabytes, and both workers with them."""
    document = b'{"kind": "not"}'
    for _ in range(limits.NESTING_DEPTH_MAX - 2):
        document = b'{"kind": "and", "of": ' + document + b"}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _said(AND_OR, document) == [("", "template")]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_what_is_small_is_explained_in_full() -> None:
    """A client learns of one mistake after the other."""
    wrong = b'{"n": "x", "left": {"n": "y", "right": {"n": "z"}}}'
    assert set(_said(TREE, wrong)) == {
        ("/n", "type"),
        ("/left/n", "type"),
        ("/left/right/n", "type"),
    }
    union = b'{"items": {"oneOf": [{"type": "string"}, {"type": "number"}]}}'
    assert _said(union, b'["a", true, null]') == [("/1", "oneOf"), ("/2", "oneOf")]


def test_of_a_large_document_the_first_mistake_is_told() -> None:
    """A list of a hundred thousand mistakes takes ten seconds of everybody's time."""
    document = b"[" + b"1," * 100_000 + b"1]"
    assert _said(b'{"items": {"type": "string"}}', document) == [("/0", "type")]
    assert _said(b'{"anyOf": [{"items": {"type": "string"}}]}', document) == [("", "template")]
