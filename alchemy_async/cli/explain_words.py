"""An explanation in words: why this experiment, and what became of it.

In:    the document that `explain` takes.
Out:   a page of sentences, no line longer than 80 characters but those that quote.
Never: says what is not in the document.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from alchemy_async.cli import amounts
from alchemy_async.experiment import Objective, optimised

WIDTH = 80
_MOST_OFFERS = 6
_SURPRISING = 2.0  # standard deviations
_LIKELY, _UNLIKELY = 0.5, 0.01  # chances of a better value

_ORIGINS = {
    "initial": ("It belongs to the initial design, which is measured before a model can choose", "initial design: "),
    "fill": ("It fills the space: no model had a point ready when a worker was free", "space-filling: "),
    "person": ("A person staged it", ""),
    "design": ("A person staged it, as one point of a design", ""),
}

_IMPROVEMENT, _BOUND = "most improvement expected", "the best that may well be"
_AIMS = {  # how a reason of the planner `bayesian` begins, and how that is told
    _IMPROVEMENT: "as the point where most improvement was to be expected",
    "an improvement is likeliest": "as the point where an improvement was likeliest",
    _BOUND: "as the point whose value may well be the best",
    "most of the unknown to be learnt": "as the point that tells most of what is not known yet",
}
_DARES = (_IMPROVEMENT, _BOUND)  # weigh what could be won against how likely it is

_KINDS = {
    "claimed": "taken by {worker}",
    "moved": "given the priority {priority:g} by a person",
    "completed": "{worker} measured {values}",
    "replicate": "{worker} measured it once more: {values}",
    "failed": "failed on {worker}: {error}",
    "infeasible": "{worker} refused it: {error}",
    "conflict": "a second, different result of the same attempt came from {worker}; it is kept and not used",
    "superseded": "a late report of {worker} about an older attempt; it changed nothing",
    "interrupted": "interrupted on {worker}: {why}",
    "revived": "{worker} was heard of again and goes on",
    "requeued": "offered again: {why}",
    "released": "{worker} gave it back, nothing was done",
    "abandoned": "given up: {why}",
    "cancel_requested": "a person asked to cancel it",
    "cancelled": "cancelled: {why}",
    "withdrawn": "withdrawn: {why}",
}


class _Known(dict[str, Any]):
    """What an event tells; a gap in a sentence is better than none."""

    def __missing__(self, key: str) -> str:
        return "?"


def in_words(told: Mapping[str, Any], objectives: tuple[Objective, ...], units: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        told: The document that `explain.take` returns.
        objectives: For goals and units.
        units: Unit of each parameter.
    """
    parts = [_head(told, units), _fill(" ".join(_why(told, objectives)))]
    if len(told["offers"]) > 1:
        parts.append("\n".join(_history(told["offers"], units)))
    parts.append("\n".join(_since(told, objectives)))
    return "\n\n".join(part for part in parts if part)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _head(told: Mapping[str, Any], units: Mapping[str, str]) -> str:
    by = {"running": " on ", "interrupted": " on ", "completed": " by "}.get(told["status"], "")
    state = told["status"] + (f"{by}{told['worker']}" if by and told["worker"] else "")
    attempt = f", attempt {told['attempt']}" if told["attempt"] > 1 else ""
    return f"{told['experiment']}  {state}{attempt}\n{_fill(amounts.point(told['parameters'], units), '  ')}"


# -- why -----------------------------------------------------------------------


def _why(told: Mapping[str, Any], objectives: tuple[Objective, ...]) -> Iterator[str]:
    chosen = told["chosen"]
    if told["origin"] in _ORIGINS:
        sentence, begins = _ORIGINS[told["origin"]]
        reason = told["reason"].removeprefix(begins)
        yield f"{sentence}{f' ({reason})' if reason else ''}. It was queued on {amounts.moment(chosen['at'])} UTC."
        return
    expected = [objective for objective in objectives if objective.name in chosen["expected"]]
    why = told["reason"].partition(":")[0]
    sought = _sought(why, objectives) if expected else ""
    yield f"The planner chose it on {amounts.moment(chosen['at'])} UTC{sought}."
    yield _what_was_known(chosen)
    if not sought:
        yield f"Its reason: {told['reason'] or 'none was given'}."
    if not expected:
        return
    best = chosen["best"]
    if best is not None:
        (aim,) = (objective for objective in objectives if objective.is_optimised)
        but = "" if best["keeps_limits"] else ", which breaks a limit"
        yield f"The best {aim.name} then was {aim.in_words(best['value'])} ({best['experiment']}){but}."
    fidelity = told["fidelity"] if told["fidelity"] and not told["fidelity"]["is_at_target"] else None
    for objective in expected:
        yield from _expectation(objective, chosen["expected"][objective.name], fidelity, dares=why in _DARES)
    if fidelity is not None:
        costs = f"{fidelity['cost']:g} instead of {fidelity['cost_at_target']:g}"
        yield f"It is not run there: the model learns enough of that value from this run, which costs {costs}."
    if chosen["chance"] is not None:
        limits = " and to keep all limits" if any(objective.is_limited for objective in objectives) else ""
        yield f"A chance of {amounts.share(chosen['chance'])} was seen to succeed{limits}."


