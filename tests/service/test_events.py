from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from fastapi.testclient import TestClient

from alchemy_async.ledger import Ledger
from alchemy_async.service.gateway.tokens import Scope
from alchemy_async.service.server.app import create_app
from tests.service.watched import complete, last, one_session, stage

API = "/api/v1"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def service(tmp_path):
    made = one_session(tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def client(service):
    with TestClient(create_app(service)) as made:
        yield made


# -- pages -----------------------------------------------------------------------


def test_a_page_shows_what_happened_in_the_order_of_its_numbers(client, service):
    experiment = stage(service)
    complete(service, experiment)

    page = client.get(f"{API}/sessions/s1/events").json()

    mine = [one for one in page["events"] if one["experiment"] == experiment]
    assert [one["kind"] for one in mine] == ["queued", "claimed", "completed"]
    assert mine[-1]["details"]["values"] == {"Output": 1.5}
    assert [one["seq"] for one in page["events"]] == sorted(one["seq"] for one in page["events"])
    assert page["next"] == mine[-1]["seq"]
    assert page["n_events"] == len(page["events"])


def test_pages_follow_each_other_without_a_gap(client, service):
    for k in range(7):
        stage(service, 300.0 + k)
    found, after = [], 0

    while page := client.get(f"{API}/sessions/s1/events", params={"after": after, "limit": 3}).json()["events"]:
        found += [one["seq"] for one in page]
        after = found[-1]

    assert found == list(range(1, last(service) + 1))


def test_a_page_can_wait_for_what_happens_next(client, service):
    after = last(service)
    threading.Timer(0.2, stage, (service,)).start()

    page = client.get(f"{API}/sessions/s1/events", params={"after": after, "wait_s": 20}).json()

    assert [one["kind"] for one in page["events"]] == ["queued"]


def test_a_page_that_waited_in_vain_is_empty(client, service):
    page = client.get(f"{API}/sessions/s1/events", params={"after": last(service), "wait_s": 0.05}).json()

    assert page == {"events": [], "n_events": 0, "next": last(service)}


@pytest.mark.parametrize(
    "query", [{"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": 10**6}, {"wait_s": 1e9}, {"wait_s": "nan"}]
)
def test_a_page_that_cant_be_is_refused(client, query):
    assert client.get(f"{API}/sessions/s1/events", params=query).status_code == 422


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_events_of_an_unknown_session_are_not_found(client, headers):
    refused = client.get(f"{API}/sessions/nobody/events", headers=headers)

    assert refused.status_code == 404
    assert refused.json()["error_type"] == "SessionNotFoundError"


def test_a_number_that_the_ledger_never_gave_is_not_waited_for(client, service):
    page = client.get(f"{API}/sessions/s1/events", params={"after": 10**6}).json()

    assert page["next"] == last(service)


# -- streams: TestClient waits for the end of an answer, so these speak ASGI -------


class Listener:
    """Reads a stream of events until enough have come."""

    def __init__(self, app, path, headers=()):
        self.events, self.comments, self.status = [], [], None
        self._app, self._gone = app, asyncio.Event()
        self._more = asyncio.Event()
        self._text = ""
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "path": path.partition("?")[0], "raw_path": path.encode(), "root_path": "", "scheme": "http",
            "query_string": path.partition("?")[2].encode(), "client": ("127.0.0.1", 1), "server": ("testserver", 80),
            "headers": [(key.lower().encode(), value.encode()) for key, value in {**STREAM, **dict(headers)}.items()],
        }  # fmt: skip

    async def __aenter__(self):
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, *_):
        self._gone.set()
        async with asyncio.timeout(10):
            await self._task

    async def until(self, is_enough):
        async with asyncio.timeout(20):
            while not is_enough(self):
                self._more.clear()
                await self._more.wait()

    async def ended(self):
        async with asyncio.timeout(20):
            await self._task

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._text += message.get("body", b"").decode()
            *whole, self._text = self._text.split("\n\n")
            for block in whole:
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "data" in fields:
                    self.events.append(fields)
                else:
                    self.comments.append(block)
        self._more.set()


