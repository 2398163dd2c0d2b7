"""Hostile files under every name that a daemon reads: refused with a reason, never followed, run, or waited for."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.clock import SimulatedClock, SystemClock, to_wire
from alchemy_async.errors import FolderError, WireError
from alchemy_async.experiment import State, WorkerState
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN, a_revision, an_offer
from tests.planner_daemon.conftest import Lab
from tests.system import hostile
from tests.system.both_daemons import Site, site_in, until
from tests.worker_pool.conftest import Bench

pytestmark = [
    pytest.mark.fault(6),
    pytest.mark.skipif(sys.platform != "linux", reason="FIFOs, devices and names in bytes are made as Linux has them"),
]


def a_result(campaign: str, experiment: str, *, worker: str = "w-1", **changes) -> dict:
    now = to_wire(SystemClock().now())
    document = {
        "format": 1,
        "campaign": campaign,
        "experiment": experiment,
        "attempt": 1,
        "worker": worker,
        "status": "completed",
        "values": {"y": 0.5},
        "started_at": now,
        "finished_at": now,
    }
    return document | changes


# -- results -----------------------------------------------------------------

WRONG_FIELDS = [
    {"attempt": "1"},
    {"attempt": True},
    {"attempt": 10**30},
    {"worker": ["w-1"]},
    {"worker": "../../w-1"},
    {"worker": "w/1"},
    {"experiment": "../../campaign"},
    {"experiment": "/etc/passwd"},
    {"experiment": "e0001\n"},
    {"values": [0.5]},
    {"values": {"y": "0.5"}},
    {"values": {"y": None}},
    {"values": {"../y": 0.5}},
    {"values": {}},
    {"sems": {"y": -1}},
    {"status": "COMPLETED"},
    {"started_at": 0},
    {"started_at": "yesterday"},
    {"parameters": {"x": {"$ref": "/etc/passwd"}}},
    {"parameters": {"x": 1e300}},
    {"metadata": "text"},
    {"error": "boom"},
    {"campaign": "../faults-00000000"},
    {"__class__": "os.system"},
]

WRONG_NAMES = [
    b"worker_result_w-1_e0001.1\n.json",
    b"worker_result_..",
    b"worker_result_...json",
    b"worker_result_.._e0001.1.json",
    b"worker_result_w-1_...1.json",
    b"worker_result_\xff\xfe_e0001.1.json",
    b"worker_result_w-1_e0001.1.pkl",
    b"worker_result_w-1_e0001.1.json;touch executed",
    b"worker_result_$(touch executed)_e0001.1.json",
    b"worker_result_-rf_e0001.1.json.",
    b"worker_result_" + b"x" * 241,
]


def drop_hostile_results(dump: Path, campaign: str, outside: Path) -> list[str]:
    """Put a result of every hostile kind into ``dump/``, and return their names."""
    makers = hostile.SPECIAL | hostile.CONTENT | hostile.HEAVY
    makers |= {
        f"fields {fields}": hostile.content(json.dumps(a_result(campaign, "e0001") | fields)) for fields in WRONG_FIELDS
    }
    truncated = json.dumps(a_result(campaign, "e0001"))[:-9]
    makers |= {"truncated": hostile.content(truncated), "unknown": hostile.content(json.dumps(a_result(campaign, "x")))}
    made = hostile.make_all(makers, lambda number: dump / f"worker_result_hostile-{number}_e0001.1.json", outside)
    for name in WRONG_NAMES:
        made.append(dump / os.fsdecode(name))
        made[-1].write_text(json.dumps(a_result(campaign, "e0001")))
    return [path.name for path in made]


def put_good(folder: Path, campaign: str, experiment: str) -> None:
    staged = folder / ".staging" / f"w-1.{experiment}"
    staged.write_text(json.dumps(a_result(campaign, experiment)))
    staged.rename(folder / "dump" / f"worker_result_w-1_{experiment}.1.json")


def reasons(folder: Path) -> dict[str, str]:
    rejected = folder / "dump" / "rejected"
    return {path.name: path.read_text() for path in rejected.iterdir() if path.name.endswith(".reason.txt")}


def test_hostile_results_of_every_kind_are_rejected_within_a_second_of_the_planners_time(tmp_path, figures):
    here = Lab(tmp_path / "lab", SimulatedClock(), n_initial=2)
    here.step()
    names = drop_hostile_results(here.folder / "dump", here.ledger.campaign, tmp_path / "outside")
    put_good(here.folder, here.ledger.campaign, "e0001")
    began, slowest_s = here.clock.monotonic(), 0.0

    while list((here.folder / "dump").glob("worker_result_*")):
        step_began = time.process_time()
        here.step(seconds=0.05)
        slowest_s = max(slowest_s, time.process_time() - step_began)
        assert here.clock.monotonic() - began < 1, "not rejected within a second"

    assert here.state("e0001") is State.COMPLETED
    assert here.ledger.tally()["completed"] == 1
    told = reasons(here.folder)
    assert len(told) == len(names)
    assert all("Why:  " in text and "Mend: " in text for text in told.values())
    hostile.assert_untouched(tmp_path / "outside")
    figures(hostile_results=len(names), slowest_look_cpu_s=round(slowest_s, 2))
    here.close()


def test_a_running_planner_rejects_hostile_results_and_counts_a_good_one_that_came_with_them(tmp_path, figures):
    with site_in(tmp_path / "site", budget=6) as site:
        planner = site.plan()
        until(site.is_published)
        campaign, before_kb = site.queue()["campaign"], memory_kb(planner.pid)

        dropped_at = time.monotonic()
        names = drop_hostile_results(site.folder / "dump", campaign, tmp_path / "outside")
        put_good(site.folder, campaign, "e0001")
        until(lambda: site.states()["e0001"] == "completed")
        good_s = time.monotonic() - dropped_at
        until(lambda: site.results() == [])
        rejected_s = time.monotonic() - dropped_at

        put_good(site.folder, campaign, "e0002")
        until(lambda: site.states()["e0002"] == "completed")
        assert planner.poll() is None
        assert len(reasons(site.folder)) == len(names)
        assert list(site.states().values()).count("completed") == 2
        grown_kb = memory_kb(planner.pid) - before_kb
        assert grown_kb < 200_000
        hostile.assert_untouched(tmp_path / "outside")
        assert not list(tmp_path.rglob("executed"))
        figures(good_after_s=round(good_s, 2), all_rejected_s=round(rejected_s, 2), grown_mb=grown_kb // 1000)


def memory_kb(pid: int) -> int:
    """Return the most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# -- claims and heartbeats ---------------------------------------------------


