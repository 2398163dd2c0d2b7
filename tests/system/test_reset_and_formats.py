"""Starting over while daemons run, and files that a newer alchemy_async wrote: nothing is lost by either."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys

import pytest

from alchemy_async.cli import leftovers
from alchemy_async.clock import SimulatedClock
from alchemy_async.errors import NewerFormatError
from alchemy_async.experiment import State
from tests.planner_daemon.conftest import Lab
from tests.system.real_daemons import RealDaemons, until

RUNNING, FAILED = 3, 1  # exit codes of commands
NEWER = 2


@pytest.fixture
def busy(tmp_path):
    """A campaign with both daemons whose two workers are in the middle of a measurement."""
    daemons = RealDaemons(tmp_path / "campaign", tmp_path / "outside", budget=12)
    daemons.plan, daemons.work = daemons.start("plan"), daemons.start("work")
    until(lambda: daemons.n_completed() >= 3, "the campaign runs")
    daemons.close_gate()
    until(lambda: len(daemons.running()) == 2, "both workers measure")
    until(lambda: not list(daemons.folder.glob("dump/worker_result_*")), "the planner has all results")
    yield daemons
    daemons.close()


def what_is_there(daemons):
    """Return what a clear would take away; of what the planner goes on writing to, only that it is there."""
    folder = daemons.folder
    alive = [daemons.ledger, folder / "pickup" / "priority_queue.json"]
    still = [path for place in ("claims/*", "worker_result_*", "rejected/*") for path in folder.glob(f"dump/{place}")]
    outcomes = [tuple(row) for row in daemons.rows("SELECT experiment, attempt, status FROM outcomes")]
    return [path.is_file() for path in alive], {path: path.read_bytes() for path in still}, outcomes


@pytest.mark.fault(14)
@pytest.mark.skipif(sys.platform == "win32", reason="ends processes by their session")
def test_clearing_under_running_daemons_is_refused_by_name_and_disturbs_nothing(busy, figures):
    workers = [busy.heartbeat(name)["pid"] for name in ("w-1", "w-2")]
    before = what_is_there(busy)

    both = busy.command("clear", "--yes")
    busy.plan.kill()
    busy.plan.wait()
    workers_alone = busy.command("clear", "--yes")

    assert what_is_there(busy) == before
    assert (both.returncode, workers_alone.returncode) == (RUNNING, RUNNING)
    assert f"process {busy.plan.pid} on " in both.stderr
    assert "worker w-1: process" in workers_alone.stderr
    assert all(f"process {pid} on " in workers_alone.stderr for pid in workers)
    busy.open_gate()
    assert (busy.start("plan").wait(120), busy.work.wait(60)) == (0, 0)
    assert busy.violations() == []
    figures(refused=2, lost=0)


@pytest.mark.fault(14)
@pytest.mark.skipif(sys.platform == "win32", reason="stops processes by a signal")
def test_clearing_by_force_under_running_daemons_archives_every_measurement(busy, figures):
    measured_before = set(busy.tally("measured"))
    os.kill(busy.plan.pid, signal.SIGSTOP)
    busy.open_gate()
    until(lambda: len(list(busy.folder.glob("dump/worker_result_*"))) >= 2, "results wait")

    forced = busy.command("clear", "--yes", "--force")
    os.kill(busy.plan.pid, signal.SIGCONT)
    for process in (busy.work, busy.plan):
        process.terminate()
        process.wait(60)

    assert forced.returncode == 0, forced.stderr
    assert f"process {busy.plan.pid} on " in forced.stderr
    assert "Going on because of --force" in forced.stderr
    (archive,) = (busy.folder / "archive").iterdir()
    recorded = {
        f"{row['experiment']}.{row['attempt']}"
        for row in busy.rows("SELECT experiment, attempt FROM outcomes", archive / "campaign.db")
    }
    kept = {path.stem.rpartition("_")[2] for path in busy.folder.rglob("worker_result_*.json")}
    assert measured_before <= recorded
    assert set(busy.tally("measured")) <= recorded | kept
    assert list((archive / "results").iterdir()) != []
    figures(forced=1, measurements=len(busy.tally("measured")), lost=0)


@pytest.mark.fault(14)
def test_what_the_planner_takes_in_while_it_is_archived_by_force_is_no_obstacle(tmp_path):
    results = [tmp_path / f"worker_result_w-1_e000{number}.1.json" for number in (1, 2, 3)]
    for path in results:
        path.write_text(path.name)
    results[1].unlink()  # the planner has committed it and taken it away since the list was made

    leftovers.keep(results, tmp_path / "archive")

    assert {path.name for path in (tmp_path / "archive").iterdir()} == {results[0].name, results[2].name}


# -- files of a newer format ---------------------------------------------------


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "lab", SimulatedClock())
    yield made
    made.close()


def make_newer(path):
    """Let a message be of the next format, with something in it that nobody here knows."""
    document = json.loads(path.read_bytes()) | {"format": NEWER, "spectrum": {"of": "the future"}}
    path.write_text(json.dumps(document, indent=3))
    return path.read_bytes()


@pytest.mark.fault(15)
def test_a_result_of_a_newer_format_is_moved_byte_for_byte_with_a_reason_that_says_what_to_install(lab, figures):
    lab.step()
    worker = lab.worker()
    offer = lab.claim(worker)
    lab.report(worker, offer)
    path = lab.folder / "dump" / f"worker_result_w-1_{offer.key}.json"
    content = make_newer(path)

    lab.step(times=8)

    rejected = lab.folder / "dump" / "rejected"
    assert not path.exists()
    assert (rejected / path.name).read_bytes() == content
    reason = (rejected / f"{path.name}.reason.txt").read_text()
    assert f"format is {NEWER}" in reason
    assert "Install a newer alchemy_async" in reason
    assert lab.state(offer.key.experiment) is State.FAILED
    figures(formats_refused=1)


@pytest.mark.fault(15)
def test_a_rejected_result_of_a_newer_format_counts_once_it_is_understood_and_moved_back(lab):
    lab.step()
    worker = lab.worker()
    offer = lab.claim(worker)
    lab.report(worker, offer)
    path = lab.folder / "dump" / f"worker_result_w-1_{offer.key}.json"
    understood = path.read_bytes()
    make_newer(path)
    lab.step(times=8)

    path.write_bytes(understood)
    lab.step(times=8)

    (found,) = [row for row in lab.ledger.outcomes() if row["status"] == "completed"]
    assert found["experiment"] == offer.key.experiment


@pytest.mark.fault(15)
def test_an_attempt_whose_claim_is_of_a_newer_format_is_somebodys_and_the_log_says_what_to_install(lab, caplog):
    lab.step()
    worker = lab.worker()
    offer = lab.claim(worker)
    claim = lab.folder / "dump" / "claims" / f"{offer.key}.json"
    content = make_newer(claim)

    lab.step(times=8)

    assert lab.state(offer.key.experiment) is State.RUNNING
    assert lab.worker("w-2").claim().key != offer.key
    assert f"The claim of {offer.key} can't be read" in caplog.text
    assert "Install a newer alchemy_async" in caplog.text
    assert claim.read_bytes() == content


@pytest.mark.fault(15)
def test_a_heartbeat_of_a_newer_format_is_no_beat_and_the_log_says_what_to_install(lab, caplog):
    lab.step()
    lab.worker()
    make_newer(lab.folder / "dump" / "workers" / "w-1.json")

    lab.step(times=3)

    told = [record.message for record in caplog.records if "Install a newer alchemy_async" in record.message]
    assert len(told) == 1, "once, not at every look"
    assert "w-1" in told[0]


@pytest.mark.fault(15)
def test_from_a_queue_of_a_newer_format_nothing_is_claimed_and_no_planner_overwrites_it(lab):
    lab.step()
    worker = lab.worker()
    queue = lab.folder / "pickup" / "priority_queue.json"
    content = make_newer(queue)

    with pytest.raises(NewerFormatError, match="Install a newer alchemy_async"):
        worker.claim()
    with pytest.raises(NewerFormatError, match="Install a newer alchemy_async"):
        lab.restart()

    assert list((lab.folder / "dump" / "claims").iterdir()) == []
    assert queue.read_bytes() == content


@pytest.fixture
def newer_ledger(tmp_path):
    daemons = RealDaemons(tmp_path / "campaign", tmp_path / "outside")
    assert daemons.command("stage", '{"x": 0.5}').returncode == 0
    with sqlite3.connect(daemons.ledger) as ledger:
        version = ledger.execute("PRAGMA user_version").fetchone()[0]
        ledger.execute(f"PRAGMA user_version = {version + 1}")
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.close()
    return daemons


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "command", [["plan"], ["status"], ["export"], ["pause"], ["stage", '{"x": 0.25}']], ids=lambda words: words[0]
)
def test_a_ledger_of_a_newer_version_is_refused_by_every_command_and_stays_as_it_is(newer_ledger, command):
    content = newer_ledger.ledger.read_bytes()

    refused = newer_ledger.command(*command)

    assert refused.returncode == FAILED
    assert "Install a newer alchemy_async" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert newer_ledger.ledger.read_bytes() == content


@pytest.mark.fault(15)
def test_a_ledger_of_a_newer_version_is_archived_as_it_is(newer_ledger):
    content = newer_ledger.ledger.read_bytes()

    cleared = newer_ledger.command("clear", "--yes")

    (archive,) = (newer_ledger.folder / "archive").iterdir()
    assert cleared.returncode == 0
    assert (archive / "campaign.db").read_bytes() == content
