"""REST queue, a worker's end: the folder's protocol, spoken with a server.

In:    what the server says of the queue; beats and outcomes of one worker process.
Out:   claims, beats and results, each as sure as a file in the folder; results wait on this disk until acknowledged.
Never: starts what it does not know to be its own, or lets a network that is down lose anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alchemy_async.client.problems import RefusedError, UnreachableError
from alchemy_async.client.transport import Transport, part
from alchemy_async.clock import Clock, SystemClock
from alchemy_async.errors import FolderError, WireError
from alchemy_async.experiment.records import AttemptKey, Outcome
from alchemy_async.experiment.states import QueueState
from alchemy_async.experiment.wire import Claim, Heartbeat, Offer, Result, WorkerState
from alchemy_async.files import MAX_BYTES, dump_json, parse_json
from alchemy_async.queues import News
from alchemy_async.queues.layout import check_worker_name
from alchemy_async.queues.reading import read_message
from alchemy_async.queues.spool import KeptError, Spool

ANSWER_S = 5.0  # that an answer may take: whoever waits for it can neither stop nor beat meanwhile
BEAT_S = 2.0  # the same for a beat: the next one says as much
QUIET_S = 2.0  # after one that took long and did not come, in which nothing is tried
SLOW_S = 1.0
REPORT_S = 15.0  # a large result over a thin line
AT_A_TIME = 8  # offers among which a worker asks for the best that is free
MOST_RACES = 50

_FOR_GOOD = frozenset({400, 409, 413, 422})  # refusals of a result that no repetition changes

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Server:
    """Where a session is served.

    Args:
        url: Address of the server, such as ``http://lab-server:8000``.
        session: Id of the session.
        token: What lets this machine in; None: the server wants none.
    """

    url: str
    session: str
    token: str | None = dataclasses.field(default=None, repr=False)

    def transport(self, *, timeout_s: float = ANSWER_S) -> Transport:
        """Return what speaks with it.

        Raises:
            ClientError: If the address is none.
        """
        return Transport(self.url, self.token, timeout_s=timeout_s)

    def path(self, *parts: str) -> str:
        """Return a path below the session's pool."""
        return "/".join(["/sessions", part(self.session), "pool", *map(part, parts)])


