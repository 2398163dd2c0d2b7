"""Insight: what a history has taught, and how far to trust it.

In:    space, objectives and history, as a planner is asked with them.
Out:   the recommended point, how well the model predicts, which parameters matter, warnings.
Never: chooses the next experiment, or loads torch.

    records     what is told
    fitting     one model of each objective, and what each says of itself
    summit      the point that is expected to be best
    notices     what a person should know of
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from numpy.linalg import LinAlgError

from alchemy_async.experiment import History, Objective
from alchemy_async.experiment.goals import optimised
from alchemy_async.planner.insight import notices
from alchemy_async.planner.insight.fitting import Fitted, Noise, fitted, subset
from alchemy_async.planner.insight.records import Insight, Notice, Quality, Recommended
from alchemy_async.planner.insight.summit import recommend
from alchemy_async.planner.training import training
from alchemy_async.space import Space

__all__ = ["LEAST", "Insight", "Notice", "Quality", "Recommended", "learn"]

LEAST = 5  # results of an objective, before a model says anything worth hearing


def learn(
    space: Space,
    objectives: tuple[Objective, ...],
    history: History,
    *,
    names: Sequence[str] = (),
    noise: Noise | Mapping[str, Noise] = "inferred",
) -> Insight:
    """Return what a history has taught.

    One point is recommended where there is one objective to optimise; limits that others set are
    kept. Where the space has a fidelity, the point is one at its target, and what is said of the best is of results
    there; the others are shown to the model only. Of a long history a model is shown a part: see `fitting.MOST`.

    Args:
        space: The search space.
        objectives: What is measured.
        history: All that is known, oldest first.
        names: What each observation is called, in their order; empty: they have no names.
        noise: As the planner takes it: ``inferred``, ``none``, or a standard deviation in the objective's unit;
            a mapping gives each objective, by its name, its own.
    """
    n = len(history.observations)
    if few := notices.too_few(objectives, history, LEAST):
        return Insight(n, 0, notices=(few,))
    shown = subset(history, objectives, space.fidelity)
    short = History(tuple(history.observations[i] for i in shown), history.refused)
    models, told = _fit(space, objectives, short, noise)
    told += [notices.some_sems(objective, history, _own(noise, objective)) for objective in objectives]
    aims = [model for model in models if model.objective.is_optimised]
    best = None
    if len(aims) == len(optimised(objectives)) == 1:
        aim = space.at_target
        best = recommend(aim, models, short.observations, [names[i] for i in shown] if names else ())
        if any(one is not None and one.kind == "all_equal" for one in told):  # then of a limit, and it is broken
            best = dataclasses.replace(best, keeps_limits=False)
        told += [*notices.at_bounds(aim, models, best), notices.stalled(space, objectives, history, names)]
    n_used = len(shown) if models else 0
    return Insight(n, n_used, best, tuple(model.quality for model in models), tuple(one for one in told if one))


def _fit(
    space: Space, objectives: tuple[Objective, ...], history: History, noise: Noise | Mapping[str, Noise]
) -> tuple[list[Fitted], list[Notice | None]]:
    """Return a model of each objective that can have one, and what is to be said of each."""
    models: list[Fitted] = []
    told: list[Notice | None] = []
    for objective in objectives:
        data = training(space, objective, history)
        if data is None:
            told.append(notices.all_equal(objective, history))
            continue
        try:
            models.append(fitted(space, objective, data, _own(noise, objective)))
        except (ArithmeticError, LinAlgError) as error:
            told.append(notices.no_model(objective, error))
            continue
        told.append(notices.noisy(models[-1]) or notices.blind(models[-1]))
    return models, told


def _own(noise: Noise | Mapping[str, Noise], objective: Objective) -> Noise:
    """Return what is known of the noise of one objective."""
    return noise.get(objective.name, "inferred") if isinstance(noise, Mapping) else noise
