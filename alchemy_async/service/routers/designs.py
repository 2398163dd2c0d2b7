"""Designs: points to begin with, spread over the space, or chosen for what a linear model learns from them.

In:    a method with its settings.
Out:   points that can be staged as they are.
Never: stages them, or breaks a constraint.
"""

from __future__ import annotations

import math
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from alchemy_async.service.models import minds
from alchemy_async.service.models.designs import FILLING, Classical, Designed
from alchemy_async.service.problems import ServiceError
from alchemy_async.service.routers.given import Body, Said, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.routers.shapes import Whole
from alchemy_async.service.sessions.changing import constraint_names, labels_of
from alchemy_async.service.sessions.sessions import Session

router = APIRouter(tags=["designs"], prefix="/sessions/{session_id}")

MOST_POINTS = 2000
_REFUSED = refusals(400, 404, 409)
Seed = Annotated[Whole | None, Field(ge=0, description="The same seed brings the same points.", examples=[42])]


class InitialDesign(Body):
    """Which design is wanted."""

    method: Literal[
        "random", "lhs", "sobol", "halton", "hammersly", "full_factorial", "fractional_factorial", "ccd",
        "box_behnken", "plackett_burman", "gsd",
    ] = Field(default="lhs", description="The first five fill the space; the others are classical.")  # fmt: skip
    n_points: Whole | None = Field(
        default=None, ge=1, le=MOST_POINTS, examples=[12],
        description="How many points, of a method that fills the space; 10 without it.",
    )  # fmt: skip
    random_seed: Seed = None
    lhs_criterion: Literal["maximin", "correlation", "ratio"] = Field(
        default="maximin", description="By which the best of 50 Latin hypercubes is chosen."
    )
    n_levels: Whole = Field(default=2, ge=2, le=5, description="Of each number, in factorial designs.")
    n_center: Whole = Field(default=1, ge=0, le=10, description="Runs at the centre; twice those in a ccd.")
    generators: str | None = Field(
        default=None, max_length=500, min_length=1, description="Of a fractional factorial design.",
        examples=["a b ab"],
    )  # fmt: skip
    ccd_alpha: Literal["orthogonal", "rotatable"] = "orthogonal"
    ccd_face: Literal["circumscribed", "inscribed", "faced"] = "circumscribed"
    gsd_reduction: Whole = Field(default=2, ge=2, le=10)
    allow_infeasible: bool = Field(
        default=False, description="Leave out runs of a classical design that the constraints forbid."
    )


class DesignSaid(Said):
    """A design; nothing is staged by asking for it."""

    points: list[dict[str, Any]] = Field(examples=[[{"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"}]])
    method: str
    n_points: int
    design_info: dict[str, Any] | None = None
    feasibility: dict[str, Any] | None = Field(
        default=None, description="What the constraints did; null: there are none."
    )
    message: str | None = Field(default=None, description="What of the request did not count.")


class Model(Body):
    """Which model is to be fitted: exactly one of the two."""

    model_type: Literal["linear", "interaction", "quadratic"] | None = Field(default=None, examples=["quadratic"])
    effects: list[Annotated[str, Field(max_length=300)]] | None = Field(
        default=None, min_length=1, max_length=500, description="Such as `a`, `a*b` and `a**2`."
    )


class ModelInfo(Said):
    """What a design for the model takes."""

    model_terms: list[str] = Field(examples=[["Intercept", "a", "b", "a*b"]])
    p_columns: int
    n_points_minimum: int
    n_points_recommended: int


class OptimalDesign(Model):
    """Which design is wanted: one of `n_points` and `p_multiplier`."""

    n_points: Whole | None = Field(default=None, ge=1, le=500, examples=[12])
    p_multiplier: float | None = Field(
        default=None, gt=0, le=100, description="How many runs for each coefficient of the model."
    )
    criterion: Literal["D", "A", "I"] = "D"
    algorithm: Literal["sequential", "simple_exchange", "fedorov", "modified_fedorov", "detmax"] = Field(
        default="fedorov",
        description="`sequential` adds run after run; every other one exchanges runs after that until none is better.",
    )
    n_levels: Whole = Field(default=5, ge=2, le=20, description="Of each number, among the candidates.")
    max_iter: Whole = Field(default=200, ge=10, le=10_000, description="Rounds of exchanges at most.")
    random_seed: Seed = None


class OptimalSaid(Said):
    """An optimal design."""

    points: list[dict[str, Any]]
    n_points: int
    design_info: dict[str, Any]
    feasibility: dict[str, Any] | None = None


