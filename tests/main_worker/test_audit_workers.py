"""What is recorded of Processing Workers, and of what a Main Worker does by itself."""

import pytest

from main_api.domain.audit.records import OK, Record
from main_api.domain.rotation import RotationPolicy
from main_api.rest import routes
from main_api.service.keys.rotation import Rotation
from strongroom import limits
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.keyring import Purpose
from tests.support.audit_logs import read, verify
from tests.support.mains import Built, MainRig
from tests.support.served_mains import Served, bearer, refused, subscribe
from tests.support.wsgi import WsgiClient

WORKER, SECONDS = "worker-1", 30


def recorded(rig: MainRig) -> list[Record]:
    """Return what is on record."""
    rig.audit.step()
    assert verify(rig.audit_log, (), rig.keys).findings == ()
    return list(read(rig.audit_log, rig.keys))


def test_a_worker_that_comes_into_service_is_on_record(served: Served) -> None:
    """Somebody was given every data key, and nobody can say who, when or from where."""
    worker = served.worker(WORKER)
    lease = worker.register(worker.subscribe().token, "127.0.0.1:1")
    lease = worker.renew(lease.token, "", 0)
    worker.fetch_keys(lease.token)
    worker.leave(lease.token)
    worker.close()
    records = recorded(served.rig)
    assert [one.act for one in records] == ["subscribe", "register", "fetch_keys", "leave"]
    assert {(one.worker, one.face, one.address, one.outcome) for one in records} == {
        (WORKER, "workers", "127.0.0.1", OK)
    }
    assert all(one.request_id for one in records)


def test_no_worker_gets_keys_unrecorded(served: Served) -> None:
    """On a full disk keys are handed out without a trace."""
    served.rig.audit_log.down = True
    worker = served.worker(WORKER)
    with pytest.raises(UnavailableError, match="the audit log cannot be written"):
        worker.subscribe()
    served.rig.audit_log.down = False
    served.rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
    lease = worker.register(worker.subscribe().token, "127.0.0.1:1")
    served.rig.audit_log.down = True
    # Who serves goes on serving.
    worker.renew(lease.token, "", 0)
    with pytest.raises(UnavailableError):
        worker.fetch_keys(lease.token)
    worker.close()


def test_what_a_worker_is_refused_is_on_record(served: Served) -> None:
    """A stolen certificate is tried, again and again, and nobody sees it."""
    channel, stub = served.stub(served.pki.workers[WORKER])
    assert isinstance(refused(lambda: subscribe(stub, "worker-2")), UnauthenticatedError)
    assert isinstance(refused(lambda: subscribe(stub, WORKER, b"x")), InvalidArgumentError)
    served.rig.administration.revoke_worker(served.rig.caller(client_id="a"), WORKER, unseen=True)
    assert isinstance(refused(lambda: subscribe(stub, WORKER)), ForbiddenError)
    channel.close()
    records = recorded(served.rig)
    assert [(one.act, one.worker, one.outcome) for one in records] == [
        ("subscribe", WORKER, "unauthenticated"),
        ("subscribe", WORKER, "invalid-argument"),
        ("subscribe", WORKER, "forbidden"),
    ]
    assert records[0].target == {"worker_id": "worker-2"}


def test_a_stream_that_is_refused_is_on_record(served: Served) -> None:
    """A revoked worker asks for news of the keyring, and nobody sees it."""
    from strongroom_pb.v1 import subscription_pb2 as pb  # noqa: PLC0415

    channel, stub = served.stub(served.pki.workers[WORKER])
    request = pb.WatchRequest(worker_id=WORKER)
    told = refused(lambda: list(stub.Watch(request, metadata=bearer("rubbish"), timeout=SECONDS)))
    assert isinstance(told, UnauthenticatedError)
    channel.close()
    (record,) = recorded(served.rig)
    assert (record.act, record.worker, record.outcome) == ("watch", WORKER, "unauthenticated")


def test_a_worker_that_subscribes_over_rest_is_on_record() -> None:
    """With a pre-shared credential somebody gets the data key, and nobody sees it."""
    rig = MainRig()
    credential, _ = rig.main().worker_credentials.put(rig.caller(client_id="a"), WORKER)
    http = WsgiClient(routes.build(Built(rig.main())))
    wrong = b'{"worker_id": "worker-1", "pubkey": "AAAA"}'
    for given in ("wrong", credential):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {given}"}
        http("POST", "/workers/subscribe", wrong, headers)
    denied, failed = [one for one in recorded(rig) if one.act == "subscribe"]
    assert (denied.worker, denied.outcome) == ("", "unauthenticated")
    assert (failed.worker, failed.outcome) == (WORKER, "invalid-argument")


def test_a_rotation_by_age_is_on_record() -> None:
    """A key was replaced, and nobody can say why."""
    rig = MainRig()
    rotation = Rotation(rig.live, rig.store, rig.clock)
    old = rig.live.active(Purpose.DATA).key_id
    rig.audit_log.down = True
    assert rotation.step(RotationPolicy(after_s=0.0)) is None
    assert rig.live.active(Purpose.DATA).key_id == old, "it was done, and is on no record"
    rig.audit_log.down = False
    rig.clock.advance(limits.AUDIT_RETRIED_EVERY_SECONDS)
    assert rotation.step(RotationPolicy(after_s=0.0)) is not None
    new = rig.live.active(Purpose.DATA).key_id
    *_, intent, outcome = recorded(rig)
    assert (intent.act, intent.intent, outcome.outcome) == ("change_keyring", True, OK)
    assert (outcome.face, outcome.client) == ("main", "")
    assert outcome.detail["by"] == "rotation"
    assert outcome.detail["reason"] == "age"
    assert outcome.detail["keys"] == f"data {old} decrypt-only, data {new} active"
