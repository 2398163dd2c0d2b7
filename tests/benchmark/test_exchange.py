from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alchemy_async.benchmark.exchange import (
    backlog,
    contenders,
    daemons,
    floor,
    goals,
    machine,
    processes,
    restart,
    standing,
    starting,
)
from alchemy_async.benchmark.exchange.campaign import Turn, rate, turnaround
from alchemy_async.benchmark.exchange.run import PARTS, Plan, run
from alchemy_async.cli import app, bench_view
from alchemy_async.errors import FolderError

needs_proc = pytest.mark.skipif(not processes.IS_THERE, reason=processes.WHY_NOT)

STAT = "{pid} ({name}) {state} {parent} 1 1 0 -1 4194304 9 0 0 0 {user} {system} 0 0 20 0 1 0 {started} 0 0"


def throughput_row(n_workers, durable, jobs_per_s, floor_per_s=1000.0):
    return {
        "n_workers": n_workers,
        "durable": durable,
        "n_jobs": 100,
        "seconds": 100 / jobs_per_s,
        "jobs_per_s": jobs_per_s,
        "floor_per_s": floor_per_s,
        "turnaround": {"n": 97, "p50_ms": 2.0, "p99_ms": 5.0, "max_ms": 7.0, "n_above_500_ms": 0},
        "note": "",
    }


def peer_row(name, durable, jobs_per_s, n_workers=3, **more):
    return {"name": name, "durable": durable, "n_workers": n_workers, "jobs_per_s": jobs_per_s, "missing": ""} | more


@pytest.fixture
def document():
    """A run in which every part was measured and every goal met."""
    publish = {"n": 9, "per_s": 1000.0, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0, "p50_of_each_sample_ms": [1.0]}
    waiting = {"planner_cpu_ms_per_job": 1.0, "jobs_per_s": 200.0, "cost_ratio": 1.0, "seconds_per_job_ratio": 1.0}
    times = {"p50_ms": 4.0, "p99_ms": 15.0, "max_ms": 80.0, "n_above_500_ms": 0}
    turnarounds = {"n": 9997, "n_workers": 3, "n_jobs": 10_000, "jobs_per_s": 300.0, "note": "", **times}
    memory = {"worker 1": {"pss_mb": 19.0, "private_mb": 18.0, "rss_mb": 30.0}}
    measured = {
        "machine": machine.facts(Path("/nowhere")),
        "floor": {"replace": publish, "publish": publish},
        "throughput": [throughput_row(3, True, 300.0), throughput_row(3, False, 900.0)],
        "turnaround": turnarounds,
        "backlog": [{"n_waiting": 100, **waiting}, {"n_waiting": 100_000, **waiting}],
        "restart": restart.compare(100_000, 3.0, [1.1], [0.5], [0.1], [0.7]),
        "idle": {"seconds": 60.0, "each_percent_of_a_core": {"planner": 0.2}, "all_percent_of_a_core": 0.6},
        "memory": {"each": memory, **standing.worst_worker(memory)},
        "start": starting.compare([0.5], [0.3]),
        "peers": [
            peer_row("persist-queue (ack)", True, 250.0),
            peer_row("huey FileHuey", False, 400.0),
            peer_row("ray", False, 2000.0),
            peer_row("Atlas demo (polling)", False, 0.3, turnaround={"p50_ms": 3500.0}),
        ],
        "failures": [],
        "wall_s": 1800.0,
    }
    return measured | {"goals": goals.judge(measured)}


def missed(document):
    return [goal["goal"] for goal in goals.judge(document) if not goal["is_met"]]


def shown(document):
    console = Console(width=160, record=True, file=io.StringIO())
    bench_view.show(document, console)
    return console.export_text()


# -- figures -------------------------------------------------------------------


def test_the_rate_goes_from_the_first_start_to_the_last_ingestion():
    done = [Turn(10.0, 11.0, None), Turn(10.5, 14.0, 0.1), Turn(12.0, 13.0, 0.1)]

    assert rate(done) == {"n_jobs": 3, "seconds": 4.0, "jobs_per_s": 0.75}


def test_a_run_without_any_completion_has_no_rate():
    assert rate([]) == {"n_jobs": 0, "seconds": None, "jobs_per_s": None}


def test_turnarounds_leave_out_first_experiments_and_count_stalls():
    done = [Turn(0, 1, None), Turn(0, 1, 0.002), Turn(0, 1, 0.004), Turn(0, 1, 0.6)]

    found = turnaround(done)

    assert (found["n"], found["n_above_500_ms"]) == (3, 1)
    assert found["p50_ms"] == pytest.approx(4.0)
    assert found["max_ms"] == pytest.approx(600.0)


