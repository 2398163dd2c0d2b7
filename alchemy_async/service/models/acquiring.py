"""Acquiring: which points to measure next, given all that is staged, running or was just suggested.

In:    a session, and what a client wishes.
Out:   suggestions; the ledger's note of the ask, and of what was handed out.
Never: gives two clients the same point, or holds the desk while a process thinks.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alchemy_async.clock import to_wire
from alchemy_async.experiment import History, Objective, State
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.opening import derived_seed
from alchemy_async.service.context import Service
from alchemy_async.service.models import minds
from alchemy_async.service.models.basis import Basis, basis_of, present, trained, with_goal
from alchemy_async.service.problems import InvalidError
from alchemy_async.service.sessions.sessions import Session
from alchemy_async.service.staged import handouts
from alchemy_async.service.staged.desk import Turn
from alchemy_async.service.staged.handouts import Handout
from alchemy_async.space import Point, Value

MOST = 64  # points of one request
MOST_PENDING = 512  # staged points that are told of; what lies deeper in a backlog is not about to run
LAST = "last_suggestion"  # in the ledger's `meta`

STRATEGIES: dict[str, tuple[str, ...]] = {
    "improvement": ("EI", "LogEI", "qEI", "qLogEI", "NEI", "LogNEI", "qNEI", "qLogNEI"),
    "hypervolume": ("EHVI", "LogEHVI", "qEHVI", "qLogEHVI", "qNEHVI", "qLogNEHVI"),
    "probability": ("PI", "LogPI", "qPI", "qLogPI"),
    "bound": ("UCB", "qUCB"),
    "variance": ("IPV", "NIPV", "qIPV", "qNIPV"),
    "sobol": ("Sobol",),
    "random": ("Random",),
}
"""What each strategy of ours is called by clients, in any case; the first name is the one that answers."""

_OURS = {name.lower(): ours for ours, names in STRATEGIES.items() for name in names}
_FILLING = ("sobol", "random")
_locks: weakref.WeakKeyDictionary[Session, threading.Lock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


@dataclass(frozen=True)
class Wish:
    """What a client wants to have suggested.

    Args:
        strategy: One of the names in `STRATEGIES`.
        goal: ``maximize``, ``minimize``, or None: the objective's own.
        n: How many points.
        xi: By how much a value must be better to count, in the objective's unit.
        kappa: Of the bound: how many standard deviations.
        hold: Variables that are to keep a value.
        observed: Readings of variables that nobody chooses.
    """

    strategy: str = "EI"
    goal: str | None = None
    n: int = 1
    xi: float | None = None
    kappa: float | None = None
    hold: Mapping[str, Value] = field(default_factory=dict)
    observed: Mapping[str, Value] = field(default_factory=dict)

    @property
    def ours(self) -> str:
        """What the strategy is called here.

        Raises:
            InvalidError: If there is none of that name.
        """
        found = _OURS.get(self.strategy.strip().lower())
        if found is None:
            known = ", ".join(name for names in STRATEGIES.values() for name in names)
            raise InvalidError.at("strategy", what=f"is none of those that there are: {known}")
        return found

    def noted(self) -> dict[str, Any]:
        """Return it as the ledger notes it."""
        said = {"xi": self.xi, "kappa": self.kappa, "hold": dict(self.hold), "observed": dict(self.observed)}
        return {key: value for key, value in said.items() if value not in (None, {})}


@dataclass(frozen=True)
class Suggested:
    """What was suggested.

    Args:
        points: The points, the best first.
        reasons: Of each, why.
        unknown: Of each, the share of the values' variance that is left there; None without a model.
        iteration: The round that they may belong to.
        strategy: What made them.
        n_pending: How many points were known to be on their way.
        seconds: How long it took.
    """

    points: tuple[dict[str, Value], ...]
    reasons: tuple[str, ...]
    unknown: tuple[float | None, ...]
    iteration: int
    strategy: str
    n_pending: int
    seconds: float


@dataclass(frozen=True)
class _Known:
    """What the ledger told before the ask."""

    history: History
    pending: list[Point]
    handed_out: list[Handout]
    number: int
    seed: int
    kernel: str | None
    at: datetime


def suggest(service: Service, session: Session, wish: Wish) -> Suggested:
    """Suggest points, and keep in the ledger that they were handed out.

    Raises:
        NoVariablesError: If there is no variable yet.
        InvalidError: If the wish does not fit.
        PlannerError: If no point meets all constraints, or the strategy can't serve.
        UnavailableError: If no process answers.
    """
    with _one_at_a_time(session):
        begun, known = time.monotonic(), _know(service, session)
        basis, filling = _basis(session, wish, known)
        found = minds.ask(
            service, session, "suggesting:suggest", basis, filling, known.pending,
            [one.point for one in known.handed_out], wish.n, derived_seed(known.seed, "ask"), history=known.history,
        )  # fmt: skip
        seconds = time.monotonic() - begun
        with session.desk.turn() as turn:
            iteration = _keep(turn, wish, basis, known, found, seconds)
    return Suggested(
        tuple(one["parameters"] for one in found),
        tuple(one["reason"] for one in found),
        tuple(one["unknown"] for one in found),
        iteration,
        wish.ours,
        len(known.pending) + len(known.handed_out),
        seconds,
    )


def _one_at_a_time(session: Session) -> threading.Lock:
    """Return the lock under which a session is asked: the next question must know what the last one handed out."""
    with _locks_lock:
        return _locks.setdefault(session, threading.Lock())


def _know(service: Service, session: Session) -> _Known:
    space = session.desk.study.space
    seed = _seed(session)
    with session.desk.look() as ledger:
        history, now = ledger.history(), service.clock.now()
        return _Known(
            history,
            _pending(ledger),
            handouts.outstanding(ledger, space, history, now),
            ledger.last_number(),
            seed,
            trained(ledger).get("wanted_kernel"),
            now,
        )


def _pending(ledger: Ledger) -> list[Point]:
    """Return every point that is chosen and not yet observed; of a backlog its head."""
    held = [found.parameters for found in ledger.experiments(State.RUNNING, State.INTERRUPTED)]
    offered = ledger.offered_points(MOST_PENDING)
    return [*held, *(point for points in offered.values() for point in points)]


def _seed(session: Session) -> int:
    """Return the campaign's seed; one that is not in campaign.toml is drawn once and kept."""
    seed = session.desk.study.checked.planner.seed
    if seed is not None:
        return seed
    with session.desk.look() as ledger:
        kept = ledger.meta("seed")
    if kept is None:
        with session.desk.turn() as turn:
            kept = turn.ledger.meta("seed") or str(secrets.randbelow(2**31))
            turn.change.set_meta(seed=kept)
    return int(kept)


