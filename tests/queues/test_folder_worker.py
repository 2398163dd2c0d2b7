from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from folder_messages import KEY, a_result, put_result

from alchemy_async.clock import SimulatedClock
from alchemy_async.errors import FolderError, NewerFormatError, WireError
from alchemy_async.experiment import WorkerState
from alchemy_async.queues import WorkerEnd, publishing
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import a_revision, an_offer, an_outcome


@pytest.fixture
def queue_file(tmp_path, planner):
    return tmp_path / "pickup" / "priority_queue.json"


def test_it_is_a_worker_end(new_worker):
    assert isinstance(new_worker(), WorkerEnd)


def test_a_worker_may_start_first_in_an_empty_folder(tmp_path, new_worker):
    worker = new_worker()

    worker.beat(WorkerState.IDLE)

    assert worker.claim() is None
    assert (tmp_path / "dump" / "workers" / "w1.json").exists()


@pytest.mark.parametrize("name", ["planner", "Unknown", "", "a b", "../x", "a.b", "x" * 65])
def test_a_name_that_no_worker_may_have_is_refused(tmp_path, name):
    with pytest.raises(FolderError, match=r"Change `name` under \[\[workers\]\]"):
        FolderWorkerEnd(tmp_path, worker=name, instance="i1")


def test_the_list_is_read_again_at_every_claim(planner, new_worker):
    worker = new_worker()
    planner.publish(a_revision(an_offer(1)))
    worker.news()

    planner.publish(a_revision(an_offer(2), number=2))

    assert worker.claim() == an_offer(2)


def test_the_parameters_that_were_taken_are_those_that_the_claim_says(planner, new_worker):
    planner.publish(a_revision(replace(an_offer(), parameters={"temperature": 301.5}), number=4))

    offer = new_worker().claim()

    (claim,) = planner.collect([KEY]).claims
    assert claim.parameters == offer.parameters == {"temperature": 301.5}
    assert (claim.revision, claim.pid) == (4, os.getpid())


def test_the_claim_is_on_disk_before_it_is_returned(planner, new_worker, dump, monkeypatch):
    synced = []
    monkeypatch.setattr(publishing, "fsync_folder", synced.append)
    planner.publish(a_revision(an_offer()))

    new_worker().claim()

    assert synced == [str(dump / "claims")]


