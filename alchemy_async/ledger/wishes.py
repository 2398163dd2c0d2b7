"""Wishes: what people and the planner decide about experiments that are there already.

In:    an experiment's id, and what is wanted of it.
Out:   rows and events within one transaction, or an error that says what can be done instead.
Never: deletes: what was is kept beside what is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alchemy_async.errors import BudgetError, IllegalTransitionError, LedgerError
from alchemy_async.experiment import TERMINAL, AttemptKey, AttemptState, State
from alchemy_async.ledger import rows
from alchemy_async.ledger.writing import Writer
from alchemy_async.space import Point


class Wishes(Writer):
    """Changes that somebody wants; a part of `Change`."""

    def move(self, experiment: str, priority: float) -> None:
        """Give a queued experiment another priority; the highest goes first.

        Raises:
            IllegalTransitionError: If it is not queued.
        """
        found = self._experiment(experiment)
        self._expect(found, {State.QUEUED}, "moved", "Only a queued experiment can be moved.")
        self._db.execute("UPDATE experiments SET priority = ? WHERE id = ?", (priority, experiment))
        self.note("moved", found.key, priority=priority)

    def requeue(self, experiment: str) -> AttemptKey:
        """Offer an interrupted experiment again, because a person says so.

        Raises:
            IllegalTransitionError: If it is not interrupted.
            BudgetError: If no start is left.
        """
        found = self._experiment(experiment)
        mend = "Stage its parameters again to measure it once more." if found.state in TERMINAL else "Wait for it."
        self._expect(found, {State.INTERRUPTED}, "queued again", f"Only an interrupted experiment can. {mend}")
        if self._n_starts_left() <= 0:
            raise BudgetError(f"{experiment} can't be queued again: no start is left. Raise budget.max_started.")
        return self._offer_again(found, "a person asked for it")

    def abandon(self, experiment: str, why: str = "a person said so") -> None:
        """Give an interrupted experiment up; its place goes back to the budget.

        Raises:
            IllegalTransitionError: If it is not interrupted.
        """
        found = self._experiment(experiment)
        self._expect(found, {State.INTERRUPTED}, "abandoned", "Only an interrupted experiment can; try `cancel`.")
        self._set_state(found, State.ABANDONED)
        self.note("abandoned", found.key, why=why)

    def request_cancel(self, experiment: str) -> State:
        """Ask for a queued experiment to be withdrawn, or a running one to be stopped; return its state.

        Raises:
            IllegalTransitionError: If it is neither.
        """
        found = self._experiment(experiment)
        mend = "Use `requeue` or `abandon`." if found.state is State.INTERRUPTED else "It has ended."
        self._expect(found, {State.QUEUED, State.RUNNING}, "cancelled", mend)
        self._db.execute("UPDATE experiments SET is_cancelling = 1 WHERE id = ?", (experiment,))
        self.note("cancel_requested", found.key)
        return found.state

    def withdrawn(self, key: AttemptKey, why: str, *, keep: bool = False) -> None:
        """Take note that nobody can start this attempt any more.

        Args:
            key: A queued attempt whose claim the planner linked, or that was never listed.
            why: For the record.
            keep: Offer the experiment again under its next attempt, when the queue opens again.
        """
        attempt, experiment = self._attempt(key), self._experiment(key.experiment)
        if attempt.state is not AttemptState.QUEUED:
            return
        self._end_attempt(key, "withdrawn")
        if experiment.attempt != key.attempt or experiment.state is not State.QUEUED:
            self.note("withdrawn", key, why=why)
        elif keep:
            self._offer_again(experiment, why)
        else:
            self._set_state(experiment, State.CANCELLED)
            self.note("cancelled", key, why=why)

    def amend(self, experiment: str, parameters: Point, *, requires: Sequence[str] | None = None) -> None:
        """Give a queued experiment the parameters that a person wants; the planner does not revise them again.

        Args:
            experiment: Its id.
            parameters: The parameters.
            requires: The labels that a worker must have; None: as before.

        Raises:
            IllegalTransitionError: If it is not queued, or was begun once: then its parameters stand.
        """
        found = self._experiment(experiment)
        if found.state is not State.QUEUED or found.attempt != 1 or found.is_cancelling:
            mend = "Only one that nobody has had yet can be. Stage another one."
            raise IllegalTransitionError(experiment, found.state, "given other parameters", mend)
        text = rows.to_text(parameters)
        self._db.execute(
            "UPDATE experiments SET parameters = ?, pinned = 1, requires = coalesce(?, requires) WHERE id = ?",
            (text, None if requires is None else rows.to_text(sorted(requires)), experiment),
        )
        self._db.execute("UPDATE attempts SET parameters = ? WHERE experiment = ? AND attempt = 1", (text, experiment))
        self._db.execute("INSERT INTO points VALUES (?, ?)", (experiment, text))
        self.note("amended", found.key, parameters=dict(parameters))

    def annotate(self, experiment: str, *, reason: str | None = None, iteration: int | None = None) -> None:
        """Set the reason or the iteration of an experiment that has not ended; None leaves either as it is.

        Raises:
            IllegalTransitionError: If it has ended.
        """
        found = self._experiment(experiment)
        self._expect(found, set(State) - TERMINAL, "annotated", "It has ended, and what has ended stays as it is.")
        self._db.execute(
            "UPDATE experiments SET reason = coalesce(?, reason), iteration = coalesce(?, iteration) WHERE id = ?",
            (reason, iteration, experiment),
        )
        said = {"reason": reason, "iteration": iteration}
        self.note("annotated", found.key, **{name: value for name, value in said.items() if value is not None})

    def number(self, experiment: str) -> None:
        """Give an experiment that is about to be measured the next iteration, if it has none."""
        self._db.execute(
            "UPDATE experiments SET iteration = ? WHERE id = ? AND iteration IS NULL",
            (self.next_iteration(), experiment),
        )

    def next_iteration(self) -> int:
        """Return the iteration that follows the largest one so far; 0 at first."""
        row = self._db.execute("SELECT max(iteration) FROM experiments WHERE iteration IS NOT NULL").fetchone()
        return 0 if row[0] is None else int(row[0]) + 1

    def correct(
        self,
        outcome: int,
        *,
        who: str,
        why: str,
        measured: Mapping[str, float] | None = None,
        sems: Mapping[str, float] | None = None,
        is_outlier: bool | None = None,
    ) -> None:
        """Correct a measurement, or mark it as an outlier, which keeps it out of the model.

        What was recorded stays in the ledger, and so does every correction before this one.

        Args:
            outcome: The number of the measurement.
            who: Who says so.
            why: The reason, for the record.
            measured: The values as they should be; None: as they are.
            sems: The standard errors; None: as they are.
            is_outlier: Whether the model leaves it out; None: as before.

        Raises:
            LedgerError: If there is no such measurement.
        """
        row = self._db.execute(
            "SELECT experiment, attempt, measured, sems, role FROM measurements WHERE id = ? AND status = 'completed'",
            (outcome,),
        ).fetchone()
        if row is None:
            raise LedgerError(f"There is no measurement number {outcome}. `outcomes` lists their numbers.")
        is_outlier = row["role"] == "outlier" if is_outlier is None else is_outlier
        values = row["measured"] if measured is None else rows.to_text(measured)
        errors = row["sems"] if sems is None else rows.to_text(sems)
        self._db.execute(
            "INSERT INTO corrections (outcome, at, who, why, is_outlier, measured, sems) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (outcome, self._now(), who, why, int(is_outlier), values, errors),
        )
        self.note(
            "corrected", AttemptKey(row["experiment"], row["attempt"]), outcome=outcome, who=who, why=why,
            is_outlier=is_outlier, was=rows.read(row["measured"]), values=rows.read(values),
        )  # fmt: skip
