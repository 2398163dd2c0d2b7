"""Transport: one request to a server, answered, refused or without an answer.

In:    the address of a server, a token; methods, paths and bodies.
Out:   what JSON the server says; errors that say whether to try again.
Never: waits without a limit, or repeats what might then count twice.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from alchemy_async.client.problems import ClientError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

PREFIX = "/api/v1"
CONNECT_S = 5.0
_FIRST_S, _MOST_S = 0.2, 5.0  # between two tries
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may be others the next time

Query = Mapping[str, str | int | float | bool | list[str] | None]


def part(text: str) -> str:
    """Return a text as one part of a path, whatever characters it has."""
    return quote(text, safe="")


class Transport:
    """Speaks with one server; any number of threads may use it.

    Args:
        url: Where the server is, such as ``http://lab-server:8000``.
        token: What the server made with ``alchemy-async token add``; None: it wants none.
        timeout_s: How long an answer may take.
        sleep: Waits between two tries.

    Raises:
        ClientError: If the address is none.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        found = urlsplit(url)
        if found.scheme not in ("http", "https") or not found.hostname or found.query or found.fragment:
            raise ClientError(f"{url!r} is no address of a server. Write it like http://lab-server:8000.")
        if token is not None and (not token.isascii() or not token.isprintable() or " " in token):
            raise ClientError("The token has characters that no token has. Copy it again, without quotes and spaces.")
        self.url = url.rstrip("/").removesuffix(PREFIX)
        self._base = self.url + PREFIX
        self._token, self.timeout_s, self._sleep = token, timeout_s, sleep
        self._http: PoolManager | None = None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        patience_s: float = 0.0,
    ) -> Any:  # noqa: ANN401 - what JSON can hold; whoever calls knows the shape
        """Send a request, and return what its answer says.

        Args:
            method: ``GET``, ``POST`` ...
            path: Below the API's prefix, such as ``/sessions``.
            body: Sent as JSON.
            query: What is None is left out.
            headers: More of them.
            timeout_s: In place of the transport's own.
            patience_s: For so long it is sent again where nobody answers; only for
                what the server counts once, however often it comes.

        Raises:
            UnreachableError: If nobody answered, or not now.
            RefusedError: If the server refused it.
            ValueError: If the body can't be written as JSON.
        """
        data = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        until, wait_s = time.monotonic() + patience_s, _FIRST_S
        while True:
            try:
                return self._once(method, path, data, query, headers, timeout_s or self.timeout_s)
            except UnreachableError as error:
                wait_s = max(wait_s, error.again_in_s or 0.0) * random.uniform(0.8, 1.2)
                if time.monotonic() + wait_s >= until:
                    raise
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, _MOST_S)

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.clear()

    def _once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        query: Query | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Any:  # noqa: ANN401 - as `call`
        import urllib3  # takes longer to import than all of this package's client

        if self._http is None:
            self._http = urllib3.PoolManager(maxsize=8, retries=False)
        sent = {"Accept": "application/json", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = "application/json"
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        url = self._base + path + _as_text(query)
        try:
            answer = self._http.request(
                method, url, body=data, headers=sent, redirect=False, retries=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_S, timeout_s), read=timeout_s),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(
                f"{self.url} does not answer ({_in_short(error)}). See that `alchemy-async serve` runs there, and that "
                "its machine can be reached from here."
            ) from error
        return self._read(answer)

    def _read(self, answer: BaseHTTPResponse) -> Any:  # noqa: ANN401 - as `call`
        said = _parse(answer.data)
        if 200 <= answer.status < 300 and (said is not None or not answer.data):
            return said
        problem = said if isinstance(said, dict) else {}
        detail = str(problem.get("detail") or answer.reason or "no reason given")
        if answer.status in _LATER or (said is None and not 400 <= answer.status < 500):
            raise UnreachableError(
                f"{self.url} can't serve this now (status {answer.status}): {detail}",
                status=answer.status,
                again_in_s=_seconds(answer.headers.get("Retry-After")),
            )
        flaws = problem.get("errors")
        raise RefusedError(
            f"{self.url} refuses (status {answer.status}): {detail}",
            status=answer.status,
            detail=detail,
            kind=str(problem.get("error_type", "")),
            flaws=[flaw for flaw in flaws if isinstance(flaw, dict)] if isinstance(flaws, list) else (),
        )


def _as_text(query: Query | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    if not given:
        return ""
    texts = {key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()}
    return "?" + urlencode(texts, doseq=True)


def _parse(data: bytes) -> Any:  # noqa: ANN401 - as `call`
    try:
        return json.loads(data)
    except ValueError:
        return None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(float(text), 0.0)
    except ValueError:  # a date: how far off it is depends on two clocks
        return None


def _in_short(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
