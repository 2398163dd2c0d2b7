"""Thousands of attempts that many processes want at once: each is had by exactly one, and none is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alchemy_async.clock import SystemClock
from alchemy_async.experiment import AttemptKey, Offer, QueueState, Revision
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN
from tests.system.real_daemons import folder_in_memory, until

WINDOW = 250  # attempts that the queue shows at once, as a campaign with a deep look-ahead does

CLAIMER = """
import json, os, sys, time
from pathlib import Path
from alchemy_async.experiment import QueueState, WorkerState
from alchemy_async.queues.folder_worker import FolderWorkerEnd

folder, name, has_links = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "links"
if folder.is_relative_to("/dev/shm"):
    os.fsync = lambda descriptor: time.sleep(0.001)  # as long as a good disk takes: meanwhile the others come up
n_lost, link, open_ = 0, os.link, os.open

def counting_link(*args, **kwargs):
    global n_lost
    if not has_links:
        raise PermissionError(1, "Operation not permitted")
    try:
        link(*args, **kwargs)
    except FileExistsError:
        n_lost += 1
        raise

def counting_open(path, flags, *args, **kwargs):
    global n_lost
    try:
        return open_(path, flags, *args, **kwargs)
    except FileExistsError:
        n_lost += 1
        raise

os.link, os.open = counting_link, counting_open
end = FolderWorkerEnd(folder, worker=name, instance=f"instance-of-{name}")
end.beat(WorkerState.IDLE)
claimed = {}
while (news := end.news()) is None or news.state is not QueueState.STOPPED:
    offer = end.claim()
    if offer is None:
        time.sleep(0.005)
        continue
    claimed.setdefault(str(offer.key), []).append(offer.parameters["x"])
print(json.dumps({"worker": name, "claimed": claimed, "lost": n_lost}))
"""

pytestmark = pytest.mark.fault(9)


def offers_from(first, n):
    return tuple(Offer(AttemptKey(f"e{number:06d}", 1), {"x": number / 7}) for number in range(first, first + n))


def contend(folder, *, n_claims, n_processes, links="links"):
    """Let processes claim all they can of a queue that moves on window by window; return what each says it got."""
    planner = FolderPlannerEnd(folder, campaign=CAMPAIGN, clock=SystemClock())
    command = [sys.executable, "-c", CLAIMER, str(folder)]
    claimers = [
        subprocess.Popen([*command, f"w{n}", links], stdout=subprocess.PIPE, text=True) for n in range(n_processes)
    ]
    try:
        revision = 0
        offers = offers_from(0, min(WINDOW, n_claims))
        planner.publish(Revision(CAMPAIGN, revision, QueueState.PAUSED, offers, ()))
        until(lambda: len(planner.collect([]).heartbeats) == n_processes, "all are ready")
        for first in range(0, n_claims, WINDOW):
            revision += 1
            offers = offers_from(first, min(WINDOW, n_claims - first))
            planner.publish(Revision(CAMPAIGN, revision, QueueState.RUNNING, offers, ()))
            left = {offer.key for offer in offers}
            until(lambda left=left: not any_unclaimed(folder, left), "all of this window is claimed")
        planner.publish(Revision(CAMPAIGN, revision + 1, QueueState.STOPPED, (), ()))
        return [json.loads(claimer.communicate(timeout=120)[0]) for claimer in claimers]
    finally:
        planner.close()
        for claimer in claimers:
            claimer.kill()
            claimer.communicate()


def any_unclaimed(folder, left):
    """Forget the attempts whose claim lies there; tell whether others are left."""
    left -= {key for key in left if (folder / "dump" / "claims" / f"{key}.json").exists()}
    return bool(left)


def assert_each_was_had_once(folder: Path, said, n_claims):
    """Compare what the claimers say with each other, with the offers and with the files."""
    had = {}
    for one in said:
        for key, parameters in one["claimed"].items():
            assert len(parameters) == 1, f"{one['worker']} got {key} twice"
            assert key not in had, f"{key} was had by {had[key]} and by {one['worker']}"
            had[key] = one["worker"], parameters[0]
    expected = {str(offer.key): offer.parameters["x"] for offer in offers_from(0, n_claims)}
    assert {key: x for key, (_, x) in had.items()} == expected
    files = {path.stem: json.loads(path.read_bytes()) for path in (folder / "dump" / "claims").iterdir()}
    assert {key: claim["worker"] for key, claim in files.items()} == {key: worker for key, (worker, _) in had.items()}
    assert list((folder / ".staging").iterdir()) == []


@pytest.fixture
def place(tmp_path):
    with folder_in_memory(tmp_path) as made:
        yield made


@pytest.mark.parametrize("links", ["links", "no links"])
def test_what_a_few_processes_contend_for_each_of_them_gets_alone(place, figures, links):
    said = contend(place, n_claims=500, n_processes=4, links=links)

    assert_each_was_had_once(place, said, 500)
    n_lost = sum(one["lost"] for one in said)
    assert n_lost > 5, "else nothing was contended for"
    assert all(one["claimed"] for one in said)
    figures(claims=500, processes=4, lost_races=n_lost, double=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("links", "on"), [("links", "disk"), ("links", "memory"), ("no links", "memory")])
def test_what_many_processes_contend_for_each_of_them_gets_alone(tmp_path, place, figures, links, on):
    folder = tmp_path if on == "disk" else place
    said = contend(folder, n_claims=10_000, n_processes=16, links=links)

    assert_each_was_had_once(folder, said, 10_000)
    n_lost = sum(one["lost"] for one in said)
    assert n_lost > 1_000, "else nothing was contended for"
    figures(claims=10_000, processes=16, lost_races=n_lost, double=0)
