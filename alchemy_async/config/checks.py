"""Checks: what two tables of campaign.toml must agree on.

In:    a draft: the document with its faulty values marked.
Out:   mistakes.
Never: repeats what a settings model says of one table alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from alchemy_async.config.base import show
from alchemy_async.config.constraints import SENSES
from alchemy_async.config.draft import Draft
from alchemy_async.config.fidelity import FidelitySettings
from alchemy_async.config.planner import default_n_initial
from alchemy_async.config.space_settings import CategoricalSettings, ParameterSettings
from alchemy_async.config.translate import did_you_mean, path_text
from alchemy_async.errors import Mistake, PointError

if TYPE_CHECKING:
    from alchemy_async.config.translate import Place
    from alchemy_async.space import Space

COLUMNS = (
    "experiment",
    "status",
    "worker",
    "attempt",
    "started_at",
    "finished_at",
    "origin",
    "reason",
    "iteration",
    "on_front",
)
MAX_GRID = 100_000

_RENAME = "Rename one of the two."


def check_names(draft: Draft) -> Iterator[Mistake]:
    """Tell names that would give an export two columns of one name, ignoring case."""
    objectives = draft.names("objectives")
    taken = dict.fromkeys(COLUMNS, "a column of every export")
    taken |= {f"{name}_sem".casefold(): f"the standard error of {path_text((name,))}" for _, name in objectives}
    for section in ("parameters", "objectives"):
        for i, name in draft.names(section):
            at = path_text((section, i, "name"))
            holder = taken.get(name.casefold())
            if holder:
                yield Mistake(at, f"is {show(name)}, the same name as {holder}, ignoring case", "Choose another name.")
            elif section == "parameters" and name == "context":
                yield Mistake(at, 'is "context", under which a driver gets its context', "Choose another name.")
            taken.setdefault(name.casefold(), path_text((section, i)))


def check_workers(draft: Draft) -> Iterator[Mistake]:
    """Tell two groups of workers with one name or one instrument, ignoring case."""
    for key in ("name", "instrument"):
        taken: dict[str, str] = {}
        for i, table in draft.tables("workers"):
            value = table.get(key)
            if isinstance(value, str):
                other = taken.setdefault(value.casefold(), path_text(("workers", i)))
                if other != path_text(("workers", i)):
                    what = f"is {show(value)}, as in {other}, ignoring case"
                    mend = _RENAME if key == "name" else "Let one group drive it."
                    yield Mistake(path_text(("workers", i, key)), what, mend)


def check_tied(draft: Draft) -> Iterator[Mistake]:
    """Tell options that are tied to workers, where no worker has such a label."""
    labels = {label for _, table in draft.tables("workers") for label in table.get("labels") or ()}
    if not any(True for _ in draft.tables("workers")):
        return
    for i, table in draft.tables("parameters"):
        parameter = draft.parameters.get(table["name"]) if isinstance(table.get("name"), str) else None
        if not isinstance(parameter, CategoricalSettings) or not parameter.tied:
            continue
        lonely = [option for option in parameter.options if option not in labels]
        if lonely:
            what = f"has {show(lonely[0])}, and no worker has that label, though the parameter is tied to workers"
            mend = f'Write `labels = ["{lonely[0]}"]` under the [[workers]] that can run it, or leave the option out.'
            yield Mistake(path_text(("parameters", i, "options")), what, mend)


def check_fidelity(draft: Draft) -> Iterator[Mistake]:
    """Tell a fidelity that can't be met, has no costs, or is one too many; and what can't be planned with one."""
    first = ""
    for i, table in draft.tables("parameters"):
        at = path_text(("parameters", i, "fidelity"))
        if table.get("fidelity") is None:
            if table.get("costs") is not None and "fidelity" not in table:
                mend = "Add the value at which the answer is wanted, for example `fidelity = 60`, or leave costs out."
                yield Mistake(path_text(("parameters", i, "costs")), "are given, but there is no fidelity", mend)
            continue
        if first:
            yield Mistake(at, f"is given, but {first} is the fidelity already", "Leave one of the two out.")
        first = first or path_text((str(table.get("name")),))
        parameter = draft.parameters.get(table["name"]) if isinstance(table.get("name"), str) else None
        if isinstance(parameter, FidelitySettings):
            yield from _of_fidelity(i, parameter)
            if table.get("costs") is not None or "costs" not in table:
                yield from _of_costs(i, parameter)
            yield from _beside_fidelity(draft, at, parameter.name)


def _of_fidelity(i: int, parameter: ParameterSettings) -> Iterator[Mistake]:
    """Tell what is wrong with a fidelity in itself."""
    if isinstance(parameter, CategoricalSettings):
        return
    at = path_text(("parameters", i, "fidelity"))
    target = parameter.as_chosen().fit(parameter.fidelity)
    if target is None:
        what = f"is {parameter.fidelity:g}, which does not fit"
        yield Mistake(at, what, f"Give {parameter.as_chosen().allowed()}.")
    for key in ("context", "shared"):
        if getattr(parameter, key):
            mend = "Leave one of the two out: the planner chooses the fidelity of each experiment."
            yield Mistake(at, f"is given, but the parameter is {key}", mend)
    if parameter.fixed is not None and _is_sound(parameter) and parameter.as_chosen().fit(parameter.fixed) != target:
        what = f"is {parameter.fidelity:g}, but the parameter is fixed at {show(parameter.fixed)}"
        yield Mistake(at, what, "Fix it at the same value or not at all: no result would count.")


def _of_costs(i: int, parameter: ParameterSettings) -> Iterator[Mistake]:
    """Tell costs that are missing, too few or too many."""
    if isinstance(parameter, CategoricalSettings):
        return
    wanted = [parameter.n_values()] if parameter.type == "discrete" else [2]
    wanted += [parameter.n_values()] if parameter.type == "integer" and parameter.n_values() > 2 else []
    n = 0 if parameter.costs is None else len(parameter.costs)
    if n not in wanted:
        numbers = " or ".join(f"{count:.0f}" for count in wanted)
        what = "are missing, but there is a fidelity" if not n else f"list {n}, but must list {numbers}"
        which = "one for each value" if parameter.type == "discrete" else "at the lower and at the upper bound"
        example = ", ".join(str(k + 1) for k in range(min(int(wanted[0]), 5))) + (", ..." if wanted[0] > 5 else "")
        costs_at = path_text(("parameters", i, "costs"))
        yield Mistake(costs_at, what, f"Say what an experiment costs, {which}, for example `costs = [{example}]`.")


def _beside_fidelity(draft: Draft, at: str, name: str) -> Iterator[Mistake]:
    """Tell what is elsewhere in the file and can't be planned with a fidelity."""
    aims = [table for _, table in draft.tables("objectives") if table.get("goal") not in (None, "limit")]
    if len(aims) > 1:
        mend = "Leave it out, or give all objectives but one the goal limit."
        yield Mistake(at, "is given, but several objectives are to be optimised", mend)
    others = [other for other in draft.parameters.values() if other.name != name]
    if _is_space_sound(draft) and all(other.is_held for other in others):
        yield Mistake(at, "is given, but there is no other parameter to choose", "Leave it out, or add a parameter.")
    for i, table in draft.tables("constraints"):
        if isinstance(table.get("terms"), dict) and name in table["terms"] and table.get("equals") is not None:
            what = f"has {path_text((name,))}, the fidelity, so that no point could be run at two values of it"
            yield Mistake(path_text(("constraints", i, "terms")), what, "Leave it out of the terms.")


