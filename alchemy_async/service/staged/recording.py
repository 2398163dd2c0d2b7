"""Recording: what was measured, by whom, and what becomes of it.

In:    outcomes that clients report: one by its id, all that waits in its order, or rows of their own.
Out:   each counted once; one that contradicts an earlier one is kept, and said to be a conflict.
Never: drops a measurement, or puts outputs on the inputs of another experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from alchemy_async.experiment import Attempt, AttemptState, Experiment, Outcome, Result, State, Status
from alchemy_async.ledger import RECORDED, Addition, Completion, Ingested
from alchemy_async.queues.layout import UNKNOWN
from alchemy_async.service.problems import ConflictError, ServiceError
from alchemy_async.service.staged.desk import Turn
from alchemy_async.service.staged.measures import Measured, check_measured, digest_of
from alchemy_async.service.staged.staging import REST, check_as_run, check_points, find
from alchemy_async.service.staged.taking import attempt_of, check_worker
from alchemy_async.space import Point

_Entry = tuple["Row", Point, int]
HELD = (State.RUNNING, State.INTERRUPTED)


@dataclass(frozen=True)
class Row:
    """A measurement that is no answer to a claim: of an experiment by its id, or of inputs that were never staged."""

    inputs: Mapping[str, Any]
    measured: Measured
    reason: str | None = None
    iteration: int | None = None
    experiment: str | None = None


@dataclass(frozen=True)
class Recorded:
    """What became of a report.

    Args:
        experiment: As it is now.
        attempt: Whose outcome it is.
        ingested: What the ledger made of it.
        stored: What the ledger holds of this report, as `Dataset.outcomes_of` has it.
        first: What it holds of the report that came first, if that was another one.
    """

    experiment: Experiment
    attempt: Attempt
    ingested: Ingested
    stored: Mapping[str, Any]
    first: Mapping[str, Any] | None = None

    @property
    def is_conflict(self) -> bool:
        """Whether it contradicts what came first."""
        return bool(self.stored["role"] == Ingested.CONFLICT)


def report(
    turn: Turn, name: str, outcome: Outcome, *, number: int | None = None, worker: str | None = None
) -> Recorded:
    """Take an outcome of an experiment, whoever has it.

    Args:
        turn: The transaction.
        name: The experiment.
        outcome: What came of it.
        number: Which attempt; None: the newest of this worker.
        worker: Who reports; None: whoever has it.

    Raises:
        UnknownError: If there is no such experiment or attempt.
        ConflictError: If somebody else has it and will report by himself, or it was withdrawn.
    """
    if worker is not None:
        check_worker(worker)
    attempt = attempt_of(turn, name, number, worker)
    if attempt.state is AttemptState.QUEUED:
        attempt = _take(turn, attempt, worker or REST)
    elif not attempt.worker:
        raise ConflictError(
            f"{attempt.key} was {attempt.ending or 'withdrawn'} before anybody had it. Add a row instead."
        )
    if worker is None:
        _check_reports_here(attempt)
    experiment = find(turn, name)
    if outcome.status is Status.COMPLETED and is_open(experiment):
        turn.change.number(experiment.id)
    reporter, digest = worker or attempt.worker, digest_of(outcome)
    ingested = turn.change.ingest(Result(turn.ledger.campaign, attempt.key, reporter, outcome), digest)
    known = turn.ledger.outcomes_of(attempt.key)
    stored = next(one for one in known if one["worker"] == reporter and one["digest"] == digest)
    first = next((one for one in known if one["role"] != Ingested.CONFLICT), None)
    return Recorded(
        find(turn, name), turn.ledger.attempt(attempt.key), ingested, stored, None if first is stored else first
    )


def _take(turn: Turn, attempt: Attempt, worker: str) -> Attempt:
    if not turn.take(attempt.key, worker):
        raise ConflictError(f"Somebody else was faster to claim {attempt.key}. GET it to see who has it.")
    return turn.ledger.attempt(attempt.key)


def _check_reports_here(attempt: Attempt) -> None:
    """Refuse what a worker in the folder holds: it reports by itself.

    Raises:
        ConflictError: If one does.
    """
    is_of_folder = attempt.lease_s is None and attempt.state in (AttemptState.RUNNING, AttemptState.INTERRUPTED)
    if is_of_folder and attempt.worker not in (REST, UNKNOWN):
        raise ConflictError(f"{attempt.worker} runs {attempt.key} and reports by itself. Wait for it, or cancel it.")


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
        reason: Of those that were staged without one.
        iteration: Of all of them; None: each is one of its own.

    Returns:
        The experiments; or why none was completed, where somebody in the folder was faster.

    Raises:
        ConflictError: If the queue is another one, or empty, or without a version something is running.
        ServiceError: If it holds another number of experiments.
    """
    waiting = turn.ledger.waiting()
    _check_queue(turn, len(waiting), len(measured), version)
    for i, one in enumerate(measured):
        check_measured(turn.study.objectives, one, "outputs", i)
    ready = _claim_all(turn, waiting)
    if isinstance(ready, str):
        return ready
    following = turn.change.next_iteration()
    done = []
    for found, one in zip(ready, measured, strict=True):
        number = found.iteration if iteration is None else iteration
        if number is None:
            number, following = following, following + 1
        done.append((found, _completion(turn, one, None if found.reason else reason, number)))
    turn.change.complete_all(done, worker=REST)
    return waiting


