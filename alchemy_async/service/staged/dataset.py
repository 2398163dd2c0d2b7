"""The dataset: measurements as the rows that clients of ALchemist know, read page by page.

In:    a desk.
Out:   rows with a column for each variable and objective, and Noise, Iteration, Reason, ProvenanceId.
Never: holds a session up while a long table is read, or leaves a correction out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alchemy_async.experiment import Objective
from alchemy_async.ledger import Ledger, Measurement
from alchemy_async.ledger.dataset import USED
from alchemy_async.service.staged.desk import Desk
from alchemy_async.service.staged.measures import noise_of

MANUAL = "Manual"  # the reason of what was recorded without one
PAGE = 2000
RESERVED = ("Noise", "Iteration", "Reason", "ProvenanceId")


def pages(
    desk: Desk, *, after: int = 0, limit: int | None = None, roles: Sequence[str] = USED
) -> Iterator[list[Measurement]]:
    """Yield measurements in pages, oldest first; others use the session between two of them.

    Args:
        desk: The session's.
        after: The number of the measurement before the first.
        limit: How many in all; None: all that there are at the start.
        roles: Of which roles.
    """
    with desk.look() as ledger:
        end = ledger.last_measurement()
    left = limit
    while left is None or left > 0:
        n = PAGE if left is None else min(left, PAGE)
        with desk.look() as ledger:
            found = ledger.measured(after=after, limit=n, roles=roles, before_end=end)
        if found:
            yield found
        if len(found) < n:
            return
        after, left = found[-1].number, None if left is None else left - n


def noise_columns(objectives: Sequence[Objective]) -> dict[str, str]:
    """Return the name of each objective's column of variances."""
    if len(objectives) == 1:
        return {objectives[0].name: "Noise"}
    return {objective.name: f"Noise_{objective.name}" for objective in objectives}


def row(found: Measurement, objectives: Sequence[Objective], *, has_noise: bool) -> dict[str, Any]:
    """Return a measurement as a row.

    Args:
        found: The measurement.
        objectives: The campaign's.
        has_noise: Whether there are columns for the noise: there are, once any row has one.
    """
    made: dict[str, Any] = dict(found.parameters)
    made |= {objective.name: found.values.get(objective.name) for objective in objectives}
    if has_noise:
        noise = noise_of(found.values, found.sems, found.metadata)
        made |= {column: noise.get(name) for name, column in noise_columns(objectives).items()}
    return made | {
        "Iteration": found.iteration,
        "Reason": found.reason or MANUAL,
        "ProvenanceId": provenance_id(found),
    }


def provenance_id(found: Measurement) -> str:
    """Return the experiment's id; of a replicate its attempt's."""
    return str(found.key) if found.role == "replicate" else found.key.experiment


def provenance(found: Measurement, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Return where a measurement comes from: what was asked, what was run, and how they differ."""
    suggested = None if found.is_recorded else dict(found.asked)
    noise = noise_of(found.values, found.sems, found.metadata)
    values = [found.values.get(objective.name) for objective in objectives]
    return {
        "id": provenance_id(found),
        "iteration": found.iteration,
        "strategy": found.reason or MANUAL,
        "acq_params": dict(found.noted),
        "suggested": suggested,
        "actual": dict(found.parameters),
        "delta": _delta(suggested, found.parameters),
        "output": values[0] if len(objectives) == 1 else dict(found.values),
        "noise": noise.get(objectives[0].name) if len(objectives) == 1 else noise or None,
        "timestamp": found.recorded_at,
        "measurement": found.number,
        "worker": found.worker,
        "attempt": found.key.attempt,
    }


def _delta(suggested: Mapping[str, Any] | None, actual: Mapping[str, Any]) -> dict[str, Any]:
    if suggested is None:
        return dict.fromkeys(actual, "no-suggestion")
    delta: dict[str, Any] = {}
    for name, value in actual.items():
        asked = suggested.get(name)
        if asked is None:
            delta[name] = "no-suggestion"
        elif isinstance(value, str) or isinstance(asked, str):
            delta[name] = "unchanged" if value == asked else f"{asked}→{value}"
        else:
            delta[name] = value - asked
    return delta | dict.fromkeys(suggested.keys() - actual.keys(), "dropped")


def find(ledger: Ledger, name: str) -> Measurement | None:
    """Return the measurement that a provenance id names, or None."""
    experiment, _, attempt = name.partition(".")
    found = [one for one in ledger.measurements_of(experiment) if one.role in USED]
    if attempt:
        found = [one for one in found if str(one.key.attempt) == attempt]
    else:
        found = [one for one in found if one.role == "result"]
    return found[0] if found else None
