"""Goals: what is wanted of a measurement, and which of two measurements is the better one.

In:    objectives, and values measured.
Out:   scores, of which a larger one is better; whether limits are kept.
Never: weighs one objective against another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """One thing that is measured, and what is wanted of it.

    Args:
        name: Its name in results.
        goal: ``minimize``, ``maximize``, ``target`` (as near to ``target`` as can be) or ``limit`` (only to be kept
            within its limits).
        unit: Unit of its values; every number below is in it.
        description: A sentence for people.
        target: The value to match, where that is the goal.
        at_least: No value below this will do; None: there is no such limit.
        at_most: No value above this will do; None: there is no such limit.
        reference: The value that is just not worth having, from which a hypervolume counts; None: inferred.
    """

    name: str
    goal: str = "minimize"
    unit: str = ""
    description: str = ""
    target: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    reference: float | None = None

    @property
    def sign(self) -> float:
        """-1 where a model sees the values turned over, because smaller is better; else 1."""
        return -1.0 if self.goal == "minimize" else 1.0

    @property
    def is_optimised(self) -> bool:
        """Whether one value is better than another that keeps the limits, too."""
        return self.goal != "limit"

    @property
    def is_limited(self) -> bool:
        """Whether there are values that will not do."""
        return self.at_least is not None or self.at_most is not None

    def score(self, value: float) -> float:
        """Return how good a value is, limits left aside: larger is better; 0 where nothing is to be optimised."""
        if self.goal == "target":
            return -abs(value - (self.target or 0.0))
        return self.sign * value if self.is_optimised else 0.0

    def breach(self, value: float) -> float:
        """Return how far beyond its limits a value is, >= 0, in the objective's unit; 0 where it keeps them."""
        below = 0.0 if self.at_least is None else self.at_least - value
        above = 0.0 if self.at_most is None else value - self.at_most
        return max(below, above, 0.0)

    def in_words(self, value: float) -> str:
        """Return a value as a person reads it, with its unit and, where there is a target, how far off it is."""
        unit = f" {self.unit}" if self.unit else ""
        off = f", {abs(value - self.target):.3g}{unit} off {self.target:g}" if self.target is not None else ""
        return f"{value:.6g}{unit}{off}"


def optimised(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return those of which one value is better than another, in their order."""
    return tuple(objective for objective in objectives if objective.is_optimised)


def standing(objectives: Sequence[Objective], values: Mapping[str, float]) -> tuple[float, float, float]:
    """Return what measurements are compared by; the larger tuple is the better one.

    That is minus the number of limits broken (one that was not measured counts as broken), minus how far beyond
    them the values are, and the score of the first objective that is to be optimised.

    Raises:
        KeyError: If that objective has no value.
    """
    limited = [objective for objective in objectives if objective.is_limited]
    breaches = [one.breach(values[one.name]) if one.name in values else float("inf") for one in limited]
    n_broken = sum(breach > 0 for breach in breaches)
    beyond = sum(breach for breach in breaches if breach != float("inf"))
    first = optimised(objectives)[0]
    return -float(n_broken), -float(beyond), first.score(values[first.name])
