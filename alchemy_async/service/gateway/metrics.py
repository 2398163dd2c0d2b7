"""Metrics: what a server did and holds, for Prometheus; and the last net under every request.

In:    each request's route, status and time; the tallies of open sessions when somebody asks.
Out:   the text format of Prometheus; 500 where a request failed in a way that nobody foresaw.
Never: names a session's contents, or makes one.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alchemy_async.service.gateway.limits import Places
from alchemy_async.service.gateway.refusing import refusal_of

if TYPE_CHECKING:
    from alchemy_async.service.sessions.sessions import Sessions

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ASKS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
NO_ROUTE = "none"


class Metrics:
    """What one server counts; a registry of its own, so that several may live in one process.

    Args:
        sessions: Whose tallies are told.
        watchers: The places of those who watch events.
    """

    def __init__(self, sessions: Sessions, watchers: Places) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "alchemy_requests", "Requests that were answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "alchemy_request_seconds", "Time until an answer began.", ("route",), buckets=_LATENCIES_S,
            registry=self._registry,
        )  # fmt: skip
        self._leases = Counter("alchemy_leases_ended", "Leases that ended by silence.", registry=self._registry)
        self._asks = Histogram(
            "alchemy_ask_seconds", "Time that planners took for suggestions.", buckets=_ASKS_S, registry=self._registry
        )
        self._registry.register(_Present(sessions, watchers))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: In capitals.
            route: The route's path, with the names of its parameters.
            status: Of the answer.
            seconds: Until it began.
        """
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def lease_ended(self) -> None:
        """Count a lease that ended."""
        self._leases.inc()

    def asked(self, seconds: float) -> None:
        """Count a planner's answer.

        Args:
            seconds: That it took.
        """
        self._asks.observe(seconds)

    def text(self) -> bytes:
        """Return all of it in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Present(Collector):
    """What is there at the moment when somebody asks."""

    def __init__(self, sessions: Sessions, watchers: Places) -> None:
        self._sessions, self._watchers = sessions, watchers

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, so that registering looks at no session."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        opened = self._sessions.opened()
        yield GaugeMetricFamily("alchemy_sessions_open", "Sessions that are open at the moment.", len(opened))
        yield GaugeMetricFamily("alchemy_watchers", "SSE and WebSocket connections.", self._watchers.n_taken)
        experiments = GaugeMetricFamily(
            "alchemy_experiments", "Experiments of open sessions, by state.", labels=("session", "state")
        )
        for session in opened:
            with contextlib.suppress(sqlite3.Error), session.desk.look() as ledger:  # it may be closed meanwhile
                for state, n in ledger.tally().items():
                    if state != "starts":
                        experiments.add_metric((session.id, state), n)
        yield experiments


class Metered:
    """The outermost ASGI layer: counts every answer, and answers for whatever went wrong below it.

    Args:
        app: What is asked next.
        metrics: Where it counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                self._metrics.answered(_known(scope["method"]), route, status, time.perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except ClientDisconnect:
            log.debug("a client went away before its request was there")
        except Exception as error:  # the last net: whatever it is, the server goes on
            if status:
                raise
            await refusal_of(error)(scope, receive, send_counted)


def _known(method: str) -> str:
    """Return a method as a label: whoever makes methods up makes no series."""
    return method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "OTHER"