@router.post("/initial-design", response_model=DesignSaid, responses=_REFUSED)
def make_initial_design(service: ServiceGiven, session: SessionGiven, body: InitialDesign) -> dict[str, Any]:
    """Return points to begin with; all meet the constraints."""
    space, seed, message = session.desk.study.space, _seed(body.random_seed), None
    if body.method in FILLING:
        n = 10 if body.n_points is None else body.n_points
        found = _ask(service, session, "designing:fill", space, body.method, n, seed, body.lhs_criterion)
        if len(found.points) < n:
            message = f"There are no more than {len(found.points)} different points."
    else:
        wish = Classical(
            body.method, body.n_levels, body.n_center, body.generators, body.ccd_alpha, body.ccd_face,
            body.gsd_reduction, body.allow_infeasible,
        )  # fmt: skip
        found = _ask(service, session, "designing:classical", space, wish)
        if body.n_points not in (None, len(found.points)):
            message = f"n_points did not count: {body.method} has a number of runs of its own."
    estimability = "not_applicable" if body.method in FILLING else "waived" if found.n_dropped else "passed"
    return {
        "points": list(found.points),
        "method": body.method,
        "n_points": len(found.points),
        "design_info": found.details,
        "feasibility": _feasibility(session, estimability, None if body.method in FILLING else found.n_dropped),
        "message": message,
    }


@router.post("/optimal-design/info", response_model=ModelInfo, responses=_REFUSED)
def get_optimal_design_info(service: ServiceGiven, session: SessionGiven, body: Model) -> dict[str, Any]:
    """Return which terms a model has, and how many runs it takes."""
    terms, p = _terms(service, session, body)
    return {"model_terms": terms, "p_columns": p, "n_points_minimum": p, "n_points_recommended": 2 * p}


@router.post("/optimal-design", response_model=OptimalSaid, responses=_REFUSED)
def make_optimal_design(service: ServiceGiven, session: SessionGiven, body: OptimalDesign) -> dict[str, Any]:
    """Return the runs that a linear model learns most from; all meet the constraints."""
    if (body.n_points is None) == (body.p_multiplier is None):
        raise ServiceError("Send one of n_points (how many runs) and p_multiplier (how many for each coefficient).")
    terms, p = _terms(service, session, body)
    n = body.n_points if body.n_points is not None else math.ceil((body.p_multiplier or 0.0) * p)
    if not p <= n <= 500:
        raise ServiceError(f"{n} runs: the model has {p} coefficients, so send {p} at least, and 500 at most.")
    wanted = (body.model_type, body.effects, n, body.criterion, body.algorithm, body.n_levels, body.max_iter)
    found = _ask(service, session, "optimal:make", session.desk.study.space, *wanted, _seed(body.random_seed))
    details = {"criterion": body.criterion, "algorithm": body.algorithm, **(found.details or {}), "p_columns": p,
               "n_runs": n, "model_terms": terms}  # fmt: skip
    return {
        "points": list(found.points),
        "n_points": len(found.points),
        "design_info": details,
        "feasibility": _feasibility(session, "passed", None),
    }


def _terms(service: ServiceGiven, session: Session, body: Model) -> tuple[list[str], int]:
    if (body.model_type is None) == (body.effects is None):
        raise ServiceError("Send one of model_type (linear, interaction, quadratic) and effects (a list of terms).")
    found: tuple[list[str], int] = minds.pool_of(service).do(
        "optimal:describe", session.desk.study.space, body.model_type, body.effects, folder=session.desk.folder
    )
    return found


def _ask(service: ServiceGiven, session: Session, job: str, *args: object) -> Designed:
    found: Designed = minds.pool_of(service).do(job, *args, folder=session.desk.folder)
    return found


def _seed(given: int | None) -> int:
    return secrets.randbelow(2**31) if given is None else given


def _feasibility(session: Session, estimability: str, n_dropped: int | None) -> dict[str, Any] | None:
    tables = session.desk.study.document.get("constraints", ())
    if not tables:
        return None
    with session.desk.look() as ledger:
        names = constraint_names(labels_of(ledger), tables)
    return {
        "constraints_applied": names,
        "n_candidates_total": None,
        "n_candidates_feasible": None,
        "n_boundary_added": None,
        "n_vertices_added": None,
        "vertex_enumeration_skipped": None,
        "n_points_dropped": n_dropped,
        "estimability": estimability,
    }
