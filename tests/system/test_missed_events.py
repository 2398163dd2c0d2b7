"""Results of which no event tells: many that came while no planner ran, and any where the kernel says nothing."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alchemy_async.clock import SystemClock
from alchemy_async.config import load_campaign
from alchemy_async.experiment import AttemptKey, Claim, Outcome, Result, Status
from alchemy_async.ledger import Ledger
from alchemy_async.queues.layout import Layout
from alchemy_async.queues.results import MAX_READ
from tests.system.real_daemons import RealDaemons, until

COUNTED_WITHIN_S = 5.0
INGESTED_WITHIN_S = 5.0  # after an overflow: two scans, and some time to work
CPU_MS_PER_RESULT = 3.6  # of the planner; three times what it needs on a quiet machine, for other work slows it down
MOST_EVENTS = Path("/proc/sys/fs/inotify/max_queued_events")
EVERY_EVENT, OVERFLOW = 0xFFF, 0x4000  # IN_ALL_EVENTS and IN_Q_OVERFLOW of <sys/inotify.h>
WAITING = re.compile(r"(\d+) results wait in dump/")

# The planner, in a process whose watchdog hears nothing: from the start, or from some moment on (a queue of events
# that ran over).
DEAF = """
import sys
from pathlib import Path
from alchemy_async.queues import watch
hear, when, from_then_on = watch.FolderWatch._hear, sys.argv[2], Path(sys.argv[3])
if when == "later":
    watch.PROBE_S = 100.0  # on a busy machine, too, the trial is to bring its event
def hear_nothing(self, event):
    if when == "never":
        return
    if self._is_answered.is_set() and from_then_on.exists():
        from_then_on.with_name("lost").touch()
    else:
        hear(self, event)
