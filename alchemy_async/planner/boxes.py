"""Boxes: what is not dominated, cut into boxes, for many fronts at once.

In:    values of each objective at some points, under each of many draws; a reference point.
Out:   boxes that fill all that no point dominates and that is better than the reference, none overlapping another.
Never: knows where a value comes from; larger is better.

The points of a front come in one after the other, from the best in the last objective down. Below it a point
takes its share of every box that it reaches into: what lies under it is closed, the rest stays open. Two boxes
that share a side become one in the end: of n points n + 1 boxes are left with two objectives, 2n + 1 with three.

Source:
    Lacour, Klamroth & Fonseca (2017), Computers & Operations Research 79, 347-360, for the decomposition
    and its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.space import Array

Index = NDArray[np.intp]

SKY = 1e9  # of standardised values: no value is better


@dataclass(frozen=True)
class Boxes:
    """The boxes of all draws; those of the first draw come first.

    Args:
        lower: Lower corners, shape ``(n, m)``.
        upper: Upper corners, shape ``(n, m)``; `SKY` where a box has no end.
        draw: Which draw each belongs to, shape ``(n,)``, ascending; every draw has one at least.
    """

    lower: Array
    upper: Array
    draw: Index


def boxes(values: Array, reference: Array) -> Boxes:
    """Return the boxes of the region that no point dominates, for each draw.

    Args:
        values: Standardised values, shape ``(draws, n, m)``; only the non-dominated ones matter.
        reference: Values that are just not worth anything, shape ``(m,)``.
    """
    n_draws, m = len(values), len(reference)
    counts = np.all(values > reference, axis=2) & non_dominated(values)
    order = np.argsort(np.where(counts, -values[:, :, -1], np.inf), axis=1, kind="stable")
    points = np.take_along_axis(np.where(counts[:, :, None], values, -np.inf), order[:, :, None], axis=1)
    draw = np.arange(n_draws)
    lower = np.tile(np.append(reference[:-1], SKY), (n_draws, 1))  # the last column: where an open box began
    upper = np.full((n_draws, m - 1), SKY)
    closed: list[tuple[Array, Array, Index]] = []
    for i in range(int(counts.sum(axis=1).max(initial=0))):
        point = points[draw, i]
        is_hit = np.all(lower[:, :-1] < point[:, :-1], axis=1)
        hit, ends, at = lower[is_hit], upper[is_hit], point[is_hit]
        closed.append(_close(hit, np.minimum(ends, at[:, :-1]), at[:, -1], draw[is_hit]))
        left = _around(hit, ends, at, draw[is_hit])
        lower = np.concatenate([lower[~is_hit], *(part[0] for part in left)])
        upper = np.concatenate([upper[~is_hit], *(part[1] for part in left)])
        draw = np.concatenate([draw[~is_hit], *(part[2] for part in left)])
    closed.append(_close(lower, upper, np.full(len(lower), reference[-1]), draw))
    return _merged(*(np.concatenate(part) for part in zip(*closed, strict=True)))


def non_dominated(values: Array) -> NDArray[np.bool_]:
    """Tell which points no other point of the same draw dominates; of equal points the first is kept.

    Args:
        values: Shape ``(draws, n, m)``, larger is better.

    Returns:
        Shape ``(draws, n)``.
    """
    n_draws, n, m = values.shape
    order = np.lexsort([-values[:, :, j] for j in range(m)][::-1], axis=1) if n else np.zeros((n_draws, 0), dtype=int)
    ordered = np.take_along_axis(values, order[:, :, None], axis=1)
    is_kept = np.ones((n_draws, n), dtype=bool)
    if m == 2:
        if n:
            before = np.maximum.accumulate(ordered[:, :, 1], axis=1)[:, :-1]
            is_kept[:, 1:] = ordered[:, 1:, 1] > before
    else:
        for i in range(1, n):  # what comes first in this order is dominated by nothing that follows
            is_kept[:, i] = ~np.any(np.all(ordered[:, :i] >= ordered[:, i : i + 1], axis=2), axis=1)
    found = np.empty_like(is_kept)
    np.put_along_axis(found, order, is_kept, axis=1)
    return found


def _close(lower: Array, upper: Array, floor: Array, draw: Index) -> tuple[Array, Array, Index]:
    """Return boxes that end, in the last objective, at a floor."""
    return np.column_stack([lower[:, :-1], floor]), np.column_stack([upper, lower[:, -1]]), draw


def _around(lower: Array, upper: Array, at: Array, draw: Index) -> list[tuple[Array, Array, Index]]:
    """Return what is left of boxes beyond a point, cut along one objective after the other."""
    parts: list[tuple[Array, Array, Index]] = []
    upper = upper.copy()
    for j in range(upper.shape[1]):
        is_left = at[:, j] < upper[:, j]
        begin = lower[is_left].copy()
        begin[:, j] = at[is_left, j]
        parts.append((begin, upper[is_left].copy(), draw[is_left]))
        upper[:, j] = np.minimum(upper[:, j], at[:, j])
    return parts


def _merged(lower: Array, upper: Array, draw: Index) -> Boxes:
    """Return the boxes, those that share a whole side as one."""
    m = lower.shape[1]
    for j in range(m):
        others = [k for k in range(m) if k != j]
        sides = np.column_stack([lower[:, others], upper[:, others]])
        order = np.lexsort([lower[:, j], *sides.T, draw])
        lower, upper, draw, sides = lower[order], upper[order], draw[order], sides[order]
        goes_on = np.all(sides[1:] == sides[:-1], axis=1) & (draw[1:] == draw[:-1]) & (upper[:-1, j] == lower[1:, j])
        first = np.flatnonzero(np.append(True, ~goes_on))
        last = np.append(first[1:], len(lower)) - 1
        ends = upper[first]
        ends[:, j] = upper[last, j]
        lower, upper, draw = lower[first], ends, draw[first]
    return Boxes(lower, upper, draw)
