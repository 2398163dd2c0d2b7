"""A disk that refuses, under two real daemons: they say so, keep what was measured, and go on when it is mended."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from tests.system.real_daemons import RealDaemons, until

PAGE = 4096
DISK_BYTES = 16 * 1024 * 1024  # SQLite's log alone grows to 4 MB before it is folded in
FOLDERS = ("dump", "pickup", ".staging", "dump/claims", "dump/workers", "dump/rejected")

pytestmark = [
    pytest.mark.fault(5),
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs, and ends processes by their session"),
]


def mount(*words):
    """Mount something, or skip the test with what the system says about it."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


def unmount(place):
    if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, small enough to be filled at once."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "small", place)
    yield place
    unmount(place)


@pytest.fixture
def campaign(tmp_path):
    """Make campaigns whose daemons end before the disk under them is taken away."""
    made = []

    def make(folder, **settings):
        made.append(RealDaemons(folder, tmp_path / "outside", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fill(disk, *, leave=0):
    """Take all room on a disk but ``leave`` bytes; return what to remove to have it back."""
    spare, filler = disk / "spare", disk / "filler"
    spare.write_bytes(b"x" * leave)
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * PAGE):
                pass
        except OSError as error:
            print(error)
    spare.unlink()
    return filler


def ends_well(plan, work):
    """Wait for both daemons; a worker tries again after 60 s at the latest."""
    return plan.wait(120), work.wait(60)


@pytest.fixture
def busy(campaign, disk):
    """A campaign on the small disk whose two workers are in the middle of a measurement."""
    daemons = campaign(disk / "campaign", budget=12, lease_s=1)
    daemons.plan, daemons.work = daemons.start("plan"), daemons.start("work")
    until(lambda: daemons.n_completed() >= 2, "the campaign runs")
    daemons.close_gate()
    until(lambda: len(daemons.running()) == 2, "both workers measure")
    staging = disk / "campaign" / ".staging"
    until(lambda: not list(staging.glob("planner.*")), "nothing is left that the planner could remove to make room")
    return daemons


def test_a_disk_that_is_full_is_told_and_waited_out_and_the_campaign_goes_on_as_if_nothing_had_been(
    busy, disk, figures
):
    beat = busy.heartbeat()
    started = busy.tally("started")
    filler = fill(disk)

    busy.open_gate()
    until(lambda: "the disk refuses (" in busy.said("plan"), "the planner says so")
    for worker in ("w-1", "w-2"):
        told = f"worker={worker} in trouble: the result of"
        until(lambda told=told: told in busy.said("work"), "the pool says so")
    time.sleep(1.5)  # some beats that find no room either
    began_meanwhile = busy.tally("started")[len(started) :]
    filler.unlink()
    ended = ends_well(busy.plan, busy.work)

    assert "is full" in busy.said("plan")
    assert "Make room" in busy.said("plan")
    assert "is kept in memory, the disk refuses it: [Errno 28] No space left on device" in busy.said("work")
    assert began_meanwhile == []
    assert busy.heartbeat()["instance"] == beat["instance"]
    assert busy.heartbeat()["beat"] > beat["beat"] + 4, "it went on beating, in vain or not"
    assert (ended, busy.violations()) == ((0, 0), [])
    figures(full_disk=1, experiments=12, lost=0, doubled=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_disk_that_fills_up_again_and_again_to_the_last_pages_costs_time_and_nothing_else(
    campaign, disk, rounds, fault_seed, figures
):
    rng = random.Random(fault_seed)
    n = max(5, rounds // 8)
    budget = min(12 * n, 500)  # one parameter has room for some 600 points that are no copies of another
    daemons = campaign(disk / "campaign", budget=budget, lease_s=1, seconds=0.8)
    plan, work = daemons.start("plan"), daemons.start("work")

    n_full = 0
    while n_full < n and plan.poll() is None:
        reached = daemons.n_completed()
        until(lambda reached=reached: daemons.n_completed() > reached or plan.poll() is not None, "it goes on")
        filler = fill(disk, leave=PAGE * rng.choice([0, 0, 1, 2, 3, 5, 8, 13, 30]))
        time.sleep(rng.uniform(0.2, 2.0))
        filler.unlink()
        n_full += 1

    assert ends_well(plan, work) == (0, 0)
    assert daemons.violations() == []
    figures(full_disk=n_full, experiments=daemons.budget, lost=0, doubled=0)


PRINTS = """
from pathlib import Path
from alchemy_async.worker_pool import output
output.redirect(Path("/dev/full"))
print("what an instrument tells is long:", "x" * 20_000, flush=True)
"""


def test_a_log_that_the_disk_refuses_breaks_no_measurement_that_prints():
    assert subprocess.run([sys.executable, "-c", PRINTS], check=False).returncode == 0


def test_a_folder_that_turns_read_only_is_told_and_waited_out(campaign, disk, figures):
    daemons = campaign(disk / "campaign", ledger="../campaign.db", lease_s=40)
    plan, work = daemons.start("plan"), daemons.start("work")
    until(lambda: daemons.n_completed() >= 2, "the campaign runs")
    daemons.close_gate()
    until(lambda: len(daemons.running()) == 2, "both workers measure")
    mount("--bind", daemons.folder, daemons.folder)
    try:
        mount("-o", "remount,bind,ro", daemons.folder)
        daemons.open_gate()
        until(lambda: daemons.said("work").count("is kept in memory") == 2, "both workers say so")
        assert daemons.command("pause").returncode == 0
        until(lambda: "the disk refuses (" in daemons.said("plan"), "the planner can't publish the pause")
    finally:
        unmount(daemons.folder)
    assert daemons.command("resume").returncode == 0
    ended = ends_well(plan, work)

    assert "[Errno 30] Read-only file system" in daemons.said("work")
    assert "see that the folder can be written" in daemons.said("plan")
    assert (ended, daemons.violations()) == ((0, 0), [])
    figures(read_only=1, experiments=10, lost=0, doubled=0)


def snapshot(folder):
    """Return all that could tell that somebody was there."""
    return {
        path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else sorted(path.iterdir()))
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def make_treasure(place):
    """A folder of somebody else's that looks like the campaign's own."""
    for name in ("claims", "workers", "rejected"):
        (place / name).mkdir(parents=True)
    for name in ("worker_result_w-1_e0001.1.json", "claims/e0001.1.json", "workers/w-1.json", "priority_queue.json"):
        (place / name).write_text('{"format": 1}')
    for name in ("w-1.json", "e0001.1.json", "planner.0.1", "w-1.0.1"):
        (place / name).write_text("precious")
    return place


def undergo(daemons, name, kind, treasure):
    """Take a folder away or put a link in its place while nobody touches it, and put it back once it was noticed."""
    folder, aside = daemons.folder / name, daemons.folder / "aside"
    daemons.close_gate()
    until(lambda: len(daemons.running()) == 2, "both workers measure")
    until(lambda: not list(daemons.folder.glob("dump/worker_result_*")), "the planner has all results")
    time.sleep(0.5)  # between the look at a folder and its use nothing may be exchanged: let all come to rest
    reached = daemons.n_completed()
    folder.rename(aside)
    if kind == "link":
        folder.symlink_to(treasure)
    told = f"{folder} is missing. Put it back" if kind == "missing" else f"{folder} is not a folder, and links are not"
    daemons.open_gate()

    until(lambda: told in daemons.said("plan"), f"the planner says {told!r}")
    until(lambda: not daemons.running(), "both workers have measured")
    until(lambda: "is kept in memory" in daemons.said("work"), "the workers say that they keep their results")
    if kind == "link":
        folder.unlink()
    aside.rename(folder)

    until(lambda: daemons.n_completed() >= reached + 2, f"it goes on after {name} is back")


def undergo_all(campaign, tmp_path, troubles):
    """Run a campaign through troubles; return what of the treasure was touched, and what came to harm."""
    treasure = make_treasure(tmp_path / "treasure")
    before = snapshot(treasure)
    daemons = campaign(tmp_path / "campaign", budget=8 * len(troubles) + 2, lease_s=60, seconds=0.1)
    plan, work = daemons.start("plan"), daemons.start("work")
    until(lambda: daemons.n_completed() >= 1, "the campaign runs")
    for name, kind in troubles:
        undergo(daemons, name, kind, treasure)
    assert ends_well(plan, work) == (0, 0)
    assert snapshot(treasure) == before
    assert daemons.violations() == []


def test_a_folder_that_vanishes_or_becomes_a_link_under_the_daemons_is_named_not_followed_and_taken_up_again(
    campaign, tmp_path, figures
):
    undergo_all(campaign, tmp_path, [("dump", "link"), ("pickup", "missing")])

    figures(folders_gone=1, folders_linked=1, touched_outside=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_folder_of_the_protocol_may_vanish_and_become_a_link(campaign, tmp_path, figures):
    undergo_all(campaign, tmp_path, [(name, kind) for name in FOLDERS for kind in ("missing", "link")])

    figures(folders_gone=len(FOLDERS), folders_linked=len(FOLDERS), touched_outside=0)
