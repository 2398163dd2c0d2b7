"""Intake: from what the queue brought to rows in the ledger.

In:    claims, results and spoiled files as the queue collected them.
Out:   one durable transaction; then the files are settled.
Never: takes a file away before its commit, or believes a value that the space does not know.
"""

from __future__ import annotations

import dataclasses
import logging

from alchemy_async.clock import Clock
from alchemy_async.errors import PointError, UnknownExperimentError
from alchemy_async.experiment import (
    AttemptKey,
    AttemptState,
    Claim,
    Failure,
    Objective,
    Outcome,
    Result,
    Status,
)
from alchemy_async.ledger import Change, Ingested, Ledger
from alchemy_async.queues import Collected, Delivery, PlannerEnd, Spoiled
from alchemy_async.space import Space

log = logging.getLogger(__name__)

MOST_TOLD = 3  # results of one look that are logged one by one
WITHDRAWN_BY = "planner"  # the worker that a claim names when the planner linked it itself


class Intake:
    """Takes claims and results into the ledger.

    Args:
        ledger: The ledger; this object does not own it.
        queue: Where settled results are taken away.
        space: What parameters as run must fit.
        objectives: What a measurement must bring a value for.
        clock: For the times of results that never were.
    """

    def __init__(
        self, ledger: Ledger, queue: PlannerEnd, space: Space, objectives: tuple[Objective, ...], clock: Clock
    ) -> None:
        self._ledger, self._queue, self._clock = ledger, queue, clock
        self._space = space
        self._objectives = tuple(objective.name for objective in objectives)
        self._n_told = 0
        self._stuck: set[str] = set()  # rejected, told, and still in dump/
        self._taken: set[AttemptKey] = set()  # the last look's claims, committed: an attempt is queued but once

    def take(self, collected: Collected) -> int:
        """Commit all that was collected, then settle it; return how many attempts are claimed since the last time.

        Raises:
            sqlite3.Error: If the ledger can't be written; nothing was settled.
        """
        claims = [claim for claim in collected.claims if claim.key not in self._taken]
        if not (claims or collected.deliveries or collected.spoiled):
            return 0
        settled: list[tuple[str, str]] = []
        self._n_told = 0
        keys = [claim.key for claim in claims] + [delivery.result.key for delivery in collected.deliveries]
        with self._ledger.change() as change, change.gathering(key.experiment for key in keys):
            fresh = [self._claim(change, claim) for claim in claims]
            settled += [(delivery.name, self._ingest(change, delivery)) for delivery in collected.deliveries]
            for spoiled in collected.spoiled:
                self._spoil(change, spoiled)
                settled.append((spoiled.name, spoiled.reason))
        self._taken = {claim.key for claim in collected.claims if claim.worker != WITHDRAWN_BY}
        if self._n_told > MOST_TOLD:
            log.info("and %d other results that came at the same time", self._n_told - MOST_TOLD)
        for name, reason in settled:
            self._settle(name, reason)
        return sum(fresh)

    def _settle(self, name: str, reason: str) -> None:
        """Take a result away; what can't be put among the rejected stays, and holds nobody up."""
        try:
            self._queue.settle(name, reason)
        except OSError as error:
            if not reason:
                raise
            if name not in self._stuck:
                log.error("rejected %r can't be moved to dump/rejected/ (%s). Take it away by hand.", name, error)
            self._stuck.add(name)
        else:
            self._stuck.discard(name)

    def _claim(self, change: Change, claim: Claim) -> bool:
        if claim.worker != WITHDRAWN_BY:
            return self._take_claim(change, claim)
        # The planner withdrew it and was killed before its commit: what people staged is kept for them.
        experiment = change.experiment(claim.key.experiment)
        keep = experiment.pinned and not experiment.is_cancelling
        change.withdrawn(claim.key, "the planner withdrew it", keep=keep)
        return True

    def _take_claim(self, change: Change, claim: Claim) -> bool:
        """Take note of a worker's claim; where it says parameters that can't have been taken, those listed hold."""
        try:
            if claim.parameters:
                self._space.check_as_run(claim.parameters)
        except PointError as error:
            is_fresh = change.claim(dataclasses.replace(claim, parameters={}))
            if is_fresh:
                log.warning("%s claimed %s, and its parameters are wrong: %s", claim.worker, claim.key, error)
            return is_fresh
        return change.claim(claim)

    def _ingest(self, change: Change, delivery: Delivery) -> str:
        """Ingest one result; return why it is rejected, or nothing."""
        result = delivery.result
        reason = self._reason_against(result)
        if reason:
            self._spoil(change, Spoiled(delivery.name, reason, result.worker, result.key))
            return reason
        try:
            ingested = change.ingest(result, delivery.digest)
        except UnknownExperimentError:
            reason = (
                f"{result.key} is no attempt of this campaign: the ledger never offered it. "
                "Check the experiment and attempt in the file and in its name."
            )
            self._log_rejection(change, delivery.name, reason)
            return reason
        self._tell(result, ingested)
        return ""

    def _tell(self, result: Result, ingested: Ingested) -> None:
        """Log a result; of many at once that all went well only the first."""
        outcome = result.outcome
        usual = logging.WARNING if outcome.status is Status.FAILED else logging.INFO
        shown = {"conflict": logging.WARNING, "duplicate": logging.DEBUG}.get(str(ingested), usual)
        if shown == logging.INFO:
            self._n_told += 1
            if self._n_told > MOST_TOLD:
                return
        log.log(
            shown,
            "experiment=%s attempt=%d worker=%s status=%s%s%s%s",
            result.key.experiment, result.key.attempt, result.worker, outcome.status,
            "".join(f" {name}={value:.6g}" for name, value in outcome.values.items()),
            "" if outcome.error is None else f" ({outcome.error.in_short()})",
            "" if ingested is Ingested.COUNTED else f" ({ingested})",
        )  # fmt: skip

    def _reason_against(self, result: Result) -> str:
        outcome = result.outcome
        if outcome.parameters is not None:
            try:
                self._space.check_as_run(outcome.parameters)
            except PointError as error:
                return f"its parameters as run are wrong: {error}"
        names = set(outcome.values) | set(outcome.sems)
        unknown = sorted(names - set(self._objectives))
        if unknown:
            known = ", ".join(self._objectives)
            return f"{unknown[0]!r} is no objective; the objectives are {known}. Put anything else into metadata."
        missing = [name for name in self._objectives if name not in outcome.values]
        if outcome.status is Status.COMPLETED and missing:
            return f"it is completed and has no value for {missing[0]!r}. Give one, or report failed."
        return ""

    def _spoil(self, change: Change, spoiled: Spoiled) -> None:
        """Fail the attempt whose worker wrote this; without such an attempt only take note."""
        self._log_rejection(change, spoiled.name, spoiled.reason)
        if spoiled.key is None or not _is_running(change, spoiled.key, spoiled.worker):
            return
        now = self._clock.now()
        outcome = Outcome(Status.FAILED, now, now, error=Failure("bad_result", spoiled.reason))
        result = Result(self._ledger.campaign, spoiled.key, spoiled.worker, outcome)
        change.ingest(result, digest=f"rejected:{spoiled.name}")

    def _log_rejection(self, change: Change, name: str, reason: str) -> None:
        if name in self._stuck:
            return
        log.warning("rejected %r: %s It lies in dump/rejected/.", name, reason)
        change.note("rejected", name=ascii(name), reason=reason)


def _is_running(change: Change, key: AttemptKey, worker: str) -> bool:
    try:
        attempt = change.attempt(key)
    except UnknownExperimentError:
        return False
    return attempt.state in (AttemptState.RUNNING, AttemptState.INTERRUPTED) and attempt.worker == worker


def withdraw(ledger: Ledger, queue: PlannerEnd, keys: dict[AttemptKey, str], *, keep_pinned: bool = False) -> int:
    """Take queued attempts back; return how many nobody can start any more.

    Args:
        ledger: The ledger.
        queue: The queue; what was listed there is withdrawn by a claim of the planner's own.
        keys: Why, by attempt.
        keep_pinned: Offer what people staged again under its next attempt.
    """
    taken = [key for key in keys if not ledger.is_listed(key) or queue.withdraw(key)]
    if taken:
        with ledger.change() as change:
            for key in taken:
                pinned = ledger.experiment(key.experiment).pinned
                change.withdrawn(key, keys[key], keep=keep_pinned and pinned)
    return len(taken)
