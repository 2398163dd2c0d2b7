"""Queues: where experiments are offered, claimed and reported.

In:    revisions of the queue from the planner; claims, heartbeats and results from workers.
Out:   each to the other end, whole, durable and at most once.
Never: chooses an experiment, changes the ledger or runs a driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from alchemy_async.experiment import AttemptKey, Claim, Heartbeat, Offer, Outcome, Result, Revision, WorkerState
    from alchemy_async.experiment.states import QueueState


@dataclass(frozen=True)
class Delivery:
    """A valid result, the name it lies under, and a digest of its content."""

    name: str
    result: Result
    digest: str


@dataclass(frozen=True)
class Spoiled:
    """Something that claims to be a result and is not; whose it would be, where its name says so."""

    name: str
    reason: str
    worker: str = ""
    key: AttemptKey | None = None


@dataclass(frozen=True)
class Collected:
    """What one look at the queue brought.

    Args:
        claims: Claims of the attempts that were asked about.
        deliveries: Valid results of this campaign, the first finished first.
        spoiled: Invalid ones that have not changed for half a second.
        heartbeats: The last beat of every worker, read after the claims.
        again_in_s: When to look again even if nothing happens; None: no need.
        n_waiting: Results that were seen and are left for the next look.
    """

    claims: tuple[Claim, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    spoiled: tuple[Spoiled, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()
    again_in_s: float | None = None
    n_waiting: int = 0


@runtime_checkable
class PlannerEnd(Protocol):
    """The planner's end. One thread uses it; whoever holds the planner's lock owns it."""

    def publish(self, revision: Revision) -> None:
        """Replace the queue by a revision, durably.

        Raises:
            OSError: If the disk refuses; the last revision still stands.
        """
        ...

    def withdraw(self, key: AttemptKey) -> bool:
        """Take an attempt back, durably; False if a worker was faster."""
        ...

    def collect(self, open_attempts: Sequence[AttemptKey]) -> Collected:
        """Look at everything once.

        What is returned is durable: the caller may commit it. A result whose
        claim is missing gets one first, so that nobody can start it again.

        Args:
            open_attempts: Attempts listed once and not ended: their claims are looked up by name.

        Raises:
            OSError: If the disk refuses; nothing was changed.
        """
        ...

    def settle(self, name: str, reason: str = "") -> None:
        """Take a result away after its commit; with a reason, keep it among the rejected."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until something may have changed, at most ``timeout_s``; True if something woke it."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


@dataclass(frozen=True)
class News:
    """What a worker reads of the queue: its state and revision, and what is to be broken off."""

    campaign: str
    revision: int
    state: QueueState
    cancel: frozenset[AttemptKey]


@runtime_checkable
class WorkerEnd(Protocol):
    """One worker's end. One thread of one process uses it."""

    def news(self) -> News | None:
        """Read the queue's state; None while there is no queue.

        Raises:
            WireError: If the queue can't be read.
        """
        ...

    def claim(self) -> Offer | None:
        """Claim the best attempt that this worker may run; None if there is none.

        When it returns, the claim is durable and nobody else can start the attempt.

        Raises:
            OSError: If the disk refuses; nothing may be started.
            WireError: If the queue can't be read.
        """
        ...

    def beat(self, state: WorkerState, holds: AttemptKey | None = None) -> None:
        """Say that this worker lives and what it holds.

        Raises:
            OSError: If the disk refuses.
        """
        ...

    def report(self, key: AttemptKey, outcome: Outcome) -> None:
        """Publish a result, durably and once; a repetition does nothing.

        Raises:
            OSError: If the disk refuses; try again, nothing was lost.
        """
        ...
