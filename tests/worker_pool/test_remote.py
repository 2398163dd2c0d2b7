"""The pool over REST, as real processes against a real server: what it does while all goes well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from alchemy_async.client import RefusedError
from alchemy_async.errors import FolderError, SettingsError
from alchemy_async.experiment import AttemptKey, QueueState, Status, WorkerState
from alchemy_async.queues.rest import Server
from alchemy_async.worker_pool.remote import load_session
from tests.service.serving import RealServer
from tests.worker_pool.conftest import until
from tests.worker_pool.remote_bench import RemoteBench


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RealServer(tmp_path_factory.mktemp("served")).start()
    yield server
    server.stop()


@pytest.fixture
def bench(tmp_path, server):
    bench = RemoteBench(tmp_path, server)
    yield bench
    bench.close()


def where(bench: RemoteBench) -> Server:
    return Server(bench.server.url, bench.session.name)


def test_a_pool_completes_a_queue_over_rest_and_ends_when_it_drains(bench):
    bench.settings(count=2)
    bench.publish(*[("wait", 0.02)] * 6)

    pool = bench.start()
    until(lambda: len(bench.results()) == 6, within_s=30)
    until(lambda: bench.journal().count("setup") == 2)
    bench.publish(state=QueueState.DRAINING)

    assert pool.wait(15) == 0
    assert {result.outcome.status for result in bench.results().values()} == {Status.COMPLETED}
    measured = sorted(line for line in bench.journal() if line.startswith("measure "))
    assert measured == [f"measure e{k:04}.1" for k in range(1, 7)]
    assert bench.journal().count("teardown") == 2
    assert {bench.heartbeat(worker).state for worker in ("w-1", "w-2")} == {WorkerState.GONE}
    assert bench.spooled() == []
    assert not {path.name for path in bench.pc.iterdir()} & {"campaign.toml", "pickup", "dump", ".staging"}


def test_claims_and_beats_name_the_machine_and_process_of_the_worker_and_not_the_servers(bench):
    bench.publish(("gate", 0.0))

    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY, within_s=30)

    (claim,) = bench.end.collect([AttemptKey("e0001", 1)]).claims
    process = bench.process_of("measure e0001.1")
    assert (claim.worker, claim.pid, bench.heartbeat().pid) == ("w-1", process, process)
    assert claim.instance == bench.heartbeat().instance
    (bench.pc / "open").touch()
    until(lambda: "e0001.1" in bench.results())


def test_a_revision_wakes_an_idle_worker_before_its_rescan(bench):
    bench.publish()
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.IDLE, within_s=30)

    bench.publish(("wait", 0.0))

    until(lambda: "e0001.1" in bench.results(), within_s=1.9)


def test_cancel_breaks_a_measurement_off_and_the_worker_goes_on(bench):
    bench.publish(("wait", 60), ("wait", 0.0))
    bench.start()
    until(lambda: "measure e0001.1" in bench.journal(), within_s=30)

    bench.publish(("wait", 60), ("wait", 0.0), cancel=("e0001.1",))

    until(lambda: len(bench.results()) == 2)
    assert bench.results()["e0001.1"].outcome.status is Status.CANCELLED
    assert bench.results()["e0002.1"].outcome.status is Status.COMPLETED


@pytest.mark.fault(2)
def test_a_killed_worker_is_replaced_after_a_recovery_and_its_attempt_is_not_run_again(bench):
    bench.publish(("blind", 60))
    bench.start()
    until(lambda: bench.heartbeat().state is WorkerState.BUSY, within_s=30)
    killed = bench.heartbeat()

    os.kill(killed.pid, signal.SIGKILL)

    until(lambda: bench.heartbeat().state is WorkerState.IDLE and bench.heartbeat().instance != killed.instance)
    assert bench.journal() == [
        "connect",
        "setup",
        "measure e0001.1",
        *["connect", "stop", "teardown"],
        "connect",
        "setup",
    ]


def test_a_local_file_names_the_workers_of_this_machine_in_place_of_the_sessions(bench):
    (bench.pc / "workers.toml").write_text('[[workers]]\nname = "mine"\ndriver = "lab:Furnace"\nlabels = ["hot"]\n')

    settings = load_session(where(bench), bench.pc)

    assert [(group.name, group.labels) for group in settings.workers] == [("mine", ("hot",))]
    assert [objective.name for objective in settings.objectives] == ["yield"]


def test_without_a_local_file_the_workers_are_those_of_the_session(bench):
    assert [group.name for group in load_session(where(bench), bench.pc).workers] == ["w"]


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("[[workers]]\nname = 3\n", "workers"),
        ("workers = 3\n", r"tables \[\[workers\]\]"),
        ("[campaign]\n[[workers]]\n", r"tables \[\[workers\]\]"),
        ("[[workers", r"tables \[\[workers\]\]"),
    ],
)
def test_a_local_file_with_mistakes_is_refused_with_its_name(bench, text, mend):
    (bench.pc / "workers.toml").write_text(text)

    with pytest.raises(SettingsError, match=mend) as refused:
        load_session(where(bench), bench.pc)

    assert "workers.toml" in str(refused.value)


def test_a_session_that_does_not_exist_is_told_with_what_to_look_at(bench):
    with pytest.raises(RefusedError, match="--session"):
        load_session(Server(bench.server.url, "no-such-session"), bench.pc)


def test_a_folder_that_does_not_exist_is_told(bench):
    with pytest.raises(FolderError, match="results that wait"):
        load_session(where(bench), bench.pc / "missing")


def test_a_pool_that_is_started_before_its_server_waits_for_it(bench):
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            bench.line.mend()

    bench.line.cut()

    settings = load_session(Server(bench.line.url, bench.session.name), bench.pc, sleep=sleep)

    assert naps == [1, 2, 4]
    assert settings.workers


def test_a_pool_whose_server_does_not_answer_takes_what_it_said_at_the_last_start(bench):
    there = Server(bench.line.url, bench.session.name)
    before = load_session(there, bench.pc)
    bench.line.cut()

    assert load_session(there, bench.pc, sleep=lambda _: pytest.fail("it waits")) == before


def test_a_worker_over_rest_loads_neither_pydantic_nor_numpy_nor_what_the_server_needs(tmp_path):
    script = (
        "import sys, urllib3, alchemy_async.queues.rest; from alchemy_async.worker_pool import life, post, worker; "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    loaded = subprocess.run([sys.executable, "-S", "-c", script], env=path, capture_output=True, text=True)

    light = {"alchemy_async", "multiprocess", "_multiprocess", "dill", "filelock", "urllib3"}
    assert set(loaded.stdout.split()) - {"__main__", "__mp_main__"} <= light, loaded.stderr
    assert "urllib3" in loaded.stdout
