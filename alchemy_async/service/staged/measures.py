"""Measures: values with what is known of their noise, as clients give them and as the ledger keeps them.

In:    numbers by objective, or the one number where there is one objective; variances or standard errors.
Out:   checked values, outcomes of them, and the noise as it was written.
Never: guesses which objective a number belongs to.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alchemy_async.experiment import Objective, Outcome, Status
from alchemy_async.service.problems import Flaw, InvalidError

NOISE = "noise"  # of metadata: the variance as the client wrote it, of each objective
_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"))

Given = float | Mapping[str, float]
"""What a client sends where a value of each objective is wanted: a bare number will do for a single one."""


@dataclass(frozen=True)
class Measured:
    """Values by objective, each with the variance of its noise or its standard error, where it is known."""

    values: Mapping[str, float]
    variances: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def sems(self) -> dict[str, float]:
        """Return the standard errors."""
        return {**self.errors, **{name: math.sqrt(variance) for name, variance in self.variances.items()}}

    def as_outcome(
        self, now: datetime, *, started_at: datetime | None = None, parameters: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Return what a worker would report; `check_measured` has seen the values.

        Args:
            now: When it was finished.
            started_at: When it was begun; None: at the same moment.
            parameters: As run; None: as asked.
        """
        noted = {**self.metadata, **({NOISE: dict(self.variances)} if self.variances else {})}
        return Outcome(
            Status.COMPLETED, started_at or now, now, dict(self.values), self.sems(),
            None if parameters is None else dict(parameters), metadata=noted,
        )  # fmt: skip


def by_objective(objectives: Sequence[Objective], given: Given | None, *place: str | int) -> dict[str, float]:
    """Return values by objective.

    Args:
        objectives: The campaign's.
        given: What a client sent; None: nothing.
        place: Where it stands in the body.

    Raises:
        InvalidError: If a bare number was sent and there are several objectives.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    if len(objectives) > 1:
        shown = ", ".join(f'"{objective.name}": ...' for objective in objectives)
        raise InvalidError.at(*place, what=f"is one number, but there are several objectives. Send {{{shown}}}")
    return {objectives[0].name: given}


def check_measured(objectives: Sequence[Objective], measured: Measured, *place: str | int) -> None:
    """Check that every objective has a value, and nothing else has one.

    Raises:
        InvalidError: If not, with every flaw.
    """
    flaws = list(_flaws(objectives, measured, place))
    if flaws:
        raise InvalidError(flaws)


def _flaws(objectives: Sequence[Objective], measured: Measured, place: tuple[str | int, ...]) -> list[Flaw]:
    names = [objective.name for objective in objectives]
    known = ", ".join(names)
    flaws = [
        Flaw((*place, name), f"has no value. The objectives are {known}")
        for name in names
        if name not in measured.values
    ]
    for numbers in (measured.values, measured.variances, measured.errors):
        strange = [name for name in numbers if name not in names][:20]
        flaws += [Flaw((*place, name[:60]), f"is no objective. The objectives are {known}") for name in strange]
    for name, number in measured.values.items():
        if not math.isfinite(number):
            flaws.append(Flaw((*place, name), "must be a finite number"))
    for name, number in measured.variances.items():
        if not (math.isfinite(number) and number >= 0):
            flaws.append(Flaw((*place, name), "has a noise that is no variance: it must be finite and >= 0"))
    for name, number in measured.errors.items():
        if not (math.isfinite(number) and number >= 0):
            flaws.append(Flaw((*place, name), "has a standard error that must be finite and >= 0"))
        if name in measured.variances:
            flaws.append(Flaw((*place, name), "has a noise and a standard error. Send one of the two"))
    return flaws


def noise_of(values: Mapping[str, float], sems: Mapping[str, float], metadata: Mapping[str, Any]) -> dict[str, float]:
    """Return the variances: as a client wrote them, as long as the standard errors are still those of then.

    Args:
        values: Of the measurement.
        sems: Its standard errors, as they are now.
        metadata: What came with it.
    """
    written = metadata.get(NOISE)
    noted: Mapping[str, Any] = written if isinstance(written, Mapping) else {}
    found = {}
    for name in values:
        if name in sems:
            variance, sem = noted.get(name), sems[name]
            is_as_written = isinstance(variance, (int, float)) and variance >= 0 and math.sqrt(variance) == sem
            found[name] = float(variance) if is_as_written and variance is not None else _variance(sem)
    return found


def _variance(sem: float) -> float:
    """Return the square of a standard error, in the fewest digits that have this root: 0.01, not 0.01000...02."""
    square = sem * sem
    short = float(f"{square:.15g}")
    return short if math.sqrt(short) == sem else square


def digest_of(outcome: Outcome) -> str:
    """Return what tells one outcome from another: what was measured, not when, nor what else is noted of it."""
    error = outcome.error
    said = [
        str(outcome.status), dict(outcome.values), dict(outcome.sems), dict(outcome.parameters or {}),
        None if error is None else [error.kind, error.message],
    ]  # fmt: skip
    return hashlib.sha256(_ENCODER.encode(said).encode()).hexdigest()
