"""Several entities in one request, once it is authorized: read, put, deleted.

A read goes to the right worker for each key, a write to one worker, which checks all that can be
checked before it writes the first. A write that fails midway has one outcome per key.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from main_api.domain.registry import WorkerRecord
from main_api.service.audit import entry as audit
from main_api.service.requests.dispatch import Dispatcher
from main_api.service.workers.ports import Found, Pending, WorkerClient, WriteItem, Written
from strongroom import limits
from strongroom.configuration import Database
from strongroom.errors import NotFoundError, OutcomeUnknownError, StrongroomError, TooLargeError

_Send = Callable[
    [WorkerRecord, Database, Sequence[WriteItem], float], list[Written | StrongroomError]
]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of one of several entities to be deleted.

    Attributes:
        key: Its key.
        version: That of the deletion; 0 where the entity was not there.
    """

    key: str
    version: int

    @property
    def was_there(self) -> bool:
        """Whether there was anything to delete."""
        return self.version > 0


class PartlyWrittenError(OutcomeUnknownError):
    """A write of several entities that failed midway; `outcomes` has one answer per key."""

    def __init__(self, outcomes: Mapping[str, Written | Deleted | StrongroomError]) -> None:
        """Keep the answers."""
        super().__init__("not all entities were written; see the outcome of each", retry_after_s=1)
        self.outcomes = outcomes


class Batches:
    """Reads and writes several entities of one database."""

    def __init__(self, dispatcher: Dispatcher, workers: WorkerClient) -> None:
        """Take the parts."""
        self._dispatcher = dispatcher
        self._workers = workers

    def get(self, database: Database, keys: Sequence[str]) -> list[Found]:
        """Read; what is not there is left out.

        Raises:
            TooLargeError: The answer would be larger than a message may be.
            IntegrityError, UnavailableError: Of one, the first by the order of the keys.
        """
        answers: dict[str, Found | StrongroomError] = {}
        size_bytes = 0

        def begin(
            worker: WorkerRecord, some: Sequence[str], timeout_s: float
        ) -> Pending[list[Found | StrongroomError]]:
            return self._workers.get_many(worker, database, some, timeout_s)

        with closing(self._dispatcher.read_many(database.name, keys, begin)) as arriving:
            for key, answer in arriving:
                answers[key] = answer
                if isinstance(answer, Found):
                    # A hundred keys are as much as what a message has room for beside documents.
                    size_bytes += len(key.encode()) + len(answer.document)
                if size_bytes > limits.MESSAGE_BYTES_MAX:
                    raise TooLargeError(
                        "the entities together are too large; ask for fewer at once"
                    )
        in_order = [answers[key] for key in keys]
        for one in in_order:
            if isinstance(one, StrongroomError) and not isinstance(one, NotFoundError):
                raise one
        return [one for one in in_order if isinstance(one, Found)]

    def put(self, database: Database, items: list[WriteItem]) -> list[Written]:
        """Create or replace.

        Raises:
            PartlyWrittenError: Some may have been written.
            StrongroomError: Nothing was.
        """
        answers = self._write(database, items, self._workers.put_many)
        written = [answer for answer in answers.values() if isinstance(answer, Written)]
        if len(written) < len(answers):
            audit.note(written=len(written))
            raise PartlyWrittenError(answers)
        return written

    def delete(self, database: Database, items: list[WriteItem]) -> list[Deleted]:
        """Delete; that one is not there is its outcome, and stops no other. Raises as `put`."""
        answers = self._write(database, items, self._workers.delete_many)
        outcomes = {key: _deleted(key, answer) for key, answer in answers.items()}
        deleted = [one for one in outcomes.values() if isinstance(one, Deleted)]
        if len(deleted) < len(outcomes):
            audit.note(written=sum(one.was_there for one in deleted))
            raise PartlyWrittenError(outcomes)
        return deleted

    def _write(
        self, database: Database, items: list[WriteItem], send: _Send
    ) -> dict[str, Written | StrongroomError]:
        """Have one worker write all; return one answer per key."""
        is_trial = items[0].validate_only

        def attempt(worker: WorkerRecord, timeout_s: float) -> list[Written | StrongroomError]:
            answers = send(worker, database, items, timeout_s)
            refusal = _refusal_of_all(answers, is_trial=is_trial)
            if refusal is not None:
                raise refusal
            return answers

        if is_trial:
            answers = self._dispatcher.try_write(database.name, items[0].key, attempt)
        else:
            audit.before_write()
            answers = self._dispatcher.write(database.name, items[0].key, attempt)
        return dict(zip((item.key for item in items), answers, strict=True))


def _refusal_of_all(
    answers: Sequence[Written | StrongroomError], *, is_trial: bool
) -> StrongroomError | None:
    """Return what stands for all answers where nothing was written, None where something was.

    That nothing was there to delete is not such a refusal.
    """
    failures = [answer for answer in answers if isinstance(answer, StrongroomError)]
    if not is_trial and (
        len(failures) < len(answers) or any(isinstance(f, OutcomeUnknownError) for f in failures)
    ):
        return None
    return next((f for f in failures if not isinstance(f, NotFoundError)), None)


def _deleted(key: str, answer: Written | StrongroomError) -> Deleted | StrongroomError:
    if isinstance(answer, Written):
        return Deleted(key, answer.metadata.version)
    return Deleted(key, 0) if isinstance(answer, NotFoundError) else answer
