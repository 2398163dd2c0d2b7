"""The switchboard: finds the operation of a path by its segments, at a cost that does not grow with their number.

In:    the routes of the rooms.
Out:   the same routes at their full paths; each request at its operation.
Never: refuses anything: what it does not find is the router's to answer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

_ANY, _HERE = "{}", "/"  # no segment of a path is either


def placed(router: APIRouter, prefix: str) -> Iterator[BaseRoute]:
    """Yield the routes of a room below a prefix; including the room would build each of them a second time."""
    for found in iter_route_contexts(router.routes):
        route = copy.copy(found.original_route)
        if isinstance(route, APIRoute | APIWebSocketRoute):
            route.path = f"{prefix}{found.path}"
            route.path_regex, route.path_format, route.param_convertors = compile_path(route.path)
        if isinstance(route, APIRoute):
            route.operation_id = route.operation_id or route.name
        yield route


class Switchboard:
    """What a router asks before it tries its routes one after the other.

    Args:
        app: The router.
        routes: Its routes.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._tree: dict[str, Any] = {}
        for route in routes:
            if isinstance(route, APIRoute):
                node = self._tree
                for segment in route.path.split("/"):
                    node = node.setdefault(_ANY if "{" in segment else segment, {})
                node.setdefault(_HERE, []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = self.find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        route, child = found
        scope.update(child)
        await route.handle(scope, receive, send)

    def find(self, scope: Scope) -> tuple[APIRoute, Scope] | None:
        """Return the route of a request, and what it adds to the scope; None: it is the router's to answer."""
        for route in self._at(self._tree, scope["path"].split("/"), 0):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return route, child
        return None

    def _at(self, node: dict[str, Any], segments: list[str], depth: int) -> Iterator[APIRoute]:
        """Yield the routes whose paths have these segments, those without parameters first."""
        if depth == len(segments):
            yield from node.get(_HERE, ())
            return
        for segment in (segments[depth], _ANY):
            if segment in node and segment != _HERE:
                yield from self._at(node[segment], segments, depth + 1)
