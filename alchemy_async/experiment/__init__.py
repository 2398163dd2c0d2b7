"""Experiments: one place in the budget each, with their attempts, outcomes and states.

In:    nothing; every other room speaks in these words.
Out:   frozen value objects (`states`, `records`, `goals`) and the wire form of the two folders (`wire`).
Never: touches a disk, a clock or an instrument.
"""

from alchemy_async.experiment.goals import Objective, optimised, standing
from alchemy_async.experiment.records import (
    Attempt,
    AttemptKey,
    Experiment,
    Failure,
    History,
    Observation,
    Observed,
    Outcome,
    Refused,
    Suggestion,
)
from alchemy_async.experiment.states import PENDING, TERMINAL, TRANSITIONS, AttemptState, QueueState, State, Status
from alchemy_async.experiment.wire import Claim, Heartbeat, Offer, Result, Revision, WorkerState

__all__ = [
    "PENDING",
    "TERMINAL",
    "TRANSITIONS",
    "Attempt",
    "AttemptKey",
    "AttemptState",
    "Claim",
    "Experiment",
    "Failure",
    "Heartbeat",
    "History",
    "Objective",
    "Observation",
    "Observed",
    "Offer",
    "Outcome",
    "QueueState",
    "Refused",
    "Result",
    "Revision",
    "State",
    "Status",
    "Suggestion",
    "WorkerState",
    "optimised",
    "standing",
]
