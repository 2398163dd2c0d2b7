"""Post: how a worker waits: it listens to the pool, beats on time, and says what it does.

In:    orders of the pool, signals, the bell that the driver's thread rings.
Out:   heartbeats; notes to the pool; whether to drain or to stop.
Never: claims, measures or reports.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from alchemy_async.experiment import AttemptKey, WorkerState
from alchemy_async.worker_pool import output
from alchemy_async.worker_pool.messages import Note, Order, Topic, WorkerPlan
from alchemy_async.worker_pool.pipes import Bell, Connection, drain, tell, unblock, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from alchemy_async.clock import Clock
    from alchemy_async.queues import WorkerEnd

QUIET_S = 60.0  # the same trouble is logged once in this time
BEATS_PER_LEASE = 4
LEAST_S = 0.25  # between two beats, however short the experiments are: only the last thing said matters
LOG_LOOK_S = 0.5  # while a driver measures: one that prints for ever writes more in a beat than a log may have

log = logging.getLogger(__name__)
Done = TypeVar("Done")


class Post:
    """Where a worker's main thread waits. Nothing that may hang is done on this thread.

    Args:
        plan: What the pool told at the start.
        orders: The pipe from the pool; its end means that the pool died.
        notes: The pipe to the pool.
        clock: The clock.
    """

    def __init__(self, plan: WorkerPlan, orders: Connection, notes: Connection, clock: Clock) -> None:
        self.plan = plan
        self.clock = clock
        self.bell = Bell()
        self.is_draining = False
        self.is_stopping = False
        self._orders: Connection | None = orders
        self._notes = notes
        self._end: WorkerEnd | None = None
        self._state: WorkerState | None = None
        self._holds: AttemptKey | None = None
        self._lease_s = plan.lease_s
        self._next_beat = math.inf
        self._beaten_at = -math.inf
        self._told: dict[str, float] = {}
        self._last = Note(Topic.WAITING)
        unblock(notes)

    @property
    def is_orphaned(self) -> bool:
        """Whether the pool died: what runs is finished, what has not begun is left to the next pool."""
        return self._orders is None

    def drain(self) -> None:
        """Finish what runs, claim nothing more; may be called by a signal handler."""
        self.is_draining = True
        self.bell.ring()

    def begin_beating(self, end: WorkerEnd) -> None:
        """Beat from here on; as sick, and not before a beat is due, until `say` is called."""
        self._end = end
        self._next_beat = self.clock.monotonic() + self._lease_s / BEATS_PER_LEASE

    def say(self, state: WorkerState, holds: AttemptKey | None = None, *, lease_s: float = math.inf) -> None:
        """Change what the heartbeat says, and beat at once or very soon; ``gone`` is the last beat."""
        lease_s = min(lease_s, self.plan.lease_s)
        if (state, holds, lease_s) == (self._state, self._holds, self._lease_s):
            return
        due = self._beaten_at + min(LEAST_S, lease_s / (2 * BEATS_PER_LEASE))
        is_soon_enough = state not in (WorkerState.GONE, WorkerState.SICK) and self._state is not None
        self._state, self._holds, self._lease_s = state, holds, lease_s
        if is_soon_enough and self.clock.monotonic() < due:
            self._next_beat = min(self._next_beat, due)
        else:
            self._beat()
        if state is WorkerState.GONE:
            self._next_beat = math.inf

    def _beat(self) -> None:
        self._beaten_at = self.clock.monotonic()
        self._next_beat = self._beaten_at + self._lease_s / BEATS_PER_LEASE
        try:
            if self._end is not None:
                self._end.beat(self._state or WorkerState.SICK, self._holds)
        except OSError as error:  # a disk that refuses keeps nobody from measuring
            self.complain("no heartbeat could be written", error)
        self._cap_log()

    def _cap_log(self) -> None:
        try:
            output.cap(output.log_path(self.plan.folder, self.plan.worker))
        except OSError as error:
            self.complain("this log can't be cut", error)

    def pause(self, seconds: float) -> None:
        """Wait at most so long, or until something happens; beat where a beat is due."""
        until = self.clock.monotonic() + max(0.0, seconds)
        while True:
            present = self.clock.monotonic()
            if present >= self._next_beat:
                self._beat()
            sources = [self.bell.reader] + ([] if self._orders is None else [self._orders])
            look_s = math.inf if self._holds is None else LOG_LOOK_S
            if wait(sources, max(0.0, min(until - present, self._next_beat - present, look_s))):
                self._listen()
                return
            if self._holds is not None:
                self._cap_log()
            if self.clock.monotonic() >= until:
                return

    def _listen(self) -> None:
        self.bell.silence()
        if self._orders is None:
            return
        messages = drain(self._orders)
        if messages is None:
            log.warning("worker=%s the pool died; what runs is finished, nothing else is claimed", self.plan.worker)
            self._orders = None
            self.is_draining = True
            return
        self.is_stopping = self.is_stopping or Order.STOP.encode() in messages
        self.is_draining = self.is_draining or self.is_stopping or Order.DRAIN.encode() in messages

    def note(self, note: Note) -> None:
        """Tell the pool, and the log."""
        self._last = note
        log.log(logging.WARNING if note.is_trouble else logging.INFO, note.line(self.plan.worker))
        tell(self._notes, note.to_bytes())

    def complain(self, what: str, why: object) -> None:
        """Tell of a trouble that may come again and again, once a minute; with the counts that were told last."""
        present = self.clock.monotonic()
        if present >= self._told.get(what, -math.inf) + QUIET_S:
            self._told[what] = present
            self.note(dataclasses.replace(self._last, topic=Topic.TROUBLE, text=f"{what}: {why}", about=""))

    def beside(self, job: Callable[[], Done]) -> Future[Done]:
        """Run on another thread what may take long or hang; rings the bell at its end."""
        future: Future[Done] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(error)
            self.bell.ring()

        Thread(target=run, name="beside", daemon=True).start()
        return future
