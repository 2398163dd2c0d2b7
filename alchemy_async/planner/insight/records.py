"""Records: what insight tells, as frozen values.

In:    numbers and words already found.
Out:   what `status` shows and programs read.
Never: change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alchemy_async.planner.criteria import Prediction
from alchemy_async.space import Point


@dataclass(frozen=True)
class Recommended:
    """The point that is expected to be best.

    Args:
        parameters: The point; as run, where it was measured.
        expected: What the model expects of each objective there, without noise.
        experiment: What the observation is called; empty if it has no name or was not measured.
        measured: What was measured there; empty for a point that nobody has measured.
        keeps_limits: Whether what is expected keeps all limits.
    """

    parameters: Point
    expected: Mapping[str, Prediction]
    experiment: str = ""
    measured: Mapping[str, float] | None = None
    keeps_limits: bool = True


@dataclass(frozen=True)
class Quality:
    """How well the model of one objective predicts each value without having seen it, and what it learnt.

    Args:
        objective: Its name.
        n: How many values.
        explained: Share of the variance explained; 1 is perfect, 0 no better than the mean, less is worse.
        rank_correlation: Between predicted and measured, Spearman's, -1 to 1.
        inside: Share of the values within the interval that should hold 95 % of them.
        noise: Share of the variance that the model takes for noise, 0 to 1.
        importance: Of each parameter: the share of the predicted variance that goes when it is held
            fixed, 0 to 1. Shares of parameters that act together overlap.
        lengths: Over how much of its range each parameter must change for another value, of a side of the cube.
    """

    objective: str
    n: int
    explained: float
    rank_correlation: float
    inside: float
    noise: float
    importance: Mapping[str, float]
    lengths: Mapping[str, float]


@dataclass(frozen=True)
class Notice:
    """Something that a person should know of: a kind that programs read, a message that says how to mend it."""

    kind: str
    message: str
    parameter: str = ""


@dataclass(frozen=True)
class Insight:
    """All of it; ``n_used`` of ``n_observations`` results were shown to the model, none where there is no model."""

    n_observations: int
    n_used: int
    recommended: Recommended | None = None
    quality: tuple[Quality, ...] = ()
    notices: tuple[Notice, ...] = ()
