from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace

import pytest
from folder_messages import KEY, a_result, put_result

from alchemy_async.clock import SimulatedClock
from alchemy_async.errors import FolderError, NewerFormatError
from alchemy_async.experiment import AttemptKey, Claim, QueueState, WorkerState
from alchemy_async.queues import PlannerEnd, folder_planner, publishing
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN, a_revision, an_offer, an_outcome


def a_claim(**changes) -> dict:
    return Claim(CAMPAIGN, KEY, 1, {"temperature": 300.0}, "w1", "i1").to_wire() | changes


def put_claim(dump, document, key=KEY):
    path = dump / "claims" / f"{key}.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_it_is_a_planner_end(planner):
    assert isinstance(planner, PlannerEnd)


def test_the_folders_are_made_in_a_campaign_folder_that_has_none(tmp_path, planner):
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

    assert made == [".staging", "dump", "dump/claims", "dump/rejected", "dump/workers", "pickup"]


def test_a_campaign_folder_that_does_not_exist_is_not_made(tmp_path, clock):
    with pytest.raises(FolderError, match="alchemy-async init"):
        FolderPlannerEnd(tmp_path / "nowhere", campaign=CAMPAIGN, clock=clock)

    assert not (tmp_path / "nowhere").exists()


def test_a_published_revision_is_a_readable_document_and_leaves_nothing_in_staging(tmp_path, planner):
    planner.publish(a_revision(an_offer(), number=3))

    text = (tmp_path / "pickup" / "priority_queue.json").read_text()
    assert json.loads(text) == a_revision(an_offer(), number=3).to_wire()
    assert len(text.splitlines()) > 5
    assert not list((tmp_path / ".staging").iterdir())


def test_leftovers_of_a_planner_that_was_killed_are_removed_and_those_of_workers_are_not(tmp_path, planner, clock):
    (tmp_path / ".staging" / "planner.0123.7").write_text("half")
    (tmp_path / ".staging" / "planner-2.0123.7").write_text("half")

    FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=clock)

    assert [path.name for path in (tmp_path / ".staging").iterdir()] == ["planner-2.0123.7"]


def test_a_folder_whose_queue_belongs_to_another_campaign_is_refused(tmp_path, planner, clock):
    planner.publish(a_revision())

    with pytest.raises(FolderError, match="alchemy-async clear"):
        FolderPlannerEnd(tmp_path, campaign="other-00000000", clock=clock)


@pytest.mark.fault(15)
def test_a_folder_whose_queue_is_of_a_newer_format_is_refused(tmp_path, planner, clock):
    (tmp_path / "pickup" / "priority_queue.json").write_text(json.dumps(a_revision().to_wire() | {"format": 2}))

    with pytest.raises(NewerFormatError, match="Install a newer"):
        FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=clock)


def test_a_queue_that_is_garbage_is_replaced_because_the_ledger_leads(tmp_path, planner, clock):
    (tmp_path / "pickup" / "priority_queue.json").write_bytes(b"\x00")

    FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=clock).publish(a_revision())

    assert json.loads((tmp_path / "pickup" / "priority_queue.json").read_text())["campaign"] == CAMPAIGN


@pytest.mark.parametrize("name", [".staging", "pickup", "dump", "dump/claims", "dump/workers", "dump/rejected"])
@pytest.mark.fault(5)
def test_a_folder_that_was_replaced_by_a_link_is_refused(tmp_path, planner, tmp_path_factory, name):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (tmp_path / name).rename(tmp_path / "aside")
    (tmp_path / name).symlink_to(elsewhere)

    for act in (
        lambda: planner.collect([KEY]),
        lambda: planner.publish(a_revision()),
        lambda: planner.withdraw(KEY),
        lambda: planner.settle("worker_result_x", "bad"),
    ):
        with pytest.raises(OSError, match="links are not followed"):
            act()
    assert not list(elsewhere.iterdir())


@pytest.mark.fault(5)
def test_a_folder_that_vanished_is_told_and_taken_up_again_when_it_is_back(tmp_path, planner):
    put_result(tmp_path / "dump")
    (tmp_path / "dump").rename(tmp_path / "aside")

    with pytest.raises(FolderError, match="Put it back with what was in it"):
        planner.collect([KEY])
    (tmp_path / "aside").rename(tmp_path / "dump")

    assert len(planner.collect([KEY]).deliveries) == 1


