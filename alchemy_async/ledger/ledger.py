"""The ledger as a whole: opening it, reading it, and opening a change.

In:    the path of an SQLite file on a local disk.
Out:   frozen records; a `Change` within one durable transaction.
Never: changes anything outside `change`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from alchemy_async.clock import Clock, SystemClock, to_wire
from alchemy_async.errors import LedgerError, UnknownExperimentError
from alchemy_async.experiment import PENDING, Attempt, AttemptKey, Experiment, History, Objective, State
from alchemy_async.ledger import rows, schema
from alchemy_async.ledger.change import Change
from alchemy_async.ledger.learnt import Learnt
from alchemy_async.space import Point


class Ledger:
    """The durable record of one campaign.

    One object belongs to one thread. Any number of processes may read, and
    short-lived ones may write, while the planner daemon runs.

    Args:
        connection: An open connection, as `schema.connect` makes it.
        clock: For the times of events.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock | None = None) -> None:
        self._db = connection
        self._clock = clock or SystemClock()
        self._learnt = Learnt(connection)

    @classmethod
    def create(
        cls, path: Path, *, name: str, study: Mapping[str, Any], durable: bool = True, clock: Clock | None = None
    ) -> Self:
        """Open the ledger of a campaign, and begin it if there is none.

        Args:
            path: The SQLite file.
            name: The campaign's name.
            study: What may not change once there are results: parameters, objectives, constraints.
            durable: Whether each change waits for the disk; without it a power cut may lose the last ones.
            clock: For the times of events.

        Raises:
            LedgerError: If it can't be opened, or belongs to another study.
        """
        ledger = cls(schema.connect(path, create=True, durable=durable), clock)
        try:
            ledger._begin(path, name, study)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def open(cls, path: Path, *, clock: Clock | None = None) -> Self:
        """Open a ledger that exists.

        Raises:
            LedgerError: If there is none, or it can't be read.
        """
        ledger = cls(schema.connect(path, create=False), clock)
        if ledger.meta("campaign") is None:
            ledger.close()
            raise LedgerError(f"{path} is empty: the campaign was never started. `alchemy-async plan` starts it.")
        return ledger

    def _begin(self, path: Path, name: str, study: Mapping[str, Any]) -> None:
        with self.change() as change:
            if self.meta("campaign") is None:
                campaign = f"{name}-{secrets.token_hex(4)}"
                created = to_wire(self._clock.now())
                change.set_meta(
                    campaign=campaign, name=name, study=json.dumps(study), created_at=created, wanted="running"
                )
                change.note("created", name=name)
        if self.meta("name") != name or json.loads(self.meta("study") or "{}") != json.loads(json.dumps(study)):
            raise LedgerError(
                f"{path} holds the campaign {self.meta('name')!r} with other parameters, objectives or constraints "
                "than campaign.toml now says, so its results can't be compared. Put campaign.toml back, or start over "
                "with `alchemy-async clear` (which archives the ledger), or use another folder."
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a transaction; all of it is durable when the block ends, or none of it happened."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield Change(self._db, self._clock)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

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

    def experiments(self, *states: State) -> list[Experiment]:
        """Return the experiments in any of these states (all, if none is named), by number."""
        wanted = [str(state) for state in (states or tuple(State))]
        marks = ", ".join("?" * len(wanted))
        found = self._db.execute(f"SELECT * FROM experiments WHERE state IN ({marks}) ORDER BY number", wanted)  # noqa: S608 - only question marks
        return [rows.experiment(row) for row in found]

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

    def n_observations(self) -> int:
        """Return how many measurements the model may use."""
        return self._learnt.n_observations()

    def n_learnt(self) -> int:
        """Return the size of the history: measurements, and points that brought none."""
        return self._learnt.n_observations() + self._learnt.n_refused()

    def best(self, objective: Objective) -> tuple[float, str, Point] | None:
        """Return the best value measured, its experiment and the parameters as run; None before the first."""
        path = f'$."{objective.name}"'
        row = self._db.execute(
            "SELECT json_extract(measured, ?) AS value, experiment, parameters FROM outcomes"
            " WHERE status = 'completed' AND role IN ('result', 'replicate') ORDER BY value * ? DESC, id LIMIT 1",
            (path, objective.sign),
        ).fetchone()
        return None if row is None else (row["value"], row["experiment"], json.loads(row["parameters"]))

    # -- for people --------------------------------------------------------

    def events(self, *, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Return up to ``limit`` events that follow number ``after``, oldest first."""
        found = self._db.execute("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [{**dict(row), "details": json.loads(row["details"])} for row in found]

    def last_events(self, n: int) -> list[dict[str, Any]]:
        """Return the last ``n`` events, oldest first."""
        row = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return self.events(after=max(row[0] - n, 0), limit=n)

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Yield every outcome ever recorded, oldest first, with its JSON columns read."""
        for row in self._db.execute("SELECT * FROM outcomes ORDER BY id"):
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

    def duration_seconds(self, last: int) -> list[float]:
        """Return how long the last completed experiments took on their instruments, in seconds."""
        found = self._db.execute(
            "SELECT (julianday(finished_at) - julianday(started_at)) * 86400.0 AS s FROM outcomes"
            " WHERE status = 'completed' ORDER BY id DESC LIMIT ?",
            (last,),
        )
        return [max(row["s"], 0.0) for row in found][::-1]


def planner_lock(path: Path) -> Path:
    """Return the lock that whoever plans from this ledger holds; ``planner.lock`` beside ``campaign.db``."""
    return path.with_name("planner.lock" if path.name == "campaign.db" else f"{path.stem}.planner.lock")
