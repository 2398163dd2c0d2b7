"""The summit: the point where the model expects the best value, limits kept.

In:    a model of each objective, what was observed.
Out:   the recommended point: an observed one, unless another is clearly expected to be better.
Never: counts doubt in a point's favour, as an acquisition does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from alchemy_async.experiment import Observed
from alchemy_async.planner.climbing import climb
from alchemy_async.planner.constrained import ConstrainedClimb
from alchemy_async.planner.criteria import Prediction
from alchemy_async.planner.designs import listing, spread
from alchemy_async.planner.gp import Mask, solve
from alchemy_async.planner.insight.fitting import Fitted
from alchemy_async.planner.insight.records import Recommended
from alchemy_async.planner.levels import aim_of
from alchemy_async.planner.possible import as_points, held_back
from alchemy_async.planner.search import MOST_STEPS, score
from alchemy_async.space import MAX_LISTED, Array, Categorical, Fixed, Space, Value

_PENALTY = 10.0  # of a breach of a limit, against as much of what is to be optimised
_SURE = 1.2816  # standard deviations: nine chances in ten that one point is better than another
_WORTH = 0.01  # of the spread of all values: less is no reason to leave a point that was measured
_N_WIDE, _N_AROUND, _N_CLIMBED = 512, 16, 8
_ROUNDS = 4
_STEP = 1e-6


class Height:
    """How good the predicted means are, in standard deviations of the values: larger is better.

    A limit that the means break costs ten times what it is broken by.

    Args:
        models: One of each objective.
    """

    def __init__(self, models: Sequence[Fitted]) -> None:
        self._models = models
        self._weights = [solve(m.process.factor, m.process.whitened[:, None], transposed=True)[:, 0] for m in models]

    def __call__(self, x: Array) -> Array:
        """Return the height of each point, shape ``(q,)``, at unit-cube coordinates, shape ``(q, d)``."""
        return self.with_gradient(x)[0]

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return heights, shape ``(q,)``, and gradients, shape ``(q, d)``; 0 in categorical coordinates."""
        height, gradient = np.zeros(len(x)), np.zeros(x.shape)
        for model, weights in zip(self._models, self._weights, strict=True):
            process, worth = model.process, _worth(model)
            covariance = process.kernel(x, process.x)
            mean = process.mean + covariance @ weights
            pull = process.kernel.pull(x, process.x, covariance, np.broadcast_to(weights, covariance.shape))
            height += worth(mean)
            slope = (worth(mean + _STEP) - worth(mean - _STEP)) / (2.0 * _STEP)
            gradient += slope[:, None] * pull
        return height, gradient


def _worth(model: Fitted) -> Callable[[Array], Array]:
    """Return how good standardised means are, in the same units."""
    objective, data = model.objective, model.data

    def worth(means: Array) -> Array:
        values = data.centre + data.sign * data.scale * means
        return (
            np.array([objective.score(float(v)) - _PENALTY * objective.breach(float(v)) for v in values]) / data.scale
        )

    return worth


def is_clearly_higher(models: Sequence[Fitted], a: Array, b: Array) -> bool:
    """Tell whether one point is expected to be better than another, by enough and with little doubt.

    Args:
        models: One of each objective.
        a: Unit-cube coordinates, shape ``(d,)``.
        b: The same of the other.
    """
    pair = np.vstack([a, b])
    gain = float(np.subtract(*Height(models)(pair)))
    (aim,) = (model for model in models if model.objective.is_optimised)
    _, covariance = aim.process.covariance(pair)
    doubt = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1], 0.0)))
    return gain > max(_SURE * doubt, _WORTH * float(np.ptp(aim.process.y)))


def recommend(
    space: Space, models: Sequence[Fitted], observations: Sequence[Observed], names: Sequence[str]
) -> Recommended:
    """Return the point that is expected to be best, of one objective to be optimised, at the newest readings.

    Args:
        space: The search space; where it has a fidelity, held at its target.
        models: One of each objective.
        observations: What was measured, with the first value of what is optimised at least once.
        names: What each is called; empty: they have no names.
    """
    (aim,) = (model.objective.name for model in models if model.objective.is_optimised)
    height = Height(models)
    space = space.given(observations[-1].parameters)
    measured = [i for i, observed in enumerate(observations) if aim in observed.values]
    usable = [i for i in measured if _can_be_repeated(space, observations[i])]
    has_one = bool(usable) or space.fidelity is None  # a cheaper result is none of a point at the target
    usable = usable or measured
    at = space.to_unit([observations[i].parameters for i in usable])
    at[:, space.is_context] = space.to_unit([observations[-1].parameters])[0, space.is_context]
    project = aim_of(space)
    at = at if project is None else project(at)
    heights = score(height, at)
    order = np.argsort(-heights, kind="stable")
    found = _highest(space, height, np.clip(at[order[:_N_AROUND]], 0.0, 1.0))
    best = int(order[0])
    observed = observations[usable[best]]
    if found is None and not has_one:
        found = at[best]
    if found is not None and (not has_one or is_clearly_higher(models, found, at[best])):
        expected = _expected(models, found)
        return Recommended(space.from_unit(found)[0], expected, keeps_limits=_keeps_limits(models, expected))
    expected = _expected(models, at[best])
    return Recommended(
        observed.parameters,
        expected,
        experiment=names[usable[best]] if names else "",
        measured=dict(observed.values),
        keeps_limits=_keeps_limits(models, expected),
    )


