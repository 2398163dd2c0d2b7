"""Comparing: what pairs of regrets say, and how sure that is.

In:    regrets of two planners on the same problems, seeds and durations.
Out:   wins and losses, the pooled ratio, and the bound under which it lies with 95 % confidence.
Never: reads a file, or takes a lack of evidence for parity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Pair = TypeVar("Pair")

N_RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """What all pairs say together.

    Args:
        n_pairs: How many.
        n_wins: Pairs in which the first planner is better.
        n_losses: Pairs in which it is worse.
        mean: Of log10 of first over second regret, or of what a second front covers more; NaN without pairs.
        upper: Bound under which that mean lies, one-sided; NaN with fewer than two pairs.
    """

    n_pairs: int
    n_wins: int
    n_losses: int
    mean: float
    upper: float


def log10_ratios(ours: Mapping[Pair, float], theirs: Mapping[Pair, float], floors: Mapping[Pair, float]) -> list[float]:
    """Return log10 of the ratio of regrets, for each key that both have, in the order of ``ours``.

    Args:
        ours: Regret by pair, >= 0.
        theirs: Likewise.
        floors: What counts as no regret; a smaller one is taken as this. > 0.
    """
    return [
        math.log10(max(regret, floors[pair]) / max(theirs[pair], floors[pair]))
        for pair, regret in ours.items()
        if pair in theirs
    ]


def compare(pairs: Sequence[float], *, seed: int = 0) -> Comparison:
    """Return what paired log10 ratios, or differences, say together.

    Args:
        pairs: One value for each; below 0 where the first planner is better.
        seed: Of the bootstrap.
    """
    values = np.asarray(pairs, dtype=np.float64)
    return Comparison(
        n_pairs=len(values),
        n_wins=int((values < 0).sum()),
        n_losses=int((values > 0).sum()),
        mean=float(values.mean()) if len(values) else math.nan,
        upper=upper_bound(values.tolist(), seed=seed),
    )


def upper_bound(ratios: Sequence[float], *, seed: int = 0) -> float:
    """Return the one-sided 95 % bootstrap bound of a mean; NaN with fewer than two values.

    Source:
        Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13 (percentile intervals).
    """
    values = np.asarray(ratios, dtype=np.float64)
    if len(values) < 2:
        return math.nan
    drawn = np.random.default_rng(seed).integers(0, len(values), (N_RESAMPLES, len(values)))
    return float(np.quantile(values[drawn].mean(axis=1), CONFIDENCE))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the 25 %, 50 % and 75 % points of at least one value."""
    low, middle, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)
