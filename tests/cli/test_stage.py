from __future__ import annotations

import json

import pytest

from alchemy_async.experiment import State
from alchemy_async.ledger import Ledger

POINT = {"temperature": 350, "solvent": "DMF"}


def experiments(folder):
    with Ledger.open(folder / "campaign.db") as ledger:
        return ledger.experiments()


def test_a_point_is_queued_as_a_persons_before_any_planner_ran(run, folder):
    shown = run("stage", json.dumps(POINT), "--priority", 2, "--reason", "a hunch", "--requires", "hplc")

    assert (shown.exit_code, shown.stdout) == (0, "e0001\n")
    assert "as soon as `alchemy-async plan` runs" in shown.stderr
    (staged,) = experiments(folder)
    assert (staged.state, staged.parameters) == (State.QUEUED, {"temperature": 350.0, "solvent": "DMF"})
    assert (staged.origin, staged.reason, staged.priority, staged.pinned) == ("person", "a hunch", 2.0, True)
    assert staged.requires == ("hplc",)


def test_a_list_of_points_comes_from_stdin(run, folder):
    shown = run("stage", "-", typed=json.dumps([POINT, {**POINT, "solvent": "THF"}]))

    assert shown.stdout.split() == ["e0001", "e0002"]
    assert [found.parameters["solvent"] for found in experiments(folder)] == ["DMF", "THF"]


def test_all_mistakes_of_all_points_are_told_and_nothing_is_queued(run, folder):
    points = [POINT, {"temperature": 500, "colour": 1}, {"temperature": 350, "solvent": "water"}]

    refused = run("stage", json.dumps(points))

    assert refused.exit_code == 1
    mistakes = ("point 2, colour", "point 2, temperature", "point 2, solvent", "point 3, solvent")
    assert all(mistake in refused.stderr for mistake in mistakes)
    assert not (folder / "campaign.db").exists()


def test_a_design_is_queued_with_its_seed_away_from_what_is_there(run, folder):
    run("stage", json.dumps(POINT))

    shown = run("stage", "--design", "lhs", "--n", 3, "--seed", 42)

    assert shown.stdout.split() == ["e0002", "e0003", "e0004"]
    designed = experiments(folder)[1:]
    assert {found.origin for found in designed} == {"design"}
    assert {found.reason for found in designed} == {"lhs design of 3, seed 42"}
    assert len({found.parameters["temperature"] for found in designed}) == 3


def test_the_same_seed_gives_the_same_design(run, folder, tmp_path):
    first, second = tmp_path / "study", tmp_path / "twin"
    second.mkdir()
    (second / "campaign.toml").write_text((first / "campaign.toml").read_text())
    from typer.testing import CliRunner

    from alchemy_async.cli.commands import app

    for place in (first, second):
        CliRunner().invoke(app, ["stage", str(place), "--design", "sobol", "--n", "3", "--seed", "7"])

    assert [found.parameters for found in experiments(first)] == [found.parameters for found in experiments(second)]


def test_what_has_no_place_in_the_budget_is_not_queued_even_in_part(run, folder):
    run("stage", "--design", "lhs", "--n", 3)

    refused = run("stage", "--design", "lhs", "--n", 3)

    assert refused.exit_code == 1
    assert "With the first 2 of these 3 experiments" in refused.stderr
    assert "Raise budget.experiments" in refused.stderr
    assert len(experiments(folder)) == 3


def test_a_budget_that_was_raised_counts_at_once_while_no_planner_runs(run, folder):
    run("stage", "--design", "lhs", "--n", 5)
    settings = folder / "campaign.toml"
    settings.write_text(settings.read_text().replace("experiments = 5", "experiments = 6"))

    assert run("stage", json.dumps(POINT)).exit_code == 0


def test_a_label_that_no_worker_has_is_pointed_out(run):
    shown = run("stage", json.dumps(POINT), "--requires", "nmr")

    assert shown.exit_code == 0
    assert "No worker in campaign.toml has these labels" in shown.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "temperature=350",
        "3",
        "[]",
        "[1]",
        '{"temperature": NaN, "solvent": "DMF"}',
        '{"a": 1}, {"a": 2}',
        '[{"a": 1}], "b": 2',
    ],
)
def test_what_is_no_point_is_refused_with_an_example(run, folder, text):
    refused = run("stage", text)

    assert refused.exit_code == 1
    assert '{"temperature": 350' in refused.stderr
    assert not (folder / "campaign.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--design", "lhs"],
        ["--n", "3"],
        ["{}", "--design", "lhs", "--n", "3"],
        ["{}", "--seed", "3"],
        ["--design", "lhs", "--n", "0"],
        ["{}", "--priority", "nan"],
        ["{}", "--reason", "two\nlines"],
        ["{}", "--requires", "half \udcff"],
    ],
)
def test_options_that_do_not_go_together_or_can_not_be_meant_are_wrong_usage(run, arguments):
    assert run("stage", *arguments).exit_code == 2


def test_a_point_in_the_place_of_the_folder_is_pointed_out(folder):
    from typer.testing import CliRunner

    from alchemy_async.cli.commands import app

    refused = CliRunner().invoke(app, ["stage", json.dumps(POINT)])

    assert refused.exit_code == 2
    assert "FOLDER comes first" in refused.stderr


def test_an_unknown_design_names_those_there_are(run):
    refused = run("stage", "--design", "hexagons", "--n", 3)

    assert refused.exit_code == 1
    assert "sobol, lhs, random, grid" in refused.stderr


def test_a_space_that_is_used_up_is_told(run, folder):
    settings = folder / "campaign.toml"
    small = 'type = "discrete"\nvalues = [300, 400]'
    text = settings.read_text().replace('type = "continuous"\nbounds = [300, 400]', small)
    settings.write_text(text.replace("experiments = 5", "experiments = 4"))

    refused = run("stage", "--design", "grid", "--n", 5)

    assert refused.exit_code == 1
    assert "has 4 points that are not in the ledger yet" in refused.stderr
    assert not (folder / "campaign.db").exists()


def test_a_point_for_a_machine_requires_the_workers_that_have_it(run, folder):
    tied = 'name = "machine"\ntype = "categorical"\noptions = ["north", "south"]\ntied = true\n\n[[parameters]]\n'
    text = (folder / "campaign.toml").read_text().replace("[[parameters]]\n", f"[[parameters]]\n{tied}", 1)
    (folder / "campaign.toml").write_text(text.replace('["hplc"]', '["hplc", "north", "south"]'))

    shown = run("stage", json.dumps(POINT | {"machine": "south"}), "--requires", "hplc")

    assert shown.exit_code == 0, shown.stderr
    assert experiments(folder)[0].requires == ("hplc", "south")
