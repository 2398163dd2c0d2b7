"""Optimal designs: the runs that a linear model learns most from, chosen by exchange from many candidates.

In:    a space, the terms of a model, how many runs, a criterion.
Out:   runs, each of which meets all constraints; how good they are.
Never: fits anything: only which model is to be fitted counts.

Numbers are coded from -1 to 1, categories by effects. D makes the determinant of the information large, A the mean
variance of the coefficients small, I the mean variance of the predictions over the candidates. ``sequential`` begins
with runs that span the largest volume, and adds the best candidate until there are enough; every other algorithm goes
on from there, and exchanges run after run for the candidate that is best in its place until none is better.

Source:
    Fedorov (1972), Theory of Optimal Experiments; Cook & Nachtsheim (1980), Technometrics 22(3), 315-324;
    Atkinson, Donev & Tobias (2007), Optimum Experimental Designs, with SAS, ch. 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from scipy.linalg import qr

from alchemy_async.errors import PlannerError
from alchemy_async.planner.designs import design
from alchemy_async.planner.region import region_of
from alchemy_async.service.models.designs import Designed, InfeasibleRegionError
from alchemy_async.space import Array, Categorical, Context, Discrete, Fixed, Point, Space

MODELS = ("linear", "interaction", "quadratic")
MOST_TERMS = 300
_MOST_CANDIDATES, _CANDIDATES_PER_TERM = 4000, 10
_MOST_REPAIRED = 300
_RIDGE = 1e-8  # of the information: what keeps it invertible while a run is out
_WORTH = 1e-7  # what an exchange must bring, or there is no better one
_MOST_STEPS = 2e10  # multiplications of all exchanges, at most
_ROUNDING = 1e-6  # share of a run's information that is its own: with less, a change of rank one is inexact

Term = tuple[str, ...]  # names of the variables whose product it is; empty: the intercept


def terms_of(space: Space, model: str | None, effects: Sequence[str] | None) -> list[Term]:
    """Return the terms of a model.

    Args:
        space: The search space.
        model: One of `MODELS`; None: as the effects say.
        effects: Such as ``a``, ``a*b`` and ``a**2``.

    Raises:
        PlannerError: If an effect is none of this space, or there are too many.
    """
    names = [p.name for p in space.parameters if not isinstance(p, (Fixed, Context))]
    categorical = {p.name for p in space.parameters if isinstance(p, Categorical)}
    if effects is not None:
        found = [(), *(_term(effect, names, categorical) for effect in effects)]
    else:
        found = [(), *((name,) for name in names)]
        found += list(combinations(names, 2)) if model in ("interaction", "quadratic") else []
        found += [(name, name) for name in names if name not in categorical] if model == "quadratic" else []
    terms = list(dict.fromkeys(found))
    if n_columns(space, terms) > MOST_TERMS:
        raise PlannerError(f"The model has {n_columns(space, terms)} terms, and {MOST_TERMS} are the most. Name fewer.")
    return terms


def _term(effect: str, names: Sequence[str], categorical: set[str]) -> Term:
    text = effect.replace("**", "^").strip()
    if text in names:
        return (text,)
    base, power, exponent = text.rpartition("^")
    if power and exponent.strip() == "2" and base.strip() in names:
        if base.strip() in categorical:
            raise PlannerError(f"The effect {effect[:60]!r} is the square of a category. Leave it out.")
        return (base.strip(), base.strip())
    parts = tuple(part.strip() for part in text.split("*"))
    unknown = [part for part in parts if part not in names]
    if unknown or len(set(parts)) != len(parts) or len(parts) > 4:
        what = f"{unknown[0][:60]!r} is no variable to be chosen" if unknown else "it names one twice, or too many"
        raise PlannerError(
            f"The effect {effect[:60]!r} can't be read: {what}. Write it like `a`, `a*b` or `a**2`; the variables are "
            f"{', '.join(names)}."
        )
    return tuple(sorted(parts, key=names.index))


def n_columns(space: Space, terms: Sequence[Term]) -> int:
    """Return how many coefficients the model has: a category has one less than it has options."""
    widths = {p.name: len(p.options) - 1 for p in space.parameters if isinstance(p, Categorical)}
    return sum(math.prod(widths.get(name, 1) for name in set(term)) for term in terms)


def in_words(term: Term) -> str:
    """Return a term as clients write it."""
    if len(term) == 2 and term[0] == term[1]:
        return f"{term[0]}^2"
    return "*".join(term) or "Intercept"


def describe(space: Space, model: str | None, effects: Sequence[str] | None) -> tuple[list[str], int]:
    """Return the terms of a model in words, and how many coefficients it has.

    Raises:
        PlannerError: If an effect is none of this space, or there are too many.
    """
    terms = terms_of(space, model, effects)
    return [in_words(term) for term in terms], n_columns(space, terms)


def make(
    space: Space,
    model: str | None,
    effects: Sequence[str] | None,
    n: int,
    criterion: str,
    algorithm: str,
    n_levels: int,
    most_rounds: int,
    seed: int,
) -> Designed:
    """Return the best runs that are found for a model; see `terms_of` and `optimise`."""
    terms = terms_of(space, model, effects)
    return optimise(space, terms, n, criterion, algorithm, n_levels, most_rounds, seed)


def optimise(
    space: Space,
    terms: Sequence[Term],
    n: int,
    criterion: str,
    algorithm: str,
    n_levels: int,
    most_rounds: int,
    seed: int,
) -> Designed:
    """Return the best runs that are found.

    Args:
        space: The search space.
        terms: Of the model.
        n: How many runs, as many as there are coefficients at least.
        criterion: ``D``, ``A`` or ``I``.
        algorithm: ``sequential``, or any other: with exchanges.
        n_levels: Of each continuous or integer variable among the candidates.
        most_rounds: Of exchanges of every run.
        seed: Seed of the candidates, where there are too many to take all, and of the first run.

    Raises:
        InfeasibleRegionError: If no point meets all constraints.
        PlannerError: If the candidates can't tell all terms apart.
    """
    p = n_columns(space, terms)
    points = _candidates(space, n_levels, min(_MOST_CANDIDATES, max(_CANDIDATES_PER_TERM * p, 1000)), seed)
    x = _matrix(space, terms, points)
    if np.linalg.matrix_rank(x) < p:
        raise PlannerError(
            "The points that meet all constraints can't tell all terms of the model apart. Take more levels, or fewer "
            "terms."
        )
    moments = x.T @ x / len(x)
    weight = {"D": None, "A": np.eye(p), "I": moments}[criterion]
    affordable = max(int(_MOST_STEPS / (n * len(x) * p**2)), 1)
    rounds = 0 if algorithm == "sequential" else min(most_rounds, affordable)
    rows = _chosen(x, n, weight, rounds, np.random.default_rng(seed))
    chosen = [points[i] for i in rows]
    held = {p.name for p in space.parameters if isinstance(p, Context)}
    bare = tuple({name: value for name, value in point.items() if name not in held} for point in chosen)
    return Designed(bare, {**_quality(x[rows], criterion, moments), "n_candidates": len(points)})


def _candidates(space: Space, n_levels: int, most: int, seed: int) -> list[dict[str, Any]]:
    """Return points of a grid that meet all constraints, and those where the others would come to meet them."""
    axes = [_levels(parameter, n_levels) for parameter in space.parameters]
    if math.prod(map(len, axes)) <= most:
        rows = list(product(*axes))
    else:
        rng = np.random.default_rng(seed)
        rows = [tuple(axis[int(rng.integers(len(axis)))] for axis in axes) for _ in range(most)]
    grid = [dict(zip(space.names, values, strict=True)) for values in dict.fromkeys(rows)]
    found = [point for point in grid if space.is_feasible(point)]
    if space.is_restricted:
        found += _at_border(space, [point for point in grid if not space.is_feasible(point)], seed)
    return list({tuple(point.values()): point for point in found}.values())


def _levels(parameter: Any, n_levels: int) -> list[Any]:  # noqa: ANN401 - any parameter
    if isinstance(parameter, (Fixed, Context)):
        return [parameter.value]
    if isinstance(parameter, (Categorical, Discrete)) and parameter.n_values <= max(n_levels, 20):
        return list(parameter.values())
    levels = np.linspace(0.0, 1.0, int(min(n_levels, parameter.n_values)))
    return list(dict.fromkeys(parameter.from_unit(u) for u in levels))


def _at_border(space: Space, outside: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return feasible points near to some that are not, and others spread over the region."""
    rng = np.random.default_rng(seed)
    some = [outside[i] for i in rng.permutation(len(outside))[:_MOST_REPAIRED]]
    try:
        spread = design(space, "random", _MOST_REPAIRED, seed)
        repaired = [region_of(space).repair(point) for point in some] if space.constraints else []
    except PlannerError as error:
        raise InfeasibleRegionError(str(error)) from error
    return [*(point for point in repaired if point is not None and space.is_feasible(point)), *spread]


