"""Folder queue, the planner's end: writes ``pickup/``, reads ``dump/``.

In:    revisions to publish, attempts to withdraw, names to settle; whatever lies in ``dump/``.
Out:   claims, results and heartbeats, durable before they are returned; waking when something came.
Never: changes the ledger, deletes a claim, or touches anything outside the campaign folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from alchemy_async.clock import Clock
from alchemy_async.errors import FolderError, NewerFormatError, WireError
from alchemy_async.experiment.records import AttemptKey
from alchemy_async.experiment.wire import Claim, Heartbeat, Result, Revision
from alchemy_async.files import dump_json
from alchemy_async.queues import Collected, Delivery
from alchemy_async.queues.layout import PLANNER, UNKNOWN, Layout, is_result_name
from alchemy_async.queues.publishing import Publisher
from alchemy_async.queues.reading import LatestMessages, parse_message, read_message
from alchemy_async.queues.rejecting import reject
from alchemy_async.queues.results import UNCHANGED_S, Look, ResultReader, Signature
from alchemy_async.queues.watch import FolderWatch

MAX_HEARTBEAT_BYTES = 64 * 1024
WORTH_TELLING, TELL_S = 500, 5.0  # results that wait; between two tellings of them
QUIET_S = 0.05  # without news before spent files are removed: that delays what workers write
MOST_SPENT = 10_000
MANY, MANY_LOOKS = 10, 10  # files in a look, and such looks in a row, after which events are no longer listened to
CALM_S = 1.0  # without such a look before they are again
DEAF_S = 0.03  # between two looks while they are not: what a look costs is shared by all that it finds

_log = logging.getLogger(__name__)


class FolderPlannerEnd:
    """The planner's end of the two folders; whoever makes one holds the planner's lock.

    Args:
        folder: The campaign folder; folders that are missing in it are made.
        campaign: Id of the campaign, as its ledger has it.
        clock: Says how long a broken file has not changed, and dates rejections.
        durable: Whether anything waits for the disk; without it a power cut may lose what came last.

    Raises:
        FolderError: If the folder can't be used, or its queue belongs to another campaign.
        NewerFormatError: If its queue was written by a newer version.
        OSError: If the disk refuses.
    """

    def __init__(self, folder: Path, *, campaign: str, clock: Clock, durable: bool = True) -> None:
        self._layout = Layout(folder)
        self._layout.make()
        self._campaign = campaign
        self._clock = clock
        self._check_queue()
        self._publisher = Publisher(self._layout, PLANNER, secrets.token_hex(8), durable=durable)
        self._publisher.clean()
        self._publisher.doubt(self._layout.claims)  # the planner before may have died of a failed fsync
        self._claims: dict[AttemptKey, Claim] = {}
        self._unreadable: dict[AttemptKey, tuple[Signature, float]] = {}
        self._results = ResultReader(self._layout, campaign, clock)
        self._told_waiting_s = float("-inf")
        self._newer: set[str] = set()  # heartbeats of a newer format, told once
        self._beats = LatestMessages(Heartbeat.from_wire, limit=MAX_HEARTBEAT_BYTES)
        self._changed = threading.Event()
        self._watch: FolderWatch | None = None
        self._n_busy, self._busy_s = 0, float("-inf")  # looks in a row that brought much, and when the last one was

    def publish(self, revision: Revision) -> None:
        """Replace the queue by a revision, durably.

        Raises:
            OSError: If the disk refuses; the last revision still stands.
        """
        self._layout.check()
        self._publisher.over(str(self._layout.queue_file), dump_json(revision.to_wire()))

    def withdraw(self, key: AttemptKey) -> bool:
        """Take an attempt back by claiming it, durably; False if a worker was faster.

        Raises:
            OSError: If the disk refuses; ask again.
        """
        self._layout.check()
        own = Claim(self._campaign, key, 0, {}, PLANNER, "", socket.gethostname(), os.getpid())
        try:
            self._link(own)
        except FileExistsError:
            try:
                if self._read_claim(key).worker != PLANNER:
                    return False
            except WireError:
                return False  # whoever it was: the name is taken
        self._confirm([key])
        return True

    def collect(self, open_attempts: Sequence[AttemptKey]) -> Collected:
        """Look at everything once: claims, then heartbeats, then results.

        A ``gone`` or a later beat that is returned was therefore written before
        the results were read: a result that the worker published first is there.
        A claim that can't be read and does not change is one all the same; its
        worker is ``unknown`` and it says no parameters (those listed hold). A
        claim whose worker is ``planner`` is a withdrawal.

        Args:
            open_attempts: Attempts listed once and not ended: their claims are looked up by name.

        Raises:
            OSError: If the disk refuses; nothing was changed.
        """
        self._layout.check()
        open_keys = dict.fromkeys(open_attempts)
        known = {key: claim for key, claim in self._claims.items() if key in open_keys}
        fresh, again_in_s = self._look_up(key for key in open_keys if key not in known)
        heartbeats = self._read_heartbeats()
        look = self._results.look(open_keys.keys())
        self._tell_waiting(look)
        unclaimed = open_keys.keys() - known.keys() - fresh.keys()
        fresh |= self._claim_for(delivery for delivery in look.deliveries if delivery.result.key in unclaimed)
        if fresh:
            self._confirm(key for key, claim in fresh.items() if claim.worker != UNKNOWN)
        self._claims = known | fresh  # only now: what is remembered is durable
        self._heed(len(fresh) + len(look.deliveries))
        return Collected(
            claims=tuple(self._claims[key] for key in open_keys if key in self._claims),
            deliveries=look.deliveries,
            spoiled=look.spoiled,
            heartbeats=heartbeats,
            again_in_s=min((s for s in (again_in_s, look.again_in_s) if s is not None), default=None),
            n_waiting=look.n_waiting,
        )

    def settle(self, name: str, reason: str = "") -> None:
        """Take a result away after its commit; with a reason, keep it in ``dump/rejected/``.

        What was written to since the last collect stays where it is: that
        content was not committed, and the next collect brings it.

        Raises:
            ValueError: If the name is no result's.
            OSError: If the disk refuses; ask again.
        """
        if not is_result_name(name) or os.path.basename(name) != name:
            raise ValueError(f"{name!r} is not the name of a result; settle what collect returned")
        self._layout.check()
        if not self._results.is_as_read(name):
            return
        if reason:
            reject(self._layout, self._publisher, name, reason, self._clock.now())
            return
        self._publisher.spend(self._layout.entry(name))
        self._publisher.tidy(lambda: self._publisher.n_spent > MOST_SPENT)

    def wait(self, timeout_s: float) -> bool:
        """Wait until something may have changed, at most ``timeout_s``; True if something woke it.

        The first call starts the watch, which wakes once when it stands.
        """
        if self._watch is None:
            self._watch = FolderWatch((self._layout.dump, self._layout.claims), self.wake)
        if self._watch.is_deaf:
            self._changed.wait(min(timeout_s, DEAF_S))
            self._changed.clear()
            return True
        quiet_s = min(QUIET_S, timeout_s) if self._publisher.n_spent else timeout_s
        if not self._changed.wait(quiet_s) and self._publisher.n_spent:
            self._publisher.tidy(lambda: not self._changed.is_set())
            self._changed.wait(timeout_s - quiet_s)
        is_woken = self._changed.is_set()
        self._changed.clear()
        return is_woken

    def _heed(self, n_new: int) -> None:
        """Listen to events only where they are seldom: each costs as much as reading the file that it tells of."""
        present_s = self._clock.monotonic()
        self._n_busy = self._n_busy + 1 if n_new >= MANY else 0
        if self._n_busy:
            self._busy_s = present_s
        if self._watch is None:
            return
        if self._n_busy >= MANY_LOOKS:
            self._watch.rest()
        elif present_s >= self._busy_s + CALM_S:
            self._watch.listen()

    def wake(self) -> None:
        """End the present wait, or the next one; any thread may call it."""
        self._changed.set()

    def close(self) -> None:
        """Stop watching, and remove what was spent."""
        if self._watch is not None:
            self._watch.close()
        self._publisher.tidy(lambda: True)

    def _check_queue(self) -> None:
        try:
            queue = Revision.from_wire(parse_message(read_message(self._layout.queue_file)))
        except NewerFormatError:
            raise
        except (FileNotFoundError, WireError):
            return  # the ledger leads: the next revision replaces what can't be read
        if queue.campaign != self._campaign:
            raise FolderError(
                f"{self._layout.queue_file} belongs to campaign {queue.campaign!r}, this ledger to "
                f"{self._campaign!r}. Plan in another folder, or empty this one with "
                f"`alchemy-async clear {self._layout.folder}`."
            )

    def _link(self, claim: Claim) -> None:
        self._publisher.once(self._layout.claim(claim.key), dump_json(claim.to_wire()))

    def _confirm(self, keys: Iterable[AttemptKey]) -> None:
        self._publisher.confirm(self._layout.claims, map(self._layout.claim, keys))

    def _read_claim(self, key: AttemptKey) -> Claim:
        claim = Claim.from_wire(parse_message(read_message(self._layout.claim(key))))
        if claim.key != key or claim.campaign != self._campaign:
            raise WireError(f"the claim of {key} speaks of {claim.key} in campaign {claim.campaign!r}")
        return claim

    def _look_up(self, keys: Iterable[AttemptKey]) -> tuple[dict[AttemptKey, Claim], float | None]:
        found: dict[AttemptKey, Claim] = {}
        unreadable: dict[AttemptKey, tuple[Signature, float]] = {}
        again_in_s: float | None = None
        for key in filter(self._layout.is_claimed, keys):
            try:
                found[key] = self._read_claim(key)
            except WireError as error:
                signature = Signature.of(os.lstat(self._layout.claim(key)))
                last = self._unreadable.get(key)
                since_s = last[1] if last and last[0] == signature else self._clock.monotonic()
                remaining_s = since_s + UNCHANGED_S - self._clock.monotonic()
                if remaining_s > 0:  # it may be half-written
                    unreadable[key] = (signature, since_s)
                    again_in_s = remaining_s if again_in_s is None else min(again_in_s, remaining_s)
                    continue
                _log.warning("The claim of %s can't be read, so nobody knows who has it: %s", key, error)
                found[key] = Claim(self._campaign, key, 0, {}, UNKNOWN, "")
        self._unreadable = unreadable
        return found, again_in_s

    def _claim_for(self, deliveries: Iterable[Delivery]) -> dict[AttemptKey, Claim]:
        """Return the claims of what was measured; where there was none it is made, so that nobody can start it now."""
        claims: dict[AttemptKey, Claim] = {}
        for delivery in deliveries:
            if delivery.result.key not in claims:
                claims[delivery.result.key] = self._claim_of(delivery.result)
        return claims

    def _claim_of(self, result: Result) -> Claim:
        claim = Claim(self._campaign, result.key, 0, dict(result.outcome.parameters or {}), result.worker, "")
        if not self._layout.is_claimed(result.key):  # a cheap first look; the link decides
            with contextlib.suppress(FileExistsError):
                self._link(claim)
                return claim
        try:
            return self._read_claim(result.key)  # claimed since the look-up
        except WireError:
            return claim  # still unreadable: whoever measured has it

    def _tell_waiting(self, look: Look) -> None:
        """Say how many results came while nobody looked: taking them in may last a while."""
        present_s = self._clock.monotonic()
        if look.n_waiting >= WORTH_TELLING and present_s >= self._told_waiting_s + TELL_S:
            self._told_waiting_s = present_s
            n = look.n_waiting + len(look.deliveries) + len(look.spoiled)
            _log.info("%d results wait in dump/; they are taken into the ledger", n)

    def _read_heartbeats(self) -> tuple[Heartbeat, ...]:
        with os.scandir(self._layout.workers) as entries:
            paths = sorted(entry.path for entry in entries if entry.name.endswith(".json"))
        self._beats.keep_only(paths)
        heartbeats: list[Heartbeat] = []
        for path in paths:
            try:
                heartbeat = self._beats.read(path)
            except NewerFormatError as error:
                if path not in self._newer:
                    self._newer.add(path)
                    _log.warning("The heartbeat %s is not understood: %s", path, error)
                continue
            except (FileNotFoundError, WireError):
                continue  # no valid beat is no beat: the lease ends
            if self._layout.heartbeat(heartbeat.worker) == path and heartbeat.campaign in ("", self._campaign):
                heartbeats.append(heartbeat)
        return tuple(heartbeats)
