"""The feasible region: points that keep to linear constraints, drawn and repaired.

In:    a space with linear constraints.
Out:   points spread over the region, and the feasible point nearest to a given one.
Never: looks at parameters that no constraint mentions, at a person's own rules, or at what was measured.

A parameter is *tied* if a constraint mentions it and its value is to be chosen. Inside this room the
tied ones have linear coordinates, 0 at the low end and 1 at the high end, also where the scale is
logarithmic: there every constraint is linear. A constraint in which nothing is to be chosen is met by what
is held, and then leaves everything free, or by no point at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.planner.nearest import Numeric, Program
from alchemy_async.space import Array, Categorical, Context, Continuous, Discrete, Fixed, Point, Space, Value
from alchemy_async.space import LinearConstraint as Linear

__all__ = ["Numeric", "Region", "ends", "held_values", "linear_rows", "region_of", "tied_parameters"]

_FLAT = 1e-9  # of a side of the cube: a region thinner than this has no inside in that direction
_STEPS, _STEPS_PER_DIMENSION = 64, 16  # of hit-and-run: enough to forget the centre it starts from


@dataclass(frozen=True)
class _Body:
    """A polytope with an inside: ``rows @ (centre + basis @ z) <= bounds``."""

    centre: Array
    basis: Array
    rows: Array
    bounds: Array


class Region:
    """All values of the tied parameters that meet every constraint.

    Args:
        space: A space with at least one constraint.

    Raises:
        PlannerError: If no point meets all constraints.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self.parameters = tied_parameters(space)
        held = held_values(space)
        broken = [c for c in space.constraints if not _is_open(c, self.parameters) and not c.is_met(held)]
        if broken:
            raise self._infeasible(broken)
        self.upper, self.upper_bounds, self.equal, self.equal_bounds = linear_rows(space, self.parameters)
        self._body = self._find_body()
        if self.nearest(self._body.centre) is None:
            raise self._infeasible()

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points spread evenly over the region by hit-and-run, discrete parameters not yet rounded.

        Args:
            n: How many.
            rng: Source of randomness.

        Returns:
            Linear coordinates of the tied parameters, shape ``(n, t)``.

        Source:
            Smith (1984), Oper. Res. 32(6), 1296-1308.
        """
        body, size = self._body, self._body.basis.shape[1]
        if size == 0:
            return np.tile(body.centre, (n, 1))
        rows, slack = body.rows @ body.basis, body.bounds - body.rows @ body.centre
        z = np.zeros((n, size))
        for _ in range(_STEPS + _STEPS_PER_DIMENSION * size):
            direction = rng.standard_normal((n, size))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            speed, room = direction @ rows.T, np.maximum(slack - z @ rows.T, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                ahead = np.where(speed > _FLAT, room / speed, np.inf).min(axis=1)
                behind = np.where(speed < -_FLAT, room / speed, -np.inf).max(axis=1)
            z += (behind + rng.random(n) * (ahead - behind))[:, None] * direction
        return np.clip(body.centre + z @ body.basis.T, 0.0, 1.0)

    def nearest(self, coordinates: Array) -> Array | None:
        """Return the feasible coordinates nearest to given ones, discrete parameters on their values.

        Nearest by the sum of absolute differences; solved exactly as a mixed-integer linear program.

        Args:
            coordinates: Linear coordinates of the tied parameters, shape ``(t,)``.

        Returns:
            Feasible linear coordinates, shape ``(t,)``; None if no point is feasible.
        """
        if not self.parameters:  # a program without variables is none for the solver
            return np.empty(0)
        from scipy.optimize import Bounds, LinearConstraint, milp

        program = Program(self.parameters)
        rows, low, high = program.rows(coordinates)
        width = program.width
        rows = np.vstack([rows, _pad(self.upper, width), _pad(self.equal, width)])
        low = np.concatenate([low, np.full(len(self.upper), -np.inf), self.equal_bounds])
        high = np.concatenate([high, self.upper_bounds, self.equal_bounds])
        found = milp(
            program.costs(),
            integrality=program.integrality(),
            bounds=Bounds(np.zeros(width), program.highest()),
            constraints=LinearConstraint(rows, low, high),
        )
        return None if found.x is None else np.clip(found.x[: len(self.parameters)], 0.0, 1.0)

    def values(self, coordinates: Array) -> dict[str, Value]:
        """Return the values at linear coordinates of the tied parameters, each snapped to its parameter."""
        snapped: dict[str, Value] = {}
        for parameter, w in zip(self.parameters, coordinates, strict=True):
            low, high = ends(parameter)
            value = min(max(low + float(w) * (high - low), low), high)
            snapped[parameter.name] = (
                value if isinstance(parameter, Continuous) else parameter.from_unit(parameter.to_unit(value))
            )
        return snapped

    def coordinates(self, point: Point) -> Array:
        """Return the linear coordinates of a point's tied parameters, shape ``(t,)``."""
        sides = [(ends(parameter), float(point[parameter.name])) for parameter in self.parameters]
        return np.array([(value - low) / (high - low) for (low, high), value in sides])

    def repair(self, point: dict[str, Value]) -> dict[str, Value] | None:
        """Return a point with its tied parameters moved to feasible values close by; None if that fails."""
        if self._space.meets_constraints(point):
            return point
        moved = self._move_one(point)
        if moved is not None:
            return moved
        found = self.nearest(self.coordinates(point))
        repaired = None if found is None else {**point, **self.values(found)}
        return repaired if repaired is not None and self._space.meets_constraints(repaired) else None

    def _move_one(self, point: dict[str, Value]) -> dict[str, Value] | None:
        """Meet every constraint by moving a single parameter, as little as possible; None where none will do."""
        here, best, least = self.coordinates(point), None, np.inf
        for constraint in self._space.constraints:
            missing = constraint.bound - constraint.total(point)
            for i, parameter in enumerate(self.parameters):
                coefficient = dict(constraint.terms).get(parameter.name, 0.0)
                if not coefficient or constraint.is_met(point):
                    continue
                low, high = ends(parameter)
                there = here.copy()
                there[i] += missing / coefficient / (high - low)
                moved = {**point, **self.values(there)}
                if abs(there[i] - here[i]) < least and self._space.meets_constraints(moved):
                    best, least = moved, abs(there[i] - here[i])
        return best

    def _find_body(self) -> _Body:
        faces = np.vstack([np.eye(len(self.parameters)), -np.eye(len(self.parameters))])
        rows = np.vstack([self.upper, faces])
        bounds = np.concatenate([self.upper_bounds, np.ones(len(self.parameters)), np.zeros(len(self.parameters))])
        centre, radius, basis = self._centre(rows, bounds, self.equal, self.equal_bounds)
        if radius <= _FLAT and basis.shape[1]:  # some inequalities leave no room: they are equalities in disguise
            rooms = [self._room(row, bound, rows, bounds) for row, bound in zip(rows, bounds, strict=True)]
            tight = np.array(rooms) < _FLAT
            equal = np.vstack([self.equal, rows[tight]])
            equal_bounds = np.concatenate([self.equal_bounds, bounds[tight]])
            rows, bounds = rows[~tight], bounds[~tight]
            centre, _, basis = self._centre(rows, bounds, equal, equal_bounds)
        return _Body(centre, basis, rows, bounds)

    def _centre(self, rows: Array, bounds: Array, equal: Array, equal_bounds: Array) -> tuple[Array, float, Array]:
        """Return the centre and radius of the largest ball inside, and a basis of its directions."""
        from scipy.linalg import null_space
        from scipy.optimize import linprog

        size = rows.shape[1]
        basis = np.asarray(null_space(equal)) if len(equal) else np.eye(size)
        reach = np.linalg.norm(rows @ basis, axis=1)
        found = linprog(
            np.append(np.zeros(size), -1.0),
            A_ub=np.column_stack([rows, reach]),
            b_ub=bounds,
            A_eq=_pad(equal, size + 1) if len(equal) else None,
            b_eq=equal_bounds if len(equal) else None,
            bounds=[(0.0, 1.0)] * (size + 1),
        )
        if found.x is None:
            raise self._infeasible()
        return np.asarray(found.x[:size]), float(found.x[size]), basis

    def _room(self, row: Array, bound: float, rows: Array, bounds: Array) -> float:
        """Return the largest slack that one inequality can have inside the region."""
        from scipy.optimize import linprog

        equal, equal_bounds = (self.equal, self.equal_bounds) if len(self.equal) else (None, None)
        found = linprog(row, A_ub=rows, b_ub=bounds, A_eq=equal, b_eq=equal_bounds, bounds=(0.0, 1.0))
        return 0.0 if found.x is None else bound - float(found.fun)

    def _infeasible(self, broken: Sequence[Linear] = ()) -> PlannerError:
        """Return the error that says what can't be met, what is held there, and how to mend it."""
        guilty = broken or self._space.constraints
        held, fidelity = held_values(self._space, guilty), self._space.fidelity
        kept = [f"{name} is held at {value:.9g}" for name, value in held.items()]
        mends = ["Loosen a constraint"]
        if not broken:
            mends.append(f"widen the bounds of {', '.join(parameter.name for parameter in self.parameters)}")
        if fidelity is not None and fidelity.name in held:
            kept[list(held).index(fidelity.name)] += ", its fidelity"
            mends.append(f"give {fidelity.name} another `fidelity`")
            del held[fidelity.name]
        if held:
            mends.append(f"hold {' or '.join(held)} at another value")
        return PlannerError(
            f"No point of the space meets all constraints ({'; '.join(map(str, guilty))})"
            f"{', as ' if kept else ''}{' and '.join(kept)}. {', '.join(mends[:-1])}, or {mends[-1]}."
        )


