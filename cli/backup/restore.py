"""`strongroom restore`: a backup is proven, and brought back."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from cli import operator
from cli.backup import places
from cli.backup.adapters.empty_directory import EmptySharedDirectory
from cli.backup.adapters.keys import KeyringKeys
from cli.backup.adapters.running import RunningDeployment
from cli.backup.domain.selection import Selection
from cli.backup.places import KeySource
from cli.backup.service import proving, putting_back, reading, restoring
from cli.backup.service.ports import Progress
from cli.backup.service.proving import Damage, DamagedError, Proof
from cli.backup.service.putting_back import PutBack, Wish
from cli.backup.service.reading import Backup
from cli.emulation.claim import claim
from cli.output import as_json, line
from cli.progress import Bar
from cli.session import session
from main_api import bootstrap
from strongroom.clock import SystemClock
from strongroom.errors import IntegrityError
from strongroom.layout import Layout

_PUT_BACK: Final = ("written", "same", "gone", "destroyed", "refusals", "databases")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    where: str
    backup_id: str | None
    keys: KeySource
    selection: Selection
    leaves_out: bool = False


def verify(options: Options, *, json: bool) -> bool:
    """Prove a backup, and bring nothing back; tell whether all of it verifies.

    Raises:
        StrongroomError: As `proving.prove`, `reading.find` and `KeySource.keys`.
    """
    keys = options.keys.keys() if options.keys.is_named else None
    backup = reading.find(places.store(options.where), options.backup_id)
    with Bar("verifying") as bar, _advised():
        proof = proving.prove(
            backup, keys, _shown(bar), options.selection, leaves_out=options.leaves_out
        )
    _tell(backup, proof, "verified", with_keys=keys is not None, json=json)
    return not proof.damage.count


def into_empty(options: Options, *, json: bool) -> bool:
    """Put a whole deployment back; tell whether all of it is there.

    Raises:
        StrongroomError: As `restoring.restore`, `reading.find` and `KeySource.keys`.
    """
    place = options.keys.place
    with ExitStack() as stack:
        shared = place.shared()
        if place.root is not None:
            stack.enter_context(claim(place.root))
        keyring = options.keys.keyring()
        backup = reading.find(places.store(options.where), options.backup_id)
        audit = bootstrap.audit_of_command(Layout(shared), keyring)
        stack.callback(audit.close)
        facts = operator.facts()
        with (
            Bar("restoring") as bar,
            _advised(),
            audit.acting("restore_backup", backup_id=backup.backup_id, **facts),
        ):
            target, keys = EmptySharedDirectory(shared), KeyringKeys(keyring)
            proof = restoring.restore(
                backup,
                keys,
                target,
                _shown(bar),
                options.selection,
                leaves_out=options.leaves_out,
            )
    _tell(backup, proof, f"restored into {shared}", with_keys=True, json=json)
    return not proof.damage.count


def into_running(
    options: Options, into: str | None, *, in_place: bool, json: bool, profile: str | None
) -> bool:
    """Put entities into a deployment that serves; tell whether it has taken all of them.

    Raises:
        StrongroomError: As `putting_back.put_back`, `reading.find` and `KeySource.keys`.
    """
    keys = options.keys.keys()
    backup = reading.find(places.store(options.where), options.backup_id)
    wish = Wish(options.selection, into, in_place, options.leaves_out)
    with session(profile) as client, Bar("restoring") as bar, _advised():
        target = RunningDeployment(client)
        done = putting_back.put_back(
            backup, keys, target, wish, clock=SystemClock(), progress=_shown(bar)
        )
    if json:
        facts = {name: getattr(done, name) for name in _PUT_BACK}
        refused = [{"key": key, "reason": reason} for key, reason in done.refused]
        told = {"first_refused": refused} | _damage(done.damage)
        as_json({"backup_id": backup.backup_id, **facts, **told})
    else:
        _print(backup, done)
    return not done.refusals and not done.damage.count


@contextmanager
def _advised() -> Iterator[None]:
    """Say what can be done about damage."""
    try:
        yield
    except DamagedError as error:
        raise IntegrityError(
            f"{error.detail}; with --leave-out-damaged all that verifies is brought back without it"
        ) from error


def _damage(damage: Damage) -> dict[str, object]:
    return {"damaged": damage.count, "first_damaged": damage.told}


def _print_damage(damage: Damage) -> None:
    for reason in damage.told:
        line(f"left out  {reason}")
    if damage.count:
        line(f"{damage.count} entities and files do not verify, and are left out")


def _print(backup: Backup, done: PutBack) -> None:
    _print_damage(done.damage)
    for key, reason in done.refused:
        line(f"refused  {key}: {reason}")
    if done.destroyed:
        line(f"{done.destroyed} entities lie under keys that were destroyed: nobody can read them")
    made = f"; made {', '.join(done.databases)}" if done.databases else ""
    line(
        f"backup {backup.backup_id}, begun {backup.manifest.begun_at}: {done.written} entities"
        f" written, {done.same} were so already, {done.gone} had been deleted or have ended,"
        f" {done.refusals} refused{made}"
    )


def _shown(bar: Bar) -> Progress:
    def tell(done: int, total: int | None) -> None:
        bar.count(done, total)
        bar.tell(f"{done:,} entities, {done / bar.elapsed_s:,.0f}/s")

    return tell


def _tell(backup: Backup, proof: Proof, what: str, *, with_keys: bool, json: bool) -> None:
    counts = backup.manifest.counts
    if json:
        facts: dict[str, object] = {
            "backup_id": backup.backup_id,
            "decrypted": proof.opened,
            "read": proof.read,
        }
        facts |= {"destroyed": proof.destroyed} | _damage(proof.damage)
        as_json(msgspec.structs.asdict(counts) | facts)
        return
    _print_damage(proof.damage)
    if proof.destroyed:
        line(f"{proof.destroyed} entities lie under keys that were destroyed: nobody can read them")
    if backup.manifest.left_out:
        line(f"{backup.manifest.left_out} damaged entities were left out when it was taken")
    opened = f"{proof.opened} decrypted" if with_keys else "none decrypted: no keys are at hand"
    line(
        f"backup {backup.backup_id}, begun {backup.manifest.begun_at}: {what};"
        f" {counts.entities} entities ({opened}), {counts.files} files"
    )
