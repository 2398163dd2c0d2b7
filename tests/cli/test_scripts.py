from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alchemy_async.config import load_campaign
from alchemy_async.drivers.load import load_driver

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"run_opt.py": "plan", "measurement.py": "work", "clear_files.py": "clear"}


@pytest.fixture
def checkout(tmp_path):
    """Make a checkout with nothing but the scripts, a campaign, and this Python as its .venv."""
    made = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", made / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "campaign.toml", made)
    (made / ".venv").symlink_to(sys.prefix)
    return made


def run(script, *arguments, cwd, python=None):
    return subprocess.run(
        [*([python] if python else []), str(script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("script", COMMANDS)
def test_a_script_is_executable_and_hands_its_arguments_to_its_command(checkout, script, tmp_path):
    shown = run(checkout / "scripts" / script, "--help", cwd=tmp_path)

    assert shown.returncode == 0
    assert f"alchemy-async {COMMANDS[script]}" in shown.stdout


@pytest.mark.parametrize("script", COMMANDS)
def test_a_script_says_how_to_set_up_a_missing_venv(checkout, script, tmp_path):
    (checkout / ".venv").unlink()

    refused = run(checkout / "scripts" / script, cwd=tmp_path)

    assert refused.returncode == 1
    assert "python3 run.py test" in refused.stderr


def test_a_script_needs_nothing_but_the_standard_library_to_find_the_venv(checkout, tmp_path):
    bare = shutil.which("python3", path="/usr/bin:/usr/local/bin") or getattr(sys, "_base_executable", sys.executable)

    shown = run(checkout / "scripts" / "clear_files.py", "--help", cwd=tmp_path, python=bare)

    assert shown.returncode == 0, shown.stderr


def test_scripts_work_on_the_root_of_their_checkout_wherever_they_are_started(checkout, tmp_path):
    (checkout / "pickup").mkdir()
    (checkout / "pickup" / "priority_queue.json").write_text("{}")

    refused = run(checkout / "scripts" / "clear_files.py", cwd=tmp_path)
    cleared = run(checkout / "scripts" / "clear_files.py", "--yes", cwd=tmp_path)

    assert (refused.returncode, cleared.returncode) == (2, 0)
    assert not os.listdir(checkout / "pickup")  # noqa: PTH208 - a list, not an iterator


def test_the_campaign_of_the_scripts_loads_with_its_driver():
    settings = load_campaign(ROOT)

    for group in settings.workers:
        assert hasattr(load_driver(group.driver, group.options, ROOT), "measure")