def check_terms(draft: Draft) -> Iterator[Mistake]:
    """Tell terms of constraints that are no numeric parameters."""
    known = dict.fromkeys(name for _, name in draft.names("parameters"))
    categorical = {t["name"] for _, t in draft.tables("parameters") if t.get("type") == "categorical" and t.get("name")}
    readings = {t["name"] for _, t in draft.tables("parameters") if t.get("context") is True and t.get("name")}
    for i, table in draft.tables("constraints"):
        terms = table.get("terms")
        for name in terms if isinstance(terms, dict) and known else ():
            at = path_text(("constraints", i, "terms", name))
            if name not in known:
                mend = (
                    did_you_mean(name, list(known))
                    or f"The parameters are {', '.join(path_text((name,)) for name in known)}."
                )
                yield Mistake(at, "is not a parameter", mend)
            elif name in categorical:
                yield Mistake(at, "is categorical and has no number", "Leave it out of the terms.")
            elif name in readings:
                yield Mistake(at, "is a reading that nobody chooses", "Leave it out of the terms.")


def check_held(draft: Draft) -> Iterator[Mistake]:
    """Tell parameters that are fixed at what they can't be, and a campaign in which nothing is left to choose."""
    for i, table in draft.tables("parameters"):
        parameter = draft.parameters.get(table["name"]) if isinstance(table.get("name"), str) else None
        if parameter is None or parameter.fixed is None:
            continue
        if not _is_sound(parameter):
            what = f"is {show(parameter.fixed)}, which does not fit"
            yield Mistake(path_text(("parameters", i, "fixed")), what, f"Give {parameter.as_chosen().allowed()}.")
    if _is_space_sound(draft) and all(parameter.is_held for parameter in draft.parameters.values()):
        mend = "Take `fixed` or `context` out of one of them."
        yield Mistake("parameters", "are all fixed or read, so that nothing is left to choose", mend)


def _is_sound(parameter: ParameterSettings) -> bool:
    """Whether a parameter, if it is fixed, is fixed at one of its values."""
    return parameter.fixed is None or parameter.as_chosen().fit(parameter.fixed) is not None


def check_constraints(draft: Draft) -> Iterator[Mistake]:
    """Tell constraints that no point within the bounds meets, each for itself."""
    for i, table in draft.tables("constraints"):
        reach = _reach(draft, table.get("terms"))
        if reach is None:
            continue
        low, high = reach
        for sense in SENSES:
            bound = table.get(sense)
            if bound is None:
                continue
            slack = 1e-6 * max(abs(bound), abs(low), abs(high))
            if (sense != "at_least" and bound < low - slack) or (sense != "at_most" and bound > high + slack):
                words = sense.replace("_", " ")
                what = f"is {show(bound)}, but within the bounds the sum goes from {low:g} to {high:g}"
                mend = f"No point would be {words} {show(bound)}: change it, the terms or the bounds."
                yield Mistake(path_text(("constraints", i, sense)), what, mend)


