from __future__ import annotations

import json
import stat

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from alchemy_async.errors import FolderError
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.gateway import access
from alchemy_async.service.gateway.access import Access, is_loopback, rule_for
from alchemy_async.service.gateway.tokens import Scope, Tokens
from alchemy_async.service.problems import NotAllowedError, UnknownError
from alchemy_async.service.server.app import create_app

API = "/api/v1"
LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "root"
    place.mkdir()
    return place


@pytest.fixture
def tokens(root):
    return Tokens(root)


@pytest.fixture
def client(root):
    with TestClient(create_app(make_service(ServiceSettings(root=root))), base_url=LOCAL) as made:
        yield made


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def test_a_token_is_256_bits_told_once_and_kept_as_a_digest_that_nobody_else_may_read(tokens, root):
    text = tokens.add(Scope.WORK, name="robot")

    kept = root / ".tokens.json"
    assert len(text) >= len("alchemy_") + 43
    assert text not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [one.name for one in tokens.all()] == ["robot"]


def test_a_token_is_known_again_and_any_other_text_is_not(tokens):
    text = tokens.add(Scope.READ, name="screen")

    assert tokens.find(text).name == "screen"
    assert tokens.find(text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert tokens.find("") is None


def test_another_process_that_adds_or_revokes_is_heeded_at_once(tokens, root):
    server = Tokens(root)
    assert server.all() == ()

    text = tokens.add(Scope.READ, name="screen")
    assert server.find(text) is not None
    tokens.revoke("screen")
    assert server.find(text) is None


def test_a_name_is_given_once_and_an_unknown_one_cant_be_revoked(tokens):
    tokens.add(Scope.READ, name="screen")

    with pytest.raises(FolderError, match="Take another name"):
        tokens.add(Scope.WORK, name="screen")
    with pytest.raises(FolderError, match="letters, digits"):
        tokens.add(Scope.WORK, name="../screen")
    with pytest.raises(UnknownError, match="token list"):
        tokens.revoke("nobody")


@pytest.mark.parametrize("damage", ["{", '{"tokens": [{"name": "a"}]}', '{"tokens": 7}'])
def test_tokens_that_cant_be_read_let_nobody_in(client, root, tokens, damage):
    tokens.add(Scope.ADMIN, name="me")
    (root / ".tokens.json").write_text(damage)

    answer = client.get(f"{API}/sessions")

    assert answer.status_code == 503
    assert str(root) not in answer.text
    with pytest.raises(FolderError, match="Nobody is let in"):
        Access(root)


def test_without_a_token_a_server_of_this_machine_is_open(client):
    assert client.post(f"{API}/sessions", json={"name": "a"}).status_code == 201


def test_once_there_is_a_token_every_route_wants_one_but_the_probes_and_the_documentation(client, tokens):
    text = tokens.add(Scope.ADMIN, name="me")

    for path in ("/", "/health", "/ready", "/api/docs", "/api/openapi.json"):
        assert client.get(path).status_code == 200
    for path in ("/metrics", f"{API}/sessions/x", f"{API}/sessions/x/experiments/staged", "/api/v1/nothing"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "alchemy-async token add" in refused.json()["detail"]
    assert client.get(f"{API}/sessions", headers=bearer("alchemy_wrong")).status_code == 401
    assert client.post(f"{API}/sessions", json={}, headers=bearer(text)).status_code == 201


def test_a_server_that_others_can_reach_wants_a_token_even_when_none_is_left(root):
    with pytest.raises(NotAllowedError, match="wants a token"):
        Access(root, "0.0.0.0").check("GET", f"{API}/sessions", "")


def test_a_scope_is_good_for_its_own_and_for_less(client, tokens):
    session = client.post(f"{API}/sessions", json={}).json()["session_id"]
    texts = {scope: tokens.add(scope, name=str(scope)) for scope in Scope}
    wanted = [
        ("GET", f"{API}/sessions/{session}", Scope.READ),
        ("DELETE", f"{API}/sessions/{session}/experiments/staged", Scope.WORK),
        ("POST", f"{API}/sessions", Scope.ADMIN),
    ]

    allowed = {
        (needed, scope): client.request(method, path, headers=bearer(text)).status_code != 403
        for method, path, needed in wanted
        for scope, text in texts.items()
    }

    order = list(Scope)
    assert allowed == {key: order.index(key[1]) >= order.index(key[0]) for key in allowed}


def test_a_correction_says_by_which_token_it_came(client, tokens):
    session = client.post(f"{API}/sessions", json={}).json()["session_id"]
    at = f"{API}/sessions/{session}"
    client.post(f"{at}/variables", json={"name": "x", "type": "real", "min": 0, "max": 1})
    client.post(f"{at}/experiments", json={"inputs": {"x": 0.5}, "output": 1.0})
    by = bearer(tokens.add(Scope.WORK, name="bench-pc"))

    for who in ({"who": "Ada"}, {}):
        found = client.patch(
            f"{at}/experiments/e0001/observation", json={"outlier": True, "why": "spilt", **who}, headers=by
        )

    corrections = found.json()["measurements"][0]["corrections"]
    assert [one["who"] for one in corrections] == [
        "Ada, by the token bench-pc",
        "a client, by the token bench-pc",
    ]


def test_a_token_of_one_session_opens_no_other_and_nothing_beside(client, tokens):
    mine, other = (client.post(f"{API}/sessions", json={}).json()["session_id"] for _ in range(2))
    text = tokens.add(Scope.ADMIN, name="robot", session=mine)

    assert client.get(f"{API}/sessions/{mine}", headers=bearer(text)).status_code == 200
    for path in (f"{API}/sessions/{other}", f"{API}/sessions", "/metrics", f"{API}/recovery/list"):
        refused = client.get(path, headers=bearer(text))
        assert refused.status_code == 403
        assert mine in refused.json()["detail"]
    assert client.post(f"{API}/sessions", json={}, headers=bearer(text)).status_code == 403


def test_every_route_is_mapped_to_a_scope_by_a_rule_of_its_own(client):
    unmapped = [
        found.path
        for found in iter_route_contexts(client.app.routes)
        if found.path is not None and rule_for(found.path.replace("{", "").replace("}", ""))[0] is access.ELSE
    ]

    assert unmapped == []


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/sessions/s/experiments/staged", Scope.READ),
        ("POST", "/sessions/s/experiments/staged", Scope.WORK),
        ("POST", "/sessions/s/experiments/staged/claim", Scope.WORK),
        ("POST", "/sessions/s/experiments/staged/e1/heartbeat", Scope.WORK),
        ("PATCH", "/sessions/s/experiments/staged/e1", Scope.WORK),
        ("POST", "/sessions/s/model/train", Scope.WORK),
        ("POST", "/sessions/s/model/predict", Scope.READ),
        ("POST", "/sessions/s/visualizations/contour", Scope.READ),
        ("POST", "/sessions/s/acquisition/suggest", Scope.WORK),
        ("POST", "/sessions/s/variables", Scope.ADMIN),
        ("DELETE", "/sessions/s/constraints/c", Scope.ADMIN),
        ("DELETE", "/sessions/s", Scope.ADMIN),
        ("POST", "/sessions/import", Scope.ADMIN),
        ("POST", "/recovery/s/restore", Scope.ADMIN),
        ("POST", "/made/up", Scope.ADMIN),
        ("GET", "/sessions/x/pool/settings", Scope.WORK),
    ],
)
def test_what_a_request_needs_is_what_it_can_do(method, path, scope):
    rule, _ = rule_for(API + path)

    assert (rule.reads if method == "GET" else rule.changes) is scope


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.8.9.1", True), ("0.0.0.0", False),
     ("::", False), ("192.0.2.7", False), ("no.such.name.invalid", False), ("", False)],
)  # fmt: skip
def test_only_what_this_machine_alone_can_reach_is_a_loopback_address(host, is_one):
    assert is_loopback(host) is is_one


