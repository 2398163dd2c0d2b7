"""Problems: why a request brought no answer, or the answer no.

In:    what the network or the server said.
Out:   two errors, so that a caller knows whether to try again or to change the request.
Never: shows a token.

    AlchemyError
    └── ClientError
        ├── UnreachableError     nobody answered, or not now: try again, nothing is known to have happened
        └── RefusedError         the server said no: the same request will be refused again
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alchemy_async.errors import AlchemyError


class ClientError(AlchemyError):
    """A request did not succeed; ``status`` is 0 where there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class UnreachableError(ClientError, OSError):
    """Nobody answered, or the server can't serve at the moment; whether it heard the request is not known.

    ``again_in_s`` is what the server asked to be waited for, None if it said nothing.
    """

    def __init__(self, message: str, *, status: int = 0, again_in_s: float | None = None) -> None:
        self.again_in_s = again_in_s
        super().__init__(message, status=status)

    def __str__(self) -> str:
        return str(self.args[0])


class RefusedError(ClientError):
    """The server refused a request.

    ``detail`` says why, ``kind`` says it for programs; ``flaws`` holds what does
    not fit, each with ``loc``, ``msg`` and ``type``, where the status is 422.
    """

    def __init__(
        self, message: str, *, status: int, detail: str, kind: str = "", flaws: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.detail, self.kind, self.flaws = detail, kind, tuple(dict(flaw) for flaw in flaws)
        super().__init__(message, status=status)
