"""`python3 run.py faults` runs what has not passed, says what it saw, and fails when anything was not shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYPROJECT = """
[tool.pytest.ini_options]
addopts = "--strict-markers"
markers = ["slow: takes minutes", "fault(row): a row of the table"]
"""
EVERY_ROW = """
import pytest

@pytest.mark.parametrize("row", [pytest.param(row, marks=pytest.mark.fault(row)) for row in range(1, 19)])
def test_a_row_is_shown(row, figures):
    figures(states=row, worst_s=row / 10)
"""
RED_OR_GREEN = """
from pathlib import Path

import pytest

@pytest.mark.fault(4)
def test_what_the_disk_may_show():
    assert Path("green").exists(), "the disk is red"

@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(2)
def test_kills(rounds, fault_seed, fuzz_cases, figures):
    \"\"\"Nothing is lost under kills.\"\"\"
    with Path("ran").open("a") as file:
        file.write(f"{rounds} {fault_seed} {fuzz_cases}\\\\n")
    figures(kills=rounds)
"""
WAITING = """
import time
from pathlib import Path

import pytest

@pytest.mark.slow
@pytest.mark.fault(1)
def test_waits():
    try:
        Path("waiting").touch()
        time.sleep(100)
    finally:
        Path("tidied").touch()
"""
# The plugins of this environment cost most of a small run's start.
ENVIRONMENT = {"COLUMNS": "120", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_timeout"}


@pytest.fixture
def checkout(tmp_path):
    """Return a small project with this runner and a test for every row."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name in ("faults.py", "fault_table.py", "conftest.py"):
        shutil.copy(HERE / name, tmp_path / "tests")
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "tests" / "test_every_row.py").write_text(EVERY_ROW)
    return tmp_path


def spawn(checkout, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults", *arguments],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | ENVIRONMENT,
    )


def start(checkout, *arguments):
    """Run the runner to its end; return its exit code and all that it said."""
    process = spawn(checkout, *arguments)
    told, _ = process.communicate(timeout=120)
    return process.returncode, told


def add(checkout, text, name="test_more.py"):
    (checkout / "tests" / name).write_text(text.replace("\\\\n", "\\n"))


def table(checkout):
    return json.loads(next((checkout / ".faults").glob("*.json")).read_text())


def ran(checkout):
    return (checkout / "ran").read_text().splitlines()


def test_the_table_shows_every_row_with_its_figures_and_totals(checkout):
    add(checkout, RED_OR_GREEN)
    (checkout / "green").touch()

    code, told = start(checkout, "--rounds", "7", "--seed", "3", "--fuzz-cases", "5")

    assert code == 0, told
    assert ran(checkout) == ["7 3 5"]
    assert "Nothing is lost under kills" in told
    assert "What the disk may show" in told
    assert "counted: states 171, kills 7" in told  # a test of two rows counts once
    document = table(checkout)
    assert document["command"] == "python3 run.py faults --rounds 7 --seed 3 --fuzz-cases 5"
    assert [row["row"] for row in document["rows"]] == list(range(1, 19))
    assert document["rows"][1]["tests"][1]["figures"] == {"kills": 7}
    assert document["totals"] == {"states": 171, "kills": 7}
    assert (document["rows_not_shown"], document["failed"]) == ([], [])


def test_a_failure_is_told_with_its_words_and_how_to_repeat_it(checkout):
    add(checkout, RED_OR_GREEN)

    code, told = start(checkout)

    assert code == 1
    assert "the disk is red" in told
    name = "tests/test_more.py::test_what_the_disk_may_show"
    assert f"--rounds 200 --fault-seed 0 --fuzz-cases 1000 {name}" in told
    assert f"FAILED {name}" in told
    assert table(checkout)["failed"] == [name]
    assert ran(checkout)  # the others run all the same


def test_a_second_start_runs_only_what_has_not_passed(checkout):
    add(checkout, RED_OR_GREEN)
    start(checkout)
    (checkout / "green").touch()

    code, told = start(checkout)

    assert code == 0, told
    assert "20 tests; 19 of them passed before on this tree with these settings" in told
    assert "[1/1]" in told
    assert len(ran(checkout)) == 1
    assert table(checkout)["totals"]["kills"] == 200  # what passed before is in the table too


@pytest.mark.parametrize("change", ["tree", "settings", "fresh"])
def test_another_tree_or_other_settings_start_anew(checkout, change):
    add(checkout, RED_OR_GREEN)
    (checkout / "green").touch()
    start(checkout)
    if change == "tree":
        add(checkout, "x = 1\n", "test_nothing.py")

    _, told = start(checkout, *{"settings": ["--seed", "1"], "fresh": ["--fresh"]}.get(change, []))

    assert len(ran(checkout)) == 2
    if change != "fresh":
        assert "the tree or the settings are not those of an earlier run" in told


def test_a_row_that_nothing_shows_fails_the_run(checkout):
    add(checkout, EVERY_ROW.replace("range(1, 19)", "range(1, 18)"), "test_every_row.py")
    add(checkout, "import pytest\n@pytest.mark.fault(18)\ndef test_x():\n    pytest.skip('no such disk')\n")

    code, told = start(checkout)

    assert code == 1
    assert "18  clients that vanish, repeat themselves or race: NOT SHOWN" in told
    assert "skipped: Skipped: no such disk" in told
    assert table(checkout)["rows_not_shown"] == [18]


@pytest.mark.parametrize(("only", "n"), [("3", 1), ("test_kills", 1), ("every_row", 18)])
def test_one_row_or_a_part_of_a_name_can_be_run_alone(checkout, only, n):
    add(checkout, RED_OR_GREEN)

    code, told = start(checkout, "--only", only)

    assert code == 0, told
    assert f"\n{n} tests, " in told


def test_a_part_that_no_test_has_is_refused(checkout):
    code, told = start(checkout, "--only", "dragons")

    assert code == 2
    assert "No fault test matches 'dragons'" in told


def test_a_test_that_takes_its_process_with_it_has_failed(checkout):
    dying = "import os, pytest\n@pytest.mark.fault(1)\ndef test_dies():\n    os._exit(3)\n"
    add(checkout, dying)

    code, told = start(checkout, "--only", "test_dies")

    assert code == 1
    assert "FAILED tests/test_more.py::test_dies pytest ended with 3 before it" in told


def test_a_file_that_cannot_be_collected_is_named(checkout):
    add(checkout, "import no_such_module\n")

    code, told = start(checkout)

    assert code == 2
    assert "test_more.py" in told


def test_a_slow_test_without_a_row_runs_as_well(checkout):
    add(checkout, "import pytest\n@pytest.mark.slow\ndef test_long():\n    open('ran', 'w')\n")

    _, told = start(checkout)

    assert (checkout / "ran").exists()
    assert "slow tests without a row" in told


def test_ctrl_c_ends_the_tests_and_shows_the_table_so_far(checkout):
    add(checkout, WAITING)
    process = spawn(checkout)
    until = time.monotonic() + 60
    while not (checkout / "waiting").exists() and time.monotonic() < until:
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)

    assert process.returncode == 130, told
    assert (checkout / "tidied").exists()
    assert "19 tests, " in told
    assert "1 not run, 18 passed" in told
    assert "The same command goes on from here" in told


def test_the_rows_are_those_that_the_marks_may_name():
    from tests.conftest import FAULT_ROWS
    from tests.fault_table import ROWS

    assert list(ROWS) == list(FAULT_ROWS)
