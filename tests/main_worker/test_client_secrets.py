"""Secrets of clients: two at the most, for as long as was said, and nothing shows who exists."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain.grants import Action
from main_api.rest import routes
from strongroom import keyring, limits
from strongroom.crypto import mac
from strongroom.errors import NotFoundError, StrongroomError, UnauthenticatedError
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.filesystems import ObservedFilesystem
from tests.support.mains import AT, Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

DAY = 24 * 3600


class Rig:
    """A Main Worker with a client `ada` and an administrator."""

    def __init__(self) -> None:
        """Make both."""
        self.main = MainRig()
        self.app = routes.build(Built(self.main.main()))
        self.first = self.main.add_client("ada", grant("*", Action.READ)).secret
        self.root = self.main.add_client("root")

    def rotate(self, body: bytes = b"", client_id: str = "ada") -> Answer:
        """Rotate a secret as the administrator."""
        http = WsgiClient(self.app, authorization=self.main.bearer(self.root))
        return http("POST", f"/clients/{client_id}/rotate-secret", body)

    def rotated(self, body: bytes = b"") -> str:
        """Return the new secret."""
        answer = self.rotate(body)
        assert answer.status == 201
        return str(answer.json()["client_secret"])

    def gets_in(self, secret: str, client_id: str = "ada") -> bool:
        """Tell whether a secret is one of the client's."""
        try:
            self.main.authorization.issue_token(client_id, secret, "")
        except UnauthenticatedError:
            return False
        return True


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with a client."""
    return Rig()


def test_both_secrets_are_valid_for_the_overlap_and_no_longer(rig: Rig) -> None:
    """Whoever rotates a secret locks out what still runs with the old one, or never ends it."""
    answer = rig.rotate(b'{"overlap_seconds": 60}')
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    second = answer.json()["client_secret"]
    assert set(answer.json()) == {
        "client_id",
        "client_secret",
        "grants",
        "user_grants",
        "created_at",
        "old_secret_until",
    }
    rig.main.clock.advance(59.999)
    assert rig.gets_in(rig.first)
    assert rig.gets_in(second)
    rig.main.clock.advance(0.001)
    assert not rig.gets_in(rig.first)
    assert rig.gets_in(second)


def test_without_a_body_the_old_one_is_valid_for_a_day(rig: Rig) -> None:
    """The simplest call ends the old secret at once, or leaves it for ever."""
    rig.rotated()
    rig.main.clock.advance(DAY - 1)
    assert rig.gets_in(rig.first)
    rig.main.clock.advance(1)
    assert not rig.gets_in(rig.first)


def test_a_secret_that_has_leaked_can_be_ended_at_once(rig: Rig) -> None:
    """Whoever has a leaked secret goes on."""
    second = rig.rotated(b'{"overlap_seconds": 0}')
    assert not rig.gets_in(rig.first)
    assert rig.gets_in(second)
    assert "old_secret_until" not in rig.rotate(b'{"overlap_seconds": 0}').json()


def test_there_are_two_secrets_at_the_most(rig: Rig) -> None:
    """With each rotation one more secret is valid."""
    second, third = rig.rotated(), rig.rotated()
    assert [rig.gets_in(one) for one in (rig.first, second, third)] == [False, True, True]


def test_a_client_with_two_secrets_is_one_client(rig: Rig) -> None:
    """A rotation logs a client out, or takes its grants, its cursors and idempotency keys away."""
    before = rig.main.access.authenticate(
        f"Bearer {rig.main.authorization.issue_token('ada', rig.first, '').access_token}"
    )
    second = rig.rotated()
    after = rig.main.access.authenticate(
        f"Bearer {rig.main.authorization.issue_token('ada', second, '').access_token}"
    )
    assert before == after
    rig.main.provisioning.put_client("ada", (grant("one", Action.READ),))
    assert rig.gets_in(rig.first)
    assert rig.gets_in(second)


def test_secrets_are_random_and_none_is_stored_or_shown_again(rig: Rig) -> None:
    """Whoever opens a record, or lists the clients, can log in as one."""
    secrets = {rig.rotated() for _ in range(10)}
    assert len(secrets) == 10
    assert all(len(one) >= 43 for one in secrets)
    shown = WsgiClient(rig.app, authorization=rig.main.bearer(rig.root))("GET", "/clients").body
    kept = repr(rig.main.memory.clients) + shown.decode()
    assert not any(one in kept for one in {*secrets, rig.first})


@pytest.mark.parametrize(
    "body",
    [
        b'{"overlap_seconds": -1}',
        b'{"overlap_seconds": %d}' % (limits.SECRET_OVERLAP_SECONDS_MAX + 1),
        b'{"overlap_seconds": 1.5}',
        b'{"overlap_seconds": "1"}',
        b'{"overlap_seconds": null}',
        b'{"overlap": 1}',
        b"[]",
        b"{",
    ],
)
def test_an_overlap_has_bounds(rig: Rig, body: bytes) -> None:
    """A mistyped overlap keeps a secret for ever, or ends one that is in use."""
    assert rig.rotate(body).status == 400
    assert rig.rotate(b'{"overlap_seconds": %d}' % limits.SECRET_OVERLAP_SECONDS_MAX).status == 201


def test_only_an_administrator_of_everything_rotates(rig: Rig) -> None:
    """A client gives another one a secret that it knows, or learns which clients exist."""
    assert rig.rotate(client_id="nobody").status == 404
    narrow = rig.main.bearer(rig.main.add_client("narrow", grant("chatdb", *Action)))
    http = WsgiClient(rig.app, authorization=narrow)
    for client_id in ("ada", "narrow", "nobody"):
        assert http("POST", f"/clients/{client_id}/rotate-secret").status == 403
    assert rig.gets_in(rig.first)


def test_a_removed_clients_secrets_end_with_it(rig: Rig) -> None:
    """Somebody who was removed gets in with an old secret when the id is given anew."""
    second = rig.rotated()
    rig.main.provisioning.delete_client("ada")
    third = rig.main.add_client("ada").secret
    assert [rig.gets_in(one) for one in (rig.first, second, third)] == [False, False, True]
    with pytest.raises(NotFoundError):
        rig.main.provisioning.rotate_secret("nobody", 0)


def test_a_rotation_of_the_key_under_which_they_lie_ends_no_secret(rig: Rig) -> None:
    """A rotation of the client-secret key locks out who has one of the two secrets."""
    second = rig.rotated()
    made = keyring.new_key(Purpose.CLIENT_SECRET, AT)
    rig.main.live.change(lambda current: keyring.with_active(current, made))
    assert rig.gets_in(rig.first)
    assert rig.gets_in(second)
    assert rig.gets_in(rig.rotated())


class Cost:
    """What an attempt costs: calls of the filesystem by their names, and MACs."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a Main Worker over files, and count from now on."""
        self.spent: Counter[str] = Counter()
        verify = mac.verify

        def counted(key: bytes, expected: bytes, *parts: bytes) -> None:
            self.spent["mac"] += 1
            verify(key, expected, *parts)

        def called(name: str, _: tuple[object, ...]) -> None:
            self.spent[name] += 1

        monkeypatch.setattr(mac, "verify", counted)
        clock, keys = ManualClock(), keyring.new("test-deployment", AT)
        store = ControlFiles(ObservedFilesystem(called), Layout(tmp_path), keys, clock)
        self.main = MainRig(clock=clock, keys=keys, other_store=store)

    def of(self, attempt: Callable[[], object]) -> dict[str, int]:
        """Return what an attempt costs that is refused."""
        self.spent.clear()
        with pytest.raises(UnauthenticatedError):
            attempt()
        return dict(self.spent)


