"""Ties: which workers a point is for, where the options of a parameter are machines.

In:    the parameters whose options are labels; the labels of the workers that live.
Out:   the labels that a point requires; the kinds of workers, and at what each holds these parameters.
Never: says who runs what; workers choose for themselves among what they can run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from alchemy_async.planner_daemon.serving import Labels
from alchemy_async.space import Point


@dataclass(frozen=True)
class Kind:
    """Workers that can run the same points.

    Args:
        living: The labels of each that lives.
        idle: The labels of each of them that has nothing.
        workers: Their names.
        hold: At what the tied parameters are held when points are sought for them; empty: they can run any.
    """

    living: tuple[Labels, ...] = ()
    idle: tuple[Labels, ...] = ()
    workers: frozenset[str] = frozenset()
    hold: Mapping[str, str] = field(default_factory=dict)

    def can_run(self, requires: Labels) -> bool:
        """Tell whether at least one of these workers has these labels; while none lives, anybody might."""
        return not self.living or any(requires <= labels for labels in self.living)


@dataclass(frozen=True)
class Worker:
    """A worker that lives: its name, what it can do, and whether it has nothing."""

    name: str
    labels: Labels
    is_idle: bool


class Ties:
    """The tied parameters of a campaign.

    Args:
        options: Of each tied parameter its options, which are labels.
    """

    def __init__(self, options: Mapping[str, Sequence[str]]) -> None:
        self._names = tuple(options)
        self._all = tuple(product(*options.values()))

    def requires(self, point: Point) -> tuple[str, ...]:
        """Return the labels that a worker must have to run a point."""
        return tuple(sorted({str(point[name]) for name in self._names}))

    def kinds(self, workers: Sequence[Worker], turn: int) -> list[Kind]:
        """Return the kinds of workers that can run anything; those first of whom most are idle.

        Workers that can run some, but not all of it, get points for one machine after the other.

        Args:
            workers: Those that live.
            turn: A number that goes up; it says whose turn it is among the machines of one kind.
        """
        groups: dict[tuple[tuple[str, ...], ...], list[Worker]] = {}
        for worker in workers:
            can = tuple(each for each in self._all if worker.labels.issuperset(each))
            groups.setdefault(can, []).append(worker)
        kinds = [self._kind(can, members, turn) for can, members in groups.items() if can]
        return sorted(kinds, key=lambda kind: -len(kind.idle)) or [Kind()]

    def _kind(self, can: Sequence[tuple[str, ...]], members: Sequence[Worker], turn: int) -> Kind:
        hold = {} if len(can) == len(self._all) else dict(zip(self._names, can[turn % len(can)], strict=True))
        return Kind(
            tuple(worker.labels for worker in members),
            tuple(worker.labels for worker in members if worker.is_idle),
            frozenset(worker.name for worker in members),
            hold,
        )
