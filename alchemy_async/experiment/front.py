"""The Pareto front: which measurements no other one beats in every objective, and how much they cover.

In:    objectives, and values measured.
Out:   which of them are on the front; the reference point; the hypervolume.
Never: weighs one objective against another, or needs numpy.

Source:
    Ishibuchi, Akedo & Nojima (2011), GECCO, 745-752, for the margin of the reference point;
    While, Bradstreet & Barone (2012), IEEE Trans. Evol. Comput. 16(1), 86-95, for the volume.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alchemy_async.experiment.goals import Objective, optimised

_MARGIN = 0.1  # of the range of all values, that the reference point lies below it: the planner's rule

Scores = tuple[float, ...]


def counts(outcome: Mapping[str, Any]) -> bool:
    """Tell whether an outcome, as the ledger gives it, is a measurement that the model uses."""
    return outcome["status"] == "completed" and outcome["role"] in ("result", "replicate")


@dataclass(frozen=True)
class Front:
    """The front of some measurements.

    Args:
        members: Which measurements are on it, ascending.
        reference: Of each objective the value that the hypervolume counts from, in its unit, by its name; of a
            target how far off. Empty where nothing is on the front.
        hypervolume: What the front covers beyond the reference, in the product of all units.
    """

    members: tuple[int, ...]
    reference: Mapping[str, float]
    hypervolume: float


def front(objectives: Sequence[Objective], measured: Sequence[Mapping[str, float]]) -> Front:
    """Return the front of measurements that have a value of every objective and keep all limits.

    Args:
        objectives: All that is measured.
        measured: Values of each measurement, by the names of the objectives.
    """
    wanted = optimised(objectives)
    counted = [i for i, values in enumerate(measured) if _counts(objectives, values)]
    scores = [tuple(one.score(measured[i][one.name]) for one in wanted) for i in counted]
    best = non_dominated(scores)
    if not best:
        return Front((), {}, 0.0)
    reference = _reference(wanted, scores)
    shown = {
        one.name: -value if one.goal == "target" else one.sign * value
        for one, value in zip(wanted, reference, strict=True)
    }
    return Front(tuple(counted[k] for k in best), shown, hypervolume([scores[k] for k in best], reference))


def non_dominated(scores: Sequence[Scores]) -> list[int]:
    """Return which scores no other one dominates, ascending; larger is better, and of equal ones all are kept.

    Args:
        scores: Of each point one for each objective.
    """
    order = sorted(range(len(scores)), key=lambda i: scores[i], reverse=True)
    kept: list[Scores] = []  # what dominates a point comes before it in this order
    found: list[int] = []
    for i in order:
        one = scores[i]
        if not any(other != one and all(map(operator.ge, other, one)) for other in kept):
            kept.append(one)
            found.append(i)
    return sorted(found)


def hypervolume(scores: Sequence[Scores], reference: Scores) -> float:
    """Return the volume that points dominate beyond a reference point; larger scores are better.

    Args:
        scores: Of each point one for each objective; dominated ones add nothing.
        reference: The reference point; a point not better than it in every objective adds nothing.
    """
    better = [one for one in scores if all(map(operator.gt, one, reference))]
    return _volume([tuple(s - r for s, r in zip(one, reference, strict=True)) for one in better])


def _volume(points: Sequence[Scores]) -> float:
    """Return the volume between points and the origin: what each adds to those that follow it."""
    points = sorted({points[i] for i in non_dominated(points)}, key=lambda one: one[::-1])
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return points[-1][0]
    if len(points[0]) == 2:  # the second value ascends, the first falls
        below = [0.0, *(one[1] for one in points)]
        return math.fsum(one[0] * (one[1] - floor) for one, floor in zip(points, below, strict=False))
    total = []
    for i, one in enumerate(points):  # all that follow reach as high in the last objective
        covered = [tuple(map(min, one[:-1], other[:-1])) for other in points[i + 1 :]]
        total.append(one[-1] * (math.prod(one[:-1]) - _volume(covered)))
    return math.fsum(total)


def _counts(objectives: Sequence[Objective], values: Mapping[str, float]) -> bool:
    """Tell whether a measurement has every value and keeps all limits."""
    return all(one.name in values and not one.breach(values[one.name]) for one in objectives)


def _reference(wanted: Sequence[Objective], scores: Sequence[Scores]) -> Scores:
    """Return the scores that are just not worth anything: as given, or a little below the worst of all."""
    reference = []
    for one, column in zip(wanted, zip(*scores, strict=True), strict=True):
        inferred = min(column) - _MARGIN * (max(column) - min(column))
        reference.append(inferred if one.reference is None else one.score(one.reference))
    return tuple(reference)
