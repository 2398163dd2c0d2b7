"""However many are started at once, one planner and one pool run; the others say who does, and the next is ready."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from alchemy_async import locks
from alchemy_async.ledger import planner_lock
from tests.system.real_daemons import RealDaemons, until

REFUSED = 3  # exit code of a command that finds another holder
N_HERD = 100
N_REAL = 4

HERD = """
import os, sys, time
from pathlib import Path
from alchemy_async import locks
from alchemy_async.errors import AlreadyRunningError
path, go, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(n):
    if os.fork() == 0:
        while not go.exists():
            time.sleep(0.002)
        try:
            lock = locks.hold(path, what="taken", mend="wait")
        except AlreadyRunningError as error:
            os.write(1, f"refused {error}\\n".encode())
        else:
            os.write(1, f"held {os.getpid()}\\n".encode())
            time.sleep(120)
        os._exit(0)
go.touch()
for _ in range(n):
    os.wait()
"""

pytestmark = [
    pytest.mark.fault(8),
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and ends processes by their session"),
]


@pytest.fixture
def daemons(tmp_path):
    made = RealDaemons(tmp_path / "campaign", tmp_path / "outside", budget=500, workers=1, seconds=0.2)
    yield made
    made.close()


@pytest.fixture
def herd(tmp_path):
    """Let many processes take one lock at the same moment; return what each said. The holder stays."""
    parents = []

    def start(path):
        go = tmp_path / f"go-{len(parents)}"
        command = [sys.executable, "-c", HERD, str(path), str(go), str(N_HERD)]
        parents.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True))
        return [parents[-1].stdout.readline().rstrip("\n") for _ in range(N_HERD)]

    yield start
    for parent in parents:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def holder_of(said):
    (held,) = [line for line in said if line.startswith("held ")]
    return int(held.removeprefix("held "))


def lock_of(kind, folder):
    if kind == "planner":
        return planner_lock(folder / "campaign.db")
    return locks.machine_lock_path(f"pool pool {folder}")


@pytest.mark.parametrize("kind", ["planner", "pool"])
def test_of_a_hundred_started_at_once_one_has_the_lock_and_after_kill_9_the_next_hundred_have_one_at_once(
    tmp_path, herd, kind, figures
):
    path = lock_of(kind, tmp_path)

    first = herd(path)
    os.kill(holder_of(first), signal.SIGKILL)
    killed_at = time.monotonic()
    locks.hold(path, what="taken", mend="wait").release()
    took_s = time.monotonic() - killed_at
    second = herd(path)

    for said in (first, second):
        refused = [line for line in said if line.startswith("refused ")]
        assert len(refused) == N_HERD - 1
        named = f"refused taken: process {holder_of(said)} on {socket.gethostname()}, since "
        assert [line for line in refused if not line.startswith(named)] == []
    assert took_s < 5
    figures(starts=2 * N_HERD, survivors=2)


def all_but_one_end(processes):
    """Wait until one process is left; return it and its number."""
    within_s = 90 + 3 * len(processes)  # a command that is refused takes a second of processor time to find out
    until(lambda: sum(process.poll() is None for process in processes) == 1, "all but one have ended", within_s)
    number = next(n for n, process in enumerate(processes) if process.poll() is None)
    others = [process.returncode for n, process in enumerate(processes) if n != number]
    assert others == [REFUSED] * (len(processes) - 1)
    return processes[number], number


COMMANDS = {
    "plan": ("planner started in", "already has a planner"),
    "work": ("worker=w-1 ready", "already has a worker pool"),
}


def start_at_once(daemons, command, n):
    """Start a command several times; see that one lives, that the others name it, and that a next one can follow."""
    lives, refusal = COMMANDS[command]
    names = [f"{command}-{number}" for number in range(n)]
    survivor, number = all_but_one_end([daemons.start(command, name) for name in names])
    until(lambda: lives in daemons.said(names[number]), "the one that is left works")
    others = [daemons.said(name) for name in names if name != names[number]]

    survivor.kill()
    survivor.wait()
    following = daemons.start(command, "following")
    until(lambda: lives in daemons.said("following"), "the next works")

    assert following.poll() is None
    for said in others:
        assert refusal in said
        assert f"process {survivor.pid} on {socket.gethostname()}, since " in said
        assert lives not in said
    assert "already" not in daemons.said("following")


@pytest.mark.parametrize("command", COMMANDS)
def test_of_several_real_daemons_started_at_once_one_runs_and_after_kill_9_the_next_starts(daemons, command, figures):
    start_at_once(daemons, command, N_REAL)

    figures(starts=N_REAL + 1, survivors=2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_a_hundred_real_planners_started_at_once_one_runs_and_after_kill_9_the_next_starts(daemons, figures):
    start_at_once(daemons, "plan", N_HERD)

    assert len(daemons.rows("SELECT 1 FROM events WHERE kind = 'planner_started'")) == 2
    figures(starts=N_HERD + 1, survivors=2)


def test_those_that_are_refused_leave_the_running_campaign_alone(daemons):
    daemons.start("plan")
    until(lambda: "planner started" in daemons.said("plan"), "the planner runs")
    daemons.start("work")
    until(lambda: daemons.n_completed() >= 1, "the campaign runs")
    (daemons.outside / "way-round").symlink_to(daemons.folder)

    refused = [
        subprocess.run(
            [sys.executable, "-m", "alchemy_async", command, str(path)], capture_output=True, text=True, check=False
        )
        for command in ("plan", "work")
        for path in (daemons.folder, daemons.outside / "way-round")
    ]

    assert [process.returncode for process in refused] == [REFUSED] * 4, [process.stderr for process in refused]
    assert len(daemons.rows("SELECT 1 FROM events WHERE kind = 'planner_started'")) == 1
    reached = daemons.n_completed()
    until(lambda: daemons.n_completed() > reached, "the campaign goes on")
    started = daemons.tally("started")
    assert len(started) == len(set(started))
