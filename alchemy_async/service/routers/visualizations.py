"""Visualizations: the numbers of figures that show a model, and how far to trust it.

In:    variables and a resolution; which objective.
Out:   grids, pairs, curves: plain numbers for any plotting program.
Never: draws, or lets a model judge a value that it has seen.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from alchemy_async.experiment import History
from alchemy_async.service.context import Service
from alchemy_async.service.models import minds
from alchemy_async.service.models.basis import Basis, as_run, objective_named, present, trained
from alchemy_async.service.problems import InvalidError, NoModelError
from alchemy_async.service.routers.given import Body, Said, Scalar, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.routers.shapes import Whole
from alchemy_async.service.sessions.sessions import Session
from alchemy_async.service.staged import handouts
from alchemy_async.space import Categorical, Context, Fixed, Space, Value

router = APIRouter(tags=["visualizations"], prefix="/sessions/{session_id}/visualizations")

_REFUSED = refusals(400, 404, 409)
_MOST_SHOWN = 10_000  # measurements that are shown beside a plane, the newest
Calibrated = Annotated[
    bool, Query(description="Whether standard deviations are scaled so that the errors fit them on the whole.")
]
Target = Annotated[str | None, Query(max_length=64, description="Name of an objective; the first that is optimised.")]
Numbers = list[float]


class Plane(Body):
    """Which plane through the space is wanted."""

    x_var: str = Field(max_length=64, description="A numeric variable.", examples=["Temperature"])
    y_var: str = Field(max_length=64, description="Another one.", examples=["Pressure"])
    fixed_values: dict[str, Scalar] = Field(
        default_factory=dict,
        max_length=1000,
        description="Values of the others; without one, the middle or the first category.",
        examples=[{"Catalyst": "Pt"}],
    )
    grid_resolution: Whole = Field(default=50, ge=10, le=200, description="Points along each axis.")
    include_experiments: bool = True
    include_suggestions: bool = False


class PlaneSaid(Said):
    """What the model expects over a plane: a row for each value of ``y``, a column for each of ``x``."""

    x_var: str
    y_var: str
    x_grid: list[Numbers]
    y_grid: list[Numbers]
    predictions: list[Numbers]
    uncertainties: list[Numbers] = Field(description="Standard deviations of the noise-free values.")
    experiments: dict[str, Numbers] | None = Field(default=None, description="`x`, `y` and `output` of what is known.")
    suggestions: dict[str, Numbers] | None = Field(default=None, description="`x` and `y` of what was suggested.")
    x_bounds: Numbers
    y_bounds: Numbers
    colorbar_bounds: Numbers
    output_range: Numbers | None = None


class Parity(Said):
    """Each value beside what was predicted of it without itself, in the order of the dataset."""

    y_true: Numbers
    y_pred: Numbers
    y_std: Numbers
    metrics: dict[str, float]
    bounds: Numbers
    calibrated: bool


class Curve(Said):
    """How well models of the first results alone predict."""

    training_sizes: list[int]
    rmse: list[float | None]
    mae: list[float | None]
    r2: list[float | None]
    mape: list[float | None]


class Quantiles(Said):
    """The errors in standard deviations, ascending, beside those of the normal distribution."""

    theoretical_quantiles: Numbers
    sample_quantiles: Numbers
    z_mean: float
    z_std: float
    n_samples: int
    bounds: Numbers
    calibrated: bool


class Coverage(Said):
    """How many values lie within the intervals that should hold so many of them."""

    nominal_coverage: Numbers
    empirical_coverage: Numbers
    confidence_levels: list[str]
    nominal_probabilities: Numbers
    empirical_probabilities: Numbers
    n_samples: int
    calibrated: bool
    results_type: str


class Hyperparameters(Said):
    """What the model learnt."""

    hyperparameters: dict[str, Any]
    backend: str
    kernel: str
    input_transform: str | None = None
    output_transform: str | None = None
    calibration_enabled: bool = False
    calibration_factor: float | None = None


@router.post("/contour", response_model=PlaneSaid, responses=_REFUSED)
def get_contour(service: ServiceGiven, session: SessionGiven, body: Plane) -> dict[str, Any]:
    """Return what the model expects over a plane of two numeric variables."""
    made, history = minds.basis(session), minds.history_of(session)
    made = Basis(present(made.space, history), made.objectives, made.options)
    objective = objective_named(made.objectives, None)
    point = _middle(made.space, body)
    axes = (body.x_var, body.y_var)
    found = minds.ask(
        service, session, "modelling:plane", made, objective, axes, point, body.grid_resolution, history=history
    )
    xs, ys, means = found["x"], found["y"], [value for row in found["mean"] for value in row]
    outputs = [one.values[objective.name] for one in history.observations if objective.name in one.values]
    return {
        "x_var": body.x_var,
        "y_var": body.y_var,
        "x_grid": [xs] * len(ys),
        "y_grid": [[y] * len(xs) for y in ys],
        "predictions": found["mean"],
        "uncertainties": found["sd"],
        "experiments": _experiments(history, axes, objective.name) if body.include_experiments else None,
        "suggestions": _suggestions(service, session, made.space, history, axes) if body.include_suggestions else None,
        "x_bounds": [xs[0], xs[-1]],
        "y_bounds": [ys[0], ys[-1]],
        "colorbar_bounds": [min(means), max(means)],
        "output_range": [min(outputs), max(outputs)] if outputs else None,
    }


@router.post("/surface", response_model=PlaneSaid, responses=_REFUSED)
def get_surface(service: ServiceGiven, session: SessionGiven, body: Plane) -> dict[str, Any]:
    """Return what the model expects over a plane: the same numbers as /contour."""
    return get_contour(service, session, body)


def _middle(space: Space, body: Plane) -> dict[str, Value]:
    """Return the point that a plane goes through, or refuse the plane."""
    if body.x_var == body.y_var:
        raise InvalidError.at("y_var", what="is the same as x_var. Name another variable")
    for field, name in (("x_var", body.x_var), ("y_var", body.y_var)):
        found = next((one for one in space.parameters if one.name == name), None)
        if found is None:
            raise InvalidError.at(field, what=f"is no variable. The variables are {', '.join(space.names)}")
        if isinstance(found.of if isinstance(found, (Fixed, Context)) else found, Categorical):
            raise InvalidError.at(field, what="is categorical. A plane is of two numeric variables")
    middle = {}
    for parameter in space.parameters:
        bare = parameter.of if isinstance(parameter, (Fixed, Context)) else parameter
        is_held = isinstance(parameter, (Fixed, Context))
        middle[parameter.name] = parameter.from_unit(0.0 if isinstance(bare, Categorical) and not is_held else 0.5)
    (point,) = as_run(space, [{**middle, **body.fixed_values}], "fixed_values")
    return point


def _experiments(history: History, axes: tuple[str, str], objective: str) -> dict[str, list[float]]:
    shown = [one for one in history.observations if objective in one.values][-_MOST_SHOWN:]
    return {
        "x": [float(one.parameters[axes[0]]) for one in shown],
        "y": [float(one.parameters[axes[1]]) for one in shown],
        "output": [one.values[objective] for one in shown],
    }


def _suggestions(
    service: Service, session: Session, space: Space, history: History, axes: tuple[str, str]
) -> dict[str, list[float]]:
    with session.desk.look() as ledger:
        found = handouts.outstanding(ledger, space, history, service.clock.now())
    return {"x": [float(one.point[axes[0]]) for one in found], "y": [float(one.point[axes[1]]) for one in found]}


@router.get("/parity", response_model=Parity, responses=_REFUSED)
def get_parity(
    service: ServiceGiven, session: SessionGiven, use_calibrated: Calibrated = False, target: Target = None
) -> dict[str, Any]:
    """Return each value beside what was predicted of it without itself."""
    return _judge(service, session, "modelling:parity", target, use_calibrated)


@router.get("/metrics", response_model=Curve, responses=_REFUSED)
def get_learning_curve(
    service: ServiceGiven,
    session: SessionGiven,
    cv_splits: Annotated[  # noqa: ARG001 - a client may send it
        int, Query(ge=2, le=1000, description="Without effect: each value is left out once.")
    ] = 5,
) -> dict[str, Any]:
    """Return how well models of the first results alone predict; up to 24 sizes, the largest 200."""
    made = minds.basis(session)
    found: dict[str, Any] = minds.ask(service, session, "modelling:curve", made, objective_named(made.objectives, None))
    return found


@router.get("/qq-plot", response_model=Quantiles, responses=_REFUSED)
def get_quantiles(
    service: ServiceGiven, session: SessionGiven, use_calibrated: Calibrated = False, target: Target = None
) -> dict[str, Any]:
    """Return the errors in standard deviations beside those of the normal distribution."""
    return _judge(service, session, "modelling:quantiles", target, use_calibrated)


@router.get("/calibration-curve", response_model=Coverage, responses=_REFUSED)
def get_calibration_curve(
    service: ServiceGiven, session: SessionGiven, use_calibrated: Calibrated = False, target: Target = None
) -> dict[str, Any]:
    """Return how many values lie within the intervals that should hold 10 % ... 95 % of them."""
    return _judge(service, session, "modelling:coverage", target, use_calibrated)


def _judge(service: Service, session: Session, job: str, target: str | None, calibrated: bool) -> dict[str, Any]:
    made = minds.basis(session)
    found: dict[str, Any] = minds.ask(service, session, job, made, objective_named(made.objectives, target), calibrated)
    return found


@router.get("/hyperparameters", response_model=Hyperparameters, responses=_REFUSED)
def get_hyperparameters(service: ServiceGiven, session: SessionGiven) -> dict[str, Any]:
    """Return what the model learns from all results."""
    made = minds.basis(session)
    found = minds.ask(service, session, "modelling:train", made, objective_named(made.objectives, None))
    if found["why"]:
        raise NoModelError(found["why"])
    with session.desk.look() as ledger:
        kept = trained(ledger)
    return {
        "hyperparameters": found["hyperparameters"],
        "backend": kept.get("backend", minds.BACKENDS[0]),
        "kernel": found["kernel"],
        "input_transform": "normalize",
        "output_transform": "standardize",
        "calibration_enabled": bool(kept.get("training_config", {}).get("calibration_enabled", False)),
        "calibration_factor": found["calibration"],
    }
