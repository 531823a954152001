"""GET /metrics: what it shows, and to whom."""

import subprocess
import sys

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from main_api.domain.grants import Action
from main_api.domain.rate_limits import ThrottlePolicies
from main_api.rest import routes
from main_api.rest.request_times import UNMATCHED, UNREAD
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import OTHER
from tests.support.mains import Built, Credentials, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with two Processing Workers."""
    made = MainRig()
    made.add_workers("worker-1", "worker-2")
    return made


def _families(answer: Answer) -> list[Metric]:
    assert answer.status == 200
    return list(text_string_to_metric_families(answer.body.decode()))


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


def _of_keys(metrics: dict[str, float]) -> dict[str, float]:
    about = ("strongroom_key", "strongroom_active_key", "strongroom_workers")
    return {name: value for name, value in metrics.items() if name.startswith(about)}


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
    before = _of_keys(_metrics(http("GET", "/metrics")))
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
    after = _of_keys(_metrics(http("GET", "/metrics")))
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


def _requests(families: list[Metric]) -> dict[tuple[str, str, str], float]:
    """Return how many requests were counted, by route, method and status."""
    (family,) = [one for one in families if one.name == catalogue.HTTP_SECONDS.name]
    return {
        (one.labels["route"], one.labels["method"], one.labels["status"]): one.value
        for one in family.samples
        if one.name.endswith("_count")
    }


def test_every_answer_is_timed_by_route_and_outcome(rig: MainRig) -> None:
    """An objective of the service cannot be held against what clients get."""
    bearer = rig.bearer(rig.add_client("admin"))
    app = routes.build(Built(rig.main()))
    http = WsgiClient(app, authorization=bearer)
    assert http("GET", "/entity/chatdb?key=a").status == 404
    assert http("GET", "/entity/chatdb?key=b").status == 404
    assert http("HEAD", "/databases/chatdb").status == 200
    assert http("OPTIONS", "/databases/chatdb").status == 204
    assert WsgiClient(app)("GET", "/databases").status == 401
    assert http("GET", "/databases?limit=%").status == 400
    assert _requests(_families(http("GET", "/metrics"))) == {
        ("/entity/{database}", "GET", "4xx"): 2,
        ("/databases/{database}", "HEAD", "2xx"): 1,
        ("/databases/{database}", "OPTIONS", "2xx"): 1,
        ("/databases", "GET", "4xx"): 1,
        (UNREAD, OTHER, "4xx"): 1,
    }


def test_hostile_requests_make_no_labels(rig: MainRig) -> None:
    """Whoever asks for paths that do not exist fills Prometheus with one series for each."""
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    for number in range(50):
        assert http("GET", f"/made-up-{number}").status == 404
        assert http("GET", f"/entity/chatdb/{number}").status == 404
        assert http(f"METHOD{number}", "/databases").status == 405
        assert http("GET", f"/entity/database-{number}?key=key-{number}").status == 404
        assert http("GET", f"/%7Bentity%7D/{number}").status == 404
    found = _requests(_families(http("GET", "/metrics")))
    assert found == {
        (UNMATCHED, "GET", "4xx"): 150,
        ("/databases", OTHER, "4xx"): 50,
        ("/entity/{database}", "GET", "4xx"): 50,
    }


def test_failed_authentications_and_limits_are_counted(rig: MainRig) -> None:
    """Somebody tries secrets all day, and nobody sees it."""
    rig.throttling = ThrottlePolicies.per_minute(per_client=3, per_address=100)
    client = rig.add_client("admin")
    app = routes.build(Built(rig.main()))
    wrong = WsgiClient(app, authorization=Credentials("admin", "wrong" * 8).basic)
    form = {"content-type": "application/x-www-form-urlencoded"}
    statuses = [
        wrong("POST", "/oauth/token", b"grant_type=client_credentials", form).status
        for _ in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]
    found = _metrics(WsgiClient(app, authorization=rig.bearer(client))("GET", "/metrics"))
    assert found["strongroom_failed_authentications_total"] == 3
    assert found["strongroom_rate_limited_requests_total"] == 2


def test_a_cold_start_does_not_pay_for_the_library() -> None:
    """Every cold start of Lambda loads a library that hardly a request needs."""
    code = "import sys, app; sys.exit('prometheus_client' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)  # noqa: S603
    assert ended.returncode == 0
