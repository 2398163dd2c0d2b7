"""Acquisition: what to measure next, and where the model expects the best.

In:    a strategy, a goal, how many points.
Out:   suggestions that can be staged as they are; the optimum.
Never: suggests what is staged, running or was just suggested.

Better than ALchemist's, at the same paths: nothing has to be trained first (without data the space is filled), each
improvement strategy suggests batches, and two requests never get the same point. `POST /sessions/S/acquire` is the
same as `/acquisition/suggest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI
from pydantic import Field

from alchemy_async.service.context import Service
from alchemy_async.service.models import acquiring, minds
from alchemy_async.service.models.acquiring import MOST, STRATEGIES, Wish
from alchemy_async.service.models.basis import Basis, present, with_goal
from alchemy_async.service.problems import NoDataError
from alchemy_async.service.routers.given import Body, Said, Scalar, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.routers.shapes import Whole


@asynccontextmanager
async def _minds_begin(app: FastAPI) -> AsyncIterator[None]:
    """Start the processes that think, so that the first question need not wait until they have loaded all."""
    service: Service = app.state.service
    minds.pool_of(service).start()
    yield


router = APIRouter(tags=["acquisition"], prefix="/sessions/{session_id}", lifespan=_minds_begin)

_NAMES = ", ".join(name for names in STRATEGIES.values() for name in names)
Goal = Annotated[
    Literal["maximize", "minimize"] | None,
    Field(description="Of the objective; without it, its own goal (`maximize` where the session was made here)."),
]
Held = Annotated[
    dict[str, Scalar], Field(max_length=1000, description="By name.", examples=[{"Catalyst": "Pt"}])
]  # fmt: skip


class Suggest(Body):
    """What is wanted."""

    strategy: str = Field(
        default="EI",
        max_length=40,
        description=f"One of {_NAMES}, in any case. All improvements are one here: the logarithm of the noisy expected "
        "improvement, given what is pending, each point of a batch chosen as if those before it were pending.",
        examples=["qEI"],
    )
    goal: Goal = Field(default=None, examples=["maximize"])
    n_suggestions: Whole = Field(default=1, ge=1, le=MOST, description="How many points.", examples=[2])
    xi: float | None = Field(
        default=None,
        ge=0,
        description="Of EI and PI: by how much a value must be better to count, in the objective's unit.",
    )
    kappa: float | None = Field(
        default=None, ge=0, description="Of UCB: how many standard deviations above the mean; 2 without it."
    )
    hold: Held | None = Field(default=None, description="Variables that are to keep a value.")
    observed: Held | None = Field(
        default=None, description="Readings of observed variables; without one, the newest.", examples=[{}]
    )


class Diagnostics(Said):
    """What is to be known of one suggestion."""

    held: list[str] = Field(description="Variables that were held.")
    knowledge_ratio: float | None = Field(
        description="Share of the values' variance that is left at the point: 0 where all is known; null: no model."
    )
    warnings: list[str]
    reason: str = Field(description="Why this point.")


class Suggestions(Said):
    """Points to measure next, the best first. Each holds the variables alone, and can be staged as it is."""

    suggestions: list[dict[str, Any]] = Field(examples=[[{"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"}]])
    n_suggestions: int = Field(description="How many there are; fewer than wanted only where the space has no more.")
    iteration: int | None = Field(default=None, description="Number of the round that comes next.")
    diagnostics: list[Diagnostics] = Field(default_factory=list)
    strategy: str = Field(description="What was reckoned: improvement, hypervolume, probability, bound ...")
    n_pending: int = Field(description="How many points were known to be on their way.")


class FindOptimum(Body):
    """What is wanted."""

    goal: Goal = Field(default=None, examples=["maximize"])
    observed: Held | None = Field(
        default=None, description="Readings of observed variables; without one, the newest.", examples=[{}]
    )


class Optimum(Said):
    """Where the model expects the best, measured or not."""

    optimum: dict[str, Any] = Field(examples=[{"Temperature": 341.2, "Pressure": 7.9, "Catalyst": "Pt"}])
    predicted_value: float
    predicted_std: float | None = Field(default=None, description="Standard deviation of the noise-free value.")
    goal: str


@router.post("/acquisition/suggest", response_model=Suggestions, responses=refusals(400, 404, 409))
def suggest_experiments(service: ServiceGiven, session: SessionGiven, body: Suggest) -> dict[str, Any]:
    """Suggest what to measure next.

    What is staged, running or interrupted is pending; so is, for an hour, what was suggested before and neither staged
    nor measured since. Until a model is possible (two different results), the points fill the space.
    """
    wish = Wish(
        body.strategy, body.goal, body.n_suggestions, body.xi, body.kappa, body.hold or {}, body.observed or {}
    )  # fmt: skip
    found = acquiring.suggest(service, session, wish)
    scarce = [] if len(found.points) == wish.n else ["The space has no more points that are not taken."]
    return {
        "suggestions": list(found.points),
        "n_suggestions": len(found.points),
        "iteration": found.iteration,
        "diagnostics": [
            {"held": sorted(wish.hold), "knowledge_ratio": unknown, "warnings": scarce, "reason": reason}
            for unknown, reason in zip(found.unknown, found.reasons, strict=True)
        ],
        "strategy": found.strategy,
        "n_pending": found.n_pending,
    }


@router.post("/acquire", response_model=Suggestions, responses=refusals(400, 404, 409))
def acquire(service: ServiceGiven, session: SessionGiven, body: Suggest) -> dict[str, Any]:
    """Suggest what to measure next: the same as /acquisition/suggest."""
    return suggest_experiments(service, session, body)


@router.post("/acquisition/find-optimum", response_model=Optimum, responses=refusals(400, 404, 409))
def find_optimum(service: ServiceGiven, session: SessionGiven, body: FindOptimum) -> dict[str, Any]:
    """Return where the model expects the best value, and which."""
    made, history = minds.basis(session), minds.history_of(session)
    if not history.observations:
        raise NoDataError("There is no observation yet. Add some, then ask again.")
    space = present(made.space, history, observed=body.observed)
    made = Basis(space, with_goal(made.objectives, body.goal), made.options)
    found = minds.ask(service, session, "suggesting:optimum", made, history=history)
    goal = next(one.goal for one in made.objectives if one.name == found["objective"])
    expected = found["expected"][found["objective"]]
    return {
        "optimum": found["parameters"],
        "predicted_value": expected["mean"],
        "predicted_std": expected["sd"],
        "goal": goal,
        "expected": found["expected"],
    }
