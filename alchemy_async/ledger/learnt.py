"""Learnt: what planners learn from, read from the ledger once and kept.

In:    an open ledger's connection.
Out:   measurements and refused points, oldest first; how many there are.
Never: reads an outcome twice, unless one was corrected: outcomes are only ever added.
"""

from __future__ import annotations

import json
import sqlite3

from alchemy_async.experiment import History, Observed, Refused, State

_USED = "role IN ('result', 'replicate') AND status = 'completed'"
_REFUSED = (State.FAILED, State.INFEASIBLE)


class Learnt:
    """Keeps up with a growing ledger; each call reads only what came since the last.

    Args:
        connection: An open connection; what it reads within a transaction of its own is not kept.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._observed: list[Observed] = []
        self._read_to = 0
        self._n_corrections = 0
        self._refused: tuple[Refused, ...] = ()

    def history(self) -> History:
        """Return every measurement, replicates included, and every point that brought none, oldest first."""
        self._heed_corrections()
        found = self._db.execute(
            f"SELECT id, parameters, measured, sems FROM measurements WHERE id > ? AND {_USED} ORDER BY id",  # noqa: S608 - a constant
            (self._read_to,),
        ).fetchall()
        since = [
            Observed(json.loads(row["parameters"]), json.loads(row["measured"]), json.loads(row["sems"]))
            for row in found
        ]
        observed = self._observed + since
        if found and not self._db.in_transaction:  # else a rollback may take it back
            self._observed, self._read_to = observed, found[-1]["id"]
        return History(tuple(observed), self._read_refused())

    def n_observations(self) -> int:
        """Return how many measurements the model may use."""
        row = self._db.execute("SELECT n FROM counters WHERE name = 'observations'").fetchone()
        return int(row[0])

    def version(self) -> int:
        """Return a number that grows whenever the history changes, be it by a correction."""
        corrections = 2 * self._count_corrections()  # each may take one measurement away
        return self.n_observations() + self.n_refused() + corrections

    def _count_corrections(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM corrections").fetchone()[0])

    def _heed_corrections(self) -> None:
        """Forget what was read, if any of it has been corrected since."""
        n = self._count_corrections()
        if n != self._n_corrections:
            self._observed, self._read_to = [], 0
            self._n_corrections = 0 if self._db.in_transaction else n  # a rollback may take the correction back

    def n_refused(self) -> int:
        """Return how many experiments brought nothing: failed or infeasible."""
        row = self._db.execute("SELECT sum(n) FROM tallies WHERE name IN (?, ?)", tuple(map(str, _REFUSED))).fetchone()
        return int(row[0])

    def _read_refused(self) -> tuple[Refused, ...]:
        if self._db.in_transaction or len(self._refused) != self.n_refused():  # an ended experiment never changes
            self._refused = tuple(
                Refused(json.loads(row["parameters"]), row["kind"])
                for row in self._db.execute(
                    "SELECT parameters, coalesce((SELECT nullif(error_kind, '') FROM outcomes"
                    " WHERE experiment = experiments.id AND role = 'result' AND status = 'failed'"
                    " ORDER BY outcomes.id DESC LIMIT 1), state) AS kind"
                    " FROM experiments WHERE state IN (?, ?) ORDER BY number",
                    tuple(map(str, _REFUSED)),
                )
            )
        return self._refused
