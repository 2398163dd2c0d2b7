"""Sessions: begun, listed, described, locked, put aside.

In:    what people say of a session.
Out:   what it is, and where it stands.
Never: hold up whoever works on another session.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from alchemy_async.clock import to_wire
from alchemy_async.errors import AlchemyError
from alchemy_async.service.routers.control import DaemonsGiven
from alchemy_async.service.routers.copies import Message, SessionBegun, begun
from alchemy_async.service.routers.copies import router as copies
from alchemy_async.service.routers.given import Body, Key, Said, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.sessions import overview
from alchemy_async.service.sessions.locking import lock, locked, unlock

router = APIRouter(tags=["sessions"])

Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]
Tags = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)]


class ObjectiveGiven(Body):
    """One thing that is measured, and what is wanted of it."""

    name: str = Field(min_length=1, max_length=64, description="Its column in the data set.", examples=["Yield"])
    goal: str = Field(
        default="maximize", description="`maximize`, `minimize`, `target` or `limit`.", examples=["maximize"]
    )
    target: float | None = Field(default=None, description="The value to match; for the goal `target`.")
    at_least: float | None = Field(default=None, description="A value below this will not do.")
    at_most: float | None = Field(default=None, description="A value above this will not do.")
    unit: str | None = Field(default=None, max_length=200, examples=["%"])
    description: str | None = Field(default=None, max_length=2000)


class SessionWanted(Body):
    """What is said of a session that begins."""

    name: Name | None = Field(default=None, description="For people.", examples=["Amide coupling"])
    description: Text | None = Field(default=None, examples=["First ligand screen"])
    tags: Tags | None = Field(default=None, examples=[["flow", "amide"]])
    author: Name | None = Field(default=None, examples=["R. Franklin"])
    objectives: list[ObjectiveGiven] | None = Field(
        default=None, max_length=100, description="What is measured; null: one thing, `Output`, to be maximised."
    )


class Metadata(Said):
    """What people say of a session."""

    name: str
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    author: str = ""
    created_at: str
    last_modified: str = Field(description="When anything of it was changed last.")


class MetadataOf(Metadata):
    """The same, with the session."""

    session_id: str


class MetadataWanted(Body):
    """What is to be said of a session; null and what is missing stay as they are."""

    name: Name | None = Field(default=None, examples=["Amide coupling"])
    description: Text | None = Field(default=None, examples=["First ligand screen"])
    tags: Tags | None = Field(default=None, examples=[["flow", "amide"]])
    author: Name | None = Field(default=None, examples=["R. Franklin"])


class ModelSaid(Said):
    """The model that was trained last."""

    backend: str
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float | None] = Field(default_factory=dict)
    is_trained: bool = True


class Measured(Said):
    """What was measured, in short."""

    n_experiments: int
    has_data: bool
    has_noise: bool | None = False
    target_stats: dict[str, float | None] | None = Field(default=None, description="Of the first objective.")
    feature_names: list[str] | None = None
    error: str | None = None


class SessionSaid(Said):
    """A session."""

    session_id: str
    created_at: str
    last_accessed: str
    expires_at: str | None = None
    metadata: Metadata
    target_columns: list[str] = Field(examples=[["Output"]])
    search_space: dict[str, Any]
    data: Measured
    model: ModelSaid | None = None
    problem: str | None = Field(
        default=None, description="Why a campaign.toml that was edited by hand is not followed; null: it is."
    )


class Listed(Said):
    """A session in a list."""

    session_id: str
    name: str
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    author: str = ""
    created_at: str
    last_modified: str
    n_variables: int
    n_experiments: int
    n_staged: int
    n_running: int


class Unreadable(Said):
    """A session that can't be opened, and why."""

    session_id: str
    problem: str


class SessionList(Said):
    """A page of the sessions, by id."""

    sessions: list[Listed | Unreadable]
    n_sessions: int = Field(description="How many there are in all.")
    next: str | None = Field(
        default=None, description="Give it as `after` to get the next page; null: this is the last."
    )


class StateSaid(Said):
    """Where a session stands."""

    session_id: str
    n_variables: int
    n_experiments: int = Field(description="Rows of the data set.")
    model_trained: bool
    model_backend: str | None = None
    last_suggestion: dict[str, Any] | None = None
    last_acquisition_value: float | None = None
    last_goal: str | None = None
    n_staged: int = Field(description="Experiments that wait and that nobody has.")
    n_running: int
    n_interrupted: int = Field(description="Experiments of which nobody knows what became.")
    queue_version: int
    last_event: int = Field(description="Number of the newest event.")


class LockWanted(Body):
    """Who wants to be known as the one who works on a session."""

    locked_by: str = Field(max_length=200, examples=["R. Franklin"])
    client_id: str | None = Field(default=None, max_length=200)


class LockSaid(Said):
    """Who is known to work on a session; a notice, which keeps nobody out."""

    locked: bool
    locked_by: str | None = None
    locked_at: str | None = None
    lock_token: str | None = Field(default=None, description="Told to whoever locks, and to nobody else.")


@router.post("/sessions", status_code=201, response_model=SessionBegun, responses=refusals(409, 422, 429))
def create_session(service: ServiceGiven, wanted: SessionWanted | None = None, key: Key = None) -> dict[str, Any]:
    """Begin a session: a campaign of its own, in a folder of its own."""
    said = wanted or SessionWanted()
    objectives = [one.model_dump(exclude_none=True) for one in said.objectives or ()]
    session = service.sessions.create(
        said.name or "",
        description=said.description or "",
        tags=said.tags or [],
        author=said.author or "",
        objectives=objectives,
        key=key,
    )
    return begun(session)


