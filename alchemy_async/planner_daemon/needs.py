"""Needs: how many experiments are ready for which workers, how many are missing, and what these must have.

In:    the ledger, the workers that live, measured times, machines and shared parameters.
Out:   one need for each kind of workers, those first that wait.
Never: asks, or chooses a point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon import look_ahead, serving
from alchemy_async.planner_daemon.sharing import Sharing
from alchemy_async.planner_daemon.ties import Kind, Ties, Worker
from alchemy_async.space import Value

MOST_PENDING = 512  # queued experiments that are looked at; what lies deeper in a backlog is not about to run
_LAST_ASKS, _LAST_EXPERIMENTS = 5, 60  # whose times count

Held = tuple[tuple[str, Value], ...]


def held(hold: Mapping[str, Value]) -> Held:
    """Return at what parameters are held, as a key."""
    return tuple(sorted(hold.items()))


@dataclass
class Need:
    """What workers of one kind need.

    Args:
        kind: The workers.
        hold: What every point for them must have now: their machine, the values of the batch that runs.
        pace: How quick planner and these workers have been.
        depth: How many experiments are to be ready beyond those for idle workers.
        n_ready: How many are.
        missing: How many are to be found, as far as the budget has places; goes down as they are.
    """

    kind: Kind
    hold: Mapping[str, Value]
    pace: look_ahead.Pace
    depth: int
    n_ready: int
    missing: int

    @property
    def n_idle(self) -> int:
        """How many of these workers have nothing."""
        return len(self.kind.idle)

    def is_for(self, requires: frozenset[str]) -> bool:
        """Tell whether a point that is sought for these workers may take the place of one that requires this."""
        machine = frozenset(self.kind.hold.values())
        return requires == machine if machine else self.kind.can_run(requires)


class Needs:
    """Looks at what is ready.

    Args:
        ledger: The ledger; this object does not own it.
        setting: ``planner.look_ahead`` of the campaign.
        ties: Which points are for which workers.
        sharing: What may run at the same time.
    """

    def __init__(self, ledger: Ledger, setting: int | str, ties: Ties, sharing: Sharing) -> None:
        self._ledger, self._setting, self._ties, self._sharing = ledger, setting, ties, sharing

    def of(self, workers: Sequence[Worker], is_vain: Callable[[Mapping[str, Value]], bool]) -> list[Need]:
        """Return what each kind of workers needs, those first that wait.

        None of them is promised a place of the budget: a machine without a point left would keep it from the others.
        Where nothing is queued and no machine of those that live brings a point, the last need is that of whoever may
        come: it tells whether any machine has a point left, be it one that nobody stands at.

        Args:
            workers: Those that live.
            is_vain: Whether to ask for points with parameters held at these values is in vain now.
        """
        sought = self._sharing.sought(self._ledger.window(MOST_PENDING)) if self._sharing.is_needed else {}
        point_s = tuple(self._ledger.point_seconds(last=_LAST_ASKS))
        seconds = self._ledger.duration_seconds(last=_LAST_EXPERIMENTS)
        needs: list[Need] = []
        for kind in self._kinds(workers, lambda machine: is_vain({**machine, **sought})):
            own = {name: times for name, times in seconds.items() if name in kind.workers}
            pace = look_ahead.Pace(max(len(kind.living), 1), point_s, own or seconds)
            depth = look_ahead.depth(self._setting, pace)
            n_ready = self._n_ready(kind, depth, sought)
            missing = max(len(kind.idle) + depth - n_ready, 0)
            needs.append(Need(kind, {**kind.hold, **sought}, pace, depth, n_ready, missing))
        needs.sort(key=lambda need: need.n_ready - need.n_idle)
        if all(need.kind.hold and is_vain(need.hold) for need in needs) and not self._ledger.queued_for(1):
            needs.append(Need(Kind(), sought, look_ahead.Pace(1, point_s, seconds), depth=0, n_ready=0, missing=1))
        return needs

    def _kinds(self, workers: Sequence[Worker], is_vain: Callable[[Mapping[str, Value]], bool]) -> list[Kind]:
        """Return the kinds of workers; of a worker of several machines, one that has points left has the turn."""
        turn = self._ledger.n_observations()
        return [self._in_turn(kind, workers, turn, is_vain) for kind in self._ties.kinds(workers, turn)]

    def _in_turn(
        self, kind: Kind, workers: Sequence[Worker], turn: int, is_vain: Callable[[Mapping[str, Value]], bool]
    ) -> Kind:
        members, found = [worker for worker in workers if worker.name in kind.workers], kind
        while is_vain(found.hold):
            turn += 1
            (found,) = self._ties.kinds(members, turn)
            if found.hold == kind.hold:  # round once
                break
        return found

    def _n_ready(self, kind: Kind, depth: int, sought: Mapping[str, Value]) -> int:
        most = len(kind.idle) + depth  # more than that is never missing
        if self._sharing.is_needed:
            waiting = (found for found in self._ledger.window(MOST_PENDING) if self._sharing.counts(found, sought))
            queued: Mapping[frozenset[str], int] = Counter(frozenset(found.requires) for found in waiting)
        else:
            queued = self._ledger.queued_for(most)
        able = {requires: n for requires, n in queued.items() if kind.can_run(requires)}
        return serving.n_ready(able, kind.living, kind.idle)
