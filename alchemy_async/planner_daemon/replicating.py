"""Replicating: how often each point that the planner chose is measured.

In:    points, how many experiments each of them is to be, how many there is room for.
Out:   the points in the order of their experiments.
Never: chooses a point, or divides what the planner measures at one point among different ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

_Chosen = TypeVar("_Chosen")


def repeated(chosen: Iterable[_Chosen], replicates: int, n_places: int) -> list[_Chosen]:
    """Return each point as often as it is to be measured, one after the other; no more than there are places."""
    return list(islice((one for one in chosen for _ in range(replicates)), n_places))


def n_points(n_experiments: int, replicates: int) -> int:
    """Return how many points it takes to have so many experiments."""
    return -(-n_experiments // replicates)
