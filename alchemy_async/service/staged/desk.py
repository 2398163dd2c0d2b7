"""The desk: one session's ledger, one caller at a time.

In:    work to be done within one durable transaction.
Out:   its answer; the same one again where a request is repeated under its key.
Never: holds anything that a restart would lose, or lets half a request through.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from alchemy_async.clock import Clock, to_wire
from alchemy_async.experiment import Attempt, AttemptKey, Claim
from alchemy_async.ledger import Change, Ledger
from alchemy_async.queues.folder_claims import FolderClaims
from alchemy_async.queues.layout import PLANNER
from alchemy_async.service.definition.study import Study
from alchemy_async.service.problems import ConflictError

OWNER = "service"  # of what it links into a campaign folder
KEPT = timedelta(days=7)  # that a reply can be asked for again
_FORGET_EVERY = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """An answer that may have to be given again: an HTTP status, and a body that JSON can hold."""

    body: dict[str, Any]
    status: int = 200
    is_kept: bool = True  # for a repetition; an answer that says "nothing yet" is not


@dataclass(frozen=True)
class Turn:
    """One transaction: all that is done in it is durable at its end, or none of it happened.

    Args:
        change: What may be changed.
        ledger: What can be read, this transaction's own changes included.
        study: The session's space and objectives.
        now: The time of the transaction.
        instance: Random text, unique to this server process.
    """

    change: Change
    ledger: Ledger
    study: Study
    now: datetime
    instance: str
    claims: Callable[[], FolderClaims] = field(repr=False)

    def take(self, key: AttemptKey, worker: str, *, lease_s: float | None = None, idempotent: bool = False) -> bool:
        """Claim a queued attempt for a worker; False if somebody in the folder was faster.

        What was never listed in a published queue is the ledger's alone; what was, goes to whoever
        links its claim first.

        Args:
            key: The attempt.
            worker: Who gets it.
            lease_s: How long the claim lives without a beat.
            idempotent: Whether it may simply be run again.
        """
        attempt = self.ledger.attempt(key)
        claim = Claim(
            self.ledger.campaign, key, 0, attempt.parameters, worker, f"{OWNER}-{self.instance}", idempotent=idempotent
        )
        if self.ledger.is_listed(key):
            found = self.claims().take(claim)
            if found is not claim:
                self.heed(found)
                return False
        return self.change.claim(claim, lease_s=lease_s or None)

    def withdraw(self, key: AttemptKey) -> bool:
        """Take a queued attempt back from those who read the folder; False if somebody was faster."""
        if not self.ledger.is_listed(key):
            return True
        claim = Claim(self.ledger.campaign, key, 0, {}, PLANNER, "")
        found = self.claims().take(claim)
        if found is not claim:
            self.heed(found)
        return found is claim

    def heed(self, claim: Claim) -> None:
        """Take note of a claim that lies in the folder and that the ledger did not know of.

        A worker's holds. One that a planner or an earlier server linked was never answered: nobody has the
        experiment. What a person staged, or was about to get, is offered again under its next attempt.

        Args:
            claim: Of a queued attempt.
        """
        is_promise = claim.instance.startswith(f"{OWNER}-")
        if claim.worker == PLANNER or is_promise:
            experiment = self.ledger.experiment(claim.key.experiment)
            keep = (experiment.pinned or is_promise) and not experiment.is_cancelling
            self.change.withdrawn(claim.key, "it was claimed for somebody who was never told", keep=keep)
        else:
            self.change.claim(claim)

    def held(self) -> list[Attempt]:
        """Return the attempts that are running or interrupted and whose holders beat in the ledger."""
        return [attempt for attempt in self.ledger.held() if attempt.lease_s is not None]


class Desk:
    """One session; any number of threads may use it, one after the other.

    Args:
        folder: The campaign folder.
        study: What it says.
        ledger: Its ledger, opened as ``shared``; this object owns it.
        clock: For times.
        instance: Random text, unique to this server process.
        on_change: Called after each transaction.
    """

    def __init__(
        self,
        folder: Path,
        study: Study,
        ledger: Ledger,
        clock: Clock,
        *,
        instance: str,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.study = study
        self._ledger, self._clock, self._instance = ledger, clock, instance
        self._on_change = on_change
        self._lock = threading.RLock()
        self._claims: FolderClaims | None = None
        self._n_remembered = 0
        self._read: dict[str, tuple[tuple[int, int], Any]] = {}

    @contextmanager
    def turn(self, *, waits: bool = True) -> Iterator[Turn]:
        """Open a transaction; wait for whoever has one open.

        Args:
            waits: Whether its end waits for the disk; a power cut may take back what did not.

        Raises:
            sqlite3.Error: If the ledger can't be written; nothing happened.
        """
        with self._lock, self._ledger.change(waits=waits) as change:
            yield Turn(change, self._ledger, self.study, self._clock.now(), self._instance, self._folder_claims)
        self._on_change()

    @contextmanager
    def look(self) -> Iterator[Ledger]:
        """Read the ledger, while nobody else of this process does."""
        with self._lock:
            yield self._ledger

    def stamp(self) -> tuple[int, int]:
        """Return a pair that differs after any commit, this process's or another's."""
        with self._lock:
            return self._ledger.stamp()

    def read(self, what: str, make: Callable[[Ledger], T]) -> T:
        """Return what is read from the ledger; as it was read last, unless anything at all was written since.

        Args:
            what: Its name, one for each ``make``.
            make: Reads it; what it returns must not be changed by anybody.
        """
        with self._lock:
            stamp = self._ledger.stamp()  # first: what is written meanwhile is read next time
            kept = self._read.get(what)
            if kept is None or kept[0] != stamp:
                kept = self._read[what] = stamp, make(self._ledger)
            found: T = kept[1]
            return found

    def answer(self, make: Callable[[Turn], Reply], *, key: str | None = None, request: str = "") -> Reply:
        """Do a piece of work, once: a repetition under the same key is answered as the first was.

        Args:
            make: The work.
            key: What the client named this request; None: it has no name.
            request: All of the request, so that a key that is used for another one is noticed.

        Raises:
            ConflictError: If the key belongs to another request.
        """
        with self.turn() as turn:
            if key is None:
                return make(turn)
            known = turn.ledger.reply(key)
            if known is not None:
                if known[0] != request:
                    raise ConflictError(
                        f"Idempotency-Key {key!r} was used for another request. Use a key once: a new one for each "
                        "request, the same one only to repeat a request word for word."
                    )
                return Reply(json.loads(known[2]), known[1])
            reply = make(turn)
            if not reply.is_kept:
                return reply
            turn.change.remember(key, request, reply.status, json.dumps(reply.body, allow_nan=False))
            self._forget_some(turn)
            return reply

    def _forget_some(self, turn: Turn) -> None:
        if self._n_remembered % _FORGET_EVERY == 0:
            turn.change.forget_replies(to_wire(turn.now - KEPT))
        self._n_remembered += 1

    def _folder_claims(self) -> FolderClaims:
        if self._claims is None:
            self._claims = FolderClaims(self.folder, OWNER, self._instance)
        return self._claims

    def close(self) -> None:
        """Close the ledger."""
        with self._lock:
            self._ledger.close()
