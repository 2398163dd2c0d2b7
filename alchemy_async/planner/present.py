"""The present: a space with readings that nobody chooses, as it reads now.

In:    a way to make a planner for a space; a history, whose newest parameters as run tell the readings.
Out:   what that planner suggests for the space as it reads now.
Never: guesses how a reading goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alchemy_async.experiment import History, Suggestion
from alchemy_async.planner import Planner
from alchemy_async.space import Context, Point, Space, Value

Make = Callable[[Space], Planner]


class PresentPlanner:
    """Asks a planner that is made anew for the readings of the newest observation.

    Args:
        make: Makes a planner for a space.
        space: A space with context parameters.

    Raises:
        PlannerError: If no planner can be made for the space.
    """

    def __init__(self, make: Make, space: Space) -> None:
        self._make, self._space = make, space
        self._first = make(space)

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return what the planner suggests; its points have the newest readings, and the middle before the first."""
        return self._make(self._space.given(readings(self._space, history))).ask(history, pending, n, seed)

    def warm_up(self) -> None:
        """Let the planner load what it needs."""
        warm_up: Callable[[], None] = getattr(self._first, "warm_up", lambda: None)
        warm_up()


def readings(space: Space, history: History) -> dict[str, Value]:
    """Return the newest reading of each context parameter, by name; none before the first observation."""
    if not history.observations:
        return {}
    newest = history.observations[-1].parameters
    return {p.name: newest[p.name] for p in space.parameters if isinstance(p, Context)}
