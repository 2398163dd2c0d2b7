"""Budgets: what the budget, the initial design and the size of the space must agree on.

In:    a draft: the document with its faulty values marked.
Out:   mistakes.
Never: chooses a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from alchemy_async.config.base import show
from alchemy_async.config.draft import Draft
from alchemy_async.config.known import is_space_sound, sound_space
from alchemy_async.config.planner import default_n_initial
from alchemy_async.config.translate import path_text
from alchemy_async.errors import Mistake, PointError

if TYPE_CHECKING:
    from alchemy_async.config.translate import Place
    from alchemy_async.space import Space

MAX_GRID = 100_000


def check_budget(draft: Draft) -> Iterator[Mistake]:
    """Tell a budget that can't be met: a target of several objectives, more experiments than points."""
    budget = draft.table("budget")
    goals = [table.get("goal") for _, table in draft.tables("objectives") if table.get("goal") != "limit"]
    target = budget.get("target")
    if target is not None and len(goals) > 1:
        what = "is given, but there are several objectives"
        yield Mistake("budget.target", what, "Leave it out: only a single objective can reach a target.")
    if target is not None and goals == ["target"] and target < 0:
        what = f'is {show(target)}, but with the goal "target" it says how near is near enough'
        mend = "Write a number >= 0, in the objective's unit, for example `target = 0.1`."
        yield Mistake("budget.target", what, mend)
    n_points = math.prod(parameter.n_choices() for parameter in draft.parameters.values())
    experiments, replicates = budget.get("experiments"), _replicates(draft)
    most = n_points * replicates
    if experiments is not None and experiments > most and is_space_sound(draft):
        what = f"is {experiments}, but there are only {n_points:.0f} different points"
        mend = f"Write at most {most:.0f}, allow more values, or raise `planner.replicates`, now {replicates}."
        yield Mistake("budget.experiments", what, mend)


def check_initial(draft: Draft) -> Iterator[Mistake]:
    """Tell an initial design that is more than the budget, or than a grid can be."""
    initial, experiments = draft.table("planner", "initial"), draft.table("budget").get("experiments")
    n, points, replicates = initial.get("n"), initial.get("points"), _replicates(draft)
    for key, count in (("n", n), ("points", len(points) if isinstance(points, list) else None)):
        if count is not None and experiments is not None and count * replicates > experiments:
            what = f"asks for {count * replicates} initial experiments, but the budget has {experiments}"
            mend = f"Ask for fewer, or raise `budget.experiments` to {count * replicates} at least."
            yield Mistake(f"planner.initial.{key}", what, mend)
    if initial.get("method") == "grid" and is_space_sound(draft):
        n_chosen = sum(not parameter.is_held for parameter in draft.parameters.values())
        most = None if experiments is None else max(experiments // replicates, 1)
        n_nodes = _grid_size(draft, n or default_n_initial(n_chosen, most))
        if n_nodes > MAX_GRID:
            what = f'is "grid", which here has {n_nodes:.3g} points; at most {MAX_GRID} can be listed'
            yield Mistake("planner.initial.method", what, 'Write `method = "sobol"` or `"lhs"`.')


def _replicates(draft: Draft) -> int:
    return int(draft.table("planner").get("replicates") or 1)


def _grid_size(draft: Draft, n: int) -> float:
    """Return how many nodes the smallest grid of at least ``n`` has, with as many levels on each axis."""
    n_values = [parameter.n_choices() for parameter in draft.parameters.values()]
    levels = math.ceil(n ** (1 / len(n_values)) - 1e-9)
    return math.prod(min(levels, count) for count in n_values)


def check_points(draft: Draft) -> Iterator[Mistake]:
    """Tell initial points outside the space, as far as it is known, and copies."""
    points = draft.table("planner", "initial").get("points")
    if not isinstance(points, list) or not points or not draft.parameters:
        return
    space = sound_space(draft)
    unsound = {name for _, name in draft.names("parameters")} - set(space.names)
    checked = []
    for i, point in enumerate(points):
        at: Place = ("planner", "initial", "points", i)
        if not isinstance(point, dict) or None in point.values():
            continue
        try:
            checked.append((i, space.check({name: value for name, value in point.items() if name not in unsound})))
        except PointError as error:
            for mistake in error.mistakes:
                place = at if mistake.path == "constraint" else (*at, mistake.path)
                yield Mistake(path_text(place), mistake.what, mistake.mend)
    if not unsound:
        yield from _copies(space, checked)


def _copies(space: Space, checked: list[tuple[int, dict[str, float | int | str]]]) -> Iterator[Mistake]:
    for k, (i, point) in enumerate(checked):
        if space.is_copy(point, (other for _, other in checked[:k])):
            at = path_text(("planner", "initial", "points", i))
            yield Mistake(at, "is a copy of an earlier point", "Leave it out: a point is measured once.")