def test_the_floor_tells_rate_and_percentiles_and_how_steady_the_machine_was():
    found = floor.summarise([[0.001, 0.001, 0.001], [0.003, 0.003, 0.003]])

    assert found["n"] == 6
    assert found["per_s"] == pytest.approx(500.0)
    assert found["p50_of_each_sample_ms"] == pytest.approx([1.0, 3.0])


def test_a_floor_that_was_not_sampled_has_no_figures():
    assert floor.summarise([])["per_s"] is None


def test_the_floor_of_a_real_disk_is_sampled_kind_by_kind_and_leaves_only_its_database(tmp_path):
    disk = floor.Floor(tmp_path / "floor")

    disk.sample(3)
    disk.sample(2)
    found = disk.figures()
    disk.close()

    assert {kind: one["n"] for kind, one in found.items()} == dict.fromkeys(found, 5)
    assert all(one["per_s"] > 0 and len(one["p50_of_each_sample_ms"]) == 2 for one in found.values())
    assert disk.per_s("replace", last=1) > 0
    kept = [path.name for path in (tmp_path / "floor").iterdir() if path.name.startswith("final-")]
    assert len(kept) == 20  # of four kinds; what is removed would slow down whatever is measured next


def test_backlogs_are_compared_to_the_shortest():
    rows = [
        {"n_waiting": 1000, "planner_cpu_ms_per_job": 3.0, "jobs_per_s": 50.0},
        {"n_waiting": 100, "planner_cpu_ms_per_job": 2.0, "jobs_per_s": 200.0},
    ]

    found = backlog.ratios(rows)

    assert [(row["cost_ratio"], row["seconds_per_job_ratio"]) for row in found] == [(1.5, 4.0), (1.0, 1.0)]
    assert backlog.ratios([]) == []


def test_the_cost_of_a_completion_is_processor_time_over_those_between_two_readings():
    assert backlog.cost_s(backlog.Reading(50, 1.0), backlog.Reading(550, 2.0)) == pytest.approx(0.002)


def test_a_restart_is_compared_to_bare_reading_and_the_start_of_a_process():
    found = restart.compare(10, 9.0, [3.0, 2.0, 4.0], [0.5], [0.25], [1.0])

    assert (found["restart_s"], found["import_s"]) == (3.0, 0.75)
    assert (found["ratio"], found["ratio_without_imports"]) == (2.0, 4.0)


def test_idle_processes_are_added_up_in_percent_of_a_core():
    before = {"planner": processes.Process(1, 0, 5, 1.0), "gone": processes.Process(2, 0, 5, 1.0)}
    after = {"planner": processes.Process(1, 0, 5, 1.3), "worker 1": processes.Process(3, 0, 6, 1.0), "gone": None}

    found = standing.idle(before, after, 60.0)

    assert found["each_percent_of_a_core"] == pytest.approx({"planner": 0.5})
    assert found["all_percent_of_a_core"] == pytest.approx(0.5)


def test_the_memory_of_the_worker_that_has_most_is_what_counts():
    each = {"pool": {"pss_mb": 90.0}, "worker 1": {"pss_mb": 20.0}, "worker 2": {"pss_mb": 21.0}}

    assert standing.worst_worker(each) == {"worker_pss_mb": 21.0}


# -- machine and processes -----------------------------------------------------


def test_the_file_system_is_that_of_the_innermost_mount_and_of_the_last_one_there():
    mounts = [("/", "ext4"), ("/data", "xfs"), ("/data/fast", "btrfs"), ("/data/fast", "zfs"), ("/database", "nfs")]

    assert machine.file_system(Path("/data/fast/x"), mounts) == "zfs"
    assert machine.file_system(Path("/data/other"), mounts) == "xfs"
    assert machine.file_system(Path("/home"), mounts) == "ext4"
    assert machine.file_system(Path("/home"), []) == "unknown"


def test_a_process_may_have_brackets_and_spaces_in_its_name():
    text = STAT.format(pid=7, name="a) S 1 (b", state="S", parent=3, user=150, system=50, started=99)

    assert processes.parse(text, 100.0) == processes.Process(7, 3, 99, 2.0)


def test_a_zombie_is_no_process():
    assert (
        processes.parse(STAT.format(pid=7, name="z", state="Z", parent=3, user=1, system=1, started=9), 100.0) is None
    )


