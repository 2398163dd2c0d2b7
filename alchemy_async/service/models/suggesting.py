"""Suggesting: the jobs that choose points, done in a process beside the server.

In:    a history, space and objectives; what is pending, and what was handed out.
Out:   suggestions as plain values; the optimum that the model expects.
Never: keeps anything between two jobs, or reads a ledger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Suggestion, optimised
from alchemy_async.planner import Planner
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.insight.fitting import Fitted, fitted, subset
from alchemy_async.planner.insight.summit import peak
from alchemy_async.planner.space_filling import RandomPlanner, SobolPlanner
from alchemy_async.planner.training import training
from alchemy_async.service.models.basis import Basis
from alchemy_async.service.problems import NoModelError
from alchemy_async.space import Continuous, Point, Space

FILLING: dict[str, type[SobolPlanner] | type[RandomPlanner]] = {"sobol": SobolPlanner, "random": RandomPlanner}


def warm_up() -> None:
    """Take every step of a search for an optimum once."""
    space = Space((Continuous("x"), Continuous("y")))
    points = [{"x": 0.1 + 0.2 * i, "y": (0.37 * i) % 1.0} for i in range(5)]
    history = History(tuple(Observed(point, {"value": float(i % 3)}) for i, point in enumerate(points)))
    optimum(history, Basis(space, (Objective("value"),), {}))


def suggest(
    history: History,
    basis: Basis,
    filling: str,
    pending: Sequence[Point],
    handed_out: Sequence[Point],
    n: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return up to ``n`` points, the best first; what was handed out is repeated only where nothing else is left.

    Args:
        history: What is known.
        basis: What the model is made of.
        filling: ``sobol`` or ``random``: points without a model; empty: the bayesian planner's.
        pending: What is staged, running or interrupted.
        handed_out: What was suggested before and has not come back.
        n: How many, > 0.
        seed: The campaign's.

    Returns:
        For each ``parameters``, ``origin``, ``reason``, ``metadata`` and ``unknown``: the share of the variance of the
        values that is left there, 1 where nothing is known.

    Raises:
        PlannerError: If no point meets all constraints, or an option does not fit.
    """
    planner: Planner = (
        FILLING[filling](basis.space, basis.objectives)
        if filling
        else BayesianPlanner(basis.space, basis.objectives, **basis.options)
    )
    found = planner.ask(history, [*pending, *handed_out], n, seed)
    if len(found) < n and handed_out:
        taken = [*pending, *(one.parameters for one in found)]
        found = [*found, *planner.ask(history, taken, n - len(found), seed)]
    spreads = {one.name: _spread(one, history) for one in optimised(basis.objectives)}
    return [_plain(one, spreads) for one in found]


def _spread(objective: Objective, history: History) -> float:
    values = [one.values[objective.name] for one in history.observations if objective.name in one.values]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _plain(one: Suggestion, spreads: Mapping[str, float]) -> dict[str, Any]:
    expected = one.metadata.get("expected", {})
    known = {name: spread for name, spread in spreads.items() if spread > 0.0 and name in expected}
    shares = [min((expected[name]["sd"] / spread) ** 2, 1.0) for name, spread in known.items()]
    return {
        "parameters": dict(one.parameters),
        "origin": one.origin,
        "reason": one.reason,
        "metadata": dict(one.metadata),
        "unknown": max(shares) if shares else None,
    }


def optimum(history: History, basis: Basis) -> dict[str, Any]:
    """Return the point where the model expects the best, measured or not, and what it expects there.

    Raises:
        NoModelError: If no model is possible yet.
        PlannerError: If several objectives are to be optimised, or no point meets all constraints.
    """
    aims = optimised(basis.objectives)
    if len(aims) != 1:
        names = ", ".join(one.name for one in aims) or "none"
        raise PlannerError(
            f"To be optimised are: {names}. There is one optimum of one objective only. Give all others the goal limit."
        )
    short = History(tuple(history.observations[i] for i in subset(history, basis.objectives)), history.refused)
    models = [model for model in (_model(basis, one, short) for one in basis.objectives) if model is not None]
    if not any(model.objective == aims[0] for model in models):
        raise NoModelError(why_no_model(history, aims[0]))
    found = peak(basis.space, models, short.observations)
    if found is None:
        raise PlannerError(f"No point meets all constraints ({'; '.join(basis.space.limits)}). Loosen one.")
    point, expected = found
    told = {name: dataclasses.asdict(one) for name, one in expected.items()}
    return {"parameters": point, "expected": told, "objective": aims[0].name}


def _model(basis: Basis, objective: Objective, history: History) -> Fitted | None:
    data = training(basis.space, objective, history)
    if data is None:
        return None
    return fitted(basis.space, objective, data, basis.noise_of(objective), basis.kernel)


def why_no_model(history: History, objective: Objective) -> str:
    """Say why no model can tell one result from another."""
    found = [one for one in history.observations if objective.name in one.values]
    if len(found) < 2:
        n = "no result" if not found else "one result"
        return f"There is no model of {objective.name} yet: it takes two results, and there is {n}. Add observations."
    points = {tuple(sorted(one.parameters.items())) for one in found}
    if len(points) < 2:
        return f"There is no model of {objective.name} yet: all results are of one point. Measure another one."
    return f"There is no model of {objective.name} yet: all its values are equal. Look at what measures them."