@pytest.mark.fault(5)
def test_a_claim_whose_fsync_failed_is_not_started_but_still_ones_own(planner, new_worker, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    worker = new_worker()
    planner.publish(a_revision(an_offer(1), an_offer(2)))
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        with pytest.raises(OSError, match="Input/output"):
            worker.claim()

    assert [worker.claim(), worker.claim(), worker.claim()] == [an_offer(1), an_offer(2), None]


@pytest.mark.fault(5)
def test_a_claim_whose_fsync_failed_keeps_its_parameters_when_the_list_has_others(planner, new_worker, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    worker = new_worker()
    planner.publish(a_revision(replace(an_offer(), parameters={"temperature": 301.5}), number=4))
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        with pytest.raises(OSError, match="Input/output"):
            worker.claim()
    planner.publish(a_revision(replace(an_offer(), parameters={"temperature": 399.0}), number=5))

    offer = worker.claim()

    (claim,) = planner.collect([KEY]).claims
    assert offer.parameters == claim.parameters == {"temperature": 301.5}


def test_a_claim_whose_answer_was_lost_is_ones_own_once(planner, new_worker, monkeypatch):
    publish_once = publishing.publish_once

    def publish_and_lose_the_answer(*args, **options):
        publish_once(*args, **options)
        raise FileExistsError(17, "File exists")

    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    monkeypatch.setattr(publishing, "publish_once", publish_and_lose_the_answer)

    assert worker.claim() == an_offer()
    assert worker.claim() is None


def test_a_fresh_process_of_the_same_worker_does_not_take_over_what_the_last_one_claimed(planner, new_worker):
    planner.publish(a_revision(an_offer()))
    new_worker(instance="i1").claim()

    assert new_worker(instance="i2").claim() is None


@pytest.mark.parametrize("content", ["", "{", "null"])
def test_a_name_that_an_unreadable_claim_takes_is_taken(planner, new_worker, dump, content):
    (dump / "claims" / f"{KEY}.json").write_text(content)
    planner.publish(a_revision(an_offer(1), an_offer(2)))

    assert new_worker().claim() == an_offer(2)


def test_leftovers_of_the_same_worker_are_removed_at_the_first_beat_and_not_before(tmp_path, new_worker):
    worker = new_worker()
    staging = tmp_path / ".staging"
    for name in ("w1.dead.3", "w10.alive.1", "planner.alive.1"):
        (staging / name).write_text("half")

    worker.news()
    worker.claim()
    assert (staging / "w1.dead.3").exists()
    worker.beat(WorkerState.IDLE)

    assert sorted(path.name for path in staging.iterdir()) == ["planner.alive.1", "w10.alive.1"]


def test_a_queue_of_another_campaign_than_at_first_is_refused(planner, new_worker):
    worker = new_worker()
    planner.publish(a_revision())
    worker.news()

    planner.publish(replace(a_revision(an_offer()), campaign="other-00000000"))

    with pytest.raises(FolderError, match="again"):
        worker.news()
    with pytest.raises(FolderError, match="again"):
        worker.claim()


@pytest.mark.fault(15)
def test_a_queue_that_can_not_be_read_is_told_and_forgotten_with_the_next_revision(planner, new_worker, queue_file):
    worker = new_worker()
    queue_file.write_text('{"format": 1')
    with pytest.raises(WireError, match="its next revision replaces it"):
        worker.claim()
    queue_file.write_text(json.dumps(a_revision().to_wire() | {"format": 2}))
    with pytest.raises(NewerFormatError, match="Install a newer"):
        worker.news()

    planner.publish(a_revision(an_offer()))

    assert worker.claim() == an_offer()


def test_a_queue_that_is_a_link_is_not_followed(new_worker, queue_file, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps(a_revision(an_offer()).to_wire()))
    queue_file.symlink_to(tmp_path / "other.json")

    with pytest.raises(WireError, match="regular file"):
        new_worker().claim()


def test_a_result_lies_under_its_name_as_the_protocol_says(planner, new_worker, dump):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()

    worker.report(KEY, an_outcome())

    assert json.loads((dump / "worker_result_w1_e0001.1.json").read_text()) == a_result()
    assert not list((dump.parent / ".staging").iterdir())


def test_the_moment_at_which_a_result_became_visible_is_kept(planner, new_worker):
    clock = SimulatedClock()
    worker = new_worker(clock=clock)
    planner.publish(a_revision(an_offer()))
    worker.claim()
    assert worker.published_at_monotonic is None

    clock.advance(12)
    worker.report(KEY, an_outcome())

    assert worker.published_at_monotonic == 12


@pytest.mark.fault(5)
def test_a_result_whose_fsync_failed_is_reported_again_without_a_second_one(planner, new_worker, dump, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        with pytest.raises(OSError, match="Input/output"):
            worker.report(KEY, an_outcome())
    synced = []
    monkeypatch.setattr(publishing, "fsync_folder", synced.append)
    worker.report(KEY, an_outcome())

    assert synced == [str(dump)]
    assert len(planner.collect([KEY]).deliveries) == 1


@pytest.mark.parametrize("content", ["junk", "", json.dumps(a_result("w2"))])
def test_junk_under_the_results_name_does_not_swallow_the_measurement(planner, new_worker, clock, dump, content):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    (dump / "worker_result_w1_e0001.1.json").write_text(content)

    with pytest.raises(FileExistsError):
        worker.report(KEY, an_outcome())
    planner.collect([KEY])
    clock.advance(0.5)
    for spoiled in planner.collect([KEY]).spoiled:
        planner.settle(spoiled.name, spoiled.reason)
    worker.report(KEY, an_outcome())

    assert [delivery.result.outcome for delivery in planner.collect([KEY]).deliveries] == [an_outcome()]


def test_a_report_that_finds_another_under_its_name_waits_until_that_is_taken_and_is_not_lost(planner, new_worker):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    worker.report(KEY, an_outcome(1.0))

    with pytest.raises(FileExistsError):
        worker.report(KEY, an_outcome(2.0))
    (first,) = planner.collect([KEY]).deliveries
    planner.settle(first.name)
    worker.report(KEY, an_outcome(2.0))

    (second,) = planner.collect([KEY]).deliveries
    assert [found.result.outcome.values for found in (first, second)] == [{"yield": 1.0}, {"yield": 2.0}]


def test_metadata_that_are_too_large_are_left_out_and_the_measurement_is_not(planner, new_worker, caplog):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()

    worker.report(KEY, replace(an_outcome(), metadata={"spectrum": "x" * 5_000_000}))

    (delivery,) = planner.collect([KEY]).deliveries
    assert delivery.result.outcome.values == an_outcome().values
    assert "more than a message may have" in delivery.result.outcome.metadata["left_out"]
    assert "in a file" in caplog.text


def test_a_result_before_there_ever_was_a_queue_belongs_to_no_campaign(new_worker, dump):
    with pytest.raises(FolderError, match="alchemy-async plan"):
        new_worker().report(KEY, an_outcome())

    assert not list(dump.glob("worker_result_*"))


@pytest.mark.fault(5)
def test_a_disk_that_is_full_loses_no_result_and_leaves_nothing_half_written(planner, new_worker, dump, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    worker.claim()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        for act in (lambda: worker.report(KEY, an_outcome()), lambda: worker.beat(WorkerState.BUSY, KEY)):
            with pytest.raises(OSError, match="No space left"):
                act()

    assert not list((dump.parent / ".staging").iterdir())
    worker.report(KEY, an_outcome())
    assert len(planner.collect([KEY]).deliveries) == 1


def test_the_previous_beat_tells_of_another_process_under_the_same_name(new_worker):
    worker = new_worker(instance="i1")
    assert worker.previous_beat() is None
    worker.beat(WorkerState.BUSY, KEY)

    previous = new_worker(instance="i2").previous_beat()

    assert (previous.instance, previous.holds, previous.beat) == ("i1", KEY, 1)


def test_a_previous_beat_that_can_not_be_read_is_none(new_worker, dump):
    put_result(dump / "workers", {"format": 1}, "w1.json")

    assert new_worker().previous_beat() is None


@pytest.mark.fault(5)
def test_a_folder_that_was_replaced_by_a_link_is_refused(planner, new_worker, dump, tmp_path_factory):
    worker = new_worker()
    planner.publish(a_revision(an_offer()))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (dump / "claims").rmdir()
    (dump / "claims").symlink_to(elsewhere)

    for act in (worker.claim, lambda: worker.beat(WorkerState.IDLE), lambda: worker.report(KEY, an_outcome())):
        with pytest.raises(OSError, match="links are not followed"):
            act()
    assert not list(elsewhere.iterdir())


def lose_a_race(worker, dump, monkeypatch, key):
    """Have somebody else link the claim between the worker's look and its own link."""
    publish_once = publishing.publish_once

    def be_slower(staging, final, data, **options):
        (dump / "claims" / f"{key}.json").write_text("somebody else's")
        publish_once(staging, final, data, **options)

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "publish_once", be_slower)
        return worker.claim()


def test_who_lost_a_race_may_leave_the_best_to_others_for_a_second(planner, dump, monkeypatch):
    clock = SimulatedClock()
    worker = FolderWorkerEnd(dump.parent, worker="w1", instance="i1", clock=clock)
    planner.publish(a_revision(*(an_offer(number) for number in range(1, 60))))

    lost = lose_a_race(worker, dump, monkeypatch, an_offer(1).key)
    hurried = [int(worker.claim().key.experiment[1:]) for _ in range(10)]
    clock.advance(1.1)
    calm = [int(worker.claim().key.experiment[1:]) for _ in range(10)]

    gone = {1, int(lost.key.experiment[1:]), *hurried}
    assert hurried != sorted(hurried)
    assert calm == [number for number in range(1, 60) if number not in gone][:10]
