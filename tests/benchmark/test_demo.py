from __future__ import annotations

import json
import shutil

import pytest

from alchemy_async.benchmark.demo import measure, run_demo
from alchemy_async.errors import FolderError, SettingsError


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "campaign"
    stages = []
    report = run_demo(
        folder, budget=6, workers=2, durations=(0.1, 0.3), seed=5, show=lambda progress: stages.append(progress.stage)
    )
    return folder, report, stages


def test_the_demo_completes_exactly_its_budget_and_loses_nothing(demo):
    _, report, _ = demo

    assert {name: report[name] for name in ("completed", "failed", "interrupted", "lost", "duplicated")} == {
        "completed": 6,
        "failed": 0,
        "interrupted": 0,
        "lost": 0,
        "duplicated": 0,
    }


def test_the_demo_prints_one_object_that_json_can_hold(demo):
    _, report, _ = demo

    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert 0 < report["utilisation"] <= report["utilisation_ideal"] <= 1
    assert report["publish_ms"] > 0
    assert report["regret"] == pytest.approx(report["best"]["values"]["value"] - 0.39788735772973816)


def test_the_demo_says_what_it_is_doing(demo):
    _, _, stages = demo

    assert stages[0] == "starting the workers"
    assert "running" in stages


def test_an_attempt_that_was_claimed_and_has_no_outcome_counts_as_lost(demo, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(demo[0], folder)
    claims = folder / "dump" / "claims"
    claim = json.loads((claims / "e0001.1.json").read_bytes())
    (claims / "e0099.1.json").write_text(json.dumps(claim | {"experiment": "e0099"}))

    assert measure(folder)["lost"] == 1


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(FolderError, match="not empty"):
        run_demo(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_settings_that_make_no_sense_are_refused_with_their_mend(tmp_path):
    with pytest.raises(SettingsError, match="budget"):
        run_demo(tmp_path / "new", budget=0)