def _matrix(space: Space, terms: Sequence[Term], points: Sequence[Point]) -> Array:
    """Return the coded model matrix, shape ``(points, columns)``."""
    unit = space.to_unit(points)
    coded: dict[str, Array] = {}
    for i, p in enumerate(space.parameters):
        if isinstance(p, Categorical):
            index = np.rint(unit[:, i] * (len(p.options) - 1)).astype(int)
            effects = np.vstack([np.eye(len(p.options) - 1), -np.ones(len(p.options) - 1)])
            coded[p.name] = effects[index]
        else:
            coded[p.name] = 2.0 * unit[:, i : i + 1] - 1.0
    columns = []
    for term in terms:
        block = np.ones((len(points), 1))
        for name in term:
            block = (block[:, :, None] * coded[name][:, None, :]).reshape(len(points), -1)
        columns.append(block)
    return np.hstack(columns)


class _Information:
    """What some runs tell, and how much better they would be with each candidate beside them.

    Args:
        x: Model matrix of the candidates, shape ``(c, p)``.
        weight: Of the variances of the coefficients, shape ``(p, p)``; None: the determinant counts.
        rows: The runs.
    """

    def __init__(self, x: Array, weight: Array | None, rows: Sequence[int]) -> None:
        self._x, self._weight, self.rows = x, weight, list(rows)
        self._begin()

    def _begin(self) -> None:
        some = self._x[self.rows]
        self._inverse = np.linalg.inv(some.T @ some + _RIDGE * np.eye(self._x.shape[1]))
        turned = self._x @ self._inverse
        self._more = np.sum(turned * self._x, axis=1)
        self._gone = np.zeros(0) if self._weight is None else np.sum((turned @ self._weight) * turned, axis=1)

    def gains(self) -> Array:
        """Return what each candidate would bring, up to a constant, shape ``(c,)``."""
        return np.asarray(self._more if self._weight is None else self._gone / (1.0 + self._more))

    def add(self, row: int) -> None:
        """Put a candidate beside the runs."""
        self.rows.append(row)
        self._follow(row, 1.0)

    def remove(self, place: int) -> int:
        """Take the run at a place out, and return which candidate it was."""
        row = self.rows.pop(place)
        self._follow(row, -1.0)
        return row

    def _follow(self, row: int, sign: float) -> None:
        """Bring all up to date, by a change of rank one where rounding allows it."""
        left = 1.0 + sign * float(self._more[row])
        if left < _ROUNDING:
            self._begin()
            return
        step = self._inverse @ self._x[row]
        along = self._x @ step
        if self._weight is not None:
            weighted = self._weight @ step
            across = self._x @ (self._inverse @ weighted)
            self._gone += -2.0 * sign * along * across / left + along**2 * float(step @ weighted) / left**2
        self._more -= sign * along**2 / left
        self._inverse -= sign * np.outer(step, step) / left

    def refresh(self) -> None:
        """Reckon anew, so that rounding does not add up."""
        self._begin()


