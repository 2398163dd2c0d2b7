"""Changes: everything that can happen to an experiment, each checked, each with its event.

In:    decisions of the planner daemon, claims and outcomes of workers, wishes of people.
Out:   new rows and events, within one transaction that the caller opened.
Never: commits by itself, or lets an experiment leave a terminal state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from alchemy_async.errors import IllegalTransitionError
from alchemy_async.experiment import (
    TERMINAL,
    Attempt,
    AttemptKey,
    AttemptState,
    Claim,
    Experiment,
    Outcome,
    Result,
    State,
    Status,
)
from alchemy_async.ledger import rows
from alchemy_async.ledger.many import Addition, Many
from alchemy_async.ledger.wishes import Wishes
from alchemy_async.space import Point

MAX_ATTEMPTS = 3  # tries that the planner gives an experiment by itself; a person may add more


class Ingested(StrEnum):
    """What became of a result."""

    COUNTED = "counted"  # it decided its experiment, or gave it back
    REPLICATE = "replicate"  # a measurement of an experiment that had already ended
    SUPERSEDED = "superseded"  # no measurement, and not the newest attempt
    DUPLICATE = "duplicate"  # the same result once more
    CONFLICT = "conflict"  # another result under the same name: kept, out of the model


class Change(Wishes, Many):
    """One transaction's worth of changes; made by `Ledger.change`."""

    def experiment(self, experiment: str) -> Experiment:
        """Return an experiment as it is within this change.

        Raises:
            UnknownExperimentError: If there is none of that id.
        """
        return self._experiment(experiment)

    def attempt(self, key: AttemptKey) -> Attempt:
        """Return an attempt as it is within this change.

        Raises:
            UnknownExperimentError: If there is none of that name.
        """
        return self._attempt(key)

    # -- experiments -------------------------------------------------------

    def add(
        self,
        parameters: Point,
        *,
        origin: str = "planner",
        reason: str = "",
        priority: float = 0.0,
        pinned: bool = False,
        requires: Sequence[str] = (),
        iteration: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Experiment:
        """Queue an experiment.

        Raises:
            BudgetError: If no place is left.
        """
        addition = Addition(parameters, origin, reason, priority, pinned, requires, iteration, metadata or {})
        return self.add_all([addition])[0]

    def revise(
        self,
        experiment: str,
        parameters: Point,
        *,
        origin: str = "planner",
        reason: str = "",
        metadata: Mapping[str, Any] | None = None,
        requires: Sequence[str] | None = None,
    ) -> None:
        """Give a queued experiment other parameters under the same id; first attempts only.

        Args:
            experiment: Its id.
            parameters: The parameters.
            origin: Who wants them.
            reason: Why.
            metadata: What the planner noted.
            requires: The labels that a worker must have; None: as before.

        Raises:
            IllegalTransitionError: If it is not queued, pinned, or at a later attempt.
        """
        found = self._experiment(experiment)
        if found.state is not State.QUEUED or found.pinned or found.attempt != 1:
            raise IllegalTransitionError(experiment, found.state, "revised", "Only a first, unpinned attempt may be.")
        text = rows.to_text(parameters)
        self._db.execute(
            "UPDATE experiments SET parameters = ?, origin = ?, reason = ?, metadata = ?,"
            " requires = coalesce(?, requires) WHERE id = ?",
            (text, origin, reason, rows.to_text(metadata or {}),
             None if requires is None else rows.to_text(sorted(requires)), experiment),
        )  # fmt: skip
        self._db.execute("UPDATE attempts SET parameters = ? WHERE experiment = ? AND attempt = 1", (text, experiment))
        self._db.execute("INSERT INTO points VALUES (?, ?)", (experiment, text))
        self.note("revised", found.key, parameters=dict(parameters), reason=reason)

    def list_attempts(self, keys: Sequence[AttemptKey]) -> set[AttemptKey]:
        """Remember that these attempts stand in a published queue, so that their claims are looked up.

        Returns:
            Those that somebody has taken or changed meanwhile, and that may not be published.
        """
        changed = self._db.executemany(
            "UPDATE attempts SET is_listed = 1 WHERE experiment = ? AND attempt = ? AND state = 'queued'", keys
        )
        if changed.rowcount == len(keys):
            return set()
        return {key for key in keys if not self._is_queued(key)}

    def _is_queued(self, key: AttemptKey) -> bool:
        found = self._rows.attempt(key)
        return found is not None and found.state is AttemptState.QUEUED

    # -- what workers say --------------------------------------------------

    def claim(self, claim: Claim, *, lease_s: float | None = None) -> bool:
        """Take note of a claim; False if the attempt was known to be claimed or has ended.

        Args:
            claim: The claim.
            lease_s: How long it lives without a beat in the ledger; None: its worker beats in the folder.

        Raises:
            UnknownExperimentError: If there is no such attempt.
        """
        attempt = self._attempt(claim.key)
        if attempt.state is not AttemptState.QUEUED:
            return False
        parameters = claim.parameters or attempt.parameters
        running = Attempt(
            claim.key, AttemptState.RUNNING, parameters, claim.worker, claim.instance, claim.host, claim.pid,
            claim.idempotent, lease_s=lease_s, beat=attempt.beat,
        )  # fmt: skip
        text = rows.to_text(parameters)
        self._rows.take(running, text, self._now())
        self._rows.start(1)
        found = self._experiment(claim.key.experiment)
        if found.attempt == claim.key.attempt and found.state is State.QUEUED:
            self._rows.move(found, State.RUNNING, parameters, text)
        self._note_claimed(claim.key, claim.worker, claim.instance)
        return True

    def ingest(self, result: Result, digest: str) -> Ingested:
        """Take note of a result; a claim that was not seen before is passed through.

        Raises:
            UnknownExperimentError: If there is no such attempt.
        """
        key, outcome = result.key, result.outcome
        attempt = self._attempt(key)
        known = self._rows.answers(key)
        if any(answer.worker == result.worker and answer.digest == digest for answer in known):
            return Ingested.DUPLICATE
        if attempt.state is AttemptState.QUEUED:
            parameters = outcome.parameters or attempt.parameters
            self.claim(Claim(result.campaign, key, 0, parameters, result.worker, instance=""))
            attempt = self._attempt(key)
        is_answered = any(answer.role != Ingested.CONFLICT for answer in known)  # a stranger's conflict answers nothing
        if is_answered or attempt.worker not in (result.worker, "unknown", ""):
            return self._record(result, digest, attempt, Ingested.CONFLICT)
        experiment = self._experiment(key.experiment)
        if outcome.status is Status.COMPLETED:
            ingested = Ingested.REPLICATE if experiment.state in TERMINAL else Ingested.COUNTED
        elif experiment.state in TERMINAL or experiment.attempt != key.attempt:
            ingested = Ingested.SUPERSEDED
        else:
            ingested = Ingested.COUNTED
        self._record(result, digest, attempt, ingested)
        if attempt.state is not AttemptState.ENDED:
            self._end_attempt(key, str(outcome.status))
        if ingested is Ingested.COUNTED:
            self._decide(experiment, outcome)
            if experiment.attempt != key.attempt:  # an older attempt ended it: nobody may start the newer one
                self._end_unlisted(experiment.key)
        return ingested

    def _record(self, result: Result, digest: str, attempt: Attempt, ingested: Ingested) -> Ingested:
        outcome = result.outcome
        role = "result" if ingested is Ingested.COUNTED else str(ingested)
        self._add_outcome(result.key, result.worker, role, attempt.parameters, outcome, digest)
        kind = str(outcome.status) if ingested is Ingested.COUNTED else str(ingested)
        self._note_outcome(kind, result.key, result.worker, outcome)
        return ingested

    def _decide(self, experiment: Experiment, outcome: Outcome) -> None:
        if outcome.status is Status.RELEASED:
            self._rows.start(-1)  # nothing was done
            again = not experiment.is_cancelling
        else:
            retryable = outcome.error is not None and outcome.error.kind == "retryable"
            again = (
                outcome.status is Status.FAILED
                and retryable
                and experiment.attempt < MAX_ATTEMPTS
                and not experiment.is_cancelling
                and self._n_starts_left() > 0
            )
        if again:
            self._offer_again(experiment, f"{outcome.status}")
            return
        to = State.CANCELLED if outcome.status is Status.RELEASED else State(outcome.status)
        self._set_state(experiment, to)

    # -- leases ------------------------------------------------------------

    def interrupt(self, key: AttemptKey, why: str) -> None:
        """End a lease: nobody knows what happened on the bench.

        The experiment is offered again where the driver said that it is
        idempotent, and given up where a person has asked to cancel it.
        """
        attempt = self._attempt(key)
        if attempt.state is not AttemptState.RUNNING:
            return
        self._set_attempt_state(key, AttemptState.INTERRUPTED)
        experiment = self._experiment(key.experiment)
        self.note("interrupted", key, worker=attempt.worker, why=why)
        if experiment.attempt != key.attempt or experiment.state is not State.RUNNING:
            return
        self._set_state(experiment, State.INTERRUPTED)
        experiment = self._experiment(key.experiment)
        if experiment.is_cancelling:
            self.abandon(experiment.id, "it was to be cancelled")
        elif attempt.idempotent and key.attempt < MAX_ATTEMPTS and self._n_starts_left() > 0:
            self._offer_again(experiment, "its driver is idempotent")

    def revive(self, key: AttemptKey) -> bool:
        """Take a lease up again: the same worker process beats, and there is no newer attempt."""
        attempt, experiment = self._attempt(key), self._experiment(key.experiment)
        if attempt.state is not AttemptState.INTERRUPTED or experiment.attempt != key.attempt:
            return False
        if experiment.state is not State.INTERRUPTED:
            return False
        self._set_attempt_state(key, AttemptState.RUNNING)
        self._set_state(experiment, State.RUNNING)
        self.note("revived", key, worker=attempt.worker)
        return True

    def beat(self, key: AttemptKey) -> bool:
        """Take note that whoever holds an attempt lives; False if nobody does any more."""
        changed = self._db.execute(
            "UPDATE attempts SET beat = beat + 1 WHERE experiment = ? AND attempt = ? AND state = 'running'"
            " AND lease_s IS NOT NULL",
            (key.experiment, key.attempt),
        )
        return changed.rowcount == 1

    # -- replies -----------------------------------------------------------

    def remember(self, key: str, request: str, status: int, body: str) -> None:
        """Keep a reply under the key of its request, so that a repetition is answered alike."""
        self._db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", (key, request, status, body, self._now()))

    def amend_reply(self, key: str, body: str) -> None:
        """Give a reply another body, because more has become of its request since."""
        self._db.execute("UPDATE replies SET body = ? WHERE key = ?", (body, key))

    def forget_replies(self, before: str) -> None:
        """Drop replies that were given before a time."""
        self._db.execute("DELETE FROM replies WHERE at < ?", (before,))