@pytest.fixture
def local(root):
    """A client whose connection comes to a loopback address, as a real server says it."""
    app = create_app(make_service(ServiceSettings(root=root, allow_origins=("https://lab.example.org",))))

    async def connected(scope, receive, send):
        if scope["type"] != "lifespan":
            scope["server"] = ("127.0.0.1", 8000)
        await app(scope, receive, send)

    with TestClient(connected, base_url=LOCAL) as made:
        yield made


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:8000", "127.0.0.1.evil.example.com", "", "a b"])
def test_a_strangers_name_that_points_here_gets_nothing_from_a_server_without_tokens(local, host):
    answer = local.get(f"{API}/sessions", headers={"Host": host})

    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "lab.example.org"])
def test_the_names_of_this_machine_and_of_an_allowed_page_are_its_own(local, host):
    assert local.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:9999", "http://[bad"])
def test_a_page_of_elsewhere_changes_nothing(local, origin):
    refused = local.post(f"{API}/sessions", json={}, headers={"Origin": origin})

    assert refused.status_code == 403
    assert "--allow-origin" in refused.json()["detail"]
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origin", [LOCAL, "https://lab.example.org"])
def test_its_own_pages_and_those_that_were_allowed_may(local, origin):
    assert local.post(f"{API}/sessions", json={}, headers={"Origin": origin}).status_code == 201


