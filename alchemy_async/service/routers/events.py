"""Events: everything that changes in a session, as it happens.

In:    a session; the number of the last event that a client knows.
Out:   a page of events, a stream of them (SSE), or messages over a WebSocket.
Never: loses an event that the ledger holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Query, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import Field
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from alchemy_async.errors import AlchemyError
from alchemy_async.service.context import Service
from alchemy_async.service.events import telling
from alchemy_async.service.events.watching import Watch
from alchemy_async.service.gateway.gate import STILL_MAY
from alchemy_async.service.gateway.refusing import refusal_of
from alchemy_async.service.routers.given import Said, ServiceGiven, SessionId, refusals

router = APIRouter(tags=["events"])
sockets = APIRouter(tags=["events"])

PING_S = 15.0
WAIT_MOST_S = 60.0
RESTARTING, DONE = 1012, 1000  # why a WebSocket is closed
_LARGEST = 2**63 - 1


class Event(Said):
    """One thing that happened, as the ledger has it."""

    seq: int = Field(description="Its number; they grow, and none is used twice.", examples=[17])
    at: str = Field(description="When, in UTC.", examples=["2026-11-22T10:33:27.000000Z"])
    kind: str = Field(description="What: `queued`, `claimed`, `completed`, `interrupted` ...", examples=["completed"])
    experiment: str = Field(description="The experiment's id; empty: it concerns the session.", examples=["e0007"])
    attempt: int = Field(description="The attempt's number; 0: none in particular.", examples=[1])
    details: dict[str, Any] = Field(description="What else there is to say.", examples=[{"values": {"Output": 0.87}}])


class Events(Said):
    """A page of events, oldest first."""

    events: list[Event]
    n_events: int = Field(description="How many this page has.", examples=[1])
    next: int = Field(description="The number to ask for as `after` next.", examples=[17])


After = Annotated[int | None, Query(ge=0, le=_LARGEST, description="The number of the last event that is known.")]
_STREAM = {
    "description": "A page of events; a stream of them without end where `Accept` is `text/event-stream`.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get("/sessions/{session_id}/events", response_model=Events, responses={**refusals(404), 200: _STREAM})
async def get_events(
    service: ServiceGiven,
    session_id: SessionId,
    request: Request,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=telling.MOST, description="How many events a page has at most.")] = 100,
    wait_s: Annotated[
        float, Query(ge=0, le=WAIT_MOST_S, description="How long to wait for an event if there is none, in seconds.")
    ] = 0.0,
    last_event_id: Annotated[
        str | None, Header(description="Of a stream that is taken up again: in place of `after`.")
    ] = None,
) -> Response:
    """Read what happened in a session: page by page, or as a stream.

    `Accept: text/event-stream` (what a browser's EventSource sends) opens a stream: each event has its number as
    `id` and its kind as `event`; after a break it goes on behind `Last-Event-ID`. Without `after` and
    `Last-Event-ID` it begins with what happens next. Anything else gets a page, from the beginning or behind
    `after`; with `wait_s` it waits for the first event.
    """
    if last_event_id is not None and last_event_id.isdecimal() and int(last_event_id[:20]) <= _LARGEST:
        after = int(last_event_id)
    watch = Watch(service, session_id, request.scope[STILL_MAY])
    if "text/event-stream" in request.headers.get("accept", ""):
        await watch.begin(after)
        service.watchers.check()
        return EventSourceResponse(
            _stream(service, watch), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
    await watch.begin(after or 0)
    found = await watch.next(wait_s, limit)
    return JSONResponse({"events": found, "n_events": len(found), "next": watch.seq})


async def _stream(service: Service, watch: Watch) -> AsyncIterator[bytes]:
    with service.watchers.one():
        yield format_sse_event(retry=1000, comment="events of a session; the id of each is its number")
        while not watch.is_over:
            found = await watch.next(PING_S)
            for one in found:
                yield format_sse_event(data_str=_dump(one), event=one["kind"], id=str(one["seq"]))
            if not found and not watch.is_over:
                yield KEEPALIVE_COMMENT


@sockets.websocket("/ws/sessions/{session_id}")
async def watch_session(websocket: WebSocket, session_id: SessionId, after: After = None) -> None:
    """Tell a client what happens in a session, in ALchemist's words; what it sends is read and ignored."""
    service: Service = websocket.app.state.service
    watch = Watch(service, session_id, websocket.scope[STILL_MAY], telling.messages)
    with contextlib.ExitStack() as stack:
        try:
            await watch.begin(after)
            stack.enter_context(service.watchers.one())
        except AlchemyError as error:
            await websocket.send_denial_response(refusal_of(error))
            return
        await websocket.accept()
        greeting = {"event": "connected", "session_id": session_id, "message": "WebSocket connection established"}
        await _talk(websocket, watch, {**greeting, "seq": watch.seq})
        if WebSocketState.CONNECTED == websocket.application_state == websocket.client_state:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.close(RESTARTING if service.is_closing else DONE)


async def _talk(websocket: WebSocket, watch: Watch, greeting: dict[str, Any]) -> None:
    """Send what happens until the client goes, the session is deleted, or the server ends."""
    async with anyio.create_task_group() as both:

        async def listen() -> None:
            while (await websocket.receive())["type"] != "websocket.disconnect":
                pass
            both.cancel_scope.cancel()

        both.start_soon(listen)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it went in the middle of a message
            await websocket.send_text(_dump(greeting))
            while not watch.is_over:
                for message in await watch.next(PING_S):
                    await websocket.send_text(_dump(message))
        both.cancel_scope.cancel()


def _dump(one: dict[str, Any]) -> str:
    return json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
