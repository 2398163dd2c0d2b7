"""Folder relay: how a server writes in the two folders for workers that reach it by network alone.

In:    what worker processes elsewhere say: which attempts they would take, beats, results.
Out:   the same files, linked and confirmed in the same way, as a worker in the folder writes.
Never: chooses for a worker, gives one attempt to two, or answers before the disk has it.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from alchemy_async.errors import FolderError, WireError
from alchemy_async.experiment.records import AttemptKey
from alchemy_async.experiment.states import QueueState
from alchemy_async.experiment.wire import Claim, Heartbeat, Offer, Result, Revision, read_revision
from alchemy_async.files import MAX_BYTES, TooLargeError, dump_json
from alchemy_async.queues.layout import Layout, check_worker_name
from alchemy_async.queues.publishing import Publisher
from alchemy_async.queues.reading import LatestMessages, parse_message, read_message

MOST_WORKERS = 1000  # whose last beat is remembered


@dataclass(frozen=True)
class Asker:
    """A worker process elsewhere that wants an attempt: who it is, and whether it may simply run one again."""

    campaign: str
    worker: str
    instance: str
    host: str = ""
    pid: int = 0
    idempotent: bool = False


class FolderRelay:
    """The workers' end of one campaign folder; any number of threads may use it.

    It keeps nothing that a restart would lose: a claim whose answer was lost is
    found again by its instance, in the folder.

    Args:
        folder: The campaign folder; folders that are missing in it are made.
        owner: Whose files in ``.staging/`` these are; its lock is held by this process alone.
        instance: Random text, unique to this process.
        durable: Whether claims and results wait for the disk.

    Raises:
        FolderError: If the folder can't be used.
        OSError: If the disk refuses.
    """

    def __init__(self, folder: Path, *, owner: str, instance: str, durable: bool = True) -> None:
        self._layout = Layout(folder)
        self._layout.make()
        self._publisher = Publisher(self._layout, owner, instance, durable=durable)
        self._queue = LatestMessages(read_revision)
        self._beats: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._lock = threading.RLock()

    def signature(self) -> tuple[int, int, int] | None:
        """Return what changes when the queue is published anew; None while there is none."""
        try:
            found = os.stat(self._layout.queue_file)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def queue(self) -> Revision | None:
        """Read the queue as it was published last; None while there is none.

        Raises:
            WireError: If it can't be read.
            OSError: If the disk refuses.
        """
        with self._lock:
            try:
                return self._queue.read(str(self._layout.queue_file))
            except FileNotFoundError:
                return None

    def free(self, queue: Revision, labels: Collection[str], most: int) -> list[Offer]:
        """Return the best offers that nobody has and that a worker with these labels may run."""
        able, found = frozenset(labels), []
        for offer in queue.offers:
            if able.issuperset(offer.requires) and not self._layout.is_claimed(offer.key):
                found.append(offer)
                if len(found) >= most:
                    break
        return found

    def claim(self, asker: Asker, keys: Sequence[AttemptKey]) -> Claim | None:
        """Claim the first of these attempts that is free; None if none is.

        One that the asker has claimed already, because an answer was lost on the
        way, is that one again: the same request may come any number of times.

        Raises:
            FolderError: If the queue belongs to another campaign.
            WireError: If the queue can't be read.
            OSError: If the disk refuses; ask again for the same attempts.
        """
        check_worker_name(asker.worker)
        with self._lock:
            self._layout.check()
            for key in keys:
                own = self._own_claim(key, asker)
                if own is not None:
                    return self._confirmed(own)
            queue = self.queue()
            if queue is None or queue.state is not QueueState.RUNNING:
                return None
            if queue.campaign != asker.campaign:
                raise FolderError(
                    f"The queue belongs to campaign {queue.campaign!r}, and {asker.worker} works for "
                    f"{asker.campaign!r}. Start that worker pool again."
                )
            offers = {offer.key: offer for offer in queue.offers}
            for key in keys:
                taken = self._link(offers[key], queue, asker) if key in offers else None
                if taken is not None:
                    return self._confirmed(taken)
        return None

    def beat(self, heartbeat: Heartbeat) -> None:
        """Publish a beat, unless a later one of the same process was published before it.

        Raises:
            OSError: If the disk refuses.
        """
        check_worker_name(heartbeat.worker)
        with self._lock:
            self._layout.check()
            instance, beat = self._beats.get(heartbeat.worker, ("", 0))
            if instance == heartbeat.instance and heartbeat.beat <= beat:
                return
            path = self._layout.heartbeat(heartbeat.worker)
            self._publisher.over(path, dump_json(heartbeat.to_wire()), durable=False)
            self._beats[heartbeat.worker] = (heartbeat.instance, heartbeat.beat)
            self._beats.move_to_end(heartbeat.worker)
            while len(self._beats) > MOST_WORKERS:
                self._beats.popitem(last=False)

    def previous_beat(self, worker: str) -> Heartbeat | None:
        """Return the last beat under a worker's name, of any process on any machine; None if there is none.

        Raises:
            OSError: If the disk refuses.
        """
        check_worker_name(worker)
        try:
            return Heartbeat.from_wire(parse_message(read_message(self._layout.heartbeat(worker))))
        except (FileNotFoundError, WireError):
            return None

    def report(self, result: Result) -> None:
        """Publish a result, durably and once; a repetition does nothing.

        Raises:
            TooLargeError: If it is larger than a message may be.
            OSError: If the disk refuses, or another result lies under its name until
                the planner has taken that away; send it again.
        """
        check_worker_name(result.worker)
        data = dump_json(result.to_wire())
        if len(data) > MAX_BYTES:
            raise TooLargeError(f"The result has {len(data)} bytes and may have {MAX_BYTES}. Leave metadata out.")
        path = self._layout.result(result.worker, result.key)
        with self._lock:
            self._layout.check()
            try:
                self._publisher.once(path, data)
            except FileExistsError:
                if not _lies_there(path, data):
                    raise
            self._publisher.confirm(self._layout.dump, [path])

    def _link(self, offer: Offer, queue: Revision, asker: Asker) -> Claim | None:
        if self._layout.is_claimed(offer.key):  # a cheap first look; the link decides
            return None
        claim = Claim(
            queue.campaign, offer.key, queue.revision, offer.parameters,
            asker.worker, asker.instance, asker.host, asker.pid, asker.idempotent,
        )  # fmt: skip
        try:
            self._publisher.once(self._layout.claim(offer.key), dump_json(claim.to_wire()))
        except FileExistsError:
            return self._own_claim(offer.key, asker)  # over NFS the answer to our own link may have been lost
        return claim

    def _own_claim(self, key: AttemptKey, asker: Asker) -> Claim | None:
        try:
            claim = Claim.from_wire(parse_message(read_message(self._layout.claim(key))))
        except (FileNotFoundError, WireError):
            return None
        is_own = (claim.campaign, claim.key) == (asker.campaign, key) and claim.instance == asker.instance
        return claim if is_own and claim.worker == asker.worker else None

    def _confirmed(self, claim: Claim) -> Claim:
        """Return a claim once a power cut can't take it back: only then may anything be started."""
        self._publisher.confirm(self._layout.claims, [self._layout.claim(claim.key)])
        return claim


def _lies_there(path: str, data: bytes) -> bool:
    try:
        return read_message(path) == data
    except (FileNotFoundError, WireError):
        return False
