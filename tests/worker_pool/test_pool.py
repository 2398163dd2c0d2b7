"""The pool and its workers, as real processes on a real folder: what they do while all goes well."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from alchemy_async.errors import AlreadyRunningError, SettingsError
from alchemy_async.experiment import QueueState, Status, WorkerState
from alchemy_async.files import parse_json
from alchemy_async.worker_pool import run_pool
from tests.worker_pool.conftest import is_alive, until


def test_a_pool_completes_a_queue_and_ends_when_it_drains(bench):
    bench.settings(count=2)
    bench.publish(*[("wait", 0.02)] * 6)

    pool = bench.start()
    until(lambda: len(bench.results()) == 6)
    until(lambda: bench.journal().count("setup") == 2)
    bench.publish(state=QueueState.DRAINING)

    assert pool.wait(10) == 0
    assert {result.outcome.status for result in bench.results().values()} == {Status.COMPLETED}
    assert {result.outcome.values["yield"] for result in bench.results().values()} == {1.5}
    measured = sorted(line for line in bench.journal() if line.startswith("measure "))
    assert measured == [f"measure e{k:04}.1" for k in range(1, 7)]
    assert bench.journal().count("teardown") == 2
    assert {bench.heartbeat(worker).state for worker in ("w-1", "w-2")} == {WorkerState.GONE}
    assert "experiment=e0001 attempt=1 worker=w-" in bench.said()
    assert "worker=w-2 completed " in bench.said()
    assert bench.said().count("the script runs") == 1


def test_every_result_but_the_first_tells_the_turnaround_since_the_one_before(bench):
    bench.publish(*[("wait", 0.0)] * 3)

    bench.start()
    until(lambda: len(bench.results()) == 3)

    metadata = [bench.results()[f"e{k:04}.1"].outcome.metadata for k in (1, 2, 3)]
    assert "turnaround_s" not in metadata[0]
    assert all(0 < told["turnaround_s"] < 2 for told in metadata[1:])


def test_work_may_start_first_and_a_revision_wakes_an_idle_worker_before_its_rescan(bench):
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.IDLE)

    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=1.5)


def test_a_claim_says_whether_the_driver_may_simply_run_again(bench):
    (bench.folder / "repeatable").touch()
    bench.publish(("wait", 0.0))

    bench.start()
    until(lambda: "e0001.1" in bench.results())

    assert parse_json((bench.folder / "dump/claims/e0001.1.json").read_bytes())["idempotent"] is True


def test_an_idle_worker_keeps_beating_within_its_lease(bench):
    bench.start()
    until(lambda: bench.heartbeat().beat)
    first = bench.heartbeat()

    until(lambda: bench.heartbeat().beat >= first.beat + 3, within_s=3)

    assert bench.heartbeat().instance == first.instance


def test_a_busy_worker_beats_and_says_what_it_holds_while_its_driver_blocks(bench):
    bench.publish(("blind", 2.5))
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY)
    first = bench.heartbeat()

    until(lambda: bench.heartbeat().beat >= first.beat + 4, within_s=2)

    assert str(bench.heartbeat().holds) == "e0001.1"
    assert "e0001.1" not in bench.results()


def test_a_paused_queue_is_not_claimed_from_until_it_runs_again(bench):
    bench.publish(("wait", 0.0), state=QueueState.PAUSED)
    bench.start()
    until(lambda: bench.heartbeat().beat > 2)
    assert bench.results() == {}

    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=5)


def test_cancel_breaks_a_measurement_off_and_the_worker_goes_on(bench):
    bench.publish(("wait", 60), ("wait", 0.0))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    bench.publish(("wait", 60), ("wait", 0.0), cancel=("e0001.1",))

    until(lambda: len(bench.results()) == 2, within_s=5)
    assert bench.results()["e0001.1"].outcome.status is Status.CANCELLED
    assert bench.results()["e0002.1"].outcome.status is Status.COMPLETED
    assert "stop" in bench.journal()


def test_a_pool_that_starts_on_a_stopped_queue_works_on_a_newer_revision(bench):
    bench.publish(state=QueueState.STOPPED)
    bench.start()
    until(lambda: "setup" in bench.journal())

    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=5)


def test_a_queue_that_stops_while_a_measurement_runs_ends_the_pool_after_it(bench):
    bench.publish(("wait", 1.0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    bench.publish(state=QueueState.STOPPED)

    assert pool.wait(10) == 0
    assert bench.results()["e0001.1"].outcome.status is Status.COMPLETED


def test_an_unreadable_queue_is_told_and_waited_out(bench):
    bench.publish()
    (bench.folder / "pickup/priority_queue.json").write_text('{"format": 2}')
    bench.start()
    until(lambda: "the queue can't be read" in bench.log())

    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=5)


@pytest.mark.fault(10)
def test_the_first_signal_drains_what_runs_is_finished_and_nothing_else_is_claimed(bench):
    bench.publish(("wait", 1.0), ("wait", 0.0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    os.killpg(pool.pid, signal.SIGINT)  # as a terminal does: the workers get it too

    assert pool.wait(10) == 0
    assert {key: str(result.outcome.status) for key, result in bench.results().items()} == {"e0001.1": "completed"}
    assert bench.journal()[-1] == "teardown"
    assert "A second signal stops what runs" in bench.said()


@pytest.mark.fault(10)
def test_the_second_signal_stops_what_runs_and_it_counts_as_cancelled(bench):
    bench.publish(("wait", 60))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    pool.send_signal(signal.SIGINT)
    until(lambda: "Draining" in bench.said())
    pool.send_signal(signal.SIGINT)

    assert pool.wait(10) == 0
    assert bench.results()["e0001.1"].outcome.status is Status.CANCELLED
    assert bench.journal()[-2:] == ["stop", "teardown"]


@pytest.mark.fault(10)
def test_the_third_signal_ends_the_pool_at_once_and_its_worker_finishes_alone(bench):
    bench.settings(grace_s=5)
    bench.publish(("blind", 2.5))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    worker = bench.process_of("measure e0001.1")

    for sign in ("Draining", "Stopping"):
        pool.send_signal(signal.SIGTERM)
        until(lambda sign=sign: sign in bench.said())
    pool.send_signal(signal.SIGTERM)

    assert pool.wait(2) == 130
    assert is_alive(worker)
    until(lambda: "e0001.1" in bench.results())
    until(lambda: not is_alive(worker))
    assert bench.heartbeat().state is WorkerState.GONE


@pytest.mark.fault(10)
def test_a_signal_to_one_worker_drains_that_worker_alone(bench):
    bench.settings(count=2)
    bench.publish(("wait", 1.0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    os.kill(bench.process_of("measure e0001.1"), signal.SIGTERM)
    until(lambda: "e0001.1" in bench.results())

    until(lambda: sorted(str(bench.heartbeat(worker).state) for worker in ("w-1", "w-2")) == ["gone", "idle"])
    assert bench.results()["e0001.1"].outcome.status is Status.COMPLETED
    assert pool.poll() is None


def test_a_campaign_without_workers_says_what_to_write(bench):
    text = (bench.folder / "campaign.toml").read_text()
    (bench.folder / "campaign.toml").write_text(text.partition("[[workers]]")[0])

    with pytest.raises(SettingsError, match=r'Write \[\[workers\]\] with `name = "reactor"`'):
        run_pool(bench.folder)


def test_a_second_pool_of_the_same_name_is_refused_with_the_holder(bench):
    pool = bench.start()
    until(lambda: "ready" in bench.said())

    with pytest.raises(
        AlreadyRunningError, match=rf"process {pool.pid} on {socket.gethostname()}.*alchemy-async drain"
    ):
        run_pool(bench.folder)


def test_a_pool_that_is_started_first_says_what_it_waits_for(bench):
    bench.start()

    until(lambda: "ready" in bench.said())
    assert f"wait until `alchemy-async plan {bench.folder}` writes one" in bench.said()
