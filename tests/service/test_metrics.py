from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from alchemy_async import __version__
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

API = "/api/v1"


@pytest.fixture
def service(tmp_path):
    return make_service(ServiceSettings(root=tmp_path / "root"))


@pytest.fixture
def client(service):
    with TestClient(create_app(service)) as made:
        yield made


def counted(client):
    """Return all samples, by name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


def total(samples, name, **labels):
    wanted = set(labels.items())
    return sum(value for key, value in samples.items() if key[0] == name and wanted <= set(key[1:]))


def test_the_server_says_what_it_is_that_it_lives_and_that_it_is_ready(client):
    assert client.get("/").json() == {
        "name": "alchemy_async", "version": __version__, "docs": "/api/docs", "health": "/health",
    }  # fmt: skip
    assert client.get("/health").json()["status"] == "healthy"
    assert client.get("/ready").json() == {"status": "ready"}


def test_none_of_this_makes_a_session_or_opens_one(client, service):
    for path in ("/", "/health", "/ready", "/metrics", "/api/docs"):
        assert client.get(path).status_code == 200

    assert service.sessions.ids() == []
    assert service.sessions.opened() == []


def test_a_server_that_is_about_to_end_or_cant_write_is_not_ready(client, service, monkeypatch):
    monkeypatch.setattr("alchemy_async.service.context.os.access", lambda *_: False)
    unwritable = client.get("/ready")
    monkeypatch.undo()
    service.farewell()
    ending = client.get("/ready")

    assert (unwritable.status_code, ending.status_code) == (503, 503)
    assert ending.json()["error_type"] == "UnavailableError"


def test_every_answer_is_counted_by_its_route_and_status_and_not_by_its_path(client):
    for name in ("a", "b", "c"):
        client.get(f"{API}/sessions/{name}/events")
    client.get("/nothing/at/all")

    samples = counted(client)

    routes = {dict(key[1:])["route"] for key in samples if key[0] == "alchemy_requests_total"}
    assert total(samples, "alchemy_requests_total", status="404", route=f"{API}/sessions/{{session_id}}/events") == 3
    assert total(samples, "alchemy_requests_total", status="404", route="none") == 1
    assert not any("/a/" in route for route in routes)
    assert total(samples, "alchemy_request_seconds_count", route=f"{API}/sessions/{{session_id}}/events") == 3


def test_refusals_of_the_outer_layers_are_counted_too(client):
    client.post(f"{API}/sessions", content=b"{", headers={"Content-Type": "application/json"})
    client.request("BREW", "/")

    samples = counted(client)

    assert total(samples, "alchemy_requests_total", status="422") == 1
    assert total(samples, "alchemy_requests_total", method="OTHER") == 1


def test_open_sessions_and_their_experiments_are_told(client):
    session = client.post(f"{API}/sessions", json={}).json()["session_id"]
    client.post(f"{API}/sessions/{session}/variables", json={"name": "T", "type": "real", "min": 0, "max": 1})
    client.post(f"{API}/sessions/{session}/experiments/staged", json={"inputs": {"T": 0.5}})

    samples = counted(client)

    assert total(samples, "alchemy_sessions_open") == 1
    assert total(samples, "alchemy_experiments", session=session, state="queued") == 1
    assert total(samples, "alchemy_experiments", session=session, state="completed") == 0


def test_what_planners_took_is_told(client, service):
    service.metrics.asked(0.2)

    samples = counted(client)

    assert total(samples, "alchemy_ask_seconds_count") == 1
    assert total(samples, "alchemy_ask_seconds_sum") == pytest.approx(0.2)


def test_two_servers_of_one_process_count_apart(tmp_path):
    first, second = (make_service(ServiceSettings(root=tmp_path / name)) for name in ("a", "b"))

    first.metrics.lease_ended()

    assert b"alchemy_leases_ended_total 1.0" in first.metrics.text()
    assert b"alchemy_leases_ended_total 0.0" in second.metrics.text()
