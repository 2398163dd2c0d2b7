from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from alchemy_async.benchmark.peers import PEERS, PeerError, apart, load_peer
from alchemy_async.benchmark.peers.apart import ApartPeer
from alchemy_async.benchmark.peers.atlas_polling import AtlasPolling
from alchemy_async.benchmark.peers.cycle import Tally, drive, run_cycle, warm_up, window

LIBRARIES = ("persistqueue", "huey", "celery", "distributed", "ray", "parsl")
DURABLE = {"persist-queue (ack)", "persist-queue (fifo)", "huey SqliteHuey (fsync)"}


class Desk:
    """An exchange with one worker: it answers when asked, and can lose or repeat answers."""

    def __init__(self, lost=(), repeated=(), processes=(1,)):
        self.lost, self.repeated, self.processes = set(lost), set(repeated), processes
        self.submitted, self.waiting, self.most_out = [], [], 0

    def submit(self, numbers, rest_s):
        self.submitted += numbers
        self.waiting += [number for number in numbers if number not in self.lost]
        self.most_out = max(self.most_out, len(self.waiting))

    def collect(self):
        answers = [(number, self.processes[number % len(self.processes)]) for number in self.waiting]
        answers += [answer for answer in answers if answer[0] in self.repeated]
        self.waiting.clear()
        return answers


@dataclass(frozen=True)
class Leaver(ApartPeer):
    """Leaves behind a process in a session of its own, and one that has neither its environment nor its parent."""

    def measure(self, folder, *, n_workers, n_jobs, until):
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        moved = subprocess.Popen(sleep, start_new_session=True)
        parent = f"import subprocess; print(subprocess.Popen({sleep}, start_new_session=True, env={{}}, stdout=2).pid)"
        nameless = int(subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, check=True).stdout)
        (folder / "left.staged").write_text(json.dumps([os.getpid(), moved.pid, nameless]))
        (folder / "left.staged").rename(folder / "left.json")
        return self.answer(until)

    def answer(self, until):
        return Tally(1, 1, 0.5, 1), "left some"


@dataclass(frozen=True)
class Hanger(Leaver):
    def answer(self, until):
        time.sleep(300)


@dataclass(frozen=True)
class Crasher(Leaver):
    def answer(self, until):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Breaker(ApartPeer):
    def measure(self, folder, *, n_workers, n_jobs, until):
        raise RuntimeError("no such luck")


