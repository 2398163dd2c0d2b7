"""Problems: why a request was refused, for programs and for people.

In:    what is wrong with a request.
Out:   errors, each with the HTTP status that says so.
Never: names a path of this machine, or lets a stack out.

    AlchemyError
    └── ServiceError             the base of these; 400
        ├── NoVariablesError, NoDataError, NoModelError     400: what the request needs is not there yet
        ├── InvalidError         422, with the fields
        ├── UnknownError         404
        │   └── SessionNotFoundError
        ├── ConflictError        409
        ├── NotAllowedError      401 or 403
        ├── TooMuchError         413 or 429
        └── UnavailableError     503

The names that clients of ALchemist may look for (SessionNotFoundError, NoVariablesError, NoDataError, NoModelError,
ValidationError) mean here what they mean there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alchemy_async.errors import AlchemyError, Mistake

Place = tuple[str | int, ...]


class ServiceError(AlchemyError):
    """A request can't be served."""

    status = 400

    @property
    def error_type(self) -> str:
        """The kind of error, for programs."""
        return type(self).__name__


class NoVariablesError(ServiceError):
    """The session has no variables yet."""


class NoDataError(ServiceError):
    """The session has no observations yet, or too few."""


class NoModelError(ServiceError):
    """The session has no trained model."""


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a body: where, what, and how to mend it."""

    place: Place
    what: str
    kind: str = "value_error"

    def as_dict(self) -> dict[str, object]:
        """Return it in the form that FastAPI gives its own; the value itself is not repeated."""
        return {"loc": ["body", *self.place], "msg": self.what, "type": self.kind}


class InvalidError(ServiceError):
    """A body does not fit; ``flaws`` holds every reason."""

    status = 422
    error_type = "ValidationError"

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("; ".join(f"{'.'.join(map(str, flaw.place))}: {flaw.what}" for flaw in flaws))

    @classmethod
    def at(cls, *place: str | int, what: str) -> InvalidError:
        """Return the error of a single flaw."""
        return cls([Flaw(place, what)])

    @classmethod
    def of(cls, mistakes: Sequence[Mistake], *place: str | int) -> InvalidError:
        """Return the error of mistakes that a search space found, below a place in the body."""
        return cls([Flaw((*place, mistake.path), f"{mistake.what}. {mistake.mend}") for mistake in mistakes])


class UnknownError(ServiceError):
    """There is no such thing."""

    status = 404


class SessionNotFoundError(UnknownError):
    """There is no such session."""


class ConflictError(ServiceError):
    """It does not go with what is there; look again."""

    status = 409


class NotAllowedError(ServiceError):
    """Whoever asks may not."""

    def __init__(self, message: str, *, status: int = 403) -> None:
        self.status = status
        super().__init__(message)


class TooMuchError(ServiceError):
    """It is more than the server takes; ``again_in_s`` says when to ask again."""

    def __init__(self, message: str, *, status: int = 413, again_in_s: float | None = None) -> None:
        self.status = status
        self.again_in_s = again_in_s
        super().__init__(message)


class UnavailableError(ServiceError):
    """It can't be served at the moment; nothing was changed."""

    status = 503
