from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.cli import leftovers, reset
from alchemy_async.experiment import AttemptKey, WorkerState
from alchemy_async.ledger import Ledger
from alchemy_async.queues.layout import Layout

RESULT = "worker_result_reactor-1_e0001.1.json"


def files_in(folder):
    """Return every file of a folder except the locks, which nobody ever removes."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {name for name in found if not name.startswith("planner.lock")}


@pytest.fixture
def lived_in(folder, bench):
    """Leave behind what a campaign leaves that was killed in the middle."""
    name = bench.add(350)
    bench.claim(name)
    layout = Layout(folder)
    layout.make()
    layout.queue_file.write_text("{}")
    Path(layout.claim(AttemptKey(name, 1))).write_text("{}")
    Path(layout.heartbeat("reactor-1")).write_text("{}")
    (layout.dump / RESULT).write_text("a measurement")
    (layout.rejected / "worker_result_x.pkl").write_text("garbage")
    (layout.rejected / "worker_result_x.pkl.reason.txt").write_text("why")
    (layout.staging / "planner.abc.1").write_text("half")
    (folder / "logs").mkdir()
    (folder / "logs" / "reactor-1.log").write_text("said")
    for place in (layout.pickup, layout.dump):
        (place / ".gitkeep").touch()
        (place / "notes.txt").write_text("mine")
    bench.ledger.close()
    return folder


def archive_of(folder):
    (archive,) = (folder / "archive").iterdir()
    return archive


def test_clear_leaves_a_fresh_folder_and_archives_what_was_measured(lived_in, run, bench):
    shown = run("clear", "--yes")

    assert shown.exit_code == 0
    archive = archive_of(lived_in)
    assert archive.name.startswith("study-")
    assert files_in(lived_in) == {
        "campaign.toml",
        "my_lab.py",
        "pickup/.gitkeep",
        "pickup/notes.txt",
        "dump/.gitkeep",
        "dump/notes.txt",
        *(str(path.relative_to(lived_in)) for path in archive.rglob("*") if path.is_file()),
    }
    assert files_in(archive) == {
        "campaign.db",
        f"results/{RESULT}",
        "rejected/worker_result_x.pkl",
        "rejected/worker_result_x.pkl.reason.txt",
    }
    assert (archive / "results" / RESULT).read_text() == "a measurement"


def test_the_archived_ledger_opens_with_all_that_it_held(lived_in, run):
    run("clear", "--yes")

    archive = archive_of(lived_in)
    with Ledger.open(archive / "campaign.db") as ledger:
        assert archive.name.startswith(ledger.campaign)
        assert [found.id for found in ledger.experiments()] == ["e0001"]


def test_what_is_to_be_removed_archived_or_left_alone_is_listed_first(lived_in, run):
    shown = run("clear", "--yes").stdout

    assert "remove: the queue, pickup/priority_queue.json" in shown
    assert f"archive: results that no planner has taken, dump/{RESULT}" in shown
    assert "archive: the ledger, campaign.db" in shown
    assert "leave alone: dump/notes.txt" in shown
    assert shown.index("leave alone") < shown.index("Cleared.")


def test_without_a_terminal_and_without_yes_nothing_is_removed(lived_in, run):
    before = files_in(lived_in)

    refused = run("clear")

    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert files_in(lived_in) == before


@pytest.mark.parametrize(("answer", "code", "is_cleared"), [("y\n", 0, True), ("n\n", 2, False), ("\n", 2, False)])
def test_at_a_terminal_a_person_is_asked(lived_in, run, monkeypatch, answer, code, is_cleared):
    monkeypatch.setattr(reset, "_is_attended", lambda: True)

    shown = run("clear", typed=answer)

    assert shown.exit_code == code
    assert (lived_in / "campaign.db").exists() is not is_cleared
    assert ("Nothing was removed." in shown.stderr) is not is_cleared


def test_purge_keeps_nothing(lived_in, run):
    shown = run("clear", "--yes", "--purge")

    assert "remove for ever: the ledger" in shown.stdout
    assert not (lived_in / "archive").exists()
    assert not {"campaign.db", f"dump/{RESULT}"} & files_in(lived_in)


@pytest.mark.fault(14)
def test_a_planner_that_lives_is_named_and_nothing_is_touched(lived_in, run):
    before = files_in(lived_in)

    with locks.hold(lived_in / "planner.lock", what="a planner", mend=""):
        refused = run("clear", "--yes")

    assert refused.exit_code == 3
    assert f"process {os.getpid()}" in refused.stderr
    assert files_in(lived_in) == before


@pytest.mark.fault(14)
def test_a_worker_that_holds_its_instrument_is_named_however_old_its_beat_is(lived_in, run, beat):
    beat("reactor-2", age_s=9999, pid=os.getpid())
    lock = locks.machine_lock_path(f"instrument {lived_in} reactor-2")

    with locks.hold(lock, what="an instrument", mend=""):
        refused = run("clear", "--yes")

    assert refused.exit_code == 3
    assert "worker reactor-2" in refused.stderr


@pytest.mark.fault(14)
def test_a_worker_that_has_its_instrument_but_did_not_beat_yet_is_named(lived_in, run):
    lock = locks.machine_lock_path(f"instrument {lived_in} reactor-2")

    with locks.hold(lock, what="an instrument", mend=""):
        refused = run("clear", "--yes")

    assert refused.exit_code == 3
    assert "worker reactor-2" in refused.stderr


def test_a_worker_that_was_killed_on_this_machine_is_no_obstacle_however_young_its_beat_is(lived_in, run, beat):
    beat("reactor-2", age_s=0)

    assert run("clear", "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("state", "age_s", "code"),
    [(WorkerState.BUSY, 5, 3), (WorkerState.BUSY, 200, 3), (WorkerState.BUSY, 9999, 0), (WorkerState.GONE, 5, 0)],
)
def test_a_worker_on_another_machine_lives_until_it_says_goodbye_or_is_long_silent(
    lived_in, run, beat, state, age_s, code
):
    beat("elsewhere", state, age_s=age_s, host="another-machine")

    assert run("clear", "--yes").exit_code == code


def test_an_instrument_that_another_campaign_uses_is_no_obstacle(lived_in, run, beat):
    settings = lived_in / "campaign.toml"
    settings.write_text(settings.read_text().replace("count = 2", 'instrument = "furnace-of-the-test"'))
    beat("reactor-1", pid=1)

    with locks.hold(locks.machine_lock_path("instrument furnace-of-the-test"), what="an instrument", mend=""):
        assert run("clear", "--yes").exit_code == 0


@pytest.mark.fault(14)
def test_force_archives_a_ledger_that_is_in_use_and_loses_nothing_that_is_written_to_it(lived_in, run):
    with Ledger.open(lived_in / "campaign.db") as used, locks.hold(lived_in / "planner.lock", what="", mend=""):
        shown = run("clear", "--yes", "--force")
        with used.change() as change:
            change.note("written afterwards")

    assert shown.exit_code == 0
    assert "Going on because of --force" in shown.stderr
    with Ledger.open(archive_of(lived_in) / "campaign.db") as archived:
        assert archived.last_events(1)[0]["kind"] == "written afterwards"


@pytest.mark.fault(14)
def test_force_and_purge_exclude_each_other(lived_in, run):
    assert run("clear", "--yes", "--force", "--purge").exit_code == 2
    assert (lived_in / "campaign.db").exists()


def test_links_are_not_followed(lived_in, run, tmp_path):
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "e0001.1.json").write_text("precious")
    layout = Layout(lived_in)
    (layout.dump / "worker_result_link").symlink_to(treasure / "e0001.1.json")
    for path in layout.claims.iterdir():
        path.unlink()
    layout.claims.rmdir()
    layout.claims.symlink_to(treasure)

    shown = run("clear", "--yes", "--purge")

    assert shown.exit_code == 0
    assert (treasure / "e0001.1.json").read_text() == "precious"
    assert not os.path.lexists(layout.dump / "worker_result_link")
    assert "leave alone: dump/claims" in shown.stdout


def test_folders_and_unknown_names_inside_the_protocol_are_left_alone(lived_in, run):
    layout = Layout(lived_in)
    (layout.dump / "worker_result_folder").mkdir()
    (layout.claims / "readme.md").write_text("mine")
    (layout.workers / "not a worker.json").write_text("mine")

    shown = run("clear", "--yes").stdout

    for name in ("dump/worker_result_folder", "dump/claims/readme.md", "dump/workers/not a worker.json"):
        assert f"leave alone: {name}" in shown
        assert (lived_in / name).exists()


def test_a_ledger_elsewhere_is_archived_beside_itself(lived_in, run, tmp_path):
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    (lived_in / "campaign.db").rename(elsewhere / "study.db")
    settings = lived_in / "campaign.toml"
    settings.write_text(
        settings.read_text().replace('name = "study"', f'name = "study"\nledger = "{elsewhere}/study.db"')
    )

    run("clear", "--yes")

    assert files_in(archive_of(elsewhere)) == {"study.db"}
    assert f"results/{RESULT}" in files_in(archive_of(lived_in))


def test_a_ledger_that_can_not_be_read_is_archived_as_it_is(lived_in, run):
    (lived_in / "campaign.db").write_bytes(b"not a database")

    assert run("clear", "--yes").exit_code == 0
    assert (archive_of(lived_in) / "campaign.db").read_bytes() == b"not a database"


def test_two_clears_in_one_second_make_two_archives(lived_in, run, monkeypatch):
    monkeypatch.setattr(reset, "_archive_name", lambda _: "study-at-one-time")
    run("clear", "--yes")
    run("stage", '{"temperature": 350, "solvent": "DMF"}')
    run("clear", "--yes")

    assert sorted(path.name for path in (lived_in / "archive").iterdir()) == [
        "study-at-one-time",
        "study-at-one-time-2",
    ]


def test_a_folder_without_anything_to_clear_is_left_as_it_is(run, folder):
    shown = run("clear")

    assert (shown.exit_code, "nothing to clear" in shown.stdout) == (0, True)
    assert sorted(path.name for path in folder.iterdir()) == ["campaign.toml", "my_lab.py"]


@pytest.mark.fault(14)
def test_a_clear_that_is_broken_off_keeps_the_ledger_and_can_be_repeated(lived_in, run, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(leftovers, "keep", refuse)
        broken = run("clear", "--yes")
    left = files_in(lived_in)
    repeated = run("clear", "--yes")

    assert broken.exit_code == 1
    assert {"campaign.db", f"dump/{RESULT}"} <= left
    assert repeated.exit_code == 0
    assert not (lived_in / "campaign.db").exists()


@pytest.mark.fault(14)
def test_a_planner_that_was_killed_is_no_obstacle(lived_in, run):
    script = (
        "import sys, time; from pathlib import Path; from alchemy_async import locks\n"
        f"kept = locks.hold(Path({str(lived_in / 'planner.lock')!r}), what='', mend='')\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as planner:
        planner.stdout.readline()
        while_alive = run("clear", "--yes").exit_code
        planner.kill()

    assert while_alive == 3
    assert run("clear", "--yes").exit_code == 0


def test_the_archived_ledger_needs_no_second_file(lived_in, run):
    with Ledger.open(lived_in / "campaign.db") as reader:  # it keeps SQLite from tidying up by itself
        with reader.change() as change:
            change.note("in the log")

        run("clear", "--yes")

    archived = archive_of(lived_in) / "campaign.db"
    connection = sqlite3.connect(f"file:{archived}?mode=ro&immutable=1", uri=True)
    assert connection.execute("SELECT count(*) FROM events WHERE kind = 'in the log'").fetchone()[0] == 1
    connection.close()
