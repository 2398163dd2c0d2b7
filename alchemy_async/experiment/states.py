"""States: what an experiment can be, and what it can become.

In:    nothing.
Out:   the states of an experiment, of its attempts, of a result and of the queue.
Never: changes one; the ledger does.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an experiment stands."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


PENDING = frozenset({State.QUEUED, State.RUNNING, State.INTERRUPTED})
TERMINAL = frozenset(State) - PENDING

TRANSITIONS: frozenset[tuple[State, State]] = frozenset(
    {
        (State.QUEUED, State.QUEUED),  # revised; or withdrawn at a drain and kept for the next start
        (State.QUEUED, State.RUNNING),
        (State.QUEUED, State.CANCELLED),
        (State.QUEUED, State.COMPLETED),  # an older attempt's measurement came in late
        *((State.RUNNING, to) for to in State if to is not State.ABANDONED and to is not State.RUNNING),
        *((State.INTERRUPTED, to) for to in State if to is not State.INTERRUPTED),
    }
)


class AttemptState(StrEnum):
    """Where one attempt stands; ``ended`` never changes, and says how in its own field."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


class Status(StrEnum):
    """What a worker says of the attempt it had."""

    COMPLETED = "completed"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    CANCELLED = "cancelled"
    RELEASED = "released"


class QueueState(StrEnum):
    """What the planner says of the whole queue."""

    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
