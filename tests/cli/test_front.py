from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest

from alchemy_async.experiment import AttemptKey, Outcome, Result, Status

COST = """
[[objectives]]
name = "cost"
goal = "minimize"
unit = "EUR"
"""
MEASURED = [(310, 50.0, 10.0), (320, 80.0, 20.0), (330, 40.0, 15.0), (340, 90.0, 60.0)]
ON_FRONT = [True, True, False, True]


@pytest.fixture
def two_objectives(folder):
    path = folder / "campaign.toml"
    path.write_text(path.read_text().replace("[budget]", f"{COST}\n[budget]"))


@pytest.fixture
def measure(two_objectives, bench):
    """Report one more experiment, completed with both values."""

    def add_and_report(temperature, yield_, cost):
        name = bench.add(temperature)
        bench.claim(name)
        now = bench.clock.now()
        outcome = Outcome(Status.COMPLETED, now, now + timedelta(seconds=2), {"yield": yield_, "cost": cost})
        result = Result(bench.ledger.campaign, AttemptKey(name, 1), "reactor-1", outcome)
        with bench.ledger.change() as change:
            change.ingest(result, digest=repr(outcome))
        return name

    return add_and_report


def test_status_gives_the_front_the_best_in_the_first_objective_first(measure, status):
    names = [measure(*one) for one in MEASURED]

    front = status()["front"]

    assert [one["experiment"] for one in front["members"]] == [names[3], names[1], names[0]]
    assert front["members"][0]["values"] == {"yield": 90.0, "cost": 60.0}
    assert front["members"][0]["parameters"]["temperature"] == 340
    assert front["n_measured"] == 4
    assert front["hypervolume"] > 0.0
    assert [(one["name"], one["unit"]) for one in front["objectives"]] == [("yield", "%"), ("cost", "EUR")]


def test_the_page_shows_the_front_instead_of_a_single_best(measure, run):
    for one in MEASURED:
        measure(*one)

    shown = run("status", "--no-model").stdout

    assert "Pareto front: 3 of 4 measurements, hypervolume" in shown
    assert "90 %" in shown
    assert "60 EUR" in shown
    assert "Best yield" not in shown


def test_a_long_front_is_shown_in_part(measure, bench, run):
    bench.started(budget=30)
    for i in range(20):
        measure(310 + i, 10.0 + i, 10.0 + 2 * i)

    shown = run("status", "--no-model").stdout

    assert "Pareto front: 20 of 20" in shown
    assert "and 8 more; `export` marks them all" in shown


def test_export_marks_what_is_on_the_front(measure, bench, run):
    names = [measure(*one) for one in MEASURED]
    waiting = bench.add(350)

    rows = json.loads(run("export", "--format", "json").stdout)
    table = list(csv.DictReader(io.StringIO(run("export").stdout)))

    assert {row["experiment"]: row["on_front"] for row in rows} == dict(
        zip([*names, waiting], [*ON_FRONT, None], strict=True)
    )
    assert [row["on_front"] for row in table] == ["True", "True", "False", "True", ""]


@pytest.mark.parametrize("n_measured", [0, 1])
def test_a_front_needs_a_measurement_but_one_is_enough(n_measured, measure, run, status):
    for one in MEASURED[:n_measured]:
        measure(*one)

    front = status()["front"]

    assert (front is None) == (n_measured == 0)
    assert ("Pareto front: 1 of 1" in run("status", "--no-model").stdout) == (n_measured == 1)


def test_with_one_objective_there_is_no_front_and_no_column_for_it(bench, run, status):
    name = bench.add(310)
    bench.claim(name)
    bench.report(name, 50.0)

    assert status()["front"] is None
    assert "on_front" not in run("export").stdout
    assert "Best yield" in run("status", "--no-model").stdout
