"""The dataset: what was measured as rows, and what became of each experiment that somebody queued.

In:    an open ledger's connection.
Out:   measurements page by page with all corrections applied, their history, queue items, counts.
Never: reads the whole of a ledger where a page of it is asked for.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alchemy_async.experiment import AttemptKey, State
from alchemy_async.ledger.many import RECORDED
from alchemy_async.space import Point

USED = ("result", "replicate")  # roles of what the model learns from

_MEASURED = """
SELECT m.id, m.experiment, m.attempt, m.worker, m.role, m.parameters, m.measured, m.sems, m.metadata, m.started_at,
    m.finished_at, m.recorded_at, a.parameters AS asked, e.reason, e.iteration, e.origin, e.metadata AS noted
FROM measurements AS m JOIN experiments AS e ON e.id = m.experiment
    JOIN attempts AS a ON a.experiment = m.experiment AND a.attempt = m.attempt
"""
_ITEM_COLUMNS = """
SELECT e.number, e.id, e.state, e.parameters, e.attempt, e.priority, e.origin, e.reason, e.is_cancelling, e.added_at,
    a.worker, a.claimed_at, o.id AS outcome, coalesce(c.measured, o.measured) AS measured,
    coalesce(c.sems, o.sems) AS sems, o.metadata, o.recorded_at, o.error_kind, o.error_message
"""
_ITEM_JOINS = """
    JOIN attempts AS a ON a.experiment = e.id AND a.attempt = e.attempt
    LEFT JOIN outcomes AS o ON o.id = (
        SELECT max(id) FROM outcomes WHERE outcomes.experiment = e.id AND role = 'result'
    )
    LEFT JOIN corrections AS c ON c.id = (SELECT max(id) FROM corrections WHERE corrections.outcome = o.id)
"""  # not the view: SQLite would make all of it first where it stands on the right of a LEFT JOIN
_ITEM = f"{_ITEM_COLUMNS} FROM experiments AS e {_ITEM_JOINS}"


@dataclass(frozen=True)
class Measurement:
    """One measurement, as it was corrected last.

    Args:
        number: Of the measurement in the ledger; they grow in the order in which they came in.
        role: ``result``, ``replicate``, ``conflict`` or ``outlier``.
        asked: The parameters that the attempt was taken with.
        parameters: As run.
        values: By objective.
        sems: Standard errors, by objective.
        metadata: What came with it.
        is_recorded: Whether it was never queued.
        noted: What the planner noted of its experiment.
    """

    number: int
    key: AttemptKey
    worker: str
    role: str
    asked: Point
    parameters: Point
    values: dict[str, float]
    sems: dict[str, float]
    metadata: dict[str, Any]
    started_at: str
    finished_at: str
    recorded_at: str
    reason: str
    iteration: int | None
    is_recorded: bool
    noted: dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One experiment that somebody queued, and what came of it so far."""

    number: int
    id: str
    state: State
    parameters: Point
    attempt: int
    priority: float
    reason: str
    is_cancelling: bool
    is_recorded: bool
    worker: str
    added_at: str | None
    claimed_at: str | None
    outcome: int | None
    values: dict[str, float]
    sems: dict[str, float]
    metadata: dict[str, Any]
    recorded_at: str | None
    error: str


@dataclass(frozen=True)
class Summary:
    """Of the values of one objective: how many, the extremes, the mean, and the standard deviation (n - 1)."""

    n: int
    min: float
    max: float
    mean: float
    std: float | None