def test_a_family_is_a_process_and_all_that_descend_from_it():
    pairs = [(1, 0), (5, 1), (7, 5), (9, 7), (6, 1), (8, 6)]
    everybody = [processes.Process(pid, parent, 0, 0.0) for pid, parent in reversed(pairs)]

    assert [process.pid for process in processes.descendants(5, everybody)] == [5, 7, 9]


def test_memory_is_told_in_megabytes():
    text = "1-2 ---p 0 00:00 0 [rollup]\nRss: 3000 kB\nPss: 2000 kB\nPrivate_Clean: 500 kB\nPrivate_Dirty: 1000 kB\n"

    assert processes.parse_memory(text) == pytest.approx({"pss_mb": 2.048, "private_mb": 1.536, "rss_mb": 3.072})


@needs_proc
def test_a_daemon_that_does_not_heed_its_signal_is_ended_with_its_children(monkeypatch):
    monkeypatch.setattr(daemons, "_END_LIMIT_S", 0.2)
    monkeypatch.setattr(daemons, "_ALONE_LIMIT_S", 0.2)
    child = "import time; time.sleep(120)"
    parent = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]); print(child.pid, flush=True); time.sleep(120)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    left = processes.read(int(process.stdout.readline()))

    daemons.end(process)
    process.stdout.close()

    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not processes.is_alive(left))


def wait_until(is_so, limit_s=60.0):
    until = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


# -- goals ---------------------------------------------------------------------


def test_a_run_that_reaches_everything_meets_every_goal(document):
    assert missed(document) == []
    assert len(document["goals"]) == 13


@pytest.mark.parametrize(
    ("part", "change", "goal"),
    [
        ("throughput", [throughput_row(3, True, 249.0)], "share of the fsync floor"),
        ("throughput", [throughput_row(3, True, 251.0), throughput_row(3, False, 399.0)], "above huey FileHuey"),
        ("peers", [peer_row("SqliteHuey", True, 301.0)], "durable, 3 workers: jobs/s, above SqliteHuey"),
        ("turnaround", {"p50_ms": 5.1}, "turnaround p50, in publish floors"),
        ("turnaround", {"p99_ms": 20.1}, "turnaround p99"),
        ("turnaround", {"n_above_500_ms": 1}, "above 500 ms"),
        ("turnaround", {"p50_ms": None}, "turnaround p50, in publish floors"),
        ("turnaround", {"p50_ms": 11.7}, "below the Atlas demo"),
        ("backlog", [{"n_waiting": 100}, {"n_waiting": 9, "cost_ratio": 1.0}], "planner's time"),
        ("restart", {"ratio_without_imports": 2.1}, "restart with 100000 waiting"),
        ("idle", {"all_percent_of_a_core": 1.1}, "idle"),
        ("memory", {"worker_pss_mb": 30.5}, "PSS"),
        ("start", {"ratio": 2.1}, "pool of 3"),
    ],
)
def test_a_goal_that_is_missed_is_told(document, part, change, goal):
    worse = {"cost_ratio": 2.1, "seconds_per_job_ratio": 1.0}
    if part == "backlog":
        change = [worse | row for row in change]
    changed = change if isinstance(change, list) else document[part] | change

    assert any(goal in name for name in missed(document | {part: changed}))


def test_what_was_not_measured_is_no_goal():
    assert goals.judge({}) == []
    assert goals.judge({"throughput": [], "turnaround": None, "floor": None, "backlog": [], "peers": []}) == []


def test_engines_in_memory_and_peers_without_a_figure_are_no_goals(document):
    peers = [peer_row("dask LocalCluster", False, 9e9), peer_row("parsl HTEX", False, 9e9), peer_row("x", True, None)]

    assert not any(
        "above" in goal["goal"] and "jobs/s" in goal["goal"] for goal in goals.judge({**document, "peers": peers})
    )


# -- peers ---------------------------------------------------------------------


def test_a_peer_that_polls_is_run_with_a_handful_of_jobs_and_the_others_as_ours():
    assert contenders.sizes("Atlas demo (polling)", (1, 32), Plan().n_jobs) == [(3, 12)]
    assert contenders.sizes("ray", (1, 256), Plan(jobs=500).n_jobs) == [(1, 500), (256, 1024)]


def test_a_peer_that_is_not_installed_is_named_with_its_mend(monkeypatch, tmp_path):
    class Absent:
        durable = True

        def missing(self):
            return "pip install it"

    monkeypatch.setattr(contenders, "load_peer", lambda name: Absent())

    row = contenders.measure("absent", tmp_path / "peer", n_workers=1, n_jobs=1, limit_s=1)

    assert (row["missing"], row["jobs_per_s"]) == ("pip install it", None)
    assert not (tmp_path / "peer").exists()


