"""Limits: how much a server takes, of whom, and how fast.

In:    requests, by the address that they come from.
Out:   the same requests, or 429 with the time to ask again.
Never: remembers more addresses than it needs to.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from alchemy_async.clock import Clock
from alchemy_async.service.gateway.refusing import refusal_of
from alchemy_async.service.problems import TooMuchError

_MOST_ADDRESSES = 10_000
_FREE = frozenset({"/health", "/ready"})  # of probes, which must not learn that somebody else asks too much


@dataclass(frozen=True)
class Limits:
    """How much a server takes.

    Args:
        body_bytes: Of one request.
        requests_per_s: Of one address, in the long run; those of the same machine are not counted.
        burst: How many may come at once.
        sessions: How many may be there.
        watchers: How many SSE and WebSocket connections.
    """

    body_bytes: int = 32 * 1024 * 1024
    requests_per_s: float = 500.0
    burst: int = 2000
    sessions: int = 10_000
    watchers: int = 256


class Places:
    """A number of places that can be taken and given back.

    Args:
        most: How many there are.
        what: What whoever takes one does, as in "so many already watch events".
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._lock = threading.Lock()
        self.n_taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for as long as the block lasts.

        Raises:
            TooMuchError: If none is free.
        """
        with self._lock:
            self.check()
            self.n_taken += 1
        try:
            yield
        finally:
            with self._lock:
                self.n_taken -= 1

    def check(self) -> None:
        """Check that a place is free.

        Raises:
            TooMuchError: If none is.
        """
        if self.n_taken >= self._most:
            raise TooMuchError(
                f"{self._most} clients {self._what} already, and that is all that this server takes. Close some, or "
                "ask again later.",
                status=429,
                again_in_s=5.0,
            )


class Buckets:
    """A bucket of requests for each address, filled at a steady rate.

    Args:
        per_s: How fast it is filled.
        burst: How many it holds.
        clock: Its monotonic seconds count.
    """

    def __init__(self, per_s: float, burst: int, clock: Clock) -> None:
        self._per_s, self._burst, self._clock = per_s, float(burst), clock
        self._left: dict[str, tuple[float, float]] = {}  # of each address: what was left, and when

    def take(self, address: str) -> float:
        """Take one from the bucket of an address; return 0, or after how many seconds there will be one."""
        now = self._clock.monotonic()
        left, at = self._left.get(address, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        if left < 1:
            self._left[address] = (left, now)
            return (1 - left) / self._per_s
        if address not in self._left and len(self._left) >= _MOST_ADDRESSES:
            self._forget(now)
        self._left[address] = (left - 1, now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget the addresses whose buckets are full again; if there are none, the one that asked first."""
        filled_s = self._burst / self._per_s
        full = [address for address, (_, at) in self._left.items() if now - at >= filled_s]
        for address in full or [next(iter(self._left))]:
            del self._left[address]


class Throttle:
    """An ASGI layer that refuses those who ask too often.

    Args:
        app: What is asked next.
        limits: How much is allowed.
        clock: For the rate.
    """

    def __init__(self, app: ASGIApp, limits: Limits, clock: Clock) -> None:
        self._app, self._limits = app, limits
        self._buckets = Buckets(limits.requests_per_s, limits.burst, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        address = _counted_as(scope)
        if address is not None and scope["path"] not in _FREE:
            again_in_s = self._buckets.take(address)
            if again_in_s > 0:
                what = f"More than {self._limits.requests_per_s:g} requests a second came from your address."
                error = TooMuchError(f"{what} Ask again in a second.", status=429, again_in_s=again_in_s)
                await refusal_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _counted_as(scope: Scope) -> str | None:
    """Return what a request is counted under, or None if it comes from this machine."""
    if scope["type"] not in ("http", "websocket"):
        return None
    return _group((scope.get("client") or ("", 0))[0])


@lru_cache(maxsize=1024)
def _group(text: str) -> str | None:
    """Return what the requests of an address are counted under, or None if it is this machine's."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if address.is_loopback:
        return None
    if address.version == 6:  # whoever has one such address has 2^64
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
