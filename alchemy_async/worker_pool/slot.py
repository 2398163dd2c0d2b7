"""A slot: one worker's place in the pool, and whichever process fills it.

In:    a worker's plan; its notes; how its processes end.
Out:   spawned processes, and whether this worker is done.
Never: waits, kills a process, or knows of the other workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import signal
from enum import IntEnum
from typing import Any

from alchemy_async.clock import Clock
from alchemy_async.worker_pool import output, processes
from alchemy_async.worker_pool.backoff import Backoff
from alchemy_async.worker_pool.messages import Ending, Note, Order, Topic, WorkerPlan
from alchemy_async.worker_pool.pipes import Connection, drain, pipe, tell
from alchemy_async.worker_pool.worker import run_worker

log = logging.getLogger(__name__)


class Level(IntEnum):
    """How far the pool is on its way to its end."""

    WORKING = 0
    DRAINING = 1
    STOPPING = 2


@dataclasses.dataclass(frozen=True)
class Tally:
    """What one worker did: experiments, and seconds in which it measured."""

    n_completed: int = 0
    n_other: int = 0
    busy_s: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.n_completed + other.n_completed, self.n_other + other.n_other, self.busy_s + other.busy_s)


class Slot:
    """Keeps one worker alive: a process that died is followed by one that recovers, then by a worker.

    Args:
        plan: What the worker is to do.
        clock: The clock.
    """

    def __init__(self, plan: WorkerPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._backoff = Backoff()
        self._is_steady = True
        self._process: Any = None
        self._orders: Connection | None = None
        self._notes: Connection | None = None
        self._past = Tally()
        self._present = Tally()
        self._start_at = -math.inf
        self.worker = plan.worker
        self.started_at: float | None = None
        self.is_done = False
        self.has_failed = False

    @property
    def tally(self) -> Tally:
        """What all processes of this worker did."""
        return self._past + self._present

    def sources(self) -> list[Any]:
        """Return what tells that this worker's process said something or died."""
        alive = [] if self._process is None else [self._process.sentinel]
        return alive if self._notes is None else [*alive, self._notes]

    def due_in_s(self) -> float:
        """Return in how many seconds a process is to be spawned; infinity if none is."""
        if self.is_done or self._process is not None:
            return math.inf
        return max(0.0, self._start_at - self._clock.monotonic())

    def hasten(self) -> None:
        """Spawn the process that is due later at the next look: what is to be recovered must not outlast the pool."""
        self._start_at = -math.inf

    def order(self, order: Order) -> None:
        """Tell the process, if there is one."""
        if self._orders is not None:
            tell(self._orders, order.encode())

    def look(self, level: Level) -> None:
        """Take in what the process said, whether it died, and spawn the one that is due."""
        self._read_notes()
        if self._process is not None and self._process.exitcode is not None:
            self._read_notes()
            self._bury(self._process.exitcode, level)
        if self.due_in_s() <= 0:
            self._spawn()
            if level is not Level.WORKING:
                self.order(Order.STOP if level is Level.STOPPING else Order.DRAIN)

    def abandon(self) -> None:
        """Close the pipes: the process finishes what it runs and ends by itself."""
        for end in (self._orders, self._notes):
            if end is not None:
                end.close()
        self._orders = self._notes = None

    def _spawn(self) -> None:
        orders_reader, self._orders = pipe()
        self._notes, notes_writer = pipe()
        self._process = processes.start(run_worker, self._plan, orders_reader, notes_writer, name=self.worker)
        orders_reader.close()
        notes_writer.close()

    def _read_notes(self) -> None:
        if self._notes is None:
            return
        messages = drain(self._notes)
        if messages is None:
            self._notes.close()
            self._notes = None
        for message in messages or []:
            self._heed(Note.from_bytes(message))

    def _heed(self, note: Note) -> None:
        if note.n_completed > self._present.n_completed:
            self._backoff.succeeded()
            self._is_steady = True
        self._present = Tally(note.n_completed, note.n_other, note.busy_s)
        if note.topic is Topic.STARTED and self.started_at is None:
            self.started_at = self._clock.monotonic()
        log.log(logging.WARNING if note.is_trouble else logging.INFO, note.line(self.worker))

    def _bury(self, code: int, level: Level) -> None:
        """Decide what follows a process that ended."""
        recovering = self._plan.must_recover
        self._process.close()
        self._process = None
        self.abandon()
        self._past, self._present = self.tally, Tally()
        if code == Ending.FINISHED or (code == Ending.RECOVERED and level is not Level.WORKING):
            self.is_done = True
        elif code == Ending.RECOVERED:
            self._plan = dataclasses.replace(self._plan, must_recover=False)
            log.info("worker=%s recovered: its instrument was connected, stopped and torn down", self.worker)
        elif code == Ending.UNRECOVERED or (recovering and level is Level.STOPPING):
            self.is_done = self.has_failed = True
            log.error(
                "worker=%s ended before its instrument was made safe. Look at the instrument, and at %s.",
                self.worker,
                output.log_path(self._plan.folder, self.worker),
            )
        else:
            self._replace(code)

    def _replace(self, code: int) -> None:
        """Have a process follow that recovers: the first at once, so that no heater stays on."""
        delay_s = 0.0 if self._is_steady else self._backoff.failed()
        self._is_steady = False
        self._plan = dataclasses.replace(self._plan, must_recover=True)
        self._start_at = self._clock.monotonic() + delay_s
        log.warning(
            "worker=%s died (%s); a fresh process recovers its instrument %s. Its last words are in %s",
            self.worker,
            _cause(code),
            f"in {delay_s:g} s" if delay_s else "at once",
            output.log_path(self._plan.folder, self.worker),
        )


def _cause(code: int) -> str:
    if code in (Ending.HUNG, Ending.EXHAUSTED):
        return "its driver hung" if code == Ending.HUNG else "its driver used up the memory"
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
