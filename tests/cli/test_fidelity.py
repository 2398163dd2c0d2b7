from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CAMPAIGN

TEMPERATURE = 'name = "temperature"\ntype = "continuous"\nbounds = [300, 400]\nunit = "K"\n'


@pytest.fixture
def folder(folder):
    """The campaign, in which the answer is wanted at 400 K, and less heat is cheaper."""
    plain = 'name = "temperature"\ntype = "continuous"\nbounds = [300, 400]\n'
    text = CAMPAIGN.replace(plain, TEMPERATURE + "fidelity = 400\ncosts = [1, 6]\n")
    assert text != CAMPAIGN
    (folder / "campaign.toml").write_text(text)
    return folder


@pytest.fixture
def measured(bench):
    """Bring results of these temperatures and yields."""

    def measured(*pairs):
        bench.started(budget=20)
        for temperature, value in pairs:
            name = bench.add(temperature)
            bench.claim(name)
            bench.report(name, value)
        bench.clock.advance(60)

    return measured


def words(shown):
    return " ".join(shown.stdout.split())


def test_status_says_which_results_count_and_names_the_best_of_them(measured, run, status):
    measured((310, 97.0), (400, 80.0), (400, 82.0))

    found, shown = status(), words(run("status"))

    assert found["best"]["experiment"] == "e0003"
    assert found["fidelity"] == {
        "parameter": "temperature", "target": 400.0, "unit": "K", "n_at_target": 2, "n_results": 3,
        "message": "Only results at temperature = 400 K count: 2 of 3; the others inform the model.",
    }  # fmt: skip
    assert "Best yield: 82 % (e0003)" in shown
    assert found["fidelity"]["message"] in shown


def test_status_has_no_best_while_all_results_are_cheap(measured, run, status):
    measured((310, 97.0))

    assert status()["best"] is None
    assert "Only results at temperature = 400 K count: 0 of 1; the others inform the model." in words(run("status"))


def test_status_of_a_campaign_without_a_fidelity_says_nothing_of_it(folder, bench, status):
    (folder / "campaign.toml").write_text(CAMPAIGN)

    assert status()["fidelity"] is None


def test_explain_tells_what_was_hoped_for_at_the_target_and_why_the_run_is_cheap(bench, measured, run):
    measured((310, 97.0), (400, 82.0))
    noted = {
        "acquisition": -2.5,
        "expected": {"yield": {"mean": 96.0, "sd": 1.0}},
        "at_target": {"yield": {"mean": 84.0, "sd": 2.0}},
    }
    name = bench.add(320, metadata=noted)

    shown = words(run("explain", name))
    told = json.loads(run("explain", name, "--json").stdout)

    assert "The best yield then was 82 % (e0002)." in shown
    assert "With temperature = 400 K the model expected yield to be 84.0 ± 2.0 %, with a chance of 84 % of a" in shown
    assert (
        "It is not run there: the model learns enough of that value from this run, which costs 2 instead of 6." in shown
    )
    assert told["fidelity"] == {"target": "temperature = 400 K", "is_at_target": False, "cost": 2, "cost_at_target": 6}
    assert told["chosen"]["expected"]["yield"]["at_target"] == {"mean": 84.0, "sd": 2.0}


def test_a_surprise_is_told_of_what_was_run_and_the_best_of_what_counts(bench, measured, run):
    measured((400, 82.0))
    expected = {"yield": {"mean": 96.0, "sd": 1.0}}
    name = bench.add(320, metadata={"acquisition": -2.5, "expected": expected, "at_target": expected})
    bench.claim(name)
    bench.report(name, 96.2)

    shown = words(run("explain", name))

    assert "Yield is about what was expected. The best so far is 82 % (e0001)." in shown
