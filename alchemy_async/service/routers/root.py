"""Root: how the server itself is, for people, probes and Prometheus.

In:    nothing.
Out:   name and version, health, readiness, metrics; the list of operations as a page that needs no network.
Never: makes a session, or opens one.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field

from alchemy_async import __version__
from alchemy_async.service.gateway import metrics, pages
from alchemy_async.service.problems import UnavailableError
from alchemy_async.service.routers.given import Said, ServiceGiven, refusals

router = APIRouter(tags=["root"])

DOCS, OPENAPI = "/api/docs", "/api/openapi.json"


class Server(Said):
    """What this is, and where to read on."""

    name: str = Field(examples=["alchemy_async"])
    version: str = Field(examples=["0.1.0"])
    docs: str = Field(description="Path of the list of operations.", examples=[DOCS])
    health: str = Field(description="Path that says whether the server lives.", examples=["/health"])


class Health(Said):
    """That the server lives."""

    status: Annotated[str, Field(examples=["healthy"])] = "healthy"
    service: Annotated[str, Field(examples=["alchemy_async"])] = "alchemy_async"
    version: str = Field(examples=["0.1.0"])


class Ready(Said):
    """That sessions can be served."""

    status: Annotated[str, Field(examples=["ready"])] = "ready"


@router.get("/", response_model=Server)
async def get_server() -> Server:
    """Say what this is, and where its documentation lies."""
    return Server(name="alchemy_async", version=__version__, docs=DOCS, health="/health")


@router.get("/health", response_model=Health)
async def get_health() -> Health:
    """Say that the server lives; needs no token."""
    return Health(version=__version__)


@router.get("/ready", response_model=Ready, responses=refusals(503))
async def get_ready(service: ServiceGiven) -> Ready:
    """Say whether sessions can be served: their folder can be written, and the server is not about to end."""
    if not service.is_ready():
        raise UnavailableError(
            "Sessions can't be served at the moment: the server ends, or its folder can't be written."
        )
    return Ready()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_metrics(service: ServiceGiven) -> Response:
    """Read what the server counts, in the text format of Prometheus."""
    return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)


@router.get("/openapi.json", include_in_schema=False)
def get_openapi(request: Request) -> JSONResponse:
    """Give the OpenAPI document where FastAPI's clients look for it, too."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
@router.get(DOCS, include_in_schema=False)
def get_docs(request: Request) -> HTMLResponse:
    """Show all operations on one page without scripts, so that it works where nothing else can be reached."""
    page = pages.operations(request.app.openapi(), OPENAPI)
    return HTMLResponse(page, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})
