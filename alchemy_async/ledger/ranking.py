"""Ranking: which measurement is the better one, in SQL.

In:    objectives; a table with a column ``v0``, ``v1`` ... for the values of each; at which fidelity values count.
Out:   the best measurement; the same that `experiment.standing` would choose.
Never: changes anything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alchemy_async.experiment import Objective, optimised
from alchemy_async.space import Fidelity, Point


@dataclass(frozen=True)
class Best:
    """The best measurement of a campaign.

    Args:
        value: Value of the objective, in its unit.
        experiment: Which experiment's.
        parameters: As run.
        objective: The first objective that is to be optimised.
        keeps_limits: Whether all limits are kept.
    """

    value: float
    experiment: str
    parameters: Point
    objective: Objective
    keeps_limits: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as summaries and pages have it, as JSON can hold it."""
        return {
            "objective": self.objective.name,
            "unit": self.objective.unit,
            "value": self.value,
            "experiment": self.experiment,
            "parameters": self.parameters,
            "off_target": None if self.objective.target is None else -self.objective.score(self.value),
            "keeps_limits": self.keeps_limits,
        }


def best(
    connection: sqlite3.Connection, objectives: Sequence[Objective], fidelity: Fidelity | None = None
) -> Best | None:
    """Return the best measurement by the first objective that is to be optimised; None before the first.

    One that keeps more limits is better, whatever its value; of those that break as many, the one that is
    less far beyond them. Where there is a fidelity, only what was run at its target counts.
    """
    objective = optimised(objectives)[0]
    columns = ", ".join(f"json_extract(measured, ?) AS v{i}" for i in range(len(objectives)))
    broken, beyond = _breaches(objectives)
    value = f"v{list(objectives).index(objective)}"
    row = connection.execute(
        f"WITH found AS (SELECT id, experiment, parameters, {columns} FROM measurements"  # noqa: S608 - numbers only
        f" WHERE status = 'completed' AND role IN ('result', 'replicate'){_AT if fidelity else ''})"
        f" SELECT experiment, parameters, {value} AS value, {broken} AS broken, {beyond} AS beyond FROM found"
        f" WHERE value IS NOT NULL ORDER BY broken, beyond, {_score(objective, value)} DESC, id LIMIT 1",
        [*(f'$."{one.name}"' for one in objectives), *_ends(fidelity)],
    ).fetchone()
    if row is None:
        return None
    return Best(row["value"], row["experiment"], json.loads(row["parameters"]), objective, row["broken"] == 0)


def n_at(connection: sqlite3.Connection, fidelity: Fidelity) -> tuple[int, int]:
    """Return how many measurements were run at the target of a fidelity, and how many there are."""
    row = connection.execute(
        f"SELECT count(CASE WHEN 1{_AT} THEN 1 END), count(*) FROM measurements"  # noqa: S608 - numbers only
        " WHERE status = 'completed' AND role IN ('result', 'replicate')",
        _ends(fidelity),
    ).fetchone()
    return int(row[0]), int(row[1])


_AT = " AND json_extract(parameters, ?) BETWEEN ? AND ?"


def _ends(fidelity: Fidelity | None) -> list[str | float]:
    return [] if fidelity is None else [f'$."{fidelity.name}"', fidelity.low, fidelity.high]


def _breaches(objectives: Sequence[Objective]) -> tuple[str, str]:
    """Return how many objectives are beyond their limits, and how far; one that was not measured is."""
    broken, beyond = ["0"], ["0"]
    for i, one in enumerate(objectives):
        if one.is_limited:
            below = "0" if one.at_least is None else f"{one.at_least!r} - v{i}"
            above = "0" if one.at_most is None else f"v{i} - {one.at_most!r}"
            far = f"max({below}, {above}, 0)"
            broken.append(f"coalesce({far} > 0, 1)")
            beyond.append(f"coalesce({far}, 0)")
    return " + ".join(broken), " + ".join(beyond)


def _score(objective: Objective, value: str) -> str:
    if objective.goal == "target":
        return f"-abs({value} - {float(objective.target or 0.0)!r})"
    return f"{value} * {objective.sign!r}"
