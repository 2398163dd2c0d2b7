"""After a power cut: the product is started on a state of the disk, works to the end of the campaign, and is checked.

In:    a state of `power_cut`, an empty folder.
Out:   the promises that were broken, in words; none is what is expected.
Never: believes the product: ledger and folders are read with code of its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from alchemy_async.clock import SimulatedClock
from alchemy_async.errors import WireError
from alchemy_async.experiment import Offer, Outcome, State, Status, WorkerState
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from tests.planner_daemon.conftest import Lab
from tests.system.power_cut import FOLDER, DiskState, Told, files_of

TERMINAL = ("completed", "failed", "infeasible", "cancelled", "abandoned")
MOST_STEPS = 120
STEP_S = 2.0  # the most silence that one look adds to a lease


class _Unsynced(sqlite3.Connection):
    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *rest)


def _skip(_descriptor: int) -> None:
    """Be an fsync that does nothing."""


def _replace(source: str | Path, target: str | Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)  # noqa: PTH108 - what replaces a call of os is made of calls of os
    os.rename(source, target)  # noqa: PTH104 - same


@contextlib.contextmanager
def a_quick_disk() -> Iterator[None]:
    """Wait for no disk: what is checked here is what the product does, not what the disk keeps.

    Fsyncs are left out, SQLite's too, and ext4 does not flush what is renamed over another file.
    """
    connect = functools.partial(sqlite3.connect, factory=_Unsynced)
    with (
        mock.patch.object(os, "fsync", _skip),
        mock.patch.object(os, "replace", _replace),
        mock.patch.object(sqlite3, "connect", connect),
    ):
        yield


class Aftermath:
    """Both daemons on what the power cut left, every process of them a fresh one.

    Args:
        state: What the disk shows.
        folder: An empty folder.
        settings: Of the campaign, as `Lab` takes them.
        may_tear: Whether a message may be half there under its final name, as where there are no hard links.
    """

    def __init__(self, state: DiskState, folder: Path, settings: dict[str, Any], *, may_tear: bool = False) -> None:
        self.state, self.folder, self._settings, self._may_tear = state, folder, settings, may_tear
        self.told = list(state.told)
        self._clock = SimulatedClock()
        self._n_decided = 0
        self._kept: dict[str, tuple[Offer, Outcome]] = {}  # what a worker has measured and could not report yet
        state.lay_out(folder)

    def violations(self, first: str) -> list[str]:
        """Return every promise that is broken, at once or by what happens next.

        Args:
            first: ``worker``: one claims from whatever list it finds, before any planner runs; or ``planner``.
        """
        broken = list(broken_at_once(self.state, may_tear=self._may_tear))
        if broken:
            return broken
        before = _read(self.state.ledger)
        with a_quick_disk():
            has_ended = self._carry_on(first)
        with contextlib.closing(sqlite3.connect(self.folder / "campaign.db")) as ledger:
            after = _read(ledger.serialize())
        if not has_ended:
            broken.append(f"the campaign did not end: {Counter(row['state'] for row in after['experiments'])}")
        broken += [*broken_later(before, after, self.told), *left_behind(self.folder)]
        return broken if self._may_tear else [*broken, *wrongly_rejected(self.folder, self.state.told)]

    def _carry_on(self, first: str) -> bool:
        workers = [] if first == "planner" else [self._worker("w-1")]
        for worker in workers:
            self._work(worker)
        lab = Lab(self.folder, self._clock, **self._settings)
        try:
            for _ in range(MOST_STEPS):
                summary = lab.step(seconds=STEP_S)
                workers = workers if len(workers) == 2 else [self._worker("w-1"), self._worker("w-2")]
                if summary is not None:
                    return True
                for worker in workers:
                    self._work(worker)
                self._decide(lab)
            return False
        finally:
            lab.close()

    def _worker(self, name: str) -> FolderWorkerEnd:
        worker = FolderWorkerEnd(self.folder, worker=name, instance=f"{name}-at-last", clock=self._clock)
        worker.beat(WorkerState.IDLE)
        return worker

    def _work(self, worker: FolderWorkerEnd) -> None:
        """Be a worker for one experiment: the driver measures what it is given; a refused report is kept for later."""
        name = worker._worker
        if name not in self._kept:
            try:
                offer = worker.claim()
            except WireError:
                return
            if offer is None:
                worker.beat(WorkerState.IDLE)
                return
            self.told.append(Told("started", str(offer.key), name, offer.parameters["x"]))
            worker.beat(WorkerState.BUSY, offer.key)
            self._kept[name] = offer, Lab.outcome(self, offer, Status.COMPLETED)  # type: ignore[arg-type]
        offer, outcome = self._kept[name]
        try:
            worker.report(offer.key, outcome)
        except FileExistsError:  # what somebody else put under this name must be taken away first
            return
        del self._kept[name]
        self.told.append(Told("reported", str(offer.key), name, offer.parameters["x"]))
        worker.beat(WorkerState.IDLE)

    @property
    def clock(self) -> SimulatedClock:
        """The clock that outcomes are dated with."""
        return self._clock

    def _decide(self, lab: Lab) -> None:
        """Be the person who looks at the bench."""
        for experiment in lab.ids(State.INTERRUPTED):
            self._n_decided += 1
            with lab.ledger.change() as change:
                if self._n_decided % 2:
                    change.requeue(experiment)
                else:
                    change.abandon(experiment)


# -- what is checked ---------------------------------------------------------


def broken_at_once(state: DiskState, *, may_tear: bool = False) -> Iterator[str]:
    """Yield the promises that the state itself breaks, before anything is started."""
    starts = Counter(told.about for told in state.told if told.what == "started")
    yield from (f"{key} was started {n} times" for key, n in starts.items() if n > 1)
    if state.is_torn and not may_tear:
        yield "a final name shows half a file"
    ledger = _read(state.ledger)
    known = {f"{row['experiment']}.{row['attempt']}": row for row in ledger["attempts"]}
    claims = {name.removesuffix(".json") for name in files_of(state.entries, "dump/claims")}
    for key, row in known.items():
        is_withdrawn = row["ending"] == "withdrawn" and row["is_listed"]
        if row["state"] != "queued" and (row["worker"] or is_withdrawn) and key not in claims:
            yield f"the ledger knows of a claim of {key}, and there is none"
    yield from (f"{key} was started, and nothing says so" for key in starts if key not in claims)
    yield from _queue_violations(state, ledger, known)
    results = files_of(state.entries, "dump")
    kept = {_as_it_came(name) for name in {**files_of(state.entries, "dump/rejected"), **results, **_folders(state)}}
    recorded = {(f"{row['experiment']}.{row['attempt']}", row["worker"]) for row in ledger["outcomes"]}
    for told in state.told:
        if told.what == "reported" and (told.about, told.worker) not in recorded:
            if not _is_result_of(told, results.get(f"worker_result_{told.worker}_{told.about}.json", b"")):
                yield f"{told.about} was reported and is nowhere"
        elif told.what == "spoiled" and told.about not in kept:
            yield f"{told.about} was not valid and is nowhere"


def _queue_violations(state: DiskState, ledger: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    revision = int(ledger["meta"].get("revision", 0))
    published = [int(told.about) for told in state.told if told.what == "published"]
    if max(published, default=0) > revision:
        yield f"workers saw revision {max(published)}, the ledger remembers {revision}"
    text = files_of(state.entries, "pickup").get("priority_queue.json")
    if text is None:
        if len(published) > 1:
            yield "a queue was published twice, and there is none"
        return
    try:
        queue = json.loads(text)
    except ValueError:
        return  # it is torn, as was said above
    if queue["revision"] > revision or queue["campaign"] != ledger["meta"].get("campaign"):
        yield f"the queue has revision {queue['revision']}, the ledger remembers {revision}"
    for offer in queue["experiments"]:
        row = known.get(f"{offer['experiment']}.{offer['attempt']}")
        points = [json.loads(one["parameters"]) for one in ledger["points"] if one["experiment"] == offer["experiment"]]
        if row is None or not row["is_listed"] or offer["parameters"] not in points:
            yield f"{offer['experiment']}.{offer['attempt']} is offered, and the ledger does not know it"


def broken_later(before: dict[str, Any], after: dict[str, Any], told: list[Told]) -> Iterator[str]:
    """Yield the promises that the ledger breaks at the end of the campaign."""
    if after["check"] != "ok":
        yield f"the ledger is not intact: {after['check']}"
    state_of = {row["id"]: row["state"] for row in after["experiments"]}
    for row in before["experiments"]:
        if row["id"] not in state_of or (row["state"] in TERMINAL and state_of[row["id"]] != row["state"]):
            yield f"{row['id']} was {row['state']} and is {state_of.get(row['id'])}"
    counted = Counter(row["experiment"] for row in after["outcomes"] if _counts(row))
    for row in after["experiments"]:
        if row["state"] not in TERMINAL and not row["pinned"]:
            yield f"{row['id']} has no terminal record: {row['state']}"
        if counted[row["id"]] != (row["state"] == "completed"):
            yield f"{row['id']} is {row['state']} and was counted {counted[row['id']]} times"
    starts = Counter(one.about for one in told if one.what == "started")
    yield from (f"{key} was started {n} times" for key, n in starts.items() if n > 1)
    reported = Counter((one.about, one.worker) for one in told if one.what == "reported")
    for one in told:
        if one.what == "reported":
            yield from _record_violations(one, reported[one.about, one.worker], after)


def _record_violations(told: Told, n_reports: int, after: dict[str, Any]) -> Iterator[str]:
    found = [
        row
        for row in after["outcomes"]
        if (f"{row['experiment']}.{row['attempt']}", row["worker"]) == (told.about, told.worker)
    ]
    if not 1 <= len(found) <= n_reports:  # a result without a claim may be there when the attempt is claimed and run
        yield f"{told.about} was reported {n_reports} times and is recorded {len(found)} times"
        return
    if told.x is None:
        return
    row = min(found, key=lambda row: row["role"] == "conflict")
    if row["role"] not in ("result", "replicate"):
        yield f"the measurement of {told.about} is a {row['role']}"
    if json.loads(row["measured"]) != {"y": told.x} or json.loads(row["parameters"]) != {"x": told.x}:
        yield f"{told.about} measured {told.x} and {row['measured']} at {row['parameters']} is recorded"


def left_behind(folder: Path) -> Iterator[str]:
    """Yield what should not lie in the folders when the campaign has ended."""
    yield from (f"{path.name} was left in dump/" for path in (folder / "dump").glob("worker_result_*"))
    yield from (f"{path.name} was left in .staging/" for path in (folder / ".staging").iterdir())


def wrongly_rejected(folder: Path, told: tuple[Told, ...]) -> Iterator[str]:
    """Yield what is among the rejected and should not be, or not once and only once."""
    spoiled = {one.about for one in told if one.what == "spoiled"}
    names = [path.name for path in (folder / "dump" / "rejected").iterdir() if not path.name.endswith(".reason.txt")]
    rejected = Counter(map(_as_it_came, names))
    yield from (f"{name} was rejected" for name in rejected.keys() - spoiled)
    yield from (f"{name} is {rejected[name]} times among the rejected" for name in spoiled if rejected[name] != 1)


def _as_it_came(name: str) -> str:
    """Return what is rejected without the ``-2`` that it gets where a reason was left over alone under its name."""
    return re.sub(r"-[2-9](?=\.json$)", "", name)


def _counts(row: Any) -> bool:
    return row["role"] == "result" and row["status"] == "completed"


def _folders(state: DiskState) -> dict[str, bytes]:
    return {entry.path.rpartition("/")[2]: b"" for entry in state.entries if entry.file == FOLDER}


def _is_result_of(told: Told, data: bytes) -> bool:
    try:
        document = json.loads(data)
    except ValueError:
        return False
    values = {} if told.x is None else {"y": told.x}
    return f"{document['experiment']}.{document['attempt']}" == told.about and document["values"] == values


def _read(ledger: bytes | None) -> dict[str, Any]:
    """Read a ledger's tables; one that is not there, or empty, has none."""
    names = ("experiments", "attempts", "outcomes", "points")
    empty: dict[str, Any] = {**{name: [] for name in names}, "meta": {}, "check": "ok"}
    if not ledger:
        return empty
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.row_factory = sqlite3.Row
        db.deserialize(ledger[:18] + b"\x01\x01" + ledger[20:])  # as if it had never had a -wal file beside it
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return empty
        tables = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        meta = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM meta")}
        return {**tables, "meta": meta, "check": db.execute("PRAGMA integrity_check").fetchone()[0]}
