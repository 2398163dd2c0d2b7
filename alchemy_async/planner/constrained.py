"""Climbing under linear constraints.

In:    a function with its gradient, and feasible starting points.
Out:   better points, reached by sequential quadratic programming over the continuous part.
Never: leaves the feasible region by more than the solver's tolerance.

A logarithmic parameter that a constraint mentions is searched along its linear scale, where the
constraint is linear; the model sees its logarithm all the same.

Source:
    Kraft (1988), DFVLR-FB 88-28, the method SLSQP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from alchemy_async.planner.climbing import WithGradient, climb
from alchemy_async.planner.gp import Mask
from alchemy_async.planner.region import ends, linear_rows, tied_parameters
from alchemy_async.space import Array, Space

_MOST_STEPS = 60


class ConstrainedClimb:
    """Climbs from feasible points; made once for an ask.

    Args:
        space: A space with at least one constraint.
        moving: Which coordinates may move, shape ``(d,)``.
    """

    def __init__(self, space: Space, moving: Mask) -> None:
        self._moving = moving
        tied = tied_parameters(space)
        columns = [space.names.index(parameter.name) for parameter in tied]
        self._ratios = np.zeros(len(space.names))
        for column, parameter in zip(columns, tied, strict=True):
            if getattr(parameter, "log", False):
                low, high = ends(parameter)
                self._ratios[column] = high / low - 1.0
        upper, upper_bounds, equal, equal_bounds = linear_rows(space, tied)
        self._upper, self._equal = (self._widen(rows, columns) for rows in (upper, equal))
        self._upper_bounds, self._equal_bounds = upper_bounds, equal_bounds

    def climb(self, function: WithGradient, starts: Array) -> tuple[Array, Array]:
        """Return where each point arrived, shape ``(q, d)``, and the values there, shape ``(q,)``.

        Args:
            function: Takes coordinates of shape ``(q, d)``; returns values and gradients.
            starts: Feasible unit-cube coordinates, shape ``(q, d)``.
        """
        if not any(rows[:, self._moving].any() for rows in (self._upper, self._equal)):
            return climb(function, starts, self._moving)  # nothing that moves is in a constraint
        ended = np.array([self._climb_one(function, start) for start in starts]).reshape(starts.shape)
        value, _ = function(ended)
        before, _ = function(starts)
        is_better = value > before
        return np.where(is_better[:, None], ended, starts), np.where(is_better, value, before)

    def _climb_one(self, function: WithGradient, start: Array) -> Array:
        row = self._to_search(np.clip(start, 0.0, 1.0))

        def loss(z: Array) -> tuple[float, Array]:
            row[self._moving] = z
            value, gradient = function(self._to_model(row)[None])
            return -float(value[0]), -(gradient[0] * self._stretch(row))[self._moving]

        found = minimize(
            loss,
            row[self._moving],
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * int(self._moving.sum()),
            constraints=self._conditions(row),
            options={"maxiter": _MOST_STEPS, "ftol": 1e-7},
        )
        if np.all(np.isfinite(found.x)):
            row[self._moving] = np.clip(found.x, 0.0, 1.0)
        return self._to_model(row)

    def _conditions(self, row: Array) -> list[dict[str, Any]]:
        """Return the constraints that what moves can still change, as SLSQP takes them."""
        conditions: list[dict[str, Any]] = []
        for kind, rows, bounds in (
            ("ineq", -self._upper, -self._upper_bounds),
            ("eq", self._equal, self._equal_bounds),
        ):
            free = rows[:, self._moving]
            is_open = np.any(free != 0.0, axis=1)
            rest = bounds - np.where(self._moving, 0.0, rows) @ row
            if is_open.any():
                slopes, limits = free[is_open], rest[is_open]
                conditions.append(
                    {
                        "type": kind,
                        "fun": lambda z, slopes=slopes, limits=limits: slopes @ z - limits,
                        "jac": lambda _z, slopes=slopes: slopes,
                    }
                )
        return conditions

    def _widen(self, rows: Array, columns: list[int]) -> Array:
        wide = np.zeros((len(rows), len(self._ratios)))
        wide[:, columns] = rows
        return wide

    def _to_model(self, x: Array) -> Array:
        """Return unit-cube coordinates of search coordinates, shape ``(d,)``."""
        ratios = np.where(self._ratios > 0, self._ratios, 1.0)
        return np.where(self._ratios > 0, np.log1p(x * ratios) / np.log1p(ratios), x)

    def _to_search(self, u: Array) -> Array:
        """Return search coordinates of unit-cube coordinates, shape ``(d,)``."""
        ratios = np.where(self._ratios > 0, self._ratios, 1.0)
        return np.where(self._ratios > 0, np.expm1(u * np.log1p(ratios)) / ratios, u)

    def _stretch(self, x: Array) -> Array:
        """Return the derivative of unit-cube coordinates by search coordinates, shape ``(d,)``."""
        ratios = np.where(self._ratios > 0, self._ratios, 1.0)
        return np.where(self._ratios > 0, ratios / ((1.0 + x * ratios) * np.log1p(ratios)), 1.0)
