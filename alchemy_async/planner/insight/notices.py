"""Notices: what a person should know of, and what to do about it.

In:    models, the recommended point, the order in which results came in.
Out:   notices in the words of a lab; none where all is well.
Never: stops a campaign.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alchemy_async.experiment import History, Objective
from alchemy_async.experiment.goals import optimised
from alchemy_async.planner.insight.fitting import Fitted, standing_of
from alchemy_async.planner.insight.records import Notice, Recommended
from alchemy_async.planner.insight.summit import is_clearly_higher
from alchemy_async.planner.region import Numeric, ends
from alchemy_async.space import Continuous, Discrete, Integer, Space

AT_BOUND = 0.01  # of a range: nearer to its end is at its end
_INSIDE = 0.1  # of a range: how far from the end a point must be worse for the end to be a wish for more
_MOST_CHOICES = 3  # a parameter with so few values often lies at an end
NOISY = 0.5  # share of the variance
_BLIND, _BLIND_RANK = 0.2, 0.4
_PATIENCE, _PATIENCE_PER_PARAMETER, _PATIENCE_SHARE = 10, 3, 0.3  # results without a better one; share of all of them
_BETTER = 1e-3  # of the range of all values


def too_few(objectives: Sequence[Objective], history: History, least: int) -> Notice | None:
    """Say that there are too few results for a model."""
    counts = {o.name: sum(o.name in observed.values for observed in history.observations) for o in objectives}
    name, n = min(counts.items(), key=lambda item: item[1])
    if n >= least:
        return None
    of_which = f" of {name}" if len(objectives) > 1 else ""
    results = "result" if n == 1 else "results"
    return Notice("too_few", f"No model yet: {n} {results}{of_which}, and it takes {least} to say anything.")


def all_equal(objective: Objective, history: History) -> Notice | None:
    """Say that no model can tell one result from another; nothing where that is a limit always kept."""
    values = [observed.values[objective.name] for observed in history.observations if objective.name in observed.values]
    if not objective.is_optimised and not any(map(objective.breach, values)):
        return None
    points = {tuple(observed.parameters.items()) for observed in history.observations}
    what = f"all values of {objective.name} are equal" if len(points) > 1 else "all results are of one point"
    mend = "Look whether the driver returns what it measures" if len(points) > 1 else "Measure other points"
    return Notice("all_equal", f"No model can tell one point from another: {what}. {mend}.")


def some_sems(objective: Objective, history: History, noise: str | float) -> Notice | None:
    """Say that standard errors are not used, as some results have none; nothing where noise is not inferred."""
    found = [observed for observed in history.observations if objective.name in observed.values]
    n_without = sum(observed.sems.get(objective.name) is None for observed in found)
    if noise != "inferred" or n_without in (0, len(found)):
        return None
    verb = "has" if n_without == 1 else "have"
    return Notice(
        "some_sems",
        f"{n_without} of {len(found)} results {verb} no standard error of {objective.name}, so that none is used and "
        "the noise is inferred for all. Return one with every result, or set `noise` in planner.options.",
    )


def no_model(objective: Objective, error: Exception) -> Notice:
    """Say that the fit failed."""
    return Notice(
        "no_model",
        f"No model of {objective.name} can be fitted ({error}). Look for the same point with very different values; "
        "take `noise` out of planner.options, so that it is inferred.",
    )


def noisy(model: Fitted) -> Notice | None:
    """Say that noise hides most of what there is to see."""
    share = model.quality.noise
    if share < NOISY:
        return None
    return Notice(
        "noisy",
        f"Noise makes about {share:.0%} of the differences in {model.objective.name}. Measure longer or repeatedly "
        "(and return the standard error), or widen the ranges of the parameters that matter.",
    )


def blind(model: Fitted) -> Notice | None:
    """Say that the model hardly predicts what it has not seen."""
    quality = model.quality
    enough = 10 + 5 * len(quality.importance)
    if quality.n < enough or quality.explained >= _BLIND or quality.rank_correlation >= _BLIND_RANK:
        return None
    return Notice(
        "blind",
        f"The model hardly predicts {model.objective.name}. Perhaps something that is no parameter here changes it "
        "from one experiment to the next, or it jumps where no value was measured.",
    )


def at_bounds(space: Space, models: Sequence[Fitted], best: Recommended) -> list[Notice]:
    """Say of each parameter whose end of its range is where the best is expected that there may be more beyond."""
    at = space.to_unit([best.parameters])[0]
    told: list[Notice] = []
    for i, parameter in enumerate(space.parameters):
        is_high, is_low = at[i] >= 1.0 - AT_BOUND, at[i] <= AT_BOUND
        if not isinstance(parameter, (Continuous, Integer, Discrete)) or not (is_high or is_low):
            continue
        if not _can_widen(space, parameter, is_high):
            continue
        inside = at.copy()
        inside[i] = 1.0 - _INSIDE if is_high else _INSIDE
        if is_clearly_higher(models, at, inside):
            told.append(_at_bound(parameter, is_high))
    return told


def _can_widen(space: Space, parameter: Numeric, is_high: bool) -> bool:
    if parameter.n_values <= _MOST_CHOICES:
        return False
    is_share = any(
        constraint.sense == "equals" and parameter.name in dict(constraint.terms) for constraint in space.constraints
    )
    low, _ = ends(parameter)
    return is_high or not (is_share and low == 0.0)  # no part of a mixture is less than nothing


def _at_bound(parameter: Numeric, is_high: bool) -> Notice:
    low, high = ends(parameter)
    unit = f" {parameter.unit}" if parameter.unit else ""
    end, value, more = ("upper", high, "more") if is_high else ("lower", low, "less")
    return Notice(
        "at_bound",
        f"The best is expected at the {end} end of {parameter.name} ({value:g}{unit}), and may lie beyond it. If the "
        f"instrument allows {more}, widen its range in a new campaign.",
        parameter.name,
    )


def stalled(
    space: Space, objectives: Sequence[Objective], history: History, names: Sequence[str] = ()
) -> Notice | None:
    """Say that the last results brought nothing better; where there is a fidelity, of those at its target."""
    (aim,) = optimised(objectives)
    usable = [
        i
        for i, observed in enumerate(history.observations)
        if aim.name in observed.values and (space.fidelity is None or space.fidelity.counts(observed.parameters))
    ]
    k = max(_PATIENCE, _PATIENCE_PER_PARAMETER * len(space.names), int(_PATIENCE_SHARE * len(usable)))
    if len(usable) < 2 * k:
        return None
    standings = [standing_of(objectives, history.observations[i]) for i in usable]
    before, last = max(standings[:-k]), max(standings[-k:])
    scores = np.array([score for *_, score in standings])
    if last[:2] > before[:2] or (last[:2] == before[:2] and last[2] > before[2] + _BETTER * float(np.ptp(scores))):
        return None
    first = standings.index(before)
    best = history.observations[usable[first]]
    found = f" ({names[usable[first]]})" if names else ""
    return Notice(
        "stalled",
        f"None of the last {len(usable) - 1 - first} results is clearly better than "
        f"{aim.in_words(best.values[aim.name])}{found}. Perhaps this is the best there is: compare with what you "
        "hoped for, before you spend more.",
    )
