"""Many: hundreds of experiments in one transaction, at the cost of a few statements each.

In:    what is to be queued, what came of experiments, or measurements that were never queued; all of one request.
Out:   the same rows and events as if each came by itself.
Never: does a part of it: one that does not fit ends the whole transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.errors import IllegalTransitionError
from alchemy_async.experiment import TERMINAL, Attempt, AttemptKey, AttemptState, Experiment, Outcome, State
from alchemy_async.ledger import rows
from alchemy_async.ledger.writing import Writer
from alchemy_async.space import Point

RECORDED = "record"  # the origin of a measurement that was never queued


@dataclass(frozen=True)
class Addition:
    """An experiment that is to be queued, or was measured already."""

    parameters: Point
    origin: str = "planner"
    reason: str = ""
    priority: float = 0.0
    pinned: bool = False
    requires: Sequence[str] = ()
    iteration: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """What was measured of an experiment; ``digest`` tells it from another measurement.

    Args:
        outcome: Completed.
        digest: Of the outcome.
        reason: In place of the experiment's own; None: as it is.
        iteration: Likewise.
    """

    outcome: Outcome
    digest: str
    reason: str | None = None
    iteration: int | None = None


class Many(Writer):
    """Changes of many experiments at once; a part of `Change`."""

    def add_all(self, additions: Sequence[Addition]) -> list[Experiment]:
        """Queue experiments; the first of them gets the lowest number.

        Raises:
            BudgetError: If not all of them have a place.
        """
        self._check_places(len(additions))
        first, now = self._next_number(), self._now()
        named = [(f"e{number:04d}", number, one) for number, one in enumerate(additions, first)]
        texts = [rows.to_text(one.parameters) for one in additions]
        self._insert_experiments(State.QUEUED, named, texts)
        self._db.executemany(
            "INSERT INTO attempts (experiment, attempt, state, parameters) VALUES (?, 1, 'queued', ?)",
            [(name, text) for (name, _, _), text in zip(named, texts, strict=True)],
        )
        self._db.executemany(
            "INSERT INTO points VALUES (?, ?)", [(name, text) for (name, _, _), text in zip(named, texts, strict=True)]
        )
        with self.gathering(()):
            for name, _, one in named:
                self._rows.event(now, "queued", AttemptKey(name, 1), _queued(one))
        return [_record(State.QUEUED, *one, text) for one, text in zip(named, texts, strict=True)]

    def complete_all(
        self, completions: Sequence[tuple[Experiment, Completion]], *, worker: str, instance: str = ""
    ) -> None:
        """Complete experiments, each with its newest attempt; who claimed one already stays its worker.

        Args:
            completions: Experiments as they are in this transaction, all open, each once; and what was measured.
            worker: Who measured what nobody had claimed.
            instance: Random text of that process.

        Raises:
            IllegalTransitionError: If one has ended, or is not as it is said to be; the transaction must be undone.
        """
        ended = [found for found, _ in completions if found.state in TERMINAL]
        if ended:
            raise IllegalTransitionError(ended[0].id, ended[0].state, "completed", "It has ended; correct it instead.")
        self._db.executemany(
            "UPDATE experiments SET reason = coalesce(?, reason), iteration = coalesce(?, iteration) WHERE id = ?",
            [(one.reason, one.iteration, found.id) for found, one in completions if _is_annotated(one)],
        )
        with self.gathering(found.id for found, _ in completions if found.state is not State.QUEUED):
            for found, one in completions:
                if found.state is State.QUEUED:
                    taken = Attempt(found.key, AttemptState.RUNNING, found.parameters, worker, instance)
                    self._rows.take(taken, None, self._now())
                    self._rows.start(1)
                    self._note_claimed(found.key, worker, instance)
                    self._complete(found.key, worker, found.parameters, one)
                else:
                    self._complete(found.key, self._attempt(found.key).worker, found.parameters, one)
                self._end_attempt(found.key, "completed")
                self._set_state(found, State.COMPLETED)

    def record_all(
        self, records: Sequence[tuple[Addition, Completion]], *, worker: str, instance: str = ""
    ) -> list[Experiment]:
        """Record measurements of experiments that were never queued; the queue stays as it is.

        Args:
            records: Each experiment, and what was measured of it.
            worker: Who measured.
            instance: Random text of that process.

        Raises:
            BudgetError: If not all of them have a place.
        """
        self._check_places(len(records))
        first, now = self._next_number(), self._now()
        named = [(f"e{number:04d}", number, one) for number, (one, _) in enumerate(records, first)]
        texts = [rows.to_text(one.parameters) for one, _ in records]
        self._insert_experiments(State.COMPLETED, named, texts)
        self._db.executemany(
            "INSERT INTO attempts (experiment, attempt, state, parameters, worker, instance, is_listed, claimed_at,"
            " ending) VALUES (?, 1, 'ended', ?, ?, ?, 1, ?, 'completed')",
            [(name, text, worker, instance, now) for (name, _, _), text in zip(named, texts, strict=True)],
        )
        with self.gathering(()):
            self._rows.start(len(records))
            for (name, _, one), (_, how) in zip(named, records, strict=True):
                key = AttemptKey(name, 1)
                self._rows.event(now, "queued", key, _queued(one))
                self._note_claimed(key, worker, instance)
                self._complete(key, worker, one.parameters, how)
        return [_record(State.COMPLETED, *one, text) for one, text in zip(named, texts, strict=True)]

    # -- single tables -----------------------------------------------------

    def _insert_experiments(
        self, state: State, named: Sequence[tuple[str, int, Addition]], texts: Sequence[str]
    ) -> None:
        now = self._now()
        self._db.executemany(
            "INSERT INTO experiments (number, id, state, parameters, priority, origin, reason, iteration, pinned,"
            " requires, metadata, added_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (number, name, str(state), text, one.priority, one.origin, one.reason, one.iteration, int(one.pinned),
                 rows.to_text(sorted(one.requires)), rows.to_text(one.metadata), now)
                for (name, number, one), text in zip(named, texts, strict=True)
            ],
        )  # fmt: skip

    def _complete(self, key: AttemptKey, worker: str, parameters: Point, how: Completion) -> None:
        self._add_outcome(key, worker, "result", parameters, how.outcome, how.digest)
        self._note_outcome("completed", key, worker, how.outcome)

    def _next_number(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM experiments").fetchone()[0])


def _queued(one: Addition) -> str:
    return rows.to_text({"parameters": dict(one.parameters), "origin": one.origin, "reason": one.reason})


def _is_annotated(one: Completion) -> bool:
    return one.reason is not None or one.iteration is not None


def _record(state: State, name: str, number: int, one: Addition, text: str) -> Experiment:
    return Experiment(
        id=name,
        number=number,
        state=state,
        parameters=rows.read(text),
        attempt=1,
        priority=one.priority,
        origin=one.origin,
        reason=one.reason,
        iteration=one.iteration,
        pinned=one.pinned,
        requires=tuple(sorted(one.requires)),
    )
