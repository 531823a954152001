"""GET /metrics: what it shows, and to whom."""

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from main_api.domain.grants import Action
from main_api.rest import routes
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with two Processing Workers."""
    made = MainRig()
    made.add_workers("worker-1", "worker-2")
    return made


def _metrics(answer: Answer) -> dict[str, float]:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if not family.name.startswith(("process_", "strongroom_build_info"))
    }


def _without_audit(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "_audit_" not in name}


def test_the_metrics_tell_whether_the_audit_log_can_be_written(rig: MainRig) -> None:
    """An alarm on an audit log that cannot be written never comes."""
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    assert http("GET", "/keys").status == 200
    for down in (False, True):
        rig.audit_log.down = down
        if down:
            assert http("GET", "/keys").status == 503
        found = _metrics(http("GET", "/metrics"))
        assert found["strongroom_audit_up"] == (not down)
        assert found["strongroom_audit_records_total"] >= 1
    assert _metrics(http("GET", "/metrics"))["strongroom_audit_lost_total"] == 1


def test_the_metrics_tell_of_keys_and_workers(rig: MainRig) -> None:
    """An alarm on an outage of the key provider, or on a key that is too old, never comes."""
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    before = _without_audit(_metrics(http("GET", "/metrics")))
    assert before.pop("strongroom_active_key_age_seconds") > 0
    assert before == {
        "strongroom_key_provider_up": 1,
        "strongroom_key_provider_failures_total": 0,
        "strongroom_keyring_generation": 1,
        "strongroom_key_rotations_total": 0,
        "strongroom_workers_live": 2,
    }
    assert http("POST", "/keys/rotate").status == 201
    rig.key_provider.down = True
    rig.key_health.check()
    after = _without_audit(_metrics(http("GET", "/metrics")))
    age_s = after.pop("strongroom_active_key_age_seconds")
    assert age_s != before.get("strongroom_active_key_age_seconds")
    assert after == {
        "strongroom_key_provider_up": 0,
        "strongroom_key_provider_failures_total": 1,
        "strongroom_keyring_generation": 2,
        "strongroom_key_rotations_total": 1,
        "strongroom_workers_live": 2,
    }


def test_a_damaged_keyring_does_not_hide_the_metrics(rig: MainRig) -> None:
    """In trouble, when they are wanted most, there are none."""
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    rig.keyring_store.write(b"garbage")
    assert _metrics(http("GET", "/metrics"))["strongroom_keyring_generation"] == 1


@pytest.mark.parametrize(
    "grants",
    [grant("*", Action.READ, Action.WRITE), grant("chatdb", Action.ADMIN)],
    ids=["everything but admin", "admin of one"],
)
def test_who_does_not_administer_everything_is_refused(rig: MainRig, grants: object) -> None:
    """A client learns how the deployment is run."""
    bearer = rig.bearer(rig.add_client("other", grants))  # type: ignore[arg-type]
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    assert http("GET", "/metrics").status == 403


def test_a_cold_start_does_not_pay_for_the_library() -> None:
    """Every cold start of Lambda loads a library that hardly a request needs."""
    code = "import sys, app; sys.exit('prometheus_client' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)  # noqa: S603
    assert ended.returncode == 0