class Dataset:
    """What `Reader` knows of rows; a part of it."""

    _db: sqlite3.Connection

    def measured(
        self, *, after: int = 0, limit: int = 1000, roles: Sequence[str] = USED, before_end: int | None = None
    ) -> list[Measurement]:
        """Return up to ``limit`` measurements that follow number ``after``, oldest first.

        Args:
            after: Number of a measurement.
            limit: How many.
            roles: Of which roles.
            before_end: The last number to be returned; None: to the end.
        """
        marks = ", ".join("?" * len(roles))
        found = self._db.execute(
            f"{_MEASURED} WHERE m.id > ? AND m.id <= ? AND m.status = 'completed' AND m.role IN ({marks})"
            " ORDER BY m.id LIMIT ?",
            (after, 2**62 if before_end is None else before_end, *roles, limit),
        )
        return [_measurement(row) for row in found]

    def measurements_of(self, experiment: str) -> list[Measurement]:
        """Return all that was measured of one experiment, conflicts and outliers included, oldest first."""
        found = self._db.execute(
            f"{_MEASURED} WHERE m.experiment = ? AND m.status = 'completed' ORDER BY m.id", (experiment,)
        )
        return [_measurement(row) for row in found]

    def last_measurement(self) -> int:
        """Return the number of the newest outcome; 0 before the first."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM outcomes").fetchone()[0])

    def corrections_of(self, measurement: int) -> list[dict[str, Any]]:
        """Return every correction of a measurement, oldest first, each with the values that it set."""
        found = self._db.execute(
            "SELECT at, who, why, is_outlier, measured, sems FROM corrections WHERE outcome = ? ORDER BY id",
            (measurement,),
        )
        return [
            {
                "at": row["at"], "who": row["who"], "why": row["why"], "outlier": bool(row["is_outlier"]),
                "values": json.loads(row["measured"]), "sems": json.loads(row["sems"]),
            }
            for row in found
        ]  # fmt: skip

    def recorded_values(self, measurement: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return the values and standard errors of a measurement as they came in, whatever was corrected since."""
        row = self._db.execute("SELECT measured, sems FROM outcomes WHERE id = ?", (measurement,)).fetchone()
        return json.loads(row["measured"]), json.loads(row["sems"])

    def decisive_outcomes(self, experiment: str) -> list[dict[str, Any]]:
        """Return number and status of what decided an experiment or gave it back, whatever was corrected since."""
        found = self._db.execute(
            "SELECT id, status FROM outcomes WHERE experiment = ? AND role = 'result' ORDER BY id", (experiment,)
        )
        return [dict(row) for row in found]

    def outcomes_of(self, key: AttemptKey) -> list[dict[str, Any]]:
        """Return everything that was reported of one attempt as it came in, conflicts included, oldest first."""
        found = self._db.execute(
            "SELECT id, worker, status, role, parameters, measured, sems, error_kind, error_message, metadata, digest,"
            " recorded_at FROM outcomes WHERE experiment = ? AND attempt = ? ORDER BY id",
            tuple(key),
        )
        texts = ("parameters", "measured", "sems", "metadata")
        return [{**dict(row), **{name: json.loads(row[name]) for name in texts}} for row in found]

    def last_attempt_of(self, experiment: str, worker: str) -> int | None:
        """Return the number of the newest attempt that a worker had at an experiment, or None."""
        row = self._db.execute(
            "SELECT max(attempt) FROM attempts WHERE experiment = ? AND worker = ?", (experiment, worker)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def claimed_at(self, key: AttemptKey) -> str | None:
        """Return when an attempt was claimed, as the ledger writes times; None if it was not."""
        row = self._db.execute(
            "SELECT claimed_at FROM attempts WHERE experiment = ? AND attempt = ?", tuple(key)
        ).fetchone()
        return None if row is None else row["claimed_at"]

    def summary(self, objective: str) -> Summary | None:
        """Return what the values of an objective that the model learns from look like; None before the first."""
        marks = ", ".join("?" * len(USED))
        values = (
            "SELECT json_extract(measured, ?) AS v FROM measurements"  # noqa: S608 - only question marks
            f" WHERE status = 'completed' AND role IN ({marks})"
        )
        given = (f'$."{objective}"', *USED)
        row = self._db.execute(f"SELECT count(v), min(v), max(v), avg(v) FROM ({values})", given).fetchone()  # noqa: S608 - a constant
        n, least, most, mean = row
        if not n:
            return None
        around = f"SELECT total((v - ?) * (v - ?)) FROM ({values})"  # noqa: S608 - a constant
        spread = self._db.execute(around, (mean, mean, *given)).fetchone()[0]
        return Summary(n, float(least), float(most), float(mean), math.sqrt(spread / (n - 1)) if n > 1 else None)

    def audited(
        self, noted: str, *, kind: str | None, entry_type: str | None, without: Sequence[str], after: int, limit: int
    ) -> list[dict[str, Any]]:
        """Return up to ``limit`` events that follow number ``after``, oldest first, for an audit trail.

        Args:
            noted: The kind of events that name an entry type in their details.
            kind: Only events of this kind, and those noted with ``entry_type``; None: all.
            entry_type: As it was noted.
            without: Kinds that are left out where no kind is asked for.
            after: Number of an event.
            limit: How many.
        """
        if kind is None:
            wanted, given = f"kind NOT IN ({', '.join('?' * len(without))})", tuple(without)
        else:
            wanted = "(kind = ? AND kind <> ? OR kind = ? AND json_extract(details, '$.entry_type') = ?)"
            given = (kind, noted, noted, str(entry_type))
        found = self._db.execute(
            f"SELECT * FROM events WHERE seq > ? AND {wanted} ORDER BY seq LIMIT ?",  # noqa: S608 - only question marks
            (after, *given, limit),
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in found]

    # -- queue items -------------------------------------------------------

    def item(self, experiment: str) -> Item | None:
        """Return one experiment with what came of it, or None."""
        row = self._db.execute(f"{_ITEM} WHERE e.id = ?", (experiment,)).fetchone()
        return None if row is None else _item(row)

    def open_items(self) -> list[Item]:
        """Return what is queued, running or interrupted, by number."""
        found = self._db.execute(f"{_ITEM} WHERE e.state IN ('queued', 'running', 'interrupted') ORDER BY e.number")
        return [_item(row) for row in found]

    def ended_items(self, most: int, *, after: int = 0) -> list[Item]:
        """Return what was queued and has ended, by number, among the last ``most`` outcomes after number ``after``."""
        found = self._db.execute(
            f"{_ITEM_COLUMNS} FROM (SELECT DISTINCT experiment FROM (SELECT experiment FROM outcomes"  # noqa: S608 - constants
            " WHERE id > ? AND role = 'result' ORDER BY id DESC LIMIT ?)) AS last"
            f" CROSS JOIN experiments AS e ON e.id = last.experiment {_ITEM_JOINS}"
            f" WHERE e.origin <> '{RECORDED}' AND e.state IN ('completed', 'failed', 'infeasible') AND o.id > ?"
            " ORDER BY e.number",
            (after, most, after),
        )
        return [_item(row) for row in found]

    def n_waiting(self) -> int:
        """Return how many experiments are queued and not to be cancelled."""
        row = self._db.execute(
            "SELECT n - (SELECT count(*) FROM experiments WHERE is_cancelling AND state = 'queued') FROM tallies"
            " WHERE name = 'queued'"
        ).fetchone()
        return int(row[0])

    def n_ended(self) -> tuple[int, int]:
        """Return how many experiments that somebody queued were completed, and how many brought nothing."""
        tally = {row["name"]: row["n"] for row in self._db.execute("SELECT name, n FROM tallies")}
        return tally["completed"] - self._counter("recorded"), tally["failed"] + tally["infeasible"]

    def has_noise(self) -> bool:
        """Tell whether any measurement came with a standard error."""
        return self._counter("noisy") > 0

    def _counter(self, name: str) -> int:
        return int(self._db.execute("SELECT n FROM counters WHERE name = ?", (name,)).fetchone()[0])


def _measurement(row: sqlite3.Row) -> Measurement:
    return Measurement(
        number=row["id"],
        key=AttemptKey(row["experiment"], row["attempt"]),
        worker=row["worker"],
        role=row["role"],
        asked=json.loads(row["asked"]),
        parameters=json.loads(row["parameters"]),
        values=json.loads(row["measured"]),
        sems=json.loads(row["sems"]),
        metadata=json.loads(row["metadata"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        recorded_at=row["recorded_at"],
        reason=row["reason"],
        iteration=row["iteration"],
        is_recorded=row["origin"] == RECORDED,
        noted=json.loads(row["noted"]),
    )


def _item(row: sqlite3.Row) -> Item:
    error = row["error_message"] or row["error_kind"] or ""
    return Item(
        number=row["number"],
        id=row["id"],
        state=State(row["state"]),
        parameters=json.loads(row["parameters"]),
        attempt=row["attempt"],
        priority=row["priority"],
        reason=row["reason"],
        is_cancelling=bool(row["is_cancelling"]),
        is_recorded=row["origin"] == RECORDED,
        worker=row["worker"],
        added_at=row["added_at"],
        claimed_at=row["claimed_at"],
        outcome=row["outcome"],
        values=json.loads(row["measured"] or "{}"),
        sems=json.loads(row["sems"] or "{}"),
        metadata=json.loads(row["metadata"] or "{}"),
        recorded_at=row["recorded_at"],
        error=error,
    )
