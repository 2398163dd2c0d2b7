"""Routers: the paths of the service, one room for each section of its documentation.

In:    checked bodies and queries.
Out:   bodies in the shapes that clients know.
Never: hold state, or decide what a session's rooms decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from fastapi import APIRouter

ROOMS = (
    "sessions",
    "variables",
    "staged",
    "claims",
    "reports",
    "queue",
    "experiments",
    "observations",
    "files",
    "designs",
    "model",
    "acquisition",
    "visualizations",
    "audit",
    "events",
    "pool",
)


def all_routers() -> Iterator[APIRouter]:
    """Yield the routers below the prefix, in the order of the documentation; `root` stands above it."""
    for name in ROOMS:
        room = import_module(f"{__name__}.{name}")
        yield room.router
