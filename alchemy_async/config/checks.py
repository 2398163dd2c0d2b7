"""Checks: what two tables of campaign.toml must agree on.

In:    a draft: the document with its faulty values marked.
Out:   mistakes.
Never: repeats what a settings model says of one table alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alchemy_async.config.base import show
from alchemy_async.config.budgets import check_budget, check_initial, check_points
from alchemy_async.config.constraints import SENSES
from alchemy_async.config.draft import Draft
from alchemy_async.config.fidelity import FidelitySettings
from alchemy_async.config.known import is_sound, is_space_sound, reach
from alchemy_async.config.space_settings import CategoricalSettings, ParameterSettings
from alchemy_async.config.translate import did_you_mean, path_text
from alchemy_async.errors import Mistake

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
    if parameter.fixed is not None and is_sound(parameter) and parameter.as_chosen().fit(parameter.fixed) != target:
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
    if is_space_sound(draft) and all(other.is_held for other in others):
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
        if not is_sound(parameter):
            what = f"is {show(parameter.fixed)}, which does not fit"
            yield Mistake(path_text(("parameters", i, "fixed")), what, f"Give {parameter.as_chosen().allowed()}.")
    if is_space_sound(draft) and all(parameter.is_held for parameter in draft.parameters.values()):
        mend = "Take `fixed` or `context` out of one of them."
        yield Mistake("parameters", "are all fixed or read, so that nothing is left to choose", mend)


def check_constraints(draft: Draft) -> Iterator[Mistake]:
    """Tell constraints that no point within the bounds meets, each for itself."""
    for i, table in draft.tables("constraints"):
        found = reach(draft, table.get("terms"))
        if found is None:
            continue
        low, high = found
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


def check_objectives(draft: Draft) -> Iterator[Mistake]:
    """Tell objectives that are there for their limits alone."""
    tables = [table for _, table in draft.tables("objectives")]
    has_limit = all(table.get("at_least") is not None or table.get("at_most") is not None for table in tables)
    if tables and has_limit and all(table.get("goal") == "limit" for table in tables):
        mend = "Give one of them another goal: that is what the planner makes better."
        yield Mistake("objectives", "have only limits, so that nothing is to be optimised", mend)


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
