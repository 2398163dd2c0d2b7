"""Gathering: rows of one transaction, read ahead of their use and written together.

In:    which experiments are about to be looked at; changes of single rows, in the order of their coming.
Out:   records as the transaction has them, and a few statements for all changes, each a compare and set.
Never: decides, commits, or shows a row without the changes that wait to be written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, Self

from alchemy_async.errors import IllegalTransitionError
from alchemy_async.experiment import TERMINAL, TRANSITIONS, Attempt, AttemptKey, Experiment, State
from alchemy_async.ledger import rows
from alchemy_async.space import Point

MOST_AHEAD = 256  # experiments read at once; a power of two

_EVENT = "INSERT INTO events (at, kind, experiment, attempt, details) VALUES (?, ?, ?, ?, ?)"
_OUTCOME = (
    "INSERT INTO outcomes (experiment, attempt, worker, digest, role, status, parameters, measured, sems, started_at,"
    " finished_at, error_kind, error_message, metadata, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TAKE = (
    "UPDATE attempts SET state = ?, ending = ?, parameters = coalesce(?, parameters), worker = ?, instance = ?,"
    " host = ?, pid = ?, idempotent = ?, claimed_at = ?, lease_s = ?, is_listed = 1"
    " WHERE experiment = ? AND attempt = ? AND state = 'queued'"
)
_END = "UPDATE attempts SET state = 'ended', ending = ? WHERE experiment = ? AND attempt = ? AND state <> 'ended'"
_MOVE = "UPDATE experiments SET state = ?, parameters = coalesce(?, parameters) WHERE id = ? AND state = ?"


class Answer(NamedTuple):
    """An outcome that the ledger has of an attempt."""

    attempt: int
    worker: str
    digest: str
    role: str


class _Move(NamedTuple):
    was: State
    to: State
    parameters: str | None  # None: as they are


@dataclass
class _Held:
    """One experiment as it is in this transaction."""

    experiment: Experiment | None = None
    attempts: dict[int, Attempt] = field(default_factory=dict)
    answers: list[Answer] | None = None  # None: not read


class Gathering:
    """Rows that one transaction reads and changes; while it is not open, each change is written at once.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.is_open = False
        self._ahead: list[str] = []
        self._place: dict[str, int] = {}
        self._n_ahead = MOST_AHEAD
        self._held: dict[str, _Held] = {}
        self._taken: dict[AttemptKey, tuple[Any, ...]] = {}
        self._ended: dict[AttemptKey, str] = {}
        self._moved: dict[str, _Move] = {}
        self._outcomes: list[tuple[Any, ...]] = []
        self._n_starts = 0
        self._events: list[tuple[Any, ...]] = []
        self._waiting: set[str] = set()  # experiments whose own row, or that of an attempt, waits to be written
        self._answered: set[str] = set()  # experiments of which an outcome waits

    def ahead(self, experiments: Iterable[str]) -> Self:
        """Name those that are about to be looked at within the block that follows, in this order."""
        self._ahead = list(dict.fromkeys(experiments))
        self._place = {name: place for place, name in enumerate(self._ahead)}
        self._n_ahead = MOST_AHEAD
        return self

    def __enter__(self) -> None:
        self.is_open = True

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.is_open = False
        if kind is None:
            self.settle()
        else:
            self._forget()  # the transaction is undone, and what went wrong is to be told, not what follows from it

    def settle(self) -> None:
        """Write what waits, and forget what was read: somebody is about to change rows by another way."""
        if self._held:
            self._held.clear()
            self._n_ahead = 1  # grows again: where this happens at each experiment, none is read in vain
        self.write()

    # -- reading -----------------------------------------------------------

    def experiment(self, name: str) -> Experiment | None:
        """Return an experiment, whatever the case of the letters of its name; None if there is none."""
        if self.is_open:
            found = self._hold(name).experiment
            if found is not None:
                return found
            self.write()
        row = self._db.execute("SELECT * FROM experiments WHERE id = ?", (name,)).fetchone()
        return None if row is None else rows.experiment(row)

    def attempt(self, key: AttemptKey) -> Attempt | None:
        """Return an attempt; None if there is none."""
        if self.is_open:
            return self._hold(key.experiment).attempts.get(key.attempt)
        row = self._db.execute("SELECT * FROM attempts WHERE experiment = ? AND attempt = ?", key).fetchone()
        return None if row is None else rows.attempt(row)

    def answers(self, key: AttemptKey) -> list[Answer]:
        """Return the outcomes of an attempt, oldest first."""
        if not self.is_open:
            found = self._db.execute(
                "SELECT attempt, worker, digest, role FROM outcomes WHERE experiment = ? AND attempt = ? ORDER BY id",
                key,
            )
            return [Answer(*row) for row in found]
        held = self._hold(key.experiment)
        if held.answers is None:
            names = [name for name in self._next(key.experiment) if name in self._held]
            self._read_answers([name for name in names if self._held[name].answers is None])
        return [answer for answer in held.answers or () if answer.attempt == key.attempt]

    def _hold(self, name: str) -> _Held:
        held = self._held.get(name)
        if held is None:
            self._read([each for each in self._next(name) if each not in self._held])
            self._n_ahead = min(2 * self._n_ahead, MOST_AHEAD)
            held = self._held[name]
        return held

    def _next(self, name: str) -> list[str]:
        """Return an experiment, and those that are about to be looked at after it."""
        place = self._place.get(name)
        return [name] if place is None else self._ahead[place : place + self._n_ahead]

    def _read(self, names: list[str]) -> None:
        if not self._waiting.isdisjoint(names):
            self.write()
        held = {name: _Held() for name in names}
        for row in self._select("SELECT * FROM attempts WHERE experiment IN (%s)", names):
            attempt = rows.attempt(row)
            held[attempt.key.experiment].attempts[attempt.key.attempt] = attempt
        for row in self._select("SELECT * FROM experiments WHERE id IN (%s)", names):
            experiment = rows.experiment(row)
            if experiment.id in held:  # else its name was asked for in other letters
                held[experiment.id].experiment = experiment
        self._held |= held

    def _read_answers(self, names: list[str]) -> None:
        if not self._answered.isdisjoint(names):
            self.write()
        found = self._select(
            "SELECT experiment, attempt, worker, digest, role FROM outcomes WHERE experiment IN (%s) ORDER BY id", names
        )
        answers: dict[str, list[Answer]] = {name: [] for name in names}
        for name, *answer in found:
            answers[name].append(Answer(*answer))
        for name in names:
            self._held[name].answers = answers[name]

    def _select(self, statement: str, names: list[str]) -> sqlite3.Cursor:
        """Read the rows of some experiments."""
        n = 1 << (len(names) - 1).bit_length()  # few lengths are few statements, and SQLite compiles each once
        return self._db.execute(_marked(statement, n), names + names[:1] * (n - len(names)))

    # -- changing ----------------------------------------------------------

    def take(self, attempt: Attempt, parameters: str | None, at: str) -> None:
        """Let a queued attempt run.

        Args:
            attempt: As it is to be.
            parameters: Its parameters as JSON text; None: as they are.
            at: When it was claimed.
        """
        key = attempt.key
        if key in self._taken or key in self._ended:
            self.write()  # and then this one fails: it is queued no more
        self._waiting.add(key.experiment)
        self._taken[key] = (
            parameters, attempt.worker, attempt.instance, attempt.host, attempt.pid, int(attempt.idempotent), at,
            attempt.lease_s,
        )  # fmt: skip
        if key.experiment in self._held:
            self._held[key.experiment].attempts[key.attempt] = attempt
        if not self.is_open:
            self.write()

    def end(self, key: AttemptKey, ending: str) -> None:
        """End an attempt."""
        if key in self._ended:
            self.write()
        self._waiting.add(key.experiment)
        self._ended[key] = ending
        self._held.pop(key.experiment, None)
        if not self.is_open:
            self.write()

    def move(self, found: Experiment, to: State, parameters: Point | None = None, text: str | None = None) -> None:
        """Bring an experiment into another state.

        Args:
            found: The experiment as it is.
            to: The state.
            parameters: Its parameters from then on; None: as they are.
            text: The same as JSON text.
        """
        was = found.state
        last = self._moved.get(found.id)
        if last is not None and last.to is was and to in TERMINAL and (last.was, to) in TRANSITIONS:
            was, text = last.was, text or last.parameters  # what was claimed and has ended is written once
        elif last is not None:
            self.write()
        self._waiting.add(found.id)
        self._moved[found.id] = _Move(was, to, text)
        if to in TERMINAL:
            self._held.pop(found.id, None)
        elif found.id in self._held:
            parameters = found.parameters if parameters is None else parameters
            self._held[found.id].experiment = replace(found, state=to, parameters=parameters)
        if not self.is_open:
            self.write()

    def answer(self, experiment: str, answer: Answer, values: tuple[Any, ...]) -> None:
        """Add an outcome; ``values`` are the columns of `_OUTCOME` from the status on."""
        self._outcomes.append((experiment, *answer, *values))
        self._answered.add(experiment)
        held = self._held.get(experiment)
        if held is not None and held.answers is not None:
            held.answers.append(answer)
        if not self.is_open:
            self.write()

    def start(self, n: int) -> None:
        """Count starts; fewer than none are taken back."""
        self._n_starts += n
        if not self.is_open:
            self.write()

    def event(self, at: str, kind: str, key: AttemptKey | None, details: str) -> None:
        """Add an event."""
        self._events.append((at, kind, *(key or ("", 0)), details))
        if not self.is_open:
            self.write()

    # -- writing -----------------------------------------------------------

    def write(self) -> None:
        """Write what waits.

        Raises:
            IllegalTransitionError: If a row is not as it was read; the transaction must be undone.
        """
        taken, ended, moved = self._taken, self._ended, self._moved
        outcomes, n_starts, events = self._outcomes, self._n_starts, self._events
        self._forget()
        if taken:
            states = {key: ("ended", ended.pop(key)) if key in ended else ("running", "") for key in taken}
            self._change_each(_TAKE, [(*states[key], *values, *key) for key, values in taken.items()], "running")
        if ended:
            self._change_each(_END, [(ending, *key) for key, ending in ended.items()], "ended")
        if moved:
            to = {str(move.to) for move in moved.values()}
            values = [(str(move.to), move.parameters, name, str(move.was)) for name, move in moved.items()]
            self._change_each(_MOVE, values, " or ".join(sorted(to)))
        if outcomes:
            self._db.executemany(_OUTCOME, outcomes)
        if n_starts:
            self._db.execute("UPDATE tallies SET n = n + ? WHERE name = 'starts'", (n_starts,))
        if events:
            self._db.executemany(_EVENT, events)

    def _forget(self) -> None:
        """Let go of what waits to be written."""
        self._taken, self._ended, self._moved = {}, {}, {}
        self._outcomes, self._n_starts, self._events = [], 0, []
        self._waiting, self._answered = set(), set()

    def _change_each(self, statement: str, values: Sequence[tuple[Any, ...]], wanted: str) -> None:
        """Run a compare and set for each row of values; all of them must change exactly one row."""
        if self._db.executemany(statement, values).rowcount != len(values):
            mend = "Another change came first; look again."
            raise IllegalTransitionError("an experiment", "another state", wanted, mend)


@cache
def _marked(statement: str, n: int) -> str:
    return statement % ", ".join("?" * n)
