"""Staged: the queue as ALchemist's documentation has it: stage, look, complete in order, clear.

In:    points; outputs in the order of the queue.
Out:   what waits, with ids and a version; rows of the dataset.
Never: puts outputs on the inputs of another experiment, or drops them.

Better than there, at the same paths: a batch is staged or completed as a whole or not at all; what does
not fit is refused when it is staged (422, with the field) instead of blocking the queue later; outputs
for an empty queue are refused (409) instead of being dropped; `queue_version` makes sure that the queue
is the one that the outputs belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import Field

from alchemy_async.ledger import Ledger
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
    ENCODER,
    MOST_ROWS,
    Inputs,
    Iteration,
    Labels,
    Noise,
    Output,
    Priority,
    Reason,
    Trained,
    Whole,
    respond,
    staged_inputs,
    text_of,
)
from alchemy_async.service.routers.training import TrainingGiven
from alchemy_async.service.staged import recording, staging
from alchemy_async.service.staged.desk import Reply, Turn
from alchemy_async.service.staged.measures import Given, Measured, by_objective
from alchemy_async.service.staged.staging import Wanted

router = APIRouter(tags=["staged"], prefix="/sessions/{session_id}/experiments/staged")

_EXAMPLE = [
    {"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"},
    {"Temperature": 290.0, "Pressure": 12.0, "Catalyst": "Ni"},
]
Version = Annotated[int, Field(description="Grows whenever what is queued changes, in order or in content.")]


class StageOne(Body):
    """One experiment to be staged."""

    inputs: Inputs
    reason: Reason | None = None
    priority: Priority = 0.0
    requires: Annotated[Labels, Field(default_factory=list)]


class StageMany(Body):
    """Experiments to be staged, the first to be run first."""

    experiments: Annotated[list[Inputs], Field(max_length=MOST_ROWS, examples=[_EXAMPLE])]
    reason: Reason | None = None
    priority: Priority = 0.0
    requires: Annotated[Labels, Field(default_factory=list)]


class StagedOne(Said):
    """One experiment was staged."""

    message: str = "Experiment staged successfully"
    n_staged: int = Field(description="How many are staged now.")
    staged_inputs: dict[str, Any] = Field(description="Its inputs, as they were taken.")
    id: str = Field(description="Its id.", examples=["e0001"])
    queue_version: Version


class Staged(Said):
    """What is staged, in the order in which outputs are to be sent."""

    experiments: list[dict[str, Any]] = Field(examples=[_EXAMPLE])
    n_staged: int = Field(description="How many are staged in all.")
    reason: str | None = Field(default=None, description="Reason of the first.")
    reasons: list[str | None] | None = Field(default=None, description="Reason of each.")
    ids: list[str] = Field(default_factory=list, description="Id of each.", examples=[["e0001", "e0002"]])
    queue_version: Version


class CompleteStaged(Body):
    """Outputs of all that is staged, in its order."""

    outputs: Annotated[list[Output], Field(max_length=100_000, examples=[[0.87, 0.79]])]
    noises: Annotated[list[Noise], Field(max_length=100_000, examples=[[0.02, 0.03]])] | None = None
    iteration: Iteration | None = None
    reason: Reason | None = None
    queue_version: (
        Annotated[
            Whole,
            Field(description="As GET gave it: another queue is then refused with 409. Send it always.", examples=[2]),
        ]
        | None
    ) = None


class CompletedStaged(Trained):
    """All that was staged is in the dataset."""

    message: str = "Staged experiments completed and added to dataset"
    n_added: int = Field(description="How many rows were added.")
    n_experiments: int = Field(description="How many rows the dataset has.")
    ids: list[str] = Field(default_factory=list, description="Of the experiments, in the order of the outputs.")
    queue_version: Version


class Cleared(Said):
    """What was staged is withdrawn."""

    message: str = "Staged experiments cleared"
    n_cleared: int = Field(description="How many were withdrawn.")
    queue_version: Version


@router.post("", response_model=StagedOne, responses=refusals(400, 404, 409))
def stage_experiment(desk: DeskGiven, body: StageOne, key: Key = None) -> Response:
    """Stage one experiment."""

    def make(turn: Turn) -> Reply:
        (found,) = staging.stage(turn, [_wanted(body.inputs, body)], ("inputs",))
        return Reply(
            {
                "message": "Experiment staged successfully",
                "n_staged": turn.ledger.n_waiting(),
                "staged_inputs": staged_inputs(found),
                "id": found.id,
                "queue_version": turn.ledger.queue_version(),
            }
        )

    return respond(desk.answer(make, key=key, request=text_of(key, "stage", body)))


@router.post("/batch", response_model=Staged, responses=refusals(400, 404, 409))
def stage_experiments(desk: DeskGiven, body: StageMany, key: Key = None) -> Response:
    """Stage experiments: all of them, or none."""

    def make(turn: Turn) -> Reply:
        wanted = [_wanted(inputs, body) for inputs in body.experiments]
        found = staging.stage(turn, wanted, *(("experiments", i) for i in range(len(wanted))))
        return Reply(
            {
                "experiments": [staged_inputs(one) for one in found],
                "n_staged": turn.ledger.n_waiting(),
                "reason": body.reason,
                "reasons": [body.reason] * len(found),
                "ids": [one.id for one in found],
                "queue_version": turn.ledger.queue_version(),
            }
        )

    return respond(desk.answer(make, key=key, request=text_of(key, "stage_batch", body)))


def _wanted(inputs: dict[str, Any], body: StageOne | StageMany) -> Wanted:
    return Wanted(inputs, body.reason or "", body.priority, requires=tuple(sorted(set(body.requires))))


@router.get("", response_model=Staged, responses=refusals(404))
def get_staged(desk: DeskGiven) -> Response:
    """Return what is staged; its ETag is the queue's version, for If-Match."""
    version, text = desk.read("staged", _listing)  # a robot that polls it gets it made
    return Response(text, headers={"ETag": f'"{version}"'}, media_type="application/json")


