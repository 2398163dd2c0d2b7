"""Recording: what was measured, by whom, and what becomes of it.

In:    outcomes that clients report: one by its id, all that waits in its order, or rows of their own.
Out:   each counted once; one that contradicts an earlier one is kept, and said to be a conflict.
Never: drops a measurement, or puts outputs on the inputs of another experiment.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.errors import PointError
from alchemy_async.experiment import Attempt, AttemptState, Experiment, Outcome, Result, State, Status
from alchemy_async.ledger import Ingested
from alchemy_async.queues.layout import UNKNOWN
from alchemy_async.service.desk import Turn
from alchemy_async.service.problems import ConflictError, Flaw, InvalidError
from alchemy_async.service.staging import BY_HAND, REST, check_points, find
from alchemy_async.service.taking import attempt_of, check_worker

NOISE = "noise"  # of metadata: the variance as the client wrote it, of each objective


@dataclass(frozen=True)
class Measured:
    """Values as a client gives them: by objective, each with the variance of its noise where it is known."""

    values: Mapping[str, float]
    variances: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def sems(self) -> dict[str, float]:
        """Return the standard errors."""
        return {name: math.sqrt(variance) for name, variance in self.variances.items()}

    def noted(self) -> dict[str, Any]:
        """Return the metadata, with the variances as they were written."""
        return {**self.metadata, **({NOISE: dict(self.variances)} if self.variances else {})}


@dataclass(frozen=True)
class Row:
    """A measurement of inputs that were never staged."""

    inputs: Mapping[str, Any]
    measured: Measured
    reason: str = ""
    iteration: int | None = None


@dataclass(frozen=True)
class Recorded:
    """What became of a report."""

    experiment: Experiment
    attempt: Attempt
    ingested: Ingested


def completed(turn: Turn, measured: Measured, *, parameters: Mapping[str, Any] | None = None) -> Outcome:
    """Return the outcome that a measurement makes; `check_measured` has seen it.

    Raises:
        InvalidError: If the inputs as run do not fit.
    """
    if parameters is not None:
        try:
            turn.study.space.check_as_run(parameters)
        except PointError as error:
            raise InvalidError.of(error.mistakes, "parameters") from error
    return Outcome(
        Status.COMPLETED, turn.now, turn.now, dict(measured.values), measured.sems(),
        None if parameters is None else dict(parameters), metadata=measured.noted(),
    )  # fmt: skip


def check_measured(turn: Turn, measured: Measured, *place: str | int) -> None:
    """Check that every objective has a value, and nothing else has one.

    Raises:
        InvalidError: If not, with every flaw.
    """
    names = [objective.name for objective in turn.study.objectives]
    flaws = [
        Flaw((*place, name), f"has no value. The objectives are {', '.join(names)}")
        for name in names
        if name not in measured.values
    ]
    strange = [name for name in (*measured.values, *measured.variances) if name not in names]
    flaws += [Flaw((*place, name), f"is no objective. The objectives are {', '.join(names)}") for name in strange]
    for name, number in measured.values.items():
        if not math.isfinite(number):
            flaws.append(Flaw((*place, name), "must be a finite number"))
    for name, number in measured.variances.items():
        if not (math.isfinite(number) and number >= 0):
            flaws.append(Flaw((*place, name), "has a noise that is no variance: it must be finite and >= 0"))
    if flaws:
        raise InvalidError(flaws)


def report(
    turn: Turn, name: str, outcome: Outcome, *, number: int | None = None, worker: str | None = None
) -> Recorded:
    """Take an outcome of an experiment, whoever has it.

    Args:
        turn: The transaction.
        name: The experiment.
        outcome: What came of it.
        number: Which attempt; None: the newest.
        worker: Who reports; None: whoever has it.

    Raises:
        UnknownError: If there is no such experiment or attempt.
        ConflictError: If somebody else has it and will report by himself, or it was withdrawn.
    """
    if worker is not None:
        check_worker(worker)
    attempt = attempt_of(turn, name, number)
    if attempt.state is AttemptState.QUEUED:
        if not turn.take(attempt.key, worker or REST):
            raise ConflictError(f"{turn.ledger.attempt(attempt.key).worker} was faster to claim {attempt.key}.")
        attempt = turn.ledger.attempt(attempt.key)
    elif not attempt.worker:
        raise ConflictError(
            f"{attempt.key} was {attempt.ending or 'withdrawn'} before anybody had it. Add a row instead."
        )
    is_of_folder = attempt.lease_s is None and attempt.state is not AttemptState.ENDED
    if is_of_folder and worker is None and attempt.worker not in (REST, UNKNOWN):
        raise ConflictError(f"{attempt.worker} runs {attempt.key} and reports by itself.")
    result = Result(turn.ledger.campaign, attempt.key, worker or attempt.worker, outcome)
    ingested = turn.change.ingest(result, digest_of(outcome))
    return Recorded(find(turn, name), turn.ledger.attempt(attempt.key), ingested)


def digest_of(outcome: Outcome) -> str:
    """Return what tells one outcome from another: all of it but the times."""
    error = outcome.error
    said = [
        str(outcome.status), dict(outcome.values), dict(outcome.sems), dict(outcome.parameters or {}),
        dict(outcome.metadata), None if error is None else [error.kind, error.message],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True, allow_nan=False).encode()).hexdigest()


def complete_waiting(
    turn: Turn,
    measured: Sequence[Measured],
    *,
    version: int | None = None,
    reason: str | None = None,
    iteration: int | None = None,
) -> list[Experiment] | str:
    """Complete all that waits, in its order.

    Args:
        turn: The transaction.
        measured: Of each that waits, in the order of `Ledger.waiting`.
        version: Of the queue that the client saw; None: it does not say.
        reason: In place of the reasons that they were staged with.
        iteration: Of all of them; None: each is one of its own.

    Returns:
        The experiments; or why none was completed, where somebody in the folder was faster.

    Raises:
        ConflictError: If the queue is another one, or none; nothing is taken.
    """
    present = turn.ledger.queue_version()
    if version is not None and version != present:
        raise ConflictError(
            f"The queue has changed: it is at version {present}, and you saw {version}. GET it again; what belongs to "
            "an experiment by its id can be reported with POST staged/{id}/complete."
        )
    waiting = turn.ledger.waiting()
    if len(waiting) != len(measured):
        what = f"{len(waiting)} experiments are staged" if waiting else "No experiment is staged"
        raise ConflictError(
            f"{what}, and {len(measured)} outputs were sent. GET the queue again, and send one output for each, in "
            "its order; or report each by its id with POST staged/{id}/complete."
        )
    for i, one in enumerate(measured):
        check_measured(turn, one, "outputs", i)
    taken: list[Experiment] = []
    for found in waiting:
        if not turn.take(found.key, REST):
            _give_back(turn, taken)
            return f"{turn.ledger.attempt(found.key).worker} was faster to claim {found.id}. GET the queue again."
        taken.append(found)
    first = turn.change.next_iteration() if iteration is None else iteration
    for i, (found, one) in enumerate(zip(waiting, measured, strict=True)):
        turn.change.annotate(found.id, reason=reason, iteration=first + i if iteration is None else iteration)
        outcome = completed(turn, one)
        turn.change.ingest(Result(turn.ledger.campaign, found.key, REST, outcome), digest_of(outcome))
    return [find(turn, found.id) for found in waiting]


def _give_back(turn: Turn, taken: Sequence[Experiment]) -> None:
    """Offer again what was claimed in the folder for a completion that does not happen."""
    nothing_done = Outcome(Status.RELEASED, turn.now, turn.now)
    for found in taken:
        turn.change.ingest(Result(turn.ledger.campaign, found.key, REST, nothing_done), digest_of(nothing_done))


def add_rows(turn: Turn, rows: Sequence[Row], *places: tuple[str | int, ...], worker: str = REST) -> list[Experiment]:
    """Record measurements that nobody staged: all of them, or none.

    Args:
        turn: The transaction.
        rows: The measurements.
        places: Of each, where it stands in the body.
        worker: Who measured.

    Raises:
        InvalidError: If any does not fit.
        BudgetError: If not all have a place.
    """
    points = check_points(turn.study.space, [row.inputs for row in rows], *((*place, "inputs") for place in places))
    for row, place in zip(rows, places, strict=True):
        check_measured(turn, row.measured, *place, "output")
    following = turn.change.next_iteration()
    added: list[Experiment] = []
    for row, point in zip(rows, points, strict=True):
        iteration = following if row.iteration is None else row.iteration
        following = max(following, iteration) + 1 if row.iteration is None else max(following, iteration + 1)
        experiment = turn.change.add(point, origin=BY_HAND, reason=row.reason, pinned=True, iteration=iteration)
        turn.take(experiment.key, worker)
        outcome = completed(turn, row.measured)
        turn.change.ingest(Result(turn.ledger.campaign, experiment.key, worker, outcome), digest_of(outcome))
        added.append(find(turn, experiment.id))
    return added


def is_open(experiment: Experiment) -> bool:
    """Tell whether an experiment may still be completed for the first time."""
    return experiment.state in (State.QUEUED, State.RUNNING, State.INTERRUPTED)
