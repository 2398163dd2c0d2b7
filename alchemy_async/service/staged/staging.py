"""Staging: which experiments wait to be run, and with which inputs.

In:    points that a client wants measured; ids of what waits.
Out:   queued experiments that the planner never revises: all of a request, or none.
Never: touches one that somebody has, or lets a point in that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alchemy_async.errors import IllegalTransitionError, PointError, UnknownExperimentError
from alchemy_async.experiment import Experiment, State
from alchemy_async.ledger import Addition, Ledger
from alchemy_async.service.problems import ConflictError, Flaw, InvalidError, UnknownError
from alchemy_async.service.staged import handouts
from alchemy_async.service.staged.desk import Turn
from alchemy_async.space import Point, Space

BY_HAND = "person"  # the origin of what clients stage
REST = "rest"  # the worker that is noted where a client names none
MOST_FLAWS = 100  # that are told of one request


@dataclass(frozen=True)
class Wanted:
    """A point that a client wants measured, and what it says about it."""

    inputs: Mapping[str, Any]
    reason: str = ""
    priority: float = 0.0
    iteration: int | None = None
    requires: tuple[str, ...] = ()


def check_points(space: Space, points: Sequence[Mapping[str, Any]], *places: tuple[str | int, ...]) -> list[Point]:
    """Return points as the space has them.

    Args:
        space: The search space.
        points: As a client wrote them.
        places: Of each point, where it stands in the body.

    Raises:
        InvalidError: If any does not fit, with every flaw of every point, or the first hundred.
    """
    return _checked(space.check, points, places)


def check_as_run(space: Space, points: Sequence[Mapping[str, Any]], *places: tuple[str | int, ...]) -> list[Point]:
    """Return points as an instrument ran them; numbers may lie off the grid and the bounds.

    Args:
        space: The search space.
        points: As a client wrote them.
        places: Of each point, where it stands in the body.

    Raises:
        InvalidError: If a name is missing or unknown, or a value can't have been run; as `check_points` tells it.
    """
    return _checked(space.check_as_run, points, places)


def _checked(
    check: Callable[[Mapping[str, Any]], Point],
    points: Sequence[Mapping[str, Any]],
    places: Sequence[tuple[str | int, ...]],
) -> list[Point]:
    found: list[Point] = []
    flaws: list[Flaw] = []
    for point, place in zip(points, places, strict=True):
        try:
            found.append(check(point))
        except PointError as error:
            flaws += InvalidError.of(error.mistakes, *place).flaws
        if len(flaws) > MOST_FLAWS:
            break
    if flaws:
        raise InvalidError(flaws)
    return found


def stage(turn: Turn, wanted: Sequence[Wanted], *places: tuple[str | int, ...]) -> list[Experiment]:
    """Queue experiments, the first to be run first.

    Args:
        turn: The transaction.
        wanted: Their points.
        places: Of each, where its inputs stand in the body.

    Raises:
        InvalidError: If a point does not fit.
        BudgetError: If not all have a place.
    """
    points = check_points(turn.study.space, [one.inputs for one in wanted], *places)
    return turn.change.add_all(
        [
            Addition(
                point,
                origin=BY_HAND,
                reason=one.reason,
                priority=one.priority,
                pinned=True,
                requires=(*one.requires, *turn.study.checked.labels_for(point)),
                iteration=one.iteration,
                metadata=handouts.noted(turn.ledger, point),
            )
            for one, point in zip(wanted, points, strict=True)
        ]
    )


def clear(turn: Turn) -> int:
    """Withdraw all that waits and that nobody has; return how many."""
    return sum(_withdraw(turn, experiment) for experiment in turn.ledger.waiting())


def cancel(turn: Turn, name: str) -> Experiment:
    """Withdraw an experiment that waits, or ask whoever runs it to stop; return it as it is then.

    Raises:
        UnknownError: If there is no such experiment.
        ConflictError: If it has ended.
    """
    experiment = find(turn, name)
    if experiment.state is State.QUEUED and _withdraw(turn, experiment):
        return find(turn, name)
    try:
        turn.change.request_cancel(experiment.id)
    except IllegalTransitionError as error:
        raise ConflictError(str(error)) from error
    return find(turn, name)


def offer_again(turn: Turn, name: str) -> Experiment:
    """Queue an interrupted experiment again, because a person knows that it may be run once more.

    Raises:
        UnknownError: If there is no such experiment.
        IllegalTransitionError: If it is not interrupted.
        BudgetError: If no start is left.
    """
    turn.change.requeue(find(turn, name).id)
    return find(turn, name)


def give_up(turn: Turn, name: str, why: str) -> Experiment:
    """End an interrupted experiment; its place goes back to the budget.

    Raises:
        UnknownError: If there is no such experiment.
        IllegalTransitionError: If it is not interrupted.
    """
    turn.change.abandon(find(turn, name).id, why or "a client said so")
    return find(turn, name)


def amend(
    turn: Turn,
    name: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    priority: float | None = None,
    reason: str | None = None,
) -> Experiment:
    """Change what an experiment that nobody has is to be run with, how soon, or why.

    Raises:
        UnknownError: If there is no such experiment.
        InvalidError: If the inputs do not fit.
        ConflictError: If somebody has it or had it, or it has ended.
    """
    found = find(turn, name)
    try:
        if inputs is not None:
            (point,) = check_points(turn.study.space, [inputs], ("inputs",))
            labels_for = turn.study.checked.labels_for
            others = set(found.requires).difference(labels_for(found.parameters))
            turn.change.amend(found.id, point, requires=sorted(others.union(labels_for(point))))
        if priority is not None:
            turn.change.move(found.id, priority)
        if reason is not None:
            _check_waits(found)
            turn.change.annotate(found.id, reason=reason)
    except IllegalTransitionError as error:
        raise ConflictError(str(error)) from error
    return find(turn, name)


def find(turn: Turn, name: str) -> Experiment:
    """Return an experiment.

    Raises:
        UnknownError: If there is no such experiment.
    """
    return find_in(turn.ledger, name)


def find_in(ledger: Ledger, name: str) -> Experiment:
    """Return an experiment of a ledger.

    Raises:
        UnknownError: If there is no such experiment.
    """
    try:
        return ledger.experiment(name)
    except UnknownExperimentError:
        raise UnknownError(f"This session has no experiment {name[:80]!r}. GET /experiments/queue lists all.") from None


def _check_waits(experiment: Experiment) -> None:
    if experiment.state is not State.QUEUED:
        mend = "Only one that nobody has can be changed."
        raise IllegalTransitionError(experiment.id, experiment.state, "given another reason", mend)


def _withdraw(turn: Turn, experiment: Experiment) -> bool:
    """End a queued experiment; False if somebody in the folder was faster."""
    is_ours = turn.withdraw(experiment.key)
    if is_ours:
        turn.change.withdrawn(experiment.key, "a client withdrew it")
    return is_ours
