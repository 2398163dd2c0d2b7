"""Bodies: what clients send, read strictly before anybody acts on it.

In:    the parts of a body, as they arrive.
Out:   the same body, of a size that was allowed; JSON that means one thing only.
Never: holds more of a body than is allowed, or lets NaN, a key twice, or half a character through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alchemy_async import files
from alchemy_async.service.gateway.refusing import refusal
from alchemy_async.service.problems import Place

_MUCH = 256 * 1024
_MOST_TOLD, _MOST_NAMED = 100, 5  # fields of one body: in `errors`, and in the sentence
_WIDEST = 100  # characters of a key that a client made up
_ODD = object()  # what is no finite number
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Bodies:
    """An ASGI layer that reads JSON bodies whole, and counts the bytes of all others.

    Args:
        app: What is asked next.
        most_bytes: That a body may have.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app, self._most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._most_bytes:
            await refusal(413, self._too_large(), headers={"Connection": "close"})(scope, receive, send)
            return
        counted = _Counted(receive, self._most_bytes, self._too_large())
        if headers.get("content-type", "").lower().startswith("multipart/"):
            await self._app(scope, counted, send)
            return
        try:
            body = await counted.whole()
        except HTTPException as error:
            await refusal(413, error.detail, headers={"Connection": "close"})(scope, receive, send)
            return
        if body is None:  # the client has gone
            return
        flaw = await _read(body, headers.get("content-type", ""))
        if flaw is not None:
            await refusal(422, flaw.what, errors=flaw.errors)(scope, receive, send)
            return
        await self._app(scope, _Replayed(body, receive), send)

    def _too_large(self) -> str:
        return (
            f"The body is larger than {self._most_bytes} bytes, which is all that this server takes. Send it in parts."
        )


@dataclass(frozen=True)
class _Flaw:
    """What is wrong with a body, and in which of its fields."""

    what: str
    errors: list[dict[str, Any]]


async def _read(body: bytes, content_type: str) -> _Flaw | None:
    if len(body) > _MUCH:  # it takes a while, in which others are to be answered
        return await run_in_threadpool(_flaw, body, content_type)
    return _flaw(body, content_type) if body else None


def _flaw(body: bytes, content_type: str) -> _Flaw | None:
    """Return what is wrong with a body that should be JSON, or None."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        said = f"comes as {kind[:60]!r}" if kind else "does not say what it is"
        return _of_all(f"The body {said}, and JSON is read here. Send `Content-Type: application/json` with it.")
    try:
        files.parse_json(body)
    except ValueError as error:
        return _of_fields(f"The body {error}.", _odd(body))
    return None


def _of_all(what: str) -> _Flaw:
    return _Flaw(what, [{"loc": ["body"], "msg": what, "type": "json_invalid"}])


def _of_fields(what: str, places: list[Place]) -> _Flaw:
    """Say which fields hold no number, if that is what is wrong."""
    if not places:
        return _of_all(what)
    where = ", ".join(".".join(map(str, place)) for place in places[:_MOST_NAMED])
    more = ", …" if len(places) > _MOST_NAMED else ""
    told = {"msg": "This is no finite number.", "type": "finite_number"}
    return _Flaw(f"{what} See {where}{more}.", [{"loc": ["body", *place], **told} for place in places])


def _odd(body: bytes) -> list[Place]:
    """Return where in a body NaN, an infinity or a number beyond all measures stands; at most so many as are told."""
    try:
        document = json.loads(body, parse_constant=lambda _: _ODD, parse_float=_finite, parse_int=_finite)
    except (ValueError, RecursionError):
        return []
    found: list[Place] = []
    inner: list[tuple[Place, Iterator[tuple[str | int, Any]]]] = [((), _items(document))]
    while inner and len(found) < _MOST_TOLD:
        place, items = inner[-1]
        for key, one in items:
            at = (*place, key[:_WIDEST] if isinstance(key, str) else key)
            if one is _ODD:
                found.append(at)
                break
            if isinstance(one, dict | list):
                inner.append((at, _items(one)))
                break
        else:
            inner.pop()
    return found


def _items(value: object) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _finite(text: str) -> object:
    """Return nothing, or the mark of what is no finite number: the numbers themselves are not looked for."""
    return None if math.isfinite(float(text)) else _ODD


class _Counted:
    """What receives the parts of a body and counts them."""

    def __init__(self, receive: Receive, most_bytes: int, too_large: str) -> None:
        self._receive, self._most_bytes, self._too_large = receive, most_bytes, too_large
        self._n_bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._n_bytes += len(message.get("body", b""))
            if self._n_bytes > self._most_bytes:
                raise HTTPException(413, self._too_large)  # the one kind of error that form readers pass on
        return message

    async def whole(self) -> bytes | None:
        """Return all of the body; None if the client went away before its end."""
        parts: list[bytes] = []
        while True:
            message = await self()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(parts)


class _Replayed:
    """Gives a body that has been read once more, and then what follows it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> dict[str, Any]:
        if self._body is None:
            return dict(await self._receive())
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
