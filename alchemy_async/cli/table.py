"""The table that `export` writes: one row for each experiment, then its replicates.

In:    a ledger.
Out:   rows of plain values; CSV or JSON with every digit of every number.
Never: rounds, or leaves an experiment out.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, TextIO

from alchemy_async.cli import front

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings
    from alchemy_async.experiment import Experiment
    from alchemy_async.ledger import Ledger

ON_FRONT = "on_front"  # only with several objectives

Row = dict[str, Any]


def columns(settings: CampaignSettings) -> list[str]:
    """Return the names of the columns."""
    objectives = [objective.name for objective in settings.objectives]
    return [
        "experiment",
        "status",
        *(parameter.name for parameter in settings.parameters),
        *objectives,
        *(f"{name}_sem" for name in objectives),
        "worker",
        "attempt",
        "started_at",
        "finished_at",
        "origin",
        "reason",
        "iteration",
        *([ON_FRONT] if front.is_wanted(settings) else []),
    ]


def rows(ledger: Ledger, settings: CampaignSettings, *, with_all: bool = False) -> Iterator[Row]:
    """Yield the rows, by experiment.

    Args:
        ledger: The ledger.
        settings: For the names of parameters and objectives.
        with_all: Also conflicting and superseded results, with that as their status.
    """
    extra = {"replicate", "conflict", "superseded"} if with_all else {"replicate"}
    experiments = ledger.experiments()  # before the outcomes: one that ends meanwhile is then still shown as running
    outcomes: dict[str, list[Row]] = defaultdict(list)
    for outcome in ledger.outcomes():
        outcomes[outcome["experiment"]].append(outcome)
    best = front.on_front(settings, chain.from_iterable(outcomes.values())) if front.is_wanted(settings) else None
    workers = {attempt.key: attempt.worker for attempt in ledger.held()}
    for experiment in experiments:
        found = outcomes.get(experiment.id, [])
        decisive = [one for one in found if one["role"] in ("result", "outlier") and one["status"] == experiment.state]
        last = decisive[-1] if decisive else {"worker": workers.get(experiment.key, "")}
        status = "outlier" if last.get("role") == "outlier" else str(experiment.state)
        yield _row(settings, experiment, status, last, best)
        for outcome in found:
            if outcome["role"] in extra:
                yield _row(settings, experiment, outcome["role"], outcome, best)


def _row(
    settings: CampaignSettings,
    experiment: Experiment,
    status: str,
    outcome: Mapping[str, Any],
    best: Collection[int] | None,
) -> Row:
    parameters = outcome.get("parameters") or experiment.parameters
    measured, sems = outcome.get("measured", {}), outcome.get("sems", {})
    row: Row = {"experiment": experiment.id, "status": status}
    row |= {parameter.name: parameters.get(parameter.name) for parameter in settings.parameters}
    row |= {objective.name: measured.get(objective.name) for objective in settings.objectives}
    row |= {f"{objective.name}_sem": sems.get(objective.name) for objective in settings.objectives}
    row |= {
        "worker": outcome.get("worker") or None,
        "attempt": outcome.get("attempt", experiment.attempt),
        "started_at": outcome.get("started_at"),
        "finished_at": outcome.get("finished_at"),
        "origin": experiment.origin,
        "reason": experiment.reason,
        "iteration": experiment.iteration,
    }
    return row if best is None else row | {ON_FRONT: outcome["id"] in best if measured else None}


def write_csv(file: TextIO, names: list[str], table: Iterable[Row]) -> None:
    """Write CSV with a header; what is not known is empty."""
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)


def write_json(file: TextIO, table: Iterable[Row]) -> None:
    """Write a JSON list of objects, one a line; what is not known is null."""
    before = "[\n"
    for row in table:
        file.write(before + json.dumps(row, ensure_ascii=False, allow_nan=False))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")