def test_an_allowed_page_is_told_so_before_it_asks_and_another_is_not(local):
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    allowed = local.options(f"{API}/sessions", headers={"Origin": "https://lab.example.org", **ask})
    other = local.options(f"{API}/sessions", headers={"Origin": "https://evil.example.com", **ask})

    assert allowed.headers["access-control-allow-origin"] == "https://lab.example.org"
    assert "access-control-allow-origin" not in other.headers


def test_no_page_of_elsewhere_is_allowed_by_itself(client):
    answer = client.get("/health", headers={"Origin": "http://localhost:3000"})

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("how", ["header", "protocol"])
def test_a_websocket_brings_its_token_in_a_header_or_a_protocol(client, tokens, how):
    session = client.post(f"{API}/sessions", json={}).json()["session_id"]
    text = tokens.add(Scope.READ, name="screen")
    given = {"headers": bearer(text)} if how == "header" else {"subprotocols": ["alchemy", f"bearer.{text}"]}

    with client.websocket_connect(f"{API}/ws/sessions/{session}", **given) as socket:
        assert socket.receive_json()["event"] == "connected"
        assert socket.accepted_subprotocol == ("alchemy" if how == "protocol" else None)


def test_a_websocket_without_a_token_or_of_another_page_is_not_opened(client, tokens):
    session = client.post(f"{API}/sessions", json={}).json()["session_id"]
    text = tokens.add(Scope.READ, name="screen")

    for headers, status in (({}, 401), ({**bearer(text), "Origin": "https://evil.example.com"}, 403)):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect(f"{API}/ws/sessions/{session}", headers=headers),
        ):
            pass
        assert refused.value.status_code == status


def test_a_token_in_the_query_opens_nothing(client, tokens):
    text = tokens.add(Scope.ADMIN, name="me")

    assert client.get(f"{API}/sessions?token={text}&access_token={text}").status_code == 401


def test_the_file_of_tokens_survives_whoever_is_killed_while_writing_it(tokens, root):
    tokens.add(Scope.READ, name="screen")
    (root / ".tokens.1.tmp").write_text("half of it")

    tokens.add(Scope.WORK, name="robot")

    assert [one["name"] for one in json.loads((root / ".tokens.json").read_text())["tokens"]] == ["screen", "robot"]
