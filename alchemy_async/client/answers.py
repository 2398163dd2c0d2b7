"""Answers: what a server says, as frozen values.

In:    documents as the server sent them.
Out:   values with names and types; what else a document holds is left alone.
Never: checks what the server has checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = float | int | str
Inputs = Mapping[str, Value]


@dataclass(frozen=True)
class Staged:
    """An experiment that waits to be run; ``queue_version`` is the queue's, right after it was staged."""

    id: str
    inputs: Inputs
    queue_version: int


@dataclass(frozen=True)
class Queue:
    """All that waits, the first to be run first; completed in this order and with this version, nothing is mixed up."""

    ids: tuple[str, ...]
    experiments: tuple[Inputs, ...]
    reasons: tuple[str | None, ...]
    version: int


@dataclass(frozen=True)
class Taken:
    """An experiment that this client has, until it reports or is silent for ``lease_s`` seconds."""

    id: str
    attempt: int
    inputs: Inputs
    worker: str
    lease_s: float
    reason: str | None = None


@dataclass(frozen=True)
class Reported:
    """What became of a report.

    ``recorded`` is ``counted``, ``replicate`` (a measurement more of an experiment that had ended) or
    ``superseded`` (kept; the experiment had gone on without it).
    """

    id: str
    attempt: int
    status: str
    recorded: str

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Reported:
        """Read what a server said of a report."""
        return cls(str(said["id"]), int(said["attempt"]), str(said["status"]), str(said["recorded"]))


@dataclass(frozen=True)
class Event:
    """One thing that happened in a session; ``number`` grows, and none is used twice."""

    number: int
    at: str
    kind: str
    experiment: str
    attempt: int
    details: Mapping[str, Any]
