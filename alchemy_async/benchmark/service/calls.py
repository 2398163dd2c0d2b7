"""Calls: one request after the other on a connection that is kept, and how long each took.

In:    method, path, a body.
Out:   status, body, and the seconds from the first byte sent to the last one read.
Never: counts the making or reading of JSON on this side.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from alchemy_async.benchmark.exchange.daemons import BenchError

PREFIX = "/api/v1"
_LIMIT_S = 600.0
_IDLE_S = 2.0  # servers close connections that are silent for longer, some after 5 s
_SHOWN = 300  # characters of an answer that was not expected


@dataclass(frozen=True)
class Answer:
    """What came back, after how many seconds."""

    status: int
    body: Any
    seconds: float


class Line:
    """A connection to a server; one thread uses it.

    Args:
        port: Of the server, on this machine.
        limit_s: How long a single answer may take, in seconds.
    """

    def __init__(self, port: int, *, limit_s: float = _LIMIT_S) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit_s)
        self._used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request below the prefix, and return whatever comes back.

        Raises:
            OSError: If nothing comes back.
        """
        if time.monotonic() - self._used > _IDLE_S:
            self._connection.close()
            self._connection.connect()
        text = None if body is None else json.dumps(body).encode()
        headers = {} if text is None else {"Content-Type": "application/json"}
        begun = time.perf_counter()
        try:
            self._connection.request(method, PREFIX + path, text, headers)
            reply = self._connection.getresponse()
            said = reply.read()
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()  # the next call opens another
            raise ConnectionError(f"{method} {path}: {error}") from error
        seconds, self._used = time.perf_counter() - begun, time.monotonic()
        found: Any = None
        with contextlib.suppress(ValueError):
            found = json.loads(said)
        return Answer(reply.status, found, seconds)

    def must(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request that has to succeed.

        Raises:
            BenchError: If it does not.
        """
        answer = self.call(method, path, body)
        if not 200 <= answer.status < 300:
            raise BenchError(f"{method} {path} answered {answer.status}: {json.dumps(answer.body)[:_SHOWN]}")
        return answer
