"""Fitting: whether what a ledger holds still means the same under another study.

In:    a ledger, what it was begun with, and a study.
Out:   nothing, or the reason why not, with an example.
Never: changes either of them.

One rule for every way in: a client's request, a file that a person edited, and the
start after a crash between the two. Variables keep their names and types and
objectives stay; bounds, options and values may be changed as long as every
experiment lies within them, and constraints as long as whatever is still to be run
meets them. What was measured may break a constraint: it was possible after all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from alchemy_async.config import ParameterSettings
from alchemy_async.experiment import PENDING, Experiment, State
from alchemy_async.ledger import Ledger
from alchemy_async.ledger.copying import values_of
from alchemy_async.service.definition.study import Study
from alchemy_async.service.problems import ConflictError
from alchemy_async.space import Chosen, Point

_PARAMETER: TypeAdapter[ParameterSettings] = TypeAdapter(ParameterSettings)
_NEW = "Or begin a session of its own for the changed study."


def is_begun(ledger: Ledger) -> bool:
    """Tell whether anything was staged, run or measured, what was only staged and withdrawn left aside."""
    tally = ledger.tally()
    return tally["starts"] > 0 or any(tally[state] for state in State if state is not State.CANCELLED)


def studied(ledger: Ledger) -> dict[str, Any]:
    """Return the study that a ledger was begun with, or that it was brought to last."""
    found: dict[str, Any] = json.loads(ledger.meta("study") or "{}")
    return found


def check_fits(ledger: Ledger, study: Study) -> None:
    """Check that a ledger can go on with a study.

    Raises:
        ConflictError: If not; it says what is in the way.
    """
    before, now = studied(ledger), json.loads(json.dumps(study.as_study()))
    if before == now or not is_begun(ledger):
        return
    _check_names(before, now)
    if before["objectives"] != now["objectives"]:
        raise ConflictError(f"The session has experiments, so its objectives stay what they are. {_NEW}")
    narrowed = _narrowed(before, study)
    stricter = [one for one in now["constraints"] if one not in before["constraints"]]
    if narrowed:
        _check_within(ledger, narrowed)
    if stricter:
        _check_met(ledger, study)


def _check_names(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    was = {one["name"]: one["type"] for one in before.get("parameters", ())}
    will = {one["name"]: one["type"] for one in now.get("parameters", ())}
    for name in (*was, *will):
        if name not in will:
            what = f"Variable {name!r} can't be taken out: the session has experiments with a value for it."
        elif name not in was:
            what = f"Variable {name!r} can't be added: the session has experiments, which have no value for it."
        elif was[name] != will[name]:
            what = (
                f"Variable {name!r} can't become {will[name]}: the session has experiments in which it is {was[name]}."
            )
        else:
            continue
        raise ConflictError(f"{what} Withdraw them as long as nothing was run. {_NEW}")


def _narrowed(before: Mapping[str, Any], study: Study) -> dict[str, tuple[Chosen, Chosen]]:
    """Return the variables that may have fewer values than before, each as it was and as it is to be."""
    after = {parameter.name: parameter for parameter in study.checked.parameters}
    found = {}
    for table in before["parameters"]:
        was, will = _PARAMETER.validate_python(table), after[table["name"]]
        if not _covers(will.study(), table):
            found[table["name"]] = (was.as_chosen(), will.as_chosen())
    return found


def _covers(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    if "bounds" in wide:
        return bool(wide["bounds"][0] <= narrow["bounds"][0] and narrow["bounds"][1] <= wide["bounds"][1])
    key = "options" if "options" in wide else "values"
    return set(wide[key]) >= set(narrow[key])


def _check_within(ledger: Ledger, narrowed: Mapping[str, tuple[Chosen, Chosen]]) -> None:
    """Check every point that was chosen or run; what lay outside before, as an instrument ran it, may stay there."""
    for name, (was, will) in narrowed.items():
        outside = {
            experiment: value
            for experiment, value in values_of(ledger, name)
            if will.fit(value) is None and was.fit(value) is not None
        }
        if outside:
            experiment, value = next(iter(outside.items()))
            raise ConflictError(
                f"Variable {name!r} can't be narrowed to {will.allowed()}: {len(outside)} of the session's experiments "
                f"would lie outside, such as {experiment} with {value!r}. Leave room for them. {_NEW}"
            )


def _check_met(ledger: Ledger, study: Study) -> None:
    broken = [one for one in ledger.experiments(*PENDING) if not _is_met(study, one)]
    if broken:
        raise ConflictError(
            f"{len(broken)} of the experiments that are still to be run would not meet the constraint, such as "
            f"{broken[0].id}, which is {broken[0].state}. Withdraw or end them first."
        )


def _is_met(study: Study, experiment: Experiment) -> bool:
    point: Point = experiment.parameters
    return study.space.is_feasible(point)