def _claim_all(turn: Turn, waiting: Sequence[Experiment]) -> list[Experiment] | str:
    """Claim what somebody in the folder might claim; return all of them as they are then, or who was faster."""
    listed = set(turn.ledger.listed())
    ready: list[Experiment] = []
    for found in waiting:
        if found.key not in listed:
            ready.append(found)
        elif turn.take(found.key, REST):
            ready.append(find(turn, found.id))
        else:
            _give_back(turn, [one for one in ready if one.state is State.RUNNING])
            return f"Somebody else was faster to claim {found.id}. GET the queue again."
    return ready


def _completion(
    turn: Turn, one: Measured, reason: str | None, iteration: int | None, as_run: Mapping[str, Any] | None = None
) -> Completion:
    outcome = one.as_outcome(turn.now, parameters=as_run)
    return Completion(outcome, digest_of(outcome), reason, iteration)


def _check_queue(turn: Turn, n_waiting: int, n_outputs: int, version: int | None) -> None:
    present = turn.ledger.queue_version()
    if version is not None and version != present:
        raise ConflictError(
            f"The queue has changed: it is at version {present}, and you saw {version}. GET it again; what belongs to "
            "an experiment by its id can be reported with POST staged/{id}/complete."
        )
    tally = turn.ledger.tally()
    n_held = sum(tally[state] for state in HELD)
    if version is None and n_held:
        raise ConflictError(
            f"{n_held} experiments are running, so that it can't be told which outputs belong to which inputs. Send "
            "the queue_version that GET staged gave, or report each by its id with POST staged/{id}/complete."
        )
    if n_waiting == 0:
        raise ConflictError(
            f"No experiment is staged, and {n_outputs} outputs were sent: they would be lost. Stage first, or record "
            "them with their inputs by POST experiments/batch."
        )
    if n_outputs != n_waiting:
        raise ServiceError(
            f"Number of outputs ({n_outputs}) must match number of staged experiments ({n_waiting}). GET the queue "
            "again, and send one output for each, in its order; or report each by its id with POST "
            "staged/{id}/complete."
        )


def _give_back(turn: Turn, taken: Sequence[Experiment]) -> None:
    """Offer again what was claimed in the folder for a completion that does not happen."""
    nothing_done = Outcome(Status.RELEASED, turn.now, turn.now)
    for found in taken:
        turn.change.ingest(Result(turn.ledger.campaign, found.key, REST, nothing_done), digest_of(nothing_done))


def add_rows(
    turn: Turn, rows: Sequence[Row], *places: tuple[str | int, ...], worker: str = REST, is_one_iteration: bool = False
) -> list[Experiment]:
    """Record measurements, of experiments by their ids or of inputs that nobody staged: all of them, or none.

    Args:
        turn: The transaction.
        rows: The measurements.
        places: Of each, where it stands in the body.
        worker: Who measured.
        is_one_iteration: Whether all that say no iteration share the next one; else each is one of its own.

    Raises:
        InvalidError: If any does not fit.
        ConflictError: If an experiment is not open, or is named twice.
        BudgetError: If not all have a place.
    """
    if not rows:
        return []
    points = _points(turn, rows, places)
    for row, place in zip(rows, places, strict=True):
        check_measured(turn.study.objectives, row.measured, *place, "output")
    items = _open_items(turn, rows, places)
    numbers = _iterations(turn, rows, is_one_iteration=is_one_iteration)
    entries = list(zip(rows, points, numbers, strict=True))
    done: list[Experiment] = []
    for is_item, group in groupby(entries, key=lambda entry: entry[0].experiment is not None):
        together = list(group)
        done += _answer(turn, together, items, worker) if is_item else _record(turn, together, worker)
    return done