def _chosen(x: Array, n: int, weight: Array | None, most_rounds: int, rng: np.random.Generator) -> list[int]:
    """Return runs: each the best beside those before it, then exchanged as long as that helps.

    The first ones, as many as there are columns, span the largest volume, one after the other.
    """
    order = rng.permutation(len(x))  # of equally good ones the seed decides
    _, _, pivots = qr(x[order].T, mode="economic", pivoting=True)
    runs = _Information(x, weight, [int(row) for row in order[pivots[: x.shape[1]]]])
    while len(runs.rows) < n:
        runs.add(int(np.argmax(runs.gains())))
    for _ in range(most_rounds):
        is_better = False
        runs.refresh()
        for _ in range(n):
            row = runs.remove(0)
            gains = runs.gains()
            best = int(np.argmax(gains))
            is_worth_it = gains[best] > gains[row] + _WORTH * (1.0 + abs(float(gains[row])))
            is_better |= bool(is_worth_it)
            runs.add(best if is_worth_it else row)
        if not is_better:
            break
    return runs.rows


def _quality(x: Array, criterion: str, moments: Array) -> dict[str, float]:
    """Return the score, larger is better, and the D- and A-efficiency in percent of an orthogonal design."""
    n, p = x.shape
    information = x.T @ x
    sign, log_determinant = np.linalg.slogdet(information)
    inverse = np.linalg.pinv(information)
    scores = {
        "D": float(log_determinant) if sign > 0 else -math.inf,
        "A": -float(np.trace(inverse)),
        "I": -float(np.sum(inverse * moments)),
    }
    determinant = math.exp(log_determinant / p) if sign > 0 else 0.0
    found = {
        "score": scores[criterion], "D_eff": 100.0 * determinant / n, "A_eff": 100.0 * p / (n * -scores["A"])
    }  # fmt: skip
    return {name: value if math.isfinite(value) else 0.0 for name, value in found.items()}