@router.get("/sessions", response_model=SessionList, responses=refusals(422))
def list_sessions(
    service: ServiceGiven,
    after: Annotated[str | None, Query(max_length=64, description="Id after which the page begins.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """List the sessions of this server, by id."""
    ids = service.sessions.ids()
    page = [name for name in ids if after is None or name > after]
    shown = [_listed(service, name) for name in page[:limit]]
    return {"sessions": shown, "n_sessions": len(ids), "next": page[limit - 1] if len(page) > limit else None}


def _listed(service: ServiceGiven, session_id: str) -> dict[str, Any]:
    try:
        session = service.sessions.glance(session_id)
        with session.desk.look() as ledger:
            said, now = overview.metadata(ledger, session.desk.study), overview.state(ledger, session.desk.study)
    except AlchemyError as error:
        return {"session_id": session_id, "problem": problem(error)}
    counts = {key: now[key] for key in ("n_variables", "n_experiments", "n_staged", "n_running")}
    return {"session_id": session_id, **said, **counts}


def problem(error: AlchemyError) -> str:
    """Return why a session can't be opened, without a path of this machine."""
    status = getattr(error, "status", None)
    return str(error) if status is not None else "Its ledger can't be used; the server's log says why."


@router.get("/sessions/{session_id}", response_model=SessionSaid, responses=refusals(404, 409))
def get_session_info(service: ServiceGiven, session: SessionGiven) -> dict[str, Any]:
    """Return all of a session in short."""
    study = session.desk.study
    with session.desk.look() as ledger:
        said = overview.metadata(ledger, study)
        return {
            "session_id": session.id,
            "created_at": said["created_at"],
            "last_accessed": to_wire(service.clock.now()),
            "expires_at": None,
            "metadata": said,
            "target_columns": overview.target_columns(study),
            "search_space": overview.search_space(ledger, study),
            "data": overview.measured(ledger, study),
            "model": overview.model(ledger),
            "problem": session.problem,
        }


@router.delete("/sessions/{session_id}", status_code=204, responses=refusals(404, 409))
def delete_session(
    service: ServiceGiven,
    session_id: str,
    daemons: DaemonsGiven,
    force: Annotated[
        bool, Query(description="End the session's planner daemon, and leave what is running to itself.")
    ] = False,
) -> Response:
    """Put a session aside: it is gone from here, and its folder is kept below `.deleted` of the root."""
    if force:
        daemons.end(session_id)
    service.sessions.delete(session_id, force=force)
    return Response(status_code=204)


@router.get("/sessions/{session_id}/state", response_model=StateSaid, responses=refusals(404, 409))
def get_session_state(session: SessionGiven) -> dict[str, Any]:
    """Return where a session stands; quick, however much was measured."""
    with session.desk.look() as ledger:
        return {"session_id": session.id, **overview.state(ledger, session.desk.study)}


@router.post("/sessions/{session_id}/save", response_model=Message, responses=refusals(404, 409))
def save_session(session: SessionGiven) -> dict[str, Any]:
    """Do nothing: every request is on the disk before it is answered."""
    del session
    return {"message": "Session persisted to server storage"}


@router.get("/sessions/{session_id}/metadata", response_model=MetadataOf, responses=refusals(404, 409))
def get_session_metadata(session: SessionGiven) -> dict[str, Any]:
    """Return what people say of a session."""
    with session.desk.look() as ledger:
        return {"session_id": session.id, **overview.metadata(ledger, session.desk.study)}


@router.patch("/sessions/{session_id}/metadata", response_model=MetadataOf, responses=refusals(404, 409))
def update_session_metadata(session: SessionGiven, wanted: MetadataWanted) -> dict[str, Any]:
    """Say something else of a session; an empty text or list is one, too."""
    said = wanted.model_dump(exclude_none=True)
    study = session.desk.study
    if said:
        with session.desk.turn() as turn:
            overview.describe(turn.change, turn.ledger, study, said)
    with session.desk.look() as ledger:
        return {"session_id": session.id, **overview.metadata(ledger, study)}


@router.get("/sessions/{session_id}/lock", response_model=LockSaid, responses=refusals(404, 409))
def get_session_lock(session: SessionGiven) -> dict[str, Any]:
    """Tell who is known to work on a session."""
    with session.desk.look() as ledger:
        return locked(ledger)


@router.post("/sessions/{session_id}/lock", response_model=LockSaid, responses=refusals(404, 409))
def lock_session(session: SessionGiven, wanted: LockWanted) -> dict[str, Any]:
    """Put up a notice of who works on a session, in place of any other; it keeps nobody from anything."""
    with session.desk.turn() as turn:
        return lock(turn, wanted.locked_by, wanted.client_id)


@router.delete("/sessions/{session_id}/lock", response_model=LockSaid, responses=refusals(403, 404, 409))
def unlock_session(
    session: SessionGiven,
    lock_token: Annotated[
        str | None, Query(max_length=200, description="The token of the notice; without one any notice is taken down.")
    ] = None,
) -> dict[str, Any]:
    """Take the notice down."""
    with session.desk.turn() as turn:
        return unlock(turn, lock_token)


router.include_router(copies)
