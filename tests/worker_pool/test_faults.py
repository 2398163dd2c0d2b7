"""The pool and its workers, as real processes on a real folder: what they do when something breaks."""

from __future__ import annotations

import os
import signal
import time

import pytest

from alchemy_async.experiment import Heartbeat, QueueState, Status, WorkerState
from alchemy_async.files import dump_json
from tests.worker_pool.conftest import is_alive, until

RECOVERY = ["connect", "stop", "teardown"]


@pytest.mark.fault(2)
def test_a_killed_worker_is_replaced_after_a_recovery_and_its_attempt_is_not_run_again(bench):
    bench.publish(("blind", 60))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    until(lambda: bench.heartbeat().state is WorkerState.BUSY)
    killed = bench.heartbeat()

    os.kill(killed.pid, signal.SIGKILL)
    died_at = time.monotonic()

    until(lambda: len(bench.journal()) >= 4 and bench.journal()[3] == "connect")
    assert time.monotonic() - died_at < 8
    until(lambda: bench.heartbeat().state is WorkerState.IDLE)
    assert bench.journal() == ["connect", "setup", "measure e0001.1", *RECOVERY, "connect", "setup"]
    assert bench.process_of("teardown") != bench.process_of("setup")
    assert bench.heartbeat().instance != killed.instance
    bench.publish(("blind", 60), ("wait", 0.0))
    until(lambda: "e0002.1" in bench.results())
    assert bench.journal().count("measure e0001.1") == 1


@pytest.mark.fault(2)
@pytest.mark.fault(13)
def test_the_other_workers_do_not_notice_a_crash(bench):
    bench.settings(count=2)
    bench.publish(("crash", 0), *[("wait", 0.05)] * 10)

    bench.start()

    until(lambda: len(bench.results()) == 10)
    until(lambda: "SIGSEGV" in bench.said())
    until(lambda: "teardown" in bench.journal())
    assert "e0001.1" not in bench.results()


@pytest.mark.fault(3)
def test_after_kill_9_of_the_pool_the_workers_finish_publish_and_end_and_a_later_pool_waits(bench):
    bench.publish(("gate", 0.0), ("wait", 0.0))
    first = bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY)
    worker = bench.heartbeat()

    first.kill()
    first.wait()
    bench.start("second")
    until(lambda: "waiting the instrument of w-1 is in use" in bench.said("second"))

    assert f"process {worker.pid} on " in bench.said("second")
    assert bench.heartbeat().instance == worker.instance
    (bench.folder / "open").touch()
    until(lambda: len(bench.results()) == 2)
    one = ["connect", "setup", "measure e0001.1", "measured e0001.1", "teardown"]
    assert bench.journal() == [*one, "connect", "setup", "measure e0002.1", "measured e0002.1"]
    until(lambda: not is_alive(worker.pid))


@pytest.mark.fault(3)
def test_a_worker_whose_pool_died_still_obeys_cancel(bench):
    bench.publish(("wait", 60))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    pool.kill()

    bench.publish(("wait", 60), cancel=("e0001.1",))

    until(lambda: "e0001.1" in bench.results(), within_s=8)
    assert bench.results()["e0001.1"].outcome.status is Status.CANCELLED


@pytest.mark.fault(3)
def test_pool_and_worker_killed_together_are_followed_by_a_recovery(bench):
    bench.publish(("blind", 60))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    until(lambda: bench.heartbeat().state is WorkerState.BUSY)
    os.killpg(pool.pid, signal.SIGKILL)
    pool.wait()

    bench.start("second")

    until(lambda: bench.journal().count("setup") == 2)
    assert bench.journal() == ["connect", "setup", "measure e0001.1", *RECOVERY, "connect", "setup"]


@pytest.mark.fault(3)
def test_a_recovery_that_fails_is_left_to_the_next_pool_when_its_own_pool_dies(bench):
    bench.publish(("blind", 60))
    first = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    until(lambda: bench.heartbeat().state is WorkerState.BUSY)
    (bench.folder / "unplugged").touch()
    os.kill(bench.heartbeat().pid, signal.SIGKILL)
    until(lambda: "sick" in bench.said())
    recovering = bench.heartbeat().pid

    first.kill()
    until(lambda: not is_alive(recovering))
    (bench.folder / "unplugged").unlink()
    bench.start("second")

    until(lambda: bench.journal().count("setup") == 2)
    assert bench.journal()[-5:] == [*RECOVERY, "connect", "setup"]


@pytest.mark.fault(13)
def test_a_driver_that_hangs_is_reported_as_timeout_and_gets_a_fresh_process_that_recovers(bench):
    bench.settings(timeout_s=0.5, grace_s=0.3)
    bench.publish(("hang", 0), ("wait", 0.0))

    bench.start()

    until(lambda: len(bench.results()) == 2)
    outcome = bench.results()["e0001.1"].outcome
    assert (outcome.status, outcome.error.kind) == (Status.FAILED, "timeout")
    assert bench.results()["e0002.1"].outcome.status is Status.COMPLETED
    assert bench.journal()[:8] == ["connect", "setup", "measure e0001.1", "stop", *RECOVERY, "connect"]
    assert "worker=w-1 died (its driver hung)" in bench.said()


