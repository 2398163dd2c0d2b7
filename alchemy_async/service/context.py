"""The context: all that a running server has, passed to whoever serves a request.

In:    what `serve` was told.
Out:   one object that the routers find in the app.
Never: knows a path or a body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from alchemy_async.clock import Clock, SystemClock
from alchemy_async.service.sessions import Sessions


@dataclass(frozen=True)
class ServiceSettings:
    """How the service is run.

    Args:
        root: The folder whose campaigns are served.
        host: Address that it listens at.
        port: Port that it listens at.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = 8000


@dataclass
class Service:
    """A running service."""

    settings: ServiceSettings
    sessions: Sessions
    clock: Clock = field(default_factory=SystemClock)

    def close(self) -> None:
        """Give everything back."""
        self.sessions.close()


def make_service(settings: ServiceSettings, clock: Clock | None = None) -> Service:
    """Return the service of a root folder, which is made if it is missing."""
    clock = clock or SystemClock()
    settings.root.mkdir(parents=True, exist_ok=True)
    return Service(settings, Sessions(settings.root.resolve(), clock), clock)
