"""Folder queue, a worker's end: reads ``pickup/``, writes ``dump/``.

In:    the queue as the planner published it; beats and outcomes of one worker process.
Out:   claims, heartbeats and results, each whole and at most once.
Never: removes or overwrites a claim or a result, or runs a driver.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from alchemy_async.clock import Clock, SystemClock
from alchemy_async.errors import FolderError, WireError
from alchemy_async.experiment.records import AttemptKey, Outcome
from alchemy_async.experiment.states import QueueState
from alchemy_async.experiment.wire import Claim, Heartbeat, Offer, Offers, Result, Revision, WorkerState, read_revision
from alchemy_async.files import MAX_BYTES, dump_json
from alchemy_async.queues import News
from alchemy_async.queues.layout import Layout, check_worker_name
from alchemy_async.queues.publishing import Publisher
from alchemy_async.queues.reading import LatestMessages, parse_message, read_message

MOST_APART = 63  # those who lost a race step aside by at most so many places
REMEMBERED_S = 1.0  # is a race that was lost: where experiments take longer, the best comes first

_log = logging.getLogger(__name__)


class FolderWorkerEnd:
    """One worker's end of the two folders.

    The first beat or claim removes what earlier processes of the same worker
    left half-written: from then on its instrument's lock is held.

    Args:
        folder: The campaign folder; folders that are missing in it are made.
        worker: The worker's name.
        instance: Random text, unique to this process.
        labels: What this worker can do; it claims only what requires no more.
        idempotent: Whether an attempt that was cut off may simply be run again.
        durable: Whether claims and results wait for the disk; without it a power cut may lose the last ones.
        clock: Times publications.

    Attributes:
        idempotent: As above; may be set later, when the driver has been loaded.
        published_at_monotonic: Seconds of ``clock`` right after the last result
            became visible; None before the first.

    Raises:
        FolderError: If the folder can't be used, or the name can't be a worker's.
        OSError: If the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        *,
        worker: str,
        instance: str,
        labels: tuple[str, ...] = (),
        idempotent: bool = False,
        durable: bool = True,
        clock: Clock | None = None,
    ) -> None:
        check_worker_name(worker)
        self._layout = Layout(folder)
        self._layout.make()
        self._worker, self._instance, self._labels = worker, instance, frozenset(labels)
        self.idempotent = idempotent
        self._clock = clock or SystemClock()
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._publisher = Publisher(self._layout, worker, instance, durable=durable)
        self._queue = LatestMessages(read_revision)
        self._campaign = ""
        self._taken: set[AttemptKey] = set()  # listed, and nothing to be started: somebody's, or claimed here before
        self._unsure: set[AttemptKey] = set()  # the disk refused while they were claimed here: they may be ours
        self._random = random.Random(f"{worker} {instance}")
        self._n_lost = 0  # by how many places to step aside at most: more after each race that was lost
        self._lost_s = 0.0
        self._beat = 0
        self.published_at_monotonic: float | None = None

    def news(self) -> News | None:
        """Read the queue's state; None while there is no queue.

        Raises:
            WireError: If the queue can't be read.
            FolderError: If it belongs to another campaign than at first.
            OSError: If the disk refuses.
        """
        queue = self._read_queue()
        if queue is None:
            return None
        return News(queue.campaign, queue.revision, queue.state, frozenset(queue.cancel))

    def claim(self) -> Offer | None:
        """Claim the best attempt that this worker may run; None if there is none.

        While others are faster again and again it may be one of the next best:
        of many who all want the first, all but one write a claim in vain.

        When it returns, the claim is durable and nobody else can start the attempt.

        Raises:
            OSError: If the disk refuses; nothing may be started.
            WireError: If the queue can't be read.
            FolderError: If it belongs to another campaign than at first.
        """
        queue = self._read_queue()
        if queue is None or queue.state is not QueueState.RUNNING:
            return None
        self._layout.check()
        for offer in self._choose(queue.offers):
            claim = self._take(offer, queue)
            if claim is not None:
                return dataclasses.replace(offer, parameters=claim.parameters)
        return None

    def _choose(self, offers: Sequence[Offer]) -> Iterator[Offer]:
        """Yield what may be claimed: the best first, or after a race that was lost some of the best in any order.

        Whoever drew something claimed looks further on: what others took lies
        mostly at the head, and to look at each of it costs more than an experiment.
        """
        heads = offers.heads if isinstance(offers, Offers) else [(one.key, one.requires) for one in offers]
        may_take = (
            at
            for at, (key, requires) in enumerate(heads)
            if key not in self._taken and self._labels.issuperset(requires)
        )
        if self._clock.monotonic() > self._lost_s + REMEMBERED_S:
            self._n_lost = 0
        if not self._n_lost:
            yield from (offers[at] for at in may_take)
            return
        reach, free = self._n_lost + 1, list(may_take)
        while free:
            offer = offers[free.pop(self._random.randrange(min(reach, len(free))))]
            if offer.key in self._unsure or not self._layout.is_claimed(offer.key):
                yield offer
            else:
                self._taken.add(offer.key)
                reach += 1 + reach // 2

    def beat(self, state: WorkerState, holds: AttemptKey | None = None) -> None:
        """Say that this worker lives and what it holds.

        Raises:
            OSError: If the disk refuses.
        """
        self._layout.check()
        self._beat += 1
        heartbeat = Heartbeat(
            self._worker, self._instance, self._beat, state, holds, self._campaign, self._host, self._pid,
            tuple(sorted(self._labels)),
        )  # fmt: skip
        self._publisher.over(self._layout.heartbeat(self._worker), dump_json(heartbeat.to_wire()), durable=False)

    def report(self, key: AttemptKey, outcome: Outcome) -> None:
        """Publish a result, durably and once; a repetition does nothing.

        Metadata that make it larger than a message may be are left out, with a
        warning: the measurement matters more.

        Raises:
            OSError: If the disk refuses, or something else lies under the result's
                name (the planner takes it away); try again, nothing was lost.
            FolderError: If there never was a queue that says which campaign this is.
        """
        self._layout.check()
        if not self._campaign and self._read_queue() is None:
            raise FolderError(
                f"{self._layout.queue_file} does not exist, so that the result of {key} belongs to no campaign. "
                f"Start `alchemy-async plan {self._layout.folder}`."
            )
        path, data = self._layout.result(self._worker, key), self._write_result(key, outcome)
        try:
            self._publisher.once(path, data)
            self.published_at_monotonic = self._clock.monotonic()
        except FileExistsError:
            if not _lies_there(path, data):  # once the planner has taken it away, this one is kept beside it
                raise
        self._taken.add(key)
        self._publisher.confirm(self._layout.dump, [path])

    def previous_beat(self) -> Heartbeat | None:
        """Return the last beat under this worker's name, of any process on any machine; None if there is none.

        Raises:
            OSError: If the disk refuses.
        """
        try:
            return Heartbeat.from_wire(parse_message(read_message(self._layout.heartbeat(self._worker))))
        except (FileNotFoundError, WireError):
            return None

    def _read_queue(self) -> Revision | None:
        try:
            queue = self._queue.read(str(self._layout.queue_file))
        except FileNotFoundError:
            return None
        except WireError as error:
            raise type(error)(
                f"{self._layout.queue_file} can't be read: {error}. Only the planner may write it; "
                "its next revision replaces it.",
                field=error.field,
            ) from error
        self._campaign = self._campaign or queue.campaign
        if queue.campaign != self._campaign:
            raise FolderError(
                f"{self._layout.queue_file} belongs to campaign {queue.campaign!r}, and {self._worker} works for "
                f"{self._campaign!r}. Start `alchemy-async work {self._layout.folder}` again."
            )
        return queue

    def _take(self, offer: Offer, queue: Revision) -> Claim | None:
        """Return this process's claim; one whose fsync failed may speak of an earlier revision's parameters."""
        path = self._layout.claim(offer.key)
        own = Claim(
            self._campaign, offer.key, queue.revision, offer.parameters,
            self._worker, self._instance, self._host, self._pid, self.idempotent,
        )  # fmt: skip
        if not self._layout.is_claimed(offer.key):  # a cheap first look; the link decides
            taken = self._link(path, own)
        else:
            taken = self._own_claim(path) if offer.key in self._unsure else None
        if taken is not None:  # durable before anything is started: a power cut must not offer it again
            self._unsure.add(offer.key)
            self._publisher.confirm(self._layout.claims, [path])
            self._unsure.discard(offer.key)
        self._taken.add(offer.key)
        return taken

    def _link(self, path: str, own: Claim) -> Claim | None:
        try:
            self._publisher.once(path, dump_json(own.to_wire()))
        except FileExistsError:
            self._n_lost, self._lost_s = min(2 * self._n_lost + 1, MOST_APART), self._clock.monotonic()
            return self._own_claim(path)  # over NFS the answer to our own link may have been lost
        except OSError:
            self._unsure.add(own.key)
            raise
        self._n_lost -= self._random.random() * MOST_APART < self._n_lost
        return own

    def _own_claim(self, path: str) -> Claim | None:
        """Return the claim if it is this process's: the disk took it, and its answer was lost."""
        try:
            claim = Claim.from_wire(parse_message(read_message(path)))
        except (FileNotFoundError, WireError):
            return None  # the name is taken all the same
        return claim if claim.instance == self._instance else None

    def _write_result(self, key: AttemptKey, outcome: Outcome) -> bytes:
        document = Result(self._campaign, key, self._worker, outcome).to_wire()
        data = dump_json(document)
        if len(data) <= MAX_BYTES:
            return data
        _log.warning(
            "The result of %s has %d bytes and may have %d: its metadata are left out. "
            "Let the driver keep large measurements in a file and name it in metadata.",
            key, len(data), MAX_BYTES,
        )  # fmt: skip
        return dump_json(document | {"metadata": {"left_out": f"{len(data)} bytes, more than a message may have"}})


def _lies_there(path: str, data: bytes) -> bool:
    try:
        return read_message(path) == data
    except (FileNotFoundError, WireError):
        return False
