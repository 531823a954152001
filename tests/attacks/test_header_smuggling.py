"""Requests that are one thing to a proxy or a gateway, and another thing here.

Who calls is told by one token in one place: the `Authorization` header, or the `authorization`
metadata. Nothing else that a request can carry says who it is, what it may do, or what it asks for.
"""

import json
import uuid
from typing import Any

import grpc
import httpx
import pytest

from main_api.rest import routes
from strongroom_pb.v1 import entity_pb2
from tests.support.attackers import (
    SECONDS,
    Intruder,
    Intruders,
    RawAnswer,
    Refusal,
    answers_of,
    grant,
    raw_exchange,
)
from tests.support.deployment import CHAT, Deployment
from tests.support.mains import Built, MainRig

# What gateways tell their backends of who calls, by header or in the event.
AUTHORIZER = json.dumps({"principalId": "admin", "scope": "admin", "claims": {"sub": "admin"}})
CONTEXT = json.dumps({"authorizer": json.loads(AUTHORIZER), "identity": {"sourceIp": "10.0.0.1"}})
CLAIMS = {
    "X-Amzn-RequestContext": CONTEXT,
    "X-Amzn-Request-Context": CONTEXT,
    "x-amzn-apigateway-authorizer": AUTHORIZER,
    "X-Apigateway-Event": json.dumps({"requestContext": json.loads(CONTEXT)}),
    "X-Apigateway-Context": CONTEXT,
    "requestContext": CONTEXT,
    "X-Amzn-Oidc-Identity": "admin",
    "X-Amzn-Oidc-Data": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "X-Amzn-Oidc-Accesstoken": "admin",
    "X-Amzn-Mtls-Clientcert-Subject": "CN=main.strongroom.internal",
    "X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793",
    "X-Forwarded-User": "admin",
    "X-Forwarded-Client-Cert": 'Subject="CN=admin";DNS=main.strongroom.internal',
    "X-Client-Verify": "SUCCESS",
    "X-SSL-Client-S-DN": "CN=admin",
    "X-Remote-User": "admin",
    "Remote-User": "admin",
    "X-User": "admin",
    "X-Client-Id": "admin",
    "X-Scope": "admin",
    "X-Original-URL": "/clients",
    "X-Rewrite-URL": "/clients",
    "X-Forwarded-Prefix": "/clients",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;by=admin",
    "Proxy-Authorization": "Basic YWRtaW46YWRtaW4=",
    "X-Authorization": "Bearer admin",
    "Cookie": "access_token=admin; Authorization=Bearer%20admin",
}


@pytest.fixture
def low(making: Intruders) -> Intruder:
    """Return a client that may read nothing that is there."""
    return making(grant("chatdb", "read", key_prefix="nothing/"))


@pytest.mark.parametrize("name", CLAIMS)
def test_no_header_says_who_calls(
    deployment: Deployment, making: Intruders, low: Intruder, name: str
) -> None:
    """If this fails, whoever sends a header of a gateway's is whom it names."""
    making.put("chatdb", {"smuggled/there": CHAT})
    url = deployment.facts["http_url"]
    for path in ("/clients", "/keys", "/entity/chatdb?key=smuggled/there", "/metrics"):
        without = httpx.get(url + path, headers={name: CLAIMS[name]}, verify=deployment.trusted())
        assert without.status_code == 401
        assert low.rest.get(path, headers={name: CLAIMS[name]}).status_code == 403
    everything = httpx.get(f"{url}/clients", headers=CLAIMS, verify=deployment.trusted())
    assert everything.status_code == 401


