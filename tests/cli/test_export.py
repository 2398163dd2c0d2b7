from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

COLUMNS = (
    "experiment,status,temperature,solvent,yield,yield_sem,worker,attempt,"
    "started_at,finished_at,origin,reason,iteration"
)
ODD = 0.1 + 0.2  # 0.30000000000000004: shows every digit that is lost


def as_dicts(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_the_documented_columns_and_every_digit(run, bench):
    name = bench.add(350, reason='a "quoted", reason', iteration=4)
    bench.claim(name)
    bench.report(name, ODD, sem=ODD / 10, as_run={"temperature": 350.1 + 0.2, "solvent": "DMF"})

    shown = run("export")

    assert shown.stdout.splitlines()[0] == COLUMNS
    (row,) = as_dicts(shown.stdout)
    assert (float(row["yield"]), float(row["yield_sem"])) == (ODD, ODD / 10)
    assert float(row["temperature"]) == 350.1 + 0.2
    assert (row["status"], row["worker"], row["attempt"], row["iteration"]) == ("completed", "reactor-1", "1", "4")
    assert (row["reason"], row["origin"]) == ('a "quoted", reason', "planner")
    assert row["started_at"] == "2026-01-01T00:00:00.000000Z"
    assert row["finished_at"] == "2026-01-01T00:00:02.000000Z"


def test_json_has_the_same_columns_and_null_for_what_is_not_known(run, bench):
    bench.add(350)

    (row,) = json.loads(run("export", "--format", "json").stdout)

    assert list(row) == COLUMNS.split(",")
    assert (row["status"], row["yield"], row["worker"]) == ("queued", None, None)


def test_every_experiment_has_one_row_whatever_its_state(run, bench):
    names = [bench.add(300 + number) for number in range(4)]
    for name in names[:3]:
        bench.claim(name)
    bench.interrupt(names[1])
    bench.report(names[2], kind="ValueError")

    rows = as_dicts(run("export").stdout)

    assert [(row["experiment"], row["status"]) for row in rows] == list(
        zip(names, ["running", "interrupted", "failed", "queued"], strict=True)
    )
    assert [row["worker"] for row in rows] == ["reactor-1", "reactor-1", "reactor-1", ""]


def test_a_retried_experiment_shows_the_attempt_that_decided_it(run, bench):
    name = bench.add(350)
    bench.claim(name)
    bench.report(name, kind="retryable")
    waiting = as_dicts(run("export").stdout)
    bench.claim(name, "reactor-2", attempt=2)
    bench.report(name, 50.0, worker="reactor-2", attempt=2)
    decided = as_dicts(run("export").stdout)

    assert [(row["status"], row["attempt"], row["yield"]) for row in waiting] == [("queued", "2", "")]
    assert [(row["status"], row["attempt"], row["worker"]) for row in decided] == [("completed", "2", "reactor-2")]


def test_replicates_follow_as_rows_and_what_does_not_count_only_on_demand(run, bench):
    name, other = bench.add(350), bench.add(360)
    bench.claim(name)
    bench.interrupt(name)
    run("requeue", name)
    bench.claim(name, "reactor-2", attempt=2)
    bench.report(name, 50.0, worker="reactor-2", attempt=2)
    bench.report(name, 51.0)
    bench.report(name, 99.0)

    usual, everything = (as_dicts(run("export", *options).stdout) for options in ([], ["--all"]))

    assert [(row["experiment"], row["status"], row["yield"]) for row in usual] == [
        (name, "completed", "50.0"),
        (name, "replicate", "51.0"),
        (other, "queued", ""),
    ]
    assert [row["status"] for row in everything] == ["completed", "replicate", "conflict", "queued"]


@pytest.mark.parametrize(("table_format", "empty"), [("csv", COLUMNS + "\n"), ("json", "[]\n")])
def test_a_campaign_without_experiments_gives_an_empty_table(run, bench, table_format, empty):
    assert run("export", "--format", table_format).stdout == empty


def test_a_campaign_that_never_started_has_nothing_to_export(run, folder):
    refused = run("export")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "never started" in refused.stderr
    assert not (folder / "campaign.db").exists()


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder, bench):
    bench.started(budget=3000)
    with bench.ledger.change() as change:
        for number in range(2000):
            change.add({"temperature": 300 + number / 100, "solvent": "DMF"}, reason="x" * 100)
    command = [sys.executable, "-m", "alchemy_async", "export", str(folder)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read()

    assert first == COLUMNS + "\n"
    assert (complaints, process.returncode) == ("", 0)
