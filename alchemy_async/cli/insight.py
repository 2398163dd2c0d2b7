"""Insight in `status`: what a model makes of the results, as a document and in words.

In:    a ledger, the settings.
Out:   the recommended point, how well the model predicts, warnings; sentences about them.
Never: lets a model that can't be fitted hide the rest of the status.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alchemy_async.cli import amounts
from alchemy_async.errors import AlchemyError

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings
    from alchemy_async.ledger import Ledger
    from alchemy_async.planner.insight import Insight

LEAST = 5  # results; that of `planner.insight`, which is not loaded to learn it
NOTHING: dict[str, Any] = {"recommended": None, "model": None, "warnings": []}
_HARDLY = 0.05  # share of the variance: less is not worth a word
_MOST_NAMED = 4
_SURE_OF_ITSELF, _ENOUGH = 0.8, 10  # share of results within their 95 % ranges; results to judge that by


def take(ledger: Ledger, settings: CampaignSettings) -> dict[str, Any]:
    """Return what a model makes of the results.

    Returns:
        ``recommended`` (``experiment``, ``parameters``, ``expected``: of each objective ``mean``,
        ``sd`` and ``unit``; ``measured``, ``keeps_limits``; or None), ``model`` (``n_results``, ``n_used``, and
        ``objectives``, of each how well it is predicted and what matters; or None), ``warnings``
        (of each ``kind``, ``message``, ``parameter``). With fewer than five results: nothing.
    """
    if ledger.n_observations() < LEAST:
        return NOTHING
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # measured: more threads take five times as long at this size
    from alchemy_async.planner.insight import learn

    history = ledger.history()
    names = ledger.observed()[: len(history.observations)]  # a result may have come in since
    noise = settings.planner.options.get("noise", "inferred") if settings.planner.strategy == "bayesian" else "inferred"
    objectives = settings.as_objectives()
    try:
        found = learn(settings.as_space(), objectives, history, names=names, noise=noise)
    except AlchemyError as error:
        return NOTHING | {"warnings": [{"kind": "no_model", "message": f"No model: {error}", "parameter": ""}]}
    return _document(found, {objective.name: objective.unit for objective in objectives})


def _document(found: Insight, units: Mapping[str, str]) -> dict[str, Any]:
    best = None if found.recommended is None else dataclasses.asdict(found.recommended)
    if best is not None:
        best["expected"] = {name: one | {"unit": units[name]} for name, one in best["expected"].items()}
    return {
        "recommended": best,
        "model": {
            "n_results": found.n_observations,
            "n_used": found.n_used,
            "objectives": [dataclasses.asdict(quality) for quality in found.quality],
        }
        if found.quality
        else None,
        "warnings": [dataclasses.asdict(notice) for notice in found.notices],
    }


def recommended(picture: Mapping[str, Any]) -> str:
    """Return where the best is expected, beside the best that was measured; empty where nothing is recommended."""
    found = picture["recommended"]
    if found is None:
        return ""
    expected = ", ".join(
        f"{name} {amounts.with_doubt(one['mean'], one['sd'], one['unit'])}" for name, one in found["expected"].items()
    )
    broken = "" if found["keeps_limits"] else "; no point is expected to keep all limits"
    if picture["best"] and found["experiment"] == picture["best"]["experiment"]:
        return f"Recommended: the same point; the model expects {expected} there{broken}"
    where = f"{found['experiment']}, " if found["experiment"] else "not measured yet; "
    return f"Recommended: {where}{expected} expected{broken}, at {amounts.point(found['parameters'], {})}"


def sentences(picture: Mapping[str, Any]) -> Iterator[str]:
    """Yield how far the model is to be trusted, and what it has learnt."""
    model = picture["model"]
    if model is None:
        return
    several = len(model["objectives"]) > 1
    for quality in model["objectives"]:
        name = f" in {quality['objective']}" if several else ""
        part = f" ({model['n_used']} of {model['n_results']} were shown to it)"
        noise = f", noise makes about {amounts.share(quality['noise'])}" if quality["noise"] >= _HARDLY else ""
        yield (
            f"The model explains {_explained(quality['explained'])} of the differences{name} between "
            f"{quality['n']} results, each predicted without itself"
            f"{part if model['n_used'] < model['n_results'] else ''}{noise}. {_matters(quality['importance'])}"
        )
        if quality["inside"] < _SURE_OF_ITSELF and quality["n"] >= _ENOUGH:
            yield (
                "Its ranges are too narrow: those that should hold 95 % of the results hold "
                f"{amounts.share(quality['inside'])}."
            )


def _explained(part: float) -> str:
    return "nothing" if part < 0.01 else amounts.share(part)


def _matters(importance: Mapping[str, float]) -> str:
    names = sorted(importance, key=lambda name: -importance[name])
    some = [name for name in names if importance[name] >= _HARDLY]
    if not some:
        return "No parameter matters."
    then = f", then {amounts.listed(some[1:], _MOST_NAMED)}" if len(some) > 1 else ""
    rest = [name for name in names if name not in some]
    verb = "matters" if len(rest) == 1 else "matter"
    hardly = f"; {amounts.listed(rest, _MOST_NAMED)} hardly {verb}" if rest else ""
    return f"{some[0]} matters most{then}{hardly}."