watch.FolderWatch._hear = hear_nothing
from alchemy_async.cli import main
sys.argv[1:] = ["plan", sys.argv[1]]
main()
"""

pytestmark = [
    pytest.mark.fault(12),
    pytest.mark.skipif(sys.platform == "win32", reason="ends processes by their session"),
]


class Backlog:
    """A campaign whose planner is stopped while all its experiments were claimed and measured."""

    def __init__(self, daemons, n):
        self.daemons, self.n = daemons, n
        self.layout = Layout(daemons.folder)
        self.layout.make()
        settings = load_campaign(daemons.folder)
        with Ledger.create(daemons.ledger, name=settings.campaign.name, study=settings.study()) as ledger:
            self.campaign = ledger.campaign
            with ledger.change() as change:
                change.set_limits(experiments=n, starts=2 * n)
                self.added = [change.add({"x": number / n}) for number in range(n)]
                change.list_attempts([experiment.key for experiment in self.added])
            for experiment in self.added:
                claim = Claim(self.campaign, experiment.key, 1, experiment.parameters, "w-1", "i1")
                path = self.layout.dump / "claims" / f"{experiment.key}.json"
                path.write_text(json.dumps(claim.to_wire()))

    def put_results(self, first=0, n=None):
        now = SystemClock().now()
        for experiment in self.added[first : first + (self.n if n is None else n)]:
            outcome = Outcome(Status.COMPLETED, now, now, {"y": experiment.parameters["x"] ** 2})
            result = Result(self.campaign, AttemptKey(experiment.id, 1), "w-1", outcome)
            path = self.layout.dump / f"worker_result_w-1_{experiment.key}.json"
            path.write_text(json.dumps(result.to_wire()))

    def read_all(self):
        """Return how long it takes just to read what waits: the machine may be busy with other tests."""
        started_at = time.monotonic()
        for path in [*self.layout.dump.glob("worker_result_*"), *(self.layout.dump / "claims").iterdir()]:
            path.read_bytes()
        return time.monotonic() - started_at

    def n_waiting(self):
        return sum(path.name.startswith("worker_result_") for path in self.layout.dump.iterdir())

    def recorded(self):
        """Return the value that the ledger has for each experiment that counts as completed."""
        sql = "SELECT experiment, measured FROM outcomes WHERE role = 'result' AND status = 'completed'"
        rows = self.daemons.rows(sql)
        assert len(rows) == len({row["experiment"] for row in rows}), "one was counted twice"
        return {row["experiment"]: json.loads(row["measured"])["y"] for row in rows}

    def expected(self):
        return {experiment.id: experiment.parameters["x"] ** 2 for experiment in self.added}


@pytest.fixture
def backlog(tmp_path):
    made = []

    def make(n):
        made.append(RealDaemons(tmp_path / "campaign", tmp_path / "outside", budget=n, workers=1))
        return Backlog(made[-1], n)

    yield make
    for each in made:
        each.close()


def told_waiting(daemons):
    found = WAITING.search(daemons.said("plan"))
    return int(found[1]) if found else None


def ended_children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def count_and_ingest(backlog, n, within_s):
    """Start the planner on results that wait; return the seconds until they were counted, until they were ingested,
    and of processor time in its whole life.

    They must be counted within `COUNTED_WITHIN_S`. Where the disk and the processors have so much else to do that
    just to read the files takes a third of that or more, three such times are allowed: it would say nothing of the
    planner.
    """
    waiting = backlog(n)
    waiting.put_results()
    bare_s, cpu_before_s = waiting.read_all(), ended_children_cpu_s()
    plan = waiting.daemons.start("plan")
    until(lambda: "planner started" in waiting.daemons.said("plan"), "the planner has started")
    started_at = time.monotonic()
    until(lambda: told_waiting(waiting.daemons), "the planner says how many results wait")
    counted_s = time.monotonic() - started_at

    assert plan.wait(within_s) == 0
    ingested_s = time.monotonic() - started_at
    assert told_waiting(waiting.daemons) == n
    assert waiting.recorded() == waiting.expected()
    assert waiting.n_waiting() == 0
    assert counted_s < max(COUNTED_WITHIN_S, 3 * bare_s), f"reading the files alone takes {bare_s:.1f} s just now"
    return counted_s, ingested_s, ended_children_cpu_s() - cpu_before_s


def test_results_that_came_while_no_planner_ran_are_counted_at_once_and_all_ingested(backlog, figures):
    n = MAX_READ + 300  # more than one look takes in

    counted_s, ingested_s, _ = count_and_ingest(backlog, n, within_s=150)

    figures(results=n, counted_s=round(counted_s, 2), ingested_s=round(ingested_s, 2), lost=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thirty_thousand_results_that_no_event_told_of_are_counted_in_five_seconds_and_all_ingested(backlog, figures):
    n = 30_000

    counted_s, ingested_s, cpu_s = count_and_ingest(backlog, n, within_s=1200)

    cpu_ms_per_result = 1000 * cpu_s / n
    figures(
        results=n,
        counted_s=round(counted_s, 2),
        ingested_s=round(ingested_s, 1),
        per_second=round(n / ingested_s),
        cpu_ms_per_result=round(cpu_ms_per_result, 2),
        lost=0,
    )
    assert cpu_ms_per_result < CPU_MS_PER_RESULT


def start_deaf(daemons, when, from_then_on):
    with (daemons.outside / "plan.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", DEAF, str(daemons.folder), when, str(from_then_on)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    daemons.started.append(process)
    return process


def test_where_no_event_ever_comes_the_planner_polls_says_so_and_takes_every_result(backlog, figures):
    waiting = backlog(60)
    plan = start_deaf(waiting.daemons, "never", "")
    until(lambda: "No events from" in waiting.daemons.said("plan"), "the planner says that it hears nothing")

    waiting.put_results(0, 20)
    until(lambda: len(waiting.recorded()) == 20, "what came is ingested")
    waiting.put_results(20)

    assert plan.wait(60) == 0
    assert "Looking every 0.5 s instead" in waiting.daemons.said("plan")
    assert (waiting.recorded(), waiting.n_waiting()) == (waiting.expected(), 0)
    figures(results=60, events=0, lost=0)


def test_events_that_are_lost_in_the_middle_of_a_campaign_are_made_up_for_by_the_next_scan(backlog, tmp_path, figures):
    waiting = backlog(60)
    plan = start_deaf(waiting.daemons, "later", tmp_path / "deaf")
    until(lambda: "planner started" in waiting.daemons.said("plan"), "the planner runs")
    waiting.put_results(0, 20)
    until(lambda: len(waiting.recorded()) == 20, "it hears of results")
    (tmp_path / "deaf").touch()

    for first in (20, 40):  # twice, lest something else had just woken it
        waiting.put_results(first, 10)
        until(lambda first=first: len(waiting.recorded()) == first + 10, "what came is ingested")
        waiting.put_results(first + 10, 10)

    assert plan.wait(60) == 0
    assert (tmp_path / "lost").exists(), "else no event was lost"
    assert "No events from" not in waiting.daemons.said("plan")
    assert (waiting.recorded(), waiting.n_waiting()) == (waiting.expected(), 0)
    figures(results=60, events_lost=40, lost=0)


@contextlib.contextmanager
def unread_events(folder, mask):
    """Have the kernel gather events of a folder, and read nothing of it until the test asks for all."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(folder), mask) >= 0, os.strerror(ctypes.get_errno())
        yield lambda: list(events_in(descriptor))
    finally:
        os.close(descriptor)