class RestWorkerEnd:
    """One worker's end of a session on a server.

    Args:
        server: Where the session is.
        folder: A local folder, on the machine of the instrument; results are spooled in it.
        worker: The worker's name.
        instance: Random text, unique to this process.
        labels: What this worker can do; it claims only what requires no more.
        idempotent: Whether an attempt that was cut off may simply be run again.
        durable: Whether results wait for this machine's disk.
        clock: Times publications.

    Attributes:
        idempotent: As above; may be set later, when the driver has been loaded.
        published_at_monotonic: Seconds of ``clock`` right after the last result
            was acknowledged; None before the first.

    Raises:
        FolderError: If the name can't be a worker's.
        ClientError: If the address is none.
    """

    def __init__(
        self,
        server: Server,
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
        self._server, self._transport = server, server.transport()
        self._spool = Spool(folder, worker, durable=durable)
        self._worker, self._instance, self._labels = worker, instance, tuple(sorted(labels))
        self.idempotent = idempotent
        self._clock = clock or SystemClock()
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._campaign = ""
        self._taken: set[AttemptKey] = set()  # had by this process
        self._asked: list[Offer] = []  # asked for, and the answer was lost: one of them may be ours
        self._is_spool_sent = False
        self._is_marked = False
        self._beat = 0
        self._quiet_until, self._silence = float("-inf"), ""
        self.published_at_monotonic: float | None = None

    def news(self) -> News | None:
        """Read the queue's state; None while there is no queue.

        Raises:
            UnreachableError: If the server does not answer.
            FolderError: If the queue belongs to another campaign than at first.
        """
        return self._as_news(self._ask("GET", "news"))

    def claim(self) -> Offer | None:
        """Claim the best attempt that this worker may run; None if there is none.

        When it returns, the claim is durable and nobody else can start the
        attempt. Results of an earlier process are sent before.

        Raises:
            UnreachableError: If the server does not answer; nothing may be
                started, and what may have been claimed is asked for again.
            RefusedError: If the server refuses, for want of a token, say.
            WireError: If what it says can't be read.
            FolderError: If the queue belongs to another campaign than at first.
        """
        if self._asked and (offer := self._take(self._asked)) is not None:
            return offer
        for _ in range(MOST_RACES):
            said = self._ask("GET", "news", query={"labels": list(self._labels), "offers": AT_A_TIME})
            news = self._as_news(said)
            if news is None:
                return None
            self._send_spooled()
            if news.state is not QueueState.RUNNING:
                return None
            offers = [Offer.from_wire(document) for document in said["offers"]]
            wanted = [offer for offer in offers if offer.key not in self._taken]
            if not wanted:
                return None
            if (offer := self._take(wanted)) is not None:
                return offer
        return None

    def beat(self, state: WorkerState, holds: AttemptKey | None = None) -> None:
        """Say that this worker lives and what it holds.

        Raises:
            OSError: If the server does not hear it.
        """
        self._mark(state)
        self._beat += 1
        heartbeat = Heartbeat(
            self._worker, self._instance, self._beat, state, holds, self._campaign, self._host, self._pid, self._labels
        )
        try:
            body = _without(heartbeat.to_wire(), "format", "worker")
            self._ask("POST", self._worker, "beat", body=body, timeout_s=BEAT_S)
        except RefusedError as error:
            raise UnreachableError(str(error), status=error.status) from error

    def report(self, key: AttemptKey, outcome: Outcome) -> None:
        """Keep a result on this disk, then send it until it is acknowledged; a repetition does nothing.

        One that the server will never take is set aside with the reason, and told.

        Raises:
            KeptError: If the server does not answer; try again, or leave it to the
                next process of this worker: nothing was lost.
            OSError: If this disk refuses; try again.
            FolderError: If there never was a queue that says which campaign this is.
        """
        if not self._campaign and self.news() is None:
            raise FolderError(
                f"{self._server.url} has no queue for session {self._server.session}, so that the result of {key} "
                "belongs to no campaign. See what `control` says there."
            )
        data = _fitting(Result(self._campaign, key, self._worker, outcome).to_wire(), key)
        path = self._spool.keep(self._campaign, key, data)
        try:
            self._send(path)
        except UnreachableError as error:
            raise KeptError(str(error)) from error
        self._taken.add(key)

    def previous_beat(self) -> Heartbeat | None:
        """Return the last beat under this worker's name, of any process on any machine; None if there is none.

        Raises:
            UnreachableError: If the server does not answer.
            RefusedError: If it refuses.
        """
        said = self._ask("GET", self._worker, "beat")["heartbeat"]
        return None if said is None else Heartbeat.from_wire(said)

    def _take(self, offers: Sequence[Offer]) -> Offer | None:
        """Ask for the first of these that is free, until it is known which; the same question is answered the same."""
        self._asked = list(offers)
        body = {
            "campaign": self._campaign,
            "instance": self._instance,
            "host": self._host,
            "pid": self._pid,
            "idempotent": self.idempotent,
            "attempts": [str(offer.key) for offer in offers],
        }
        try:
            said = self._ask("POST", self._worker, "claim", body=body)["claim"]
        except RefusedError as error:
            if error.status in _FOR_GOOD:
                self._asked = []
            raise
        claim = None if said is None else Claim.from_wire(said)
        self._asked = []
        if claim is None:
            return None
        self._taken.add(claim.key)
        (offer,) = (offer for offer in offers if offer.key == claim.key)
        return dataclasses.replace(offer, parameters=claim.parameters)

    def _send_spooled(self) -> None:
        """Send what an earlier process of this worker could not, once."""
        if self._is_spool_sent:
            return
        for path in self._spool.waiting(self._campaign):
            _log.warning("worker=%s sends %s, which an earlier process left", self._worker, path.name)
            self._send(path)
        n_others = self._spool.n_of_others(self._campaign)
        if n_others:
            _log.warning(
                "worker=%s %d results of other sessions wait in %s. Start `alchemy-async work --session ID` of each.",
                self._worker, n_others, "spool/",
            )  # fmt: skip
        self._is_spool_sent = True

    def _send(self, path: Path) -> None:
        try:
            document = parse_json(read_message(path))
            self._ask("POST", self._worker, "report", body=_without(document, "format", "worker"), timeout_s=REPORT_S)
        except FileNotFoundError:
            return
        except (WireError, ValueError) as error:
            self._set_aside(path, f"it can't be read: {error}")
        except RefusedError as error:
            if error.status not in _FOR_GOOD:
                raise UnreachableError(str(error), status=error.status) from error
            self._set_aside(path, str(error))
        else:
            self.published_at_monotonic = self._clock.monotonic()
            self._spool.forget(path)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = self._spool.set_aside(path, reason)
        _log.error(
            "worker=%s the server will never take %s: %s It is kept as %s", self._worker, path.name, reason, aside
        )

    def _mark(self, state: WorkerState) -> None:
        if state is WorkerState.GONE:
            self._spool.unmark()
            self._is_marked = False
        elif not self._is_marked:
            with contextlib.suppress(OSError):  # the server knows, too, that this process did not say goodbye
                self._spool.mark()
                self._is_marked = True

    def _as_news(self, said: Mapping[str, Any]) -> News | None:
        if said["revision"] is None:
            return None
        self._campaign = self._campaign or str(said["campaign"])
        if said["campaign"] != self._campaign:
            raise FolderError(
                f"{self._server.url} serves campaign {said['campaign']!r} as session {self._server.session}, and "
                f"{self._worker} works for {self._campaign!r}. Start `alchemy-async work` again."
            )
        cancel = frozenset(AttemptKey.parse(text) for text in said["cancel"])
        return News(self._campaign, int(said["revision"]), QueueState(said["state"]), cancel)

    def _ask(
        self,
        method: str,
        *parts: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:  # noqa: ANN401 - what JSON can hold
        """Ask the server; after an answer that did not come for long, leave it alone for a while."""
        asked = self._clock.monotonic()
        if asked < self._quiet_until:
            raise UnreachableError(self._silence)
        try:
            return self._transport.call(method, self._server.path(*parts), body=body, query=query, timeout_s=timeout_s)
        except UnreachableError as error:
            if self._clock.monotonic() >= asked + SLOW_S:
                self._quiet_until, self._silence = self._clock.monotonic() + QUIET_S, str(error)
            raise


def _without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def _fitting(document: dict[str, Any], key: AttemptKey) -> bytes:
    """Return a result as bytes that a message may have; the measurement matters more than its metadata."""
    data = dump_json(document)
    if len(data) <= MAX_BYTES:
        return data
    _log.warning(
        "The result of %s has %d bytes and may have %d: its metadata are left out. "
        "Let the driver keep large measurements in a file and name it in metadata.",
        key, len(data), MAX_BYTES,
    )  # fmt: skip
    return dump_json(document | {"metadata": {"left_out": f"{len(data)} bytes, more than a message may have"}})
