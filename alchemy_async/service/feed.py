"""The feed: tells whoever waits that a session's ledger may have changed.

In:    a call after each change of this process; looks at the ledger for those of others.
Out:   waits that end when there is something to see.
Never: says what changed: the ledger's events do, each with its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

LOOK_S = 0.25  # another process (the planner daemon, a command) may have written


class Feed:
    """Wakes those who wait for a session, whatever thread changes it.

    Args:
        stamp: Returns something that differs after any commit to the ledger.
    """

    def __init__(self, stamp: Callable[[], object]) -> None:
        self._stamp = stamp
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def changed(self) -> None:
        """End all waits; any thread may call it."""
        with self._lock:
            waiting = tuple(self._waiting)
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # a loop that has been closed waits for nothing
                loop.call_soon_threadsafe(event.set)

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something may have changed, at most ``timeout_s``; True if so."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        mine = (loop, event)
        with self._lock:
            self._waiting.add(mine)
        try:
            before, until = self._stamp(), loop.time() + timeout_s
            while (left := until - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), min(left, LOOK_S))
                    return True
                if self._stamp() != before:
                    return True
            return False
        finally:
            with self._lock:
                self._waiting.discard(mine)
