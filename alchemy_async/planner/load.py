"""Loading planners: from a strategy's name to a planner that can be asked.

In:    the name of a shipped or installed strategy, or ``package.module:Name``, and its options.
Out:   a planner.
Never: changes where Python looks for modules.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import Objective
from alchemy_async.planner import Planner
from alchemy_async.planner.present import PresentPlanner
from alchemy_async.space import Space

GROUP = "alchemy_async.planners"


def load_planner(
    strategy: str, space: Space, objectives: tuple[Objective, ...], options: Mapping[str, object]
) -> Planner:
    """Return the planner that a strategy names, made for a space.

    Args:
        strategy: ``bayesian``, ``sobol``, ``random``, another name of the entry point group
            ``alchemy_async.planners``, or ``package.module:Name``.
        space: The search space.
        objectives: What is measured, in the order of the settings.
        options: Passed to the planner as keywords.

    Raises:
        PlannerError: If there is no such planner, it does not take these options, or it can't
            plan these objectives.
    """
    factory = _from_module(strategy) if ":" in strategy else _from_entry_point(strategy)
    try:
        inspect.signature(factory).bind(space, objectives, **options)
    except TypeError as error:
        raise PlannerError(
            f"The planner {strategy!r} does not take these options: {error}. "
            f"Under [planner] options it takes {_options_of(factory)}."
        ) from error

    def make(present: Space) -> Planner:
        made = factory(present, objectives, **options)
        if not isinstance(made, Planner):
            raise PlannerError(
                f"{strategy!r} made a {type(made).__name__}, which can't be asked. "
                "Give it a method `ask(history, pending, n, seed)` that returns suggestions."
            )
        return made

    return PresentPlanner(make, space) if space.is_context.any() else make(space)


def _from_entry_point(name: str) -> Callable[..., Any]:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        close = get_close_matches(name, found, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise PlannerError(
            f"There is no planner {name!r}. {hint}Set [planner] strategy to "
            f'{", ".join(sorted(found))}, or to "package.module:Name" for one of your own.'
        )
    factory: Callable[..., Any] = found[name].load()
    return factory


def _from_module(path: str) -> Callable[..., Any]:
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise PlannerError(
            f"The planner {path!r} can't be imported: {error}. "
            f"Put {module_name}.py beside campaign.toml, or install the package that has it."
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        close = get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Define a class {name} there."
        raise PlannerError(f"{module_name} has no planner {name!r}. {hint}")
    made: Callable[..., Any] = factory
    return made


def _options_of(factory: Callable[..., Any]) -> str:
    names = list(inspect.signature(factory).parameters.values())[2:]
    known = [parameter.name for parameter in names if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    return ", ".join(known) or "none"
