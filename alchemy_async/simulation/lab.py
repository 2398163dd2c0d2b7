"""The lab: simulated workers around a planner daemon, moved from one event to the next.

In:    a campaign, a planner, a driver, durations, how long an ask takes, a seed.
Out:   the campaign's ledger, filled as a lab would have filled it, and when each experiment ran.
Never: sleeps, or copies a decision that the planner daemon makes.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import CampaignSettings
from alchemy_async.drivers import Driver
from alchemy_async.experiment import Offer, Outcome
from alchemy_async.ledger import Ledger
from alchemy_async.planner import Planner
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.planner_daemon.daemon import RESCAN_S, PlannerDaemon
from alchemy_async.planner_daemon.ending import Summary
from alchemy_async.simulation import SimulationError, machines
from alchemy_async.simulation.asker import SimulatedAsker
from alchemy_async.simulation.durations import Durations, uniform
from alchemy_async.simulation.instrument import SimulatedContext, measure
from alchemy_async.simulation.queue import SimulatedQueue

_MOST_RESCANS = 1000  # in a row with nothing to do: more than any pause of the daemon


@dataclass(frozen=True)
class Ran:
    """One attempt as the lab ran it.

    Args:
        offer: What was taken.
        worker: Who took it.
        started_s: When it started, in simulated seconds since the campaign began.
        finished_s: When it ended.
        outcome: What was reported.
        nearest_pending: Distance to the nearest point that was pending when it was taken, root mean
            square over the unit cube; infinite where nothing was.
    """

    offer: Offer
    worker: str
    started_s: float
    finished_s: float
    outcome: Outcome
    nearest_pending: float


@dataclass(frozen=True)
class _Running:
    offer: Offer
    started_s: float
    started_at: datetime
    nearest_pending: float


class Lab:
    """Simulated instruments around a planner daemon.

    Args:
        settings: The campaign; what it says of workers is left aside, but for their labels where options of a
            parameter are machines, which the simulated workers have in turn.
        planner: Who is asked.
        driver: Measures at once; how long that takes is drawn here.
        folder: For the ledger; empty.
        n_workers: How many instruments, > 0.
        durations: How long each experiment takes; the k-th that starts takes the k-th draw, so that two
            campaigns of one seed are paired.
        latency_s: Simulated seconds of one ask; None: as long as it really took.
        is_synchronous: Whether the workers take experiments only when all of them are idle.
        seed: Of the planner and of the durations.
        recipe: How a planner is made for one of several machines.
    """

    def __init__(
        self,
        settings: CampaignSettings,
        planner: Planner,
        driver: Driver,
        folder: Path,
        *,
        n_workers: int = 3,
        durations: Durations = uniform(5.0, 30.0),  # noqa: B008  (it keeps no state)
        latency_s: float | None = 0.0,
        is_synchronous: bool = False,
        seed: int = 0,
        recipe: PlannerRecipe | None = None,
    ) -> None:
        self.clock = SimulatedClock()
        self.ledger = Ledger.create(
            folder / "campaign.db",
            name=settings.campaign.name,
            study=settings.study(),
            durable=False,  # what a power cut takes can be simulated again
            clock=self.clock,
        )
        self.ran: list[Ran] = []
        self.space = settings.as_space()
        self.asker = SimulatedAsker(planner, self.clock, self.space, latency_s, recipe)
        self._driver, self._folder, self._is_synchronous = driver, folder, is_synchronous
        self._objectives = tuple(objective.name for objective in settings.as_objectives())
        self._workers = [f"worker-{number}" for number in range(1, n_workers + 1)]
        self._labels = dict(zip(self._workers, machines.labels(settings, n_workers), strict=True))
        self._queue = SimulatedQueue(self._labels)
        self._daemon = PlannerDaemon(settings, self.ledger, self._queue, self.asker, self.clock, seed)
        self._durations, self._rng = durations, random.Random(seed)
        self._running: dict[str, _Running] = {}
        self._ends: list[tuple[float, str]] = []
        self._n_rescans = 0

    def run(self) -> Summary:
        """Run the campaign to its end.

        Raises:
            SimulationError: If nothing runs and nothing is offered any more.
        """
        self._beat()
        self._daemon.start()
        while (summary := self._daemon.step()) is None:
            if self._start_free():
                continue  # the claims are seen, and the queue is filled, while the instruments run
            self._advance()
        return summary

    # -- workers -----------------------------------------------------------

    def _beat(self) -> None:
        for worker in self._workers:
            running = self._running.get(worker)
            self._queue.beat(worker, None if running is None else running.offer.key)

    def _start_free(self) -> int:
        """Let free workers take experiments; return how many were taken."""
        if self._is_synchronous and not self._is_batch_ready():
            return 0
        return sum(self._claim(worker) for worker in self._workers if worker not in self._running)

    def _is_batch_ready(self) -> bool:
        """Whether all workers are free, and there is one experiment for each or no more to come."""
        if self._running:
            return False
        return len(self._queue.free_offers()) >= len(self._workers) or self.asker.due_s is None

    def _claim(self, worker: str) -> bool:
        offer = self._queue.claim(worker)
        if offer is None:
            return False
        now_s = self.clock.monotonic()
        ends_s = now_s + self._durations(self._rng, offer.parameters)
        self._running[worker] = _Running(offer, now_s, self.clock.now(), self._nearest_pending(offer))
        heapq.heappush(self._ends, (ends_s, worker))
        self._queue.beat(worker, offer.key)
        self._n_rescans = 0
        return True

    def _nearest_pending(self, offer: Offer) -> float:
        pending = [running.offer.parameters for running in self._running.values()]
        pending += [other.parameters for other in self._queue.free_offers()]
        at = self.space.to_unit([offer.parameters])
        return float(self.space.distances(at, self.space.to_unit(pending)).min(initial=math.inf))

    # -- time --------------------------------------------------------------

    def _advance(self) -> None:
        """Go to the next event: an answer that is due, a measurement that ends, or the daemon's next look."""
        due_s = math.inf if self.asker.due_s is None else self.asker.due_s
        if self._running and (self._is_synchronous or self._ends[0][0] < due_s):
            self._finish_next()
            while self._is_synchronous and self._running:
                self._finish_next()
        elif due_s < math.inf:
            self._move_to(due_s)
        else:
            self._n_rescans += 1
            if self._n_rescans > _MOST_RESCANS:
                raise SimulationError(f"Nothing runs in the simulated lab, and {self._why_not()}")
            self._move_to(self.clock.monotonic() + RESCAN_S)

    def _why_not(self) -> str:
        """Return in words why nobody runs anything, and how to mend it."""
        offers = self._queue.free_offers()
        alone = [one for one in offers if not any(set(one.requires) <= set(able) for able in self._labels.values())]
        if not alone:
            what = "what is offered is not taken" if offers else "nothing is offered"
            complaint = next((asked.error for asked in reversed(self.asker.asked) if asked.error), "")
            said = f" The planner said last: {complaint}" if complaint else ""
            return f"{what}. Look whether the planner answers, and whether the budget has a place left.{said}"
        requires = alone[0].requires
        return (
            f"nobody can run {alone[0].key.experiment}, which requires {' and '.join(requires)}. "
            f"Simulate more workers, or give one of [[workers]] `labels = {json.dumps(requires)}`."
        )

    def _move_to(self, moment_s: float) -> None:
        self.clock.advance(max(moment_s - self.clock.monotonic(), 0.0))
        self._beat()

    def _finish_next(self) -> None:
        """Let the next measurement end; its worker takes the next experiment before the planner knows."""
        ends_s, worker = heapq.heappop(self._ends)
        running = self._running.pop(worker)
        self._move_to(ends_s)
        key, parameters = running.offer.key, running.offer.parameters
        context = SimulatedContext(key.experiment, key.attempt, worker, self._folder, objectives=self._objectives)
        outcome = measure(self._driver, parameters, context, running.started_at, self.clock.now())
        self._queue.report(worker, key, outcome)
        self.ran.append(Ran(running.offer, worker, running.started_s, ends_s, outcome, running.nearest_pending))
        if not self._is_synchronous:
            self._claim(worker)
