"""Processes: how a worker's process begins.

In:    a function and its arguments.
Out:   a fresh process that runs it, with Ctrl-C blocked.
Never: runs ``__main__`` a second time, or hands on threads, locks or open files of the pool.

On Linux one server process loads what every worker begins with, once, and each
worker is forked from it: it has no threads, so a fork of it is as clean as a
fresh start, begins in a few milliseconds and shares its memory. Elsewhere each
worker is spawned.
"""

from __future__ import annotations

import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from multiprocess import forkserver, resource_tracker
from multiprocess.context import ForkServerContext, SpawnContext

_HAS_SERVER = sys.platform == "linux"
_PRELOAD = [f"alchemy_async.worker_pool.{room}" for room in ("worker", "post", "life")]
_REST = ["alchemy_async.queues.rest", "urllib3"]  # of workers whose queue is on a server

_DELAYS_S = (0.02, 0.1, 0.5)  # between tries

_CONTEXT: Any = ForkServerContext() if _HAS_SERVER else SpawnContext()


def prepare(*, over_rest: bool = False) -> None:
    """Begin to load what the workers need; it goes on beside whatever the caller does next.

    Args:
        over_rest: Whether they speak to a server.
    """
    if over_rest and not set(_REST) <= set(_PRELOAD):
        _PRELOAD.extend(_REST)
    if _HAS_SERVER:
        with _without_interrupts():
            _CONTEXT.set_forkserver_preload(_PRELOAD)
            forkserver.ensure_running()


def start(target: Callable[..., None], *args: object, name: str) -> Any:  # noqa: ANN401 - multiprocess has no types
    """Start a process; what is passed on is pickled.

    A server that was killed is followed by another. One that dies at this very
    moment still counts as running for some milliseconds, and starts nothing.

    Raises:
        OSError: If no server starts it, or the system has no room for one more.
    """
    delays_s = list(_DELAYS_S)
    while True:
        process = _CONTEXT.Process(target=target, args=args, name=name)
        try:
            prepare()
            with _without_main(), _without_interrupts():
                process.start()
        except (EOFError, ConnectionError, FileNotFoundError) as error:
            if not delays_s:
                why = "the process that starts others died, again and again; the system may be out of memory"
                raise ChildProcessError(f"{name} can't be started: {why}. Start the pool again") from error
            time.sleep(delays_s.pop(0))
        else:
            return process


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide ``__main__``, which a fresh process would run again: it may be a user's script without a guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have the process begin with Ctrl-C blocked; one that comes meanwhile reaches the pool afterwards."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it would unblock the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
