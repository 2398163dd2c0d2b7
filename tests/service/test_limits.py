from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI, Request, UploadFile
from fastapi.testclient import TestClient

from alchemy_async.clock import SimulatedClock
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.gateway import limits
from alchemy_async.service.gateway.bodies import Bodies
from alchemy_async.service.gateway.limits import Buckets, Limits, Places, Throttle
from alchemy_async.service.problems import TooMuchError
from alchemy_async.service.server.app import create_app

MOST = 1000


@pytest.fixture
def read():
    """What reached the operation, of each request."""
    return []


@pytest.fixture
def client(read):
    app = FastAPI()

    @app.post("/json")
    async def take_json(request: Request):
        read.append(await request.json())
        return {}

    @app.post("/file")
    async def take_file(file: UploadFile):
        read.append(await file.read())
        return {}

    return TestClient(Bodies(app, MOST), raise_server_exceptions=False)


def parts(*found):
    """Send a body in parts, as a client does that does not say how long it is."""
    yield from found


def test_a_body_that_is_small_enough_arrives_as_it_was_sent(client, read):
    answer = client.post("/json", json={"a": [1, 2.5, "x"]})

    assert answer.status_code == 200
    assert read == [{"a": [1, 2.5, "x"]}]


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(client, read):
    answer = client.post("/json", content=b"x" * (MOST + 1), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert answer.json()["error_type"] == "TooMuchError"
    assert str(MOST) in answer.json()["detail"]
    assert read == []


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_body_that_turns_out_too_large_is_refused_while_it_comes(client, read, kind):
    answer = client.post("/json", content=parts(b'{"a": "', b"x" * MOST, b'"}'), headers={"Content-Type": kind})

    assert answer.status_code == 413
    assert read == []


def test_a_file_that_is_too_large_is_refused_too(client, read):
    boundary = b"--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n"
    answer = client.post(
        "/file",
        content=parts(boundary, b"x" * MOST, b"\r\n--b--\r\n"),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.status_code == 413
    assert read == []


def test_a_file_that_is_small_enough_arrives(client, read):
    assert client.post("/file", files={"file": ("f", b"y" * 100)}).status_code == 200
    assert read == [b"y" * 100]


def test_nothing_is_asked_for_of_a_body_that_says_it_is_too_large():
    sent = []

    async def receive():
        raise AssertionError("nobody may ask for it")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"1001")]}
    asyncio.run(Bodies(None, MOST)(scope, receive, send))

    assert sent[0]["status"] == 413


def test_no_more_of_a_large_body_is_asked_for_than_is_allowed():
    asked = []

    async def receive():
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message):
        pass

    async def app(scope, receive, send):
        raise AssertionError("nobody may see it")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(Bodies(app, MOST)(scope, receive, send))

    assert len(asked) == MOST // 100 + 1


def test_a_client_that_goes_away_in_the_middle_of_a_body_is_no_request():
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        raise AssertionError("half a body may not be acted on")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(Bodies(app, MOST)(scope, receive, send))

    assert sent == []


# -- the rate ------------------------------------------------------------------


def test_a_bucket_holds_a_burst_and_is_filled_at_a_steady_rate():
    clock = SimulatedClock()
    buckets = Buckets(per_s=2.0, burst=3, clock=clock)

    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    clock.advance(0.5)
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]
    clock.advance(3600)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_many_addresses_are_not_remembered_for_ever(monkeypatch):
    monkeypatch.setattr(limits, "_MOST_ADDRESSES", 10)
    clock = SimulatedClock()
    buckets = Buckets(per_s=1.0, burst=2, clock=clock)

    for k in range(100):
        buckets.take(f"address {k}")
        clock.advance(0.01)

    assert len(buckets._left) == 10


def asking(address, *, n, clock=None, path="/x", kind="http"):
    """Ask n times from an address; return the statuses."""
    statuses = []

    async def app(scope, receive, send):
        statuses.append(200)

    async def send(message):
        if message["type"].endswith("response.start"):
            statuses.append(message["status"])
            waits.append(dict(message["headers"]).get(b"retry-after"))

    waits = []
    throttle = Throttle(app, Limits(requests_per_s=1.0, burst=2), clock or SimulatedClock())

    async def ask():
        for k in range(n):
            client = (address.format(k=k), 1234)
            await throttle({"type": kind, "method": "GET", "path": path, "client": client}, None, send)

    asyncio.run(ask())
    assert all(wait == b"1" for wait in waits)
    return statuses


def test_who_asks_too_often_is_told_when_to_ask_again():
    assert asking("192.0.2.7", n=4) == [200, 200, 429, 429]


def test_whole_networks_of_ipv6_are_counted_as_one():
    assert asking("2001:db8::{k}", n=3) == [200, 200, 429]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_is_on_the_same_machine_is_not_counted(address):
    assert asking(address, n=5) == [200] * 5


def test_probes_are_not_counted():
    assert asking("192.0.2.7", n=5, path="/health") == [200] * 5


def test_an_app_refuses_who_asks_too_often_in_the_one_form(tmp_path):
    settings = ServiceSettings(root=tmp_path / "root", limits=Limits(requests_per_s=0.01, burst=1))
    with TestClient(create_app(make_service(settings))) as client:
        client.get("/")
        refused = client.get("/")

    assert refused.status_code == 429
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert set(refused.json()) == {"detail", "error_type", "status_code"}


# -- places and sessions ---------------------------------------------------------


def test_places_are_taken_and_given_back_whatever_happens():
    places = Places(1, "watch events")

    with pytest.raises(ZeroDivisionError), places.one():
        raise ZeroDivisionError
    with places.one():
        with pytest.raises(TooMuchError, match="Close some"), places.one():
            pass
        with pytest.raises(TooMuchError, match="1 clients watch events"):
            places.check()

    assert places.n_taken == 0
    places.check()


def test_no_more_sessions_are_made_than_the_server_holds(tmp_path):
    settings = ServiceSettings(root=tmp_path / "root", limits=Limits(sessions=2))
    with TestClient(create_app(make_service(settings))) as client:
        statuses = [client.post("/api/v1/sessions", json={}).status_code for _ in range(3)]
        refused = client.post("/api/v1/sessions/import", files={"file": ("s.json", json.dumps({}))})

    assert statuses == [201, 201, 429]
    assert refused.status_code == 429
