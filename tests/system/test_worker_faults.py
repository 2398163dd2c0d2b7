"""Workers, pools and drivers that die or misbehave: the slot comes back, nothing runs twice, nobody else notices."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import time
from pathlib import Path

import pytest

from alchemy_async.experiment import AttemptKey, Offer, QueueState, Revision, Status, WorkerState
from tests.system.both_daemons import is_alive, site_in, until
from tests.worker_pool import conftest as worker_bench
from tests.worker_pool.conftest import CAMPAIGN, Bench

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its own processes by /proc")

RECOVERY = ["connect", "stop", "teardown"]
LONG_S = 600.0  # a lease that no test waits for
LOOK_S = 30.0  # between two looks of a pool that is not to find anything by looking
BACK_WITHIN_S = 1.0


# -- row 2: kill -9 of a worker in mid-measurement --------------------------


@pytest.mark.fault(2)
def test_the_slot_of_a_killed_worker_is_back_without_its_lease_and_nothing_runs_again_by_itself(tmp_path, figures):
    noticed_s, back_s = [], []
    with site_in(tmp_path / "site", budget=5, lease_s=LONG_S) as site:
        site.gate.touch()
        planner, pool = site.plan(), site.work()
        for number in (1, 2, 3):
            name = f"e{number:04}"
            until(lambda name=name: f"started {name}.1" in site.journal())
            until(lambda name=name: site.states()[name] == "running")
            n_setups, n_deaths = site.journal().count("setup"), site.said("pool").count("died (SIGKILL)")

            killed_at = time.monotonic()
            os.kill(site.workers()["w-1"], signal.SIGKILL)

            until(lambda n=n_deaths: site.said("pool").count("died (SIGKILL)") > n)
            noticed_s.append(time.monotonic() - killed_at)
            until(lambda n=n_setups: site.journal().count("setup") > n)
            back_s.append(time.monotonic() - killed_at)
            until(lambda name=name: site.states()[name] == "interrupted")
        site.gate.unlink()
        until(lambda: "only interrupted experiments are left: e0001, e0002, e0003" in site.said("planner"))

        assert site.journal("started") == [f"started e{number:04}.1" for number in (1, 2, 3, 4, 5)]
        for number in (1, 2, 3):
            site.command("requeue", f"e{number:04}")
        assert planner.wait(60) == 0
        assert pool.wait(60) == 0
        assert site.journal("started")[5:] == [f"started e{number:04}.2" for number in (1, 2, 3)]
        site.assert_nothing_twice()
    figures(kills=3, noticed_s=round(statistics.median(noticed_s), 3), slot_back_s=round(statistics.median(back_s), 2))
    assert max(back_s) < LONG_S / 10


# The pool, with so long between two looks at its slots that nothing but a pipe can tell of a death.
RARELY_LOOKING = """
import logging, sys
from pathlib import Path
from alchemy_async.worker_pool import pool
pool.LOOK_S = {look_s}
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
sys.exit(pool.run_pool(Path(sys.argv[1]), name=sys.argv[2]))
"""


@pytest.mark.fault(2)
def test_the_pipe_tells_of_a_death_and_the_slot_is_back_within_a_second_with_its_instrument_made_safe(
    bench, monkeypatch, figures
):
    monkeypatch.setattr(worker_bench, "START", RARELY_LOOKING.format(look_s=LOOK_S))
    workers = [f"w-{number}" for number in range(1, 5)]
    bench.settings(count=len(workers), lease_s=LONG_S, timeout_s=LONG_S)
    bench.publish(*[("wait", LONG_S)] * len(workers))  # nobody publishes again: no news wakes the pool
    bench.start()
    until(lambda: sum(line.startswith("measure ") for line in bench.journal()) == len(workers))
    noticed_s, back_s = [], []

    for number, name in enumerate(workers, 1):  # each for the first time: from the second on a pause comes before
        # What is waited for comes long before the next look, which was just put off by the last news of a worker.
        killed_at = time.monotonic()
        os.kill(bench.heartbeat(name).pid, signal.SIGKILL)
        until(lambda n=number: bench.said().count("died (SIGKILL)") == n, within_s=LOOK_S / 2)
        noticed_s.append(time.monotonic() - killed_at)
        until(lambda n=number: bench.journal().count("setup") == len(workers) + n, within_s=LOOK_S / 2)
        back_s.append(time.monotonic() - killed_at)

    told = [line for line in bench.journal() if line in RECOVERY]
    assert told == ["connect"] * len(workers) + [*RECOVERY, "connect"] * len(workers)
    figures(kills=len(workers), noticed_s=round(min(noticed_s), 3), slot_back_s=round(min(back_s), 2))
    assert min(back_s) < BACK_WITHIN_S  # at least once the processors were free for it


@pytest.mark.fault(2)
def test_where_the_driver_is_idempotent_a_killed_measurement_runs_once_more_and_the_ledger_says_why(tmp_path):
    with site_in(tmp_path / "site", budget=2, lease_s=LONG_S) as site:
        site.gate.touch()
        (site.folder / "repeatable").touch()
        planner, pool = site.plan(), site.work()
        until(lambda: site.states().get("e0001") == "running")
        until(lambda: "started e0001.1" in site.journal())

        os.kill(site.workers()["w-1"], signal.SIGKILL)
        until(lambda: site.rows("SELECT 1 FROM events WHERE kind = 'requeued'"))
        site.gate.unlink()

        assert planner.wait(60) == 0
        assert pool.wait(60) == 0
        assert site.states() == {"e0001": "completed", "e0002": "completed"}
        assert sorted(site.journal("started")) == ["started e0001.1", "started e0001.2", "started e0002.1"]
        why = [row["details"] for row in site.rows("SELECT details FROM events WHERE kind = 'requeued'")]
        assert len(why) == 1
        assert "idempotent" in why[0]


# -- row 3: kill -9 of the pool ---------------------------------------------


@pytest.mark.fault(3)
def test_workers_without_a_pool_finish_publish_and_end_and_the_next_pool_waits_for_their_instruments(tmp_path):
    with site_in(tmp_path / "site", budget=6, count=2) as site:
        site.gate.touch()
        planner, first = site.plan(), site.work("first")
        until(lambda: len(site.journal("started")) == 2)
        orphans = site.workers()

        first.kill()
        first.wait()
        second = site.work("second")
        until(lambda: site.said("second").count("is in use") == 2)
        assert len(site.journal("started")) == 2, "the next pool did not wait"
        assert site.workers() == orphans
        site.gate.unlink()

        until(lambda: not any(map(is_alive, orphans.values())))
        assert planner.wait(60) == 0
        assert second.wait(60) == 0
        assert list(site.states().values()) == ["completed"] * 6
        for name in ("started", "measured"):
            assert len(site.journal(name)) == 6
        site.assert_nothing_twice()


@pytest.mark.fault(3)
def test_a_killed_server_that_workers_were_forked_from_costs_no_measurement_and_runs_nothing_twice(tmp_path):
    with site_in(tmp_path / "site", budget=4, count=2) as site:
        site.gate.touch()
        planner, pool = site.plan(), site.work()
        until(lambda: len(site.journal("started")) == 2)
        server = parent_of(site.workers()["w-1"])
        assert server != pool.pid

        os.kill(server, signal.SIGKILL)
        until(lambda: "died (" in site.said("pool"))
        site.gate.unlink()

        assert planner.wait(60) == 0
        assert pool.wait(60) == 0
        assert list(site.states().values()) == ["completed"] * 4
        assert len(site.journal("started")) == 4
        site.assert_nothing_twice()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- row 13: drivers that misbehave -----------------------------------------

LAB = '''
import ctypes, os, resource, time

HOARD = []


class Furnace:
    """Misbehaves as the parameter ``do`` says."""

    def write(self, line):
        descriptor = os.open("journal.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{line} {os.getpid()}\\n".encode())
        os.close(descriptor)

    def connect(self):
        self.write("connect")

    def setup(self):
        self.write("setup")

    def stop(self):
        self.write("stop")

    def teardown(self):
        self.write("teardown")

    def measure(self, parameters, context):
        key = f"{context.experiment}.{context.attempt}"
        self.write(f"measure {key}")
        self.context = context
        value = getattr(self, parameters["do"])(parameters["seconds"])
        self.write(f"measured {key}")
        return value

    def wait(self, seconds):
        self.context.sleep(seconds)
        return 1.5

    def hang(self, seconds):
        while True:
            time.sleep(0.05)

    def hold_the_interpreter(self, seconds):
        ctypes.PyDLL(None).sleep(1000)  # keeps the interpreter's lock: no other thread of the process runs

    def segfault(self, seconds):
        ctypes.string_at(8)

    def leave(self, seconds):
        os._exit(0)

    def hoard(self, seconds):
        limit_memory(50)
        while True:
            HOARD.append(bytearray(4096))

    def print_much(self, megabytes):
        self.context.sleep(2)  # until the beat that says what is measured is over
        line = "x" * 99_999
        for _ in range(int(megabytes * 10)):
            print(line)
        self.write("printed")
        while not os.path.exists("open"):
            self.context.sleep(0.02)
        return 1.5

    def fork(self, seconds):
        child = os.fork()
        if child == 0:
            time.sleep(seconds)
            os._exit(0)
        self.write(f"child {child}")
        return 1.5

    def fork_and_hang(self, seconds):
        self.fork(seconds)
        self.hang(seconds)

    def fork_and_both_return(self, seconds):
        child = os.fork()
        if child:
            self.write(f"child {child}")
        return 1.5 if child else 666.0


def limit_memory(megabytes):
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
'''


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    (bench.folder / "lab.py").write_text(LAB)
    yield bench
    bench.close()
    for line in bench.journal():
        if line.startswith("child "):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[1]), signal.SIGKILL)


def start_two(bench):
    """Start two workers on a queue that is still empty; return the instance of each."""
    bench.publish()
    bench.start()
    until(lambda: all(bench.heartbeat(name).state is WorkerState.IDLE for name in ("w-1", "w-2")))
    return {name: bench.heartbeat(name).instance for name in ("w-1", "w-2")}


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("do", "kind", "cause"),
    [
        ("segfault", None, "SIGSEGV"),
        ("leave", None, "exit code 0"),
        ("hoard", "MemoryError", "its driver used up the memory"),
        ("fork_and_hang", "timeout", "its driver hung"),
    ],
)
def test_a_driver_that_ruins_its_process_gets_a_fresh_one_and_the_other_worker_does_not_notice(bench, do, kind, cause):
    bench.settings(count=2, timeout_s=8, grace_s=0.5, lease_s=30)
    before = start_two(bench)

    bench.publish((do, 60), *[("wait", 0.05)] * 8)

    until(lambda: f"died ({cause})" in bench.said())
    until(lambda: bench.journal().count("setup") == 3)
    until(lambda: len(bench.results()) == 8 + (kind is not None))
    outcomes = {key: result.outcome for key, result in bench.results().items()}
    first = outcomes.pop("e0001.1", None)
    assert (first and (str(first.status), first.error.kind)) == (kind and ("failed", kind))
    assert {str(outcome.status) for outcome in outcomes.values()} == {"completed"}
    until(lambda: all(bench.heartbeat(name).state is WorkerState.IDLE for name in before))
    unchanged = [name for name, instance in before.items() if bench.heartbeat(name).instance == instance]
    assert len(unchanged) == 1
    assert bench.said().count("died (") == 1
    assert bench.journal().count("measure e0001.1") == 1
    told = [line for line in bench.journal() if line in RECOVERY]
    assert told[2 : 2 + len(RECOVERY) + (kind == "timeout")] == ["stop"] * (kind == "timeout") + RECOVERY


@pytest.mark.fault(13)
@pytest.mark.parametrize("do", ["fork", "fork_and_both_return"])
def test_a_child_that_a_driver_leaves_behind_brings_no_second_result_and_keeps_neither_pool_nor_instrument(bench, do):
    bench.publish((do, 120))
    pool = bench.start()
    until(lambda: "e0001.1" in bench.results())
    child = next(int(line.split()[1]) for line in bench.journal() if line.startswith("child "))

    bench.publish(state=QueueState.DRAINING)

    assert pool.wait(60) == 0
    assert is_alive(child)
    bench.publish((do, 120), ("wait", 0.0))
    bench.start("second")
    until(lambda: "e0002.1" in bench.results())
    assert bench.results()["e0001.1"].outcome.values == {"yield": 1.5}
    assert len(list(bench.folder.glob("dump/worker_result_*"))) == 2
    assert bench.journal().count("teardown") == 1


@pytest.mark.fault(13)
def test_a_driver_that_holds_the_whole_interpreter_falls_silent_alone_and_its_slot_is_back_once_it_is_killed(bench):
    bench.settings(count=2, timeout_s=1, grace_s=0.3, lease_s=1)
    start_two(bench)
    bench.publish(("hold_the_interpreter", 0), *[("wait", 0.05)] * 8)
    until(lambda: len(bench.results()) == 8)
    stuck = bench.process_of("measure e0001.1")
    name = next(name for name in ("w-1", "w-2") if bench.heartbeat(name).pid == stuck)
    silent, other = bench.heartbeat(name), {"w-1": "w-2", "w-2": "w-1"}[name]
    lively = bench.heartbeat(other).beat
    until(lambda: bench.heartbeat(other).beat >= lively + 5)  # longer than a lease
    assert bench.heartbeat(name) == silent

    os.kill(stuck, signal.SIGKILL)

    until(lambda: bench.journal().count("setup") == 3)
    until(lambda: bench.heartbeat(name).state is WorkerState.IDLE)
    assert "e0001.1" not in bench.results()


@pytest.mark.fault(13)
@pytest.mark.parametrize("megabytes", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_driver_that_prints_more_than_a_log_may_have_is_cut_while_it_still_measures(bench, megabytes, figures):
    bench.settings(lease_s=LONG_S, timeout_s=LONG_S)  # beats are rare: it is not they that look
    bench.publish()
    do = {"do": "print_much", "seconds": megabytes}
    offer = Offer(AttemptKey("e0001", 1), do, lease_s=LONG_S)
    bench.end.publish(Revision(CAMPAIGN, 2, QueueState.RUNNING, (offer,)))
    bench.start()
    path, sizes = bench.folder / "logs" / "w-1.log", []

    until(lambda: "printed" in bench.journal() or note_size(path, sizes), within_s=150)
    until(lambda: path.stat().st_size < 11_000_000)
    assert bench.results() == {}
    (bench.folder / "open").touch()

    until(lambda: "e0001.1" in bench.results())
    assert bench.results()["e0001.1"].outcome.status is Status.COMPLETED
    assert "cut here" in bench.log()
    figures(printed_mb=megabytes, largest_log_mb=max(sizes) // 1_000_000)


def note_size(path, sizes) -> None:
    sizes.append(path.stat().st_size if path.exists() else 0)
