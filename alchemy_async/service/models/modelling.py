"""Modelling: the jobs that fit a model and say how far to trust it, done in a process beside the server.

In:    a history, what the model is made of, points.
Out:   plain values: hyperparameters, predictions, and how each value would have been predicted without itself.
Never: keeps anything between two jobs, or lets a value judge a model that has seen it.

How well a model predicts is told by leave-one-out: each value against what the others say of it, under the
hyperparameters of all. Of a long history 400 results are looked at, the best among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective
from alchemy_async.planner.criteria import Modelled
from alchemy_async.planner.gp import NotPositiveDefiniteError
from alchemy_async.planner.insight.fitting import Fitted, fitted, subset
from alchemy_async.planner.learning import modelled
from alchemy_async.planner.training import training
from alchemy_async.service.models.basis import Basis
from alchemy_async.service.models.suggesting import why_no_model
from alchemy_async.service.problems import NoModelError
from alchemy_async.space import Array, Context, Fixed, Point

LEAST = 5  # results, before it is told how well a model predicts
MOST_SIZES = 24  # of a learning curve: each is a fit of its own
_LARGEST_SIZE = 200
_LEAST_SHARE = 1e-9  # of the largest value: a percentage of less means nothing
_MOST_DEVIATIONS = 1e6
_FARTHEST = 1e4  # sides of the cube: nothing is known there, and squares of more would overflow
_LEVEL = "±{:.2f}\N{GREEK SMALL LETTER SIGMA} ({:.0%})"
_LEVELS = tuple(round(0.05 * k, 2) for k in range(2, 20))

Metrics = dict[str, float]


def train(history: History, basis: Basis, objective: Objective) -> dict[str, Any]:
    """Return what a model learnt.

    Returns:
        ``why``: why there is none, or empty; else also ``kernel``, ``hyperparameters``, ``metrics``, ``n_used``,
        ``importance`` of each variable, and the ``calibration`` factor.
    """
    try:
        model, n_used = _short(history, basis, objective)
    except NoModelError as error:
        return {"why": str(error)}
    true, mean, sd = _without_themselves(model)
    is_told = len(true) >= LEAST
    return {
        "why": "",
        "kernel": kernel_name(model),
        "hyperparameters": _hyperparameters(model),
        "metrics": metrics(true, mean) if is_told else {},
        "calibration": _calibration(true, mean, sd) if is_told else None,
        "importance": dict(model.quality.importance),
        "n_used": n_used,
    }


def kernel_name(model: Fitted) -> str:
    """Return what a model's kernel is called by clients."""
    return "Matern" if model.process.kernel.is_rough else "RBF"


def _short(history: History, basis: Basis, objective: Objective) -> tuple[Fitted, int]:
    """Return a model of at most 400 results, and how many it has.

    Raises:
        NoModelError: If none is possible.
    """
    rows = subset(history, basis.objectives)
    short = History(tuple(history.observations[i] for i in rows), history.refused)
    data = training(basis.space, objective, short)
    if data is None:
        raise NoModelError(why_no_model(history, objective))
    try:
        return fitted(basis.space, objective, data, basis.noise_of(objective), basis.kernel), len(data.y)
    except (NotPositiveDefiniteError, ArithmeticError, np.linalg.LinAlgError):
        raise NoModelError(
            f"No model of {objective.name} can be fitted. Look for the same point with very different values."
        ) from None


def _hyperparameters(model: Fitted) -> dict[str, Any]:
    process, data = model.process, model.data
    return {
        "kernel_type": kernel_name(model),
        "nu": 2.5 if process.kernel.is_rough else None,
        "lengthscale": [float(length) for length in process.kernel.lengths],
        "lengthscales": dict(model.quality.lengths),
        "outputscale": _finite(data.scale * data.scale),
        "mean": _finite(data.centre + data.sign * data.scale * process.mean),
        "noise": _finite(float(np.mean(process.variances)) * data.scale * data.scale),
        "input_transform": "Normalize",
        "outcome_transform": "Standardize",
    }


