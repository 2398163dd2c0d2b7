"""Known: what can be said of a space although some of its settings are faulty.

In:    a draft: the document with its faulty values marked.
Out:   the sound part of its space, and how far a weighted sum can go.
Never: tells a mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alchemy_async.config.constraints import SENSES
from alchemy_async.config.draft import Draft
from alchemy_async.config.space_settings import CategoricalSettings, ParameterSettings

if TYPE_CHECKING:
    from alchemy_async.space import Space


def is_sound(parameter: ParameterSettings) -> bool:
    """Whether a parameter, if it is fixed, is fixed at one of its values."""
    return parameter.fixed is None or parameter.as_chosen().fit(parameter.fixed) is not None


def is_space_sound(draft: Draft) -> bool:
    """Whether every parameter is known."""
    return 0 < len(draft.parameters) == len(list(draft.tables("parameters")))


def reach(draft: Draft, terms: object) -> tuple[float, float] | None:
    """Return the least and the largest sum of such terms within the bounds; None where that is not known."""
    if not isinstance(terms, dict) or not terms:
        return None
    low = high = 0.0
    for name, coefficient in terms.items():
        parameter = draft.parameters.get(name)
        if parameter is None or isinstance(parameter, CategoricalSettings) or not is_number(coefficient):
            return None
        if not is_sound(parameter):
            return None
        limits = parameter.limits() if parameter.fixed is None else (parameter.fixed,)
        ends = [coefficient * limit for limit in limits]
        low, high = low + min(ends), high + max(ends)
    return low, high


def sound_space(draft: Draft) -> Space:
    """Return the space of all parameters and constraints without a mistake."""
    from alchemy_async.space import LinearConstraint, Space  # needs numpy; most files list no points

    constraints = []
    for _, table in draft.tables("constraints"):
        senses = [sense for sense in SENSES if is_number(table.get(sense))]
        if reach(draft, table.get("terms")) is not None and len(senses) == 1:
            constraints.append(LinearConstraint(tuple(table["terms"].items()), senses[0], table[senses[0]]))
    sound = filter(is_sound, draft.parameters.values())
    return Space(tuple(parameter.as_parameter() for parameter in sound), tuple(constraints))


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
