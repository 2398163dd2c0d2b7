"""Space-filling planners: they spread points evenly and learn nothing.

In:    history and pending points, to keep away from.
Out:   the next points of a Sobol sequence, or points at random.
Never: loads torch, or looks at a measured value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from alchemy_async.experiment import History, Objective, Suggestion
from alchemy_async.planner.designs import design
from alchemy_async.space import Point, Space


def seen(history: History, pending: Sequence[Point]) -> list[Point]:
    """Return every point that is not to be proposed again: observed, pending and refused."""
    observed = [observation.parameters for observation in history.observations]
    return [*observed, *pending, *(refused.parameters for refused in history.refused)]


class _SpaceFilling:
    method: ClassVar[str]
    reason: ClassVar[str]

    def __init__(self, space: Space, objectives: tuple[Objective, ...]) -> None:
        self._space = space
        self.objectives = objectives

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return up to ``n`` points that fill the space; fewer only where it has no more.

        Raises:
            PlannerError: If no point meets all constraints.
        """
        points = design(self._space, self.method, n, seed, avoid=seen(history, pending))
        return [Suggestion(point, reason=self.reason, metadata={"seed": seed}) for point in points]


class SobolPlanner(_SpaceFilling):
    """Goes along a scrambled Sobol sequence; asks with the same seed continue one sequence.

    Args:
        space: The search space.
        objectives: What is measured; several are welcome, none is looked at.
    """

    method = "sobol"
    reason = "the next point of a Sobol sequence"


class RandomPlanner(_SpaceFilling):
    """Draws every point uniformly at random.

    Args:
        space: The search space.
        objectives: What is measured; several are welcome, none is looked at.
    """

    method = "random"
    reason = "a point at random"
