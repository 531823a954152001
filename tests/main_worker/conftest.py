"""Settings of hypothesis for these tests, and a Main Worker that is really served."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from main_api.adapters.control_store import ControlFiles
from strongroom import keyring
from strongroom.durable import LocalFilesystem
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.mains import AT, MainRig
from tests.support.rpc_mains import Pki, ServedMain
from tests.support.served_mains import Served

# No test of ours judges by time.
settings.register_profile("strongroom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("strongroom")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pki, Pki]:
    """Return two certificate authorities, each with two workers."""
    workers = ["worker-1", "worker-2"]
    ours, theirs = (Pki.make(tmp_path_factory.mktemp("pki"), workers) for _ in range(2))
    return ours, theirs


@pytest.fixture
def served(tmp_path: Path, authorities: tuple[Pki, Pki]) -> Iterator[Served]:
    """Serve a Main Worker whose state is on the disk."""
    clock = ManualClock()
    made = keyring.new("test-deployment", AT)
    keys = keyring.with_active(made, keyring.new_key(Purpose.DATA, AT))
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), keys, clock)
    rig = MainRig(clock=clock, keys=keys, other_store=store)
    pki, foreign = authorities
    serving = Served(rig, ServedMain(rig.main(), pki), pki, foreign)
    yield serving
    serving.face.stop()
