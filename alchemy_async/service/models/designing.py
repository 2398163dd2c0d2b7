"""Designing: the jobs that make designs, done in a process beside the server.

In:    a space; a method with its settings; a seed.
Out:   points that meet all constraints, and what their runs are.
Never: repeats a point of a space-filling design, or leaves runs out without being told that it may.

Source:
    Classical designs by pyDOE. Box & Behnken (1960), Technometrics 2(4), 455-475; Plackett & Burman (1946), Biometrika
    33(4), 305-325; Surowiec et al. (2017), Anal. Chem. 89(12), 6491-6497, for generalised subset designs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import qmc

from alchemy_async.errors import PlannerError
from alchemy_async.planner.designs import design
from alchemy_async.planner.taken import Taken
from alchemy_async.service.models.designs import (
    MOST_RUNS,
    Classical,
    Designed,
    DesignNotEstimableError,
    InfeasibleRegionError,
)
from alchemy_async.space import Array, Categorical, Context, Continuous, Discrete, Fixed, Integer, Space, Value

_TRIES = 32  # rows of a sequence for each point wanted, before the feasible region is sampled itself
_N_HYPERCUBES, _MOST_COMPARED = 50, 256  # Latin hypercubes that the best is chosen of; points of one
_Runs = tuple[Array, dict[str, Any]]


def fill(space: Space, method: str, n: int, seed: int, criterion: str) -> Designed:
    """Return up to ``n`` points spread over a space; fewer only where it has no more.

    Args:
        space: The search space.
        method: ``random``, ``lhs``, ``sobol``, ``halton`` or ``hammersly``; the last two take no notice of the seed.
        n: How many points, > 0.
        seed: Seed of every random choice.
        criterion: Of a Latin hypercube: ``maximin``, ``correlation`` or ``ratio``.

    Raises:
        InfeasibleRegionError: If no point meets all constraints.
    """
    taken = Taken(space)
    chosen: list[dict[str, Value]] = []
    has_equality = any(constraint.sense == "equals" for constraint in space.constraints)
    for row in () if has_equality else _rows(method, len(space.names), n, seed, criterion):
        if len(chosen) == n:
            break
        point = {p.name: _value(p, u) for p, u in zip(space.parameters, row, strict=True)}
        if space.is_feasible(point) and not taken.has(point):
            chosen.append(point)
            taken.add(point)
    try:
        if len(chosen) < n:
            rest = "lhs" if has_equality else "random"
            chosen += design(space, rest, n - len(chosen), seed, avoid=chosen)
    except PlannerError as error:
        raise InfeasibleRegionError(str(error)) from error
    return Designed(tuple(_bare(space, space.check(point)) for point in chosen))


def _rows(method: str, d: int, n: int, seed: int, criterion: str) -> Iterator[Array]:
    """Yield unit-cube coordinates, a bounded number of them."""
    rng, most = np.random.default_rng(seed), _TRIES * n
    if method == "lhs":
        yield from _hypercube(d, n, rng, criterion)
        return
    if method == "hammersly":
        for size in (n * 2**k for k in range(5)):
            rest = qmc.Halton(d - 1, scramble=False).random(size) if d > 1 else np.empty((size, 0))
            yield from np.column_stack([np.arange(size) / size, rest])
        return
    if method == "random":
        yield from rng.random((most, d))
        return
    sequence = qmc.Sobol(d, rng=rng) if method == "sobol" else qmc.Halton(d, scramble=False)
    size = 2 ** max(n - 1, 1).bit_length()
    for _ in range(0, most, size):
        yield from sequence.random(size)


def _hypercube(d: int, n: int, rng: np.random.Generator, criterion: str) -> Array:
    """Return the best of some Latin hypercubes, shape ``(n, d)``."""
    if n < 2 or n > _MOST_COMPARED or (d < 2 and criterion == "correlation"):
        return np.asarray(qmc.LatinHypercube(d, rng=rng).random(n))
    cubes = [np.asarray(qmc.LatinHypercube(d, rng=rng).random(n)) for _ in range(_N_HYPERCUBES)]
    return max(cubes, key=lambda cube: _evenness(cube, criterion))


def _evenness(cube: Array, criterion: str) -> float:
    if criterion == "correlation":
        return -float(np.abs(np.corrcoef(cube.T) - np.eye(cube.shape[1])).max())
    distances = pdist(cube)
    return float(distances.min() if criterion == "maximin" else distances.min() / distances.max())


def _value(parameter: Any, u: float) -> Value:  # noqa: ANN401 - any parameter
    """Return the value at a coordinate; each of several values is as likely as the next."""
    if isinstance(parameter, Integer) and not parameter.log:
        return min(parameter.low + int(u * (parameter.high - parameter.low + 1)), parameter.high)
    if isinstance(parameter, (Categorical, Discrete)):
        values = parameter.values()
        return values[min(int(u * len(values)), len(values) - 1)]
    found: Value = parameter.from_unit(u)
    return found


def _bare(space: Space, point: dict[str, Value]) -> dict[str, Value]:
    """Return a point without readings that nobody chooses."""
    readings = {p.name for p in space.parameters if isinstance(p, Context)}
    return {name: value for name, value in point.items() if name not in readings}


# -- classical designs -------------------------------------------------------


def classical(space: Space, wish: Classical) -> Designed:
    """Return a classical design.

    Raises:
        PlannerError: If it is not for this space, or would be too large.
        DesignNotEstimableError: If the constraints forbid some of its runs and these may not be left out.
        InfeasibleRegionError: If they forbid all of them.
    """
    chosen = [p for p in space.parameters if not isinstance(p, (Fixed, Context))]
    runs, details = _MAKERS[wish.method](chosen, wish)
    held = {p.name: p.value for p in space.parameters if isinstance(p, (Fixed, Context))}
    points = []
    for row in runs:
        point = {**held, **{p.name: p.from_unit(u) for p, u in zip(chosen, row, strict=True)}}
        points.append({name: point[name] for name in space.names})
    feasible = [point for point in points if space.is_feasible(point)]
    n_dropped = len(points) - len(feasible)
    if not feasible:
        raise InfeasibleRegionError(f"No run of the design meets all constraints ({'; '.join(space.limits)}).")
    if n_dropped and not wish.allow_infeasible:
        raise DesignNotEstimableError(
            f"{n_dropped} of the {len(points)} runs do not meet all constraints ({'; '.join(space.limits)}), and what "
            "is left tells less. Set allow_infeasible to have it all the same, or take an optimal design."
        )
    return Designed(tuple(_bare(space, space.check(point)) for point in feasible), details, n_dropped)


def _full(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe  # takes a second to load

    axes = [_levels(parameter, wish.n_levels) for parameter in chosen]
    _check_size(math.prod(len(axis) for axis in axes), wish)
    index = pydoe.fullfact(np.array([len(axis) for axis in axes])).astype(int)
    runs = _at(axes, index)
    return _with_centre(runs, chosen, wish.n_center), {
        "factorial_runs": len(runs), "center_runs": wish.n_center, "total_runs": len(runs) + wish.n_center,
        "levels_per_factor": [len(axis) for axis in axes],
    }  # fmt: skip


def _fractional(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe

    _check_numeric(chosen, wish)
    generators = wish.generators or _generators(len(chosen))
    _check_size(2.0 ** len({letter for letter in generators if letter.isalpha()}), wish)
    try:
        coded = pydoe.fracfact(generators)
    except ValueError as error:
        raise PlannerError(f"The generators {generators!r} are not valid: {error} Write them like `a b ab`.") from error
    if coded.shape[1] != len(chosen):
        raise PlannerError(
            f"The generators {generators!r} are of {coded.shape[1]} variables, and {len(chosen)} are to be chosen. "
            "Write one for each."
        )
    return _with_centre(0.5 * (coded + 1.0), chosen, wish.n_center), {
        "factorial_runs": len(coded), "center_runs": wish.n_center, "total_runs": len(coded) + wish.n_center,
        "generators": generators,
    }  # fmt: skip


def _generators(n: int) -> str:
    """Return the generators of the smallest design of ``n`` factors in which no two main effects are the same."""
    n_basic = next(k for k in range(1, n + 1) if 2**k - 1 >= n)
    letters = "abcdefghijklmnopqrstuvwxyz"[:n_basic]
    words = sorted(
        ("".join(letter for i, letter in enumerate(letters) if mask >> i & 1) for mask in range(1, 2**n_basic)),
        key=lambda word: (len(word) > 1, -len(word), word),
    )
    return " ".join(words[:n])


def _composite(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe

    _check_numeric(chosen, wish, least=2)
    n = len(chosen)
    _check_size(2.0**n, wish)
    coded = pydoe.ccdesign(n, center=(wish.n_center, wish.n_center), alpha=wish.alpha, face=wish.face)
    widest = float(np.abs(coded).max())
    return 0.5 * (coded / widest + 1.0), {
        "factorial_runs": 2**n, "axial_runs": 2 * n, "center_runs": 2 * wish.n_center, "total_runs": len(coded),
        "alpha": wish.alpha, "face": wish.face,
    }  # fmt: skip


def _box_behnken(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe

    _check_numeric(chosen, wish, least=3)
    _check_size(2.0 * len(chosen) * (len(chosen) - 1), wish)
    coded = pydoe.bbdesign(len(chosen), center=0)
    return _with_centre(0.5 * (coded + 1.0), chosen, wish.n_center), {
        "edge_runs": len(coded), "center_runs": wish.n_center, "total_runs": len(coded) + wish.n_center,
    }  # fmt: skip


def _screening(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe

    _check_numeric(chosen, wish)
    coded = pydoe.pbdesign(len(chosen))
    return _with_centre(0.5 * (coded + 1.0), chosen, wish.n_center), {
        "screening_runs": len(coded), "center_runs": wish.n_center, "total_runs": len(coded) + wish.n_center,
    }  # fmt: skip


def _subset(chosen: Sequence[Any], wish: Classical) -> _Runs:
    import pydoe

    axes = [_levels(parameter, wish.n_levels) for parameter in chosen]
    n_full = math.prod(len(axis) for axis in axes)
    _check_size(n_full, wish)
    try:
        index = np.asarray(pydoe.gsd([len(axis) for axis in axes], wish.reduction)).astype(int)
    except (ValueError, IndexError) as error:
        raise PlannerError(
            f"There is no generalised subset design of these levels with a reduction of {wish.reduction}: {error}. "
            "Choose another reduction, or add levels."
        ) from error
    return _at(axes, index), {
        "full_factorial_runs": n_full, "gsd_runs": len(index), "total_runs": len(index), "reduction": wish.reduction,
        "levels_per_factor": [len(axis) for axis in axes],
    }  # fmt: skip


_MAKERS = {
    "full_factorial": _full,
    "fractional_factorial": _fractional,
    "ccd": _composite,
    "box_behnken": _box_behnken,
    "plackett_burman": _screening,
    "gsd": _subset,
}


def _levels(parameter: Any, n_levels: int) -> Array:  # noqa: ANN401 - any parameter that is chosen
    """Return the coordinates of the levels of a variable: all of several values, else so many, evenly."""
    if isinstance(parameter, (Categorical, Discrete)):
        return np.array([parameter.to_unit(value) for value in parameter.values()])
    return np.linspace(0.0, 1.0, int(min(n_levels, parameter.n_values)))


def _at(axes: Sequence[Array], index: Array) -> Array:
    return np.column_stack([axis[index[:, i]] for i, axis in enumerate(axes)])


def _with_centre(runs: Array, chosen: Sequence[Any], n_center: int) -> Array:
    centre = [0.0 if isinstance(parameter, Categorical) else 0.5 for parameter in chosen]
    return np.vstack([runs, np.tile(centre, (n_center, 1))])


def _check_numeric(chosen: Sequence[Any], wish: Classical, least: int = 1) -> None:
    strange = [p.name for p in chosen if not isinstance(p, (Continuous, Integer, Discrete))]
    if strange:
        raise PlannerError(
            f"{wish.method} has no categorical variables, and {', '.join(strange)} are. Take full_factorial or gsd, or "
            "an optimal design."
        )
    if len(chosen) < least:
        raise PlannerError(f"{wish.method} takes {least} variables at least, and {len(chosen)} are to be chosen.")


def _check_size(n_runs: float, wish: Classical) -> None:
    if n_runs > MOST_RUNS:
        raise PlannerError(
            f"{wish.method} would have {n_runs:.6g} runs here, and {MOST_RUNS} are the most. Take fewer levels, or "
            "fractional_factorial, plackett_burman, gsd or an optimal design."
        )
