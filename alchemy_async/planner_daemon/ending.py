"""The ending: whether a campaign is over, and why.

In:    the ledger's tallies, the budget, the time that it has run.
Out:   a reason in words, or none; the summary that both people and programs read.
Never: ends a campaign while an experiment that could still count is on a bench.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alchemy_async.config import CampaignSettings
from alchemy_async.experiment import State, optimised
from alchemy_async.experiment.front import counts, front
from alchemy_async.ledger import Ledger


@dataclass(frozen=True)
class Summary:
    """What a campaign has come to.

    Args:
        campaign: Its id.
        reason: Why it has ended.
        counts: How many experiments are in each state.
        best: The best measurement by the first objective; None before the first.
        front: What several objectives have come to, in words; of these no best one is told.
        fidelity: How many measurements count, in words, where there is a fidelity.
        interrupted: Experiments of which nobody knows what became of them.
    """

    campaign: str
    reason: str
    counts: dict[str, int]
    best: dict[str, Any] | None = None
    front: str = ""
    fidelity: str = ""
    interrupted: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items() if n)
        lines = [f"Campaign {self.campaign}: {self.reason}.", f"Experiments: {counts or 'none'}."]
        if self.front:
            lines.append(self.front)
        elif self.best:
            parameters = ", ".join(f"{name} = {_show(value)}" for name, value in self.best["parameters"].items())
            unit = f" {self.best['unit']}" if self.best["unit"] else ""
            off = "" if self.best["off_target"] is None else f", {self.best['off_target']:.3g}{unit} off its target,"
            broken = "" if self.best["keeps_limits"] else " No experiment has kept all limits yet."
            lines.append(
                f"Best {self.best['objective']}: {self.best['value']:.6g}{unit}{off} ({self.best['experiment']}) "
                f"at {parameters}.{broken}"
            )
        if self.fidelity:
            lines.append(self.fidelity)
        if self.interrupted:
            lines.append(
                f"Interrupted: {', '.join(self.interrupted)}. Nobody knows what happened on the bench; look, then "
                "`alchemy-async requeue` or `alchemy-async abandon` each."
            )
        return "\n".join(lines)


def _show(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def summarise(ledger: Ledger, settings: CampaignSettings, reason: str) -> Summary:
    """Return what the ledger says now."""
    fidelity = settings.as_fidelity()
    best = ledger.best(*settings.as_objectives(), fidelity=fidelity)
    tally = ledger.tally()
    return Summary(
        campaign=ledger.campaign,
        reason=reason,
        counts={str(state): tally[state] for state in State},
        best=None if best is None else best.as_dict(),
        front=_front(ledger, settings),
        fidelity="" if fidelity is None else fidelity.in_words(*ledger.n_at(fidelity)),
        interrupted=tuple(found.id for found in ledger.experiments(State.INTERRUPTED)),
    )


def _front(ledger: Ledger, settings: CampaignSettings) -> str:
    """Return in words how large the Pareto front is; empty with one objective, or before the first measurement."""
    objectives = settings.as_objectives()
    names = [objective.name for objective in optimised(objectives)]
    if len(names) < 2:
        return ""
    measured = [outcome["measured"] for outcome in ledger.outcomes() if counts(outcome)]
    if not measured:
        return ""
    told = f"Pareto front of {', '.join(names[:-1])} and {names[-1]}: "
    n = len(front(objectives, measured).members)
    if n == 0:
        return f"{told}empty, as no measurement keeps all limits yet."
    return f"{told}{n} of {len(measured)} measurements; `alchemy-async status` shows {'it' if n == 1 else 'them'}."


def reason_to_end(ledger: Ledger, settings: CampaignSettings, *, elapsed_s: float, is_exhausted: bool) -> str:
    """Return why nothing more is to be offered, or an empty text.

    Args:
        ledger: The ledger.
        settings: The campaign.
        elapsed_s: How long the campaign has run, in seconds of the planner's own clock.
        is_exhausted: Whether the planner has no point left to suggest.
    """
    budget, tally = settings.budget, ledger.tally()
    if ledger.meta("wanted") == "draining":
        return "drained, as somebody asked"
    if budget.experiments is not None and tally[State.COMPLETED] >= budget.experiments:
        return f"budget met, {tally[State.COMPLETED]} of {budget.experiments} experiments completed"
    if budget.target is not None and (reached := _reached(ledger, settings, budget.target)):
        return reached
    if budget.hours is not None and elapsed_s >= budget.hours * 3600:
        return f"time is up after {budget.hours:g} h"
    if tally[State.QUEUED] or tally[State.RUNNING]:
        return ""
    most = budget.most_started()
    if most is not None and tally["starts"] >= most and not tally[State.INTERRUPTED]:
        return f"no start left, {tally['starts']} experiments were started (raise budget.max_started to go on)"
    if is_exhausted and not tally[State.INTERRUPTED]:
        return "the search space is exhausted: the planner has no point left that was not measured or refused"
    return ""


def _reached(ledger: Ledger, settings: CampaignSettings, target: float) -> str:
    """Return in words that the best measurement is good enough, or an empty text; at its target, where is a fidelity.

    Of an objective with a target of its own, ``target`` is how near is near enough, in the objective's unit.
    """
    best = ledger.best(*settings.as_objectives(), fidelity=settings.as_fidelity())
    if best is None or not best.keeps_limits:
        return ""
    objective = best.objective
    if objective.goal == "target":
        is_near = objective.score(best.value) >= -target
        return f"target of {objective.target:g} reached to within {target:g}" if is_near else ""
    return f"target of {target:g} reached" if objective.score(best.value) >= objective.score(target) else ""