# -- tables --------------------------------------------------------------------


def test_the_tables_show_each_part_ours_among_the_peers_and_every_goal(document):
    document["peers"].append(peer_row("celery", False, None) | {"missing": "pip install celery[all]"})
    document["goals"][0]["is_met"] = False

    text = shown(document)

    assert text.index("ray") < text.index("* alchemy-async") < text.index("pip install celery[all]")
    assert text.count(" met ") == len(document["goals"]) - 1
    assert "NOT MET" in text
    assert all(head in text for head in ("Floor", "Throughput", "Turnaround", "Backlog", "Restart", "Idle", "Start"))


def test_a_part_that_failed_is_told_in_its_place(document):
    document["failures"] = [{"what": "restart: 1000 waiting", "why": "it said [nothing]"}]

    assert "not measured: restart: 1000 waiting: it said [nothing]" in shown(document)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (False, "no"), (12, "12"), (1234.5, "1234"), (0.12345, "0.123"), ("a", "a")],
)
def test_numbers_keep_three_digits_that_count(value, text):
    assert bench_view.number(value) == text


# -- runs ----------------------------------------------------------------------


def invoke(*arguments):
    return CliRunner().invoke(app, ["bench", "exchange", *map(str, arguments)])


def test_the_floor_alone_is_one_json_document_and_leaves_nothing(tmp_path):
    ended = invoke("--only", "floor", "--quick", "--json", "--dir", tmp_path)

    found = json.loads(ended.stdout)
    assert ended.exit_code == 0
    assert found["floor"]["publish"]["per_s"] > 0
    assert found["machine"]["file_system"]
    assert found["goals"] == found["failures"] == []
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_real_daemons_close_every_job_and_say_how_soon_they_went_on(tmp_path):
    plan = Plan(parts=("throughput",), workers=(1,), jobs=30, floor_n=5, limit_s=120)

    found = run(plan, tmp_path)

    durable = next(row for row in found["throughput"] if row["durable"])
    assert (durable["n_jobs"], durable["turnaround"]["n"], durable["note"]) == (30, 29, "")
    assert 0 < durable["jobs_per_s"] < 1e5
    assert 0 < durable["turnaround"]["p50_ms"] <= durable["turnaround"]["max_ms"]
    assert [goal["goal"] for goal in found["goals"]] == ["durable, 1 workers: share of the fsync floor"]
    assert json.loads(json.dumps(found, allow_nan=False))["plan"]["jobs"] == 30
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_a_part_that_fails_takes_no_other_figures_away(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise daemons.BenchError("the disk is on fire")

    monkeypatch.setattr(starting, "measure", fail)

    found = run(Plan(parts=("floor", "start"), floor_n=2), tmp_path)

    assert found["failures"] == [{"what": "start of a pool", "why": "the disk is on fire"}]
    assert found["floor"]["replace"]["n"] == 4


@needs_proc
def test_a_signal_ends_what_was_started_and_takes_its_folder_away(tmp_path):
    place = tmp_path / "place"
    command = [sys.executable, "-m", "alchemy_async", "bench", "exchange", "--only", "start", "--dir", str(place)]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: any(place.glob("*/*/logs/work.log")))
        own = processes.family(bench.pid)

        bench.send_signal(signal.SIGTERM)
        bench.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            bench.kill()

    assert bench.returncode == 128 + signal.SIGTERM
    assert len(own) > 1
    wait_until(lambda: not any(map(processes.is_alive, own)))  # a tracker of resources ends after whom it tracks
    assert list(place.iterdir()) == []


def test_a_folder_that_can_not_be_used_is_refused_with_its_mend(tmp_path):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(FolderError, match="--dir"):
        run(Plan(parts=("floor",)), tmp_path / "file")


@pytest.mark.parametrize(
    ("option", "text", "mend"),
    [("--only", "flor", "no part"), ("--workers", "1,x", "1,3,32"), ("--backlogs", "0", "from 1 to 900000")],
)
def test_options_that_make_no_sense_are_refused(option, text, mend):
    ended = invoke(option, text)

    assert ended.exit_code == 2
    assert mend in " ".join(ended.stderr.replace("│", " ").split())


def test_help_names_every_part_and_loads_nothing_heavy():
    script = (
        "import sys; sys.argv = ['alchemy-async', 'bench', 'exchange', '--help']\n"
        "from alchemy_async.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('loaded:', 'numpy' in sys.modules or 'watchdog' in sys.modules)"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert all(part in ended.stdout for part in PARTS)
    assert "loaded: False" in ended.stdout
