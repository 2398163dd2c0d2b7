"""Control: whether a session runs by itself.

In:    what somebody wants: run or pause; what a client's own loop says that it does.
Out:   both, side by side, and how the session's planner daemon is.
Never: plans: the session's daemon does, in a process of its own.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from alchemy_async.clock import to_wire
from alchemy_async.service.autonomous.daemons import Daemons, Standing
from alchemy_async.service.context import Service
from alchemy_async.service.problems import ServiceError
from alchemy_async.service.routers.given import Body, Said, ServiceGiven, SessionGiven, refusals

router = APIRouter(tags=["control"])

Word = Annotated[str | None, Field(max_length=1000)]
DAEMON = "planner daemon"


def make_daemons(service: Service) -> Daemons:
    """Return the planner daemons of a service."""
    return Daemons(service.sessions, service.clock)


def get_daemons(service: ServiceGiven) -> Daemons:
    """Return the planner daemons of the service that the app was made for."""
    return service.part(make_daemons, Daemons.close)


DaemonsGiven = Annotated[Daemons, Depends(get_daemons)]


class ControlGiven(Body):
    """What is wanted of a session, or what a client's loop says of itself."""

    requested: Literal["run", "pause"] | None = Field(
        default=None,
        description="`run`: plan by itself, from here on and after every restart. `pause`: offer nothing.",
        examples=["run"],
    )
    requested_by: Word = Field(default=None, description="Who wants it.", examples=["ada"])
    reported: Literal["idle", "running", "paused", "failed"] | None = Field(
        default=None, description="What a loop of the client's own does.", examples=["running"]
    )
    reported_by: Word = Field(default=None, description="Who says so.", examples=["autonomous loop"])
    detail: Word = Field(default=None, description="A sentence about what is reported.", examples=["iteration 3"])


class ControlSaid(Said):
    """What is wanted of a session, and what goes on in it."""

    requested: Literal["run", "pause"] = Field(description="What somebody wanted last; `run` before anybody did.")
    requested_at: str | None = Field(default=None, description="When; null: nobody did.")
    requested_by: str | None = Field(default=None, description="Who.")
    reported: Literal["idle", "running", "paused", "failed"] = Field(
        description="How the session's planner daemon is; without one, what a client's loop reported."
    )
    reported_at: str | None = Field(default=None, description="When a client reported last.")
    reported_by: str | None = Field(default=None, description="Who reports.")
    detail: str | None = Field(default=None, description="A sentence about it: why it failed, or ended.")


@router.get("/sessions/{session_id}/control", response_model=ControlSaid, responses=refusals(404))
def get_control(session: SessionGiven, daemons: DaemonsGiven) -> dict[str, Any]:
    """Return what is wanted of a session, and whether its planner daemon runs."""
    with session.desk.look() as ledger:
        said = ledger.meta("control")
    return _overlaid(_read(said), daemons.standing(session.id))


@router.put("/sessions/{session_id}/control", response_model=ControlSaid, responses=refusals(400, 404))
def put_control(body: ControlGiven, session: SessionGiven, daemons: DaemonsGiven) -> dict[str, Any]:
    """Have a session plan by itself, or pause; or take note of what a client's own loop does.

    `run` starts the same planner daemon as `alchemy-async plan` does, and keeps it running: it suggests, watches
    the worker pools, and takes in results. `pause` has it offer nothing; what runs is finished.
    """
    if body.requested is None and body.reported is None:
        raise ServiceError("Send one of `requested` or `reported`.")
    with session.desk.turn() as turn:
        at, control = to_wire(turn.now), _read(turn.ledger.meta("control"))
        if body.requested is not None:
            control |= {"requested": body.requested, "requested_at": at, "requested_by": body.requested_by}
            is_running = body.requested == "run"
            turn.change.set_meta(wanted="running" if is_running else "paused")
            if is_running:
                turn.change.set_meta(suggests="yes", ended=None)
        if body.reported is not None:
            control |= {
                "reported": body.reported, "reported_at": at, "reported_by": body.reported_by, "detail": body.detail,
            }  # fmt: skip
        turn.change.set_meta(control=json.dumps(control))
        turn.change.note("control", **{key: value for key, value in control.items() if value is not None})
    if body.requested == "run":
        daemons.run(session.id)
    elif body.requested == "pause":
        daemons.pause(session.id)
    return control if body.requested is None else _overlaid(control, daemons.standing(session.id))


def _read(said: str | None) -> dict[str, Any]:
    nothing = {
        "requested": "run", "requested_at": None, "requested_by": None,
        "reported": "idle", "reported_at": None, "reported_by": None, "detail": None,
    }  # fmt: skip
    known: dict[str, Any] = json.loads(said or "{}")
    return nothing | known


def _overlaid(control: dict[str, Any], standing: Standing | None) -> dict[str, Any]:
    """Return what is known, with what the session's own daemon does where there is one."""
    if standing is None or (standing.reported == "idle" and standing.detail is None):
        return control
    return control | {"reported": standing.reported, "reported_by": DAEMON, "detail": standing.detail}
