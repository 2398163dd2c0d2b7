"""Taken: the points that are not to be proposed again.

In:    points that were observed, are pending or were refused, and every point chosen since.
Out:   whether a point is a copy of one of them, and how far it is from the nearest.
Never: chooses a point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alchemy_async.space import COPY_DISTANCE, Array, Point, Space

_MOST_DISTANCES = 1 << 18  # reckoned at once: bounds the memory that a long history needs


class Taken:
    """Points that grow one by one, and the distance to the nearest of them.

    Args:
        space: The search space.
        points: Points taken from the start; they may lie off the grid and the bounds.
    """

    def __init__(self, space: Space, points: Sequence[Point] = ()) -> None:
        self._space = space
        self._points = list(points)
        self._coordinates = space.to_unit(points)

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them, in the order in which they were taken."""
        return tuple(self._points)

    def __len__(self) -> int:
        return len(self._coordinates)

    def add(self, point: Point) -> None:
        """Take one more point."""
        self._points.append(point)
        self._coordinates = np.vstack([self._coordinates, self._space.to_unit([point])])

    def has(self, point: Point) -> bool:
        """Tell whether a point is a copy of a taken one."""
        return bool(self.distances(self._space.to_unit([point]))[0] < COPY_DISTANCE)

    def distances(self, coordinates: Array) -> Array:
        """Return the distance to the nearest taken point, shape ``(n,)``; infinite where none is taken.

        Args:
            coordinates: Unit-cube coordinates, shape ``(n, d)``.
        """
        nearest = np.full(len(coordinates), np.inf)
        step = max(_MOST_DISTANCES // max(len(coordinates), 1), 1)
        for start in range(0, len(self), step):
            block = self._space.distances(coordinates, self._coordinates[start : start + step])
            nearest = np.minimum(nearest, block.min(axis=1))
        return nearest
