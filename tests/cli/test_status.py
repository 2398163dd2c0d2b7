from __future__ import annotations

import json

import pytest

from alchemy_async import locks
from alchemy_async.experiment import AttemptKey, WorkerState

KEYS = {"campaign", "state", "wanted", "ended", "planner", "counts", "budget", "best", "workers", "pending", "events"}
KEYS |= {"fidelity", "front", "recommended", "model", "warnings"}


def test_a_folder_never_started_is_new_and_stays_as_it_is(run, folder, status):
    shown = run("status")

    assert shown.exit_code == 0
    assert "never started" in shown.stdout
    picture = status()
    assert set(picture) == KEYS
    assert (picture["state"], picture["campaign"], picture["budget"]["experiments"]) == ("new", "study", 5)
    assert [worker["state"] for worker in picture["workers"]] == ["absent", "absent"]
    assert sorted(path.name for path in folder.iterdir()) == ["campaign.toml", "my_lab.py"]


def test_what_was_staged_before_the_first_start_is_shown(run, status):
    run("stage", '{"temperature": 350, "solvent": "DMF"}')

    picture = status()

    assert (picture["state"], picture["counts"]["queued"]) == ("new", 1)
    assert [row["origin"] for row in picture["pending"]] == ["person"]


def test_one_object_tells_counts_budget_best_pending_and_events(bench, status):
    done, running, lost, queued = (bench.add(temperature) for temperature in (310, 320, 330, 340))
    bench.claim(done)
    bench.report(done, 77.125, as_run={"temperature": 310.5, "solvent": "DMF"})
    bench.claim(running, "reactor-2")
    bench.claim(lost)
    bench.interrupt(lost)

    picture = status()

    assert set(picture) == KEYS
    assert picture["campaign"] == bench.ledger.campaign
    counts = {state: n for state, n in picture["counts"].items() if n}
    assert counts == {"completed": 1, "running": 1, "interrupted": 1, "queued": 1, "starts": 3}
    assert picture["best"] == {
        "objective": "yield",
        "unit": "%",
        "value": 77.125,
        "experiment": done,
        "parameters": {"temperature": 310.5, "solvent": "DMF"},
        "off_target": None,
        "keeps_limits": True,
    }
    pending = [(row["experiment"], row["status"], row["worker"]) for row in picture["pending"]]
    assert pending == [(running, "running", "reactor-2"), (lost, "interrupted", "reactor-1"), (queued, "queued", "")]
    assert len(picture["events"]) == 8
    assert picture["events"][-1]["kind"] == "interrupted"


def test_the_page_says_what_to_do_with_interrupted_experiments(run, bench):
    name = bench.add(350)
    bench.claim(name)
    bench.interrupt(name)

    shown = run("status").stdout

    assert f"alchemy-async requeue FOLDER {name}" in shown
    assert f"alchemy-async abandon FOLDER {name}" in shown


def test_the_page_shows_progress_best_and_the_first_ten_of_the_queue(run, bench):
    bench.started(budget=20)
    done = bench.add(310)
    bench.claim(done)
    bench.report(done, 77.125)
    for number in range(12):
        bench.add(320 + number)

    shown = run("status").stdout

    assert "1 of 20 completed, 12 queued" in shown
    assert "Best yield: 77.125 %" in shown
    assert "temperature = 329" in shown
    assert "temperature = 330" not in shown.split("and 2 more")[0]


def test_an_ended_campaign_tells_why(run, bench, status):
    with bench.ledger.change() as change:
        change.set_meta(state="stopped", ended="budget met, 5 of 5 experiments completed")

    assert "budget met" in run("status").stdout
    assert (status()["state"], status()["ended"]) == ("stopped", "budget met, 5 of 5 experiments completed")


def test_the_planner_that_lives_is_named_and_a_missing_one_pointed_out(run, bench, status):
    without = (status()["planner"], run("status").stdout)
    with locks.hold(bench.site.lock_path, what="a planner", mend=""):
        planned = status()["planner"]

    assert without[0] is None
    assert "no planner is running" in without[1]
    assert planned.startswith("process ")


def test_a_wish_that_no_planner_has_heard_yet_is_shown(run, bench):
    run("pause")

    assert "(paused asked for)" in run("status").stdout


def test_a_worker_is_silent_once_its_last_beat_is_older_than_its_lease(beat, status, run):
    beat("reactor-1", age_s=5, holds=AttemptKey("e0001", 1))
    beat("reactor-2", age_s=25)
    beat("helper", WorkerState.GONE, age_s=900)

    workers = {worker["worker"]: worker for worker in status()["workers"]}

    assert [workers[name]["is_silent"] for name in ("reactor-1", "reactor-2", "helper")] == [False, True, False]
    assert (workers["reactor-1"]["holds"], workers["reactor-1"]["state"]) == ("e0001.1", "busy")
    assert 25 <= workers["reactor-2"]["age_s"] < 60
    assert "silent" in run("status").stdout


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"format": 2}', b"\xff"])
def test_a_heartbeat_that_can_not_be_read_does_not_hide_the_others(beat, status, folder, content):
    beat("reactor-1")
    (folder / "dump/workers/reactor-2.json").write_bytes(content)

    states = {worker["worker"]: worker["state"] for worker in status()["workers"]}

    assert states == {"reactor-1": "busy", "reactor-2": "absent"}


def test_text_from_foreign_files_is_no_markup(run, bench):
    bench.add(350, reason="[bold]quite[/bold] [/nonsense]")

    shown = run("status")

    assert shown.exit_code == 0
    assert "[/nonsense]" in shown.stdout


def test_mistakes_of_the_settings_are_told_all_at_once(run, folder):
    (folder / "campaign.toml").write_text("[campaign]\nname = 3\n[budget]\nhours = -1\n")

    refused = run("status")

    assert refused.exit_code == 1
    assert all(text in refused.stderr for text in ("campaign.name", "budget.hours", "parameters"))


def test_status_reads_while_another_process_writes(bench, status):
    with bench.ledger.change() as change:
        change.note("half-way")
        picture = status()

    assert [event["kind"] for event in picture["events"]] == ["created"]


def test_the_page_keeps_times_and_names_on_one_line_however_long_the_details(run, bench):
    bench.started(budget=20)
    for number in range(4):
        bench.claim(bench.add(300 + number, reason="because " * 40))

    shown = run("status").stdout

    assert "2026-01-01 00:00:00  claimed  e0004.1" in shown
    assert "worker reactor-1" in shown
    assert "█" not in shown


def test_json_is_one_line(run, bench):
    shown = run("status", "--json").stdout

    assert shown.count("\n") == 1
    assert json.loads(shown)["state"] == "running"
