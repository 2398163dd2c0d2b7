"""Given: what every router's functions may ask for, and the base of all bodies.

In:    a request.
Out:   the service, the session that it names, its key.
Never: makes a session that was not asked for.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, StrictStr

from alchemy_async.service.context import Service
from alchemy_async.service.desk import Desk
from alchemy_async.service.sessions import Session

Scalar = StrictInt | StrictFloat | StrictStr
"""A value of a variable, as JSON has it; the search space says whether it fits."""


class Body(BaseModel):
    """The base of every body that a client sends: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Said(BaseModel):
    """The base of every body that the service sends."""

    model_config = ConfigDict(extra="allow")


def get_service(request: Request) -> Service:
    """Return the service that the app was made for."""
    service: Service = request.app.state.service
    return service


ServiceGiven = Annotated[Service, Depends(get_service)]


def get_session(
    service: ServiceGiven, session_id: Annotated[str, Path(max_length=64, description="Id of the session.")]
) -> Session:
    """Return the session that the path names."""
    return service.sessions.session(session_id)


SessionGiven = Annotated[Session, Depends(get_session)]


def get_desk(session: SessionGiven) -> Desk:
    """Return the desk of the session that the path names."""
    return session.desk


DeskGiven = Annotated[Desk, Depends(get_desk)]

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A name for this request: a repetition under the same name is answered as the first one was.",
    ),
]


def request_text(what: str, body: BaseModel | None = None, **more: object) -> str:
    """Return all of a request in short, so that a key that comes with another one is noticed."""
    text = f"{what} {body.model_dump_json() if body is not None else ''} {sorted(more.items())!r}"
    return hashlib.sha256(text.encode()).hexdigest()
