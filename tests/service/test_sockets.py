from __future__ import annotations

import time

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from alchemy_async.service.server.app import create_app
from tests.service.watched import complete, last, one_session, stage

API = "/api/v1"


@pytest.fixture
def service(tmp_path):
    made = one_session(tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def client(service):
    with TestClient(create_app(service)) as made:
        yield made


def received(socket, until):
    found = []
    while not found or not until(found[-1]):
        found.append(socket.receive_json())
    return found


@pytest.mark.parametrize("prefix", ["", API])
def test_a_websocket_greets_as_alchemists_does_and_tells_what_happens(client, service, prefix):
    with client.websocket_connect(f"{prefix}/ws/sessions/s1") as socket:
        greeting = socket.receive_json()
        experiment = stage(service, reason="qEI")
        staged = received(socket, lambda one: one["event"] == "queue_updated")
        complete(service, experiment)
        done = received(socket, lambda one: one["event"] == "experiments_updated")

    assert greeting | {"seq": 0} == {
        "event": "connected", "session_id": "s1", "message": "WebSocket connection established", "seq": 0,
    }  # fmt: skip
    assert staged[0] | {"at": ""} == {
        "event": "queue_item_updated", "item_id": experiment, "status": "pending", "reason": "qEI", "output": None,
        "error": None, "seq": greeting["seq"] + 1, "at": "", "kind": "queued", "experiment": experiment, "attempt": 1,
        "details": staged[0]["details"],
    }  # fmt: skip
    assert done[-1]["n_experiments"] == 1
    items = [(one["status"], one["output"]) for one in done if one["event"] == "queue_item_updated"]
    assert items == [("running", None), ("done", 1.5)]
    numbers = [one["seq"] for one in [greeting, *staged, *done]]
    assert numbers == sorted(numbers)


def test_a_websocket_can_go_on_behind_a_number(client, service):
    stage(service)
    stage(service, 360.0)

    with client.websocket_connect(f"{API}/ws/sessions/s1?after={last(service) - 1}") as socket:
        socket.receive_json()
        assert socket.receive_json()["seq"] == last(service)


def test_what_a_websocket_sends_is_read_and_ignored(client, service):
    with client.websocket_connect(f"{API}/ws/sessions/s1") as socket:
        socket.receive_json()
        for _ in range(20):
            socket.send_text("{")
        socket.send_bytes(b"\x00")
        stage(service)
        assert socket.receive_json()["kind"] == "queued"


def test_a_websocket_of_an_unknown_session_is_not_opened(client):
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(f"{API}/ws/sessions/nobody"),
    ):
        pass

    assert refused.value.status_code == 404
    assert refused.value.json()["error_type"] == "SessionNotFoundError"


def test_a_websocket_is_closed_when_the_server_ends(client, service):
    with client.websocket_connect(f"{API}/ws/sessions/s1") as socket:
        socket.receive_json()
        service.farewell()
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()

    assert closed.value.code == 1012


def test_places_of_websockets_are_given_back(client, service):
    for _ in range(5):
        with client.websocket_connect(f"{API}/ws/sessions/s1") as socket:
            socket.receive_json()

    until = time.monotonic() + 10
    while service.watchers.n_taken and time.monotonic() < until:
        time.sleep(0.01)
    assert service.watchers.n_taken == 0


@pytest.mark.parametrize(
    ("kind", "details", "told"),
    [
        ("control_changed", {"control": {"requested": "pause"}}, {"control": {"requested": "pause"}}),
        ("lock_status_changed", {"locked": True, "locked_by": "ada"}, {"locked": True, "locked_by": "ada"}),
        ("model_trained", {"metrics": {"r2": 0.5}}, {"metrics": {"r2": 0.5}}),
    ],
)
def test_what_concerns_the_whole_session_is_told_in_alchemists_words(client, service, kind, details, told):
    with client.websocket_connect(f"{API}/ws/sessions/s1") as socket:
        socket.receive_json()
        with service.sessions.session("s1").desk.turn() as turn:
            turn.change.note(kind, **details)
        message = socket.receive_json()

    assert message["event"] == kind
    assert message | told == message
