"""The app: all routers in one, and every error as a body that programs and people can read.

In:    a service.
Out:   an ASGI application, for a server or for tests.
Never: lets a path of this machine or a stack into a body.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from alchemy_async import __version__
from alchemy_async.errors import (
    AlchemyError,
    BudgetError,
    IllegalTransitionError,
    PlannerError,
    PointError,
    SettingsError,
    UnknownExperimentError,
)
from alchemy_async.service.context import Service
from alchemy_async.service.problems import InvalidError, ServiceError, TooMuchError
from alchemy_async.service.routers import all_routers

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
_STATUS: dict[type[AlchemyError], int] = {
    UnknownExperimentError: 404,
    IllegalTransitionError: 409,
    BudgetError: 409,
    PlannerError: 422,
    SettingsError: 422,
}


def create_app(service: Service) -> FastAPI:
    """Return the application that serves a service; closing it closes the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="alchemy_async", version=__version__, lifespan=lifespan)
    app.state.service = service
    for router in all_routers():
        app.include_router(router, prefix=PREFIX)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(AlchemyError, _on_refused)
    app.add_exception_handler(sqlite3.Error, _on_disk)
    app.add_exception_handler(OSError, _on_disk)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Say where a body does not fit; what was sent is not repeated, since it may hold what JSON can't."""
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    flaws = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in found]
    return JSONResponse({"detail": flaws}, 422)


async def _on_refused(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, InvalidError):
        return JSONResponse({"detail": [flaw.as_dict() for flaw in error.flaws]}, 422)
    if isinstance(error, PointError):
        flaws = InvalidError.of(error.mistakes).flaws
        return JSONResponse({"detail": [flaw.as_dict() for flaw in flaws]}, 422)
    again = error.again_in_s if isinstance(error, TooMuchError) else None
    headers = None if again is None else {"Retry-After": str(max(1, round(again)))}
    status = error.status if isinstance(error, ServiceError) else _STATUS.get(type(error))  # type: ignore[arg-type]
    if status is None:
        log.error("a request was refused: %s", error)
        return JSONResponse({"detail": "The session can't be used; the server's log says why."}, 503)
    return JSONResponse({"detail": str(error)}, status, headers)


async def _on_disk(_: Request, error: Exception) -> JSONResponse:
    log.error("the disk refuses: %s", error)
    return JSONResponse({"detail": "The server's disk refuses; nothing was changed. Try again."}, 503)


async def _on_bug(_: Request, error: Exception) -> JSONResponse:
    log.error("a request failed", exc_info=error)
    return JSONResponse({"detail": "The server made a mistake; its log says more. Nothing half-done was kept."}, 500)
