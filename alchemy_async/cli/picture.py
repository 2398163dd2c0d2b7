"""The picture that `status` gives: one document that people and programs read alike.

In:    a campaign's ledger and the heartbeats in its folder.
Out:   plain values that JSON can hold; counts, budget and experiments come from the ledger alone.
Never: needs a running daemon, or makes a ledger where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alchemy_async.cli import front, insight
from alchemy_async.cli.beats import Beat, read_beats
from alchemy_async.experiment import Attempt, Experiment, State, WorkerState

if TYPE_CHECKING:
    from alchemy_async.cli.site import Site
    from alchemy_async.ledger import Ledger

NEW = "new"
N_EVENTS = 8
N_QUEUED = 64  # queued experiments of each kind; `export` lists them all


def take(site: Site, *, with_model: bool = True) -> dict[str, Any]:
    """Return the picture.

    Args:
        site: The campaign.
        with_model: Also what a model makes of the results: see `insight.take`.

    Returns:
        ``campaign`` (its id; its name while it is new), ``state`` (new, running,
        paused, draining, stopped: as the planner published it), ``wanted`` (as
        people asked for), ``ended`` (why, or None), ``planner`` (the process, or
        None), ``counts`` (by state, and ``starts``), ``budget``, ``best`` (by
        the first objective to be optimised, or None; at the fidelity's target, where there is one),
        ``fidelity`` (``parameter``, ``target``, ``unit``, ``n_at_target`` of ``n_results``, ``message``; or None),
        ``recommended``, ``model``, ``warnings``,
        ``workers``, ``pending``, ``events`` (the last, oldest first).

    Raises:
        LedgerError: If there is a ledger that can't be read.
    """
    holder = site.planner()
    picture: dict[str, Any] = {
        "campaign": site.settings.campaign.name,
        "state": NEW,
        "wanted": "running",
        "ended": None,
        "planner": None if holder is None else str(holder),
        "counts": {str(state): 0 for state in State} | {"starts": 0},
        "budget": _budget(site),
        "best": None,
        "fidelity": None,
        "front": None,
        **insight.NOTHING,
        "workers": _workers(site),
        "pending": [],
        "events": [],
    }
    if site.has_ledger():
        with site.open_ledger() as ledger:
            picture |= _from_ledger(ledger, site)
            if with_model:
                picture |= insight.take(ledger, site.settings)
    return picture


def _budget(site: Site) -> dict[str, Any]:
    budget = site.settings.budget
    return {
        "experiments": budget.experiments,
        "max_started": budget.most_started(),
        "hours": budget.hours,
        "target": budget.target,
    }


def _from_ledger(ledger: Ledger, site: Site) -> dict[str, Any]:
    found: dict[str, Any] = {
        "campaign": ledger.campaign,
        "state": ledger.meta("state") or NEW,
        "wanted": ledger.meta("wanted") or "running",
        "ended": ledger.meta("ended"),
        "counts": ledger.tally(),
        "best": _best(ledger, site),
        "fidelity": _fidelity(ledger, site),
        "front": front.take(site.settings, ledger.outcomes()) if front.is_wanted(site.settings) else None,
        "pending": _pending(ledger),
        "events": ledger.last_events(N_EVENTS),
    }
    if ledger.meta("state") is not None:  # the planner's own limits: campaign.toml may have changed since it started
        limits = {key: ledger.meta(meta) for key, meta in (("experiments", "budget"), ("max_started", "max_started"))}
        found["budget"] = _budget(site) | {key: limit and int(limit) for key, limit in limits.items()}
    return found


def _best(ledger: Ledger, site: Site) -> dict[str, Any] | None:
    best = ledger.best(*site.settings.as_objectives(), fidelity=site.settings.as_fidelity())
    return None if best is None else best.as_dict()


def _fidelity(ledger: Ledger, site: Site) -> dict[str, Any] | None:
    """Return how many results are at the fidelity at which the answer is wanted."""
    fidelity = site.settings.as_fidelity()
    if fidelity is None:
        return None
    n_at, n = ledger.n_at(fidelity)
    shown = {"parameter": fidelity.name, "target": fidelity.target, "unit": fidelity.unit}
    return shown | {"n_at_target": n_at, "n_results": n, "message": fidelity.in_words(n_at, n)}


def _pending(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what runs, what is interrupted, and the best of what is queued, best first."""
    attempts = {attempt.key: attempt for attempt in ledger.held()}
    held = ledger.experiments(State.RUNNING) + ledger.experiments(State.INTERRUPTED)
    rows = [_row(experiment, attempts.get(experiment.key)) for experiment in held]
    return rows + [_row(experiment, None) for experiment in ledger.window(N_QUEUED)]


def _row(experiment: Experiment, attempt: Attempt | None) -> dict[str, Any]:
    return {
        "experiment": experiment.id,
        "attempt": experiment.attempt,
        "status": str(experiment.state),
        "worker": attempt.worker if attempt else "",
        "parameters": dict(attempt.parameters if attempt else experiment.parameters),
        "priority": experiment.priority,
        "origin": experiment.origin,
        "reason": experiment.reason,
        "requires": list(experiment.requires),
        "is_cancelling": experiment.is_cancelling,
    }


def _workers(site: Site) -> list[dict[str, Any]]:
    """Return every worker that beats or is in the settings; state ``absent`` where it never beat."""
    beats = {beat.heartbeat.worker: beat for beat in read_beats(site)}
    planned = [name for group in site.settings.workers for name in group.worker_names()]
    names = planned + [name for name in beats if name not in planned]
    return [_worker(name, beats.get(name)) for name in names]


def _worker(name: str, beat: Beat | None) -> dict[str, Any]:
    if beat is None:
        return {"worker": name, "state": "absent", "holds": "", "age_s": None, "is_silent": False, "host": "", "pid": 0}
    heartbeat = beat.heartbeat
    is_gone = heartbeat.state is WorkerState.GONE
    return {
        "worker": name,
        "state": str(heartbeat.state),
        "holds": "" if heartbeat.holds is None or is_gone else str(heartbeat.holds),
        "age_s": round(beat.age_s, 1),
        "is_silent": beat.is_silent,
        "host": heartbeat.host,
        "pid": heartbeat.pid,
    }
