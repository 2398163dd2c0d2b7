"""Bench: how the instrument is opened, made safe after a crash, and closed.

In:    the name of a driver.
Out:   an executor whose driver is ready; or an instrument that was told to stop.
Never: gives up on an instrument that does not answer: it is tried again, 1 s doubling to 5 min.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from alchemy_async.drivers.load import load_driver
from alchemy_async.errors import DriverError
from alchemy_async.executors.local import LocalExecutor
from alchemy_async.experiment import WorkerState
from alchemy_async.worker_pool.backoff import Backoff
from alchemy_async.worker_pool.messages import Ending, Note, Topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from alchemy_async.worker_pool.post import Post

RECOVERY_S = 120.0  # connect, stop and teardown together; a driver that hangs there gets a fresh process

log = logging.getLogger(__name__)
Done = TypeVar("Done")


@dataclass(frozen=True)
class Bench:
    """An instrument whose link is open, and whether an attempt that is cut off may simply be run again."""

    executor: LocalExecutor
    idempotent: bool


def make_ready(post: Post, is_over: Callable[[], bool]) -> Bench | None:
    """Load, connect and set up the driver; None if the worker is to end before that succeeds."""
    return None if is_over() else _insist(post, lambda: _open(post, setup=True), is_over)


def recover(post: Post) -> Ending:
    """Leave the instrument safe after a process that died: ``connect(); stop(); teardown()``.

    Draining does not end this, since a heater may be on. After one try ``stop``
    does, and the pool's death: the next pool finds that there was no last beat.
    """
    post.say(WorkerState.SICK)

    def recovered() -> bool:
        executor = _open(post, setup=False).executor
        executor.stop()
        executor.close()
        return True

    if not _insist(post, recovered, lambda: post.is_stopping or post.is_orphaned, limit_s=RECOVERY_S):
        return Ending.UNRECOVERED
    log.info("worker=%s the instrument was connected, stopped and torn down after a crash", post.plan.worker)
    post.say(WorkerState.GONE)
    return Ending.RECOVERED


def close(post: Post, executor: LocalExecutor) -> None:
    """Tear the driver down and beat meanwhile."""
    closing = post.beside(executor.close)
    while not closing.done():
        post.pause(1.0)
    error = closing.exception()
    if error is not None:
        log.error("worker=%s teardown failed: %s", post.plan.worker, error)


def give_up(post: Post, why: str, ending: Ending = Ending.HUNG) -> NoReturn:
    """End this process at once, with the driver's thread in it; the pool recovers the instrument."""
    log.error("worker=%s %s; this process is given up and a fresh one recovers the instrument", post.plan.worker, why)
    logging.shutdown()
    os._exit(ending)


def _open(post: Post, *, setup: bool) -> Bench:
    plan = post.plan
    driver = load_driver(plan.driver, plan.options, plan.folder)
    executor = LocalExecutor(
        driver,
        worker=plan.worker,
        folder=plan.folder,
        objectives=plan.objectives,
        clock=post.clock,
        on_done=post.bell.ring,
    )
    try:
        executor.connect()
        if setup:
            executor.setup()
    except DriverError:
        executor.close()
        raise
    return Bench(executor, bool(getattr(driver, "idempotent", False)))


def _insist(
    post: Post, job: Callable[[], Done], is_over: Callable[[], bool], *, limit_s: float = math.inf
) -> Done | None:
    """Try once, and again until it succeeds or all is over; a try that hangs ends the process."""
    backoff = Backoff()
    while True:
        running = post.beside(job)
        _wait_for(post, running, limit_s)
        try:
            return running.result()
        except DriverError as error:
            delay_s = backoff.failed()
            post.note(Note(Topic.SICK, f"(tried again in {delay_s:g} s) {error}"))
        post.say(WorkerState.SICK)
        until = post.clock.monotonic() + delay_s
        while post.clock.monotonic() < until and not is_over():
            post.pause(min(1.0, until - post.clock.monotonic()))
        if is_over():
            return None


def _wait_for(post: Post, running: Future[Done], limit_s: float) -> None:
    hangs_at = post.clock.monotonic() + limit_s
    stopping_since: float | None = None
    while not running.done():
        post.pause(1.0)
        if post.is_stopping and stopping_since is None:
            stopping_since = post.clock.monotonic()
            hangs_at = min(hangs_at, stopping_since + post.plan.grace_s)
        if post.clock.monotonic() > hangs_at and not running.done():
            give_up(post, "the driver hangs in connect, setup, stop or teardown")
