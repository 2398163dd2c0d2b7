"""Every call to the disk refused in turn, as SQLite tests itself; and no trust in an fsync that failed before.

In one process, with the real daemon, ledger and folder queue. Whoever gets an OSError does what the real loops do: the
same again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import AttemptKey, State, WorkerState
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN, a_revision, an_offer, an_outcome
from tests.planner_daemon.conftest import Lab
from tests.system.os_calls import NAMING, Calls, RefusingLedger, insist
from tests.system.real_daemons import folder_in_memory

pytestmark = [
    pytest.mark.fault(5),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the file behind a descriptor by /proc"),
]

KEY = AttemptKey("e0001", 1)


def start_worker(folder):
    """Start a worker as a pool does: one that the disk refused at its start is followed by another."""
    for _ in range(10):
        with contextlib.suppress(OSError):
            return FolderWorkerEnd(folder, worker="w-1", instance="i1")
    raise AssertionError("no worker could start")


def run_campaign(lab, calls):
    """Three experiments, one cancelled on the way, one rejected file."""
    lab.ledger._db.execute("PRAGMA synchronous = OFF")
    lab.ledger._db = RefusingLedger(lab.ledger._db, calls)
    worker = start_worker(lab.folder)

    def beat(state, holds=None):
        with contextlib.suppress(OSError):
            worker.beat(state, holds)

    def cancel(experiment):
        with lab.ledger.change() as change:
            change.request_cancel(experiment)

    beat(WorkerState.IDLE)
    (lab.folder / "dump" / "worker_result_junk.json").write_text("junk")
    insist(lab.step)
    insist(lambda: cancel(lab.ids(State.QUEUED)[-1]))
    for _ in range(20):
        summary = insist(lambda: lab.step(seconds=0.6))
        if summary is not None:
            return
        offer = insist(worker.claim)
        if offer is not None:
            beat(WorkerState.BUSY, offer.key)
            insist(lambda offer=offer: worker.report(offer.key, lab.outcome(offer)))
            beat(WorkerState.IDLE)
    raise AssertionError("the campaign did not end")


def harm_done(folder):
    """Return what a campaign that ended has lost, doubled or left half-written."""
    with contextlib.closing(sqlite3.connect(folder / "campaign.db")) as ledger:
        states = [state for (state,) in ledger.execute("SELECT state FROM experiments")]
        outcomes = ledger.execute("SELECT experiment, status, role FROM outcomes").fetchall()
    bad = [] if sorted(states) == ["cancelled", *["completed"] * 3] else [f"states {states}"]
    if len(outcomes) != 3 or len(set(outcomes)) != 3 or {row[1:] for row in outcomes} != {("completed", "result")}:
        bad.append(f"outcomes {outcomes}")
    bad += [f"left {path.name}" for path in (folder / "dump").glob("worker_result_*")]
    rejected = sorted(path.name for path in (folder / "dump" / "rejected").iterdir())
    if rejected != ["worker_result_junk.json", "worker_result_junk.json.reason.txt"]:
        bad.append(f"rejected {rejected}")
    for path in [*folder.glob("dump/claims/*"), *folder.glob("dump/workers/*"), folder / "pickup/priority_queue.json"]:
        try:
            json.loads(path.read_bytes())
        except ValueError:
            bad.append(f"{path.name} is torn")
    return bad


def campaign_with(folder, refuse=lambda number, name, path: 0):
    """Run the campaign in a fresh folder; return the calls that were made and the harm that was done."""
    lab = Lab(folder, SimulatedClock(), budget="experiments = 3")
    try:
        with Calls(folder, refuse).watched() as calls:
            run_campaign(lab, calls)
    finally:
        lab.close()
    return calls, harm_done(folder)


def refused_from(first, error, times):
    return lambda number, name, path: error if first <= number < first + times else 0


def try_all(place, errors, *, times=1, every=1):
    undisturbed, harm = campaign_with(place / "undisturbed")
    assert harm == []
    found = {}
    for number in range(0, undisturbed.n_seen, every):
        for error in errors(number):
            where = place / f"{number}-{error}"
            calls, harm = campaign_with(where, refused_from(number, error, times))
            if harm:
                refused = [(name, Path(path).name) for name, path, is_refused in calls.made if is_refused]
                found[number, errno.errorcode[error], *refused] = harm
            shutil.rmtree(where)
    return {name for name, _, _ in undisturbed.made}, undisturbed.n_seen, found


@pytest.fixture
def place(tmp_path):
    with folder_in_memory(tmp_path) as made:
        yield made


def test_whichever_call_the_disk_refuses_once_nothing_is_lost_doubled_or_torn(place, figures):
    names, n, harm = try_all(place, lambda number: [(errno.EIO, errno.ENOSPC)[number % 2]], every=5)

    assert {"open", "write", "fsync", "link", "replace", "unlink", "commit"} <= names
    assert harm == {}
    figures(calls_refused=n // 5, lost=0, doubled=0, torn=0)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.timeout(900)
def test_whatever_error_and_however_often_the_disk_refuses_nothing_is_lost_doubled_or_torn(place, times, figures):
    kinds = (errno.EIO, errno.ENOSPC, errno.EROFS)

    _, n, harm = try_all(place, lambda number: kinds, times=times)

    assert harm == {}
    figures(calls_refused=n * len(kinds) * times, lost=0, doubled=0, torn=0)


# -- an fsync that failed ------------------------------------------------------


@pytest.fixture
def planner(tmp_path):
    end = FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=SimulatedClock())
    end.publish(a_revision(an_offer(1), an_offer(2)))
    yield end
    end.close()


@pytest.fixture
def worker(tmp_path, planner):
    return FolderWorkerEnd(tmp_path, worker="w1", instance="i1")


def fails_once(folder):
    """Refuse the first fsync of a folder: the kernel may have dropped what it could not write."""
    refused = []

    def refuse(number, name, path):
        if name == "fsync" and path == str(folder) and not refused:
            refused.append(number)
            return errno.EIO
        return 0

    return refuse


def between_the_failure_and_the_next_sync(made, folder):
    """Return the calls after the failed fsync of a folder, up to its next one."""
    failed = next(n for n, (_, _, is_refused) in enumerate(made) if is_refused)
    following = [n for n, call in enumerate(made) if n > failed and call == ("fsync", str(folder), False)]
    assert following, "a failed fsync must be made up for before anything counts as durable"
    return made[failed + 1 : following[0]]


def assert_written_again(made, path):
    """See that a name was put in its place again, with content that was synced, before its folder was."""
    calls = between_the_failure_and_the_next_sync(made, path.parent)
    named = [n for n, (name, where, _) in enumerate(calls) if name in NAMING and where == str(path)]
    assert named, f"{path.name} was trusted to a folder whose fsync had failed; only these calls were made: {calls}"
    before = calls[: named[-1]]
    assert any(name == "fsync" for name, _, _ in before), f"the second copy of {path.name} was not synced: {calls}"


def assert_named_again(made, path):
    """See that a name was put in its place again before its folder was synced."""
    calls = between_the_failure_and_the_next_sync(made, path.parent)
    assert any(name in NAMING and where == str(path) for name, where, _ in calls), f"{path.name} was trusted: {calls}"


def make_insistently(tmp_path, folder, *actions):
    with Calls(tmp_path, fails_once(folder)).watched() as calls:
        for action in actions:
            with pytest.raises(OSError, match="Input/output error"):
                action()
            action()
    return calls.made


def test_a_claim_whose_folder_was_not_synced_is_written_again_before_the_driver_may_start(tmp_path, planner, worker):
    claims = tmp_path / "dump" / "claims"

    made = make_insistently(tmp_path, claims, worker.claim)

    assert_written_again(made, claims / f"{KEY}.json")
    assert [claim.instance for claim in planner.collect([KEY]).claims] == ["i1"]


def test_a_result_whose_folder_was_not_synced_is_written_again_before_it_counts_as_reported(tmp_path, planner, worker):
    dump = tmp_path / "dump"
    worker.claim()

    made = make_insistently(tmp_path, dump, lambda: worker.report(KEY, an_outcome()))

    assert_written_again(made, dump / f"worker_result_w1_{KEY}.json")
    assert [delivery.result.outcome for delivery in planner.collect([KEY]).deliveries] == [an_outcome()]


def test_a_withdrawal_whose_folder_was_not_synced_is_written_again_before_it_counts(tmp_path, planner):
    claims = tmp_path / "dump" / "claims"

    made = make_insistently(tmp_path, claims, lambda: planner.withdraw(KEY))

    assert_written_again(made, claims / f"{KEY}.json")


def test_claims_that_the_planner_could_not_sync_are_written_again_before_it_commits_them(tmp_path, planner, worker):
    claims = tmp_path / "dump" / "claims"
    worker.claim()
    content = (claims / f"{KEY}.json").read_bytes()

    made = make_insistently(tmp_path, claims, lambda: planner.collect([KEY]))

    assert_written_again(made, claims / f"{KEY}.json")
    assert (claims / f"{KEY}.json").read_bytes() == content


def test_a_claim_that_a_result_brought_is_written_again_if_it_could_not_be_synced(tmp_path, planner, worker):
    claims = tmp_path / "dump" / "claims"
    worker.report(KEY, an_outcome())

    made = make_insistently(tmp_path, claims, lambda: planner.collect([KEY]))

    assert_written_again(made, claims / f"{KEY}.json")


def test_a_rejected_file_leaves_dump_only_after_a_sync_that_speaks_of_its_other_name(tmp_path, planner):
    name = "worker_result_junk.json"
    source, rejected = tmp_path / "dump" / name, tmp_path / "dump" / "rejected"
    source.write_text("junk")
    planner.collect([])

    made = make_insistently(tmp_path, rejected, lambda: planner.settle(name, "it is junk"))

    assert_named_again(made, rejected / name)
    assert not source.exists()
    synced = [n for n, call in enumerate(made) if call == ("fsync", str(rejected), False)]
    assert made.index(("unlink", str(source), False)) > synced[0]
    assert (rejected / name).read_text() == "junk"


def test_a_revision_whose_folder_was_not_synced_is_published_again(tmp_path, planner):
    pickup = tmp_path / "pickup"

    made = make_insistently(tmp_path, pickup, lambda: planner.publish(a_revision(an_offer(3), number=2)))

    assert_written_again(made, pickup / "priority_queue.json")


def test_a_file_whose_fsync_failed_is_thrown_away_and_never_synced_again(tmp_path, planner, worker):
    def refuse(number, name, path):
        return errno.EIO if name == "fsync" and ".staging" in path and not failed else 0

    failed = []
    with Calls(tmp_path, lambda *call: failed.append(call[2]) or errno.EIO if refuse(*call) else 0).watched() as calls:
        for action in (worker.claim, worker.claim):
            with contextlib.suppress(OSError):
                action()

    synced = [path for name, path, _ in calls.made if name == "fsync"]
    assert len(failed) == 1
    assert synced.count(failed[0]) == 1
    assert ("unlink", failed[0], False) in calls.made
