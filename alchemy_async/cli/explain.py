"""Explaining: why one experiment was chosen, and what became of it.

In:    the ledger of a campaign, the id of an experiment.
Out:   plain values that JSON can hold; `explain_words` says them in sentences.
Never: fits a model: what is told is what was known when the point was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alchemy_async.experiment import Experiment, Objective
from alchemy_async.experiment.front import counts
from alchemy_async.experiment.goals import optimised, standing

if TYPE_CHECKING:
    from alchemy_async.cli.site import Site
    from alchemy_async.space import Fidelity

_OFFERS = ("queued", "revised")


def take(site: Site, name: str) -> dict[str, Any]:
    """Return the explanation of one experiment.

    Returns:
        ``experiment``, ``status``, ``attempt``, ``worker``, ``origin``, ``reason``, ``parameters``,
        ``chosen`` (``at``, ``n_observations``, ``pending``, ``n_pending``, ``expected``: of each
        objective ``mean``, ``sd``, ``at_target`` (what was expected at the fidelity's target, or None)
        and the chances ``better`` and ``within_limits``; ``chance`` of
        success within all limits, ``best`` then, ``acquisition``, ``model_revision``, ``seed``,
        ``ask_s``; what was not noted is None),
        ``offers`` (``at``, ``parameters``, ``reason``; the first one first), ``events``,
        ``fidelity`` (``target`` in words, ``is_at_target``, ``cost`` and ``cost_at_target``; or None),
        ``measured`` (or None), ``best`` (of all so far at the fidelity's target, or None).

    Raises:
        LedgerError: If there is no ledger that can be read, or no such experiment.
    """
    objectives, fidelity = site.settings.as_objectives(), site.settings.as_fidelity()
    with site.open_ledger() as ledger:
        experiment, noted = ledger.experiment(name), ledger.metadata(name)
        events = ledger.events_of(experiment.id)
        results = [_result(row) for row in ledger.outcomes() if counts(row)]
        worker = next((held.worker for held in ledger.held() if held.key == experiment.key), "")
    offers = [_offer(event) for event in events if event["kind"] in _OFFERS]
    taken = _taken(experiment, offers)
    own = [result for result in results if result["experiment"] == experiment.id]
    return {
        "experiment": experiment.id,
        "status": str(experiment.state),
        "attempt": experiment.attempt,
        "worker": worker or (own[0]["worker"] if own else ""),
        "origin": experiment.origin,
        "reason": offers[taken]["reason"],
        "parameters": dict(experiment.parameters),
        "chosen": _chosen(noted if taken == len(offers) - 1 else {}, offers[taken], results, objectives, fidelity),
        "fidelity": _fidelity(experiment, fidelity),
        "offers": offers[: taken + 1],
        "events": [event for event in events if event["kind"] not in _OFFERS],
        "measured": own[0] if own else None,
        "best": _best(results, objectives, fidelity),
    }


def _offer(event: Mapping[str, Any]) -> dict[str, Any]:
    details = event["details"]
    return {"at": event["at"], "parameters": details["parameters"], "reason": details.get("reason", "")}


def _taken(experiment: Experiment, offers: Sequence[Mapping[str, Any]]) -> int:
    """Return which offer the parameters are of: a worker that read an older list took that one's."""
    same = [i for i, offer in enumerate(offers) if offer["parameters"] == experiment.parameters]
    return same[-1] if same else len(offers) - 1


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("experiment", "worker", "parameters", "sems", "recorded_at")
    return {"values": row["measured"], **{key: row[key] for key in keys}}


def _fidelity(experiment: Experiment, fidelity: Fidelity | None) -> dict[str, Any] | None:
    """Return how true an experiment is, and what it costs."""
    if fidelity is None:
        return None
    return {
        "target": str(fidelity),
        "is_at_target": fidelity.counts(experiment.parameters),
        "cost": fidelity.cost(experiment.parameters[fidelity.name]),
        "cost_at_target": fidelity.cost(fidelity.target),
    }


def _best(
    results: Sequence[Mapping[str, Any]], objectives: tuple[Objective, ...], fidelity: Fidelity | None
) -> dict[str, Any] | None:
    """Return the best result, its limits kept; None where there is none, or several objectives make many best."""
    aims = optimised(objectives)
    usable = [
        result
        for result in results
        if aims[0].name in result["values"] and (fidelity is None or fidelity.counts(result["parameters"]))
    ]
    if len(aims) != 1 or not usable:
        return None
    best = max(usable, key=lambda result: standing(objectives, result["values"]))
    is_valid = standing(objectives, best["values"])[0] == 0.0
    return {"experiment": best["experiment"], "value": best["values"][aims[0].name], "keeps_limits": is_valid}


def _chosen(
    noted: Mapping[str, Any],
    offer: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    objectives: tuple[Objective, ...],
    fidelity: Fidelity | None,
) -> dict[str, Any]:
    at = _noted(noted, "asked_at", str) or offer["at"]
    known = [result for result in results if result["recorded_at"] <= at]
    best = _best(known, objectives, fidelity)
    found, aimed = _predictions(noted.get("expected")), _predictions(noted.get("at_target"))
    n_observations = _noted(noted, "n_observations", int)
    return {
        "at": at,
        "n_observations": len(known) if n_observations is None else n_observations,
        "pending": _noted(noted, "pending", list),
        "n_pending": _noted(noted, "n_pending", int),
        "expected": {
            o.name: _expectation(o, found[o.name], aimed.get(o.name), best) for o in objectives if o.name in found
        },
        "chance": _noted(noted, "chance", float),
        "best": best,
        "acquisition": noted.get("acquisition"),
        "model_revision": noted.get("model_revision"),
        "seed": noted.get("seed"),
        "ask_s": noted.get("ask_s"),
    }


def _noted(noted: Mapping[str, Any], key: str, kind: type) -> Any:  # noqa: ANN401 - of that kind, or None
    """Return what was noted under a key; None where a planner of one's own means something else by it."""
    return noted[key] if isinstance(noted.get(key), kind) else None


def _predictions(noted: object) -> dict[str, Mapping[str, float]]:
    """Return what a planner noted of its predictions, as far as it is of the shipped planners' form."""
    if not isinstance(noted, Mapping):
        return {}
    return {
        name: one
        for name, one in noted.items()
        if isinstance(one, Mapping) and all(isinstance(one.get(key), (int, float)) for key in ("mean", "sd"))
    }


def _expectation(
    objective: Objective,
    found: Mapping[str, float],
    aimed: Mapping[str, float] | None,
    best: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return mean, sd and the chances of a better value than the best, and of one within the limits.

    Where something else was expected at the fidelity's target, the chances are those there.
    """
    there = found if aimed is None else aimed
    mean, sd = float(there["mean"]), float(there["sd"])
    better: float | None = None
    if best is not None and best["keeps_limits"] and objective.is_optimised:
        reach = abs(objective.score(best["value"]))
        low, high = {
            "minimize": (-math.inf, best["value"]),
            "maximize": (best["value"], math.inf),
        }.get(objective.goal, ((objective.target or 0.0) - reach, (objective.target or 0.0) + reach))
        better = _chance(mean, sd, low, high)
    low = -math.inf if objective.at_least is None else objective.at_least
    high = math.inf if objective.at_most is None else objective.at_most
    kept = _chance(mean, sd, low, high) if objective.is_limited else None
    own = {key: float(found[key]) for key in ("mean", "sd")}
    at_target = None if aimed is None else {"mean": mean, "sd": sd}
    return {**own, "at_target": at_target, "better": better, "within_limits": kept}


def _chance(mean: float, sd: float, low: float, high: float) -> float:
    """Return the chance that a normal value lies between two others."""
    if sd <= 0.0:
        return float(low < mean < high)

    def below(bound: float) -> float:
        return 0.5 * math.erfc(-(bound - mean) / sd / math.sqrt(2.0))

    return below(high) - below(low)
