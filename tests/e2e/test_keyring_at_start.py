"""A keyring that is not this deployment's, or not whole: whoever starts refuses, and keeps it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from main_api import bootstrap
from main_api.settings import Settings
from strongroom.errors import IntegrityError
from strongroom.layout import Layout
from tests.support.faulty_kms import FaultyDeployment
from tests.support.starting import Starting


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDeployment]:
    """Return a deployment."""
    made = FaultyDeployment(tmp_path_factory.mktemp("keyrings") / "root")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def copied(deployment: FaultyDeployment, tmp_path: Path) -> Settings:
    """Return the settings of a Main Worker over a copy of the deployment's directory."""
    shared = tmp_path / "shared"
    shutil.copytree(deployment.shared_dir, shared)
    return replace(deployment.main_settings(), shared_dir=shared)


def _changed(raw: bytes, _: bytes) -> bytes:
    return raw.replace(b'"generation": 1', b'"generation": 2')


def _exchanged_root(raw: bytes, other: bytes) -> bytes:
    ours, theirs = (
        [line for line in one.splitlines() if b'"root"' in line] for one in (raw, other)
    )
    return raw.replace(ours[0], theirs[0])


def _of_another(_: bytes, other: bytes) -> bytes:
    return other


DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "changed": _changed,
    "cut": lambda raw, _: raw[: len(raw) // 2],
    "empty": lambda *_: b"",
    "root of another deployment": _exchanged_root,
    "of another deployment": _of_another,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_keyring_that_is_not_ours_is_refused_and_kept(
    deployment: FaultyDeployment, copied: Settings, tmp_path: Path, name: str
) -> None:
    """A Main Worker starts with foreign keys, or overwrites the only copy that could be mended."""
    other = replace(copied, shared_dir=tmp_path / "other")
    other.shared_dir.mkdir()
    bootstrap.create_deployment(other)  # under the same master key
    ours, theirs = (Layout(one.shared_dir).keyring() for one in (copied, other))
    odd = DAMAGES[name](ours.read_bytes(), theirs.read_bytes())
    assert odd != ours.read_bytes()
    ours.write_bytes(odd)
    shared_dir = str(copied.shared_dir)
    starts = [
        Starting(deployment, face, STRONGROOM_SHARED_DIR=shared_dir) for face in ("rest", "grpc")
    ]
    for start in starts:
        code, said = start.ended()
        assert code not in {0, None}
        (line,) = said.splitlines()
        assert line.startswith("main_api.")
    assert ours.read_bytes() == odd


def test_one_damaged_record_stops_nobody(copied: Settings) -> None:
    """A single damaged file of a client keeps the whole deployment from starting."""
    clients = list(Layout(copied.shared_dir).records("clients").iterdir())
    assert clients
    for record in clients:
        record.write_bytes(record.read_bytes()[:-1] + b"?")
    bootstrap.build(copied).workers.close()
    for kind in (Layout(copied.shared_dir).databases(), Layout(copied.shared_dir).templates()):
        for record in kind.iterdir():
            record.write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="another deployment's"):
        bootstrap.build(copied)
