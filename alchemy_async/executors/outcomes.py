"""Outcomes: what becomes of what a driver returns or raises.

In:    a returned object or an exception, and the names of the objectives.
Out:   an outcome that the folder protocol can hold.
Never: lets bad metadata cost a measurement, or bad numbers pass for one.
"""

from __future__ import annotations

import json
import logging
import math
import numbers
import traceback
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from alchemy_async.errors import DriverError, LimitError, NotStartedError, RetryableError, StoppedError
from alchemy_async.experiment import Failure, Observation, Outcome, Status

if TYPE_CHECKING:
    from alchemy_async.space import Value

MAX_MESSAGE = 16 * 1024  # characters of a failure's message
MAX_METADATA = 1024 * 1024  # characters of metadata as JSON
MAX_KEYS = 1000
MAX_LEVELS = 16

logger = logging.getLogger(__name__)


class BadResultError(DriverError):
    """A driver returned something that is no measurement of the campaign's objectives."""


def as_observation(measured: object, objectives: tuple[str, ...]) -> Observation:
    """Return a measurement in the form that the wire can hold.

    Args:
        measured: What a driver returned: a number, a mapping from objective to
            number, or an observation.
        objectives: Names of the campaign's objectives.

    Returns:
        An observation with a finite float for every objective. A standard error
        that is none, and metadata that JSON can't hold, are replaced by text in
        the metadata.

    Raises:
        BadResultError: If it is no measurement of just these objectives.
    """
    if isinstance(measured, Observation):
        values = _values(measured.values, objectives)
        sems, dropped = _sems(measured.sems, objectives)
        metadata = {**measured.metadata, **({"dropped_sems": dropped} if dropped else {})}
        return Observation(values, sems, _as_run(measured.parameters), _plain_metadata(metadata))
    if isinstance(measured, Mapping):
        return Observation(_values(measured, objectives))
    if len(objectives) != 1:
        raise BadResultError(
            f"the driver returned {_show(measured)}, and there are {len(objectives)} objectives. "
            f"Return a mapping: {{{', '.join(f'{name!r}: ...' for name in objectives)}}}."
        )
    return Observation({objectives[0]: _number(measured, objectives[0])})


def completed(observation: Observation, started_at: datetime, finished_at: datetime) -> Outcome:
    """Return the outcome of a measurement."""
    return Outcome(
        status=Status.COMPLETED,
        started_at=started_at,
        finished_at=finished_at,
        values=observation.values,
        sems=observation.sems,
        parameters=observation.parameters,
        metadata=observation.metadata,
    )


def refused(error: BaseException, started_at: datetime, finished_at: datetime, *, is_stopping: bool) -> Outcome:
    """Return the outcome of an attempt that ended in an exception.

    Args:
        error: What the driver raised.
        started_at: When the attempt started, UTC.
        finished_at: When it ended, UTC.
        is_stopping: Whether it had been asked to stop: then any exception is the answer to that.
    """
    status, kind = _kind(error, is_stopping)
    if isinstance(error, (LimitError, RetryableError, NotStartedError, StoppedError, BadResultError)):
        message = _text(error)
    else:
        message = "".join(traceback.format_exception(error)).rstrip()
    return Outcome(status, started_at, finished_at, error=Failure(kind, _capped(message)))


def _kind(error: BaseException, is_stopping: bool) -> tuple[Status, str]:
    if isinstance(error, BadResultError):  # it had finished, and what it returned counts
        return Status.FAILED, "bad_result"
    if is_stopping or isinstance(error, StoppedError):
        return Status.CANCELLED, "stopped"
    if isinstance(error, LimitError):
        return Status.INFEASIBLE, "limit"
    if isinstance(error, RetryableError):
        return Status.FAILED, "retryable"
    if isinstance(error, NotStartedError):
        return Status.RELEASED, "not_started"
    return Status.FAILED, type(error).__name__


def _values(measured: Mapping[Any, Any], objectives: tuple[str, ...]) -> dict[str, float]:
    if not isinstance(measured, Mapping):
        raise BadResultError(f"an observation's values are {_show(measured)}. Give a mapping from objective to number.")
    unknown = [name for name in measured if name not in objectives]
    if unknown:
        close = get_close_matches(str(unknown[0]), objectives, n=1) or objectives
        raise BadResultError(
            f"the driver returned {_show(unknown[0])}, which is no objective; did you mean {', '.join(close)}? "
            "What is measured beside the objectives belongs in Observation(..., metadata={...})."
        )
    missing = [name for name in objectives if name not in measured]
    if missing:
        raise BadResultError(f"the driver returned no {missing[0]!r}. Return a number for each objective.")
    return {name: _number(measured[name], name) for name in objectives}


def _number(value: Any, name: str) -> float:  # noqa: ANN401  (whatever a driver returns)
    is_truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    is_array = getattr(value, "shape", ()) != ()
    if is_truth or is_array or isinstance(value, str) or not hasattr(value, "__float__"):
        raise BadResultError(f"{name} is {_show(value)}, a {type(value).__name__}. Return one number.")
    try:
        number = float(value)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise BadResultError(f"{name} is {_show(value)}, which has no float: {error}. Return one number.") from error
    if not math.isfinite(number):
        raise BadResultError(
            f"{name} is {number}. Raise an error where there is no measurement; return finite numbers."
        )
    return number


def _sems(sems: Mapping[str, Any], objectives: tuple[str, ...]) -> tuple[dict[str, float], dict[str, str]]:
    kept: dict[str, float] = {}
    dropped: dict[str, str] = {}
    for name, value in sems.items():
        try:
            number = _number(value, name)
        except BadResultError:
            number = -1.0
        if name in objectives and number >= 0:
            kept[name] = number
        else:
            dropped[str(name)] = _show(value)
    if dropped:
        logger.warning("standard errors that are none were dropped: %s", dropped)
    return kept, dropped


def _as_run(parameters: Mapping[str, Any] | None) -> dict[str, Value] | None:
    if parameters is None:
        return None
    ran: dict[str, Value] = {}
    for name, value in parameters.items():
        if isinstance(value, str):
            ran[name] = value
        elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
            ran[name] = int(value)
        else:
            ran[name] = _number(value, f"the parameter {name} as run")
    return ran


def _plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    plain = {_text(key): _plain(value, MAX_LEVELS) for key, value in metadata.items()}
    size = len(json.dumps(plain))
    if size > MAX_METADATA or len(plain) > MAX_KEYS:
        logger.warning("metadata of %d keys and %d characters was left out", len(plain), size)
        return {"left_out": f"metadata of {size} characters. Write them to a file, and its name into the metadata."}
    return plain


def _plain(value: Any, levels: int) -> Any:  # noqa: ANN401  (whatever a driver says of its measurement)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, numbers.Integral) and abs(int(value)) < 2**63:
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return _plain(float(value), levels)
    if levels and isinstance(value, Mapping):
        return {_text(key): _plain(item, levels - 1) for key, item in value.items()}
    if levels and isinstance(value, (list, tuple)):
        return [_plain(item, levels - 1) for item in value]
    return _text(value)


def _text(value: object) -> str:
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception:  # noqa: BLE001  (an object that can't be shown must not cost the measurement)
        return f"<{type(value).__name__}>"


def _show(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (an object that can't be shown must not cost the message)
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."


def _capped(message: str) -> str:
    message = message.encode(errors="backslashreplace").decode()
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2 - 20
    return f"{message[:half]}\n... {len(message) - 2 * half} more ...\n{message[-half:]}"
