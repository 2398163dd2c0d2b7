"""The context: all that a running server has, passed to whoever serves a request.

In:    what `serve` was told.
Out:   one object that the routers find in the app.
Never: knows a path or a body.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from alchemy_async.clock import Clock, SystemClock
from alchemy_async.service.gateway.access import Access
from alchemy_async.service.gateway.limits import Limits, Places
from alchemy_async.service.gateway.metrics import Metrics
from alchemy_async.service.sessions.leases import Sweep
from alchemy_async.service.sessions.sessions import Sessions

T = TypeVar("T")


@dataclass(frozen=True)
class ServiceSettings:
    """How the service is run.

    Args:
        root: The folder whose campaigns are served.
        host: Address that it listens at; any but a loopback one needs a token.
        port: Port that it listens at.
        allow_origins: Web pages of other origins that may use it, such as ``https://lab.example.org``.
        limits: How much it takes.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = 8000
    allow_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass
class Service:
    """A running service."""

    settings: ServiceSettings
    sessions: Sessions
    access: Access
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.watchers = Places(self.settings.limits.watchers, "watch events")
        self.metrics = Metrics(self.sessions, self.watchers)
        self.is_closing = False
        self._sweep = Sweep(self.sessions, self.clock, self.metrics.lease_ended)
        self._lock = threading.RLock()
        self._parts: dict[object, object] = {}
        self._last = ExitStack()

    def part(self, make: Callable[[Service], T], close: Callable[[T], None] | None = None) -> T:
        """Return what ``make`` makes of this service: made when it is first asked for, and closed with the service.

        Args:
            make: Makes it; each function's thing is there once.
            close: Gives it back; what was made last is closed first.
        """
        with self._lock:
            if make not in self._parts:
                made = make(self)
                self._parts[make] = made
                if close is not None:
                    self._last.callback(close, made)
            return self._parts[make]  # type: ignore[return-value]

    def start(self) -> None:
        """Begin what goes on beside the requests: the leases' sweep."""
        self._sweep.start()

    def is_ready(self) -> bool:
        """Tell whether sessions can be served: the root can be written, and the server is not about to end."""
        return not self.is_closing and os.access(self.settings.root, os.R_OK | os.W_OK | os.X_OK)

    def farewell(self) -> None:
        """End all waits, so that whoever watches can be told that the server ends."""
        self.is_closing = True
        for session in self.sessions.opened():
            session.feed.close()

    def close(self) -> None:
        """Give everything back."""
        self.farewell()
        self._sweep.stop()
        with self._lock:
            self._last.close()
        self.sessions.close()


def make_service(settings: ServiceSettings, clock: Clock | None = None) -> Service:
    """Return the service of a root folder, which is made if it is missing.

    Raises:
        AlchemyError: If the tokens of the root can't be read.
        OSError: If the root can't be made.
    """
    clock = clock or SystemClock()
    settings.root.mkdir(parents=True, exist_ok=True)
    root = settings.root.resolve()
    sessions = Sessions(root, clock, most=settings.limits.sessions)
    return Service(settings, sessions, Access(root, settings.host, settings.allow_origins), clock)
