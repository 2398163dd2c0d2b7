from __future__ import annotations

import asyncio
import threading
import time

import pytest

from alchemy_async.service.events.watching import Watch
from alchemy_async.service.sessions import feed as feeds
from alchemy_async.service.sessions.feed import Feed
from tests.service.watched import one_session, stage


@pytest.fixture
def service(tmp_path):
    made = one_session(tmp_path / "root")
    yield made
    made.close()


def test_what_happens_between_a_look_and_the_wait_is_not_missed():
    async def run():
        feed = Feed(lambda: (0, 0))
        await feed.wait(0.5)  # the first look of its lookout wakes whoever waits
        seen = feed.version
        feed.changed()
        return await feed.wait(0.3, since=seen), await feed.wait(0.1, since=feed.version)

    assert asyncio.run(run()) == (True, False)


def test_a_wait_ends_when_another_process_has_written():
    written = [0]

    async def run():
        feed = Feed(lambda: (written[0], 0))
        await feed.wait(0.5)  # the first look of its lookout wakes whoever waits
        written[0] = 1
        return await feed.wait(20)

    assert asyncio.run(run()) is True


def test_the_lookout_of_a_feed_goes_home_when_nobody_waits(monkeypatch):
    monkeypatch.setattr(feeds, "LOOK_S", 0.001)

    async def run():
        feed = Feed(lambda: (0, 0))
        await feed.wait(0.05)
        return feed

    feed = asyncio.run(run())

    until = time.monotonic() + 10
    while feed._has_lookout:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_wait_ends_at_a_change_of_another_thread_and_in_vain_at_its_end():
    async def run():
        feed = Feed(lambda: (0, 0))
        await feed.wait(0.5)  # the first look of its lookout wakes whoever waits
        threading.Timer(0.05, feed.changed).start()
        first = await feed.wait(20)
        return first, await feed.wait(0.05)

    assert asyncio.run(run()) == (True, False)


def test_a_slow_look_at_the_ledger_holds_up_no_event_loop(monkeypatch):
    monkeypatch.setattr(feeds, "LOOK_S", 0.0)

    def slow():
        time.sleep(0.5)
        return 0, 0

    async def run():
        feed = Feed(slow)
        waiting = asyncio.create_task(feed.wait(0.3))
        longest, before = 0.0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.01)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
        return longest

    assert asyncio.run(run()) < 0.4


def test_a_closed_feed_keeps_nobody_waiting():
    async def run():
        feed = Feed(lambda: (0, 0))
        await feed.wait(0.5)  # the first look of its lookout wakes whoever waits
        threading.Timer(0.05, feed.close).start()
        return await feed.wait(20), await feed.wait(20)

    assert asyncio.run(run()) == (False, False)


def test_a_watch_goes_on_when_its_session_is_closed_and_opened_again(service):
    async def run():
        watch = Watch(service, "s1", lambda: True)
        await watch.begin(None)
        waiting = asyncio.create_task(watch.next(30))
        await asyncio.sleep(0.1)
        service.sessions._put_away("s1")
        await asyncio.to_thread(stage, service)
        return await waiting

    assert [one["kind"] for one in asyncio.run(run())] == ["queued"]


def test_whoever_waits_hears_at_once_that_the_server_ends(service):
    async def run():
        feed = service.sessions.session("s1").feed
        await feed.wait(0.5)  # the first look of its lookout wakes whoever waits
        waiting = asyncio.create_task(feed.wait(20))
        await asyncio.sleep(0.01)
        service.farewell()
        return await waiting, feed.is_closed

    assert asyncio.run(run()) == (False, True)


def test_a_watch_survives_that_its_session_is_closed_between_two_lines(service, monkeypatch):
    closed = service.sessions.session("s1")
    service.sessions._put_away("s1")
    closed.desk.close()
    find, found = service.sessions.session, [closed]
    monkeypatch.setattr(service.sessions, "session", lambda name: found.pop() if found else find(name))

    async def run():
        watch = Watch(service, "s1", lambda: True)
        return await watch.next(0)

    assert [one["kind"] for one in asyncio.run(run())] == ["created"]
    assert found == []
