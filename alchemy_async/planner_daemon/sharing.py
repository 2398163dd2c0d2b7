"""Sharing: which experiments may run at the same time, where they share an oven.

In:    the parameters that all that runs must agree in; what runs, what is listed, what waits.
Out:   what may be offered now; the values that further points are sought for.
Never: breaks off a batch, or offers two values of a shared parameter at once.

A batch is a row of experiments with the same shared values. It is full after so many starts; then
what is listed of it is still run, and when nothing of it is left, the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alchemy_async.experiment import Experiment
from alchemy_async.space import Point, Value

PER_WORKER = 2  # starts of a batch for each worker that lives, where no number was given


class Sharing:
    """The batch that is run now.

    Args:
        names: The shared parameters; none: everything may run beside everything.
        size: How many experiments a batch has; None: `PER_WORKER` for each worker that lives.
    """

    def __init__(self, names: Sequence[str], size: int | None = None) -> None:
        self._names, self._size = tuple(names), size
        self._present: dict[str, Value] | None = None
        self._listed: frozenset[str] = frozenset()
        self._n_starts = 0
        self._n_before = 0  # starts before this batch began
        self._is_full = False

    @property
    def is_needed(self) -> bool:
        """Whether any parameter is shared."""
        return bool(self._names)

    def values(self, point: Point) -> dict[str, Value]:
        """Return the shared values of a point."""
        return {name: point[name] for name in self._names}

    def look(
        self, running: Sequence[Experiment], listed: Sequence[Experiment], *, n_starts: int, n_workers: int
    ) -> None:
        """Take note of what runs, and of what is listed and may be taken at any time.

        Args:
            running: Experiments on an instrument.
            listed: Experiments that stand in the published queue and that nobody has.
            n_starts: How many experiments were started so far.
            n_workers: How many workers live.
        """
        held = [*running, *listed]
        present = self.values(held[0].parameters) if held else None
        self._n_starts, self._listed = n_starts, frozenset(experiment.id for experiment in listed)
        if present != self._present:
            self._present, self._n_before, self._is_full = present, n_starts - len(running), False
        size = self._size or PER_WORKER * max(n_workers, 1)
        self._is_full = self._is_full or (present is not None and n_starts - self._n_before + len(listed) >= size)

    def end_batch(self) -> None:
        """Let the next batch begin once nothing of this one is left, because there is nothing more to put into it."""
        self._is_full = True

    def allowed(self, waiting: Sequence[Experiment]) -> list[Experiment]:
        """Return which of the experiments that wait may be offered now, in their order."""
        if not self._names or not waiting:
            return list(waiting)
        if self._present is None:
            self._present, self._n_before, self._is_full = self.values(waiting[0].parameters), self._n_starts, False
        same = [found for found in waiting if self.values(found.parameters) == self._present]
        return [found for found in same if found.id in self._listed] if self._is_full else same

    def sought(self, waiting: Sequence[Experiment]) -> Mapping[str, Value]:
        """Return the shared values that further points are to have; none where they are free.

        Args:
            waiting: What is queued, the first to be run first.
        """
        if self._present is not None and not self._is_full:
            return self._present
        following = (self.values(found.parameters) for found in waiting if found.id not in self._listed)
        return next((values for values in following if values != self._present), {})

    def counts(self, experiment: Experiment, sought: Mapping[str, Value]) -> bool:
        """Tell whether an experiment that waits is one of those for which further points are sought."""
        if self._is_full and experiment.id in self._listed:
            return False
        return not sought or self.values(experiment.parameters) == sought

    def may_become(self, experiment: Experiment, point: Point) -> bool:
        """Tell whether an experiment may be revised to a point: what is listed keeps its shared values."""
        return experiment.id not in self._listed or self.values(experiment.parameters) == self.values(point)
