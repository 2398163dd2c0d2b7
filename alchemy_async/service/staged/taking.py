"""Taking: who gets which experiment, and for how long without a word.

In:    clients that want something to do, and their beats.
Out:   attempts, each handed out once; leases that go on or end.
Never: hands out what somebody in the folder was faster to claim.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from alchemy_async.errors import WireError
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Experiment, State
from alchemy_async.experiment.records import WORKER_ID
from alchemy_async.ledger import Ledger
from alchemy_async.queues.layout import RESERVED
from alchemy_async.service.problems import ConflictError, InvalidError, UnknownError
from alchemy_async.service.staged.desk import Turn
from alchemy_async.service.staged.staging import find

LEAST_LEASE_S, MOST_LEASE_S = 1.0, 7 * 86400.0


@dataclass(frozen=True)
class Taken:
    """An attempt that a client got."""

    experiment: Experiment
    attempt: Attempt


@dataclass(frozen=True)
class Beaten:
    """An attempt whose holder lives; ``must_stop`` says that it is to be broken off."""

    experiment: Experiment
    attempt: Attempt
    must_stop: bool


def has_work(ledger: Ledger, labels: Collection[str]) -> bool:
    """Tell whether anything waits that a worker with these labels may run."""
    able = frozenset(labels)
    return not is_paused(ledger) and any(able.issuperset(found.requires) for found in ledger.window(1))


def is_paused(ledger: Ledger) -> bool:
    """Tell whether nothing is to be handed out at present."""
    return ledger.meta("wanted") in ("paused", "draining")


def claim(
    turn: Turn, n: int, worker: str, *, labels: Collection[str] = (), lease_s: float, idempotent: bool = False
) -> list[Taken]:
    """Hand out up to ``n`` of the best experiments that a worker with these labels may run; none while paused.

    Args:
        turn: The transaction.
        n: How many, > 0.
        worker: Who gets them.
        labels: What it can do.
        lease_s: How long each lives without a beat, in seconds.
        idempotent: Whether one that is cut off may simply be run again.
    """
    check_worker(worker)
    if is_paused(turn.ledger):
        return []
    taken: list[Taken] = []
    able, reach = frozenset(labels), n
    while True:
        window = [found for found in turn.ledger.window(reach) if able.issuperset(found.requires)]
        window = _beside_what_runs(turn, window)[: n - len(taken)]
        got = [found.key for found in window if turn.take(found.key, worker, lease_s=lease_s, idempotent=idempotent)]
        taken += [Taken(find(turn, key.experiment), turn.ledger.attempt(key)) for key in got]
        if len(taken) == n or not window:
            return taken


def _beside_what_runs(turn: Turn, window: Sequence[Experiment]) -> list[Experiment]:
    """Return which may run at the same time as what runs, and as the first of them: they may share an oven."""
    shared = turn.study.checked.shared()
    running = turn.ledger.experiments(State.RUNNING) if shared else []
    first = next(iter([*running, *window]), None)
    if first is None:
        return []
    return [found for found in window if all(found.parameters[one] == first.parameters[one] for one in shared)]


def check_worker(worker: str) -> None:
    """Check that a name may be a worker's.

    Raises:
        InvalidError: If it may not.
    """
    if not WORKER_ID.match(worker) or worker.lower() in RESERVED:
        raise InvalidError.at(
            "worker",
            what=f"must be 1 to 64 letters, digits, - or _, and not {' or '.join(sorted(RESERVED))}",
        )


def attempt_of(turn: Turn, name: str, number: int | None, worker: str | None = None) -> Attempt:
    """Return an attempt of an experiment: the one of a number, or the newest that the worker has, or the newest.

    Raises:
        UnknownError: If there is no such experiment or attempt.
    """
    experiment = find(turn, name)
    if number is None and worker is not None:
        number = turn.ledger.last_attempt_of(experiment.id, worker)
    number = experiment.attempt if number is None else number
    if not 1 <= number <= experiment.attempt:
        raise UnknownError(f"{experiment.id} has no attempt {number}; its newest is {experiment.attempt}.")
    return turn.ledger.attempt(AttemptKey(experiment.id, number))


def beat(turn: Turn, name: str, number: int | None, worker: str | None) -> Beaten:
    """Take note that a client still works on an experiment; a lease that had ended is taken up again.

    Raises:
        UnknownError: If there is no such experiment or attempt.
        ConflictError: If the client does not have it (any more).
    """
    attempt = attempt_of(turn, name, number, worker)
    experiment = find(turn, name)
    if attempt.lease_s is None or (worker is not None and worker != attempt.worker):
        raise ConflictError(f"{attempt.key} is not held by {worker or 'a client of this service'}. Claim it first.")
    if attempt.state is AttemptState.INTERRUPTED and turn.change.revive(attempt.key):
        attempt = turn.ledger.attempt(attempt.key)
    if attempt.state is not AttemptState.RUNNING:
        newer = " and is offered again" if experiment.state is State.QUEUED else ""
        raise ConflictError(
            f"The lease of {attempt.key} has ended{newer}; the experiment is {experiment.state}. What was measured can "
            "still be reported."
        )
    turn.change.beat(attempt.key)
    experiment = find(turn, name)
    is_wanted = experiment.key == attempt.key and experiment.state is State.RUNNING
    return Beaten(experiment, attempt, must_stop=experiment.is_cancelling or not is_wanted)


def read_key(text: str) -> AttemptKey:
    """Read ``<experiment>.<attempt>``.

    Raises:
        InvalidError: If the text has another form.
    """
    try:
        return AttemptKey.parse(text)
    except WireError as error:
        raise InvalidError.at("attempt", what=str(error)) from error
