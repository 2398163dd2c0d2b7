"""Observations: what was measured of one experiment, and corrections of it.

In:    a person's word that a measurement is an outlier, or that its values are others.
Out:   the measurement as it is now, with everything that it was before.
Never: deletes or overwrites: the old values and every correction stay in the ledger.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from alchemy_async.ledger import Ledger, Measurement
from alchemy_async.service.gateway.gate import TOKEN_NAME
from alchemy_async.service.problems import InvalidError, UnknownError
from alchemy_async.service.routers.given import Body, DeskGiven, Key, Said, refusals
from alchemy_async.service.routers.shapes import ExperimentId, Noise, Number, Output, Try, respond, text_of
from alchemy_async.service.staged import staging
from alchemy_async.service.staged.desk import Reply, Turn
from alchemy_async.service.staged.measures import Measured, by_objective, check_measured, noise_of

router = APIRouter(tags=["experiments"], prefix="/sessions/{session_id}/experiments/{experiment_id}/observation")


class CorrectOne(Body):
    """What is wrong with a measurement; what is not named stays as it is."""

    outlier: (
        Annotated[bool, Field(strict=True, description="Whether the model and the dataset leave it out.")] | None
    ) = None
    output: Output | None = None
    values: Annotated[dict[str, Number], Field(description="By objective, in place of output.")] | None = None
    noise: Noise | None = None
    sems: Annotated[dict[str, Annotated[Number, Field(ge=0)]], Field(description="In place of noise.")] | None = None
    attempt: Annotated[Try, Field(description="Whose measurement; without it, the one that counts.")] | None = None
    why: Annotated[str, Field(min_length=1, max_length=2000, examples=["the needle was clogged"])]
    who: Annotated[
        str, Field(max_length=200, examples=["Ada"], description="The name of the request's token is added to it.")
    ] = ""


class Corrected(Said):
    """One correction, with what it set."""

    at: str
    who: str
    why: str
    outlier: bool
    values: dict[str, float]
    sems: dict[str, float]


class MeasurementSaid(Said):
    """One measurement as it is now."""

    number: int = Field(description="In the ledger.")
    attempt: int
    worker: str
    role: str = Field(description="result, replicate, conflict or outlier; the model learns from the first two.")
    inputs: dict[str, Any] = Field(description="As run.")
    values: dict[str, float]
    sems: dict[str, float]
    noise: dict[str, float]
    metadata: dict[str, Any]
    recorded_at: str
    recorded: dict[str, dict[str, float]] = Field(description="values and sems as they came in.")
    corrections: list[Corrected] = Field(description="Oldest first.")


class Observed(Said):
    """All that was measured of one experiment."""

    id: str
    measurements: list[MeasurementSaid]


@router.get("", response_model=Observed, responses=refusals(404))
def get_observation(desk: DeskGiven, experiment_id: ExperimentId) -> Response:
    """Return all that was measured of one experiment, with every correction."""
    with desk.look() as ledger:
        name = staging.find_in(ledger, experiment_id).id
        return respond(Reply(_observed(ledger, name)))


@router.patch("", response_model=Observed, responses=refusals(400, 404, 409))
def correct_observation(
    desk: DeskGiven, experiment_id: ExperimentId, body: CorrectOne, request: Request, key: Key = None
) -> Response:
    """Correct a measurement, or mark it as an outlier, or take that back; what it was before is kept."""
    who = _who(body.who, request.scope.get(TOKEN_NAME, ""))

    def make(turn: Turn) -> Reply:
        name = staging.find(turn, experiment_id).id
        found = _find(turn.ledger, name, body.attempt)
        values, sems = _merged(turn, found, body)
        turn.change.correct(found.number, who=who, why=body.why, measured=values, sems=sems, is_outlier=body.outlier)
        return Reply(_observed(turn.ledger, name))

    return respond(desk.answer(make, key=key, request=text_of(key, "correct", body, id=experiment_id)))


def _who(said: str, token: str) -> str:
    """Return who corrects: as they say, and by which token, which they can't choose."""
    return f"{said or 'a client'}, by the token {token}" if token else said or "a client"


def _merged(
    turn: Turn, found: Measurement, body: CorrectOne
) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Return values and standard errors as they are to be; None: as they are."""
    if body.output is not None and body.values is not None:
        raise InvalidError.at("output", what="is there beside values. Send one of the two")
    given = [body.outlier, body.output, body.values, body.noise, body.sems]
    if all(one is None for one in given):
        raise InvalidError.at(what="corrects nothing. Send outlier, output or values, noise or sems")
    objectives = turn.study.objectives
    values = body.values if body.values is not None else by_objective(objectives, body.output, "output")
    fresh = Measured(values, by_objective(objectives, body.noise, "noise"), body.sems or {})
    merged = Measured({**found.values, **values}, fresh.variances, fresh.errors)
    check_measured(objectives, merged, "values")
    sems = fresh.sems()
    return ({**found.values, **values} if values else None), ({**found.sems, **sems} if sems else None)


def _find(ledger: Ledger, name: str, attempt: int | None) -> Measurement:
    """Return the measurement of an attempt, or the one that decided the experiment.

    Raises:
        UnknownError: If there is none.
    """
    all_of_it = ledger.measurements_of(name)
    by_attempt = [one for one in all_of_it if one.role != "conflict" and attempt in (None, one.key.attempt)]
    decisive = {one["id"] for one in ledger.decisive_outcomes(name)}
    found = next((one for one in by_attempt if attempt is not None or one.number in decisive), None)
    if found is None:
        what = "" if attempt is None else f" at its attempt {attempt}"
        raise UnknownError(f"Nothing was measured of {name}{what}: there is nothing to correct.")
    return found


def _observed(ledger: Ledger, name: str) -> dict[str, Any]:
    return {"id": name, "measurements": [_said(ledger, found) for found in ledger.measurements_of(name)]}


def _said(ledger: Ledger, found: Measurement) -> dict[str, Any]:
    values, sems = ledger.recorded_values(found.number)
    return {
        "number": found.number,
        "attempt": found.key.attempt,
        "worker": found.worker,
        "role": found.role,
        "inputs": dict(found.parameters),
        "values": found.values,
        "sems": found.sems,
        "noise": noise_of(found.values, found.sems, found.metadata),
        "metadata": found.metadata,
        "recorded_at": found.recorded_at,
        "recorded": {"values": values, "sems": sems},
        "corrections": ledger.corrections_of(found.number),
    }
