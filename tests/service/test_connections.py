from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from alchemy_async.service.gateway import connections
from alchemy_async.service.gateway.connections import Guarded


async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def talk(conversation):
    """Let a conversation take place with a server on a free port."""

    async def run():
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=30)
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: Guarded(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(20):
                return await conversation(reader, writer)
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b" ")[1], await reader.readexactly(2)


def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory():
    async def conversation(reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        sent = 0
        while sent < 50 * connections.HEAD_BYTES and not reader.at_eof():
            writer.write(b"x" * 10_000)
            sent += 10_000
            await asyncio.sleep(0)
            if reader._buffer:
                break
        return (await reader.readline()), sent

    status, sent = talk(conversation)

    assert b" 400 " in status
    assert sent < 20 * connections.HEAD_BYTES


@pytest.mark.parametrize("said", [b"", b"GET / HT"])
def test_who_connects_and_says_nothing_whole_is_let_go(monkeypatch, said):
    monkeypatch.setattr(connections, "HEAD_S", 0.1)

    async def conversation(reader, writer):
        writer.write(said)
        return await reader.read()

    assert b" 400 " in talk(conversation)


def test_a_long_body_and_one_request_after_the_other_are_no_long_head(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_BYTES", 1000)

    async def conversation(reader, writer):
        found = []
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
            found.append(await answer(reader))
        return found

    assert talk(conversation) == [(b"200", b"ok")] * 3


def test_a_connection_that_is_kept_is_not_let_go_for_the_time_between_two_requests(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.1)

    async def conversation(reader, writer):
        found = []
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            found.append(await answer(reader))
            await asyncio.sleep(0.3)
        return found

    assert talk(conversation) == [(b"200", b"ok")] * 2