def peak(
    space: Space, models: Sequence[Fitted], observations: Sequence[Observed]
) -> tuple[dict[str, Value], dict[str, Prediction]] | None:
    """Return the point where the means are highest, measured or not, and what is expected there.

    Args:
        space: The search space, with the readings that are to hold; a fidelity is taken at its target.
        models: One of each objective.
        observations: What was measured.

    Returns:
        None where no point meets all constraints.
    """
    space, height = space.at_target, Height(models)
    at = space.to_unit([observed.parameters for observed in observations])
    at[:, space.is_context] = space.to_unit(space.from_unit(at[:1]))[0, space.is_context]
    order = np.argsort(-score(height, at), kind="stable")
    found = _highest(space, height, np.clip(at[order[:_N_AROUND]], 0.0, 1.0))
    return None if found is None else (space.from_unit(found)[0], _expected(models, found))


def _can_be_repeated(space: Space, observed: Observed) -> bool:
    """Whether what is fixed by now had the same value then, and no rule forbids it by now."""
    point, fidelity = observed.parameters, space.fidelity
    fixed = (one for one in space.parameters if isinstance(one, Fixed) and (not fidelity or one.name != fidelity.name))
    is_same = all(parameter.fit(point[parameter.name]) is not None for parameter in fixed)
    return is_same and (fidelity is None or fidelity.counts(point)) and all(rule.is_met(point) for rule in space.rules)


def _expected(models: Sequence[Fitted], at: Array) -> dict[str, Prediction]:
    expected: dict[str, Prediction] = {}
    for model in models:
        mean, sd = model.predict(at[None])
        expected[model.objective.name] = Prediction(float(mean[0]), float(sd[0]))
    return expected


def _keeps_limits(models: Sequence[Fitted], expected: Mapping[str, Prediction]) -> bool:
    return not any(model.objective.breach(expected[model.objective.name].mean) for model in models)


def _highest(space: Space, height: Height, around: Array) -> Array | None:
    """Return the coordinates of the highest feasible point found, shape ``(d,)``; None if none was.

    Args:
        space: The search space.
        height: What to climb.
        around: Unit-cube coordinates of the best observed points, shape ``(k, d)``.
    """
    if space.n_points <= MAX_LISTED:
        _, coordinates = listing(space)
        return np.asarray(coordinates[int(np.argmax(score(height, coordinates)))])
    fixed = np.array([isinstance(p, Categorical) or p.n_values <= MOST_STEPS for p in space.parameters], dtype=bool)
    rows = space.to_unit(as_points(space, np.vstack([around, _wide(space)])))
    rows = rows[np.argsort(-score(height, rows), kind="stable")[:_N_CLIMBED]]
    best, reached = None, -np.inf
    for _ in range(_ROUNDS):
        rows = np.vstack([_slide(space, height, rows, ~fixed), rows])
        heights = score(height, rows)
        if not len(rows) or heights.max() <= reached:
            break
        best, reached = rows[int(np.argmax(heights))], float(heights.max())
        rows = _neighbours(space, best, fixed)
        rows = rows[np.argsort(-score(height, rows), kind="stable")[:_N_CLIMBED]]
    return best


def _slide(space: Space, height: Height, rows: Array, moving: Mask) -> Array:
    """Return the feasible points nearest to where others climb to along what is not discrete, shape ``(m, d)``."""
    if not moving.any() or not len(rows):
        return rows
    if space.constraints:
        climbed, _ = ConstrainedClimb(space, moving).climb(height.with_gradient, rows)
    else:
        climbed, _ = climb(height.with_gradient, rows, moving)
    if space.rules:
        climbed, _ = held_back(space, rows, climbed)
    return space.to_unit(as_points(space, climbed))


def _wide(space: Space) -> Array:
    if space.is_restricted:
        return spread(space, _N_WIDE // 4, 0)  # repairing a point takes a program of its own
    return np.random.default_rng(0).random((_N_WIDE, len(space.names)))  # a Sobol sequence would load scipy.stats


def _neighbours(space: Space, row: Array, fixed: Mask) -> Array:
    """Return every feasible point that differs in the value of one discrete parameter, shape ``(m, d)``."""
    (point,) = space.from_unit(row)
    others = [
        {**point, parameter.name: value}
        for parameter, is_fixed in zip(space.parameters, fixed, strict=True)
        if is_fixed
        for value in parameter.values()  # type: ignore[union-attr]  # a continuous one is never fixed
    ]
    return space.to_unit([other for other in others if other != point and space.is_feasible(other)])