def runnable(name):
    reason = load_peer(name).missing()
    return pytest.param(name, marks=pytest.mark.skipif(bool(reason), reason=reason))


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until_gone(pids, limit_s=20):
    until = time.monotonic() + limit_s
    while any(lives(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return [pid for pid in pids if lives(pid)]


@pytest.mark.parametrize("name", [runnable(name) for name in PEERS if "Atlas" not in name])
def test_an_installed_peer_brings_back_every_job_from_all_of_its_workers(name, tmp_path):
    figures = load_peer(name).run(tmp_path / "peer", n_workers=2, n_jobs=30, limit_s=300)

    assert (figures.n_jobs, figures.n_workers, figures.name) == (30, 2, name), figures.note
    assert figures.jobs_per_s == pytest.approx(30 / figures.seconds)
    assert "twice" not in figures.note


@pytest.mark.parametrize("name", [runnable(name) for name in PEERS if name.startswith("persist-queue")])
def test_a_durable_peer_says_in_what_way_it_syncs(name, tmp_path):
    figures = load_peer(name).run(tmp_path, n_workers=1, n_jobs=3, limit_s=120)

    assert "journal_mode=wal, synchronous=FULL" in figures.note


def test_only_those_that_sync_every_step_count_as_durable():
    assert {name for name in PEERS if load_peer(name).durable} == DURABLE


def test_naming_and_asking_the_peers_imports_none_of_them():
    script = (
        "import sys; from alchemy_async.benchmark.peers import PEERS, load_peer;"
        "[load_peer(name).missing() for name in PEERS];"
        f"print([name for name in {LIBRARIES!r} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())

    assert done.stdout.strip() == "[]"


def test_a_peer_that_is_not_installed_says_what_to_install_and_refuses_to_run(tmp_path):
    peer = Breaker("absent", durable=False, needs=("no_such_queue",), extra="engines")

    assert peer.missing() == "no_such_queue is not installed: pip install 'alchemy-async[engines]'"
    with pytest.raises(PeerError, match=r"pip install 'alchemy-async\[engines\]'"):
        peer.run(tmp_path, n_workers=1, n_jobs=1, limit_s=10)


def test_a_peer_that_listens_beyond_loopback_is_missing_where_it_gets_no_network_of_its_own(tmp_path, monkeypatch):
    peer = Breaker("open", durable=False, own_network=True)
    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare

    assert "run it where that is" in peer.missing()


def test_a_folder_with_a_long_name_has_a_short_one_for_the_sockets_in_it(tmp_path):
    place = tmp_path / ("deep" * 20)
    place.mkdir()

    with apart._short(place, "0123456789abcdef") as short:
        (short / "file").touch()
        assert len(str(short)) <= apart._LONGEST

    assert (place / "file").exists()
    assert not os.path.lexists(short)


def test_a_name_that_no_peer_has_is_answered_with_those_that_there_are():
    with pytest.raises(PeerError, match="huey FileHuey"):
        load_peer("zeromq")


def test_a_peer_leaves_no_process_behind_whatever_session_environment_or_parent_it_has(tmp_path):
    figures = Leaver("leaver", durable=False).run(tmp_path, n_workers=1, n_jobs=1, limit_s=60)

    assert (figures.n_jobs, figures.jobs_per_s, figures.note) == (1, 2.0, "left some")
    assert until_gone(json.loads((tmp_path / "left.json").read_text())) == []


def test_a_peer_that_hangs_is_ended_at_its_limit_with_all_of_its_processes_and_says_so(tmp_path):
    figures = Hanger("hanger", durable=False).run(tmp_path, n_workers=3, n_jobs=1, limit_s=2)

    assert (figures.n_jobs, figures.jobs_per_s) == (0, 0.0)
    assert figures.note.startswith("not ready within the limit of 2 s")
    assert until_gone(json.loads((tmp_path / "left.json").read_text())) == []


def test_a_peer_ends_with_all_of_its_processes_when_the_one_that_started_it_is_killed(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.benchmark.test_peers import Hanger;"
        "Hanger('hanger', durable=False).run(Path(sys.argv[1]), n_workers=1, n_jobs=1, limit_s=100)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path.cwd())
    left = tmp_path / "left.json"
    until = time.monotonic() + 60
    while not left.exists() and time.monotonic() < until:
        time.sleep(0.05)
    pids = json.loads(left.read_text())

    starter.send_signal(signal.SIGKILL)
    starter.wait()

    assert until_gone(pids) == []


def test_a_peer_that_breaks_says_how_instead_of_a_figure(tmp_path):
    figures = Breaker("breaker", durable=False).run(tmp_path, n_workers=1, n_jobs=1, limit_s=60)

    assert figures.jobs_per_s == 0.0
    assert figures.note == "failed: RuntimeError: no such luck"


def test_a_peer_whose_process_dies_says_so_and_leaves_nothing_that_its_session_or_its_mark_can_find(tmp_path):
    figures = Crasher("crasher", durable=False).run(tmp_path, n_workers=1, n_jobs=1, limit_s=60)

    assert figures.note == "ended with code -9; see peer.log in its folder"
    _, moved, nameless = json.loads((tmp_path / "left.json").read_text())
    os.kill(nameless, signal.SIGKILL)  # nothing is left by which to know it
    assert until_gone([moved]) == []


def test_a_peer_too_large_for_the_memory_is_not_started(tmp_path):
    peer = Breaker("giant", durable=False, worker_mb=1_000_000)

    figures = peer.run(tmp_path / "peer", n_workers=256, n_jobs=1, limit_s=60)

    assert figures.note.startswith("not run: 256 workers of 1000000 MB need 256000.0 GB")
    assert not (tmp_path / "peer").exists()


def test_the_demo_s_workers_wait_for_two_looks_and_a_poll_between_two_experiments(tmp_path):
    demo = AtlasPolling("Atlas demo (polling)", durable=False, monitor_s=0.2, wait_s=0.5)

    figures = demo.run(tmp_path, n_workers=3, n_jobs=9, limit_s=60)

    assert figures.n_jobs == 9
    assert len(figures.turnaround_s) >= 6
    assert min(figures.turnaround_s) >= 0.19  # at least one look of measurement.py lies between
    assert figures.seconds >= 3 * 0.5  # run_opt.py slept before each of three batches


def test_the_demo_sleeps_as_long_as_the_original_unless_told_otherwise():
    demo = load_peer("Atlas demo (polling)")

    assert (demo.monitor_s, demo.wait_s, demo.missing()) == (2.0, 5.0, "")


def test_the_cycle_counts_each_job_once_and_says_how_many_came_twice():
    desk = Desk(repeated={3, 4})

    tally = drive(desk, 10, most_out=4, until=time.monotonic() + 60)

    assert (tally.n_jobs, tally.n_asked, tally.n_twice, sorted(desk.submitted)) == (10, 10, 2, list(range(10)))


def test_the_cycle_ends_at_its_limit_with_what_came_back():
    tally = drive(Desk(lost={7}), 10, most_out=4, until=time.monotonic() + 0.2)

    assert (tally.n_jobs, tally.n_asked) == (9, 10)
    assert tally.seconds < 0.2  # until the last result, not until the limit


def test_the_cycle_keeps_a_window_of_jobs_out_as_our_own_queue_does():
    desk = Desk()

    drive(desk, 500, window(3), until=time.monotonic() + 60)

    assert desk.most_out == window(3) == 64
    assert window(256) // 2 >= 2 * 256  # jobs come again when half are back: enough for each worker even then


def test_a_worker_that_answered_in_the_warm_up_counts_as_started_though_it_got_no_job():
    desk = Desk(processes=(1, 2, 3))

    tally = run_cycle(desk, n_workers=3, n_jobs=1, most_out=64, until=time.monotonic() + 60)

    assert (tally.n_jobs, tally.n_processes) == (1, 3)


def test_the_warm_up_lasts_until_every_process_answered():
    assert warm_up(Desk(processes=(1, 2, 3)), 3, until=time.monotonic() + 60) == 3
    assert warm_up(Desk(processes=(1, 2)), 3, until=time.monotonic() + 0.2) == 2