@lru_cache(maxsize=4)
def region_of(space: Space) -> Region:
    """Return the region of a space, made once.

    Raises:
        PlannerError: If no point meets all constraints.
    """
    return Region(space)


def ends(parameter: Numeric) -> tuple[float, float]:
    """Return the low and the high end of a numeric parameter, in its unit."""
    if isinstance(parameter, Discrete):
        return parameter.options[0], parameter.options[-1]
    return float(parameter.low), float(parameter.high)


def tied_parameters(space: Space) -> tuple[Numeric, ...]:
    """Return the parameters that a constraint mentions and that are to be chosen, in the order of the space."""
    names = {name for constraint in space.constraints for name, _ in constraint.terms}
    tied: list[Numeric] = []
    for parameter in space.parameters:
        if parameter.name in names and not isinstance(parameter, (Fixed, Context)):
            if isinstance(parameter, Categorical):
                raise PlannerError(
                    f"A constraint mentions {parameter.name!r}, which is categorical and has no amount. "
                    "Take it out of the terms, or make the parameter discrete."
                )
            tied.append(parameter)
    return tuple(tied)


def held_values(space: Space, constraints: Sequence[Linear] | None = None) -> dict[str, float]:
    """Return the values of the parameters that constraints mention and nobody chooses, by name.

    Args:
        space: The search space.
        constraints: Which of its constraints; None: all.
    """
    mentioned = {name for one in (space.constraints if constraints is None else constraints) for name, _ in one.terms}
    held = (p for p in space.parameters if isinstance(p, (Fixed, Context)) and p.name in mentioned)
    return {parameter.name: float(parameter.value) for parameter in held}


