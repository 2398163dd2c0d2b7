"""The app: all routers in one, behind the layers that every request passes.

In:    a service.
Out:   an ASGI application, for a server or for tests.
Never: answers an error in another form than all others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from alchemy_async import __version__
from alchemy_async.errors import AlchemyError
from alchemy_async.service.context import Service
from alchemy_async.service.gateway.bodies import Bodies
from alchemy_async.service.gateway.gate import Gate
from alchemy_async.service.gateway.limits import Throttle
from alchemy_async.service.gateway.metrics import Metered
from alchemy_async.service.gateway.refusing import refusal, refusal_of
from alchemy_async.service.routers import all_routers, events, root
from alchemy_async.service.routers.given import described
from alchemy_async.service.server.switchboard import Switchboard, placed

PREFIX = "/api/v1"
_DESCRIPTION = """Campaigns as sessions: stage experiments, take them, complete them one by one and in any order.

What is staged or acknowledged is durable. Errors have one form: `detail` (a sentence), `error_type`, `status_code`,
and for 422 `errors` with every place that does not fit. With tokens made, send `Authorization: Bearer TOKEN`."""
_TAGS = {
    "sessions": "Make, read, save, export, import and delete sessions; each is a campaign.",
    "variables": "What is varied, within which bounds and constraints.",
    "staged": "The staged experiments: stage, read, complete in order, clear.",
    "claims": "Take experiments one by one: claim, beat, complete, fail, release.",
    "queue": "The work queue by id.",
    "experiments": "The dataset: add, list, summarise, correct.",
    "files": "CSV: preview, upload, export.",
    "designs": "Initial and optimal designs.",
    "model": "Train, describe and ask the model.",
    "acquisition": "What to measure next.",
    "visualizations": "Figures' data.",
    "audit": "What was decided, and where rows came from.",
    "events": "Everything that changes, as it happens.",
    "control": "Whether a session plans by itself.",
    "pool": "Worker pools over REST.",
    "root": "The server itself.",
}


def create_app(service: Service) -> FastAPI:
    """Return the application that serves a service; closing it closes the service."""
    rooms = list(all_routers())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(service.close)
            service.start()
            for room in rooms:
                await stack.enter_async_context(room.lifespan_context(app))
            yield

    app = _App(
        title="alchemy_async", version=__version__, description=_DESCRIPTION, lifespan=lifespan,
        openapi_url=root.OPENAPI, docs_url=None, redoc_url=None, redirect_slashes=False,
        openapi_tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
    )  # fmt: skip
    app.state.service = service
    for room, prefix in (*((room, PREFIX) for room in rooms), (root.router, ""), (events.sockets, PREFIX),
                         (events.sockets, "")):  # fmt: skip
        app.router.routes.extend(placed(room, prefix))
    app.router.middleware_stack = Switchboard(app.router.middleware_stack, app.router.routes)
    _add_layers(app, service)
    for kind in (RequestValidationError, AlchemyError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    return app


class _App(FastAPI):
    """A FastAPI whose document says what the layers around its operations answer."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = described(super().openapi())
        return self.openapi_schema


def _add_layers(app: FastAPI, service: Service) -> None:
    """Put the layers around the routers; the last one added is the outermost."""
    settings = service.settings
    app.add_middleware(Bodies, most_bytes=settings.limits.body_bytes)
    app.add_middleware(Gate, access=service.access)
    app.add_middleware(Throttle, limits=settings.limits, clock=service.clock)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allow_origins, allow_methods=["*"], allow_headers=["*"],
            expose_headers=["ETag", "Retry-After", "Location"],
        )  # fmt: skip
    app.add_middleware(Metered, metrics=service.metrics)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code in (404, 405) and error.detail in ("Not Found", _NO):
        where = f"{request.method} {request.url.path[:200]}"
        return refusal(error.status_code, f"There is no {where}. {root.DOCS} lists all that there is.",
                       headers=error.headers)  # fmt: skip
    return refusal_of(error)


_NO = "Method Not Allowed"