def _basis(session: Session, wish: Wish, known: _Known) -> tuple[Basis, str]:
    """Return what the model is made of, and the way to fill the space where that is wanted instead."""
    ours = wish.ours
    options: dict[str, object] = {}
    if ours not in _FILLING:
        options["strategy"] = "improvement" if ours == "hypervolume" else ours
        options["margin"] = wish.xi or 0.0 if ours in ("improvement", "probability") else 0.0
    if wish.kappa is not None:
        options["kappa"] = wish.kappa
    made = basis_of(session.desk.study, known.kernel, **options)
    objectives = with_goal(made.objectives, wish.goal)
    _check_aims(objectives, ours)
    space = present(made.space, known.history, wish.hold, wish.observed)
    return Basis(space, objectives, made.options), ours if ours in _FILLING else ""


def _check_aims(objectives: tuple[Objective, ...], ours: str) -> None:
    n_aims = sum(one.is_optimised for one in objectives)
    if ours == "hypervolume" and n_aims < 2:
        raise InvalidError.at("strategy", what="is for several objectives, and this session has one. Choose qEI")
    if n_aims > 1 and ours not in (*_FILLING, "improvement", "hypervolume"):
        raise InvalidError.at("strategy", what="is for one objective, and this session has several. Choose qNEHVI")


def _keep(turn: Turn, wish: Wish, basis: Basis, known: _Known, found: list[dict[str, Any]], seconds: float) -> int:
    """Keep an ask and what it handed out; return the round that comes next."""
    asked = {"strategy": wish.strategy, "asked_at": to_wire(known.at), "ask_s": round(seconds, 4), **wish.noted()}
    goals = {one.name: one.goal for one in basis.objectives if one.is_optimised}
    fresh = [
        Handout(
            one["parameters"], known.at, known.number, len(known.history.observations),
            {**one["metadata"], **asked, "goal": goals, "origin": one["origin"], "reason": one["reason"]},
        )
        for one in found
    ]  # fmt: skip
    handouts.hand_out(turn.change, known.handed_out, fresh)
    n_known, n_pending = len(known.history.observations), len(known.pending) + len(known.handed_out)
    if any(one["origin"] == "planner" for one in found):  # what fills the space tells nothing of how long a model takes
        turn.change.record_ask(n=len(found), n_observations=n_known, n_pending=n_pending, seconds=seconds)
    if found:
        last = {
            "parameters": found[0]["parameters"],
            "value": found[0]["metadata"].get("acquisition"),
            "goal": next(iter(goals.values()), None),
        }
        turn.change.set_meta(**{LAST: json.dumps(last, allow_nan=False)})
    points = [one["parameters"] for one in found]
    turn.change.note(
        "suggested", goal=goals, suggestions=points, n_observations=len(known.history.observations), **asked
    )
    return turn.change.next_iteration()
