"""The queue of a simulation: the planner's end as the daemon knows it, and the lab's end, in memory.

In:    revisions from the daemon; claims, results and heartbeats from the lab.
Out:   what the other end wrote.
Never: decides who takes what, or when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alchemy_async.experiment import (
    AttemptKey,
    Claim,
    Heartbeat,
    Offer,
    Outcome,
    QueueState,
    Result,
    Revision,
    WorkerState,
)
from alchemy_async.queues import Collected, Delivery


class SimulatedQueue:
    """Both ends of one queue.

    Args:
        labels: What each worker can do, by its name; one that is not named can do nothing special.
    """

    def __init__(self, labels: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._labels = dict(labels or {})
        self.revision: Revision | None = None
        self.claims: dict[AttemptKey, Claim] = {}
        self.beats: dict[str, Heartbeat] = {}
        self._deliveries: dict[str, Delivery] = {}

    # -- the planner's end -------------------------------------------------

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

    # -- the lab's end -----------------------------------------------------

    def free_offers(self) -> list[Offer]:
        """Return what a worker could take now, the first to be run first."""
        if self.revision is None or self.revision.state is not QueueState.RUNNING:
            return []
        return [offer for offer in self.revision.offers if offer.key not in self.claims]

    def claim(self, worker: str) -> Offer | None:
        """Give a worker the first offer that nobody has and that it can run."""
        able = frozenset(self._labels.get(worker, ()))
        offers = [offer for offer in self.free_offers() if able.issuperset(offer.requires)]
        if not offers or self.revision is None:
            return None
        offer, revision = offers[0], self.revision
        self.claims[offer.key] = Claim(
            revision.campaign, offer.key, revision.revision, offer.parameters, worker, worker
        )
        return offer

    def report(self, worker: str, key: AttemptKey, outcome: Outcome) -> None:
        """Take a result."""
        campaign = self.claims[key].campaign
        self._deliveries[str(key)] = Delivery(str(key), Result(campaign, key, worker, outcome), digest=str(key))

    def beat(self, worker: str, holds: AttemptKey | None) -> None:
        """Let a worker say what it holds."""
        before = self.beats.get(worker)
        state = WorkerState.IDLE if holds is None else WorkerState.BUSY
        self.beats[worker] = Heartbeat(
            worker, worker, before.beat + 1 if before else 1, state, holds, labels=self._labels.get(worker, ())
        )
