"""The feed: tells whoever waits that a session's ledger may have changed.

In:    a call after each change of this process; a look at the ledger for those of others.
Out:   waits that end when there is something to see.
Never: says what changed (the ledger's events do, each with its number), or holds up an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable

LOOK_S = 0.25  # another process (the planner daemon, a command) may have written
_LINGER = 20  # looks without anybody who waits before the lookout goes home


class Feed:
    """Wakes those who wait for a session, whatever thread or process changes it.

    Who waits reads `version` first, then looks at the ledger, then waits for a
    later version: what happens between the two is not missed.

    Args:
        stamp: Returns a pair whose first number differs after each commit of others; it may take its time.
    """

    def __init__(self, stamp: Callable[[], tuple[int, int]]) -> None:
        self._stamp = stamp
        self._lock = threading.Lock()
        self._version = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._seen: int | None = None
        self._has_lookout = False
        self._is_closed = threading.Event()

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._version

    @property
    def is_closed(self) -> bool:
        """Whether nobody will be woken any more; the session may have been opened anew."""
        return self._is_closed.is_set()

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def changed(self) -> None:
        """End all waits; any thread may call it."""
        with self._lock:
            self._version += 1
            waiting = tuple(self._waiting)
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # a loop that has been closed waits for nothing
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End all waits, and those to come; a second call does nothing."""
        self._is_closed.set()
        self.changed()

    async def wait(self, timeout_s: float, *, since: int | None = None) -> bool:
        """Wait until something may have changed, at most ``timeout_s``; True if so.

        Args:
            timeout_s: In seconds.
            since: The `version` that was current when the caller looked last; None: the present one.
        """
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        mine = (loop, event)
        with self._lock:
            if self.is_closed or (since is not None and since != self._version):
                return not self.is_closed
            self._waiting.add(mine)
            self._send_lookout()
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(mine)
        return not self.is_closed

    def _send_lookout(self) -> None:
        """See that somebody looks out for what other processes write."""
        if not self._has_lookout:
            self._has_lookout = True
            threading.Thread(target=self._look_out, name="feed", daemon=True).start()

    def _look_out(self) -> None:
        """Look at the ledger as long as anybody waits; a thread of its own, since a look waits for the desk."""
        idle = 0
        while True:
            try:
                found = self._stamp()[0]
            except sqlite3.Error:  # the ledger was closed, or can't be read: whoever waits has to look for himself
                found = None
            if found is None or found != self._seen:
                self._seen = found
                self.changed()
            idle = 0 if self._waiting else idle + 1
            with self._lock:
                if self.is_closed or (idle > _LINGER and not self._waiting):
                    self._has_lookout = False
                    return
            self._is_closed.wait(LOOK_S)
