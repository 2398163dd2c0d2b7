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
    return _ENCODER.encode(document)


@lru_cache(maxsize=4096)
def _read(text: str) -> dict[str, Any]:
    """Read a JSON object; the same few are read again and again while they wait."""
    document: dict[str, Any] = json.loads(text)
    return document


def experiment(row: sqlite3.Row) -> Experiment:
    """Read an experiment."""
    return Experiment(
        id=row["id"],
        number=row["number"],
        state=State(row["state"]),
        parameters=dict(_read(row["parameters"])),
        attempt=row["attempt"],
        priority=row["priority"],
        origin=row["origin"],
        reason=row["reason"],
        iteration=row["iteration"],
        pinned=bool(row["pinned"]),
        requires=() if row["requires"] == "[]" else tuple(json.loads(row["requires"])),
        is_cancelling=bool(row["is_cancelling"]),
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
    )