def test_hostile_claims_are_somebodys_and_hostile_heartbeats_nobodys_and_the_campaign_goes_on(tmp_path):
    kinds = hostile.SPECIAL | hostile.CONTENT
    n = len(kinds)
    here = Lab(tmp_path / "lab", SimulatedClock(), n_initial=n + 2, budget=f"experiments = {n + 2}", look_ahead=n + 2)
    worker = here.worker()
    here.step()
    claims, workers = here.folder / "dump" / "claims", here.folder / "dump" / "workers"
    hostile.make_all(kinds, lambda number: claims / f"e{number + 1:04}.1.json", tmp_path / "outside")
    hostile.make_all(kinds, lambda number: workers / f"hostile-{number}.json", tmp_path / "outside")
    for name in (b"..json", b"\xff.json", b"w-1\n.json", b"-rf.json"):
        (workers / os.fsdecode(name)).write_text("{}")

    here.step(8)
    here.run_one(worker)
    here.run_one(worker)
    here.step(2)

    taken = [attempt.worker for attempt in here.ledger.held()]
    assert taken == ["unknown"] * n
    assert here.ids(State.COMPLETED) == [f"e{n + 1:04}", f"e{n + 2:04}"]
    assert set(here.daemon._leases.living()) == {"w-1"}
    hostile.assert_untouched(tmp_path / "outside")
    here.close()


@pytest.mark.parametrize("worker", ["../../w", "w/1", "", "w\n", "x" * 65, "planner\x00"])
def test_a_heartbeat_or_claim_that_names_a_worker_by_a_path_is_nobodys(tmp_path, worker):
    here = Lab(tmp_path / "lab", SimulatedClock(), n_initial=2)
    here.step()
    base = {"format": 1, "campaign": here.ledger.campaign, "worker": worker, "instance": "i"}
    beat = base | {"beat": 1, "state": "idle", "holds": ""}
    claim = base | {"experiment": "e0001", "attempt": 1, "parameters": {}}
    (here.folder / "dump" / "workers" / "w-1.json").write_text(json.dumps(beat))
    (here.folder / "dump" / "claims" / "e0001.1.json").write_text(json.dumps(claim))

    here.step(8)

    assert [attempt.worker for attempt in here.ledger.held()] == ["unknown"]
    assert here.daemon._leases.living() == {}
    here.close()


# -- the queue, as a worker reads it -----------------------------------------