def _without_themselves(model: Fitted) -> tuple[Array, Array, Array]:
    """Return values, what was predicted of each without itself, and its standard deviation, in the order they came."""
    process, data = model.process, model.data
    mean, variance = process.leave_one_out()
    order = np.argsort(data.came, kind="stable")
    units = data.centre + data.sign * data.scale * np.column_stack([process.y, mean])[order]
    units = np.nan_to_num(units)
    return units[:, 0], units[:, 1], np.nan_to_num(data.scale * np.sqrt(variance)[order])


def metrics(true: Array, predicted: Array) -> Metrics:
    """Return rmse and mae in the objective's unit, r2, and mape in percent where no value is 0; shapes ``(n,)``."""
    errors, spread = true - predicted, true - true.mean()
    found = {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
    total = float(spread @ spread)
    if total > 0.0:
        found["r2"] = 1.0 - float(errors @ errors) / total
    least, largest = float(np.abs(true).min()), float(np.abs(true).max())
    if least > _LEAST_SHARE * largest:
        found["mape"] = 100.0 * float(np.mean(np.abs(errors / true)))
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _calibration(true: Array, mean: Array, sd: Array) -> float:
    """Return the factor by which standard deviations are too small."""
    return float(np.sqrt(np.mean(_in_deviations(true, mean, sd) ** 2)))


def _in_deviations(true: Array, mean: Array, sd: Array) -> Array:
    """Return errors in standard deviations, shape ``(n,)``; a million of them is as far as any."""
    return np.clip((true / sd - mean / sd), -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def _finite(value: float) -> float:
    """Return a number that JSON can hold: values near the largest have squares that are none."""
    return float(np.nan_to_num(value))


def predict(history: History, basis: Basis, points: Sequence[Point]) -> list[dict[str, dict[str, float]]]:
    """Return mean and standard deviation of each objective that has a model, at each point.

    Raises:
        NoModelError: If no objective has one.
    """
    models = _whole(history, basis)
    x = np.clip(basis.space.to_unit(points), -_FARTHEST, _FARTHEST)
    columns = {model.objective.name: model.predict(x) for model in models}
    return [
        {name: {"mean": found[i].mean, "sd": found[i].sd} for name, found in columns.items()}
        for i in range(len(points))
    ]


def _whole(history: History, basis: Basis) -> list[Modelled]:
    """Return models of all results, as suggestions are made with."""
    found = []
    for objective in basis.objectives:
        data = training(basis.space, objective, history)
        if data is not None:
            process = modelled(basis.space, data, basis.noise_of(objective), kernel=basis.kernel)
            found.append(Modelled(objective, data, process))
    if not found:
        raise NoModelError(why_no_model(history, basis.objectives[0]))
    return found


def plane(
    history: History, basis: Basis, objective: Objective, axes: tuple[str, str], fixed: Point, resolution: int
) -> dict[str, Any]:
    """Return predictions over a grid of two variables.

    Args:
        history: What is known.
        basis: What the model is made of.
        objective: Of which the predictions are.
        axes: The two variables.
        fixed: A value for every variable; those of the two do not count.
        resolution: Points along each axis.

    Returns:
        ``x`` and ``y``, the values along the axes; ``mean`` and ``sd``, a row for each value of ``y``.

    Raises:
        NoModelError: If no model is possible.
    """
    data = training(basis.space, objective, history)
    if data is None:
        raise NoModelError(why_no_model(history, objective))
    process = modelled(basis.space, data, basis.noise_of(objective), kernel=basis.kernel)
    along = np.linspace(0.0, 1.0, resolution)
    i, j = (basis.space.names.index(name) for name in axes)
    grid = np.tile(basis.space.to_unit([fixed]), (resolution * resolution, 1))
    grid[:, j], grid[:, i] = (one.ravel() for one in np.meshgrid(along, along, indexing="ij"))
    mean, variance = process.predict(grid)
    shape = (resolution, resolution)
    return {
        "x": [_value(basis, i, u) for u in along],
        "y": [_value(basis, j, u) for u in along],
        "mean": np.nan_to_num(data.centre + data.sign * data.scale * mean).reshape(shape).tolist(),
        "sd": np.nan_to_num(data.scale * np.sqrt(variance)).reshape(shape).tolist(),
    }


def _value(basis: Basis, i: int, u: float) -> float:
    """Return the number at a coordinate of a numeric variable, between the values that it has if need be."""
    parameter = basis.space.parameters[i]
    bare: Any = parameter.of if isinstance(parameter, (Fixed, Context)) else parameter
    options = getattr(bare, "options", None)
    low, high = (options[0], options[-1]) if options else (bare.low, bare.high)
    return float(low * (high / low) ** u if getattr(bare, "log", False) else low + u * (high - low))


def parity(history: History, basis: Basis, objective: Objective, calibrated: bool) -> dict[str, Any]:
    """Return each value beside what was predicted of it without itself."""
    true, mean, sd = _judged(history, basis, objective)
    ends = [float(min(true.min(), mean.min())), float(max(true.max(), mean.max()))]
    factor = _calibration(true, mean, sd) if calibrated else 1.0
    return {
        "y_true": true.tolist(),
        "y_pred": mean.tolist(),
        "y_std": np.nan_to_num(factor * sd).tolist(),
        "metrics": metrics(true, mean),
        "bounds": ends,
        "calibrated": calibrated,
    }


def quantiles(history: History, basis: Basis, objective: Objective, calibrated: bool) -> dict[str, Any]:
    """Return the errors in standard deviations, ascending, beside those of the normal distribution.

    Source:
        Blom (1958) for the plotting positions.
    """
    z = np.sort(_scores(history, basis, objective, calibrated))
    wanted = ndtri((np.arange(1, len(z) + 1) - 0.375) / (len(z) + 0.25))
    ends = [float(min(z.min(), wanted.min())), float(max(z.max(), wanted.max()))]
    return {
        "theoretical_quantiles": wanted.tolist(),
        "sample_quantiles": z.tolist(),
        "z_mean": float(z.mean()),
        "z_std": float(z.std(ddof=1)),
        "n_samples": len(z),
        "bounds": ends,
        "calibrated": calibrated,
    }


def coverage(history: History, basis: Basis, objective: Objective, calibrated: bool) -> dict[str, Any]:
    """Return how many values lie within the intervals that should hold 10 % ... 95 % of them."""
    z = np.abs(_scores(history, basis, objective, calibrated))
    widths = [float(ndtri(0.5 * (1.0 + level))) for level in _LEVELS]
    inside = [float(np.mean(z <= width)) for width in widths]
    return {
        "nominal_coverage": list(_LEVELS),
        "empirical_coverage": inside,
        "confidence_levels": [_LEVEL.format(width, level) for width, level in zip(widths, _LEVELS, strict=True)],
        "nominal_probabilities": list(_LEVELS),
        "empirical_probabilities": inside,
        "n_samples": len(z),
        "calibrated": calibrated,
        "results_type": "calibrated" if calibrated else "uncalibrated",
    }


def _scores(history: History, basis: Basis, objective: Objective, calibrated: bool) -> Array:
    true, mean, sd = _judged(history, basis, objective)
    factor = _calibration(true, mean, sd) if calibrated else 1.0
    return _in_deviations(true, mean, sd) / (factor or 1.0)


def _judged(history: History, basis: Basis, objective: Objective) -> tuple[Array, Array, Array]:
    n = sum(objective.name in one.values for one in history.observations)
    if n < LEAST:
        raise NoModelError(
            f"It takes {LEAST} results to say how well a model predicts, and there are {n}. Add observations."
        )
    return _without_themselves(_short(history, basis, objective)[0])


def curve(history: History, basis: Basis, objective: Objective) -> dict[str, list[Any]]:
    """Return how well models of the first results alone predict, from 5 of them to all (or 200), in up to 24 steps."""
    found = [one for one in history.observations if objective.name in one.values]
    most = min(len(found), _LARGEST_SIZE)
    n_sizes = max(min(most - LEAST + 1, MOST_SIZES), 0)
    sizes = sorted({round(size) for size in np.linspace(LEAST, most, n_sizes)})
    told: list[Mapping[str, float]] = []
    for size in sizes:
        try:
            model, _ = _short(History(tuple(found[:size])), basis, objective)
        except (NoModelError, PlannerError):
            told.append({})
            continue
        told.append(metrics(*_without_themselves(model)[:2]))
    names = ("rmse", "mae", "r2", "mape")
    return {"training_sizes": sizes, **{name: [one.get(name) for one in told] for name in names}}
