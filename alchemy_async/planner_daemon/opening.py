"""The opening: which points are measured before there is a model.

In:    the settings of the initial design, and a seed.
Out:   the design, once; space-filling points for workers that would otherwise be idle.
Never: waits for results.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from alchemy_async.config import CampaignSettings
from alchemy_async.experiment import History, Suggestion
from alchemy_async.planner import Planner
from alchemy_async.planner_daemon.sharing import PER_WORKER
from alchemy_async.space import Point, Space, Value


def derived_seed(seed: int, *parts: object) -> int:
    """Return a seed that depends on nothing but its arguments, 0 to 2^31 - 1."""
    return zlib.crc32("/".join(str(part) for part in (seed, *parts)).encode()) & 0x7FFFFFFF


def initial_design(settings: CampaignSettings, space: Space, seed: int, avoid: Sequence[Point]) -> list[Point]:
    """Return the points of the initial design.

    Args:
        settings: Its method and number of points.
        space: The search space.
        seed: The campaign's seed.
        avoid: Points that are in the ledger already.

    Raises:
        PlannerError: If no point meets the constraints.
    """
    initial = settings.planner.initial
    if initial.method == "points":
        return [space.check(point) for point in initial.points]
    from alchemy_async.planner.designs import design

    points: list[Point] = list(
        design(space, initial.method, settings.n_initial(), derived_seed(seed, "initial"), avoid)
    )
    n_workers = sum(group.count for group in settings.workers)
    return _in_batches(points, space, settings.shared(), settings.planner.batch or PER_WORKER * max(n_workers, 1))


def _in_batches(points: list[Point], space: Space, shared: Sequence[str], size: int) -> list[Point]:
    """Give as many points as a batch has the shared values of the first of them, where that is possible."""
    for k in range(len(points)) if shared else ():
        first = points[k - k % size]
        joined = {**points[k], **{name: first[name] for name in shared}}
        if space.is_feasible(joined) and not space.is_copy(joined, points[:k]):
            points[k] = joined
    return points


def model_starts_at(settings: CampaignSettings) -> int:
    """Return how many results the first model needs: half the initial design, at least 2."""
    return max(2, settings.n_initial() // 2) * settings.planner.replicates


class Filler:
    """Space-filling points, made in the daemon itself: no process to wait for.

    Args:
        space: The search space.
        settings: For the objectives that a planner wants to be told.
        seed: The campaign's seed.
    """

    def __init__(self, space: Space, settings: CampaignSettings, seed: int) -> None:
        self._space, self._settings, self._seed = space, settings, seed
        self._planners: dict[tuple[tuple[str, Value], ...], Planner] = {}

    def points(self, history: History, pending: Sequence[Point], n: int, hold: Mapping[str, Value]) -> list[Suggestion]:
        """Return up to ``n`` points away from all that was chosen before, with parameters held at values."""
        held = tuple(sorted(hold.items()))
        if held not in self._planners:
            from alchemy_async.planner.load import load_planner

            space = self._space.holding(hold)
            self._planners[held] = load_planner("sobol", space, self._settings.as_objectives(), {})
        seed = derived_seed(self._seed, "initial")  # a Sobol design is gone on with
        found = self._planners[held].ask(history, pending, n, seed)
        return [Suggestion(point.parameters, "fill", "space-filling: no model yet") for point in found]