def events_in(descriptor):
    """Yield mask and name of each event that waits."""
    head = struct.Struct("iIII")
    with contextlib.suppress(BlockingIOError):
        while read := os.read(descriptor, 1 << 20):
            while read:
                _, mask, _, length = head.unpack_from(read)
                yield mask, os.fsdecode(read[head.size : head.size + length].rstrip(b"\0"))
                read = read[head.size + length :]


def watched_by(pid, folder):
    """Return the mask of what the kernel gathers for a process of what happens in a folder; 0: it does not."""
    watch = re.compile(rf"^inotify .*\bino:{folder.stat().st_ino:x} .*\bmask:([0-9a-f]+)", re.MULTILINE)
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was just closed
            if found := watch.search(path.read_text()):
                return int(found[1], 16) & EVERY_EVENT
    return 0


def rename_to_and_fro(folder, n_events):
    """Bring about events that wake no planner, for none tells of a whole file; leave nothing behind."""
    here, there = folder / ".here", folder / ".there"
    here.touch()
    for _ in range(n_events // 2):  # each brings one for the old name, and one for the other
        here.rename(there)
        here, there = there, here
    here.unlink()


@pytest.mark.skipif(not MOST_EVENTS.exists(), reason="Linux alone tells when its queue of events ran over")
def test_results_in_a_queue_of_events_that_ran_over_are_ingested_in_five_seconds_and_those_after_them(backlog, figures):
    most = int(MOST_EVENTS.read_text())
    if most > 20_000:
        pytest.skip(f"fs.inotify.max_queued_events is {most}: it would take too long to overflow")
    waiting = backlog(30)
    plan, dump = waiting.daemons.start("plan"), waiting.layout.dump
    until(lambda: watched_by(plan.pid, dump), "the planner watches")
    waiting.put_results(0, 10)
    until(lambda: len(waiting.recorded()) == 10, "it hears of results")

    with unread_events(dump, watched_by(plan.pid, dump)) as events:  # from here on the same as for the planner
        os.kill(plan.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, plan.pid, os.WSTOPPED)
        rename_to_and_fro(dump, most + 1000)
        waiting.put_results(10, 10)
        went_on_at = time.monotonic()
        os.kill(plan.pid, signal.SIGCONT)
        until(lambda: len(waiting.recorded()) == 20, "what came meanwhile is ingested")
        ingested_s = time.monotonic() - went_on_at
        gathered = events()
    waiting.put_results(20)

    assert plan.wait(60) == 0
    assert gathered[-1][0] & OVERFLOW
    assert not [name for _, name in gathered if name.startswith("worker_result_")], (
        "there was room for a result's event"
    )
    assert ingested_s < INGESTED_WITHIN_S
    assert (waiting.recorded(), waiting.n_waiting()) == (waiting.expected(), 0)
    figures(results=30, events_until_it_ran_over=len(gathered) - 1, ingested_s=round(ingested_s, 2), lost=0)
