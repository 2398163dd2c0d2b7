"""The basis: what a session's models are made of, besides its history.

In:    the study, what was trained last, what a client wants otherwise.
Out:   space, objectives and options, as a process beside the server takes them.
Never: loads what a model needs, or takes code's name from a client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alchemy_async.errors import PointError
from alchemy_async.experiment import History, Objective, optimised
from alchemy_async.ledger import Ledger
from alchemy_async.planner.present import readings
from alchemy_async.service.definition.study import Study
from alchemy_async.service.problems import Flaw, InvalidError
from alchemy_async.space import Context, Fixed, Space, Value

MODEL = "model"  # what was trained last, in the ledger's `meta`
_OURS = "bayesian"


@dataclass(frozen=True)
class Basis:
    """What a session's models are made of.

    Args:
        space: The search space, with the readings and the held values that are to hold.
        objectives: What is measured, with the goals that are to hold.
        options: Of the bayesian planner, ``kernel`` and ``noise`` among them.
    """

    space: Space
    objectives: tuple[Objective, ...]
    options: Mapping[str, Any]

    @property
    def kernel(self) -> str:
        """Which kernel models have."""
        return str(self.options.get("kernel", "auto"))

    def noise_of(self, objective: Objective) -> Any:  # noqa: ANN401 - a number or a word
        """Return what is known of the noise of an objective."""
        noise = self.options.get("noise", "inferred")
        return noise.get(objective.name, "inferred") if isinstance(noise, Mapping) else noise


def trained(ledger: Ledger) -> dict[str, Any]:
    """Return what was trained last; empty before the first training."""
    found = json.loads(ledger.meta(MODEL) or "{}")
    return found if isinstance(found, dict) else {}


def basis_of(study: Study, kernel: str | None, **options: object) -> Basis:
    """Return what the models of a study are made of.

    Args:
        study: The study.
        kernel: Which kernel was trained last; None: what campaign.toml says.
        options: In place of those that campaign.toml has.

    Raises:
        NoVariablesError: If there is no variable yet.
    """
    planner = study.checked.planner
    said = planner.keywords() if planner.strategy == _OURS else {}
    said |= {} if kernel is None else {"kernel": kernel}
    return Basis(study.space, study.objectives, said | options)


def with_goal(objectives: tuple[Objective, ...], goal: str | None) -> tuple[Objective, ...]:
    """Return the objectives with another goal for the one that is optimised.

    Raises:
        InvalidError: If several are optimised, each with a goal of its own.
    """
    aims = optimised(objectives)
    if goal is None or (len(aims) == 1 and aims[0].goal == goal):
        return objectives
    if len(aims) != 1:
        what = "is of one objective, and several have a goal of their own in this session. Leave it out"
        raise InvalidError.at("goal", what=what)
    changed = replace(aims[0], goal=goal, target=None, reference=None)
    return tuple(changed if one == aims[0] else one for one in objectives)


def objective_named(objectives: Sequence[Objective], name: str | None) -> Objective:
    """Return an objective: the one of a name, or the first that is optimised.

    Raises:
        InvalidError: If there is none of that name.
    """
    if name is None:
        return optimised(tuple(objectives))[0] if optimised(tuple(objectives)) else objectives[0]
    for one in objectives:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in objectives)
    raise InvalidError.at("target", what=f"is no objective of this session. They are: {known}")


def present(
    space: Space, history: History, hold: Mapping[str, Any] | None = None, observed: Mapping[str, Any] | None = None
) -> Space:
    """Return the space as it reads at the moment, with some variables held.

    Args:
        space: The search space.
        history: Its newest observation tells the readings that are not given.
        hold: Values at which variables are to be held.
        observed: Readings of variables that nobody chooses.

    Raises:
        InvalidError: If a name or a value does not fit, with every flaw.
    """
    flaws: list[Flaw] = []
    known = {parameter.name: parameter for parameter in space.parameters}
    read: dict[str, Value] = readings(space, history)
    held: dict[str, Value] = {}
    for name, value in (hold or {}).items():
        parameter = known.get(name)
        fitted = None if parameter is None or isinstance(parameter, Context) else parameter.fit(value)
        if parameter is None:
            flaws.append(Flaw(("hold", name[:60]), f"is no variable. The variables are {', '.join(known)}"))
        elif isinstance(parameter, Context):
            flaws.append(Flaw(("hold", name), "is a reading that nobody chooses. Give it under observed"))
        elif fitted is None:
            flaws.append(Flaw(("hold", name), f"does not fit. Give {parameter.allowed()}"))
        else:
            held[name] = fitted
    for name, value in (observed or {}).items():
        parameter = known.get(name)
        fitted = parameter.fit(value) if isinstance(parameter, Context) else None
        if parameter is None:
            flaws.append(Flaw(("observed", name[:60]), f"is no variable. The variables are {', '.join(known)}"))
        elif not isinstance(parameter, Context):
            flaws.append(Flaw(("observed", name), "is controllable. To keep it at a value, give it under hold"))
        elif fitted is None:
            flaws.append(Flaw(("observed", name), f"does not fit. Give {parameter.allowed()}"))
        else:
            read[name] = fitted
    if flaws:
        raise InvalidError(flaws)
    given = space.given(read)
    chosen = tuple(
        Fixed(p.name, p.unit, p.description, of=p, at=held[p.name])
        if p.name in held and not isinstance(p, (Fixed, Context))
        else p
        for p in given.parameters
    )
    return replace(given, parameters=chosen)


def as_run(space: Space, points: Sequence[Mapping[str, Any]], *place: str) -> list[dict[str, Value]]:
    """Return points as they may have been run; readings that are left out are the newest.

    Args:
        space: The search space, with the newest readings.
        points: As a client wrote them.
        place: Where in the body their list stands.

    Raises:
        InvalidError: If any does not fit, with every flaw of every point.
    """
    given = {p.name: p.value for p in space.parameters if isinstance(p, (Fixed, Context))}
    found: list[dict[str, Value]] = []
    flaws: list[Flaw] = []
    for i, point in enumerate(points):
        try:
            found.append(space.check_as_run({**given, **point}))
        except PointError as error:
            flaws += InvalidError.of(error.mistakes, *place, i).flaws
    if flaws:
        raise InvalidError(flaws)
    return found
