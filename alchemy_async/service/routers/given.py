"""Given: what every router's functions may ask for, and the base of all bodies.

In:    a request.
Out:   the service, the session that it names, its key; how refusals look.
Never: makes a session that was not asked for.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr
from starlette.concurrency import run_in_threadpool

from alchemy_async.service.context import Service
from alchemy_async.service.definition.study import stamp_of
from alchemy_async.service.sessions.sessions import Session, Sessions
from alchemy_async.service.staged.desk import Desk

KEY = "Idempotency-Key"
Scalar = StrictInt | StrictFloat | StrictStr
"""A value of a variable, as JSON has it; the search space says whether it fits."""


class Body(BaseModel):
    """The base of every body that a client sends: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Said(BaseModel):
    """The base of every body that the service sends."""

    model_config = ConfigDict(extra="allow")


class Place(BaseModel):
    """One thing that is wrong with a request, and where."""

    loc: list[str | int] = Field(description="Where: `body`, `query`, `path` or `header`, then the way to the value.")
    msg: str = Field(description="What is wrong, and how to mend it.")
    type: str = Field(description="The kind of flaw, for programs.")


class Problem(BaseModel):
    """Why a request was refused: the body of every answer whose status is 400 or more."""

    detail: str = Field(description="What is wrong, why, and how to mend it.")
    error_type: str = Field(description="The kind of refusal, for programs.")
    status_code: int = Field(description="The status, again.")
    errors: list[Place] | None = Field(default=None, description="With 422 only: everything that does not fit.")


_SAID: dict[int, tuple[str, str, str]] = {  # description, example's error_type, example's detail
    400: ("It can't be done as things stand.", "NoModelError", "There is no trained model yet. Add observations, then "
          "POST /model/train."),
    401: ("No token, or one that is not known.", "NotAllowedError", "This server wants a token: send `Authorization: "
          "Bearer TOKEN`."),
    403: ("The token, or the page that asks, may not do this.", "NotAllowedError", "This token may read only. Ask for "
          "one with the scope work."),
    404: ("There is no such session, or thing in it.", "SessionNotFoundError", "There is no session 'abc'. POST "
          "/sessions makes one."),
    409: ("It does not go with what is there; look again.", "ConflictError", "The queue has changed: it is at version "
          "7, and you saw 6. GET it again."),
    412: ("What If-Match names is not what is there; look again.", "ConflictError", "The queue has changed: it is at "
          "version 7, and you saw 6. GET it again."),
    413: ("The body is larger than the server takes.", "TooMuchError", "The body is larger than 33554432 bytes. Send "
          "it in parts."),
    415: ("The body is not of a kind that is read here.", "UnsupportedError", "Send JSON, and say so: Content-Type: "
          "application/json."),
    422: ("The request does not fit; `errors` names every place.", "ValidationError", "inputs.T: must be at most 350. "
          "Choose a value within 250..350"),
    429: ("Too many requests or sessions at once; Retry-After says when to ask again.", "TooMuchError", "Too many "
          "requests. Ask again in 1 s."),
    500: ("A mistake of the server; its log says more.", "InternalError", "The server made a mistake; its log says "
          "more."),
    503: ("The session or the disk can't be used at the moment.", "UnavailableError", "The session can't be used; the "
          "server's log says why."),
}  # fmt: skip


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an operation documents of the statuses with which it refuses.

    Those that every operation has (401, 403, 413, 422, 429, 503) are added by the app.

    Args:
        statuses: 400, 404, 409 ...
    """
    return {status: _refusal(status) for status in statuses}


def _refusal(status: int) -> dict[str, Any]:
    what, kind, detail = _SAID.get(status, (HTTPStatus(status).phrase, "ServiceError", HTTPStatus(status).phrase))
    example: dict[str, Any] = {"detail": detail, "error_type": kind, "status_code": status}
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"loc": ["body", "inputs", "T"], "msg": detail.partition(": ")[2], "type": "value_error"}]
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}  # a `model` would be built anew for each operation
    refused: dict[str, Any] = {
        "description": what,
        "content": {"application/json": {"schema": schema, "example": example}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED):
        name = "Retry-After" if status == HTTPStatus.TOO_MANY_REQUESTS else "WWW-Authenticate"
        refused["headers"] = {name: {"schema": {"type": "string"}}}
    return refused


def described(document: dict[str, Any]) -> dict[str, Any]:
    """Add to an OpenAPI document what every operation below ``/api`` may answer, and the schema of refusals."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of a 422, which is never sent
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas[Problem.__name__] = problem
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]  # none, as long as nobody has made one
    everywhere = refusals(*EVERYWHERE)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            found = operation["responses"]
            if "422" in found and "HTTPValidationError" in str(found["422"]):
                del found["422"]
            named = any(one["name"] == KEY for one in operation.get("parameters", ()))  # a name may be used twice
            more = {**everywhere, **(refusals(409) if named else {})} if path.startswith("/api/") else {}
            operation["responses"] = {**{str(status): one for status, one in more.items()}, **found}
    return document


EVERYWHERE = (401, 403, 413, 422, 429, 503)
"""What any operation may answer; the app documents these."""


async def get_service(request: Request) -> Service:
    """Return the service that the app was made for."""
    service: Service = request.app.state.service
    return service


ServiceGiven = Annotated[Service, Depends(get_service)]


SessionId = Annotated[str, Path(max_length=64, description="Id of the session.")]


async def get_session(service: ServiceGiven, session_id: SessionId) -> Session:
    """Return the session that the path names; one that has to be opened first is opened in a thread."""
    if _is_at_hand(service.sessions, session_id):
        return service.sessions.session(session_id)
    return await run_in_threadpool(service.sessions.session, session_id)


def _is_at_hand(sessions: Sessions, session_id: str) -> bool:
    """Tell whether a session is open, and its campaign.toml is as it was read."""
    try:
        return any(
            one.id == session_id and stamp_of(one.desk.folder) == one.desk.study.stamp for one in sessions.opened()
        )
    except FileNotFoundError:  # it was taken away; whoever opens it says so
        return False


SessionGiven = Annotated[Session, Depends(get_session)]


async def get_desk(session: SessionGiven) -> Desk:
    """Return the desk of the session that the path names."""
    return session.desk


DeskGiven = Annotated[Desk, Depends(get_desk)]

Key = Annotated[
    str | None,
    Header(
        alias=KEY,
        min_length=1,
        max_length=200,
        description="A name for this request: a repetition under the same name is answered as the first one was.",
    ),
]


def request_text(what: str, body: BaseModel | None = None, **more: object) -> str:
    """Return all of a request in short, so that a key that comes with another one is noticed."""
    text = f"{what} {body.model_dump_json() if body is not None else ''} {sorted(more.items())!r}"
    return hashlib.sha256(text.encode()).hexdigest()