def _sought(why: str, objectives: tuple[Objective, ...]) -> str:
    """Return what the planner looked for, by how its reason begins; empty where that is told in words of its own."""
    if why == _IMPROVEMENT and len(optimised(objectives)) > 1:
        return ", as the point by which the front was expected to gain most"
    return f", {_AIMS[why]}" if why in _AIMS else ""


def _what_was_known(chosen: Mapping[str, Any]) -> str:
    n = chosen["n_observations"]
    known = f"{n} {'result was' if n == 1 else 'results were'} known"
    if chosen["pending"]:
        n, names = len(chosen["pending"]), amounts.listed(chosen["pending"])
        return f"Then {known}, and {n} {'experiment was' if n == 1 else 'experiments were'} still to come ({names})."
    if chosen["n_pending"]:
        n = chosen["n_pending"]
        return f"Then {known}, and {n} {'point was' if n == 1 else 'points were'} still to come."
    return f"Then {known}."


def _expectation(
    objective: Objective, found: Mapping[str, Any], fidelity: Mapping[str, Any] | None, *, dares: bool
) -> Iterator[str]:
    there = found if fidelity is None or found["at_target"] is None else found["at_target"]
    where = "Here" if there is found or fidelity is None else f"With {fidelity['target']}"
    amount = amounts.with_doubt(there["mean"], there["sd"], objective.unit)
    better = ""
    if found["better"] is not None:
        better = f", with a chance of {amounts.share(found['better'])} of a better one"
        if dares and found["better"] >= _LIKELY:
            better += ": it goes for what looks best"
        elif dares and found["better"] >= _UNLIKELY:
            better += ": it goes where little is known and much could be won"
    yield f"{where} the model expected {objective.name} to be {amount}{better}."
    if found["within_limits"] is not None:
        limits = " and ".join(
            f"{word} {amounts.measured(limit, objective.unit)}"
            for word, limit in (("at least", objective.at_least), ("at most", objective.at_most))
            if limit is not None
        )
        yield f"It must be {limits}: a chance of {amounts.share(found['within_limits'])}."


# -- how it came to be ---------------------------------------------------------


def _history(offers: list[Mapping[str, Any]], units: Mapping[str, str]) -> Iterator[str]:
    times = len(offers) - 1
    yield f"Before it was taken its parameters were revised {'once' if times == 1 else f'{times} times'}:"
    shown = offers if len(offers) <= _MOST_OFFERS else [offers[0], *offers[-_MOST_OFFERS + 1 :]]
    for i, offer in enumerate(shown):
        if i == 1 and len(shown) < len(offers):
            yield f"  ... {len(offers) - len(shown)} more"
        at = amounts.clock_time(offer["at"], offers[0]["at"]) if i else amounts.moment(offer["at"])
        yield textwrap.fill(
            f"{at}  {amounts.point(offer['parameters'], units)}", WIDTH, initial_indent="  ", subsequent_indent="    "
        )


# -- what became of it ---------------------------------------------------------


def _since(told: Mapping[str, Any], objectives: tuple[Objective, ...]) -> Iterator[str]:
    if not told["events"]:
        yield "Since then: nothing. It waits for a worker." if told["status"] == "queued" else "Since then: nothing."
        return
    yield "Since then:"
    first = told["offers"][0]["at"]
    units = {objective.name: objective.unit for objective in objectives}
    for event in told["events"]:
        line = f"{amounts.clock_time(event['at'], first)}  {_event(event, units)}"
        yield textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="            ")
    if told["measured"] is not None:
        yield _fill(" ".join(_verdict(told, objectives)))


def _event(event: Mapping[str, Any], units: Mapping[str, str]) -> str:
    details = dict(event["details"])
    details["values"] = amounts.point(details.get("values", {}), units)
    details["worker"] = details.get("worker") or "somebody"
    if event["kind"] == "cancelled" and "why" not in details:
        return f"cancelled on {details['worker']}"
    sentence = _KINDS.get(event["kind"], event["kind"].replace("_", " "))
    return str(sentence.format_map(_Known(details)))


def _verdict(told: Mapping[str, Any], objectives: tuple[Objective, ...]) -> Iterator[str]:
    for objective in objectives:
        found, value = told["chosen"]["expected"].get(objective.name), told["measured"]["values"].get(objective.name)
        if found and value is not None:
            yield _surprise(objective, found, value)
    best = told["best"]
    if best is not None and best["experiment"] == told["experiment"]:
        yield "It is the best result so far."
    elif best is not None:
        (aim,) = (objective for objective in objectives if objective.is_optimised)
        yield f"The best so far is {aim.in_words(best['value'])} ({best['experiment']})."


def _surprise(objective: Objective, found: Mapping[str, Any], value: float) -> str:
    off = abs(value - found["mean"])
    name = objective.name.capitalize() if objective.name.islower() else objective.name
    if off <= found["sd"]:
        return f"{name} is about what was expected."
    if off <= _SURPRISING * found["sd"]:
        return f"{name} is within what was thought possible."
    if not objective.is_optimised:
        return f"{name} is a surprise: the model knew less of this place than it thought."
    is_better = objective.score(value) > objective.score(found["mean"])
    return f"{name} is a surprise, {'better' if is_better else 'worse'} than expected: the model has learnt from it."