@pytest.mark.parametrize("kind", hostile.SPECIAL | hostile.CONTENT)
def test_a_worker_claims_nothing_from_a_hostile_queue_and_goes_on_with_the_next_revision(tmp_path, kind):
    for name in ("site", "outside"):
        (tmp_path / name).mkdir()
    planner = FolderPlannerEnd(tmp_path / "site", campaign=CAMPAIGN, clock=SimulatedClock())
    worker = FolderWorkerEnd(tmp_path / "site", worker="w1", instance="i")
    planner.publish(a_revision(number=1))
    queue = tmp_path / "site" / "pickup" / "priority_queue.json"
    (tmp_path / "outside" / "secret.json").write_text(json.dumps(a_revision(an_offer()).to_wire()))
    hostile.replace(queue, (hostile.SPECIAL | hostile.CONTENT)[kind], tmp_path / "outside")

    for look in (worker.news, worker.claim):
        with pytest.raises(WireError, match="can't be read"):
            look()
    assert not list((tmp_path / "site" / "dump" / "claims").iterdir())
    assert not hostile.canary(tmp_path / "outside").exists()

    if queue.is_dir() and not queue.is_symlink():
        (queue / "inside.txt").unlink()
        queue.rmdir()
    planner.publish(a_revision(an_offer(), number=2))
    assert worker.claim() == an_offer()
    planner.close()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "e1/../e2", "..", "e1\x00", "e 1", "x" * 65, ""])
@pytest.mark.parametrize("where", ["experiments", "cancel"])
def test_an_id_that_would_be_a_path_spoils_the_whole_queue(tmp_path, name, where):
    (tmp_path / "site").mkdir()
    worker = FolderWorkerEnd(tmp_path / "site", worker="w1", instance="i")
    document = a_revision(an_offer()).to_wire()
    if where == "experiments":
        document["experiments"][0]["experiment"] = name
    else:
        document["cancel"] = [f"{name}.1"]
    (tmp_path / "site" / "pickup" / "priority_queue.json").write_text(json.dumps(document))
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(WireError):
        worker.claim()

    assert sorted(tmp_path.rglob("*")) == before


def test_a_real_worker_lives_through_every_hostile_queue(tmp_path):
    (tmp_path / "site").mkdir()
    bench = Bench(tmp_path / "site")
    try:
        bench.publish()
        bench.start()
        until(lambda: bench.heartbeat().state is WorkerState.IDLE)
        first = bench.heartbeat()
        queue = bench.folder / "pickup" / "priority_queue.json"
        (tmp_path / "outside").mkdir()
        for make_hostile in (
            hostile.CONTENT | hostile.HEAVY | hostile.SPECIAL
        ).values():  # a folder, which stays, is the last
            hostile.replace(queue, make_hostile, tmp_path / "outside")
            beat = bench.heartbeat().beat
            until(lambda beat=beat: bench.heartbeat().beat > beat)
        (queue / "inside.txt").unlink()
        queue.rmdir()

        bench.publish(("wait", 0.0))

        until(lambda: "e0001.1" in bench.results())
        assert bench.heartbeat().instance == first.instance
        assert "can't be read" in bench.log()
        assert not list((tmp_path / "outside").iterdir())
    finally:
        bench.close()


# -- who may write what ------------------------------------------------------


def test_a_link_in_place_of_the_folder_of_this_machines_locks_is_refused_and_what_it_points_to_stays_closed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(locks, "_machine_folder", lambda: tmp_path)
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "alchemy-async-locks").symlink_to(tmp_path / "private")

    with pytest.raises(FolderError, match="it is a link"):
        locks.machine_lock_path("instrument furnace")

    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700


def modes(site: Site, is_kind) -> dict[str, str]:
    """Return the mode of every file, or folder, that the product made."""
    ours = [".out", ".toml", ".pyc"]
    return {
        str(path.relative_to(site.folder)): f"{stat.S_IMODE(path.lstat().st_mode):o}"
        for path in site.folder.rglob("*")
        if is_kind(path) and path.suffix not in ours and path.name not in ("lab.py", "journal.txt", "__pycache__")
    }


@pytest.mark.parametrize("umask", [0o000, 0o027])
def test_the_umask_says_who_may_add_files_and_no_file_may_be_changed_by_another_user(tmp_path, umask):
    with site_in(tmp_path / "site", budget=2) as site:
        planner, pool = site.plan(umask=umask), site.work(umask=umask)

        assert planner.wait(120) == 0
        assert pool.wait(120) == 0

        folders, files = modes(site, Path.is_dir), modes(site, Path.is_file)
        files.pop("planner.lock")  # it is empty, and locking it needs the right to write
        assert {"dump/claims", "dump/workers", "dump/rejected", "pickup", ".staging"} <= set(folders)
        assert {"campaign.db", "pickup/priority_queue.json", "dump/claims/e0001.1.json"} <= set(files)
        assert set(folders.values()) == {f"{0o777 & ~umask:o}"}, folders
        assert set(files.values()) == {f"{0o644 & ~umask:o}"}, files