def listen(app, act, path=f"{API}/sessions/s1/events", headers=()):
    """Open a stream, and let a test act while it is open."""

    async def run():
        async with Listener(app, path, headers) as listener:
            await listener.until(lambda one: one.comments or one.status not in (None, 200))
            await act(listener)
        return listener

    return asyncio.run(run())


def test_a_stream_tells_each_event_with_its_number_as_soon_as_it_is_there(service):
    async def act(listener):
        begun = time.monotonic()
        await asyncio.to_thread(stage, service)
        await listener.until(lambda one: one.events)
        took.append(time.monotonic() - begun)

    took = []
    listener = listen(create_app(service), act)

    (event,) = listener.events
    assert event["event"] == "queued"
    assert event["id"] == str(last(service))
    assert json.loads(event["data"])["seq"] == last(service)
    assert took[0] < 5


def test_a_stream_that_broke_goes_on_behind_the_last_event_that_came(service):
    for k in range(4):
        stage(service, 300.0 + k)

    async def act(listener):
        await listener.until(lambda one: len(one.events) == 2)

    listener = listen(create_app(service), act, headers={"Last-Event-ID": str(last(service) - 2)})

    assert [int(one["id"]) for one in listener.events] == [last(service) - 1, last(service)]


def test_a_stream_can_begin_at_the_beginning(service):
    stage(service)

    async def act(listener):
        await listener.until(lambda one: len(one.events) == last(service))

    listener = listen(create_app(service), act, path=f"{API}/sessions/s1/events?after=0")

    assert [int(one["id"]) for one in listener.events] == list(range(1, last(service) + 1))


def test_a_stream_tells_what_another_process_wrote(service, tmp_path):
    async def act(listener):
        with Ledger.open(tmp_path / "root" / "s1" / "campaign.db") as other, other.change() as change:
            change.note("paused")
        await listener.until(lambda one: one.events)

    listener = listen(create_app(service), act)

    assert [one["event"] for one in listener.events] == ["paused"]


def test_a_quiet_stream_says_now_and_then_that_it_lives(service, monkeypatch):
    monkeypatch.setattr("alchemy_async.service.routers.events.PING_S", 0.05)

    async def act(listener):
        await listener.until(lambda one: len(one.comments) >= 3)

    listener = listen(create_app(service), act)

    assert listener.events == []
    assert listener.comments[-1] == ": ping"


def test_a_stream_ends_when_the_server_does(service):
    async def act(listener):
        service.farewell()
        await listener.ended()

    listen(create_app(service), act)

    assert service.watchers.n_taken == 0


def test_a_stream_ends_when_its_session_is_deleted(service):
    async def act(listener):
        await asyncio.to_thread(service.sessions.delete, "s1")
        await listener.ended()

    listen(create_app(service), act)


def test_a_stream_ends_when_its_token_is_revoked(service):
    text = service.access.tokens.add(Scope.READ, name="screen")
    service.access.tokens.add(Scope.ADMIN, name="me")

    async def act(listener):
        await asyncio.to_thread(service.access.tokens.revoke, "screen")
        await asyncio.to_thread(stage, service)
        await listener.ended()
        assert listener.events == []

    listen(create_app(service), act, headers={"Authorization": f"Bearer {text}"})


def test_there_are_so_many_streams_and_no_more_until_one_ends(service):
    app = create_app(service)

    async def act(_):
        async with Listener(app, f"{API}/sessions/s1/events") as second:
            await second.until(lambda one: one.comments)
            async with Listener(app, f"{API}/sessions/s1/events") as third:
                await third.ended()
                statuses.append(third.status)
        async with Listener(app, f"{API}/sessions/s1/events") as fourth:
            await fourth.until(lambda one: one.comments)
            statuses.append(fourth.status)

    statuses = []
    listen(app, act)

    assert statuses == [429, 200]
    assert service.watchers.n_taken == 0
