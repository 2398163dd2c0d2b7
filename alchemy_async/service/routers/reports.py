"""Reports: what came of one experiment: a measurement, a failure, or nothing at all.

In:    outcomes by the experiment's id, from whoever has it.
Out:   what became of each, the same at every repetition.
Never: lets a report that contradicts an earlier one replace it: both are kept, and the first one counts.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, model_validator

from alchemy_async.clock import from_wire
from alchemy_async.experiment import Failure, Outcome, State, Status
from alchemy_async.service.problems import ConflictError, InvalidError
from alchemy_async.service.routers.given import Body, DeskGiven, Key, refusals
from alchemy_async.service.routers.shapes import (
    Attachment,
    Contradicted,
    ExperimentId,
    Inputs,
    Metadata,
    Noise,
    Number,
    Output,
    Reported,
    Try,
    Worker,
    as_body,
    respond,
    text_of,
)
from alchemy_async.service.staged import recording, staging, taking
from alchemy_async.service.staged.desk import Reply, Turn
from alchemy_async.service.staged.measures import Measured, by_objective, check_measured

router = APIRouter(tags=["claims"], prefix="/sessions/{session_id}/experiments/staged/{experiment_id}")

_REFUSED = {
    **refusals(400, 404),
    409: {"model": Contradicted, "description": "It contradicts what was reported before, or it is somebody else's."},
}


class Report(Body):
    """Who reports, and on which attempt."""

    worker: Worker | None = None
    attempt: Try | None = None


class CompleteOne(Report):
    """What was measured: `output` for a single objective, or `values` by objective."""

    output: Output | None = None
    values: Annotated[dict[str, Number], Field(description="By objective.", examples=[{"Output": 0.87}])] | None = None
    noise: Noise | None = None
    noises: Noise | None = None
    sems: (
        Annotated[
            dict[str, Annotated[Number, Field(ge=0)]],
            Field(description="Standard errors by objective, in place of noises.", examples=[{"Output": 0.14}]),
        ]
        | None
    ) = None
    inputs: Annotated[Inputs, Field(description="As they were actually run; without them, as asked.")] | None = None
    attachments: Annotated[list[Attachment], Field(max_length=200, default_factory=list)]
    metadata: Annotated[Metadata, Field(default_factory=dict)]

    @model_validator(mode="after")
    def _says_it_once(self) -> CompleteOne:
        if (self.output is None) == (self.values is None):
            raise ValueError("needs output or values, one of the two")
        if self.noise is not None and self.noises is not None:
            raise ValueError("has noise and noises; send one of the two")
        return self


class FailOne(Report):
    """Why there is no measurement."""

    kind: Annotated[str, Field(min_length=1, max_length=100, description="For programs.", examples=["valve_stuck"])] = (
        "error"
    )
    message: Annotated[str, Field(max_length=10_000, description="For people.")] = ""
    retryable: Annotated[bool, Field(strict=True, description="Whether another attempt is worth it.")] = False


class InfeasibleOne(Report):
    """Why these inputs can't be run at all."""

    message: Annotated[str, Field(max_length=10_000)] = ""


class ReleaseOne(Report):
    """Nothing was done: it is offered again."""


@router.post("/complete", response_model=Reported, responses=_REFUSED)
def complete_staged_experiment(
    desk: DeskGiven, experiment_id: ExperimentId, body: CompleteOne, key: Key = None
) -> Response:
    """Report what was measured of one experiment, whether or not it was claimed, and even after its lease ended.

    The same report once more is answered as the first was. Other values for the same attempt are kept, out of the
    model, and answered with 409.
    """

    def make(turn: Turn) -> Reply:
        objectives = turn.study.objectives
        values = body.values if body.values is not None else by_objective(objectives, body.output, "output")
        noise = by_objective(objectives, body.noise if body.noise is not None else body.noises, "noises")
        noted = {**body.metadata, **({"attachments": _attached(body)} if body.attachments else {})}
        measured = Measured(values, noise, body.sems or {}, noted)
        check_measured(objectives, measured, "values" if body.output is None else "output")
        as_run = None
        if body.inputs is not None:
            (as_run,) = staging.check_as_run(turn.study.space, [body.inputs], ("inputs",))
        begun = turn.ledger.claimed_at(taking.attempt_of(turn, experiment_id, body.attempt, body.worker).key)
        outcome = measured.as_outcome(
            turn.now, started_at=min(from_wire(begun), turn.now) if begun else None, parameters=as_run
        )
        return _report(turn, experiment_id, outcome, body)

    text = text_of(key, "complete", body, id=experiment_id)
    return respond(desk.answer(make, key=key, request=text))


