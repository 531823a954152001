"""Two workers over one directory behave as one dictionary, whatever is asked of them in what order.

Hypothesis draws the sequences and shows the shortest one that fails. The suite runs the same few
of them each time. A longer run, with other ones each time, is

    STRONGROOM_MODEL_EXAMPLES=5000 .venv/bin/pytest tests/processing_worker/test_engine_model.py

and takes a tenth of a second for an example of 50 steps; STRONGROOM_MODEL_STEPS makes them longer,
`--basetemp` under /dev/shm the disk faster, and `--hypothesis-seed` begins a run anew.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Delete, PatchRequest, Put, TransformRequest
from processing_fn.service.scanning import Query
from strongroom.entity import Condition
from tests.support import json_texts
from tests.support import model_requests as drawn
from tests.support.compared_workers import ComparedWorkers
from tests.support.entity_model import EXPRESSIONS, Request
from tests.support.model_templates import TEMPLATES, ModelTemplate

EXAMPLES = int(os.environ.get("STRONGROOM_MODEL_EXAMPLES", "0"))
STEPS = int(os.environ.get("STRONGROOM_MODEL_STEPS", "50"))
IN_THE_SUITE = 60
PATCHED_SIZE_MAX = 200

Kept: TypeAlias = Request | MultipleResults[Request]
workers = st.sampled_from([0, 1])
expressions = st.sampled_from(list(EXPRESSIONS))


class TwoWorkers(RuleBasedStateMachine):
    """What may happen to two workers; after each of it they have to be one dictionary."""

    requests: Bundle[Request] = Bundle("requests")

    def __init__(self, root: Path) -> None:
        """Start both."""
        super().__init__()
        self._both = ComparedWorkers(root)
        self._others = 0

    def teardown(self) -> None:
        """Stop both."""
        self._both.close()

    @invariant()
    def they_are_one_dictionary(self) -> None:
        """Read everything through both."""
        self._both.check_everything()

    @initialize(document=drawn.plain_documents, count=st.integers(0, len(drawn.KEYS)))
    def begin(self, document: bytes, count: int) -> None:
        """Begin with some entities."""
        for key in drawn.KEYS[count:]:
            self._both.write(0, Put(key, document))

    @rule(worker=workers, key=drawn.keys, document=drawn.plain_documents)
    def put_plainly(self, worker: int, key: str, document: bytes) -> None:
        """Put what most templates take, whatever is there."""
        self._both.write(worker, Put(key, document))

    @rule(
        target=requests,
        worker=workers,
        put=st.builds(
            Put,
            entity_key=drawn.keys,
            document=drawn.documents,
            request_id=drawn.request_ids,
            ttl_seconds=drawn.lifetimes,
        ),
        condition=drawn.conditions,
    )
    def put(self, worker: int, put: Put, condition: str) -> Kept:
        """Put anything."""
        return self._write(worker, put, condition)

    @rule(
        worker=workers,
        documents=st.dictionaries(drawn.keys, drawn.any_documents, min_size=1, max_size=3),
        condition=drawn.conditions,
        request_id=drawn.request_ids,
        again=st.none() | st.sampled_from(TEMPLATES),
    )
    def put_many(
        self,
        worker: int,
        documents: dict[str, bytes],
        condition: str,
        request_id: str,
        again: ModelTemplate | None,
    ) -> None:
        """Put several; with one that is refused, nothing is written. Maybe repeat it later on."""
        puts = [
            Put(key, document, self._both.condition(key, condition), request_id)
            for key, document in documents.items()
        ]
        self._both.put_many(worker, puts)
        if again is not None:
            self.replace_template(again)
            self._both.put_many(1 - worker, puts)

    @rule(
        target=requests,
        worker=workers,
        before=drawn.before,
        delete=st.builds(Delete, entity_key=drawn.keys, request_id=drawn.request_ids),
        condition=drawn.conditions,
    )
    def delete(self, worker: int, before: Put | None, delete: Delete, condition: str) -> Kept:
        """Delete what is there, or is not."""
        return self._write(worker, delete, condition, before)

    @rule(
        target=requests,
        worker=workers,
        before=drawn.before,
        patch=st.builds(
            PatchRequest,
            entity_key=drawn.keys,
            kind=st.just(PatchKind.MERGE),
            patch=drawn.merge_patches,
            request_id=drawn.request_ids,
        ),
        condition=drawn.conditions,
    )
    def merge(self, worker: int, before: Put | None, patch: PatchRequest, condition: str) -> Kept:
        """Change a part by RFC 7396."""
        return self._write(worker, patch, condition, before)

    @rule(
        target=requests,
        worker=workers,
        before=drawn.before,
        patch=st.builds(
            PatchRequest,
            entity_key=drawn.keys,
            kind=st.just(PatchKind.JSON),
            patch=st.just(b""),
            request_id=drawn.request_ids,
        ),
        operations=drawn.operations,
        condition=drawn.conditions,
    )
    def patch(
        self,
        worker: int,
        before: Put | None,
        patch: PatchRequest,
        operations: list[str],
        condition: str,
    ) -> Kept:
        """Change a part by RFC 6902."""
        self._begin_with(worker, patch, before)
        entity = self._both.model.seen(patch.entity_key)
        value = entity.value if entity else None
        if json_texts.size(value) > PATCHED_SIZE_MAX:
            return multiple()  # copies of copies would grow without end
        text = drawn.json_patch(operations, value)
        return self._write(worker, replace(patch, patch=text), condition)

    @rule(
        target=requests,
        worker=workers,
        transform=st.builds(
            TransformRequest,
            entity_key=drawn.keys,
            expression=expressions,
            request_id=drawn.request_ids,
        ),
        condition=drawn.conditions,
    )
    def store_transformed(self, worker: int, transform: TransformRequest, condition: str) -> Kept:
        """Replace an entity by what an expression makes of it."""
        return self._write(worker, transform, condition)

    @rule(worker=workers, request=requests)
    def repeat(self, worker: int, request: Request) -> None:
        """Send a request again, as a client does that has got no answer."""
        self._both.write(worker, request)

    @rule(worker=workers, request=requests, document=drawn.any_documents)
    def repeat_with_another_body(self, worker: int, request: Request, document: bytes) -> None:
        """Use a request id for something else."""
        if isinstance(request, Put):
            self._both.write(worker, replace(request, document=document))
            self._both.write(worker, replace(request, ttl_seconds=5))
        elif isinstance(request, TransformRequest):
            self._both.write(worker, replace(request, expression="@"))
        elif isinstance(request, PatchRequest):
            self._both.write(worker, replace(request, kind=PatchKind.MERGE))
        self._both.write(worker, replace(request, condition=Condition(if_version=1)))

    @rule(worker=workers, request=requests, template=st.sampled_from(TEMPLATES))
    def repeat_under_another_template(
        self, worker: int, request: Request, template: ModelTemplate
    ) -> None:
        """Send a request again that may be refused by now."""
        self.replace_template(template)
        self._both.write(worker, request)

    @rule(worker=workers, request=requests, seconds=st.sampled_from([86_399.999, 86_400]))
    def repeat_a_day_later(self, worker: int, request: Request, seconds: float) -> None:
        """Send a request again when it is just known, or just forgotten."""
        self._both.write(worker, request)
        self._both.advance(seconds)
        self._both.write(1 - worker, request)

    @rule(worker=workers, request=requests, count=st.sampled_from([1, 15, 16]))
    def repeat_after_others(self, worker: int, request: Request, count: int) -> None:
        """Send a request again after so many others that it is just known, or just forgotten."""
        for _ in range(count):
            self._others += 1
            put = Put(request.entity_key, b'{"n": 1}', request_id=f"other-{self._others}")
            self._both.write(worker, put)
        self._both.write(1 - worker, request)

    @rule(worker=workers, keys=st.lists(drawn.keys | st.just("nobody's"), max_size=5))
    def get_many(self, worker: int, keys: list[str]) -> None:
        """Read several at once, some of them twice, some of them not there."""
        self._both.get_many(worker, keys)

    @rule(worker=workers, key=drawn.keys, expression=expressions)
    def transform(self, worker: int, key: str, expression: str) -> None:
        """Show what an expression makes of an entity."""
        self._both.transform(worker, key, expression)

    @rule(
        worker=workers,
        query=st.builds(
            Query,
            limit=st.integers(1, 5),
            prefix=st.sampled_from(drawn.PREFIXES),
            select=st.just("") | expressions,
        ),
    )
    def walk(self, worker: int, query: Query) -> None:
        """List and query, page by page, to the end."""
        for filter_ in drawn.FILTERS:
            self._both.walk(worker, replace(query, filter=filter_))

    @rule(seconds=st.sampled_from([0.001, 0.999, 1, 59, 60, 3_600, 86_399.999, 86_400]))
    def time_passes(self, seconds: float) -> None:
        """Entities expire, request ids are forgotten, cached documents grow old."""
        self._both.advance(seconds)

    @rule(worker=workers)
    def keep_house(self, worker: int) -> None:
        """Have what has expired replaced by tombstones."""
        self._both.keep_house(worker)

    @rule(
        worker=workers,
        key=drawn.keys,
        document=drawn.plain_documents,
        ttl_seconds=st.sampled_from([1, 60]),
        kept=st.booleans(),
    )
    def expire(
        self, worker: int, key: str, document: bytes, ttl_seconds: int, *, kept: bool
    ) -> None:
        """Have an entity's time come to its last moment, and be over."""
        self._both.write(worker, Put(key, document, ttl_seconds=ttl_seconds))
        self._both.advance(ttl_seconds - 0.001)
        self._both.check_everything()
        if not kept:
            self._both.advance(0.001)
            self._both.check_everything()
            self._both.keep_house(1 - worker)

    @rule(template=st.sampled_from(TEMPLATES))
    def replace_template(self, template: ModelTemplate) -> None:
        """Put another template in force."""
        model = self._both.model
        model.template = template
        model.schema_version += 1
        self._both.rig.put_template(template.schema, model.schema_version)

    @rule(ttl_seconds=st.sampled_from([None, 60]), floor=st.sampled_from([0, 0, 7]))
    def configure(self, ttl_seconds: int | None, floor: int) -> None:
        """Give the database another lifetime; have a restore raise its versions."""
        model, binding = self._both.model, self._both.rig.binding
        model.ttl_seconds = ttl_seconds
        model.version_floor += floor
        self._both.rig.put_database(
            binding.database, binding.incarnation, ttl_seconds, model.version_floor
        )

    @rule(worker=workers)
    def evict(self, worker: int) -> None:
        """Have a worker's cache lose everything."""
        self._both.workers[worker].cache.clear()

    @rule(worker=workers)
    def restart(self, worker: int) -> None:
        """Have a worker die and come back."""
        self._both.restart(worker)

    @rule(worker=workers, request=requests)
    def rewrap(self, worker: int, request: Request) -> None:
        """Put another data key in force, and every file under it, which nobody notices."""
        self._both.rotate()
        self._both.check_everything()
        self._both.rewrap(worker)
        self._both.write(1 - worker, request)

    @rule(
        worker=workers,
        key=drawn.keys,
        how=st.sampled_from(["missing", "empty", "garbage", "longer", "behind"]),
        then=st.sampled_from(["read", "put", "delete", "list"]),
    )
    def damage_a_sidecar(self, worker: int, key: str, how: str, then: str) -> None:
        """Damage a sidecar; whoever comes by next repairs it, and is not misled by it."""
        self._both.damage_sidecar(key, how)
        if then == "put":
            self._both.write(worker, Put(key, b'{"n": 3}'))
        elif then == "delete":
            self._both.write(worker, Delete(key))
        elif then == "list":
            self._both.walk(worker, Query(limit=2))

    def _write(
        self, worker: int, request: Request, condition: str, before: Put | None = None
    ) -> Kept:
        """Send a request; return what is kept of it to be repeated."""
        self._begin_with(worker, request, before)
        held = self._both.condition(request.entity_key, condition)
        conditional = replace(request, condition=held)
        self._both.write(worker, conditional)
        return conditional if request.request_id else multiple()

    def _begin_with(self, worker: int, request: Request, before: Put | None) -> None:
        """Put something in the place of the entity that a request is about."""
        if before is not None:
            self._both.write(1 - worker, replace(before, entity_key=request.entity_key))
            self._both.get_many(worker, [request.entity_key])


@pytest.mark.timeout(0 if EXAMPLES else 600)  # a failure takes minutes to be made short
def test_two_workers_behave_as_one_dictionary(tmp_path: Path) -> None:
    """Somewhere in a sequence of writes, reads, damage and restarts, an answer is wrong."""

    class Begun(TwoWorkers):
        def __init__(self) -> None:
            super().__init__(Path(tempfile.mkdtemp(dir=tmp_path)))

    run_state_machine_as_test(
        Begun,
        settings=settings(
            max_examples=EXAMPLES or IN_THE_SUITE,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
