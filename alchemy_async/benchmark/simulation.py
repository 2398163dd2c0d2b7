"""Simulation: a whole campaign in simulated time, through the very daemon that runs real ones.

In:    a campaign, a driver, workers, durations, a seed.
Out:   the campaign's ledger, filled as a lab would have filled it.
Never: sleeps, or copies a decision that the planner daemon makes.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import CampaignSettings
from alchemy_async.drivers import Context, Driver
from alchemy_async.errors import DriverError
from alchemy_async.executors.outcomes import as_observation
from alchemy_async.experiment import (
    AttemptKey,
    Claim,
    Heartbeat,
    Offer,
    Outcome,
    QueueState,
    Result,
    Revision,
    Status,
    WorkerState,
)
from alchemy_async.ledger import Ledger
from alchemy_async.planner import Planner
from alchemy_async.planner_daemon.asker import InlineAsker
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.planner_daemon.ending import Summary
from alchemy_async.queues import Collected, Delivery


class SimulatedQueue:
    """The planner's end of a queue whose workers are played by `Lab`; all of it in memory."""

    def __init__(self) -> None:
        self.revision: Revision | None = None
        self.claims: dict[AttemptKey, Claim] = {}
        self.beats: dict[str, Heartbeat] = {}
        self._deliveries: dict[str, Delivery] = {}

    def publish(self, revision: Revision) -> None:
        """Replace the queue by a revision."""
        self.revision = revision

    def withdraw(self, key: AttemptKey) -> bool:
        """Take an attempt back; False if a worker was faster."""
        campaign = self.revision.campaign if self.revision else ""
        return self.claims.setdefault(key, Claim(campaign, key, 0, {}, "planner", "")).worker == "planner"

    def collect(self, open_attempts: Sequence[AttemptKey]) -> Collected:
        """Return all claims asked for, all results and all heartbeats."""
        claims = tuple(self.claims[key] for key in open_attempts if key in self.claims)
        return Collected(claims, tuple(self._deliveries.values()), (), tuple(self.beats.values()))

    def settle(self, name: str, reason: str = "") -> None:
        """Take a result away.

        Raises:
            ValueError: If it was rejected: a simulation makes no invalid result.
        """
        if reason:
            raise ValueError(f"the simulated result {name} was rejected: {reason}")
        self._deliveries.pop(name, None)

    def wait(self, timeout_s: float) -> bool:
        """Return at once: simulated time is moved by the lab alone."""
        del timeout_s
        return False

    def close(self) -> None:
        """Nothing to give back."""

    def claim(self, worker: str) -> Offer | None:
        """Give a worker the first offer that nobody has."""
        if self.revision is None or self.revision.state is not QueueState.RUNNING:
            return None
        for offer in self.revision.offers:
            if offer.key not in self.claims:
                self.claims[offer.key] = Claim(
                    self.revision.campaign, offer.key, self.revision.revision, offer.parameters, worker, worker
                )
                return offer
        return None

    def report(self, worker: str, key: AttemptKey, outcome: Outcome) -> None:
        """Take a result."""
        campaign = self.claims[key].campaign
        self._deliveries[str(key)] = Delivery(str(key), Result(campaign, key, worker, outcome), digest=str(key))

    def beat(self, worker: str, holds: AttemptKey | None) -> None:
        """Let a worker say what it holds."""
        before = self.beats.get(worker)
        state = WorkerState.IDLE if holds is None else WorkerState.BUSY
        self.beats[worker] = Heartbeat(worker, worker, before.beat + 1 if before else 1, state, holds)


class Lab:
    """Simulated instruments around a planner daemon.

    Args:
        settings: The campaign.
        planner: Asked inline; an ask costs no simulated time.
        driver: Measures at once; how long that takes is drawn here.
        folder: For the ledger; empty.
        n_workers: How many instruments.
        durations: Shortest and longest experiment, in simulated seconds.
        seed: Of the planner and of the durations.
    """

    def __init__(
        self,
        settings: CampaignSettings,
        planner: Planner,
        driver: Driver,
        folder: Path,
        *,
        n_workers: int = 3,
        durations: tuple[float, float] = (5.0, 30.0),
        seed: int = 0,
    ) -> None:
        self.clock = SimulatedClock()
        self.ledger = Ledger.create(
            folder / "campaign.db", name=settings.campaign.name, study=settings.study(), clock=self.clock
        )
        self._settings, self._driver, self._folder = settings, driver, folder
        self._objectives = tuple(objective.name for objective in settings.as_objectives())
        self._queue = SimulatedQueue()
        self._daemon = PlannerDaemon(settings, self.ledger, self._queue, InlineAsker(planner), self.clock, seed)
        self._workers = [f"worker-{number}" for number in range(1, n_workers + 1)]
        self._durations, self._rng = durations, random.Random(seed)
        self._running: list[tuple[float, str, Offer, datetime]] = []

    def run(self) -> Summary:
        """Run the campaign to its end.

        Raises:
            DriverError: If nothing runs and nothing is offered any more.
        """
        for worker in self._workers:
            self._queue.beat(worker, None)
        self._daemon.start()
        while (summary := self._daemon.step()) is None:
            self._start_idle()
            self._daemon.step()  # the claims are seen, and the queue is filled, while the instruments run
            if not self._running:
                raise DriverError("nothing runs in the simulated lab, and nothing is offered")
            self._finish_next()
        return summary

    def _start_idle(self) -> None:
        busy = {worker for _, worker, _, _ in self._running}
        for worker in self._workers:
            if worker not in busy:
                self._claim(worker)

    def _claim(self, worker: str) -> None:
        offer = self._queue.claim(worker)
        self._queue.beat(worker, None if offer is None else offer.key)
        if offer is not None:
            ends = self.clock.monotonic() + self._rng.uniform(*self._durations)
            heapq.heappush(self._running, (ends, worker, offer, self.clock.now()))

    def _finish_next(self) -> None:
        """Let the next measurement end; its worker takes the next experiment before the planner knows."""
        ends, worker, offer, started_at = heapq.heappop(self._running)
        self.clock.advance(ends - self.clock.monotonic())
        for _, other, held, _ in self._running:
            self._queue.beat(other, held.key)
        context = Context(offer.key.experiment, offer.key.attempt, worker, self._folder, objectives=self._objectives)
        seen = as_observation(self._driver.measure(offer.parameters, context), self._objectives)
        outcome = Outcome(Status.COMPLETED, started_at, self.clock.now(), seen.values, seen.sems, seen.parameters)
        self._queue.report(worker, offer.key, outcome)
        self._claim(worker)
