"""Several objectives: what a point is expected to add to the volume that the Pareto front covers.

In:    a model of each objective, what is pending, and what an experiment must meet beside.
Out:   a criterion; the reference point that the hypervolume counts from.
Never: weighs one objective against another.

Which points are on the front is uncertain: measurements are noisy, and pending points may turn out on it. So
joint values at all points that may be on it, pending ones among them, are drawn from each model, and under each
draw what a further point adds is a formula (`hypervolume`). The boxes that it sums over grow with the front and
with the number of objectives; there are fewer draws where there are many boxes.

Source:
    Daulton, Balandat & Bakshy (2021), NeurIPS 34, 2187-2200, for the criterion;
    Ishibuchi, Akedo & Nojima (2011), GECCO, 745-752, for the margin of the reference point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner.boxes import boxes, non_dominated
from alchemy_async.planner.chances import Conditions
from alchemy_async.planner.criteria import Acquisition, AtLeast, Modelled, Prediction, Sum
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.expected import N_DRAWS, Product, normal_draws
from alchemy_async.planner.gp import root
from alchemy_async.planner.hypervolume import Goal, HypervolumeImprovement
from alchemy_async.space import Array

_MOST_DRAWS, _LEAST_DRAWS = 32, 4
_MOST_BOXES = 2048  # of all draws together
_N_TRIALS = 64  # draws that show which observed points may be on the front
_MOST_TRIED = 128  # observed points that are tried: those that fewest others dominate
_MOST_KEPT = 64  # of these, lying apart; what is left out lies near one that is kept
_N_AROUND = 10  # points of the front that a search looks around
_MARGIN = 0.1  # of the observed range, that the reference point lies below it
_LIKELY = -0.7  # log chance of meeting the conditions, about one half
_STREAM = 1000  # of random numbers; conditions have the first ones
_NO_CONDITIONS = Conditions(())


class Hypervolume:
    """Several objectives, each to be made larger or smaller or brought near a value, where all conditions are met.

    Args:
        modelled: The objectives and their models, two or more; data of one may lack points that another has.
        seed: Seed of the draws.
        conditions: What an experiment must meet beside.

    Attributes:
        reference: Scores that are just not worth anything, standardised, shape ``(m,)``.
    """

    def __init__(self, modelled: Sequence[Modelled], seed: int, conditions: Conditions = _NO_CONDITIONS) -> None:
        self._modelled, self._seed, self._conditions = tuple(modelled), seed, conditions
        self._x, self._scores, self._sds = _at_the_data(modelled)
        self._chance = conditions.log_chance(self._x)
        is_likely = self._chance > _LIKELY
        counted = np.flatnonzero(is_likely if is_likely.any() else np.ones(len(self._x), dtype=bool))
        self._front = counted[front_rows(self._scores[counted])]
        self.reference = self._reference()
        self._kept = self._may_be_on_the_front()

    def acquisition(self, pending: Array) -> Acquisition:
        """Return the log noisy expected hypervolume improvement, given what is pending, shape ``(k, d)``."""
        points = np.vstack([self._x[self._kept], pending])
        draws = self._draws()
        drawn = [
            DrawnProcess(one.process, points, normal_draws(len(points), self._seed, _STREAM + j)[:, draws])
            for j, one in enumerate(self._modelled)
        ]
        values = np.stack([one.score(d.values.T) for one, d in zip(self._modelled, drawn, strict=True)], axis=2)
        factors, is_met = self._conditions.drawn(points, len(self._kept), self._seed)
        values = np.where(is_met[:, draws].T[:, :, None], values, -np.inf)
        goals = [Goal(d, _target(one)) for one, d in zip(self._modelled, drawn, strict=True)]
        improvement = HypervolumeImprovement(goals, boxes(values, self.reference))
        return Sum([AtLeast(improvement), Product(factors)]) if factors else improvement

    def around(self) -> Array:
        """Return points of the front that lie apart on it, by the models' means, shape ``(k, d)``."""
        return self._x[self._front[apart(self._scores[self._front], _N_AROUND)]]

    def predict(self, x: Array) -> list[dict[str, Prediction]]:
        """Return what is expected of each objective at each point, shape ``(q, d)``."""
        columns = [(one.objective.name, one.predict(x)) for one in self._modelled]
        return [{name: found[i] for name, found in columns} for i in range(len(x))]

    def _draws(self) -> NDArray[np.intp]:
        """Return which draws are used: fewer where the front has many boxes; each with its opposite."""
        n_boxes = len(boxes(self._scores[None, self._kept], self.reference).draw)
        half = int(np.clip(_MOST_BOXES // n_boxes, _LEAST_DRAWS, _MOST_DRAWS)) // 2
        return np.concatenate([np.arange(half), N_DRAWS // 2 + np.arange(half)])

    def _reference(self) -> Array:
        """Return the reference point: as given, or a little below the worst of all that was observed."""
        given = np.array([_given(one) for one in self._modelled])
        worst, spread = self._scores.min(axis=0), np.ptp(self._scores, axis=0)
        return np.where(np.isnan(given), worst - _MARGIN * spread, given)

    def _may_be_on_the_front(self) -> NDArray[np.intp]:
        """Return the observed points that are on the front in some draw, lying apart if they are many; never none."""
        hopes, fears = self._scores + 3.0 * self._sds, self._scores - 3.0 * self._sds
        surest = fears[self._front]
        is_hopeless = _n_above(surest, hopes) > 0
        depth = _n_above(self._scores[self._front], self._scores)
        order = np.lexsort([depth, is_hopeless])[:_MOST_TRIED]
        tried = np.sort(order[~is_hopeless[order]])
        rng = np.random.default_rng([self._seed, len(tried)])
        values = np.stack([self._trial(one, self._x[tried], rng) for one in self._modelled], axis=2)
        is_met = np.log(rng.random((_N_TRIALS, len(tried)))) <= self._chance[tried]
        is_on = np.any(non_dominated(np.where(is_met[:, :, None], values, -np.inf)) & is_met, axis=0)
        kept = tried[is_on] if is_on.any() else self._front
        return np.sort(kept[apart(self._scores[kept], _MOST_KEPT)])

    def _trial(self, one: Modelled, x: Array, rng: np.random.Generator) -> Array:
        """Return scores under some draws, shape ``(trials, n)``."""
        mean, covariance = one.process.covariance(x)
        return one.score(mean + rng.standard_normal((_N_TRIALS, len(x))) @ root(covariance).T)


def front_rows(scores: Array) -> NDArray[np.intp]:
    """Return which points no other one dominates, ascending; of equal points one.

    Args:
        scores: Shape ``(n, m)``, larger is better.
    """
    left = np.argsort(-scores.sum(axis=1), kind="stable")
    found: list[int] = []
    while len(left):  # the first of what is left is dominated by none of it
        found.append(int(left[0]))
        left = left[~np.all(scores[left] <= scores[left[0]], axis=1)]
    return np.sort(np.array(found, dtype=np.intp))


def apart(values: Array, most: int) -> NDArray[np.intp]:
    """Return which points to keep where there are too many: the best in each objective, then ever the farthest.

    Args:
        values: Shape ``(n, m)``.
        most: How many to keep at most, >= 1.
    """
    if len(values) <= most:
        return np.arange(len(values))
    scaled = (values - values.min(axis=0)) / np.maximum(np.ptp(values, axis=0), 1e-300)
    chosen = list(dict.fromkeys(int(i) for i in np.argmax(scaled, axis=0)))[:most]
    distances = np.min([np.sum((scaled - scaled[i]) ** 2, axis=1) for i in chosen], axis=0)
    while len(chosen) < most:
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.sum((scaled - scaled[chosen[-1]]) ** 2, axis=1))
    return np.array(chosen, dtype=np.intp)


def _at_the_data(modelled: Sequence[Modelled]) -> tuple[Array, Array, Array]:
    """Return all points that any objective was observed at, with what the models say there.

    Returns:
        Unit-cube coordinates, shape ``(n, d)``; scores of the posterior means, shape ``(n, m)``; and standard
        deviations, shape ``(n, m)``, no smaller than the models'.
    """
    x, place = np.unique(np.vstack([one.process.x for one in modelled]), axis=0, return_inverse=True)
    places = np.split(place.ravel(), np.cumsum([len(one.process.x) for one in modelled])[:-1])
    scores, sds = np.empty((len(x), len(modelled))), np.empty((len(x), len(modelled)))
    for j, (one, at) in enumerate(zip(modelled, places, strict=True)):
        means, variances = np.empty(len(x)), np.full(len(x), np.inf)
        means[at] = one.process.fitted()
        known = one.process.variances / (1.0 + one.process.variances)  # no posterior variance is larger
        np.minimum.at(variances, at, known)
        others = np.flatnonzero(np.isinf(variances))
        if len(others):
            means[others], variances[others] = one.process.predict(x[others])
        scores[:, j], sds[:, j] = one.score(means), np.sqrt(variances)
    return x, scores, sds


def _n_above(others: Array, scores: Array) -> NDArray[np.intp]:
    """Return how many of the others are better in every objective, for each point, shape ``(n,)``."""
    counts = np.zeros(len(scores), dtype=np.intp)
    for other in others:
        counts += np.all(other > scores, axis=1)
    return counts


def _given(one: Modelled) -> float:
    """Return the reference that the campaign gives, standardised; NaN where it gives none."""
    reference = one.objective.reference
    return float("nan") if reference is None else float(one.score(np.array(one.data.standardised(reference))))


def _target(one: Modelled) -> float | None:
    return one.target() if one.objective.goal == "target" else None
