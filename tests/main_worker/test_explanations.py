"""POST /clients/{client_id}/explain: it says what is decided, and by which grant."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from main_api.domain import grants
from main_api.domain.explanations import Question, Verdict, explain
from main_api.domain.grants import Action, Grant
from main_api.rest import routes
from strongroom.errors import ForbiddenError
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import Answer, WsgiClient

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN


class Rig:
    """A Main Worker with a front end, and an administrator who asks."""

    def __init__(self) -> None:
        """Make both."""
        self.main = MainRig()
        own = (
            grant("logs*", WRITE),
            grant("chatdb", READ, WRITE),
            grant("chatdb", READ, key_prefix="{sub}/"),
        )
        users = (
            grant("chatdb", READ, key_prefix="shared/"),
            grant("chatdb", READ, WRITE, key_prefix="users/{sub}/"),
        )
        self.front = self.main.add_front_end("front", own, users)
        self.root = self.main.add_client("root")
        self.http = WsgiClient(routes.build(Built(self.main.main())))

    def ask(self, client_id: str = "front", bearer: str = "", **question: Any) -> Answer:  # noqa: ANN401 - JSON
        """Ask, as the administrator unless said otherwise."""
        headers = {"Authorization": bearer or self.main.bearer(self.root)}
        body = json.dumps({"database": "chatdb", "action": "read"} | question).encode()
        return self.http("POST", f"/clients/{client_id}/explain", body, headers)


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker."""
    return Rig()


def test_the_grant_that_decides_is_named_and_why_the_others_do_not(rig: Rig) -> None:
    """Nobody can tell why a client may read something, or why it may not."""
    found = rig.ask(key="users/alice/1", sub="alice").json()
    assert (found["allowed"], found["decides"]) == (True, 1)
    assert [one["verdict"] for one in found["grants"]] == ["other-key", "covers"]
    assert found["grants"][1]["key_prefix"] == "users/alice/"
    assert found["grants"][1]["grant"]["key_prefix"] == "users/{sub}/"
    assert found["grants"][0]["reason"] == "the key does not begin with its key_prefix"


def test_that_none_does_is_said_too(rig: Rig) -> None:
    """Who is refused is told nothing more by the one tool that is for it."""
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({"key": "users/bob/1", "sub": "alice"}, ["other-key", "other-key"]),
        ({"key": "shared/1", "action": "delete", "sub": "alice"}, ["other-action"] * 2),
        ({"database": "logs1", "sub": "alice"}, ["other-database"] * 2),
        ({"database": "logs1"}, ["other-action", "other-database", "other-database"]),
        ({"action": "admin"}, ["other-database", "other-action", "other-action"]),
    ]
    for question, verdicts in cases:
        found = rig.ask(**question).json()
        assert (found["allowed"], found["decides"]) == (False, None)
        assert [one["verdict"] for one in found["grants"]] == verdicts


def test_the_first_that_covers_decides_and_a_client_is_its_own_subject(rig: Rig) -> None:
    """A client's own name is taken for a user's, or its grants for those of its users."""
    found = rig.ask(key="front/1").json()
    assert [one["verdict"] for one in found["grants"]] == ["other-database", "covers", "covers"]
    assert (found["decides"], found["grants"][2]["key_prefix"]) == (1, "front/")


def test_a_client_without_users_has_none(rig: Rig) -> None:
    """A client's own grants are shown as its users'."""
    assert rig.ask("root", sub="alice").json() == {"allowed": False, "decides": None, "grants": []}


def test_a_claim_that_is_missing_is_told() -> None:
    """A grant for a claim that no token has looks as if its prefix were at fault."""
    org = grant("*", READ, key_prefix="{org}/")
    found = explain([org], grants.client_claims("front"), Question("chatdb", "x/1", READ))
    assert found.decides is None
    assert (found.judged[0].verdict, found.judged[0].key_prefix) == (Verdict.NO_SUCH_CLAIM, None)


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"database": "-bad"}, 400),
        ({"key": "a\0b"}, 400),
        ({"key": "k" * 513}, 400),
        ({"key": "ü" * 300}, 400),
        ({"action": "everything"}, 400),
        ({"sub": "a/b"}, 400),
        ({"sub": ""}, 400),
        ({"claims": {"org": "acme"}}, 400),
        ({"client_id": "absent"}, 404),
    ],
)
def test_what_is_no_question_is_refused(rig: Rig, question: dict[str, str], status: int) -> None:
    """A question is answered that nobody has asked."""
    assert rig.ask(**question).status == status


def test_only_an_administrator_of_everything_asks(rig: Rig) -> None:
    """A client learns the grants of another one, or which clients there are."""
    half = rig.main.add_client("half", grant("chatdb", *Action), grant("*", READ))
    askers = [rig.main.bearer(rig.front), rig.main.bearer(half)]
    askers += [rig.main.user_bearer(rig.front, "alice"), rig.main.bearer(rig.root, "read")]
    for bearer in askers:
        answers = [rig.ask(name, bearer) for name in ("front", "absent", "-bad")]
        assert [answer.status for answer in answers] == [403] * 3
        assert len({answer.json()["detail"] for answer in answers}) == 1


SOME = st.builds(
    Grant,
    database=st.sampled_from(["*", "a*", "ab", "b"]),
    actions=st.frozensets(st.sampled_from(list(Action))),
    key_prefix=st.sampled_from(["", "u/", "u/{sub}/", "{org}/", "{client_id}/{sub}/"]),
)


@given(
    own=st.lists(SOME, max_size=5),
    user=st.sampled_from([None, "u", "c", "al"]),
    database=st.sampled_from(["a", "ab", "b", "c"]),
    key=st.text(alphabet="u/cal", max_size=7),
    action=st.sampled_from(list(Action)),
)
def test_it_says_what_is_decided(
    own: list[Grant], user: str | None, database: str, key: str, action: Action
) -> None:
    """The explanation says one thing, and a request meets another."""
    claims = grants.client_claims("c", user)
    found = explain(own, claims, Question(database, key, action, user))
    resolved = grants.resolved(own, claims)
    assert (found.decides is not None) == grants.allowed(resolved, database, key, action)
    if found.decides is not None:
        (mine,) = grants.resolved([own[found.decides]], claims)
        assert mine.allows(database, key, action)
        assert found.judged[found.decides].key_prefix == mine.key_prefix


def test_what_is_explained_is_what_happens(rig: Rig) -> None:
    """An administrator is told that a user may read, and the user is refused."""
    for sub in (None, "alice", "front"):
        bearer = rig.main.bearer(rig.front) if sub is None else rig.main.user_bearer(rig.front, sub)
        caller = rig.main.access.authenticate(bearer)
        for key in ("users/alice/1", "users/front/1", "shared/1", "front/1", "alice/1"):
            for action in Action:
                said = rig.ask(key=key, action=action, **({} if sub is None else {"sub": sub}))
                try:
                    rig.main.access.authorize(caller, "chatdb", [key], action)
                except ForbiddenError:
                    assert not said.json()["allowed"]
                else:
                    assert said.json()["allowed"]
