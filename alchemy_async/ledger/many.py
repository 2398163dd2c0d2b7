"""Many: hundreds of experiments in one transaction, at the cost of a few statements each.

In:    what is to be queued, what came of experiments, or measurements that were never queued; all of one request.
Out:   the same rows and events as if each came by itself.
Never: does a part of it: one that does not fit ends the whole transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.clock import to_wire
from alchemy_async.errors import IllegalTransitionError
from alchemy_async.experiment import TERMINAL, AttemptKey, Experiment, Outcome, State
from alchemy_async.ledger import rows
from alchemy_async.ledger.writing import Writer
from alchemy_async.space import Point

RECORDED = "record"  # the origin of a measurement that was never queued

_EVENT = "INSERT INTO events (at, kind, experiment, attempt, details) VALUES (?, ?, ?, ?, ?)"


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
        self._db.executemany(_EVENT, [(now, "queued", name, 1, _queued(one)) for name, _, one in named])
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
        now = self._now()
        queued = [found for found, _ in completions if found.state is State.QUEUED]
        held = [found for found, _ in completions if found.state is not State.QUEUED]
        workers = self._workers_of(held) | {found.id: worker for found in queued}
        self._end_attempts(queued, held, worker, instance)
        self._change_each(
            "UPDATE experiments SET state = 'completed', reason = coalesce(?, reason),"
            " iteration = coalesce(?, iteration) WHERE id = ? AND state = ? AND attempt = ?",
            [(one.reason, one.iteration, found.id, str(found.state), found.attempt) for found, one in completions],
        )
        self._count_starts(len(queued))
        self._insert_outcomes([(found.key, workers[found.id], found.parameters, one) for found, one in completions])
        claimed = rows.to_text({"worker": worker, "instance": instance})
        events = []
        for found, one in completions:
            if found.state is State.QUEUED:
                events.append((now, "claimed", found.id, found.attempt, claimed))
            events.append((now, "completed", found.id, found.attempt, _completed(workers[found.id], one.outcome)))
        self._db.executemany(_EVENT, events)

    def _end_attempts(
        self, queued: Sequence[Experiment], held: Sequence[Experiment], worker: str, instance: str
    ) -> None:
        self._change_each(
            "UPDATE attempts SET state = 'ended', ending = 'completed', is_listed = 1, worker = ?, instance = ?,"
            " claimed_at = ? WHERE experiment = ? AND attempt = ? AND state = 'queued'",
            [(worker, instance, self._now(), found.id, found.attempt) for found in queued],
        )
        self._change_each(
            "UPDATE attempts SET state = 'ended', ending = 'completed' WHERE experiment = ? AND attempt = ? AND"
            " state = ?",
            [(found.id, found.attempt, str(found.state)) for found in held],
        )

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
        self._count_starts(len(records))
        done = [completion for _, completion in records]
        self._insert_outcomes(
            [
                (AttemptKey(name, 1), worker, one.parameters, how)
                for (name, _, one), how in zip(named, done, strict=True)
            ]
        )
        claimed = rows.to_text({"worker": worker, "instance": instance})
        events = []
        for (name, _, one), how in zip(named, done, strict=True):
            events.append((now, "queued", name, 1, _queued(one)))
            events.append((now, "claimed", name, 1, claimed))
            events.append((now, "completed", name, 1, _completed(worker, how.outcome)))
        self._db.executemany(_EVENT, events)
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

    def _insert_outcomes(self, done: Sequence[tuple[AttemptKey, str, Point, Completion]]) -> None:
        now = self._now()
        moments = {m for _, _, _, how in done for m in (how.outcome.started_at, how.outcome.finished_at)}
        at = {moment: to_wire(moment) for moment in moments}  # most often one and the same
        self._db.executemany(
            "INSERT INTO outcomes (experiment, attempt, worker, status, role, parameters, measured, sems, started_at,"
            " finished_at, metadata, digest, recorded_at) VALUES (?, ?, ?, 'completed', 'result', ?, ?, ?, ?, ?, ?,"
            " ?, ?)",
            [
                (key.experiment, key.attempt, worker, rows.to_text(how.outcome.parameters or parameters),
                 rows.to_text(how.outcome.values), rows.to_text(how.outcome.sems), at[how.outcome.started_at],
                 at[how.outcome.finished_at], rows.to_text(how.outcome.metadata), how.digest, now)
                for key, worker, parameters, how in done
            ],
        )  # fmt: skip

    def _workers_of(self, held: Sequence[Experiment]) -> dict[str, str]:
        return {found.id: self._attempt(found.key).worker for found in held}

    def _change_each(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Run a compare and set for each row of values; all of them must change exactly one row."""
        if values and self._db.executemany(statement, values).rowcount != len(values):
            raise IllegalTransitionError("an experiment", "another", "completed", "Another change came first.")

    def _count_starts(self, n: int) -> None:
        self._db.execute("UPDATE tallies SET n = n + ? WHERE name = 'starts'", (n,))

    def _next_number(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM experiments").fetchone()[0])


def _queued(one: Addition) -> str:
    return rows.to_text({"parameters": dict(one.parameters), "origin": one.origin, "reason": one.reason})


def _completed(worker: str, outcome: Outcome) -> str:
    return rows.to_text({"worker": worker, **({"values": dict(outcome.values)} if outcome.values else {})})


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
