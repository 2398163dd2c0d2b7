"""Writing: single rows of the ledger, each change of a state as a compare and set.

In:    one decision at a time, already made.
Out:   rows, tallies and events.
Never: decides, or commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from alchemy_async.clock import Clock, to_wire
from alchemy_async.errors import BudgetError, IllegalTransitionError, UnknownExperimentError
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Experiment, Outcome, State
from alchemy_async.ledger import rows
from alchemy_async.ledger.gathering import Answer, Gathering
from alchemy_async.space import Point

_OPEN = nullcontext()  # for a block within another


class Writer:
    """The rows of one transaction that the caller opened.

    Args:
        connection: In a transaction.
        clock: For the times of events.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._rows = Gathering(connection)
        self._clock = clock
        self._at = ""

    @property
    def _db(self) -> sqlite3.Connection:
        """The connection, for all that `_rows` does not do; it finds everything written, and may change any row."""
        self._rows.settle()
        return self._connection

    def gathering(self, experiments: Iterable[str]) -> AbstractContextManager[None]:
        """Let changes within the block wait, and write them together: many cost a fraction of each by itself.

        What is done there leaves the same rows and events, in the same order, as without. Only readers
        outside this change, such as the ledger that it belongs to, don't see yet what waits.

        Args:
            experiments: Those that are about to be looked at, in this order: they are read together.

        Raises:
            IllegalTransitionError: If one is not as it was read; the transaction must be undone.
        """
        return _OPEN if self._rows.is_open else self._rows.ahead(experiments)

    def set_meta(self, **values: str | None) -> None:
        """Set what is true of the whole campaign; None takes an entry away."""
        for key, value in values.items():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def set_limits(self, *, experiments: int | None, starts: int | None) -> None:
        """Set the budget that every later change must keep to; None: no limit."""
        self.set_meta(
            budget=None if experiments is None else str(experiments),
            max_started=None if starts is None else str(starts),
        )

    def next_revision(self) -> int:
        """Return the number of the next revision of the queue."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        revision = int(row["value"]) + 1 if row else 1
        self.set_meta(revision=str(revision))
        return revision

    def record_ask(self, *, n: int, n_observations: int, n_pending: int, seconds: float) -> None:
        """Keep how long an ask took, in seconds."""
        self._db.execute(
            "INSERT INTO asks (at, n, n_observations, n_pending, seconds) VALUES (?, ?, ?, ?, ?)",
            (self._now(), n, n_observations, n_pending, seconds),
        )

    def note(self, kind: str, key: AttemptKey | None = None, **details: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Write one event row."""
        self._rows.event(self._now(), kind, key, rows.to_text(details))

    def _note_claimed(self, key: AttemptKey, worker: str, instance: str) -> None:
        self._rows.event(self._now(), "claimed", key, _claimed(worker, instance))

    def _note_outcome(self, kind: str, key: AttemptKey, worker: str, outcome: Outcome) -> None:
        details: dict[str, Any] = {"values": dict(outcome.values)} if outcome.values else {}
        if outcome.error:
            details["error"] = outcome.error.in_short(500)
        self.note(kind, key, worker=worker, **details)

    def _now(self) -> str:
        """Return the time of this transaction."""
        self._at = self._at or to_wire(self._clock.now())
        return self._at

    def _experiment(self, experiment: str) -> Experiment:
        found = self._rows.experiment(experiment)
        if found is None:
            raise UnknownExperimentError(experiment)
        return found

    def _attempt(self, key: AttemptKey) -> Attempt:
        found = self._rows.attempt(key)
        if found is None:
            raise UnknownExperimentError(str(key))
        return found

    def _expect(self, found: Experiment, states: set[State], wanted: str, mend: str) -> None:
        if found.state not in states:
            raise IllegalTransitionError(found.id, found.state, wanted, mend)

    def _set_state(self, found: Experiment, to: State) -> None:
        self._rows.move(found, to)

    def _set_attempt_state(self, key: AttemptKey, to: AttemptState) -> None:
        self._db.execute(
            "UPDATE attempts SET state = ? WHERE experiment = ? AND attempt = ?", (str(to), key.experiment, key.attempt)
        )

    def _end_attempt(self, key: AttemptKey, ending: str) -> None:
        self._rows.end(key, ending)

    def _add_outcome(
        self, key: AttemptKey, worker: str, role: str, parameters: Point, outcome: Outcome, digest: str
    ) -> None:
        error = outcome.error
        self._rows.answer(
            key.experiment,
            Answer(key.attempt, worker, digest, role),
            (str(outcome.status), rows.to_text(outcome.parameters or parameters), rows.to_text(outcome.values),
             rows.to_text(outcome.sems), to_wire(outcome.started_at), to_wire(outcome.finished_at),
             error.kind if error else "", error.message if error else "", rows.to_text(outcome.metadata),
             self._now()),
        )  # fmt: skip

    def _end_unlisted(self, key: AttemptKey) -> None:
        self._db.execute(
            "UPDATE attempts SET state = 'ended', ending = 'withdrawn' WHERE experiment = ? AND attempt = ?"
            " AND state = 'queued' AND NOT is_listed",
            (key.experiment, key.attempt),
        )

    def _queue_attempt(self, key: AttemptKey, parameters: str) -> None:
        self._db.execute(
            "INSERT INTO attempts (experiment, attempt, state, parameters) VALUES (?, ?, 'queued', ?)",
            (key.experiment, key.attempt, parameters),
        )
        self._db.execute("INSERT INTO points VALUES (?, ?)", (key.experiment, parameters))

    def _offer_again(self, experiment: Experiment, why: str) -> AttemptKey:
        key = AttemptKey(experiment.id, experiment.attempt + 1)
        changed = self._db.execute(
            "UPDATE experiments SET state = 'queued', attempt = ? WHERE id = ? AND state = ? AND attempt = ?",
            (key.attempt, experiment.id, str(experiment.state), experiment.attempt),
        )
        if changed.rowcount != 1:
            raise IllegalTransitionError(experiment.id, experiment.state, "queued", "Another change came first.")
        self._queue_attempt(key, rows.to_text(experiment.parameters))
        self.note("requeued", key, why=why)
        return key

    def _tally(self) -> dict[str, int]:
        return {row["name"]: row["n"] for row in self._db.execute("SELECT name, n FROM tallies")}

    def _limit(self, key: str) -> int | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(row["value"]) if row else None

    def _n_starts_left(self) -> float:
        limit, tally = self._limit("max_started"), self._tally()
        return float("inf") if limit is None else limit - tally["starts"] - tally["queued"]

    def _check_places(self, n: int) -> None:
        if n == 0:
            return
        limit, tally = self._limit("budget"), self._tally()
        taken = tally["completed"] + tally["queued"] + tally["running"] + tally["interrupted"]
        if limit is not None and taken + n > limit:
            full = f"All {limit} places of the budget are taken"
            short = f"{n} experiments do not fit: {limit - taken} of the {limit} places of the budget are free"
            raise BudgetError(
                f"{full if taken >= limit else short}: {tally['completed']} completed, "
                f"{tally['running']} running, {tally['queued']} queued, {tally['interrupted']} interrupted. "
                "Raise budget.experiments in campaign.toml and restart `plan`, or cancel a queued experiment."
            )
        left = self._n_starts_left()
        if left < n:
            few = "No start is left" if left <= 0 else f"Of the {n} starts that this takes {left:g} are left"
            raise BudgetError(
                f"{few}: {tally['starts']} experiments were started. Raise budget.max_started in campaign.toml."
            )


@lru_cache(maxsize=1024)
def _claimed(worker: str, instance: str) -> str:
    """Return what the event of a claim says; a worker makes many."""
    return rows.to_text({"worker": worker, "instance": instance})
