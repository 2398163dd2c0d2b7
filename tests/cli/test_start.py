from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from alchemy_async.benchmark import demo
from alchemy_async.cli.commands import app
from alchemy_async.config import load_campaign

REPORT = {
    "completed": 4,
    "failed": 0,
    "interrupted": 0,
    "lost": 0,
    "duplicated": 0,
    "best": {"values": {"value": 0.4}, "parameters": {"x0": 3.14, "x1": 2.28}},
    "regret": 0.002,
    "utilisation": 0.96,
    "utilisation_ideal": 0.97,
    "turnaround_ms": {"p50": 2.5, "p99": 4.0, "max": 5.0},
    "publish_ms": 0.7,
    "ask_s": {"p50": 0.3, "p95": 0.5},
    "wall_s": 12.5,
    "folder": "/somewhere",
}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the demo, which takes its time, and keep what it was asked."""
    kept = {"report": dict(REPORT)}

    def run_demo(folder, *, show, **options):
        kept.update(options, folder=folder)
        show(demo.Progress(1, options["budget"]))
        return kept["report"]

    monkeypatch.setattr(demo, "run_demo", run_demo)
    return kept


def test_init_writes_a_campaign_that_loads_its_driver_and_both_folders(tmp_path):
    made = tmp_path / "lab" / "amide"

    shown = invoke("init", made)

    assert shown.exit_code == 0
    assert load_campaign(made).workers[0].driver == "my_lab:reaction"
    assert (made / "my_lab.py").is_file()
    assert (made / "pickup").is_dir()
    assert (made / "dump").is_dir()
    assert f"alchemy-async plan {made}" in shown.output


@pytest.mark.parametrize("example", ["branin", "suzuki"])
def test_init_writes_examples_that_need_no_driver_file(tmp_path, example):
    shown = invoke("init", tmp_path, "--example", example)

    assert shown.exit_code == 0
    assert load_campaign(tmp_path).campaign.name == example
    assert not (tmp_path / "my_lab.py").exists()


def test_init_uses_the_current_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    shown = invoke("init")

    assert (tmp_path / "campaign.toml").is_file()
    assert shown.output.rstrip().endswith("alchemy-async work")


def test_init_overwrites_neither_a_campaign_nor_a_driver(tmp_path):
    (tmp_path / "campaign.toml").write_text("mine")
    refused = invoke("init", tmp_path)
    (tmp_path / "campaign.toml").unlink()
    (tmp_path / "my_lab.py").write_text("mine, too")
    accepted = invoke("init", tmp_path)

    assert (refused.exit_code, accepted.exit_code) == (1, 0)
    assert "overwrites nothing" in refused.stderr
    assert (tmp_path / "my_lab.py").read_text() == "mine, too"


def test_init_names_the_examples_there_are(tmp_path):
    refused = invoke("init", tmp_path / "new", "--example", "brannin")

    assert refused.exit_code == 1
    assert "branin or suzuki" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_demo_passes_its_options_on_and_tells_the_figures(asked, tmp_path):
    shown = invoke("demo", "--dir", tmp_path, "--budget", 4, "--workers", 2, "--durations", "0.1,0.2", "--seed", 3)

    assert shown.exit_code == 0
    assert (asked["folder"], asked["budget"], asked["workers"]) == (tmp_path, 4, 2)
    assert (asked["durations"], asked["seed"]) == ((0.1, 0.2), 3)
    assert "4 experiments completed" in shown.stdout
    assert "0 lost" in shown.stdout


def test_demo_prints_one_json_object_where_asked(asked):
    shown = invoke("demo", "--budget", 4, "--json")

    assert json.loads(shown.stdout) == REPORT


@pytest.mark.parametrize("loss", [{"lost": 1}, {"duplicated": 1}, {"completed": 3}])
def test_demo_fails_if_anything_was_lost_doubled_or_left_out(asked, loss):
    asked["report"] |= loss

    assert invoke("demo", "--budget", 4).exit_code == 1


@pytest.mark.parametrize("durations", ["3", "3,0.5", "-1,2", "a,b", "nan,1"])
def test_demo_refuses_durations_that_are_none(asked, durations):
    assert invoke("demo", "--durations", durations).exit_code == 2


def test_init_refuses_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "mine").write_text("mine")

    refused = invoke("init", tmp_path / "mine")

    assert refused.exit_code == 1
    assert "Name another place" in refused.stderr
