"""`strongroom backup list`, `prune` and `forget`: which backups there are, and which stay."""

from collections.abc import Sequence
from typing import Final

import msgspec

from cli.backup import places
from cli.backup.adapters.register import DeploymentsRegister
from cli.backup.service import pruning, reading
from cli.backup.service.reading import Backup
from cli.output import as_json, line, table
from cli.progress import Bar
from cli.session import session
from strongroom.clock import SystemClock

_COLUMNS: Final = ("BACKUP", "BEGUN AT", "ENTITIES", "FILES", "BYTES", "LEFT OUT")


def show(where: str, *, json: bool) -> None:
    """List the backups of a place, the newest first; nothing but the place is asked.

    Raises:
        StrongroomError: As `reading.find`.
    """
    store = places.store(where)
    found = [reading.find(store, one) for one in reading.newest_first(store)]
    if json:
        for one in found:
            counts = msgspec.structs.asdict(one.manifest.counts)
            times = {"begun_at": one.manifest.begun_at, "ended_at": one.manifest.ended_at}
            left_out = {"left_out": one.manifest.left_out}
            as_json({"backup_id": one.backup_id, **times, **counts, **left_out})
    else:
        table(_COLUMNS, map(_row, found))


def show_record(*, json: bool, profile: str | None) -> None:
    """List the backups that the deployment has on record, with those that are under way."""
    with session(profile) as client:
        found = sorted(client.admin.backups(), key=lambda one: one.recorded_at, reverse=True)
        if json:
            for one in found:
                as_json(msgspec.to_builtins(one))
        else:
            rows = ((one.backup_id, one.recorded_at, " ".join(one.key_ids)) for one in found)
            table(("BACKUP", "RECORDED AT", "KEYS"), rows)


def prune(where: str, keep: int, *, dry_run: bool, json: bool, profile: str | None) -> None:
    """Keep the newest backups of a place, and remove the others.

    Raises:
        StrongroomError: As `pruning.prune`.
    """
    store = places.store(where)
    with session(profile) as client, Bar("pruning") as bar:
        register = DeploymentsRegister(client)
        done = pruning.prune(store, register, SystemClock(), keep, bar.count, is_dry_run=dry_run)
    if json:
        as_json(msgspec.to_builtins(done) | {"dry_run": dry_run})
        return
    for one in done.removed:
        line(f"{one}: {'would be removed' if dry_run else 'removed'}")
    for one in done.unknown:
        line(f"{one}: not on the deployment's record, so it is left as it is")
    would = "would be " if dry_run else ""
    line(
        f"{where}: {len(done.kept)} backups stay, {len(done.removed)} {would}removed, and"
        f" {done.objects} objects that no other one needs"
    )
    if not done.is_whole:
        line("there was no time for all objects; enter it again to go on")


def forget(names: Sequence[str], *, json: bool, profile: str | None) -> None:
    """Take backups that are gone off the record, which frees their keys."""
    with session(profile) as client:
        for name in names:
            client.admin.delete_backup(name)
            if json:
                as_json({"backup_id": name, "on_record": False})
            else:
                line(f"{name}: off the record")


def _row(backup: Backup) -> tuple[str, ...]:
    counts = backup.manifest.counts
    numbers = (counts.entities, counts.files, counts.bytes, backup.manifest.left_out)
    return backup.backup_id, backup.manifest.begun_at, *map(str, numbers)
