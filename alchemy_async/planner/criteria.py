"""Criteria: what makes a point worth measuring, learnt from one history.

In:    training data of each objective, and what is pending.
Out:   an acquisition function; good points to look around; predictions in the objectives' units.
Never: chooses a point, or knows how a space is searched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alchemy_async.experiment import Objective
from alchemy_async.planner.chances import Condition, Conditions
from alchemy_async.planner.gains import NOTHING, Within
from alchemy_async.planner.gp import GaussianProcess
from alchemy_async.planner.improvement import NoisyImprovement, TargetImprovement
from alchemy_async.planner.levels import Aim
from alchemy_async.planner.training import Training
from alchemy_async.space import Array

N_AROUND = 5  # observed points that a search looks around


@dataclass(frozen=True)
class Prediction:
    """What a model expects of one objective at one point, in its unit."""

    mean: float
    sd: float


class Acquisition(Protocol):
    """What a search maximises: logarithms, so that 1e-8 is nothing."""

    def __call__(self, x: Array) -> Array:
        """Return values, shape ``(q,)``, at unit-cube coordinates, shape ``(q, d)``."""
        ...

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape ``(q,)``, and gradients, shape ``(q, d)``; 0 in categorical coordinates."""
        ...


class Criterion(Protocol):
    """What a history says of where to look."""

    def acquisition(self, pending: Array) -> Acquisition:
        """Return how much is to be expected of a point, given all that is pending.

        Args:
            pending: Unit-cube coordinates of points not yet observed, shape ``(m, d)``.
        """
        ...

    def around(self) -> Array:
        """Return unit-cube coordinates of the best points so far, shape ``(k, d)``."""
        ...

    def predict(self, x: Array) -> list[dict[str, Prediction]]:
        """Return what is expected of each objective, by its name, at each point.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        ...


@dataclass(frozen=True)
class Modelled:
    """One objective, and what its values taught.

    Args:
        objective: The objective.
        data: What the model was fitted to.
        process: The model.
    """

    objective: Objective
    data: Training
    process: GaussianProcess

    def predict(self, x: Array) -> list[Prediction]:
        """Return what is expected at each point, shape ``(q, d)``, in the objective's unit."""
        means, variances = self.process.predict(x)
        pairs = (self.data.to_units(float(m), float(v) ** 0.5) for m, v in zip(means, variances, strict=True))
        return [Prediction(mean, sd) for mean, sd in pairs]

    def score(self, values: Array) -> Array:
        """Return how good standardised values of any shape are: larger is better."""
        if self.objective.goal == "target":
            return np.asarray(-np.abs(values - self.target()))
        return values

    def target(self) -> float:
        """Return the value to match, standardised."""
        return self.data.standardised(self.objective.target or 0.0)

    def condition(self) -> Condition | None:
        """Return that its limits are kept; None where it has none, or all values are the same one that keeps them."""
        if not self.objective.is_limited or (self.data.is_flat and not self.objective.breach(self.data.centre)):
            return None
        low, high = self.objective.at_least, self.objective.at_most
        ends = (
            -math.inf * self.data.sign if low is None else self.data.standardised(low),
            math.inf * self.data.sign if high is None else self.data.standardised(high),
        )
        return Condition(self.objective.name, self.process, Within(min(ends), max(ends)))


class Improvement:
    """One objective, to be made larger or smaller or brought near a value, where all conditions are met.

    Args:
        modelled: The objective and its model.
        conditions: What an experiment must meet beside.
        seed: Seed of the draws.
        margin: By how much a value must be better to count, standardised, >= 0; of no target.
        aim: Where values count; None: everywhere.
    """

    def __init__(
        self, modelled: Modelled, conditions: Conditions, seed: int, margin: float = 0.0, aim: Aim | None = None
    ) -> None:
        self._modelled, self._conditions, self._seed, self._margin = modelled, conditions, seed, margin
        self._aim = aim

    def acquisition(self, pending: Array) -> Acquisition:
        """Return the log noisy expected improvement, given what is pending, shape ``(m, d)``."""
        process = self._modelled.process
        if self._modelled.objective.goal == "target":
            target = self._modelled.target()
            return TargetImprovement(process, target, pending, self._seed, self._conditions, self._aim)
        return NoisyImprovement(process, pending, self._seed, self._conditions, self._margin, self._aim)

    def around(self) -> Array:
        """Return the best observed points by the model, shape ``(k, d)``; those that hardly meet a condition last.

        Where values count at a target alone, they are the best ones there, and have its coordinate.
        """
        process, aim = self._modelled.process, self._aim
        x = process.x if aim is None else aim(process.x)
        means = process.fitted() if aim is None else process.predict(x)[0]
        scores = self._modelled.score(means) + self._conditions.log_chance(x)
        return x[np.argsort(-scores, kind="stable")[:N_AROUND]]

    def predict(self, x: Array) -> list[dict[str, Prediction]]:
        """Return what is expected of the objective at each point, shape ``(q, d)``."""
        return [{self._modelled.objective.name: one} for one in self._modelled.predict(x)]


class AtLeast:
    """Another acquisition function, and a little beside, as `gains.AtLeast` has it under each draw.

    Args:
        other: The other one.
        least: Logarithm of what is as good as none.
    """

    def __init__(self, other: Acquisition, least: float = NOTHING) -> None:
        self._other, self._least = other, least

    def __call__(self, x: Array) -> Array:
        """Return values, shape ``(q,)``."""
        return np.asarray(np.logaddexp(self._other(x), self._least))

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape ``(q,)``, and gradients, shape ``(q, d)``."""
        alone, gradient = self._other.with_gradient(x)
        value = np.logaddexp(alone, self._least)
        return np.asarray(value), np.exp(alone - value)[:, None] * gradient


class Sum:
    """The sum of logarithms.

    Args:
        parts: Acquisition functions, at least one.
    """

    def __init__(self, parts: Sequence[Acquisition]) -> None:
        self._parts = parts

    def __call__(self, x: Array) -> Array:
        """Return values, shape ``(q,)``."""
        return np.asarray(np.sum([part(x) for part in self._parts], axis=0))

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape ``(q,)``, and gradients, shape ``(q, d)``."""
        values, gradients = zip(*(part.with_gradient(x) for part in self._parts), strict=True)
        return np.asarray(np.sum(values, axis=0)), np.asarray(np.sum(gradients, axis=0))
