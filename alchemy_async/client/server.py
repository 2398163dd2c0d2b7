"""Server: the sessions that a server has.

In:    the address of a server, a token.
Out:   sessions, made or found.
Never: makes a session twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from alchemy_async.client.session import Session, new_key
from alchemy_async.client.transport import Transport, part

TOKEN = "ALCHEMY_TOKEN"  # noqa: S105 - the name of a variable, not a token


class Client:
    """Speaks with one server; any number of threads may use it.

    Args:
        url: Where the server is, such as ``http://lab-server:8000``.
        token: What ``alchemy-async token add`` printed there; None: the variable
            ``ALCHEMY_TOKEN`` holds it, or the server wants none.
        timeout_s: How long an answer may take.
        patience_s: How long a request is sent again while nobody answers. Only what
            the server counts once, however often it comes, is sent again.

    Raises:
        ClientError: If the address is none.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout_s: float = 30.0, patience_s: float = 30.0
    ) -> None:
        token = token or os.environ.get(TOKEN, "").strip() or None
        self._transport, self._patience_s = Transport(url, token, timeout_s=timeout_s), patience_s

    def sessions(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the server says in short of each session: ``session_id``, ``name``, ``n_experiments`` ...

        Raises:
            ClientError: If the server does not answer, or refuses.
        """
        after: str | None = None
        while True:
            page = self._transport.call("GET", "/sessions", query={"after": after}, patience_s=self._patience_s)
            yield from page["sessions"]
            after = page["next"]
            if after is None:
                return

    def session(self, session_id: str) -> Session:
        """Return a session that is there already; whether it is, its first request will tell."""
        return Session(self._transport, session_id, self._patience_s)

    def create_session(self, name: str = "", *, description: str = "", tags: Sequence[str] = ()) -> Session:
        """Begin a session without variables, whose one objective is ``Output``; it is to be maximised.

        Raises:
            UnreachableError: If the server does not answer, for as long as the client is patient.
            RefusedError: If the server refuses.
        """
        body: dict[str, Any] = {"description": description, "tags": list(tags)} | ({"name": name} if name else {})
        begun = self._transport.call("POST", "/sessions", body=body, headers=new_key(), patience_s=self._patience_s)
        return self.session(str(begun["session_id"]))

    def delete_session(self, session_id: str) -> None:
        """Take a session away.

        Raises:
            UnreachableError: If the server does not answer.
            RefusedError: If there is none, or something still runs in it.
        """
        self._transport.call("DELETE", f"/sessions/{part(session_id)}")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