def _listing(ledger: Ledger) -> tuple[int, bytes]:
    """Return the queue's version, and a body whose inputs are passed on as the ledger has them."""
    waiting, version = ledger.waiting_texts(), ledger.queue_version()
    inputs = ",".join(parameters for _, parameters, _ in waiting)
    reasons = [reason or None for _, _, reason in waiting]
    rest = {
        "n_staged": len(waiting),
        "reason": reasons[0] if reasons else None,
        "reasons": reasons,
        "ids": [name for name, _, _ in waiting],
        "queue_version": version,
    }
    return version, f'{{"experiments":[{inputs}],{ENCODER.encode(rest)[1:]}'.encode()


@router.delete("", response_model=Cleared, responses=refusals(404))
def clear_staged(desk: DeskGiven, key: Key = None) -> Response:
    """Withdraw all that is staged; what is running goes on."""

    def make(turn: Turn) -> Reply:
        n_cleared = staging.clear(turn)
        version = turn.ledger.queue_version()
        return Reply({"message": "Staged experiments cleared", "n_cleared": n_cleared, "queue_version": version})

    return respond(desk.answer(make, key=key, request=text_of(key, "clear")))


@router.post("/complete", response_model=CompletedStaged, responses=refusals(400, 404, 409))
def complete_staged(
    service: ServiceGiven,
    session: SessionGiven,
    body: CompleteStaged,
    training: TrainingGiven,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that GET gave.")] = None,
    key: Key = None,
) -> Response:
    """Complete all that is staged, with one output for each in the order of GET.

    The reason fills in for those that were staged without one. Without an iteration each row is one of its own.
    """
    version = body.queue_version if if_match is None else _version_of(if_match, body.queue_version)

    def make(turn: Turn) -> Reply:
        done = recording.complete_waiting(
            turn, _measured(turn, body), version=version, reason=body.reason, iteration=body.iteration
        )
        if isinstance(done, str):
            error = ConflictError(done)
            return Reply({"detail": done, "error_type": error.error_type, "status_code": error.status}, error.status)
        return Reply(
            {
                "message": "Staged experiments completed and added to dataset",
                "n_added": len(done),
                "n_experiments": turn.ledger.n_observations(),
                "model_trained": False,
                "training_metrics": None,
                "ids": [one.id for one in done],
                "queue_version": turn.ledger.queue_version(),
            }
        )

    text = text_of(key, "complete_staged", body, if_match=if_match, training=training)
    reply = session.desk.answer(make, key=key, request=text)
    return respond(training.after(service, session, reply, key))


def _measured(turn: Turn, body: CompleteStaged) -> list[Measured]:
    objectives = turn.study.objectives
    if body.noises is not None and len(body.noises) != len(body.outputs):
        raise ServiceError(
            f"Number of noise values ({len(body.noises)}) must match number of outputs ({len(body.outputs)}). Send the "
            "variance of each output, or none."
        )
    noises: Sequence[Given | None] = body.noises or [None] * len(body.outputs)
    return [
        Measured(
            by_objective(objectives, output, "outputs", i),
            {} if noise is None else by_objective(objectives, noise, "noises", i),
        )
        for i, (output, noise) in enumerate(zip(body.outputs, noises, strict=True))
    ]


def _version_of(if_match: str, in_body: int | None) -> int | None:
    """Return the version that If-Match names.

    Raises:
        ConflictError: If it names none that there ever was, or another one than the body.
    """
    text = if_match.strip()
    if text == "*":
        return in_body
    digits = text.removeprefix("W/").strip('"')
    if not digits.isdecimal() or len(digits) > 15 or in_body not in (None, int(digits)):
        raise ConflictError("If-Match does not name the queue that GET gave, or another one than queue_version does.")
    return int(digits)