def _attached(body: CompleteOne) -> list[dict[str, Any]]:
    return [attachment.model_dump(exclude_none=True) for attachment in body.attachments]


@router.post("/fail", response_model=Reported, responses=_REFUSED)
def fail_staged_experiment(
    desk: DeskGiven, experiment_id: ExperimentId, body: FailOne | None = None, key: Key = None
) -> Response:
    """Report that an attempt brought no measurement; with `retryable` the experiment is offered again."""
    body = body or FailOne()
    message = body.message
    if body.retryable and body.kind not in ("error", "retryable"):
        message = f"{body.kind}: {message}" if message else body.kind
    failure = Failure("retryable" if body.retryable else body.kind, message)
    if body.kind == "retryable" and not body.retryable:
        raise InvalidError.at("kind", what="is kept for what is worth another attempt. Send retryable: true")
    return _end(desk, experiment_id, Status.FAILED, body, key, failure)


@router.post("/infeasible", response_model=Reported, responses=_REFUSED)
def refuse_staged_experiment(
    desk: DeskGiven, experiment_id: ExperimentId, body: InfeasibleOne | None = None, key: Key = None
) -> Response:
    """Report that these inputs can't be run; they are not suggested again."""
    body = body or InfeasibleOne()
    failure = Failure("infeasible", body.message)
    return _end(desk, experiment_id, Status.INFEASIBLE, body, key, failure)


@router.post("/release", response_model=Reported, responses=_REFUSED)
def release_staged_experiment(
    desk: DeskGiven, experiment_id: ExperimentId, body: ReleaseOne | None = None, key: Key = None
) -> Response:
    """Give an experiment back of which nothing was done; it is offered again, or ends if it was to be cancelled."""
    body = body or ReleaseOne()
    return _end(desk, experiment_id, Status.RELEASED, body, key, None)


def _end(
    desk: DeskGiven,
    experiment_id: str,
    status: Status,
    body: Report,
    key: str | None,
    failure: Failure | None,
) -> Response:
    def make(turn: Turn) -> Reply:
        if status is Status.RELEASED and staging.find(turn, experiment_id).state is State.QUEUED:
            _check_was_had(turn, experiment_id, body)
        return _report(turn, experiment_id, Outcome(status, turn.now, turn.now, error=failure), body)

    return respond(desk.answer(make, key=key, request=text_of(key, f"{status}", body, id=experiment_id)))


def _check_was_had(turn: Turn, name: str, body: Report) -> None:
    attempt = taking.attempt_of(turn, name, body.attempt, body.worker)
    if not attempt.worker:
        raise ConflictError(f"{attempt.key} is queued, and nobody has it: there is nothing to give back.")


def _report(turn: Turn, name: str, outcome: Outcome, body: Report) -> Reply:
    recorded = recording.report(turn, name, outcome, number=body.attempt, worker=body.worker)
    said = as_body(recorded.stored, recorded.experiment.id, recorded.attempt.key.attempt)
    if not recorded.is_conflict:
        return Reply(said)
    first = None
    if recorded.first is not None:
        first = as_body(recorded.first, recorded.experiment.id, recorded.attempt.key.attempt)
    has, key = recorded.attempt.worker or "nobody", recorded.attempt.key
    why = f"{key} is {has}'s, and this report comes from {recorded.stored['worker']}. It is kept, out of the model."
    if first is not None:
        why = (
            f"{key} was reported before, by {has}, with another outcome. Both are kept; the first one counts. "
            f"PATCH experiments/{recorded.experiment.id}/observation corrects it."
        )
    error = ConflictError(why)
    return Reply(
        {
            "detail": str(error),
            "error_type": error.error_type,
            "status_code": error.status,
            "stored": first,
            "new": said,
        },
        error.status,
    )
