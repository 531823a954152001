"""What was accepted reads back to the byte; what is not changed keeps every digit.

The texts are drawn by tests/support/json_texts.py: numbers up to their bounds in digits and in
exponent, negative zeros, the same character raw and escaped, in the first plane and in the others.
"""

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processing_fn.service.patching import Patch, PatchKind
from processing_fn.service.requests import TransformRequest
from processing_fn.service.scanning import Query
from strongroom.errors import ConflictError, PatchFailedError
from tests.support import model_requests as drawn
from tests.support import rfc_patches
from tests.support.engines import Rig, Worker
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.json_texts import (
    ODD_NUMBERS,
    exact,
    large_numbers,
    large_values,
    strings,
    values,
)

documents = large_values.map(str.encode)
few = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=150)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """Return a directory for all examples of all tests; each example writes its entities anew."""
    return Rig(tmp_path_factory.mktemp("shared"), filesystem=UnsyncedFilesystem())


@pytest.fixture
def rig(shared: Rig) -> Rig:
    """Return it with a template that takes everything."""
    shared.put_template(b"true", 2)
    return shared


@pytest.fixture
def worker(rig: Rig) -> Worker:
    """Return a worker that writes."""
    return rig.worker("writer")


@pytest.fixture
def cold(rig: Rig) -> Worker:
    """Return a worker that keeps nothing, so that what it reads comes from the disk."""
    return rig.worker("cold", cache_bytes=0)


@few
@given(document=documents, blanks=st.sampled_from([b"", b" ", b"\r\n\t "]))
def test_what_was_put_reads_back_to_the_byte(
    worker: Worker, cold: Worker, document: bytes, blanks: bytes
) -> None:
    """A client reads another text than the one that it has put."""
    text = blanks + document + blanks
    worker.put("a", text)
    binding = worker.rig.binding
    for reader in (worker, cold):
        assert reader.get("a")[1] == text
        (found,) = reader.engine.get_many(binding, ["a"])
        assert getattr(found, "document", found) == text
        (item,) = reader.engine.page(binding, Query(prefix="a")).items
        assert item.document == text


@few
@given(number=large_numbers | st.sampled_from(ODD_NUMBERS))
@example(number="-0")
@example(number="1E400")
def test_a_number_is_the_same_wherever_it_passes_through(
    worker: Worker, cold: Worker, number: str
) -> None:
    """A number of a thousand digits loses some where a document is taken apart."""
    text = f'{{"n": {number}, "m": 1}}'.encode()
    value = exact(number.encode())
    changes: list[Callable[[], object]] = [
        lambda: worker.patch("a", PatchKind.MERGE, b'{"m": 2}'),
        lambda: worker.patch("a", PatchKind.JSON, b'[{"op": "remove", "path": "/m"}]'),
        lambda: worker.engine.store_transformed(
            worker.rig.binding, TransformRequest("a", "{n: n}")
        ),
    ]
    for change in changes:
        worker.put("a", text)
        change()
        assert exact(cold.get("a")[1])["n"] == value
    # An expression that only passes it on does not even write it in another way.
    assert worker.engine.transform(worker.rig.binding, "a", "n").document == number.encode()


def _with_kept(kept: str, changed: str) -> bytes:
    return f'{{"kept": {kept}, "changed": {changed}, "list": [{kept}, 0]}}'.encode()


@few
@given(kept=large_values, before=values, after=values)
def test_a_merge_patch_keeps_what_it_does_not_name(
    worker: Worker, cold: Worker, kept: str, before: str, after: str
) -> None:
    """A merge patch rounds or rewrites what it does not touch, or what it puts there."""
    document = _with_kept(kept, before)
    patch = f'{{"changed": {after}}}'.encode()
    worker.put("a", document)
    worker.patch("a", PatchKind.MERGE, patch)
    assert exact(cold.get("a")[1]) == rfc_patches.merged(exact(document), exact(patch))


