"""The pool over REST, as real processes against a real server: networks that are cut, servers that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import pytest

from alchemy_async.clock import SystemClock
from alchemy_async.experiment import AttemptKey, Outcome, QueueState, Result, Status, WorkerState
from alchemy_async.files import dump_json
from tests.service.serving import RealServer
from tests.worker_pool.conftest import SETTINGS, is_alive, until
from tests.worker_pool.remote_bench import RemoteBench

PLANNED = (
    SETTINGS.format(count=1, timeout_s=60, lease_s="{lease_s}", grace_s=0.5)
    .replace('options = ["wait", "hang"]', 'options = ["gate", "wait"]\nfixed = "gate"')
    .replace("bounds = [0, 100]", "bounds = [0, 0.001]")
    + """
[budget]
experiments = {budget}
[planner]
strategy = "sobol"
seed = 1
"""
)


@pytest.fixture
def server(tmp_path_factory):
    server = RealServer(tmp_path_factory.mktemp("served")).start()
    yield server
    server.stop()


@pytest.fixture
def bench(tmp_path, server):
    bench = RemoteBench(tmp_path, server)
    yield bench
    bench.close()


def rows(bench: RemoteBench, sql: str) -> list[tuple]:
    """Read the session's ledger with SQL of the test's own."""
    ledger = sqlite3.connect(f"file:{bench.session}/campaign.db?mode=ro", uri=True, timeout=30)
    try:
        return ledger.execute(sql).fetchall()
    finally:
        ledger.close()


@pytest.mark.fault(17)
def test_what_is_measured_while_the_network_is_down_is_delivered_once_it_is_back_and_measured_once(bench):
    bench.publish(("gate", 0.0), ("wait", 0.0))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=30)

    bench.line.cut()
    (bench.pc / "open").touch()
    until(lambda: bench.spooled() == ["worker_result_w-1_e0001.1.json"])
    until(lambda: "waits on this disk" in bench.log())
    assert bench.results() == {}
    bench.line.mend()

    until(lambda: len(bench.results()) == 2, within_s=30)
    until(lambda: bench.spooled() == [])
    assert [line for line in bench.journal() if line.startswith("measure ")] == ["measure e0001.1", "measure e0002.1"]


@pytest.mark.fault(16)
def test_a_server_that_is_killed_between_a_measurement_and_its_report_gets_the_result_after_its_restart(bench, server):
    bench.publish(("gate", 0.0), ("wait", 0.0))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=30)

    server.kill()
    (bench.pc / "open").touch()
    until(bench.spooled)
    server.start()

    until(lambda: len(bench.results()) == 2, within_s=30)
    assert bench.results()["e0001.1"].outcome.status is Status.COMPLETED
    until(lambda: bench.spooled() == [])


@pytest.mark.fault(3)
def test_a_result_whose_worker_and_pool_were_killed_before_it_was_sent_is_sent_by_the_next_ones(bench):
    bench.publish(("gate", 0.0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=30)
    bench.line.cut()
    (bench.pc / "open").touch()
    until(bench.spooled)
    worker = bench.process_of("measure e0001.1")

    pool.kill()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(worker))
    bench.line.mend()
    bench.start("second")

    until(lambda: "e0001.1" in bench.results(), within_s=30)
    until(lambda: bench.spooled() == [])
    assert bench.journal().count("measure e0001.1") == 1
    assert "which an earlier process left" in bench.log()


@pytest.mark.fault(3)
def test_an_instrument_whose_worker_and_pool_were_killed_is_made_safe_though_the_server_can_not_be_reached(bench):
    bench.publish(("blind", 60))
    pool = bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY, within_s=30)
    worker = bench.process_of("measure e0001.1")
    pool.kill()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(worker))

    bench.line.cut()
    bench.start("second")

    until(lambda: bench.journal()[3:6] == ["connect", "stop", "teardown"], within_s=30)
    assert "settings of the last start" in bench.said("second")


@pytest.mark.fault(17)
def test_an_instrument_whose_worker_was_killed_is_made_safe_while_the_network_is_down(bench):
    bench.publish(("blind", 60))
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY, within_s=30)

    bench.line.cut()
    os.kill(bench.process_of("measure e0001.1"), signal.SIGKILL)

    until(lambda: bench.journal()[3:6] == ["connect", "stop", "teardown"], within_s=30)


@pytest.mark.fault(10)
def test_the_second_signal_leaves_a_result_that_can_not_be_sent_on_this_disk_for_the_next_pool(bench):
    bench.publish(("gate", 0.0))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=30)
    bench.line.cut()
    (bench.pc / "open").touch()
    until(bench.spooled)

    pool.send_signal(signal.SIGINT)
    until(lambda: "Draining" in bench.said())
    pool.send_signal(signal.SIGINT)

    assert pool.wait(20) == 0
    assert bench.spooled() == ["worker_result_w-1_e0001.1.json"]
    bench.line.mend()
    bench.start("second")
    until(lambda: "e0001.1" in bench.results(), within_s=30)


@pytest.mark.fault(16)
def test_an_idle_pool_works_on_when_its_server_was_away(bench, server):
    bench.publish()
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.IDLE, within_s=30)

    assert server.stop() == 0
    until(lambda: "does not answer" in bench.said())
    server.start()
    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=30)
    until(lambda: "answers again" in bench.said())


@pytest.mark.fault(17)
def test_a_late_result_counts_though_the_lease_had_ended_while_the_network_was_down(bench):
    bench.let_server_plan(PLANNED.format(lease_s=1, budget=2))
    pool = bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=60)
    until(lambda: rows(bench, "SELECT state FROM attempts WHERE state = 'running'"))

    bench.line.cut()
    (bench.pc / "open").touch()
    until(bench.spooled)
    until(lambda: rows(bench, "SELECT 1 FROM experiments WHERE id = 'e0001' AND state = 'interrupted'"), within_s=30)
    bench.line.mend()

    assert pool.wait(60) == 0
    assert rows(bench, "SELECT state FROM experiments WHERE id = 'e0001'") == [("completed",)]
    assert rows(bench, "SELECT experiment, role FROM outcomes WHERE experiment = 'e0001'") == [("e0001", "result")]
    assert bench.journal().count("measure e0001.1") == 1


@pytest.mark.fault(16)
def test_a_campaign_ends_with_each_experiment_measured_once_though_its_server_is_killed_twice(bench, server):
    bench.let_server_plan(PLANNED.format(lease_s=10, budget=6))
    (bench.pc / "open").touch()
    pool = bench.start()
    for n in (1, 3):
        until(lambda n=n: sum(line.startswith("measured") for line in bench.journal()) >= n, within_s=60)
        server.kill()
        time.sleep(0.5)
        server.start()

    assert pool.wait(90) == 0, bench.said()
    measured = [line.split()[1] for line in bench.journal() if line.startswith("measured ")]
    recorded = rows(bench, "SELECT experiment || '.' || attempt FROM outcomes WHERE role = 'result'")
    assert sorted(measured) == sorted(name for (name,) in recorded)
    assert len(set(measured)) == len(measured)
    assert rows(bench, "SELECT count(*) FROM experiments WHERE state = 'completed'") == [(6,)]
    assert rows(bench, "SELECT count(*) FROM outcomes WHERE role <> 'result'") == [(0,)]


@pytest.mark.slow
@pytest.mark.fault(16)
def test_whatever_is_killed_or_cut_and_whenever_each_experiment_is_measured_and_counted_once(bench, server, figures):
    """A campaign of 40 over REST while server, daemon and network fail at random: nothing lost, nothing twice."""
    import random

    chance = random.Random(7)
    bench.let_server_plan(PLANNED.format(lease_s=20, budget=40))
    (bench.pc / "open").touch()
    pool = bench.start()
    n_kills = n_cuts = 0
    while pool.poll() is None and n_kills + n_cuts < 30:
        time.sleep(chance.uniform(0.05, 1.0))
        if chance.random() < 0.4:
            server.kill()
            server.start()
            n_kills += 1
        else:
            bench.line.cut()
            time.sleep(chance.uniform(0.0, 0.5))
            bench.line.mend()
            n_cuts += 1

    assert pool.wait(150) == 0, bench.said()
    measured = [line.split()[1] for line in bench.journal() if line.startswith("measured ")]
    recorded = rows(bench, "SELECT experiment || '.' || attempt FROM outcomes WHERE role = 'result'")
    figures(servers_killed=n_kills, networks_cut=n_cuts, measured=len(measured), recorded=len(recorded))
    assert sorted(measured) == sorted(name for (name,) in recorded)
    assert len(set(measured)) == len(measured)
    assert rows(bench, "SELECT count(*) FROM experiments WHERE state = 'completed'") == [(40,)]


def test_a_result_of_another_campaign_is_kept_apart_with_the_reason_and_the_worker_goes_on(bench):
    bench.publish(("wait", 0.0), state=QueueState.PAUSED)
    left = bench.pc / "spool" / "test-00000001" / "worker_result_w-1_e0007.1.json"
    left.parent.mkdir(parents=True)
    now = SystemClock().now()
    other = Result("test-99999999", AttemptKey("e0007", 1), "w-1", Outcome(Status.FAILED, now, now))
    left.write_bytes(dump_json(other.to_wire()))

    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.IDLE, within_s=30)
    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=30)
    refused = bench.pc / "spool" / "refused" / left.name
    assert refused.exists()
    assert "test-99999999" in refused.with_name(f"{left.name}.reason.txt").read_text()
    assert not left.exists()
    assert "will never take" in bench.log()
