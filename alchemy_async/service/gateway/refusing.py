"""Refusing: every error as a body of one form, for programs and for people.

In:    whatever a request raised.
Out:   an answer with ``detail`` (a sentence), ``error_type``, ``status_code``, and all ``errors`` of a request.
Never: lets a path of this machine, a stack or what the client sent into a body.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from alchemy_async.errors import (
    AlchemyError,
    AlreadyRunningError,
    BudgetError,
    IllegalTransitionError,
    Mistake,
    PlannerError,
    PointError,
    RuleError,
    SettingsError,
    UnknownExperimentError,
    WireError,
)
from alchemy_async.service.problems import InvalidError, ServiceError, TooMuchError

log = logging.getLogger(__name__)

INVALID = "ValidationError"  # the `error_type` of every 422
_SHOWN = 5  # of the flaws of a body, in the sentence; `errors` holds all
_WIDEST = 100  # characters of a key that a client made up
_STATUS: dict[type[AlchemyError], int] = {
    AlreadyRunningError: 409,
    BudgetError: 409,
    IllegalTransitionError: 409,
    PlannerError: 422,
    RuleError: 422,
    UnknownExperimentError: 404,
    WireError: 422,
}
_NAMES = {
    401: "NotAllowedError",
    403: "NotAllowedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    409: "ConflictError",
    413: "TooMuchError",
    422: INVALID,
    429: "TooMuchError",
    500: "InternalError",
    503: "UnavailableError",
}


def refusal(
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer that refuses a request.

    Args:
        status: 400 or more.
        detail: What is wrong, why, and how to mend it.
        kind: The kind of refusal, for programs; None: what the status says.
        errors: With 422, everything that does not fit.
        headers: More of the answer.
    """
    body: dict[str, Any] = {"detail": detail, "error_type": kind or _NAMES.get(status, "ServiceError")}
    body["status_code"] = status
    if status == 422:
        body["errors"] = [dict(one) for one in errors or [{"loc": ["body"], "msg": detail, "type": "value_error"}]]
    text = json.dumps(body, allow_nan=False)  # ASCII: half a character of a key can't break it
    return Response(text, status, headers, media_type="application/json")


def refusal_of(error: Exception) -> Response:
    """Return the answer to a request that raised an error.

    What a client can mend is told; of what it can't, only that it is so: the log says why.
    """
    if isinstance(error, RequestValidationError):
        return _misfit([_place(one) for one in error.errors()])
    if isinstance(error, InvalidError):
        return _misfit([flaw.as_dict() for flaw in error.flaws])
    if isinstance(error, PointError | SettingsError):
        return _misfit([_mistaken(mistake) for mistake in error.mistakes])
    if isinstance(error, ServiceError):
        again_in_s = error.again_in_s if isinstance(error, TooMuchError) else None
        return refusal(error.status, str(error), kind=error.error_type, headers=_again(again_in_s))
    if isinstance(error, AlchemyError):
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
        if status is not None:
            return refusal(status, str(error), kind=None if status == 422 else type(error).__name__)
        log.error("a session can't be used: %s", error)
        return refusal(503, "The session can't be used at the moment; the server's log says why. Nothing was changed.")
    if isinstance(error, HTTPException):
        return refusal(error.status_code, str(error.detail), headers=error.headers)
    return _fault(error)


def _fault(error: Exception) -> Response:
    if isinstance(error, OverflowError):
        return refusal(422, "The request holds a number that is too large. Send one that fits 64 bits.")
    if isinstance(error, sqlite3.IntegrityError):
        log.error("the ledger refuses a change: %s", error)
        return refusal(409, "That does not go with what the ledger holds. Look again at what is there.")
    if isinstance(error, sqlite3.Error | OSError):
        log.error("the disk refuses: %s", error)
        what = "The server's disk or ledger refuses at the moment; nothing was changed. Try again."
        return refusal(503, what, headers=_again(1.0))
    log.error("a request failed", exc_info=error)
    return refusal(500, "The server made a mistake; its log says more. Nothing half-done was kept.")


def _misfit(errors: Sequence[Mapping[str, Any]]) -> Response:
    said = [f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in errors]
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return refusal(422, "; ".join(said[:_SHOWN]) + more, errors=errors)


def _place(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of pydantic's errors without what was sent: it may hold what JSON can't."""
    loc = [part if isinstance(part, int) else str(part)[:_WIDEST] for part in one["loc"]] or ["body"]
    return {"loc": loc, "msg": str(one["msg"]), "type": str(one["type"])}


def _mistaken(mistake: Mistake) -> dict[str, Any]:
    return {"loc": ["body", mistake.path], "msg": f"{mistake.what}. {mistake.mend}", "type": "value_error"}


def _again(seconds: float | None) -> dict[str, str] | None:
    return None if seconds is None else {"Retry-After": str(max(1, round(seconds)))}
