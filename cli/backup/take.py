"""`strongroom backup`: a copy of a deployment that goes on serving."""

import msgspec

from cli.backup import places
from cli.backup.adapters.register import DeploymentsRegister
from cli.backup.adapters.shared_directory import SharedDirectory
from cli.backup.places import Place
from cli.backup.service import taking
from cli.backup.service.ports import Progress
from cli.backup.service.taking import Taken, Tally
from cli.output import as_json, line
from cli.progress import Bar
from cli.session import session
from strongroom.clock import SystemClock


def run(where: str, place: Place, *, json: bool, profile: str | None) -> bool:
    """Take a backup; tell whether every entity is in it.

    Raises:
        StrongroomError: As `taking.take`, or no deployment is named.
    """
    store = places.store(where)
    source = SharedDirectory(place.shared())
    with session(profile) as client, Bar("copying") as bar:
        register = DeploymentsRegister(client)

        def progress(tally: Tally) -> Progress:
            def tell(done: int, total: int | None) -> None:
                bar.count(done, total)
                rate = tally.looked_at / bar.elapsed_s
                bar.tell(f"{tally.looked_at:,} entities, {tally.copied:,} copied, {rate:,.0f}/s")

            return tell

        taken = taking.take(source, store, register, SystemClock(), progress)
    if json:
        as_json(_answer(taken))
    else:
        _print(where, taken)
    return not taken.tally.damaged


def _answer(taken: Taken) -> dict[str, object]:
    counts = msgspec.structs.asdict(taken.manifest.counts)
    return counts | {
        "backup_id": taken.backup_id,
        "earlier": taken.earlier,
        "copied": taken.tally.copied,
        "copied_bytes": taken.tally.copied_bytes,
        "left_out": taken.manifest.left_out,
    }


def _print(where: str, taken: Taken) -> None:
    counts, tally = taken.manifest.counts, taken.tally
    for one in tally.left_out:
        line(f"left out  {one.path}: {one.reason}")
    if tally.damaged:
        line(f"{tally.damaged} damaged entities are not in it; see `strongroom verify`")
    since = f", the others were there since {taken.earlier} or before" if taken.earlier else ""
    line(
        f"{where}: backup {taken.backup_id} of {counts.entities} entities, {counts.tombstones} of"
        f" them deleted, and {counts.files} files; {tally.copied} blobs copied,"
        f" {tally.copied_bytes} bytes{since}"
    )
