"""Model: train it, see what it learnt, ask it.

In:    what the model is to be called, and which kernel it is to have.
Out:   hyperparameters, how well it predicts, predictions.
Never: keeps a model that has not seen the newest result.

There is one model here, a Gaussian process in closed form over the unit cube; `sklearn` and `botorch` both name it. It
is fitted to all results whenever it is asked, so a training sets its kernel, and says how well it predicts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from alchemy_async.service.models import minds
from alchemy_async.service.models.basis import as_run, present, trained
from alchemy_async.service.problems import InvalidError, NoDataError, NoModelError
from alchemy_async.service.routers.given import Body, Said, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.routers.shapes import Inputs

router = APIRouter(tags=["model"], prefix="/sessions/{session_id}/model")

MOST_POINTS = 10_000
_SCALINGS = ("none", "normalize", "minmax", "standard", "standardize", "robust")
_OPTIMIZERS = ("cg", "bfgs", "l-bfgs-b", "tnc")


def _canonical(value: object) -> object:
    return {"matern": "Matern", "rbf": "RBF"}.get(value.lower(), value) if isinstance(value, str) else value


Kernel = Annotated[
    Literal["Matern", "RBF"],
    BeforeValidator(_canonical, json_schema_input_type=str),
    Field(description="`Matern` (5/2) for rougher functions, `RBF` for smooth ones; in any case."),
]


class Train(Body):
    """How the model is to be."""

    backend: Literal["sklearn", "botorch"] = Field(
        default="sklearn", description="What the model is called; it is the same one.", examples=["botorch"]
    )
    kernel: Kernel = Field(default="Matern", examples=["Matern"])
    kernel_params: dict[str, Any] | None = Field(
        default=None, description="`nu` of Matern, which is 2.5 here.", examples=[{"nu": 2.5}], max_length=10
    )
    input_transform: str | None = Field(
        default=None, max_length=40, description=f"One of {', '.join(_SCALINGS)}: inputs are scaled to 0 ... 1 anyway."
    )
    output_transform: str | None = Field(
        default=None, max_length=40, description=f"One of {', '.join(_SCALINGS)}: outputs are standardised anyway."
    )
    calibration_enabled: bool = Field(
        default=False, description="Kept with the model; `use_calibrated` of the visualisations applies it."
    )
    optimizer: str | None = Field(
        default=None, max_length=40, description="One of CG, BFGS, L-BFGS-B, TNC; L-BFGS-B is what is used."
    )


class TrainedModel(Said):
    """What the model learnt."""

    success: bool = Field(description="Whether there is a model.")
    backend: str
    kernel: str
    hyperparameters: dict[str, Any] = Field(examples=[{"kernel_type": "Matern", "nu": 2.5, "noise": 0.01}])
    metrics: dict[str, float] = Field(
        description="Leave-one-out: rmse, mae, r2, and mape in percent; empty below five results.",
        examples=[{"rmse": 0.12, "mae": 0.09, "r2": 0.91}],
    )
    message: str = Field(description="That it was trained, or why not.")


class ModelSaid(Said):
    """The model that was trained last; all null before the first."""

    backend: str | None = None
    hyperparameters: dict[str, Any] | None = None
    metrics: dict[str, float] | None = None
    is_trained: bool
    training_config: dict[str, Any] | None = None


class Predict(Body):
    """Points that are to be predicted."""

    inputs: Annotated[list[Inputs], Field(min_length=1, max_length=MOST_POINTS)]


class Predicted(Said):
    """What is expected at one point."""

    inputs: dict[str, Any]
    prediction: float = Field(description="Of the first objective that is optimised.")
    uncertainty: float = Field(description="Standard deviation of the noise-free value.")


class Predictions(Said):
    """What is expected, in the order of the inputs."""

    predictions: list[Predicted]
    n_predictions: int


@router.post("/train", response_model=TrainedModel, responses=refusals(400, 404, 409))
def train_model(service: ServiceGiven, session: SessionGiven, body: Train) -> dict[str, Any]:
    """Train the model, and say how well it predicts; `success` is false where the results can't teach one yet."""
    _check(body)
    session.desk.study.checked  # noqa: B018 - refuses where there is no variable
    if not minds.history_of(session).observations:
        raise NoDataError("There is no observation yet. Add experiments first.")
    config = body.model_dump(exclude={"backend", "kernel"})
    found = minds.train(service, session, body.backend, body.kernel, least=2, config=config)
    return {
        "success": found.model_trained,
        "backend": found.backend,
        "kernel": found.kernel,
        "hyperparameters": dict(found.hyperparameters),
        "metrics": dict(found.figures),
        "message": found.message,
        "importance": dict(found.importance),
    }


def _check(body: Train) -> None:
    """Refuse what the model does not have, rather than to leave it out without a word."""
    for name, value in (body.kernel_params or {}).items():
        if name != "nu" or body.kernel != "Matern" or value != 2.5:
            raise InvalidError.at(
                "kernel_params", name[:60], what="can't be set. There is `nu`, which is 2.5, of Matern"
            )
    for name, value in (("input_transform", body.input_transform), ("output_transform", body.output_transform)):
        if value is not None and value.lower() not in _SCALINGS:
            raise InvalidError.at(name, what=f"is none of {', '.join(_SCALINGS)}")
    if body.optimizer is not None and body.optimizer.lower() not in _OPTIMIZERS:
        raise InvalidError.at("optimizer", what=f"is none of {', '.join(_OPTIMIZERS)}")


@router.get("", response_model=ModelSaid, responses=refusals(404, 409))
def get_model(session: SessionGiven) -> dict[str, Any]:
    """Return what the model that was trained last had learnt."""
    with session.desk.look() as ledger:
        found = trained(ledger)
    if not found:
        return {"is_trained": False}
    shown = ("backend", "kernel", "hyperparameters", "metrics", "training_config", "n_observations", "trained_at",
             "importance")  # fmt: skip
    return {"is_trained": True, **{key: found.get(key) for key in shown}}


@router.post("/predict", response_model=Predictions, responses=refusals(400, 404, 409))
def predict(service: ServiceGiven, session: SessionGiven, body: Predict) -> dict[str, Any]:
    """Return what the model expects of points; numbers may lie outside the bounds."""
    made = minds.basis(session)
    history = minds.history_of(session)
    points = as_run(present(made.space, history), body.inputs, "inputs")
    found = minds.ask(service, session, "modelling:predict", made, points, history=history)
    aim = next((one.name for one in made.objectives if one.is_optimised and one.name in found[0]), None)
    if aim is None:
        raise NoModelError("There is no model of what is optimised yet. Add observations.")
    return {
        "predictions": [
            {"inputs": inputs, "prediction": one[aim]["mean"], "uncertainty": one[aim]["sd"], "expected": one}
            for inputs, one in zip(body.inputs, found, strict=True)
        ],
        "n_predictions": len(found),
    }
