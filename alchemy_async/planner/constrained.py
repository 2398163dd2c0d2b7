"""The search under linear constraints. Loads torch.

In:    an acquisition function and feasible starting points.
Out:   better points, reached by steps over the discrete part and by SLSQP over the rest.
Never: leaves the feasible region by more than the solver's tolerance.

A logarithmic parameter that a constraint mentions is searched along its linear scale, where the
constraint is linear; the model sees its logarithm all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.generation.gen import gen_candidates_scipy
from torch import Tensor

from alchemy_async.planner.model import NUMERICAL_ERRORS, tensor
from alchemy_async.planner.region import ends, linear_rows, tied_parameters
from alchemy_async.planner.scores import score
from alchemy_async.space import Array, Categorical, Space

_ROUNDS = 8  # of steps over the discrete part
_MAX_ITERATIONS = 100  # all starts are one problem to SLSQP: a step costs the same for one or ten

Row = tuple[Tensor, Tensor, float]


class ConstrainedSearch:
    """Climbs from feasible points; made once for an ask.

    Args:
        space: A space with at least one constraint.
        most_steps: Numbers with more values than this are searched as if continuous.
    """

    def __init__(self, space: Space, most_steps: int) -> None:
        self._space = space
        self._fixed = np.array(
            [isinstance(p, Categorical) or p.n_values <= most_steps for p in space.parameters], dtype=bool
        )
        tied = tied_parameters(space)
        self._columns = [space.names.index(parameter.name) for parameter in tied]
        self._ratios = torch.zeros(len(space.names), dtype=torch.float64)
        for column, parameter in zip(self._columns, tied, strict=True):
            if getattr(parameter, "log", False):
                low, high = ends(parameter)
                self._ratios[column] = high / low - 1.0
        upper, upper_bounds, equal, equal_bounds = linear_rows(space, tied)
        self._upper = self._rows(-upper, -upper_bounds)
        self._equal = self._rows(equal, equal_bounds)

    def climb(self, acquisition: qLogNoisyExpectedImprovement, starts: Array, n_starts: int) -> tuple[Array, Array]:
        """Return improved points and their acquisition values, in no order.

        Args:
            acquisition: The function, over the unit cube.
            starts: Feasible unit-cube coordinates, shape ``(n, d)``.
            n_starts: From how many of the best of them to climb.

        Returns:
            Unit-cube coordinates, shape ``(m, d)``, and values, shape ``(m,)``: where the climbs
            ended, then the starts that were left aside.
        """
        if not len(starts):
            return starts, np.empty(0)
        values = score(acquisition, starts)
        order = np.argsort(-values, kind="stable")
        top, rest = order[:n_starts], order[n_starts:]
        stepped = self._step(acquisition, starts[top], values[top])
        climbed = np.vstack([self._slide(acquisition, stepped), stepped])
        return np.vstack([climbed, starts[rest]]), np.concatenate([score(acquisition, climbed), values[rest]])

    def _step(self, acquisition: qLogNoisyExpectedImprovement, rows: Array, values: Array) -> Array:
        """Move each point to its best feasible neighbour in one discrete parameter, while that improves it."""
        rows, values = rows.copy(), values.copy()
        active = np.arange(len(rows)) if self._fixed.any() else np.empty(0, dtype=int)
        for _ in range(_ROUNDS):
            around = [self._neighbours(rows[i]) for i in active]
            if not sum(map(len, around)):
                break
            scored = np.split(score(acquisition, np.vstack(around)), np.cumsum([len(block) for block in around])[:-1])
            improved = []
            for i, block, found in zip(active, around, scored, strict=True):
                if len(found) and found.max() > values[i] + 1e-8:
                    rows[i], values[i] = block[int(found.argmax())], found.max()
                    improved.append(i)
            active = np.array(improved, dtype=int)
        return rows

    def _neighbours(self, row: Array) -> Array:
        (point,) = self._space.from_unit(row)
        around = []
        for i in np.flatnonzero(self._fixed):
            parameter = self._space.parameters[i]
            values = parameter.values()  # type: ignore[union-attr]
            here = values.index(point[parameter.name])
            near = values if isinstance(parameter, Categorical) else values[max(here - 1, 0) : here + 2]
            around += [{**point, parameter.name: value} for value in near if value != values[here]]
        return self._space.to_unit([other for other in around if self._space.is_feasible(other)])

    def _slide(self, acquisition: qLogNoisyExpectedImprovement, rows: Array) -> Array:
        """Move points along the continuous part by SLSQP; they stay where that fails."""
        starts = self._to_search(tensor(rows)).clamp(0.0, 1.0).unsqueeze(1)
        fixed = torch.tensor(self._fixed)
        try:
            ended, _ = gen_candidates_scipy(
                starts,
                self._along(acquisition),  # type: ignore[arg-type]  # any callable will do
                lower_bounds=torch.where(fixed, starts, torch.zeros_like(starts)),
                upper_bounds=torch.where(fixed, starts, torch.ones_like(starts)),
                inequality_constraints=self._free(self._upper),
                equality_constraints=self._free(self._equal),
                options={"maxiter": _MAX_ITERATIONS, "method": "SLSQP"},
            )
        except NUMERICAL_ERRORS:
            return rows
        return np.asarray(self._to_model(ended).detach().squeeze(1).numpy())

    def _along(self, acquisition: qLogNoisyExpectedImprovement) -> Callable[[Tensor], Tensor]:
        return lambda x: acquisition(self._to_model(x))

    def _to_model(self, x: Tensor) -> Tensor:
        """Return unit-cube coordinates of search coordinates, shape ``(..., d)``."""
        is_log = self._ratios > 0
        ratios = torch.where(is_log, self._ratios, torch.ones_like(self._ratios))
        return torch.where(is_log, torch.log1p(x * ratios) / torch.log1p(ratios), x)

    def _to_search(self, u: Tensor) -> Tensor:
        """Return search coordinates of unit-cube coordinates, shape ``(..., d)``."""
        is_log = self._ratios > 0
        ratios = torch.where(is_log, self._ratios, torch.ones_like(self._ratios))
        return torch.where(is_log, torch.expm1(u * torch.log1p(ratios)) / ratios, u)

    def _rows(self, rows: Array, bounds: Array) -> list[Row]:
        """Return constraints as botorch takes them: columns, coefficients, and what they must reach."""
        columns = torch.tensor(self._columns)
        return [(columns, tensor(row), float(bound)) for row, bound in zip(rows, bounds, strict=True)]

    def _free(self, rows: list[Row]) -> list[Row] | None:
        """Return the constraints that a continuous parameter can still change; None where there are none."""
        moving = torch.tensor(~self._fixed)
        return [row for row in rows if (moving[row[0]] & (row[1] != 0)).any()] or None
