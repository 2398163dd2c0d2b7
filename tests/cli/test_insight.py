from __future__ import annotations

import json

import pytest

from alchemy_async.cli import insight
from alchemy_async.planner.insight import LEAST


def hill(temperature):
    return 80 - 0.01 * (temperature - 352) ** 2


@pytest.fixture
def results(bench):
    """Bring results of these temperatures, the value of a hill with its top at 352."""

    def bring(temperatures, value=hill):
        bench.started(budget=60)
        for temperature in temperatures:
            name = bench.add(temperature)
            bench.claim(name)
            bench.report(name, value(temperature))

    return bring


def words(run, *options):
    return " ".join(run("status", *options).stdout.split())


def test_the_recommended_experiment_stands_beside_the_best(results, run, status):
    results((302, 315, 330, 341, 352, 363, 377, 390))

    shown, found = words(run), status()

    assert "Recommended: the same point; the model expects yield 80.0" in shown
    assert found["recommended"]["experiment"] == found["best"]["experiment"] == "e0005"
    assert found["recommended"]["expected"]["yield"]["mean"] == pytest.approx(80, abs=0.5)
    assert found["recommended"]["expected"]["yield"]["unit"] == "%"


def test_a_point_that_nobody_measured_is_recommended_as_such(results, run, status):
    results((302, 310, 318, 326, 334, 338, 366, 372, 380, 388, 396))

    found = status()["recommended"]

    assert (found["experiment"], found["measured"]) == ("", None)
    assert found["parameters"]["temperature"] == pytest.approx(352, abs=5)
    assert "Recommended: not measured yet; yield" in words(run)


def test_it_says_how_far_the_model_is_to_be_trusted_and_what_matters(results, run, status):
    results((302, 315, 330, 341, 352, 363, 377, 390))

    shown, model = words(run), status()["model"]

    assert "of the differences between 8 results, each predicted without itself. temperature matters most; " in shown
    assert "solvent hardly matters." in shown
    assert (model["n_results"], model["n_used"]) == (8, 8)
    (quality,) = model["objectives"]
    assert quality["explained"] > 0.9
    assert set(quality["importance"]) == {"temperature", "solvent"}


def test_what_a_person_should_know_of_is_a_note_on_the_page(results, run, status):
    results((302, 315, 330, 341, 352, 363, 377, 390), value=lambda temperature: temperature / 5)

    assert "Note: The best is expected at the upper end of temperature (400)" in words(run)
    assert [(one["kind"], one["parameter"]) for one in status()["warnings"]] == [("at_bound", "temperature")]


def test_without_a_model_it_is_left_out(results, run):
    results((302, 315, 330, 341, 352, 363, 377, 390))

    found = json.loads(run("status", "--json", "--no-model").stdout)

    assert (found["recommended"], found["model"], found["warnings"]) == (None, None, [])
    assert "Recommended" not in words(run, "--no-model")


def test_with_fewer_than_five_results_nothing_is_said_of_a_model(results, run, status):
    results((302, 341, 352, 390))

    assert insight.LEAST == LEAST == 5
    assert (status()["recommended"], status()["warnings"]) == (None, [])
    assert "Recommended" not in words(run)


def test_values_that_are_all_equal_do_not_hide_the_rest_of_the_status(results, run):
    results((302, 315, 330, 341, 352, 363), value=lambda temperature: 5.0)

    assert "Best yield: 5 %" in words(run)
    assert "Look whether the driver returns what it measures" in words(run)


def test_an_error_of_the_model_does_not_hide_the_rest_of_the_status(results, run, status, monkeypatch):
    from alchemy_async.errors import PlannerError
    from alchemy_async.planner import insight as insights

    def fail(*arguments, **keywords):
        raise PlannerError("No point of the space meets all constraints. Loosen one.")

    monkeypatch.setattr(insights, "learn", fail)
    results((302, 315, 330, 341, 352, 363))

    assert "Note: No model: No point of the space meets all constraints. Loosen one." in words(run)
    assert status()["best"]["experiment"] == "e0005"


def test_a_noise_that_the_planner_was_told_counts_here_too(results, folder, status):
    settings = folder / "campaign.toml"
    settings.write_text(
        settings.read_text().replace('strategy = "random"', 'strategy = "bayesian"\noptions = { noise = 30.0 }')
    )
    results((302, 315, 330, 341, 352, 363, 377, 390))

    assert "noisy" in [one["kind"] for one in status()["warnings"]]


@pytest.mark.parametrize(
    ("importance", "told"),
    [
        ({"a": 0.9, "b": 0.3, "c": 0.01}, "a matters most, then b; c hardly matters."),
        ({"a": 0.01, "b": 0.9}, "b matters most; a hardly matters."),
        ({"a": 0.01, "b": 0.0}, "No parameter matters."),
        (
            {name: 0.9 - i / 10 for i, name in enumerate("abcdefg")},
            "a matters most, then b, c, d and 3 more.",
        ),
    ],
)
def test_importance_is_told_in_words(importance, told):
    quality = {"objective": "yield", "n": 9, "explained": 0.87, "inside": 0.9, "noise": 0.01, "importance": importance}
    model = {"n_results": 9, "n_used": 9, "objectives": [quality]}

    (sentence,) = insight.sentences({"model": model})

    assert sentence.startswith("The model explains 87 % of the differences")
    assert sentence.endswith(told)


def test_a_part_of_the_results_noise_and_narrow_ranges_are_pointed_out():
    quality = {"objective": "y", "n": 400, "explained": -0.2, "inside": 0.6, "noise": 0.31, "importance": {"a": 0.9}}
    model = {"n_results": 5000, "n_used": 400, "objectives": [quality]}

    told = list(insight.sentences({"model": model}))

    assert "explains nothing of the differences between 400 results" in told[0]
    assert "(400 of 5000 were shown to it), noise makes about 31 %." in told[0]
    assert told[1] == "Its ranges are too narrow: those that should hold 95 % of the results hold 60 %."