def test_a_withdrawal_is_a_claim_by_the_planner(planner, dump):
    assert planner.withdraw(KEY)

    (claim,) = planner.collect([KEY]).claims
    assert (claim.worker, claim.instance, claim.parameters) == ("planner", "", {})


def test_a_withdrawal_is_on_disk_before_it_counts_even_one_from_before_a_crash(planner, dump, monkeypatch):
    synced = []
    monkeypatch.setattr(publishing, "fsync_folder", synced.append)

    planner.withdraw(KEY)
    planner.withdraw(KEY)

    assert synced == [str(dump / "claims")] * 2


def test_a_name_that_an_empty_claim_takes_can_not_be_withdrawn(planner, dump):
    put_claim(dump, "")

    assert not planner.withdraw(KEY)


@pytest.mark.parametrize(
    "content",
    ["", "{", json.dumps(a_claim(campaign="other-00000000")), json.dumps(a_claim(attempt=2)), "x" * 5_000_000],
)
def test_a_claim_that_can_not_be_read_counts_as_somebodys_once_it_does_not_change(planner, clock, dump, content):
    put_claim(dump, content)

    waiting = planner.collect([KEY])
    clock.advance(0.5)
    (claim,) = planner.collect([KEY]).claims

    assert (waiting.claims, waiting.again_in_s) == ((), 0.5)
    assert (claim.key, claim.worker, claim.instance, claim.parameters) == (KEY, "unknown", "", {})


def test_a_link_in_place_of_a_claim_takes_the_name_and_is_not_followed(planner, clock, dump, tmp_path):
    (tmp_path / "secret.json").write_text(json.dumps(a_claim()))
    (dump / "claims" / f"{KEY}.json").symlink_to(tmp_path / "secret.json")

    planner.collect([KEY])
    clock.advance(0.5)

    assert [claim.worker for claim in planner.collect([KEY]).claims] == ["unknown"]


def test_a_claim_that_is_being_written_is_waited_for(planner, clock, dump):
    put_claim(dump, "{")
    planner.collect([KEY])
    clock.advance(0.4)
    put_claim(dump, "{ ")
    planner.collect([KEY])
    clock.advance(0.4)
    assert not planner.collect([KEY]).claims

    put_claim(dump, a_claim())

    assert [claim.worker for claim in planner.collect([KEY]).claims] == ["w1"]


def test_a_result_whose_claim_can_not_be_read_names_the_worker(planner, dump):
    put_claim(dump, "")
    put_result(dump, a_result(parameters={"temperature": 301.0}))

    (claim,) = planner.collect([KEY]).claims

    assert (claim.worker, claim.parameters) == ("w1", {"temperature": 301.0})


def test_a_claim_that_came_between_the_looks_is_read_and_not_written_again(planner, dump, monkeypatch):
    def look(open_attempts, look=planner._results.look):
        put_claim(dump, a_claim())
        put_result(dump, a_result())
        return look(open_attempts)

    written = []
    monkeypatch.setattr(planner._results, "look", look)
    monkeypatch.setattr(planner._publisher, "once", lambda path, data: written.append(path))

    (claim,) = planner.collect([KEY]).claims

    assert (claim.worker, claim.instance) == ("w1", "i1")
    assert written == []


def test_a_claim_is_on_disk_before_it_is_returned_or_remembered(planner, dump, monkeypatch):
    put_claim(dump, a_claim())
    synced = []
    monkeypatch.setattr(publishing, "fsync_folder", synced.append)
    planner.collect([KEY])
    planner.collect([KEY])

    assert synced == [str(dump / "claims")]


