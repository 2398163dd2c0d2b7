"""The planner daemon: collect, learn, ask, offer; one step at a time.

In:    the queue's planner end, the ledger, an asker, a clock.
Out:   a queue that always holds the next few best experiments, until the campaign ends.
Never: waits for a worker or for a planner that is thinking; keeps nothing that a restart would lose.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterable

from alchemy_async.clock import Clock
from alchemy_async.config import CampaignSettings
from alchemy_async.experiment import (
    PENDING,
    AttemptKey,
    AttemptState,
    Experiment,
    Heartbeat,
    Offer,
    QueueState,
    Revision,
    State,
    WorkerState,
)
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.asker import Asker
from alchemy_async.planner_daemon.ending import Summary, reason_to_end, summarise
from alchemy_async.planner_daemon.intake import Intake, withdraw
from alchemy_async.planner_daemon.leases import Leases, Terms
from alchemy_async.planner_daemon.refresh import Refresher
from alchemy_async.planner_daemon.sharing import Sharing
from alchemy_async.planner_daemon.ties import Worker
from alchemy_async.queues import Collected, PlannerEnd

log = logging.getLogger(__name__)

_Published = tuple[QueueState, tuple[Offer, ...], tuple[AttemptKey, ...]]

WINDOW = 64  # experiments of each kind that the published queue shows at least; the backlog stays in the ledger
MOST_WINDOW = 1024  # that it shows where workers take as many in `TAKEN_S`
TAKEN_S = 0.5  # the queue must last so long without a look of the planner's; each of it is looked for at each look
MANY = 10  # results in one look
RESCAN_S = 2.0
_SAVE_ELAPSED_S = 30.0
_REMIND_S = 60.0


class PlannerDaemon:
    """One campaign's planner; `step` does everything that can be done now.

    Args:
        settings: The campaign.
        ledger: Its ledger.
        queue: The planner's end of its queue.
        asker: Who puts questions to the planner.
        clock: Real or simulated.
        seed: The campaign's seed.
    """

    def __init__(
        self, settings: CampaignSettings, ledger: Ledger, queue: PlannerEnd, asker: Asker, clock: Clock, seed: int
    ) -> None:
        self._settings, self._ledger, self._queue, self._clock = settings, ledger, queue, clock
        space = settings.as_space()
        self._groups = {name: group for group in settings.workers for name in group.worker_names()}
        self._intake = Intake(ledger, queue, space, settings.as_objectives(), clock)
        self._leases = Leases(clock, self._terms)
        self._sharing = Sharing(settings.shared(), settings.planner.batch)
        self._refresher = Refresher(ledger, settings, space, asker, clock, seed, self._sharing)
        self._is_open = False
        self._published: _Published | None = None
        self._offered: dict[str, tuple[Experiment, Offer]] = {}  # the last offer of each experiment in the window
        self._window = WINDOW
        self._elapsed_s = float(ledger.meta("elapsed_s") or 0.0)
        self._saved_elapsed_s = self._elapsed_s
        self._last_step_s: float | None = None
        self._reminded_s = float("-inf")
        self._claimed: deque[tuple[float, int]] = deque()  # when how many claims were seen lately
        self.again_in_s = RESCAN_S
        self.is_pressed = False  # so many results come that there is no use in letting more gather

    def start(self) -> None:
        """Take over where the ledger stands, and open the campaign if it is new."""
        budget = self._settings.budget
        with self._ledger.change() as change:
            change.set_limits(experiments=budget.experiments, starts=budget.most_started())
            change.set_meta(state=str(QueueState.RUNNING), ended=None)
            change.note("planner_started")
        self._collect()
        self._begin_suggesting()

    def step(self) -> Summary | None:
        """Do all that can be done now; return the summary once the campaign has ended.

        Raises:
            OSError: If the disk refuses; call again, nothing was lost.
            sqlite3.Error: If the ledger can't be written; likewise.
        """
        self._count_time()
        self._collect()
        self._withdraw(self._ledger.to_withdraw(), "somebody cancelled it, or it ended by another attempt")
        self._withdraw(self._without_place(), "the budget was lowered")
        reason = reason_to_end(
            self._ledger, self._settings, elapsed_s=self._elapsed_s, is_exhausted=self._refresher.is_exhausted
        )
        if reason:
            return self._end(reason)
        paused = self._ledger.meta("wanted") == "paused"
        if not paused:
            workers = self._workers()
            self._see_batch(len(workers))
            if self._begin_suggesting():
                self._refresher.refresh(workers)
            self._window = min(max(WINDOW, self._refresher.depth, 2 * len(workers), self._taken()), MOST_WINDOW)
        self._publish(QueueState.PAUSED if paused else QueueState.RUNNING)
        self._remind()
        return None

    @property
    def has_to_ask(self) -> bool:
        """Whether there is anything to ask for: where people staged all that the budget allows, there is not."""
        return self._ledger.meta("suggests") != "no" and self._refresher.has_places

    def _begin_suggesting(self) -> bool:
        """Open the campaign once; tell whether experiments are to be suggested, or only those staged are to be run."""
        if self._ledger.meta("suggests") == "no":
            return False
        if not self._is_open:
            self._refresher.open_campaign()
            self._is_open = True
        return True

    def _see_batch(self, n_workers: int) -> None:
        if self._sharing.is_needed:
            queued = (self._ledger.experiment(key.experiment) for key in self._ledger.listed())
            self._sharing.look(
                self._ledger.experiments(State.RUNNING),
                [found for found in queued if found.state is State.QUEUED],
                n_starts=self._ledger.tally()["starts"],
                n_workers=n_workers,
            )

    # -- what came in ------------------------------------------------------

    def _collect(self) -> Collected:
        collected = self._queue.collect(self._ledger.listed())
        n_claimed = self._intake.take(collected)
        if n_claimed:
            self._claimed.append((self._clock.monotonic(), n_claimed))
        self.is_pressed = collected.n_waiting > 0 or len(collected.deliveries) >= MANY
        if collected.again_in_s != 0:  # else results wait unread, and one of them may be what a lease is waiting for
            verdict = self._leases.scan(self._ledger.held(), collected.heartbeats)
            if verdict.ended or verdict.revived:
                with self._ledger.change() as change:
                    for key, why in verdict.ended:
                        change.interrupt(key, why)
                    for key in verdict.revived:
                        change.revive(key)
                for key, why in verdict.ended:
                    log.warning("experiment=%s attempt=%d interrupted: %s", key.experiment, key.attempt, why)
        self.again_in_s = RESCAN_S if collected.again_in_s is None else min(RESCAN_S, collected.again_in_s)
        return collected

    def _terms(self, worker: str) -> Terms:
        groups = [self._groups[worker]] if worker in self._groups else list(self._settings.workers)
        if not groups:
            return Terms(lease_s=30.0, timeout_s=3600.0)
        return Terms(max(group.lease_s for group in groups), max(group.timeout_s for group in groups))

    def _workers(self) -> list[Worker]:
        """Return the workers that live."""
        living = self._leases.living().values()
        holding = {attempt.worker for attempt in self._ledger.held() if attempt.state is AttemptState.RUNNING}
        return [
            Worker(beat.worker, frozenset(beat.labels), _is_free(beat) and beat.worker not in holding)
            for beat in living
        ]

    def _taken(self) -> int:
        """Return how many experiments workers took lately: the queue must not run dry before a look."""
        while self._claimed and self._claimed[0][0] < self._clock.monotonic() - TAKEN_S:
            self._claimed.popleft()
        return sum(n for _, n in self._claimed)

    # -- what goes out -----------------------------------------------------

    def _withdraw(self, keys: list[AttemptKey], why: str, *, keep_pinned: bool = False) -> None:
        withdraw(self._ledger, self._queue, dict.fromkeys(keys, why), keep_pinned=keep_pinned)

    def _publish(self, state: QueueState) -> None:
        """Publish what the ledger says, if it differs from what was published last."""
        is_open = state in (QueueState.RUNNING, QueueState.PAUSED)
        offers = tuple(self._offers()) if is_open else ()
        cancel = tuple(self._ledger.to_stop())
        wanted = (state, offers, cancel)
        if wanted == self._published or self._still_serves(wanted):
            return
        known = set() if self._published is None else {offer.key for offer in self._published[1]}
        with self._ledger.change() as change:
            gone = change.list_attempts([offer.key for offer in offers if offer.key not in known])
            change.set_meta(state=str(state))
            revision = change.next_revision()
        if gone:  # taken by somebody who saw that it was listed nowhere
            offers = tuple(offer for offer in offers if offer.key not in gone)
            wanted = (state, offers, cancel)
        self._queue.publish(Revision(self._ledger.campaign, revision, state, offers, cancel))
        self._published = wanted

    def _still_serves(self, wanted: _Published) -> bool:
        """Return whether the published queue lacks nothing but the tail of a backlog, and half of it is still free."""
        if self._published is None or (self._published[0], self._published[2]) != (wanted[0], wanted[2]):
            return False
        published, present = _by_kind(self._published[1]), _by_kind(wanted[1])
        return all(
            published[kind] == present[kind] or self._is_long_enough(published[kind], present[kind])
            for kind in published.keys() | present.keys()
        )

    def _is_long_enough(self, published: list[Offer], wanted: list[Offer]) -> bool:
        keys = {offer.key for offer in wanted}
        free = [offer for offer in published if offer.key in keys]
        return len(wanted) >= self._window and 2 * len(free) >= len(wanted) and free == wanted[: len(free)]

    def _offers(self) -> list[Offer]:
        """Return the head of the backlog; what stayed as it was is the very same offer."""
        offered: dict[str, tuple[Experiment, Offer]] = {}
        for experiment in self._sharing.allowed(self._ledger.window(self._window)):
            last = self._offered.get(experiment.id)
            if last is None or (last[0] is not experiment and last[0] != experiment):
                last = (experiment, self._offer(experiment))
            offered[experiment.id] = last
        self._offered = offered
        return [offer for _, offer in offered.values()]

    def _offer(self, experiment: Experiment) -> Offer:
        terms = self._terms("")
        return Offer(
            key=experiment.key,
            parameters=experiment.parameters,
            priority=experiment.priority,
            origin=experiment.origin,
            requires=experiment.requires,
            lease_s=terms.lease_s,
            timeout_s=terms.timeout_s,
        )

    def _without_place(self) -> list[AttemptKey]:
        """Return queued attempts for which a lowered budget has no place; what people staged goes last."""
        budget, tally = self._settings.budget.experiments, self._ledger.tally()
        n = 0 if budget is None else sum(tally[state] for state in PENDING) + tally[State.COMPLETED] - budget
        if n <= 0:
            return []
        queued = sorted(self._ledger.experiments(State.QUEUED), key=lambda e: (not e.pinned, -e.priority, e.number))
        return [found.key for found in queued[-n:]]

    # -- the end -----------------------------------------------------------

    def _end(self, reason: str) -> Summary | None:
        """Close the queue; once nothing runs any more, stop it."""
        is_drained = self._ledger.meta("wanted") == "draining"
        queued, listed = self._ledger.experiments(State.QUEUED), set(self._ledger.listed())
        # What people staged outlives a drain: once withdrawn, its next attempt waits in the ledger, listed nowhere.
        going = [found.key for found in queued if not (is_drained and found.pinned) or found.key in listed]
        self._withdraw(going, reason, keep_pinned=is_drained)
        is_running = any(attempt.state is AttemptState.RUNNING for attempt in self._ledger.held())
        listed = set(self._ledger.listed())
        if is_running or any(found.key in listed for found in self._ledger.experiments(State.QUEUED)):
            self._publish(QueueState.DRAINING)
            return None
        self._publish(QueueState.STOPPED)
        with self._ledger.change() as change:
            change.set_meta(ended=reason, wanted="running", elapsed_s=repr(self._elapsed_s))
            change.note("ended", reason=reason)
        return summarise(self._ledger, self._settings, reason)

    def _count_time(self) -> None:
        """Add up how long the campaign has run; the time while no planner runs does not count."""
        now = self._clock.monotonic()
        if self._last_step_s is not None:
            self._elapsed_s += max(now - self._last_step_s, 0.0)
        self._last_step_s = now
        if self._settings.budget.hours is not None and self._elapsed_s - self._saved_elapsed_s >= _SAVE_ELAPSED_S:
            self._saved_elapsed_s = self._elapsed_s
            with self._ledger.change() as change:
                change.set_meta(elapsed_s=repr(self._elapsed_s))

    def _remind(self) -> None:
        """Name the interrupted experiments when nothing else is left to do."""
        tally = self._ledger.tally()
        if not tally[State.INTERRUPTED] or tally[State.QUEUED] or tally[State.RUNNING]:
            return
        if self._clock.monotonic() - self._reminded_s >= _REMIND_S:
            self._reminded_s = self._clock.monotonic()
            names = ", ".join(found.id for found in self._ledger.experiments(State.INTERRUPTED))
            log.warning(
                "only interrupted experiments are left: %s. Look at the bench, then `alchemy-async requeue FOLDER ID` "
                "or `alchemy-async abandon FOLDER ID`.", names,
            )  # fmt: skip


def _by_kind(offers: Iterable[Offer]) -> dict[tuple[str, ...], list[Offer]]:
    kinds: dict[tuple[str, ...], list[Offer]] = defaultdict(list)
    for offer in offers:
        kinds[offer.requires].append(offer)
    return kinds


def _is_free(beat: Heartbeat) -> bool:
    return beat.state in (WorkerState.IDLE, WorkerState.BUSY)