@pytest.mark.fault(13)
def test_what_ends_within_the_grace_time_is_a_timeout_unless_it_brings_a_value_and_the_process_goes_on(bench):
    bench.settings(timeout_s=0.3, grace_s=10)
    bench.publish(("wait", 60), ("late", 0))

    bench.start()

    until(lambda: len(bench.results()) == 2)
    stopped, late = (bench.results()[key].outcome for key in ("e0001.1", "e0002.1"))
    assert (stopped.status, stopped.error.kind) == (Status.FAILED, "timeout")
    assert (late.status, late.values) == (Status.COMPLETED, {"yield": 7.0})
    assert bench.journal().count("connect") == 1


@pytest.mark.fault(13)
def test_what_a_driver_raises_is_a_result_and_the_same_process_goes_on(bench):
    bench.publish(("raise", 0), ("exit", 0), ("limit", 0), ("wait", 0.0))

    bench.start()

    until(lambda: len(bench.results()) == 4)
    outcomes = [bench.results()[f"e{k:04}.1"].outcome for k in (1, 2, 3)]
    assert [(str(outcome.status), outcome.error.kind) for outcome in outcomes] == [
        ("failed", "ValueError"),
        ("failed", "SystemExit"),
        ("infeasible", "limit"),
    ]
    assert bench.journal().count("connect") == 1


def test_after_released_a_worker_waits_before_it_claims_again(bench):
    bench.publish(("release", 0), ("release", 0))

    bench.start()
    until(lambda: "e0001.1" in bench.results())
    released_at = time.monotonic()
    until(lambda: "e0002.1" in bench.results())

    assert time.monotonic() - released_at > 0.7
    assert bench.results()["e0001.1"].outcome.status is Status.RELEASED


def test_an_instrument_that_does_not_answer_makes_its_worker_sick_until_it_does(bench):
    (bench.folder / "unplugged").touch()
    bench.publish(("wait", 0.0))
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.SICK)
    until(lambda: "the furnace does not answer" in bench.said())
    first = bench.heartbeat()
    until(lambda: bench.heartbeat().beat > first.beat)

    (bench.folder / "unplugged").unlink()

    until(lambda: "e0001.1" in bench.results(), within_s=10)


@pytest.mark.fault(13)
def test_a_crash_loop_backs_off_and_still_drains(bench):
    (bench.folder / "explosive").touch()
    pool = bench.start()
    until(lambda: "at once" in bench.said() and "recovers its instrument in 1 s" in bench.said())

    (bench.folder / "explosive").unlink()
    pool.send_signal(signal.SIGTERM)

    assert pool.wait(10) == 0
    assert bench.journal()[-3:] == RECOVERY


@pytest.mark.fault(10)
def test_a_driver_that_ignores_stop_can_not_hold_the_pool_back(bench):
    bench.publish(("hang", 0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal())

    pool.send_signal(signal.SIGINT)
    until(lambda: "Draining" in bench.said())
    pool.send_signal(signal.SIGINT)

    assert pool.wait(10) == 0
    assert bench.results()["e0001.1"].outcome.status is Status.CANCELLED
    assert bench.journal()[-3:] == RECOVERY


def test_a_folder_that_refuses_the_result_delays_it_and_loses_nothing(bench):
    bench.publish(("wait", 0.3))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal())
    (bench.folder / ".staging").rename(bench.folder / "away")
    until(lambda: "is kept in memory" in bench.log())
    assert bench.results() == {}

    (bench.folder / "away").rename(bench.folder / ".staging")

    until(lambda: "e0001.1" in bench.results())
    assert bench.journal().count("measure e0001.1") == 1


@pytest.mark.fault(13)
def test_a_driver_that_prints_for_ever_does_not_fill_the_disk(bench):
    bench.publish(("print", 0), ("wait", 0.0))

    bench.start()

    until(lambda: len(bench.results()) == 2)
    until(lambda: (bench.folder / "logs/w-1.log").stat().st_size < 2_000_000)
    until(lambda: "cut here" in bench.log() and "e0002" in bench.log())  # not while it is being cut


def test_a_worker_waits_while_another_host_beats_under_its_name(bench):
    bench.publish(("wait", 0.0))
    path = bench.folder / "dump/workers/w-1.json"
    beats = iter(range(1, 10_000))

    def beat_elsewhere() -> None:
        heartbeat = Heartbeat("w-1", "abc", next(beats), WorkerState.IDLE, host="elsewhere")
        (bench.folder / "next").write_bytes(dump_json(heartbeat.to_wire()))
        (bench.folder / "next").rename(path)

    beat_elsewhere()
    bench.start()
    until(lambda: beat_elsewhere() or "a worker of this name beats on elsewhere" in bench.said())
    told_at = time.monotonic()
    assert bench.journal() == []

    until(lambda: "e0001.1" in bench.results())

    assert time.monotonic() - told_at > 0.4


@pytest.mark.fault(11)
def test_a_stopped_pool_does_not_stop_its_workers(bench):
    bench.publish(*[("wait", 0.01)] * 30)
    pool = bench.start()
    until(lambda: bench.results())

    pool.send_signal(signal.SIGSTOP)

    until(lambda: len(bench.results()) == 30)
    pool.send_signal(signal.SIGCONT)
    bench.publish(state=QueueState.DRAINING)
    assert pool.wait(10) == 0


def test_a_measurement_that_fails_is_told_with_its_error_and_the_log_of_the_worker_has_the_traceback(bench):
    bench.publish(("raise", 0.0))

    bench.start()

    until(lambda: "ended failed" in bench.said())
    assert "WARNING experiment=e0001 attempt=1 worker=w-1 ended failed (ValueError: the sample broke)" in bench.said()
    assert 'raise ValueError("the sample broke")' in bench.log()
