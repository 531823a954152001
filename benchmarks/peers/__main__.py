"""`python -m benchmarks.peers`: what a user would pick instead, on the same documents.

Each store is a child of this program, on loopback, in a directory that is removed afterwards. All
processes of a store run on one core and the client on another. They are up at the same time and
asked in turn; told is the median of the turns. What is not on this machine is passed over with a
word. Every read is compared with what was put, and every put is read back.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import machine
from benchmarks.figure import NotHereError, WrongAnswerError
from benchmarks.peers import strongroom
from benchmarks.peers.etcd import Etcd
from benchmarks.peers.kinto import Kinto
from benchmarks.peers.postgresql import Pgcrypto, Server
from benchmarks.peers.stores import Place, Store, Told, Traits
from cli.emulation.pki import CertificateAuthority
from strongroom.clock import SystemClock

_TURNS: Final = {
    "get, 1": ("get", 1),
    "get, 32": ("get", 32),
    "put, 1": ("put", 1),
    "put, 16": ("put", 16),
}
_PASSABLE: Final = 0o711
_TABLE_CHARS: Final = 150


class Compared(msgspec.Struct, frozen=True, omit_defaults=True):
    """One store: what it does, and the median of each kind of turn; `skipped` says why not."""

    name: str
    traits: Traits
    skipped: str = ""
    told: dict[str, Told] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each turn lasts")
    parser.add_argument("--rounds", type=int, default=3, help="how many turns of each kind")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of these stores")
    parser.add_argument("--scratch", type=Path, help="a directory on the disk to use")
    parser.add_argument("--output", type=Path, default=Path("build/peers"))
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _ended)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder, ExitStack() as stack:
        place = Place(Path(folder), cores[0], given.output.absolute())
        place.directory.chmod(_PASSABLE)
        stores = _stores(place)
        unknown = set(given.only) - {one.name for one in stores}
        if unknown:
            names = "; ".join(one.name for one in stores)
            sys.stderr.write(f"there is no {'; '.join(sorted(unknown))}; there are: {names}\n")
            return 2
        chosen = [one for one in stores if not given.only or one.name in given.only]
        try:
            found = compared(chosen, place, stack, given.rounds, given.seconds)
        except WrongAnswerError as error:
            sys.stderr.write(f"a wrong answer: {error}\n")
            return 1
    facts = machine.facts()
    told = msgspec.json.format(msgspec.json.encode({"machine": facts, "stores": found}), indent=1)
    (given.output / "results.json").write_bytes(told + b"\n")
    _show(found)
    return 0


def _stores(place: Place) -> list[Store]:
    authority = CertificateAuthority(place.directory / "pki", SystemClock())
    identity = authority.issue("server", ["localhost", "127.0.0.1"])
    server = Server(identity)
    return [*strongroom.both(), Kinto(server), Etcd(identity), Pgcrypto(server)]


def compared(
    stores: Sequence[Store], place: Place, stack: ExitStack, rounds: int, seconds: float
) -> list[Compared]:
    """Start the stores and ask them in turn; raises WrongAnswerError."""
    missing: dict[str, str] = {}
    turns: dict[tuple[str, str], list[Told]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(stores) * (1 + rounds * len(_TURNS)))
        for one in stores:
            progress.update(task, description=f"starting {one.name}")
            try:
                one.start(place, stack)
            except NotHereError as error:
                missing[one.name] = str(error)
            progress.advance(task)
        for _ in range(rounds):
            for turn, (what, in_flight) in _TURNS.items():
                for one in stores:
                    if one.name not in missing:
                        progress.update(task, description=f"{one.name}: {turn}")
                        ask = one.get if what == "get" else one.put
                        turns.setdefault((one.name, turn), []).append(ask(in_flight, seconds))
                    progress.advance(task)
    return [
        Compared(
            one.name,
            one.traits,
            missing.get(one.name, ""),
            {turn: _median(turns[one.name, turn]) for turn in _TURNS if one.name not in missing},
        )
        for one in stores
    ]


def _median(turns: Sequence[Told]) -> Told:
    return Told(
        statistics.median(one.per_second for one in turns),
        statistics.median(one.p50_ms for one in turns),
        statistics.median(one.p99_ms for one in turns),
    )


def _show(found: Sequence[Compared]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_TABLE_CHARS)
    rates = Table("", *(f"{turn} in flight" for turn in _TURNS), title="a second (p50, p99 in ms)")
    for one in found:
        if one.skipped:
            rates.add_row(one.name, f"passed over: {one.skipped}")
            continue
        cells = [f"{t.per_second:,.0f} ({t.p50_ms:.2f}, {t.p99_ms:.2f})" for t in one.told.values()]
        rates.add_row(one.name, *cells)
    does = Table("", *Traits.__dataclass_fields__, title="what each does for it")
    for one in found:
        does.add_row(one.name, *msgspec.to_builtins(one.traits).values())
    console.print(rates, does)


def _ended(*_: object) -> NoReturn:
    """End as by an exception, so that the children end too."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