def _answer(turn: Turn, entries: Sequence[_Entry], items: Mapping[str, Experiment], worker: str) -> list[Experiment]:
    """Complete experiments with what was measured of them."""
    answers = [
        (items[str(row.experiment)], _completion(turn, row.measured, row.reason, number, point))
        for row, point, number in entries
    ]
    turn.change.complete_all(answers, worker=worker)
    return [find(turn, found.id) for found, _ in answers]


def _record(turn: Turn, entries: Sequence[_Entry], worker: str) -> list[Experiment]:
    """Record measurements of inputs that were never staged."""
    records = []
    for row, point, number in entries:
        addition = Addition(point, RECORDED, row.reason or "", pinned=True, iteration=number)
        records.append((addition, _completion(turn, row.measured, None, number)))
    return turn.change.record_all(records, worker=worker)


def _points(turn: Turn, rows: Sequence[Row], places: Sequence[tuple[str | int, ...]]) -> list[Point]:
    """Check the inputs of all rows: those of an experiment as run, those of no experiment as if they were staged."""
    space = turn.study.space
    at = [(*place, "inputs") for place in places]
    is_new = [row.experiment is None for row in rows]
    fresh = iter(check_points(space, *_chosen(rows, at, is_new)))
    as_run = iter(check_as_run(space, *_chosen(rows, at, [not new for new in is_new])))
    return [next(fresh if new else as_run) for new in is_new]


def _chosen(rows: Sequence[Row], at: Sequence[tuple[str | int, ...]], are: Sequence[bool]) -> list[Any]:
    """Return the inputs of some rows, and then the place of each of them."""
    return [
        [row.inputs for row, is_one in zip(rows, are, strict=True) if is_one],
        *(place for place, is_one in zip(at, are, strict=True) if is_one),
    ]


def _iterations(turn: Turn, rows: Sequence[Row], *, is_one_iteration: bool) -> list[int]:
    following = turn.change.next_iteration()
    if is_one_iteration:
        return [following if row.iteration is None else row.iteration for row in rows]
    numbers = []
    for row in rows:
        numbers.append(following if row.iteration is None else row.iteration)
        following = max(following, numbers[-1] + 1)
    return numbers


def _open_items(turn: Turn, rows: Sequence[Row], places: Sequence[tuple[str | int, ...]]) -> dict[str, Experiment]:
    """Return the experiments that rows name, claimed where somebody in the folder might.

    Raises:
        ConflictError: If any of them can't be completed, with every reason.
    """
    items: dict[str, Experiment] = {}
    problems: list[str] = []
    for row, place in zip(rows, places, strict=True):
        if row.experiment is None:
            continue
        try:
            found = _open_item(turn, row.experiment)
            if found.id in {item.id for item in items.values()}:
                raise ConflictError(f"{found.id} is named twice.")
            items[row.experiment] = found
        except ServiceError as error:
            problems.append(f"{_entry(place)}{error}")
    if problems:
        raise ConflictError(f"Nothing was recorded. {' '.join(problems[:20])}")
    for name, found in items.items():
        attempt = turn.ledger.attempt(found.key)
        if attempt.state is AttemptState.QUEUED and turn.ledger.is_listed(found.key):
            _take(turn, attempt, REST)
            items[name] = find(turn, found.id)
    return items


def _entry(place: tuple[str | int, ...]) -> str:
    """Return which entry a place belongs to, counted from 1."""
    return "".join(f"entry {step + 1}: " for step in place if isinstance(step, int))


def _open_item(turn: Turn, name: str) -> Experiment:
    found = find(turn, name)
    if not is_open(found):
        raise ConflictError(f"{found.id} is {found.state}; correct its observation instead.")
    _check_reports_here(turn.ledger.attempt(found.key))
    return found


def is_open(experiment: Experiment) -> bool:
    """Tell whether an experiment may still be completed for the first time."""
    return experiment.state in (State.QUEUED, *HELD)
