"""The pool: starts one process per worker, wakes them all, replaces those that die, and ends with them.

In:    the plans of its workers, changes of their queue, signals, the notes of the workers.
Out:   orders to the workers; a log line for each thing that happens; a summary.
Never: reads the queue, claims, beats or reports: the workers do, and go on without a pool.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async import locks
from alchemy_async.clock import Clock, SystemClock
from alchemy_async.errors import Mistake, SettingsError
from alchemy_async.queues.watch import FolderWatch
from alchemy_async.worker_pool import processes
from alchemy_async.worker_pool.messages import Order, WorkerPlan
from alchemy_async.worker_pool.pipes import Bell, wait
from alchemy_async.worker_pool.slot import Level, Slot

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings
    from alchemy_async.queues.rest import Server
    from alchemy_async.queues.rest_watch import RestWatch

LOOK_S = 0.5  # a child of a driver may keep the pipes of a dead worker open; looking finds it all the same
EXIT_AT_ONCE = 130

_SAID = {
    Level.DRAINING: "Draining: what runs is finished, nothing else is claimed. A second signal stops what runs.",
    Level.STOPPING: "Stopping: what runs is broken off. A third signal ends the pool and leaves the workers alone.",
}

log = logging.getLogger(__name__)


def run_pool(folder: Path, *, name: str = "pool", n_workers: int | None = None, server: Server | None = None) -> int:
    """Run the pool of a folder or of a session; see `alchemy_async.worker_pool.run_pool`."""
    processes.prepare(over_rest=server is not None)  # while the settings are read
    folder = folder.resolve()
    if server is None:
        from alchemy_async.config import load_campaign  # pydantic: the worker processes do without it

        plans = plans_of(load_campaign(folder), folder, n_workers=n_workers)
    else:
        from alchemy_async.worker_pool.remote import load_session

        plans = plans_of(load_session(server, folder), folder, n_workers=n_workers, server=server)
    lock = locks.hold(
        locks.machine_lock_path(f"pool {name} {folder}"),
        what=f"{folder} already has a worker pool named {name!r} on this machine",
        mend=f"Stop it with `alchemy-async drain {folder}`, or wait for its end.",
    )
    with lock:
        return Pool(folder, plans, SystemClock(), server).run()


def plans_of(
    settings: CampaignSettings, folder: Path, *, n_workers: int | None = None, server: Server | None = None
) -> list[WorkerPlan]:
    """Return a plan for every worker process of a campaign.

    Raises:
        SettingsError: If there are no workers, or ``n_workers`` says nothing
            because there are several groups of them.
    """
    groups = list(settings.workers)
    source = str(folder / "campaign.toml") if server is None else f"session {server.session} of {server.url}"
    if not groups:
        mend = 'Write [[workers]] with `name = "reactor"` and `driver = "my_lab:reaction"`.'
        raise SettingsError(source, [Mistake("workers", "there are none, so that nothing can be measured", mend)])
    if n_workers is not None:
        if len(groups) > 1 or n_workers < 1:
            mend = "Change `count` of each [[workers]] in the file instead."
            what = f"{n_workers} workers can't be spread over {len(groups)} groups"
            raise SettingsError(source, [Mistake("workers", what, mend)])
        groups = [groups[0].model_copy(update={"count": n_workers})]
    return [
        WorkerPlan(
            folder=folder,
            worker=worker,
            driver=group.driver,
            options=group.options,
            labels=tuple(group.labels),
            timeout_s=group.timeout_s,
            lease_s=group.lease_s,
            grace_s=group.grace_s,
            instrument=group.instrument,
            objectives=tuple(objective.name for objective in settings.objectives),
            durable=settings.campaign.durable,
            server=server,
        )
        for group in groups
        for worker in group.worker_names()
    ]


class Pool:
    """All workers of one folder on this machine.

    Args:
        folder: The campaign folder.
        plans: A plan for each worker.
        clock: The clock.
        server: Where the session is served; None: the queue is in the folder.
    """

    def __init__(self, folder: Path, plans: list[WorkerPlan], clock: Clock, server: Server | None = None) -> None:
        self._folder = folder
        self._server = server
        self._clock = clock
        self._slots = [Slot(plan, clock) for plan in plans]
        self._bell = Bell()
        self._level = Level.WORKING
        self._told = Level.WORKING
        self._has_news = threading.Event()

    def run(self) -> int:
        """Run until every worker has ended; return 0 if all did in good order, else 1."""
        try:
            with _heeding_signals(self._escalate):
                for slot in self._slots:
                    slot.look(self._level)  # they begin while the watch still loads what it needs
                with contextlib.closing(self._watch()):
                    self._supervise()
        finally:
            for slot in self._slots:
                slot.abandon()
        self._sum_up()
        return int(any(slot.has_failed for slot in self._slots))

    def _watch(self) -> FolderWatch | RestWatch:
        if self._server is not None:
            from alchemy_async.queues.rest_watch import RestWatch

            return RestWatch(self._server, self._hear)
        pickup = self._folder / "pickup"
        pickup.mkdir(exist_ok=True)
        if not any(pickup.glob("*.json")):
            log.info("there is no queue yet; the workers wait until `alchemy-async plan %s` writes one", self._folder)
        return FolderWatch([pickup], self._hear)

    def _supervise(self) -> None:
        while True:
            for slot in self._slots:
                slot.look(self._level)
            alive = [slot for slot in self._slots if not slot.is_done]
            if not alive:
                return
            self._give_orders(alive)
            sources = [self._bell.reader] + [source for slot in alive for source in slot.sources()]
            wait(sources, min(LOOK_S, *(slot.due_in_s() for slot in alive)))

    def _give_orders(self, slots: list[Slot]) -> None:
        """Pass on what came; an end is told again and again, in case a pipe was full."""
        self._bell.silence()
        if self._level is not self._told:
            self._told = self._level
            log.warning(_SAID[self._level])
            for slot in slots:
                slot.hasten()
        if self._level is not Level.WORKING:
            for slot in slots:
                slot.order(Order.STOP if self._level is Level.STOPPING else Order.DRAIN)
        elif self._has_news.is_set():
            self._has_news.clear()
            for slot in slots:
                slot.order(Order.WAKE)

    def _hear(self) -> None:
        self._has_news.set()
        self._bell.ring()

    def _escalate(self) -> None:
        """Drain at the first signal, stop at the second, leave the workers alone at the third."""
        if self._level is Level.STOPPING:
            os.write(2, b"The pool ends at once; its workers finish what they run and end by themselves.\n")
            os._exit(EXIT_AT_ONCE)
        self._level = Level(self._level + 1)
        self._bell.ring()

    def _sum_up(self) -> None:
        now = self._clock.monotonic()
        for slot in self._slots:
            tally = slot.tally
            wall_s = now - slot.started_at if slot.started_at is not None else 0.0
            share = f", busy {min(1.0, tally.busy_s / wall_s):.0%} of {wall_s:.1f} s" if wall_s else ""
            log.info(
                "worker=%s completed %d, ended otherwise %d%s", slot.worker, tally.n_completed, tally.n_other, share
            )


@contextmanager
def _heeding_signals(escalate: Callable[[], None]) -> Iterator[None]:
    """Call ``escalate`` at SIGINT and SIGTERM (in a thread other than the main one signals stay as they are)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: escalate()) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):  # a handler that was not set from Python can't be put back
                signal.signal(number, handler)