def test_an_unknown_client_costs_what_a_known_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever measures the answers learns which clients exist, or which rotate their secret."""
    cost = Cost(tmp_path, monkeypatch)
    clients, provisioning = cost.main.authorization, cost.main.provisioning
    for client_id in ("ada", "root"):
        cost.main.add_client(client_id)
    provisioning.rotate_secret("ada", 60)
    # The first unknown one of a process looks for a record to read; from then on it has one.
    cost.of(lambda: clients.issue_token("nobody", "wrong", ""))
    seen = [
        cost.of(partial(clients.issue_token, client_id, "wrong", ""))
        for client_id in ("ada", "root", "nobody", "somebody")
    ]
    assert seen == [seen[0]] * 4
    assert (seen[0]["mac"], seen[0]["open"]) == (2, 2)


def test_an_unknown_worker_costs_what_a_known_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever measures the answers learns which workers have a credential."""
    cost = Cost(tmp_path, monkeypatch)
    credentials = cost.main.main().worker_credentials
    root = cost.main.caller(client_id="root")
    for worker_id in ("worker-1", "worker-2"):
        credentials.put(root, worker_id)
    cost.of(lambda: credentials.prove("worker-9", "wrong"))
    seen = [
        cost.of(partial(credentials.prove, worker_id, "wrong"))
        for worker_id in ("worker-1", "worker-2", "worker-9", "worker-8")
    ]
    assert seen == [seen[0]] * 4
    assert (seen[0]["mac"], seen[0]["open"]) == (1, 2)


def test_another_clients_damage_shows_in_no_login(rig: Rig) -> None:
    """One damaged record makes a login of somebody unknown an error of the server."""
    assert not rig.gets_in("wrong", "nobody")
    rig.main.memory.down = True
    with pytest.raises(StrongroomError, match="does not answer"):
        rig.main.authorization.issue_token("nobody", "wrong", "")
    rig.main.memory.down = False
    for client_id in list(rig.main.memory.clients):
        rig.main.memory.remove_client(client_id)
    assert not rig.gets_in("wrong", "nobody")
