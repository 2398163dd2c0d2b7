"""Claims: experiments one at a time, in any order: take one, say that one lives, amend or withdraw one.

In:    workers that want something to do, and their beats; second thoughts about what nobody has.
Out:   experiments, each handed out once.
Never: hands out what somebody in the folder was faster to claim.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from alchemy_async.experiment import Experiment, State
from alchemy_async.ledger import Ledger
from alchemy_async.service.problems import InvalidError
from alchemy_async.service.routers.given import (
    Body,
    DeskGiven,
    Key,
    Said,
    SessionGiven,
    refusals,
)
from alchemy_async.service.routers.shapes import (
    ExperimentId,
    Inputs,
    Labels,
    Number,
    Priority,
    Reason,
    Try,
    Worker,
    respond,
    text_of,
)
from alchemy_async.service.sessions.sessions import Session
from alchemy_async.service.staged import staging, taking
from alchemy_async.service.staged.desk import Reply, Turn
from alchemy_async.service.staged.staging import REST

router = APIRouter(tags=["claims"], prefix="/sessions/{session_id}/experiments/staged")

MOST_WAIT_S = 60.0
DEFAULT_LEASE_S = 300.0


class ClaimStaged(Body):
    """What a worker wants to do."""

    n: Annotated[int, Field(strict=True, ge=1, le=1000, description="How many at most.")] = 1
    worker: Worker = REST
    labels: Annotated[Labels, Field(description="What the worker can do.", default_factory=list)]
    lease_s: Annotated[
        Number,
        Field(
            ge=taking.LEAST_LEASE_S,
            le=taking.MOST_LEASE_S,
            description="How long each is the worker's without a heartbeat, in seconds.",
        ),
    ] = DEFAULT_LEASE_S
    idempotent: Annotated[
        bool, Field(strict=True, description="Whether one whose lease ends may simply be run again by another worker.")
    ] = False
    wait_s: Annotated[
        Number, Field(ge=0, le=MOST_WAIT_S, description="How long to wait for something to do, in seconds.")
    ] = 0.0


class Claimed(Said):
    """One experiment that the worker has."""

    id: str = Field(examples=["e0001"])
    attempt: int = Field(description="To be sent with heartbeats and the report.", examples=[1])
    inputs: dict[str, Any] = Field(examples=[{"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"}])
    parameters: dict[str, Any] = Field(description="The inputs, by their other name.")
    reason: str | None = None
    priority: float
    requires: list[str] = Field(description="The labels that it needs.")


class ClaimedStaged(Said):
    """What the worker got."""

    experiments: list[Claimed]
    n_claimed: int
    worker: str
    lease_s: float
    is_paused: bool = Field(description="Whether nothing is handed out at present.")


class Heartbeat(Body):
    """Somebody works on it."""

    worker: Worker | None = None
    attempt: Try | None = None


class Beaten(Said):
    """The lease goes on."""

    id: str
    attempt: int
    lease_s: float = Field(description="From now on.")
    cancel: bool = Field(description="Whether to break the measurement off: stop, and then release it.")


class AmendOne(Body):
    """What is to be changed of an experiment that nobody has."""

    inputs: Inputs | None = None
    priority: Priority | None = None
    reason: Reason | None = None


class AbandonOne(Body):
    """Why an experiment is given up."""

    why: Annotated[str, Field(max_length=2000, examples=["the vial broke"])] = ""


class StagedItem(Said):
    """One experiment."""

    id: str = Field(examples=["e0001"])
    state: str = Field(description="queued, running, interrupted, completed, failed, infeasible, cancelled, abandoned")
    inputs: dict[str, Any]
    attempt: int = Field(description="The newest.")
    worker: str | None = Field(default=None, description="Who has or had the newest attempt.")
    priority: float
    reason: str | None = None
    iteration: int | None = None
    requires: list[str] = Field(default_factory=list)
    cancel: bool = Field(description="Whether it is to be broken off.")
    queue_version: int


@router.post("/claim", response_model=ClaimedStaged, responses=refusals(400, 404, 409))
async def claim_staged(session: SessionGiven, body: ClaimStaged, request: Request, key: Key = None) -> Response:
    """Take the best experiments that a worker may run; wait for one if there is none.

    They are the worker's until it reports, or is silent for `lease_s`. Repeat the request under the same
    Idempotency-Key if its answer was lost: it brings the same experiments.
    """
    until = time.monotonic() + body.wait_s
    while True:
        seen = session.feed.version
        reply = await run_in_threadpool(_claim, session, body, key)
        left = until - time.monotonic()
        if reply.body["experiments"] or left <= 0 or session.feed.is_closed:
            return respond(reply)
        await session.feed.wait(left, since=seen)
        if await request.is_disconnected():  # it would get what nobody then runs
            return respond(reply)


def _claim(session: Session, body: ClaimStaged, key: str | None) -> Reply:
    """Take what there is; look first, so that those who wait wake nobody by looking."""
    with session.desk.look() as ledger:
        if key is None or ledger.reply(key) is None:
            taking.check_worker(body.worker)
            if not taking.has_work(ledger, body.labels):
                return _claimed(ledger, body, [])

    def make(turn: Turn) -> Reply:
        taken = taking.claim(
            turn, body.n, body.worker, labels=body.labels, lease_s=body.lease_s, idempotent=body.idempotent
        )
        return _claimed(turn.ledger, body, taken)

    return session.desk.answer(make, key=key, request=text_of(key, "claim", body))


def _claimed(ledger: Ledger, body: ClaimStaged, taken: list[taking.Taken]) -> Reply:
    said = [
        {
            "id": found.experiment.id,
            "attempt": found.attempt.key.attempt,
            "inputs": dict(found.attempt.parameters),
            "parameters": dict(found.attempt.parameters),
            "reason": found.experiment.reason or None,
            "priority": found.experiment.priority,
            "requires": list(found.experiment.requires),
        }
        for found in taken
    ]
    answer = {"experiments": said, "n_claimed": len(said), "worker": body.worker, "lease_s": body.lease_s}
    return Reply({**answer, "is_paused": taking.is_paused(ledger)}, is_kept=bool(said))


@router.get("/{experiment_id}", response_model=StagedItem, responses=refusals(404))
def get_staged_experiment(desk: DeskGiven, experiment_id: ExperimentId) -> Response:
    """Return one experiment, whatever has become of it."""
    with desk.look() as ledger:
        return respond(_item(ledger, staging.find_in(ledger, experiment_id)))


@router.patch("/{experiment_id}", response_model=StagedItem, responses=refusals(404, 409))
def amend_staged_experiment(desk: DeskGiven, experiment_id: ExperimentId, body: AmendOne, key: Key = None) -> Response:
    """Change the inputs, the priority or the reason of an experiment that nobody has."""
    if body.inputs is None and body.priority is None and body.reason is None:
        raise InvalidError.at(what="changes nothing. Send inputs, priority or reason")

    def make(turn: Turn) -> Reply:
        found = staging.amend(turn, experiment_id, inputs=body.inputs, priority=body.priority, reason=body.reason)
        return _item(turn.ledger, found)

    return respond(desk.answer(make, key=key, request=text_of(key, "amend", body, id=experiment_id)))


@router.delete("/{experiment_id}", response_model=StagedItem, responses=refusals(404, 409))
def withdraw_staged_experiment(desk: DeskGiven, experiment_id: ExperimentId, key: Key = None) -> Response:
    """Withdraw an experiment that nobody has, or tell whoever runs it to stop."""

    def make(turn: Turn) -> Reply:
        return _item(turn.ledger, staging.cancel(turn, experiment_id))

    return respond(desk.answer(make, key=key, request=text_of(key, "withdraw", id=experiment_id)))


def _item(ledger: Ledger, found: Experiment) -> Reply:
    attempt = ledger.attempt(found.key)
    return Reply(
        {
            "id": found.id,
            "state": str(found.state),
            "inputs": dict(found.parameters),
            "attempt": found.attempt,
            "worker": attempt.worker or None,
            "priority": found.priority,
            "reason": found.reason or None,
            "iteration": found.iteration,
            "requires": list(found.requires),
            "cancel": found.is_cancelling and found.state in (State.QUEUED, State.RUNNING),
            "queue_version": ledger.queue_version(),
        }
    )


@router.post("/{experiment_id}/heartbeat", response_model=Beaten, responses=refusals(404, 409))
def beat_staged_experiment(desk: DeskGiven, experiment_id: ExperimentId, body: Heartbeat | None = None) -> Response:
    """Say that an experiment is being worked on; `cancel` in the answer says that it should not be.

    A lease that has ended is taken up again, as long as nobody else has the experiment.
    """
    body = body or Heartbeat()
    with desk.turn(waits=False) as turn:  # a power cut that takes a beat back interrupts the bench as well
        found = taking.beat(turn, experiment_id, body.attempt, body.worker)
    return respond(
        Reply(
            {
                "id": found.experiment.id,
                "attempt": found.attempt.key.attempt,
                "lease_s": found.attempt.lease_s,
                "cancel": found.must_stop,
            }
        )
    )


@router.post("/{experiment_id}/requeue", response_model=StagedItem, responses=refusals(404, 409))
def requeue_staged_experiment(desk: DeskGiven, experiment_id: ExperimentId, key: Key = None) -> Response:
    """Offer an experiment again whose lease ended: somebody has looked, and it may be run once more."""

    def make(turn: Turn) -> Reply:
        return _item(turn.ledger, staging.offer_again(turn, experiment_id))

    return respond(desk.answer(make, key=key, request=text_of(key, "requeue", id=experiment_id)))


@router.post("/{experiment_id}/abandon", response_model=StagedItem, responses=refusals(404, 409))
def abandon_staged_experiment(
    desk: DeskGiven, experiment_id: ExperimentId, body: AbandonOne | None = None, key: Key = None
) -> Response:
    """Give an experiment up whose lease ended; a late measurement of it is kept as a replicate."""
    body = body or AbandonOne()

    def make(turn: Turn) -> Reply:
        return _item(turn.ledger, staging.give_up(turn, experiment_id, body.why))

    return respond(desk.answer(make, key=key, request=text_of(key, "abandon", body, id=experiment_id)))