def _reach(draft: Draft, terms: object) -> tuple[float, float] | None:
    if not isinstance(terms, dict) or not terms:
        return None
    low = high = 0.0
    for name, coefficient in terms.items():
        parameter = draft.parameters.get(name)
        if parameter is None or isinstance(parameter, CategoricalSettings) or not _is_number(coefficient):
            return None
        if not _is_sound(parameter):
            return None
        limits = parameter.limits() if parameter.fixed is None else (parameter.fixed,)
        ends = [coefficient * limit for limit in limits]
        low, high = low + min(ends), high + max(ends)
    return low, high


def check_objectives(draft: Draft) -> Iterator[Mistake]:
    """Tell objectives that are there for their limits alone."""
    tables = [table for _, table in draft.tables("objectives")]
    has_limit = all(table.get("at_least") is not None or table.get("at_most") is not None for table in tables)
    if tables and has_limit and all(table.get("goal") == "limit" for table in tables):
        mend = "Give one of them another goal: that is what the planner makes better."
        yield Mistake("objectives", "have only limits, so that nothing is to be optimised", mend)


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
    experiments, replicates = budget.get("experiments"), draft.table("planner").get("replicates") or 1
    most = n_points * replicates
    if experiments is not None and experiments > most and _is_space_sound(draft):
        what = f"is {experiments}, but there are only {n_points:.0f} different points"
        mend = f"Write at most {most:.0f}, allow more values, or raise `planner.replicates`, now {replicates}."
        yield Mistake("budget.experiments", what, mend)


def check_initial(draft: Draft) -> Iterator[Mistake]:
    """Tell an initial design that is more than the budget, or than a grid can be."""
    initial, experiments = draft.table("planner", "initial"), draft.table("budget").get("experiments")
    n, points = initial.get("n"), initial.get("points")
    for key, count in (("n", n), ("points", len(points) if isinstance(points, list) else None)):
        if count is not None and experiments is not None and count > experiments:
            what = f"asks for {count} initial experiments, but the budget has {experiments}"
            mend = f"Ask for fewer, or raise `budget.experiments` to {count} at least."
            yield Mistake(f"planner.initial.{key}", what, mend)
    if initial.get("method") == "grid" and _is_space_sound(draft):
        n_chosen = sum(not parameter.is_held for parameter in draft.parameters.values())
        n_nodes = _grid_size(draft, n or default_n_initial(n_chosen, experiments))
        if n_nodes > MAX_GRID:
            what = f'is "grid", which here has {n_nodes:.3g} points; at most {MAX_GRID} can be listed'
            yield Mistake("planner.initial.method", what, 'Write `method = "sobol"` or `"lhs"`.')


def _grid_size(draft: Draft, n: int) -> float:
    """Return how many nodes the smallest grid of at least ``n`` has, with as many levels on each axis."""
    n_values = [parameter.n_choices() for parameter in draft.parameters.values()]
    levels = math.ceil(n ** (1 / len(n_values)) - 1e-9)
    return math.prod(min(levels, count) for count in n_values)


def _is_space_sound(draft: Draft) -> bool:
    return 0 < len(draft.parameters) == len(list(draft.tables("parameters")))


def check_points(draft: Draft) -> Iterator[Mistake]:
    """Tell initial points outside the space, as far as it is known, and copies."""
    points = draft.table("planner", "initial").get("points")
    if not isinstance(points, list) or not points or not draft.parameters:
        return
    space = _sound_space(draft)
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


def _sound_space(draft: Draft) -> Space:
    from alchemy_async.space import LinearConstraint, Space  # needs numpy; most files list no points

    constraints = []
    for _, table in draft.tables("constraints"):
        senses = [sense for sense in SENSES if _is_number(table.get(sense))]
        if _reach(draft, table.get("terms")) is not None and len(senses) == 1:
            constraints.append(LinearConstraint(tuple(table["terms"].items()), senses[0], table[senses[0]]))
    sound = filter(_is_sound, draft.parameters.values())
    return Space(tuple(parameter.as_parameter() for parameter in sound), tuple(constraints))


def _copies(space: Space, checked: list[tuple[int, dict[str, float | int | str]]]) -> Iterator[Mistake]:
    for k, (i, point) in enumerate(checked):
        if space.is_copy(point, (other for _, other in checked[:k])):
            at = path_text(("planner", "initial", "points", i))
            yield Mistake(at, "is a copy of an earlier point", "Leave it out: a point is measured once.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


CHECKS: tuple[Callable[[Draft], Iterator[Mistake]], ...] = (
    check_names,
    check_terms,
    check_held,
    check_constraints,
    check_objectives,
    check_budget,
    check_initial,
    check_points,
    check_workers,
    check_tied,
    check_fidelity,
)
