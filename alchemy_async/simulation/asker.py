"""The asker of a simulation: asks at once, and has the answer when simulated time says so.

In:    the daemon's questions, a planner, a simulated clock.
Out:   answers after so many simulated seconds; a record of what each ask really cost and chose.
Never: moves the clock.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alchemy_async.clock import Clock
from alchemy_async.experiment import Suggestion
from alchemy_async.planner import Planner
from alchemy_async.planner_daemon.asker import Answer, PlannerRecipe, Planners, Question
from alchemy_async.space import COPY_DISTANCE, Point, Space

_ROUNDING_S = 1e-9


@dataclass(frozen=True)
class Asked:
    """One ask as it really was.

    Args:
        n_observations: How many observations it was told.
        n_pending: How many pending points it was told.
        n: How many points it was asked for.
        wall_s: How long it took by the wall clock, in seconds.
        cpu_s: Processor time that it took, all threads, in seconds.
        n_copies: Suggestions nearer than `COPY_DISTANCE` to a pending point or to one before them.
        error: What the planner complained of; empty where it answered.
    """

    n_observations: int
    n_pending: int
    n: int
    wall_s: float
    cpu_s: float
    n_copies: int
    error: str = ""


class SimulatedAsker:
    """Asks in this thread; the answer is there ``latency_s`` simulated seconds later.

    Args:
        planner: Who is asked.
        clock: The lab's.
        space: For distances.
        latency_s: Simulated seconds of one ask; None: as long as it really took, by the wall clock.
        recipe: How another planner is made where parameters are held at values.
    """

    def __init__(
        self,
        planner: Planner,
        clock: Clock,
        space: Space,
        latency_s: float | None = 0.0,
        recipe: PlannerRecipe | None = None,
    ) -> None:
        self._planners = Planners(planner, recipe)
        self._clock, self._space, self._latency_s = clock, space, latency_s
        self._answer: Answer | None = None
        self._due_s = 0.0
        self.asked: list[Asked] = []

    @property
    def is_busy(self) -> bool:
        """Whether a question waits for its answer, or an answer to be taken."""
        return self._answer is not None

    @property
    def due_s(self) -> float | None:
        """When the answer is there, by the clock's monotonic seconds; None while nothing is asked."""
        return None if self._answer is None else self._due_s

    def start(self, question: Question) -> None:
        """Ask, and keep the answer until it is due."""
        begun_cpu_s, begun_s = time.process_time(), time.perf_counter()
        said = self._planners.answer(question)
        wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
        latency_s = wall_s if self._latency_s is None else self._latency_s
        self._answer = dataclasses.replace(said, seconds=latency_s)
        self._due_s = self._clock.monotonic() + latency_s
        self.asked.append(
            Asked(
                len(question.history.observations), len(question.pending), question.n, wall_s, cpu_s,
                n_copies(self._space, said.suggestions, question.pending), said.error,
            )
        )  # fmt: skip

    def take(self) -> Answer | None:
        """Take the answer, if it is due."""
        if self._answer is None or self._clock.monotonic() < self._due_s - _ROUNDING_S:
            return None
        taken, self._answer = self._answer, None
        return taken

    def close(self) -> None:
        """Nothing to give back."""


def n_copies(space: Space, suggestions: Sequence[Suggestion], pending: Sequence[Point]) -> int:
    """Count suggestions that are copies of a pending point, or of a suggestion before them."""
    points = space.to_unit([suggestion.parameters for suggestion in suggestions])
    others = np.vstack([space.to_unit(pending), points])
    n_before = len(pending)
    return sum(
        bool((space.distances(points[k : k + 1], others[: n_before + k]) < COPY_DISTANCE).any())
        for k in range(len(points))
        if n_before + k > 0
    )
