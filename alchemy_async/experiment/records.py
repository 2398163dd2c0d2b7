"""Records: experiments, attempts, observations and outcomes as frozen values.

In:    plain values.
Out:   the nouns that the ledger keeps and that planners, queues and drivers exchange.
Never: change; a later truth is another record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from alchemy_async.errors import WireError
from alchemy_async.experiment.states import AttemptState, State, Status

if TYPE_CHECKING:  # the space needs numpy, which a worker process can do without
    from alchemy_async.space import Point

EXPERIMENT_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
WORKER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class AttemptKey(NamedTuple):
    """One try at one experiment; written ``<experiment>.<attempt>``."""

    experiment: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.experiment}.{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> AttemptKey:
        """Read ``<experiment>.<attempt>``.

        Raises:
            WireError: If the text has another form.
        """
        experiment, dot, attempt = text.partition(".")
        if not dot or not EXPERIMENT_ID.match(experiment) or not re.match(r"[1-9][0-9]{0,8}\Z", attempt):
            short = repr(text[:60])
            raise WireError(f"{short} is not of the form <experiment>.<attempt>, such as e0001.1", field="attempt")
        return cls(experiment, int(attempt))


@dataclass(frozen=True)
class Failure:
    """Why an attempt brought no measurement: a kind that programs read, a message for people."""

    kind: str
    message: str = ""

    def in_short(self, most: int = 300) -> str:
        """Return it as one line for logs: of a traceback the last line, of any other message the first."""
        lines = self.message.strip().splitlines()
        if not lines:
            return self.kind
        is_traceback = lines[0].startswith("Traceback")
        line = lines[-1] if is_traceback else f"{self.kind}: {lines[0]}"
        return line if len(line) <= most else line[: most - 3] + "..."


@dataclass(frozen=True)
class Observation:
    """What was measured; a driver may return one instead of a bare number.

    Args:
        values: Measured value of each objective, in the objective's unit.
        sems: Standard error of each value that has one, same unit, >= 0.
        parameters: The parameters as actually run; None where they are as asked.
        metadata: Anything JSON can hold: file names, spectra ids, room temperature.
    """

    values: Mapping[str, float]
    sems: Mapping[str, float] = field(default_factory=dict)
    parameters: Point | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a worker reports of one attempt: an observation, or a failure with its kind."""

    status: Status
    started_at: datetime
    finished_at: datetime
    values: Mapping[str, float] = field(default_factory=dict)
    sems: Mapping[str, float] = field(default_factory=dict)
    parameters: Point | None = None
    error: Failure | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One place in the budget, as the ledger has it.

    ``attempt`` is the newest one. A pinned experiment is never revised by the
    planner; ``requires`` are labels that a worker must have.
    """

    id: str
    number: int
    state: State
    parameters: Point
    attempt: int
    priority: float = 0.0
    origin: str = "planner"
    reason: str = ""
    iteration: int | None = None
    pinned: bool = False
    requires: tuple[str, ...] = ()
    is_cancelling: bool = False

    @property
    def key(self) -> AttemptKey:
        """Its newest attempt."""
        return AttemptKey(self.id, self.attempt)


@dataclass(frozen=True)
class Attempt:
    """One try at an experiment, as the ledger has it; ``parameters`` are those that were taken.

    ``lease_s`` and ``beat`` speak of an attempt whose holder beats in the ledger itself; None
    where it beats in the folder.
    """

    key: AttemptKey
    state: AttemptState
    parameters: Point
    worker: str = ""
    instance: str = ""
    host: str = ""
    pid: int = 0
    idempotent: bool = False
    ending: str = ""
    lease_s: float | None = None
    beat: int = 0


@dataclass(frozen=True)
class Observed:
    """One measurement as a planner sees it: the parameters as run, values and standard errors."""

    parameters: Point
    values: Mapping[str, float]
    sems: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A point that brought no measurement and is not to be proposed again."""

    parameters: Point
    kind: str


@dataclass(frozen=True)
class History:
    """All that a planner may learn from, oldest first."""

    observations: tuple[Observed, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """A point that a planner wants measured, and what it says about it."""

    parameters: Point
    origin: str = "planner"
    reason: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