@few
@given(kept=large_values, before=values, after=large_values)
def test_a_json_patch_keeps_what_it_does_not_name(
    worker: Worker, cold: Worker, kept: str, before: str, after: str
) -> None:
    """A JSON patch rounds or rewrites what it moves, copies, adds or leaves alone."""
    worker.put("a", _with_kept(kept, before))
    patch = f"""[
        {{"op": "test", "path": "/kept", "value": {kept}}},
        {{"op": "test", "path": "/list", "value": [{kept}, -0.0]}},
        {{"op": "copy", "from": "/kept", "path": "/copied"}},
        {{"op": "move", "from": "/list/0", "path": "/list/-"}},
        {{"op": "replace", "path": "/changed", "value": {after}}},
        {{"op": "add", "path": "/list/1", "value": {after}}}
    ]"""
    worker.patch("a", PatchKind.JSON, patch.encode())
    same, new = exact(kept.encode()), exact(after.encode())
    assert exact(cold.get("a")[1]) == {
        "kept": same,
        "copied": same,
        "changed": new,
        "list": [exact(b"0"), new, same],
    }


@few
@given(kept=large_values, default=large_values)
def test_defaults_keep_what_is_there_and_their_own_digits(
    rig: Rig, worker: Worker, cold: Worker, kept: str, default: str
) -> None:
    """Filling a document in changes the rest of it, or the default is not the template's."""
    schema = f"""{{"x-defaults": true, "properties": {{
        "new": {{"default": {default}}},
        "kept": {{"default": "not this"}},
        "inner": {{"properties": {{"new": {{"default": {default}}}}}}},
        "id": {{"x-enrich": "uuid"}}
    }}}}"""
    rig.put_template(schema.encode(), 3)
    worker.put("a", f'{{"kept": {kept}, "inner": {{"kept": {kept}}}}}'.encode())
    found = exact(cold.get("a")[1])
    same, new = exact(kept.encode()), exact(default.encode())
    assert len(found.pop("id")) == 36
    assert found == {"kept": same, "new": new, "inner": {"kept": same, "new": new}}


@few
@given(kept=large_values)
def test_a_transformation_passes_on_what_it_does_not_compute(
    worker: Worker, cold: Worker, kept: str
) -> None:
    """An expression changes the values that it only picks or arranges."""
    binding = worker.rig.binding
    worker.put("a", _with_kept(kept, "null"))
    same = exact(kept.encode())
    expected = {"kept": same, "again": [same, same]}
    expression = "{kept: kept, again: [kept, list[0]]}"
    assert exact(worker.engine.transform(binding, "a", expression).document) == expected
    (item,) = cold.engine.page(binding, Query(prefix="a", select=expression)).items
    assert exact(item.document) == expected
    worker.engine.store_transformed(binding, TransformRequest("a", expression))
    assert exact(cold.get("a")[1]) == expected


@few
@given(name=strings.filter(lambda text: json.loads(text) not in {"", "other"}))
def test_any_name_can_be_a_member(worker: Worker, cold: Worker, name: str) -> None:
    """A member whose name needs escapes is renamed, or found by nobody."""
    worker.put("a", f'{{{name}: 1.50, "other": 2}}'.encode())
    plain = str(json.loads(name))
    worker.patch("a", PatchKind.MERGE, b'{"other": 3}')
    assert exact(cold.get("a")[1]) == {plain: exact(b"1.50"), "other": exact(b"3")}
    path = "/" + plain.replace("~", "~0").replace("/", "~1")
    patch = [{"op": "copy", "from": path, "path": "/other"}]
    worker.patch("a", PatchKind.JSON, json.dumps(patch).encode())
    assert exact(cold.get("a")[1]) == {plain: exact(b"1.50"), "other": exact(b"1.50")}
    shown = worker.engine.transform(worker.rig.binding, "a", json.dumps(plain))
    assert shown.document == b"1.50"


@many
@given(document=drawn.documents, patch=drawn.merge_patches)
def test_merge_patches_are_those_of_the_rfc(document: bytes, patch: bytes) -> None:
    """A merge patch does something else than RFC 7396 says."""
    found = Patch(PatchKind.MERGE, patch).apply(document)
    assert exact(found) == rfc_patches.merged(exact(document), exact(patch))


@many
@given(document=drawn.documents, operations=drawn.operations)
def test_json_patches_are_those_of_the_rfc(document: bytes, operations: list[str]) -> None:
    """A JSON patch does something else than RFC 6902 says."""
    value = exact(document)
    text = drawn.json_patch(operations, value)
    patch = Patch(PatchKind.JSON, text)
    try:
        expected = rfc_patches.patched(value, exact(text))
    except rfc_patches.NowhereError:
        with pytest.raises(PatchFailedError):
            patch.apply(document)
    except rfc_patches.TestFailsError:
        with pytest.raises(ConflictError):
            patch.apply(document)
    else:
        assert exact(patch.apply(document)) == expected
