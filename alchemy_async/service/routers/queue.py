"""Queue: staged experiments by their ids, as ALchemist's queue has them.

In:    items to be queued, started, completed, failed or withdrawn.
Out:   items with what became of them.
Never: lists more of what has ended than was asked for: it stays in the dataset, whatever is purged here.

The same as there: shapes, status codes, the order of the items. Better: what does not fit is 422 with its field;
every change is one durable transaction; the queue's own statuses are also told (``state``). Items that were
purged stay in the ledger and can still be asked for by id.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from alchemy_async.experiment import Failure, Outcome, State, Status
from alchemy_async.ledger import Item
from alchemy_async.service.problems import ConflictError, ServiceError
from alchemy_async.service.routers.given import (
    Body,
    DeskGiven,
    Key,
    Said,
    ServiceGiven,
    SessionGiven,
    refusals,
)
from alchemy_async.service.routers.shapes import (
    MOST_ROWS,
    ExperimentId,
    Inputs,
    Iteration,
    Number,
    Reason,
    Variance,
    respond,
    text_of,
)
from alchemy_async.service.routers.training import TrainingGiven
from alchemy_async.service.sessions.changing import labels_of
from alchemy_async.service.staged import items, recording, staging, taking
from alchemy_async.service.staged.desk import Reply, Turn
from alchemy_async.service.staged.measures import Measured, check_measured
from alchemy_async.service.staged.recording import Row
from alchemy_async.service.staged.staging import REST, Wanted

router = APIRouter(tags=["queue"], prefix="/sessions/{session_id}/experiments")

_LEASE_S = taking.MOST_LEASE_S  # of what a person starts by hand: nobody beats for it


class QueueOne(Body):
    """One item to be queued."""

    inputs: Inputs
    reason: Reason | None = None


class QueueMany(Body):
    """Items to be queued: all, or none."""

    items: Annotated[list[QueueOne], Field(max_length=MOST_ROWS)]


class QueueItem(Said):
    """One item."""

    id: str = Field(examples=["e0001"])
    inputs: dict[str, Any]
    reason: str | None = None
    status: str = Field(description="pending, running, done or failed", examples=["pending"])
    output: Any | None = Field(default=None, description="The value; with several objectives by name.")
    noise: Any | None = Field(default=None, description="Its variance; with several objectives by name.")
    error: str | None = None
    dataset_ref: int | None = Field(default=None, description="Number of its measurement in the ledger.")
    staged_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    plot: dict[str, int] | None = Field(default=None, description="Always null: split-plot designs are not offered.")
    state: str = Field(description="What the ledger calls it.", examples=["queued"])
    attempt: int
    worker: str | None = None


class Queue(Said):
    """The queue, by the order in which items were added."""

    items: list[QueueItem]
    n_pending: int
    n_running: int
    n_done: int
    n_failed: int


class Purged(Said):
    """What had ended is listed no more."""

    message: str = "Terminal items purged"
    n_purged: int


class CompleteItem(Body):
    """What was measured of one item."""

    outputs: Annotated[list[Number], Field(description="One value for each objective.", examples=[[0.87]])]
    noise: Annotated[list[Variance], Field(description="The variance of each.", examples=[[0.02]])] | None = None
    iteration: Iteration | None = None
    actual_inputs: Annotated[Inputs, Field(description="As they were actually run.")] | None = None
    expected_objective_label: (
        Annotated[
            dict[str, str], Field(description="What the client takes the objectives for; others are refused with 409.")
        ]
        | None
    ) = None
    force: Annotated[bool, Field(strict=True, description="Not to mind the labels.")] = False


class FailItem(Body):
    """Why there is no measurement."""

    error: Annotated[str, Field(max_length=10_000, examples=["the valve is stuck"])]


Ended = Annotated[int, Query(ge=0, le=100_000, description="How many of the last results are looked through.")]


@router.post("/queue", response_model=Queue, responses=refusals(400, 404, 409))
def queue_experiments(desk: DeskGiven, body: QueueMany, key: Key = None) -> Response:
    """Queue items: all, or none; the answer is the whole queue, the new ones among its last."""

    def make(turn: Turn) -> Reply:
        wanted = [Wanted(one.inputs, one.reason or "") for one in body.items]
        staging.stage(turn, wanted, *(("items", i, "inputs") for i in range(len(wanted))))
        return Reply(items.queue(turn.ledger))

    return respond(desk.answer(make, key=key, request=text_of(key, "queue", body)))


@router.get("/queue", response_model=Queue, responses=refusals(404))
def get_queue(
    desk: DeskGiven,
    status: Annotated[
        str | None, Query(max_length=20, description="pending, running, done or failed: only these.")
    ] = None,
    limit: Ended = items.MOST_ENDED,
) -> Response:
    """Return the queue: all that is pending or running, and what ended among the last ``limit`` results."""
    with desk.look() as ledger:
        return respond(Reply(items.queue(ledger, status, limit)))


@router.post("/queue/purge", response_model=Purged, responses=refusals(404))
def purge_queue(desk: DeskGiven, key: Key = None) -> Response:
    """List what has ended no more; the dataset keeps it."""

    def make(turn: Turn) -> Reply:
        return Reply({"message": "Terminal items purged", "n_purged": items.purge(turn)})

    return respond(desk.answer(make, key=key, request=text_of(key, "purge")))


@router.get("/queue/{experiment_id}", response_model=QueueItem, responses=refusals(404))
def get_queue_item(desk: DeskGiven, experiment_id: ExperimentId) -> Response:
    """Return one item."""
    with desk.look() as ledger:
        return respond(Reply(items.body_of(ledger, experiment_id)))


@router.delete("/queue/{experiment_id}", response_model=Queue, responses=refusals(404, 409))
def delete_queue_item(desk: DeskGiven, experiment_id: ExperimentId, key: Key = None) -> Response:
    """Withdraw an item that is pending; return the queue."""

    def make(turn: Turn) -> Reply:
        _expect(turn, experiment_id, "deleted", State.QUEUED)
        staging.cancel(turn, experiment_id)
        return Reply(items.queue(turn.ledger))

    return respond(desk.answer(make, key=key, request=text_of(key, "delete_item", id=experiment_id)))


@router.post("/queue/{experiment_id}/start", response_model=QueueItem, responses=refusals(404, 409))
def start_queue_item(desk: DeskGiven, experiment_id: ExperimentId, key: Key = None) -> Response:
    """Say that a pending item is being run, by whoever; nobody else gets it then."""

    def make(turn: Turn) -> Reply:
        found = _expect(turn, experiment_id, "started", State.QUEUED)
        if not turn.take(staging.find(turn, found.id).key, REST, lease_s=_LEASE_S):
            return _faster(found.id)
        return Reply(items.body_of(turn.ledger, found.id))

    return respond(desk.answer(make, key=key, request=text_of(key, "start_item", id=experiment_id)))


@router.post("/queue/{experiment_id}/complete", response_model=QueueItem, responses=refusals(400, 404, 409))
def complete_queue_item(
    service: ServiceGiven,
    session: SessionGiven,
    experiment_id: ExperimentId,
    body: CompleteItem,
    training: TrainingGiven,
    key: Key = None,
) -> Response:
    """Say what was measured of an item that is pending or running."""

    def make(turn: Turn) -> Reply:
        found = _expect(turn, experiment_id, "completed", State.QUEUED, State.RUNNING, State.INTERRUPTED)
        _check_labels(turn, body)
        measured = _measured(turn, body)
        actual = found.parameters if body.actual_inputs is None else body.actual_inputs
        row = Row(actual, measured, None, body.iteration, found.id)
        recording.add_rows(turn, [row], ())
        return Reply(items.body_of(turn.ledger, found.id))

    text = text_of(key, "complete_item", body, id=experiment_id, training=training)
    reply = session.desk.answer(make, key=key, request=text)
    return respond(training.after(service, session, reply, key))


@router.post("/queue/{experiment_id}/fail", response_model=QueueItem, responses=refusals(404, 409))
def fail_queue_item(desk: DeskGiven, experiment_id: ExperimentId, body: FailItem, key: Key = None) -> Response:
    """Say that an item that is pending or running brought no measurement."""

    def make(turn: Turn) -> Reply:
        found = _expect(turn, experiment_id, "failed", State.QUEUED, State.RUNNING, State.INTERRUPTED)
        outcome = Outcome(Status.FAILED, turn.now, turn.now, error=Failure("error", body.error))
        recording.report(turn, found.id, outcome)
        return Reply(items.body_of(turn.ledger, found.id))

    return respond(desk.answer(make, key=key, request=text_of(key, "fail_item", body, id=experiment_id)))


def _expect(turn: Turn, name: str, wanted: str, *states: State) -> Item:
    """Return an item that is in one of these states.

    Raises:
        UnknownError: If there is none.
        ConflictError: If it is in another.
    """
    found = items.find(turn.ledger, name)
    if found.state not in states:
        raise ConflictError(f"Item {found.id} is {items.status_of(found)} ({found.state}) and can't be {wanted}.")
    return found


def _faster(name: str) -> Reply:
    error = ConflictError(f"Somebody else was faster to claim {name}. GET it to see who has it.")
    return Reply({"detail": str(error), "error_type": error.error_type, "status_code": error.status}, error.status)


def _check_labels(turn: Turn, body: CompleteItem) -> None:
    """Refuse outputs that the client takes for something else than the session does."""
    if body.expected_objective_label is None or body.force:
        return
    known = labels_of(turn.ledger).get("objectives", {})
    for name, expected in body.expected_objective_label.items():
        label = known.get(name, {}).get("label")
        if label != expected:
            raise ConflictError(
                f"The objective {name[:80]!r} was expected to be {expected[:80]!r}, and the session calls it "
                f"{label!r}. Look again, or send force: true."
            )


def _measured(turn: Turn, body: CompleteItem) -> Measured:
    objectives = turn.study.objectives
    for what, numbers in (("output", body.outputs), ("noise value", body.noise)):
        if numbers is not None and len(numbers) != len(objectives):
            raise ServiceError(
                f"{len(numbers)} {what}s were sent, and an item has {len(objectives)}: one for each objective, in "
                f"their order ({', '.join(objective.name for objective in objectives)})."
            )
    names = [objective.name for objective in objectives]
    measured = Measured(
        dict(zip(names, body.outputs, strict=True)),
        {} if body.noise is None else dict(zip(names, body.noise, strict=True)),
    )
    check_measured(objectives, measured, "outputs")
    return measured
