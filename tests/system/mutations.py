"""Mutations: the product with one safeguard taken away, as a careless change might do it.

In:    a name.
Out:   what the product then no longer does: steps that are left out, or code that is replaced while a story is played.
Never: touches a file of the product.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from alchemy_async.files import fsync_folder
from alchemy_async.ledger import Change, Ingested
from alchemy_async.planner_daemon.intake import Intake
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.queues.publishing import Publisher
from tests.system import cut_stories
from tests.system.cut_world import Story
from tests.system.disk import Step

_put_off: list[str] = []  # names of steps that are left out for the moment


@dataclass(frozen=True)
class Mutation:
    """One safeguard less.

    Args:
        name: What is missing.
        story: Where it must show.
        left_out: Names of steps that are not made.
        altered: Entered while the story is played, and while the product goes on after the power cut.
    """

    name: str
    story: Story
    left_out: frozenset[str] = frozenset()
    altered: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext

    def __str__(self) -> str:
        return self.name.replace(" ", "_")

    def is_left_out(self, step: Step) -> bool:
        """Tell whether a step is not made."""
        return step.name in self.left_out or step.name in _put_off


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    _put_off.append(name)
    try:
        yield
    finally:
        _put_off.remove(name)


@contextlib.contextmanager
def result_unlinked_before_the_commit() -> Iterator[None]:
    real = FolderPlannerEnd.collect

    def collect(self, open_attempts):
        collected = real(self, open_attempts)
        for delivery in collected.deliveries:
            (self._layout.dump / delivery.name).unlink()
        return collected

    with mock.patch.object(FolderPlannerEnd, "collect", collect):
        yield


@contextlib.contextmanager
def every_delivery_counted() -> Iterator[None]:
    real = Change.ingest

    def ingest(self, result, digest):
        ingested = real(self, result, digest)
        if ingested is not Ingested.DUPLICATE:
            return ingested
        return self._record(result, digest, self._attempt(result.key), Ingested.REPLICATE)

    with mock.patch.object(Change, "ingest", ingest):
        yield


@contextlib.contextmanager
def claim_renamed_into_place() -> Iterator[None]:
    link = os.link

    def rename(source, target, **options):
        if Path(target).parent.name != "claims":
            return link(source, target, **options)
        return os.rename(source, target)  # noqa: PTH104 - what is mutated is a call of os

    with mock.patch.object(os, "link", rename):
        yield


@contextlib.contextmanager
def driver_started_before_the_fsync() -> Iterator[None]:
    claim, beat = FolderWorkerEnd.claim, FolderWorkerEnd.beat

    def claim_first(self):
        with _without("claims.fsynced"):
            return claim(self)

    def fsync_later(self, *state):
        fsync_folder(self._layout.claims)
        beat(self, *state)

    patches = {"claim": claim_first, "beat": fsync_later}
    with mock.patch.multiple(FolderWorkerEnd, **patches):
        yield


@contextlib.contextmanager
def claim_committed_before_the_fsync() -> Iterator[None]:
    collect, take = FolderPlannerEnd.collect, Intake.take

    def collect_first(self, open_attempts):
        with _without("claims.fsynced"):
            return collect(self, open_attempts)

    def fsync_later(self, collected):
        is_fresh = take(self, collected)
        fsync_folder(self._queue._layout.claims)
        return is_fresh

    with mock.patch.object(FolderPlannerEnd, "collect", collect_first), mock.patch.object(Intake, "take", fsync_later):
        yield


@contextlib.contextmanager
def withdrawal_committed_before_the_fsync() -> Iterator[None]:
    withdraw = FolderPlannerEnd.withdraw

    def withdraw_only(self, key):
        with _without("claims.fsynced"):
            return withdraw(self, key)

    with mock.patch.object(FolderPlannerEnd, "withdraw", withdraw_only):
        yield


@contextlib.contextmanager
def failed_fsync_trusted_when_tried_again() -> Iterator[None]:
    def confirm(self, folder, names):
        fsync_folder(folder)

    with mock.patch.object(Publisher, "confirm", confirm):
        yield


_CYCLE = Story(cut_stories.an_experiment_is_claimed_run_reported_and_ingested)
_SPOILED = Story(cut_stories.a_spoiled_result_is_rejected, cut_stories.something_spoiled(b'{"format": 1'))

MUTATIONS = (
    Mutation("no fsync of a result", _CYCLE, frozenset({"result.fsynced"})),
    Mutation("no fsync of a claim", _CYCLE, frozenset({"claim.fsynced"})),
    Mutation("no fsync of the queue", _CYCLE, frozenset({"queue.fsynced"})),
    Mutation("no fsync of the claims folder", _CYCLE, frozenset({"claims.fsynced"})),
    Mutation("no fsync of the dump folder", _CYCLE, frozenset({"dump.fsynced"})),
    Mutation(
        "no fsync of the folders that were made",
        Story(cut_stories.a_campaign_begins_and_a_worker_starts, cut_stories.nothing),
        frozenset({"folder.fsynced", "dump.fsynced"}),
    ),
    Mutation("a result unlinked before the commit", _CYCLE, altered=result_unlinked_before_the_commit),
    Mutation("no dedupe", _CYCLE, altered=every_delivery_counted),
    Mutation(
        "a claim by check then write",
        Story(cut_stories.two_workers_want_the_same_experiment),
        altered=claim_renamed_into_place,
    ),
    Mutation("a driver started before the fsync of its claim", _CYCLE, altered=driver_started_before_the_fsync),
    Mutation(
        "a claim committed before its fsync",
        Story(cut_stories.the_planner_sees_a_claim_before_its_fsync),
        altered=claim_committed_before_the_fsync,
    ),
    Mutation(
        "a withdrawal committed before its fsync",
        Story(cut_stories.a_person_cancels_what_is_queued),
        altered=withdrawal_committed_before_the_fsync,
    ),
    Mutation(
        "a failed fsync tried again and trusted",
        Story(cut_stories.the_disk_refuses_a_worker),
        altered=failed_fsync_trusted_when_tried_again,
    ),
    Mutation("a spoiled result unlinked before its copy is durable", _SPOILED, frozenset({"rejected.folder_fsynced"})),
)
