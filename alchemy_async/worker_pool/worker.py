"""The worker: one process that owns one instrument: its words, its signals, its end.

In:    a plan from the pool, and the two pipes to it.
Out:   an exit code (`messages.Ending`).
Never: loads what a life needs before it begins: the pool imports this room, and lives no such life.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from alchemy_async.clock import SystemClock
from alchemy_async.worker_pool import output
from alchemy_async.worker_pool.messages import Ending, WorkerPlan

if TYPE_CHECKING:
    from alchemy_async.worker_pool.pipes import Connection
    from alchemy_async.worker_pool.post import Post

log = logging.getLogger(__name__)


def run_worker(plan: WorkerPlan, orders: Connection, notes: Connection) -> None:
    """Be a worker process; ends by ``sys.exit`` with one of `Ending`.

    Args:
        plan: What to work on.
        orders: Reading end of the pipe from the pool.
        notes: Writing end of the pipe to the pool.
    """
    from alchemy_async.worker_pool.life import live
    from alchemy_async.worker_pool.post import Post

    output.redirect(output.log_path(plan.folder, plan.worker))
    post = Post(plan, orders, notes, SystemClock())
    _heed_signals(post)
    log.info("worker=%s process %d starts", plan.worker, os.getpid())
    ending = live(post)
    log.info("worker=%s process %d ends: %s", plan.worker, os.getpid(), ending.name.lower())
    _end_within(plan.grace_s, ending)
    sys.exit(int(ending))


def _end_within(seconds: float, ending: Ending) -> None:
    """End this process even if a thread that the driver left behind would keep it."""
    timer = threading.Timer(seconds, os._exit, (int(ending),))
    timer.daemon = True
    timer.start()


def _heed_signals(post: Post) -> None:
    """Leave Ctrl-C and the end of the terminal to the pool; drain at SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: post.drain())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the pool spawns with it blocked
