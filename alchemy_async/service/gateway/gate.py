"""The gate: every request and WebSocket is checked here before anybody reads it.

In:    a request's head.
Out:   the same request, or 401 or 403.
Never: reads a token from a query: queries end up in logs.
"""

from __future__ import annotations

from functools import partial

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alchemy_async.errors import AlchemyError
from alchemy_async.service.gateway.access import READING, Access
from alchemy_async.service.gateway.refusing import refusal, refusal_of
from alchemy_async.service.problems import NotAllowedError

STILL_MAY = "alchemy_async.still_may"  # of a scope: whether whoever asked may still do so, for answers without end
TOKEN_NAME = "alchemy_async.token_name"  # noqa: S105 - of a scope: by which token, "" for none
BEARER = "bearer."  # before a token in Sec-WebSocket-Protocol, the one header that a browser's WebSocket can set


class Gate:
    """An ASGI layer that lets through what `Access` allows.

    Args:
        app: What is asked next.
        access: Who may do what.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            scope[TOKEN_NAME] = self._check(scope)
        except NotAllowedError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
            await refusal(error.status, str(error), kind=error.error_type, headers=headers)(scope, receive, send)
        except AlchemyError as error:  # the tokens can't be read: nobody is let in
            await refusal_of(error)(scope, receive, send)
        else:
            scope[STILL_MAY] = partial(self._may, scope)
            await self._app(scope, receive, _accepting(scope, send))

    def _may(self, scope: Scope) -> bool:
        """Tell whether a request that was let in still would be; its token may have been revoked meanwhile."""
        try:
            self._check(scope)
        except AlchemyError:
            return False
        return True

    def _check(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        is_socket = scope["type"] == "websocket"
        method = "GET" if is_socket else scope["method"]
        self._access.check_host(host, str((scope.get("server") or ("",))[0]))
        if "origin" in headers and (is_socket or method not in READING):
            self._access.check_origin(headers["origin"], host)
        return self._access.check(method, scope["path"], _token(scope, headers))


def _token(scope: Scope, headers: Headers) -> str:
    kind, _, text = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return text.strip()
    offered = scope.get("subprotocols") or ()
    return next((one.removeprefix(BEARER) for one in offered if one.startswith(BEARER)), "")


def _accepting(scope: Scope, send: Send) -> Send:
    """Return a `send` that accepts a WebSocket with a protocol that the client offered: browsers insist on one."""
    offered = scope.get("subprotocols") or ()
    if scope["type"] != "websocket" or not offered:
        return send
    chosen = next((one for one in offered if not one.startswith(BEARER)), offered[0])

    async def send_chosen(message: Message) -> None:
        if message["type"] == "websocket.accept" and message.get("subprotocol") is None:
            message = {**message, "subprotocol": chosen}
        await send(message)

    return send_chosen
