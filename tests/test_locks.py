"""Locks are held by one living process at a time, and name it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from alchemy_async import locks
from alchemy_async.errors import AlreadyRunningError, FolderError

HOLD = """
import os, sys, time
from pathlib import Path
from alchemy_async import locks
from alchemy_async.errors import AlreadyRunningError
try:
    lock = locks.hold(Path(sys.argv[1]), what="taken", mend="wait")
except AlreadyRunningError as error:
    print("refused", error, flush=True)
else:
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""

CONTEND = """
import os, sys, time
from pathlib import Path
from alchemy_async import locks
from alchemy_async.errors import AlreadyRunningError
path, go, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(n):
    if os.fork() == 0:
        while not go.exists():
            time.sleep(0.001)
        try:
            lock = locks.hold(path, what="taken", mend="wait")
            os.write(1, b"held\\n")
            time.sleep(3)
        except AlreadyRunningError as error:
            os.write(1, f"refused {error}\\n".encode())
        os._exit(0)
go.touch()
for _ in range(n):
    os.wait()
"""


@contextmanager
def another_process_holding(path: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.mark.fault(8)
def test_a_held_lock_is_refused_with_its_holder_and_the_mend(tmp_path):
    path = tmp_path / "planner.lock"

    with (
        another_process_holding(path) as process,
        pytest.raises(AlreadyRunningError, match=r"amide already has a planner: .*Plan another folder") as caught,
    ):
        locks.hold(path, what="amide already has a planner", mend="Plan another folder.")

    assert f"process {process.pid} on {os.uname().nodename}, since 20" in caught.value.holder


@pytest.mark.fault(8)
def test_a_lock_dies_with_its_holder_even_by_kill_9(tmp_path):
    path = tmp_path / "planner.lock"
    with another_process_holding(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        started = time.monotonic()
        locks.hold(path, what="held", mend="wait").release()

    assert time.monotonic() - started < 5


@pytest.mark.fault(8)
def test_a_child_that_the_holder_forked_does_not_keep_its_lock(tmp_path):
    path = tmp_path / "instrument.lock"
    with another_process_holding(path, "fork") as process:
        process.kill()
        process.wait()

        locks.hold(path, what="held", mend="wait").release()


@pytest.mark.fault(8)
def test_the_stale_name_of_a_killed_holder_is_never_told_as_the_present_one(tmp_path):
    path = tmp_path / "planner.lock"
    with another_process_holding(path) as killed:
        pass
    introduction = path.with_name("planner.lock.holder")
    stale = introduction.read_bytes()
    assert str(killed.pid).encode() in stale

    with another_process_holding(path):
        introduction.write_bytes(stale)
        holder = locks.holder(path)

    assert str(holder) == "a process that has not said who it is"


@pytest.mark.fault(8)
def test_of_many_simultaneous_starts_exactly_one_survives_and_the_others_name_it(tmp_path):
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "x.lock"), str(tmp_path / "go"), "100"]

    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()

    assert lines.count("held") == 1
    refused = [line for line in lines if line.startswith("refused taken: process ")]
    assert len(refused) == 99
    assert len(set(refused)) == 1


def test_looking_for_the_holder_tells_it_and_makes_no_file(tmp_path):
    path = tmp_path / "planner.lock"
    assert locks.holder(path) is None
    assert not list(tmp_path.iterdir())

    with another_process_holding(path) as process:
        holder = locks.holder(path)

    assert holder is not None
    assert holder.pid == process.pid
    assert locks.holder(path) is None


def test_a_short_look_by_somebody_else_does_not_keep_the_lock_from_being_taken(tmp_path):
    path = tmp_path / "planner.lock"
    look = filelock.FileLock(path, thread_local=False)
    look.acquire()
    threading.Timer(0.1, look.release).start()

    with locks.hold(path, what="held", mend="wait"):
        assert not look.is_locked


def test_a_released_lock_leaves_its_file_and_can_be_taken_again(tmp_path):
    path = tmp_path / "planner.lock"
    with locks.hold(path, what="held", mend="wait"):
        inode = path.stat().st_ino

    with locks.hold(path, what="held", mend="wait") as again:
        assert path.stat().st_ino == inode
        assert locks.holder(path) is not None
        again.release()
        again.release()


def test_a_lock_that_can_not_be_made_says_how_to_mend_it(tmp_path):
    with pytest.raises(FolderError, match="Give this user the right to write"):
        locks.hold(tmp_path / "missing" / "x.lock", what="held", mend="wait")


def test_machine_locks_are_shared_by_all_users_and_differ_by_name(tmp_path):
    one = locks.machine_lock_path(f"{tmp_path} reactor-1")
    other = locks.machine_lock_path(f"{tmp_path} reactor-2")

    assert one == locks.machine_lock_path(f"{tmp_path} reactor-1")
    assert one != other
    assert "reactor-1" in one.name
    assert one.parent.stat().st_mode & 0o7777 == 0o1777
    with locks.hold(one, what="held", mend="wait"):
        assert one.stat().st_mode & 0o777 == 0o666
        assert one.with_name(one.name + ".holder").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("name", ["", "ä" * 5000, "../../etc/passwd", "a/b\nc"])
def test_any_text_names_a_machine_lock_inside_its_folder(name):
    path = locks.machine_lock_path(name)

    assert path.parent.name == "alchemy-async-locks"
    assert len(path.name) < 100
