from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from alchemy_async.cli.commands import app

HEAVY = ("torch", "botorch", "scipy", "olympus", "numpy", "pydantic", "multiprocess", "watchdog", "sklearn")

BARE = """
import typer
app = typer.Typer()
@app.command()
def one(): "Do one thing."
@app.command()
def two(): "Do another."
app()
"""


def loaded_by(*arguments):
    """Return which heavy packages a command has loaded when it ends."""
    script = (
        f"import sys; sys.argv = {['alchemy-async', *arguments]!r}\n"
        "from alchemy_async.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()[-1].removeprefix("loaded:").split()


def processor_seconds():
    """Time on the processor of all processes started so far: what others do on the machine does not count."""
    times = os.times()
    return times.children_user + times.children_system


def seconds_of_help(*command):
    best = float("inf")
    for _ in range(3):
        begun = processor_seconds()
        subprocess.run([sys.executable, *command, "--help"], capture_output=True, check=True)
        best = min(best, processor_seconds() - begun)
    return best


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_no_heavy_package(option):
    assert loaded_by(option) == []


@pytest.mark.parametrize("command", ["plan", "work", "stage", "clear"])
def test_help_of_a_command_loads_at_most_what_typer_itself_does(command):
    assert set(loaded_by(command, "--help")) <= {"pydantic"}


def test_status_loads_neither_torch_nor_scipy_nor_olympus(folder):
    assert not {"torch", "botorch", "scipy", "olympus"} & set(loaded_by("status", str(folder)))


def test_help_takes_at_most_twice_as_long_as_that_of_a_bare_program(tmp_path):
    bare = tmp_path / "bare.py"
    bare.write_text(BARE)

    assert seconds_of_help("-m", "alchemy_async") <= 2 * seconds_of_help(bare)


def test_help_groups_the_commands_and_tells_the_exit_codes():
    shown = CliRunner().invoke(app, ["--help"]).output

    panels = ["Start here", "The two daemons", "See", "Steer", "Reset"]
    assert sorted(panels, key=shown.index) == panels
    assert "Exit codes: 0 done" in shown


def test_version_is_that_of_the_installed_package():
    shown = CliRunner().invoke(app, ["--version"])

    assert shown.output.strip() == importlib.metadata.version("alchemy-async")


def test_the_module_runs_as_a_program():
    ended = subprocess.run([sys.executable, "-m", "alchemy_async", "--version"], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout.strip()) == (0, importlib.metadata.version("alchemy-async"))
