from __future__ import annotations

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from alchemy_async.cli.console import Commands
from alchemy_async.cli.simulate import simulate as command
from alchemy_async.config.templates import template
from alchemy_async.errors import DriverError, FolderError, SettingsError
from alchemy_async.simulation import SimulationError
from alchemy_async.simulation.campaigns import Wish, simulate

KEYS = {
    "seed", "best", "regret", "makespan_s", "utilisation", "utilisation_ideal", "nearest_pending_min", "ask_s", "trace",
    "n_completed", "n_failed", "ended",
}  # fmt: skip


def run(campaign, function="hill", **more):
    return simulate(Wish(campaign, f"simulated_functions:{function}", **more))["runs"]


def test_each_seed_brings_a_campaign_with_the_promised_figures(campaign):
    runs = run(campaign, optimum=5.0, seeds=(4, 7))

    assert [one["seed"] for one in runs] == [4, 7]
    assert all(set(one) == KEYS for one in runs)
    assert all(set(one["ask_s"]) == {"p50", "p95"} and set(one["trace"][0]) == {"t_s", "value", "best"} for one in runs)
    assert all(one["regret"] == pytest.approx(5.0 - one["best"]) for one in runs)
    json.dumps(runs, allow_nan=False)


def test_without_an_optimum_there_is_no_regret(campaign):
    assert run(campaign)[0]["regret"] is None


def test_more_workers_are_done_sooner(campaign):
    one, five = (run(campaign, n_workers=n)[0]["makespan_s"] for n in (1, 5))

    assert five < one / 2


def test_batches_take_longer_than_workers_that_do_not_wait(campaign):
    sync, asynchronous = (run(campaign, budget=30, is_synchronous=sync)[0] for sync in (True, False))

    assert sync["makespan_s"] > 1.15 * asynchronous["makespan_s"]
    assert sync["utilisation"] == pytest.approx(sync["utilisation_ideal"])


def test_an_experiment_in_which_the_function_raises_has_failed_and_is_not_in_the_trace(campaign):
    (one,) = run(campaign, "half_blocked", budget=10)

    assert len(one["trace"]) == 10
    assert all(point["value"] >= 0.5 for point in one["trace"])


def test_it_is_told_how_many_experiments_came_to_what_and_why_a_campaign_ended(campaign):
    (one,) = run(campaign, "half_blocked", budget=10)

    assert one["n_completed"] == 10
    assert one["n_failed"] > 0
    assert one["ended"] == "budget met, 10 of 10 experiments completed"


def test_a_function_that_always_raises_is_told_in_its_own_words(campaign):
    with pytest.raises(SimulationError, match=r"None of 20 experiments .* the tube is blocked"):
        run(campaign, "broken")


def test_a_driver_that_the_campaign_names_has_its_options_there_and_no_durations_of_its_own(tmp_path):
    (tmp_path / "campaign.toml").write_text(template("branin").replace("seed", "# seed"))

    (one,) = simulate(Wish(tmp_path, "olympus:Branin", strategy="sobol", budget=5))["runs"]

    assert len(one["trace"]) == 5
    assert one["makespan_s"] >= 10  # of two rounds of 5 s at least


def test_a_campaign_that_nothing_ends_is_refused(campaign):
    campaign.write_text(campaign.read_text().replace("experiments = 10", ""))

    with pytest.raises(SimulationError, match="Give --budget"):
        run(campaign)


def test_the_options_of_a_campaign_are_not_handed_to_another_planner(campaign):
    campaign.write_text(campaign.read_text().replace('"sobol"', '"bayesian"\noptions = { noise = "none" }'))

    assert run(campaign, strategy="random")[0]["best"] > 4


def test_a_strategy_that_does_not_exist_is_told_as_a_mistake_in_the_file_would_be(campaign):
    with pytest.raises(SettingsError, match="Did you mean"):
        run(campaign, strategy="sobool")


def test_a_function_that_is_not_there_is_told(campaign):
    with pytest.raises(DriverError, match=r"--function .* has no 'valley'"):
        run(campaign, "valley")


@pytest.mark.parametrize(
    ("content", "error"), [(b"[campaign", "is not TOML"), (b"\xff", "is not UTF-8"), (b"planner = 3", "planner")]
)
def test_a_file_that_is_no_campaign_is_refused_with_the_reason(campaign, content, error):
    campaign.write_bytes(content)

    with pytest.raises(SettingsError, match=error):
        run(campaign)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FolderError, match=r"nothing\.toml can't be read"):
        simulate(Wish(tmp_path / "nothing.toml", "simulated_functions:hill"))


def test_nothing_is_left_beside_the_campaign_file(campaign):
    before = {path.name for path in campaign.parent.iterdir()}

    run(campaign)

    assert {path.name for path in campaign.parent.iterdir()} - before <= {"__pycache__"}


# -- the command -----------------------------------------------------------


@pytest.fixture
def shown(campaign):
    """Return a function that runs the command and returns what typer saw of it."""
    app = typer.Typer(cls=Commands)
    app.command()(command)
    app.command("other")(lambda: None)

    def invoke(*arguments, function="simulated_functions:hill"):
        return CliRunner().invoke(app, ["simulate", str(campaign), "--function", function, *arguments])

    return invoke


def test_the_command_prints_one_object_with_all_runs(shown):
    ended = shown("--optimum", "5", "--seeds", "0-2", "--json")

    assert ended.exit_code == 0
    assert [run["seed"] for run in json.loads(ended.stdout)["runs"]] == [0, 1, 2]


def test_people_are_told_of_each_run_what_failed_and_why_it_ended(shown):
    lines = shown("--seeds", "0,1", function="simulated_functions:half_blocked").stderr.splitlines()

    assert len(lines) == 2
    for seed, line in enumerate(lines):
        told = rf"seed {seed}: best [\d.]+, 10 completed, \d+ failed; budget met, 10 of 10 experiments completed"
        assert re.fullmatch(told, line), line


def test_the_table_has_a_row_for_each_seed_and_their_median(shown):
    ended = shown("--seeds", "0,1", "--sync", "--ask-latency", "2.5", "--durations", "lognormal:20,8")

    assert ended.exit_code == 0
    assert "median" in ended.stdout
    assert "utilisation" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "x"), "names no seeds"),
        (("--ask-latency", "soon"), "is no time"),
        (("--ask-latency", "nan"), "is no time"),
        (("--depth", "deep"), "is no depth"),
        (("--optimum", "inf"), "could be reached"),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(shown, arguments, said):
    ended = shown(*arguments)

    assert ended.exit_code == 2
    assert said in ended.output


def test_a_mistake_is_a_sentence_and_no_traceback(shown):
    ended = shown("--durations", "5")

    assert ended.exit_code == 1
    assert "such as 5,30" in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("strategy", ["bayesian", "sobol"])
def test_each_point_of_a_small_space_is_measured_as_often_as_is_asked_for(campaign, strategy):
    campaign.write_text(FOUR_POINTS.format(strategy=strategy))

    (one,) = run(campaign, "line", n_workers=3)

    assert len(one["trace"]) == one["n_completed"] == 8


FOUR_POINTS = """
[campaign]
name = "four"

[[parameters]]
name = "x"
type = "integer"
bounds = [1, 4]

[[objectives]]
name = "y"
goal = "maximize"

[budget]
experiments = 8

[planner]
strategy = "{strategy}"
replicates = 2

[[workers]]
name = "w"
driver = "my_lab:f"
"""