@pytest.mark.fault(5)
def test_a_claim_whose_fsync_failed_is_synced_again_before_it_counts(planner, dump, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    put_claim(dump, a_claim())
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        with pytest.raises(OSError, match="Input/output"):
            planner.collect([KEY])
    synced = []
    monkeypatch.setattr(publishing, "fsync_folder", synced.append)

    assert len(planner.collect([KEY]).claims) == 1
    assert synced == [str(dump / "claims")]


def test_claims_of_attempts_that_are_no_longer_open_are_forgotten(planner, dump):
    put_claim(dump, a_claim())
    planner.collect([KEY])

    assert not planner.collect([]).claims
    assert not planner._claims


def test_a_worker_that_ends_while_the_planner_looks_is_seen_gone_only_with_its_result(planner, new_worker, monkeypatch):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    worker.beat(WorkerState.BUSY, KEY)
    read = planner._read_heartbeats

    def end_then_read():
        worker.report(KEY, an_outcome())
        worker.beat(WorkerState.GONE)
        return read()

    monkeypatch.setattr(planner, "_read_heartbeats", end_then_read)

    collected = planner.collect([KEY])

    assert [heartbeat.state for heartbeat in collected.heartbeats] == [WorkerState.GONE]
    assert len(collected.deliveries) == 1


def test_heartbeats_that_are_no_beats_of_this_campaign_are_passed_over(planner, dump, new_worker):
    new_worker().beat(WorkerState.IDLE)
    good = json.loads((dump / "workers" / "w1.json").read_text())
    for name, content in {
        "w2.json": "{",
        "w3.json": json.dumps(good),
        "w4.json": json.dumps(good | {"worker": "w4", "campaign": "other-00000000"}),
        "w5.json": json.dumps(good | {"worker": "w5", "state": "asleep"}),
        "w6.json": json.dumps(good | {"worker": "w6", "host": "x" * 100_000}),
        "w1 (copy).json": json.dumps(good),
        "w7.txt": json.dumps(good | {"worker": "w7"}),
    }.items():
        (dump / "workers" / name).write_text(content)
    os.mkfifo(dump / "workers" / "w8.json")

    assert [heartbeat.worker for heartbeat in planner.collect([]).heartbeats] == ["w1"]


def test_a_beat_that_looks_just_like_the_last_file_is_still_read(planner, dump, new_worker):
    worker = new_worker()
    worker.beat(WorkerState.IDLE)
    planner.collect([])
    path = dump / "workers" / "w1.json"
    before = path.stat()
    text = path.read_text()

    path.write_text(text.replace('"beat": 1', '"beat": 2'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert planner.collect([]).heartbeats[0].beat == 2


def test_waking_ends_a_wait_from_another_thread(planner):
    while planner.wait(1.2):
        pass
    threading.Timer(0.05, planner.wake).start()

    assert planner.wait(30)


def test_reading_and_settling_results_wakes_nobody(planner, dump, new_worker):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    worker.report(KEY, an_outcome())
    planner.collect([KEY])  # the first confirmation of a start writes claims again
    while planner.wait(1.2):
        pass

    planner.settle(planner.collect([KEY]).deliveries[0].name)

    assert not planner.wait(0.3)


def flood(planner, dump, looks):
    for look in range(looks):
        for number in range(folder_planner.MANY):
            key = AttemptKey(f"e{look * folder_planner.MANY + number:04d}", 1)
            put_result(dump, a_result(key=key), f"worker_result_w1_{key}.json")
        for delivery in planner.collect([]).deliveries:
            planner.settle(delivery.name)


def until(is_so):
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_where_results_come_all_the_time_it_looks_again_and_again_instead_of_being_told(planner, dump):
    planner.wait(1.2)

    flood(planner, dump, folder_planner.MANY_LOOKS)
    until(lambda: planner._watch.is_deaf)

    began = time.monotonic()
    assert all(planner.wait(30) for _ in range(10))  # nothing came, and yet it is worth a look
    assert time.monotonic() - began < 5
    put_result(dump)
    assert [delivery.result.key for delivery in planner.collect([]).deliveries] == [KEY]


def test_once_results_are_seldom_it_waits_to_be_told_again(planner, dump, clock):
    planner.wait(1.2)
    flood(planner, dump, folder_planner.MANY_LOOKS)
    until(lambda: planner._watch.is_deaf)

    planner.collect([])
    assert planner._watch._rests.is_set(), "one calm look is no calm"
    clock.advance(folder_planner.CALM_S)
    planner.collect([])
    until(lambda: not planner._watch.is_deaf)

    while planner.wait(1.2):
        pass
    put_result(dump)
    assert planner.wait(30)


def test_a_few_busy_looks_are_no_reason_to_stop_listening(planner, dump):
    planner.wait(1.2)

    flood(planner, dump, folder_planner.MANY_LOOKS - 1)
    planner.collect([])
    flood(planner, dump, folder_planner.MANY_LOOKS - 1)

    assert not planner._watch._rests.is_set()


@pytest.mark.fault(5)
def test_a_revision_that_can_not_be_written_leaves_the_last_one(tmp_path, planner, monkeypatch):
    planner.publish(a_revision(number=1))

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            planner.publish(replace(a_revision(number=2), state=QueueState.STOPPED))

    assert json.loads((tmp_path / "pickup" / "priority_queue.json").read_text())["revision"] == 1
    assert not list((tmp_path / ".staging").iterdir())


@pytest.mark.fault(9)
def test_where_there_are_no_hard_links_claims_and_withdrawals_still_exclude_each_other(
    planner, new_worker, monkeypatch
):
    def refuse(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    planner.publish(a_revision(an_offer(1), an_offer(2)))
    worker = new_worker()

    assert planner.withdraw(AttemptKey("e0001", 1))
    assert worker.claim() == an_offer(2)
    assert not planner.withdraw(AttemptKey("e0002", 1))
    worker.report(AttemptKey("e0002", 1), an_outcome())
    assert len(planner.collect([AttemptKey("e0002", 1)]).deliveries) == 1


def test_nothing_waits_for_the_disk_where_the_campaign_is_not_durable(tmp_path, monkeypatch):
    synced = []
    planner = FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=SimulatedClock(), durable=False)
    worker = FolderWorkerEnd(tmp_path, worker="w1", instance="i", durable=False)
    monkeypatch.setattr(os, "fsync", synced.append)

    planner.publish(a_revision(an_offer()))
    worker.report(worker.claim().key, an_outcome())
    (delivery,) = planner.collect([KEY]).deliveries
    planner.settle(delivery.name)

    assert synced == []
    assert delivery.result.key == KEY


@pytest.mark.fault(5)
def test_after_a_failed_fsync_each_name_is_written_again_before_the_next_one(planner, dump, monkeypatch):
    steps = []
    replace = os.replace
    put_claim(dump, a_claim())

    def fail(folder):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        with pytest.raises(OSError, match="Input/output"):
            planner.collect([KEY])
    monkeypatch.setattr(os, "replace", lambda source, to: (steps.append("renamed"), replace(source, to)))
    monkeypatch.setattr(publishing, "fsync_folder", lambda folder: steps.append("fsynced"))
    (claim,) = planner.collect([KEY]).claims

    assert steps == ["renamed", "fsynced"]
    assert claim == Claim.from_wire(a_claim())


@pytest.mark.fault(5)
def test_a_planner_that_starts_writes_unconfirmed_claims_again_since_the_one_before_may_have_failed(
    planner, dump, monkeypatch
):
    steps = []
    replace = os.replace
    put_claim(dump, a_claim())
    monkeypatch.setattr(os, "replace", lambda source, to: (steps.append("renamed"), replace(source, to)))
    monkeypatch.setattr(publishing, "fsync_folder", lambda folder: steps.append("fsynced"))

    planner.collect([KEY])
    planner.collect([KEY])

    assert steps == ["renamed", "fsynced"]


def settle_many(planner, dump, n):
    for number in range(1, n + 1):
        put_result(dump, a_result(attempt=number), f"worker_result_w1_e0001.{number}.json")
    for delivery in planner.collect([]).deliveries:
        planner.settle(delivery.name)


def test_settled_results_leave_dump_at_once_and_the_disk_when_nothing_else_is_to_be_done(planner, dump):
    settle_many(planner, dump, 20)
    staging = dump.parent / ".staging"

    assert not list(dump.glob("worker_result_*"))
    assert len(list(staging.iterdir())) == 20
    while planner.wait(0.3):
        pass
    assert not list(staging.iterdir())


def test_settled_results_do_not_pile_up_without_end(planner, dump, monkeypatch):
    monkeypatch.setattr(folder_planner, "MOST_SPENT", 5)

    settle_many(planner, dump, 20)

    assert len(list((dump.parent / ".staging").iterdir())) == 5


def test_what_was_settled_is_removed_when_the_planner_closes(planner, dump):
    settle_many(planner, dump, 20)

    planner.close()

    assert not list((dump.parent / ".staging").iterdir())


def test_a_result_is_settled_where_there_are_no_hard_links_too(planner, dump, monkeypatch):
    def refuse(source, to, **options):
        raise PermissionError(1, "Operation not permitted")

    put_result(dump)
    (delivery,) = planner.collect([]).deliveries
    monkeypatch.setattr(os, "link", refuse)

    planner.settle(delivery.name)

    assert not list(dump.glob("worker_result_*"))
