"""Rows: how records stand in the tables.

In:    rows of the ledger.
Out:   frozen records; JSON texts for the way back.
Never: writes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Experiment, State

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))  # made once: `dumps` makes one at each call


def to_text(document: Mapping[str, Any] | list[Any] | tuple[Any, ...]) -> str:
    """Return JSON in one line; keys keep their order, floats keep every bit."""
    if not document:
        return "{}" if isinstance(document, Mapping) else "[]"
    return _ENCODER.encode(document)


@lru_cache(maxsize=4096)
def _read(text: str) -> dict[str, Any]:
    """Read a JSON object; the same few are read again and again while they wait."""
    document: dict[str, Any] = json.loads(text)
    return document


def read(text: str) -> dict[str, Any]:
    """Read a JSON object into one of the caller's own."""
    return dict(_read(text))


def experiment(row: sqlite3.Row) -> Experiment:
    """Read an experiment; a row that stayed as it was brings the same record."""
    return _experiment(*row)


@lru_cache(maxsize=4096)
def _experiment(
    number: int,
    name: str,
    state: str,
    parameters: str,
    attempt: int,
    priority: float,
    origin: str,
    reason: str,
    iteration: int | None,
    pinned: int,
    requires: str,
    is_cancelling: int,
    _metadata: str,
    _added_at: str | None,
) -> Experiment:
    """Make a record of the columns of ``experiments``, in their order there."""
    return Experiment(
        id=name,
        number=number,
        state=State(state),
        parameters=dict(_read(parameters)),
        attempt=attempt,
        priority=priority,
        origin=origin,
        reason=reason,
        iteration=iteration,
        pinned=bool(pinned),
        requires=() if requires == "[]" else tuple(json.loads(requires)),
        is_cancelling=bool(is_cancelling),
    )


def attempt(row: sqlite3.Row) -> Attempt:
    """Read an attempt."""
    return Attempt(
        key=AttemptKey(row["experiment"], row["attempt"]),
        state=AttemptState(row["state"]),
        parameters=dict(_read(row["parameters"])),
        worker=row["worker"],
        instance=row["instance"],
        host=row["host"],
        pid=row["pid"],
        idempotent=bool(row["idempotent"]),
        ending=row["ending"],
        lease_s=row["lease_s"],
        beat=row["beat"],
    )
