"""REST watch: being told within moments that the queue of a session changed.

In:    a session of a server.
Out:   a call whenever another revision was published there, and when a server that was away is back.
Never: says what changed. A call only wakes; the workers look for themselves, and every 2 s even when nothing calls.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from alchemy_async.client.problems import RefusedError, UnreachableError
from alchemy_async.queues.rest import ANSWER_S, Server

WATCH_S = 20.0  # that the server holds back its answer while nothing changes

_log = logging.getLogger(__name__)


class RestWatch:
    """Calls ``on_change`` from a thread of its own when the queue of a session changes, and once at the start.

    Args:
        server: Where the session is.
        on_change: Called without arguments; it must not block or raise.
    """

    def __init__(self, server: Server, on_change: Callable[[], None]) -> None:
        self._server, self._on_change = server, on_change
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="rest-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching; an answer that is still waited for wakes nobody."""
        self._closing.set()

    def _run(self) -> None:
        transport = self._server.transport(timeout_s=WATCH_S + ANSWER_S)
        seen: int | None = None
        told, wait_s = "", 0.5
        while not self._closing.is_set():
            try:
                query = {"seen": -1 if seen is None else seen, "wait_s": WATCH_S}
                revision = transport.call("GET", self._server.path("news"), query=query)["revision"]
            except (UnreachableError, RefusedError) as error:
                if not told:
                    told = str(error)
                    _log.warning("%s Trying again; results wait on this disk meanwhile.", error)
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, 5.0)
                continue
            if told:
                _log.info("%s answers again", self._server.url)
            if (revision != seen or told) and not self._closing.is_set():
                self._on_change()
            seen, told, wait_s = revision, "", 0.5