def linear_rows(space: Space, parameters: Sequence[Numeric]) -> tuple[Array, Array, Array, Array]:
    """Return the constraints as rows over linear coordinates, each divided by its largest coefficient.

    One in which nothing is to be chosen makes no row.

    Args:
        space: The search space.
        parameters: Which parameters the columns stand for; all tied ones must be among them.

    Returns:
        ``upper`` (m, t) and its bounds (m,), for ``upper @ w <= bounds``; then
        ``equal`` (k, t) and its bounds (k,), for ``equal @ w == bounds``.
    """
    column = {parameter.name: i for i, parameter in enumerate(parameters)}
    held = held_values(space)
    rows: dict[bool, list[Array]] = {True: [], False: []}
    bounds: dict[bool, list[float]] = {True: [], False: []}
    for constraint in (one for one in space.constraints if _is_open(one, parameters)):
        row, bound = np.zeros(len(parameters)), constraint.bound
        for name, coefficient in constraint.terms:
            if name in held:
                bound -= coefficient * held[name]
                continue
            low, high = ends(parameters[column[name]])
            row[column[name]] += coefficient * (high - low)
            bound -= coefficient * low
        size = float(np.max(np.abs(row), initial=0.0)) or 1.0
        sign = -1.0 if constraint.sense == "at_least" else 1.0
        is_equality = constraint.sense == "equals"
        rows[is_equality].append(sign * row / size)
        bounds[is_equality].append(sign * bound / size)
    shaped = {key: np.array(found).reshape(len(found), len(parameters)) for key, found in rows.items()}
    return shaped[False], np.array(bounds[False]), shaped[True], np.array(bounds[True])


def _is_open(constraint: Linear, parameters: Sequence[Numeric]) -> bool:
    """Tell whether a constraint mentions any of the parameters."""
    names = {name for name, _ in constraint.terms}
    return any(parameter.name in names for parameter in parameters)


def _pad(rows: Array, width: int) -> Array:
    return np.hstack([rows, np.zeros((len(rows), width - rows.shape[1]))])