def test_no_metadata_says_who_calls(making: Intruders, low: Intruder) -> None:
    """If this fails, whoever sends metadata of a gateway's over gRPC is whom it names."""
    making.put("chatdb", {"smuggled/there": CHAT})
    request = entity_pb2.GetEntityRequest(database="chatdb", key="smuggled/there")
    more = tuple((name.lower(), value) for name, value in CLAIMS.items())
    for metadata, code in (
        (more, grpc.StatusCode.UNAUTHENTICATED),
        ((*low.metadata, *more), grpc.StatusCode.PERMISSION_DENIED),
        ((("authorization-bin", b"Bearer " + making.root.token.encode()),), None),
        ((("x-authorization", f"Bearer {making.root.token}"),), None),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            low.entities.GetEntity(request, metadata=metadata, timeout=SECONDS)
        error: Any = refused.value
        assert error.code() is (code or grpc.StatusCode.UNAUTHENTICATED)


def test_what_an_authorizer_of_the_gateway_says_counts_for_nothing() -> None:
    """If this fails, a deployment behind a gateway believes an authorizer that it has not set up.

    The event is what API Gateway makes; its `requestContext.authorizer` is filled by configuration,
    or, where somebody may invoke the function itself, by him.
    """
    rig = MainRig()
    app = routes.build(Built(rig.main()))
    said = {"principalId": "admin", "claims": {"sub": "admin", "scope": "admin"}, "scope": "admin"}
    event: dict[str, Any] = {
        "resource": "/clients",
        "path": "/clients",
        "httpMethod": "GET",
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": {"authorizer": "admin"},
        "requestContext": {
            "resourcePath": "/clients",
            "httpMethod": "GET",
            "path": "/clients",
            "identity": {
                "sourceIp": "127.0.0.1",
                "user": "admin",
                "userArn": "arn:aws:iam::1:root",
            },
            "authorizer": said,
        },
        "body": None,
        "isBase64Encoded": False,
    }
    assert app(event, None)["statusCode"] == 401
    low = rig.bearer(rig.add_client("low"), scope="read")
    assert app({**event, "headers": {"Authorization": low}}, None)["statusCode"] == 403
    # Of two tokens in one event none is chosen.
    admin = rig.bearer(rig.add_client("root"))
    both = {
        "headers": {"Authorization": admin},
        "multiValueHeaders": {"Authorization": [low, admin]},
    }
    for order in ([low, admin], [admin, low], [admin, admin]):
        both["multiValueHeaders"] = {"Authorization": order}
        assert app({**event, **both}, None)["statusCode"] == 401


def get(deployment: Deployment, target: str, *lines: str, method: str = "GET") -> RawAnswer:
    """Send a request as it stands."""
    head = [f"{method} {target} HTTP/1.1", "Host: strongroom", "Connection: close", *lines]
    raw = raw_exchange(deployment, ("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
    (answer,) = answers_of(raw)
    return answer


def test_a_token_stands_in_one_place(deployment: Deployment, making: Intruders) -> None:
    """If this fails, a token in a URL works, and lies in the log of every proxy on the way."""
    token = making.root.token
    url = deployment.facts["http_url"]
    for target in (
        f"/clients?access_token={token}",
        f"/clients?authorization=Bearer%20{token}",
        f"/clients?Authorization=Bearer+{token}",
        f"/clients?token={token}",
        f"/clients;access_token={token}",
        f"/clients/{token}",
    ):
        assert get(deployment, target).status in {401, 404}
    for body in (
        {"access_token": token},
        {"authorization": f"Bearer {token}"},
        {"grant_type": "client_credentials", "access_token": token},
    ):
        form = httpx.post(f"{url}/entity/chatdb/query", data=body)
        assert form.status_code == 401
        as_json = httpx.post(f"{url}/entity/chatdb/query", json=body)
        assert as_json.status_code == 401
    # RFC 6749 has the client's credentials in the body, too; here they stand in the header alone.
    client_id, secret = deployment.credentials()
    asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    assert httpx.post(f"{url}/oauth/token", data=asked).status_code == 401


def test_of_two_tokens_none_is_chosen(
    deployment: Deployment, making: Intruders, low: Intruder
) -> None:
    """If this fails, a proxy checks one token, and the other one is served."""
    admin, other = f"Bearer {making.root.token}", f"Bearer {low.token}"
    for first, second in ((admin, other), (other, admin), (admin, admin), (admin, "Basic x")):
        twice = (f"Authorization: {first}", f"authorization: {second}")
        assert get(deployment, "/clients", *twice).status == 401
        assert get(deployment, "/clients", f"Authorization: {first}, {second}").status == 401
    # Another spelling of the name is another header, or none.
    for line in (
        f"Authorization : {admin}",
        f"Authorization\t: {admin}",
        f" Authorization: {admin}",
    ):
        assert get(deployment, "/clients", line).status in {400, 401}
    for line in (
        f"Authorization_: {admin}",
        f"HTTP_AUTHORIZATION: {admin}",
        f"X: y\x00\r\n{admin}",
    ):
        assert get(deployment, "/clients", line).status in {400, 401}
    request = entity_pb2.ListEntitiesRequest(database="chatdb")
    for first, second in ((admin, other), (other, admin), (admin, admin)):
        metadata = (("authorization", first), ("authorization", second))
        with pytest.raises(grpc.RpcError) as refused:
            making.root.entities.ListEntities(request, metadata=metadata, timeout=SECONDS)
        error: Any = refused.value
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"]
)
def test_a_method_is_what_the_request_line_says(
    deployment: Deployment, making: Intruders, name: str
) -> None:
    """If this fails, a proxy that lets GET pass lets DELETE pass."""
    key = f"override/{uuid.uuid4().hex}"
    making.put("chatdb", {key: CHAT})
    bearer = f"Authorization: Bearer {making.root.token}"
    target = f"/entity/chatdb?key={key}"
    for method in ("DELETE", "PUT", "PATCH", "delete"):
        assert get(deployment, target, bearer, f"{name}: {method}").status == 200
    assert get(deployment, f"{target}&_method=DELETE", bearer).status == 400
    assert get(deployment, target, bearer, method="get").status == 405
    found = making.root.rest.get("/entity/chatdb", params={"key": key})
    assert (found.status_code, found.headers["etag"]) == (200, '"1"')


def framed(token: str, *lines: str, body: bytes) -> bytes:
    """Return a PUT with a body that is framed by the lines given."""
    head = [
        "PUT /entity/chatdb HTTP/1.1",
        "Host: strongroom",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def chunked(data: bytes) -> bytes:
    """Return a body in one chunk."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


FRAMES = {
    "a length within": ("Content-Length: 4", "Transfer-Encoding: chunked"),
    "a length that covers it": ("Content-Length: {all}", "Transfer-Encoding: chunked"),
    "the other order": ("Transfer-Encoding: chunked", "Content-Length: {all}"),
    "two lengths": ("Content-Length: {body}", "Content-Length: {all}"),
    "a list of lengths": ("Content-Length: {body}, {all}",),
    "a signed length": ("Content-Length: +{body}",),
    "a length in hex": ("Content-Length: 0x10",),
    "two codings": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "two codings, one unknown": ("Transfer-Encoding: x", "Transfer-Encoding: chunked"),
    "an unknown coding": ("Transfer-Encoding: xchunked", "Content-Length: {body}"),
    "a coding that nobody takes away": ("Transfer-Encoding: gzip, chunked",),
    "chunked twice": ("Transfer-Encoding: chunked, chunked",),
    "chunked, not last": ("Transfer-Encoding: chunked, gzip",),
    "a space before the colon": ("Transfer-Encoding : chunked", "Content-Length: {body}"),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked", "Content-Length: {body}"),
    "a folded line": ("X: y", " Transfer-Encoding: chunked", "Content-Length: {body}"),
    "a quoted coding": ('Transfer-Encoding: "chunked"', "Content-Length: {body}"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_one_request_stays_one(deployment: Deployment, making: Intruders, case: str) -> None:
    """If this fails, what one client sends behind its body is the next client's request.

    Behind the body stands a request for a deletion, which a proxy that frames in another way would
    take for a part of the body. It is executed in no case. What is ambiguous is refused, or read as
    RFC 9112 section 6.3 says and the connection closed behind it.
    """
    token, key = making.root.token, f"framed/{uuid.uuid4().hex}"
    making.put("chatdb", {key: CHAT})
    data = json.dumps({f"{key}/written": {"chat": []}}).encode()
    body = chunked(data) if any("chunked" in line for line in FRAMES[case]) else data
    hidden = (
        f"DELETE /entity/chatdb?key={key} HTTP/1.1\r\nHost: strongroom\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    sizes = {"body": len(body), "all": len(body) + len(hidden)}
    lines = [line.format(**sizes) for line in FRAMES[case]]
    answers = answers_of(raw_exchange(deployment, framed(token, *lines, body=body + hidden)))
    assert making.root.rest.get("/entity/chatdb", params={"key": key}).status_code == 200
    assert len(answers) == 1
    assert answers[0].status in {200, 201, 400, 408, 413, 431, 501}
    if answers[0].status in {200, 201}:
        # Only where the coding goes before the length.
        assert "Transfer-Encoding: chunked" in FRAMES[case]
        assert any(line.startswith("Content-Length") for line in FRAMES[case])


def test_one_request_names_one_host(deployment: Deployment, making: Intruders) -> None:
    """If this fails, a proxy routes by one name what is served under another one."""
    bearer = f"Authorization: Bearer {making.root.token}"
    assert get(deployment, "/clients", bearer).status == 200
    assert get(deployment, "/clients", bearer, "Host: another").status == 400


def test_trailers_are_no_headers(deployment: Deployment, making: Intruders, low: Intruder) -> None:
    """If this fails, what comes behind the body changes who has sent it."""
    data = json.dumps({"trailed": {"chat": []}}).encode()
    for name, value in (
        ("Authorization", f"Bearer {making.root.token}"),
        ("If-Match", "*"),
        ("X-Request-ID", "trailed"),
    ):
        body = b"%x\r\n%s\r\n0\r\n%s: %s\r\n\r\n" % (
            len(data),
            data,
            name.encode(),
            value.encode(),
        )
        lines = ("Transfer-Encoding: chunked", f"Trailer: {name}", "Connection: close")
        (answer,) = answers_of(raw_exchange(deployment, framed(low.token, *lines, body=body)))
        assert answer.status == 403
        assert b"trailed" not in answer.head
    assert making.root.rest.get("/entity/chatdb?key=trailed").status_code == 404


def test_no_other_protocol_is_spoken(deployment: Deployment) -> None:
    """If this fails, a connection is led past what bounds a request over HTTP/1.1."""
    url = deployment.facts["http_url"]
    assert httpx.get(f"{url}/healthz", headers={"Upgrade": "websocket"}).status_code == 200
    upgraded = get(deployment, "/healthz", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    assert upgraded.status == 200
    assert b"upgrade" not in upgraded.head.lower()
    prior = raw_exchange(deployment, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert prior == b"" or prior.startswith(b"HTTP/1.1 4")
    assert get(deployment, "strongroom:1", method="CONNECT").status in {400, 404, 405}
    traced = get(deployment, "/healthz", "X-Secret: hush", method="TRACE")
    assert (traced.status, b"hush" in traced.body) == (405, False)


def test_a_refusal_is_one_to_every_intruder(low: Intruder) -> None:
    """If this fails, the tests above prove nothing: the client would be refused in any case."""
    assert low.rest.get("/entity/chatdb?key=nothing/x").status_code == 404
    answer = low.call(
        low.entities.GetEntity, entity_pb2.GetEntityRequest(database="chatdb", key="nothing/x")
    )
    assert isinstance(answer, Refusal)
    assert answer.code is grpc.StatusCode.NOT_FOUND
