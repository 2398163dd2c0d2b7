"""Reading: everything that the ledger can be asked.

In:    an open connection.
Out:   frozen records, counts, and what planners learn from.
Never: changes anything, or reads the whole of a backlog where only its head is about to run.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from alchemy_async.errors import UnknownExperimentError
from alchemy_async.experiment import PENDING, Attempt, AttemptKey, Experiment, History, Objective, State
from alchemy_async.ledger import ranking, rows
from alchemy_async.ledger.dataset import Dataset
from alchemy_async.ledger.learnt import Learnt
from alchemy_async.ledger.ranking import Best
from alchemy_async.space import Fidelity, Point


class Reader(Dataset):
    """Reads one ledger.

    Args:
        connection: An open connection, as `schema.connect` makes it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._learnt = Learnt(connection)

    # -- the campaign ------------------------------------------------------

    @property
    def campaign(self) -> str:
        """The campaign's id: its name and eight random hex digits."""
        return self.meta("campaign") or ""

    def meta(self, key: str) -> str | None:
        """Return what is true of the whole campaign, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def stamp(self) -> tuple[int, int]:
        """Return a pair that differs after any commit, this connection's or another's."""
        foreign = self._db.execute("PRAGMA data_version").fetchone()[0]
        return int(foreign), self._db.total_changes

    def tally(self) -> dict[str, int]:
        """Return how many experiments are in each state, and how many ``starts`` there were."""
        return {row["name"]: row["n"] for row in self._db.execute("SELECT name, n FROM tallies")}

    # -- experiments -------------------------------------------------------

    def experiment(self, experiment: str) -> Experiment:
        """Return one experiment.

        Raises:
            UnknownExperimentError: If there is none of that id.
        """
        row = self._db.execute("SELECT * FROM experiments WHERE id = ?", (experiment,)).fetchone()
        if row is None:
            raise UnknownExperimentError(experiment)
        return rows.experiment(row)

    def metadata(self, experiment: str) -> dict[str, Any]:
        """Return what the planner noted of an experiment when it chose the parameters that it last offered.

        Raises:
            UnknownExperimentError: If there is none of that id.
        """
        row = self._db.execute("SELECT metadata FROM experiments WHERE id = ?", (experiment,)).fetchone()
        if row is None:
            raise UnknownExperimentError(experiment)
        noted: dict[str, Any] = json.loads(row["metadata"])
        return noted

    def experiments(self, *states: State) -> list[Experiment]:
        """Return the experiments in any of these states (all, if none is named), by number."""
        wanted = [str(state) for state in (states or tuple(State))]
        marks = ", ".join("?" * len(wanted))
        found = self._db.execute(f"SELECT * FROM experiments WHERE state IN ({marks}) ORDER BY number", wanted)  # noqa: S608 - only question marks
        return [rows.experiment(row) for row in found]

    def waiting(self) -> list[Experiment]:
        """Return all that is queued and that nobody wants cancelled, the first to be run first."""
        found = self._db.execute(
            "SELECT * FROM experiments WHERE state = 'queued' AND NOT is_cancelling ORDER BY priority DESC, number"
        )
        return [rows.experiment(row) for row in found]

    def waiting_texts(self) -> list[tuple[str, str, str]]:
        """Return id, parameters as JSON text and reason of all that `waiting` returns, in its order."""
        found = self._db.execute(
            "SELECT id, parameters, reason FROM experiments WHERE state = 'queued' AND NOT is_cancelling"
            " ORDER BY priority DESC, number"
        )
        return [(row["id"], row["parameters"], row["reason"]) for row in found]

    def added_after(self, number: int) -> list[Experiment]:
        """Return the experiments with a larger number, by number."""
        found = self._db.execute("SELECT * FROM experiments WHERE number > ? ORDER BY number", (number,))
        return [rows.experiment(row) for row in found]

    def last_number(self) -> int:
        """Return the number of the newest experiment; 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM experiments").fetchone()[0])

    def window(self, size: int) -> list[Experiment]:
        """Return the best queued experiments of each distinct ``requires``, best first.

        Args:
            size: How many of each.
        """
        best: list[Experiment] = []
        for kind in self._kinds():
            found = self._db.execute(
                "SELECT * FROM experiments WHERE state = 'queued' AND requires = ? AND NOT is_cancelling"
                " ORDER BY priority DESC, number LIMIT ?",
                (kind, size),
            )
            best += [rows.experiment(row) for row in found]
        return sorted(best, key=lambda experiment: (-experiment.priority, experiment.number))

    def queued_for(self, most: int) -> dict[frozenset[str], int]:
        """Return how many experiments are queued, by the labels that they require; of each kind at most ``most``."""
        counted = "SELECT count(*) FROM (SELECT 1 FROM experiments WHERE state = 'queued' AND requires = ? LIMIT ?)"
        return {
            frozenset(json.loads(kind)): self._db.execute(counted, (kind, most)).fetchone()[0] for kind in self._kinds()
        }

    def _kinds(self) -> list[str]:
        """Return every distinct ``requires`` of what is queued, hopping from one to the next in the index."""
        found = self._db.execute(
            "WITH RECURSIVE kinds (kind) AS ("
            " SELECT min(requires) FROM experiments WHERE state = 'queued' UNION ALL"
            " SELECT (SELECT min(requires) FROM experiments WHERE state = 'queued' AND requires > kind)"
            " FROM kinds WHERE kind IS NOT NULL"
            ") SELECT kind FROM kinds WHERE kind IS NOT NULL"
        )
        return [row["kind"] for row in found]

    def revisable(self) -> list[Experiment]:
        """Return the queued experiments whose parameters the planner may change, the first to be run first."""
        found = self._db.execute(
            "SELECT * FROM experiments INDEXED BY experiments_revisable"
            " WHERE state = 'queued' AND NOT pinned AND attempt = 1 AND NOT is_cancelling"
            " ORDER BY priority DESC, number"
        )
        return [rows.experiment(row) for row in found]

    def offered_points(self, most: int) -> dict[str, list[Point]]:
        """Return every point that queued experiments have been offered with, by id.

        Args:
            most: How many of each distinct ``requires`` are looked at, from the
                first to be run on; what stands in a published queue always is.
        """
        names = {experiment.id: None for experiment in self.window(most)}
        listed = (self.experiment(key.experiment) for key in self.listed())
        names |= {experiment.id: None for experiment in listed if experiment.state is State.QUEUED}
        points: dict[str, list[Point]] = {}
        for name in names:
            found = self._db.execute("SELECT parameters FROM points WHERE experiment = ? ORDER BY rowid", (name,))
            points[name] = [json.loads(row["parameters"]) for row in found]
        return points

    def still_pending(self, experiments: Collection[str]) -> set[str]:
        """Return which of these experiments are chosen and not yet observed."""
        return {name for name in experiments if self.experiment(name).state in PENDING}

    # -- attempts ----------------------------------------------------------

    def attempt(self, key: AttemptKey) -> Attempt:
        """Return one attempt.

        Raises:
            UnknownExperimentError: If there is none of that name.
        """
        row = self._db.execute(
            "SELECT * FROM attempts WHERE experiment = ? AND attempt = ?", (key.experiment, key.attempt)
        ).fetchone()
        if row is None:
            raise UnknownExperimentError(str(key))
        return rows.attempt(row)

    def listed(self) -> list[AttemptKey]:
        """Return every attempt that stood in a published queue and has not ended."""
        found = self._db.execute(
            "SELECT experiment, attempt FROM attempts INDEXED BY attempts_listed"
            " WHERE state <> 'ended' AND is_listed ORDER BY experiment, attempt"
        )
        return [AttemptKey(row["experiment"], row["attempt"]) for row in found]

    def queue_version(self) -> int:
        """Return a number that grows whenever what is queued changes, in order or in content."""
        return int(self._db.execute("SELECT n FROM counters WHERE name = 'queue'").fetchone()[0])

    def reply(self, key: str) -> tuple[str, int, str] | None:
        """Return request, status and body of a reply that was remembered under a key, or None."""
        row = self._db.execute("SELECT request, status, body FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row["request"], row["status"], row["body"])

    def is_listed(self, key: AttemptKey) -> bool:
        """Tell whether an attempt ever stood in a published queue."""
        row = self._db.execute(
            "SELECT is_listed FROM attempts WHERE experiment = ? AND attempt = ?", (key.experiment, key.attempt)
        ).fetchone()
        return bool(row and row["is_listed"])

    def held(self) -> list[Attempt]:
        """Return the attempts that are running or interrupted."""
        found = self._db.execute(
            "SELECT * FROM attempts WHERE state IN ('running', 'interrupted') ORDER BY experiment, attempt"
        )
        return [rows.attempt(row) for row in found]

    def to_stop(self) -> list[AttemptKey]:
        """Return running attempts that a person cancelled, or whose experiment has ended without them."""
        found = self._db.execute(
            "SELECT attempts.experiment, attempts.attempt FROM attempts INDEXED BY attempts_held"
            " JOIN experiments ON experiments.id = attempts.experiment"
            " WHERE attempts.state IN ('running', 'interrupted') AND attempts.state = 'running'"
            " AND (experiments.is_cancelling OR experiments.state <> 'running'"
            " OR experiments.attempt <> attempts.attempt)"
            " ORDER BY attempts.experiment"
        )
        return [AttemptKey(row["experiment"], row["attempt"]) for row in found]

    def to_withdraw(self) -> list[AttemptKey]:
        """Return queued attempts that a person cancelled, or whose experiment has ended without them."""
        found = self._db.execute(
            "SELECT id AS experiment, attempt FROM experiments INDEXED BY experiments_cancelling"
            " WHERE is_cancelling AND state = 'queued'"
            " UNION SELECT attempts.experiment, attempts.attempt FROM attempts INDEXED BY attempts_listed"
            " JOIN experiments ON experiments.id = attempts.experiment"
            " WHERE attempts.state <> 'ended' AND attempts.state = 'queued' AND attempts.is_listed"
            " AND (experiments.state <> 'queued' OR experiments.attempt <> attempts.attempt)"
        )
        return [AttemptKey(row["experiment"], row["attempt"]) for row in found]

    # -- what planners learn from ------------------------------------------

    def history(self) -> History:
        """Return every measurement, replicates included, and every point that brought none, oldest first."""
        return self._learnt.history()

    def observed(self) -> list[str]:
        """Return the experiment of each measurement in `history`, in the same order."""
        found = self._db.execute(
            "SELECT experiment FROM measurements"
            " WHERE status = 'completed' AND role IN ('result', 'replicate') ORDER BY id"
        )
        return [row["experiment"] for row in found]

    def n_observations(self) -> int:
        """Return how many measurements the model may use."""
        return self._learnt.n_observations()

    def history_version(self) -> int:
        """Return a number that grows whenever the history changes, be it by a correction."""
        return self._learnt.version()

    def best(self, *objectives: Objective, fidelity: Fidelity | None = None) -> Best | None:
        """Return the best measurement by the first objective that is to be optimised; None before the first.

        Args:
            objectives: All of the campaign: one measurement that keeps more limits is better, whatever its value.
            fidelity: Where it has one: only what was run at its target counts.
        """
        return ranking.best(self._db, objectives, fidelity)

    def n_at(self, fidelity: Fidelity) -> tuple[int, int]:
        """Return how many measurements were run at the target of a fidelity, and how many there are."""
        return ranking.n_at(self._db, fidelity)

    # -- for people --------------------------------------------------------

    def events(self, *, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Return up to ``limit`` events that follow number ``after``, oldest first."""
        found = self._db.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [{**dict(row), "details": json.loads(row["details"])} for row in found]

    def last_events(self, n: int) -> list[dict[str, Any]]:
        """Return the last ``n`` events, oldest first."""
        row = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return self.events(after=max(row[0] - n, 0), limit=n)

    def events_of(self, experiment: str) -> list[dict[str, Any]]:
        """Return all events of one experiment, oldest first."""
        found = self._db.execute("SELECT * FROM events WHERE experiment = ? ORDER BY seq", (experiment,))
        return [{**dict(row), "details": json.loads(row["details"])} for row in found]

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Yield every outcome ever recorded, oldest first, with its JSON columns read.

        What was corrected is shown as it was corrected last; what was marked as an outlier has that for its role.
        """
        for row in self._db.execute("SELECT * FROM measurements ORDER BY id"):
            texts = {key: json.loads(row[key]) for key in ("parameters", "measured", "sems", "metadata")}
            yield {**dict(row), **texts}

    def ask_seconds(self, last: int | None = None) -> list[float]:
        """Return how long asks took, in seconds, oldest first; all, or the ``last`` ones."""
        found = self._db.execute("SELECT seconds FROM asks ORDER BY id DESC LIMIT ?", (-1 if last is None else last,))
        return [row["seconds"] for row in found][::-1]

    def point_seconds(self, last: int) -> list[float]:
        """Return how long the last asks took for each point that they were asked for, in seconds."""
        found = self._db.execute("SELECT seconds / n AS s FROM asks ORDER BY id DESC LIMIT ?", (last,))
        return [row["s"] for row in found][::-1]

    def duration_seconds(self, last: int) -> dict[str, tuple[float, ...]]:
        """Return how long the last completed experiments took, in seconds, by worker, the oldest first."""
        found = self._db.execute(
            "SELECT worker, (julianday(finished_at) - julianday(started_at)) * 86400.0 AS s FROM outcomes"
            " WHERE status = 'completed' ORDER BY id DESC LIMIT ?",
            (last,),
        ).fetchall()
        seconds: dict[str, tuple[float, ...]] = {}
        for row in reversed(found):
            seconds[row["worker"]] = (*seconds.get(row["worker"], ()), max(row["s"], 0.0))
        return seconds
