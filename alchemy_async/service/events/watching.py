"""Watching: following the events of one session, through its being closed and opened again.

In:    the number of the last event that a client knows.
Out:   the events behind it, as soon as they are there, for as long as the client wants.
Never: keeps the desk while it waits, or holds up the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from alchemy_async.errors import AlchemyError
from alchemy_async.ledger import Ledger
from alchemy_async.service.events import telling
from alchemy_async.service.sessions.sessions import Session

if TYPE_CHECKING:
    from alchemy_async.service.context import Service

_SLICE_S = 2.0  # of a wait, after which it is seen whether it is still wanted


class Watch:
    """One client that follows one session.

    Args:
        service: The server.
        session_id: The session.
        may: Tells whether the client still may.
        says: Turns events into what the client is told; None: as they are.
    """

    def __init__(
        self, service: Service, session_id: str, may: Callable[[], bool], says: telling.Says | None = None
    ) -> None:
        self._service, self._id, self._may, self._says = service, session_id, may, says
        self.seq = 0
        self.is_over = False

    async def begin(self, after: int | None) -> None:
        """Begin behind an event; None: behind the newest one.

        Raises:
            UnknownError: If there is no such session.
        """
        newest = await run_in_threadpool(self._newest)
        self.seq = newest if after is None else min(after, newest)  # a number that was never given is not waited for

    async def next(self, wait_s: float, limit: int = telling.MOST) -> list[dict[str, Any]]:
        """Return what is told of the events that follow; wait for the first one.

        None come, and ``is_over`` is set, when the server ends, the session is deleted, or the client may not any more.

        Args:
            wait_s: How long to wait at most, in seconds.
            limit: Of events.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            if self._service.is_closing or not self._may():
                self.is_over = True
                return []
            try:
                session, version, found = await run_in_threadpool(self._look, limit)
            except sqlite3.ProgrammingError:  # it was closed between two lines; asking for it opens it again
                continue
            except AlchemyError:  # it was deleted, or can't be opened any more
                self.is_over = True
                return []
            left_s = until - loop.time()
            if found or left_s <= 0:
                return found
            await session.feed.wait(min(left_s, _SLICE_S), since=version)

    def _newest(self) -> int:
        with self._service.sessions.session(self._id).desk.look() as ledger:
            return telling.last_seq(ledger)

    def _look(self, limit: int) -> tuple[Session, int, list[dict[str, Any]]]:
        session = self._service.sessions.session(self._id)
        version = session.feed.version
        with session.desk.look() as ledger:
            found = telling.events_after(ledger, self.seq, limit)
            told = self._tell(ledger, found)
        if found:
            self.seq = int(found[-1]["seq"])
        return session, version, told

    def _tell(self, ledger: Ledger, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return found if self._says is None else list(self._says(ledger, found))
