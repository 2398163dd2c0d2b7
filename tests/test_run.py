"""run.py sets up once, mends what is broken, and says what is missing; no test here installs anything."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "run.py"
PYPROJECT = """
[build-system]
requires = ["hatchling"]

[project]
name = "toy"
version = "1"
dependencies = ["numpy"]

[tool.ruff]
line-length = 100
"""


@pytest.fixture
def run():
    spec = importlib.util.spec_from_file_location("run_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "constraints.txt").write_text("numpy==2.0\ntorchvision==1.0\ntorch==2.13.0\n")
    (tmp_path / "run.py").write_text("")
    return tmp_path


@pytest.fixture
def finished(run, checkout):
    """Return a checkout whose environment is complete, with nothing in it."""
    python = run.venv_python(checkout)
    python.parent.mkdir(parents=True)
    python.touch()
    run.stamp_file(checkout).write_text(run.stamp(checkout))
    return checkout


@pytest.fixture
def installed(run, monkeypatch):
    """Replace what would cost minutes; return what was asked for."""
    asked = []

    def make_venv(root, lock):
        asked.append("venv")
        run.venv_python(root).parent.mkdir(parents=True, exist_ok=True)
        run.venv_python(root).touch()

    def pip(root, lock, *arguments):
        asked.append(" ".join(arguments))
        return 0

    monkeypatch.setattr(run, "make_venv", make_venv)
    monkeypatch.setattr(run, "pip", pip)
    return asked


def test_a_second_start_installs_nothing(run, checkout, installed):
    run.set_up(checkout)
    once = list(installed)
    run.set_up(checkout)

    assert once
    assert installed == once


def test_torch_is_installed_first_and_alone_as_a_cpu_build(run, checkout, installed, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")

    run.set_up(checkout)

    assert installed == [
        "venv",
        "install --no-deps --retries 1 --timeout 10 --index-url https://download.pytorch.org/whl/cpu torch==2.13.0",
        "install -c constraints.txt -e .[dev]",
    ]


def test_the_default_index_serves_torch_where_the_cpu_wheels_cannot_be_reached(run, checkout, installed, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(run, "pip", lambda _root, _lock, *asked: installed.append(asked[-1]) or "--index-url" in asked)

    run.set_up(checkout)

    assert installed == ["venv", "torch==2.13.0", "torch==2.13.0", ".[dev]"]
    assert run.is_ready(checkout)


def test_a_pip_that_fails_leaves_the_environment_unfinished_and_says_what_to_do(run, checkout, installed, monkeypatch):
    monkeypatch.setattr(run, "pip", lambda *_: 1)

    with pytest.raises(run.SetUpError, match="If this machine is offline, connect it"):
        run.set_up(checkout)

    assert not run.is_ready(checkout)
    assert run.read_stamp(checkout) == run.INCOMPLETE


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pyproject.toml", 'dependencies = ["numpy"]', 'dependencies = ["numpy", "scipy"]'),
        ("pyproject.toml", 'requires = ["hatchling"]', 'requires = ["flit"]'),
        ("pyproject.toml", "[tool.ruff]", '[project.scripts]\ntoy = "toy:main"\n[tool.ruff]'),
        ("constraints.txt", "numpy==2.0", "numpy==2.1"),
    ],
)
def test_what_must_be_installed_changes_the_stamp(run, finished, file, old, new):
    path = finished / file
    path.write_text(path.read_text().replace(old, new))

    assert not run.is_ready(finished)


def test_a_setting_of_a_tool_does_not_change_the_stamp(run, finished):
    path = finished / "pyproject.toml"
    path.write_text(path.read_text().replace("100", "120"))

    assert run.is_ready(finished)


def test_another_python_and_another_place_change_the_stamp(run, finished, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("moved")
    for name in ("pyproject.toml", "constraints.txt"):
        (elsewhere / name).write_text((finished / name).read_text())

    assert run.stamp(finished, "3.12.1") != run.stamp(finished, "3.13.0")
    assert run.stamp(elsewhere) != run.stamp(finished)


def test_an_environment_without_its_python_is_not_ready(run, finished):
    run.venv_python(finished).unlink()

    assert not run.is_ready(finished)


@pytest.fixture
def started(run, monkeypatch):
    """Replace every Python that run.py starts by one that works; return what it was started with."""
    started = []

    def start(command, **_):
        started.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=platform.python_version())

    monkeypatch.setattr(run.subprocess, "run", start)
    return started


def settle(folder, made_for):
    (folder / "pyvenv.cfg").write_text(f"command = python -m venv {made_for}\n")
    leftover = folder / "leftover"
    leftover.touch()
    return leftover


def test_an_environment_that_works_is_kept(run, finished, started):
    leftover = settle(finished / ".venv", made_for=finished / ".venv")

    run.make_venv(finished, lock=0)

    assert leftover.exists()


def test_an_environment_left_half_made_is_made_anew(run, finished, started):
    leftover = settle(finished / ".venv", made_for=finished / ".venv")
    run.stamp_file(finished).write_text(run.INCOMPLETE)

    run.make_venv(finished, lock=0)

    assert not leftover.exists()
    assert started == [[sys.executable, "-m", "venv", str(finished / ".venv")]]
    assert run.read_stamp(finished) == run.INCOMPLETE


def test_an_environment_that_was_moved_is_made_anew(run, finished, started):
    leftover = settle(finished / ".venv", made_for="/elsewhere/.venv")

    run.make_venv(finished, lock=0)

    assert not leftover.exists()


def test_a_python_that_cannot_make_environments_is_told_what_to_install(run, checkout, monkeypatch):
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())

    with pytest.raises(run.SetUpError, match="apt install python3-venv"):
        run.make_venv(checkout, lock=0)


def test_a_python_that_is_too_old_is_told_which_one_to_start(run):
    with pytest.raises(run.SetUpError, match=r"this is Python 3\.9\.18.*needs 3\.11.*`python3\.11 run\.py`"):
        run.check_python((3, 9, 18))

    run.check_python((3, 11, 0))
    run.check_python((4, 0, 0))


def test_a_package_that_is_not_pinned_is_named(run, checkout):
    assert run.pinned(checkout, "torch") == "torch==2.13.0"
    with pytest.raises(run.SetUpError, match=r"constraints\.txt does not pin scipy"):
        run.pinned(checkout, "scipy")


def test_windows_keeps_its_programs_elsewhere(run, checkout):
    assert run.venv_python(checkout, "nt") == checkout / ".venv" / "Scripts" / "python.exe"
    assert run.venv_script(checkout, "lint-imports", "nt").name == "lint-imports.exe"
    assert run.venv_python(checkout, "posix") == checkout / ".venv" / "bin" / "python"


def test_only_one_set_up_of_a_checkout_runs_at_a_time(run, checkout):
    with run.only_one(checkout):
        other = os.open(checkout / "run.py", os.O_RDWR)
        assert not run.try_lock(other)

    assert run.try_lock(other)
    os.close(other)


@pytest.mark.skipif(os.name == "nt", reason="on Windows a lock can't be handed on")
def test_a_step_that_outlives_its_set_up_keeps_the_lock(run, checkout):
    with run.only_one(checkout) as lock:
        command = [sys.executable, "-c", "input()"]
        step = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(lock,))
    other = os.open(checkout / "run.py", os.O_RDWR)

    is_free_too_early = run.try_lock(other)
    step.communicate(b"\n")

    assert not is_free_too_early
    assert run.try_lock(other)
    os.close(other)


@pytest.mark.skipif(os.name == "nt", reason="on Windows a lock can't be handed on")
def test_every_step_inherits_the_lock(run, checkout):
    with run.only_one(checkout) as lock:
        code = run.start([sys.executable, "-c", f"import os; os.fstat({lock})"], checkout, lock)

    assert code == 0


def test_a_set_up_that_waited_for_another_one_installs_nothing(run, checkout, installed, monkeypatch):
    def lock_after_the_other_has_finished(descriptor):
        run.make_venv(checkout, descriptor)
        run.stamp_file(checkout).write_text(run.stamp(checkout))
        installed.clear()
        return True

    monkeypatch.setattr(run, "try_lock", lock_after_the_other_has_finished)

    run.set_up(checkout)

    assert installed == []


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["dance"], 2)])
def test_usage_is_told_without_any_set_up(run, monkeypatch, capsys, arguments, code):
    monkeypatch.setattr(run, "set_up", lambda root: pytest.fail("nothing is to be set up"))

    assert run.main(arguments) == code

    told = capsys.readouterr()
    assert "usage: python3 run.py COMMAND" in told.out + told.err


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["demo", "--budget", "6"], ["-m", "alchemy_async", "demo", "--budget", "6"]),
        (["faults", "--only", "4"], ["-m", "tests.faults", "--only", "4"]),
        (["test", "-k", "ledger"], ["-m", "pytest", "-n", "2", "-m", "not slow", "-k", "ledger"]),
    ],
)
def test_arguments_are_handed_on_to_the_command(run, monkeypatch, arguments, command):
    called = []
    monkeypatch.setattr(run, "set_up", lambda root: None)
    monkeypatch.setattr(run, "call", lambda argv, cwd=None: called.append(list(argv)) or 0)

    assert run.main(arguments) == 0

    assert called[-1] == [str(run.venv_python(run.ROOT)), *command]


@pytest.mark.parametrize("failing", ["ruff", "mypy", "lint-imports", "pytest"])
def test_every_check_and_the_tests_run_even_if_one_fails(run, checkout, monkeypatch, capsys, failing):
    called = []

    def call(command, cwd=None):
        called.append(command)
        return int(failing in " ".join(command).replace(str(checkout), ""))

    monkeypatch.setattr(run, "call", call)

    assert run.test(checkout, []) == 1

    assert len(called) == 5
    assert "pytest" in called[-1]
    assert ("all passed" in capsys.readouterr().out) == (failing == "pytest")


def test_a_command_that_cannot_be_started_is_told_how_to_mend(run, checkout, capsys):
    assert run.call([str(checkout / "absent")]) == 1

    assert "Delete .venv and start again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "told"), [("SetUpError", "run.py: broken\n"), ("OSError", "run.py: broken. Is there room")]
)
def test_a_set_up_that_fails_says_why_and_runs_no_command(run, monkeypatch, capsys, fault, told):
    def set_up(root):
        raise {"SetUpError": run.SetUpError, "OSError": OSError}[fault]("broken")

    monkeypatch.setattr(run, "set_up", set_up)
    monkeypatch.setattr(run, "call", lambda *_, **__: pytest.fail("no command is to run"))

    assert run.main(["demo"]) == 1

    assert capsys.readouterr().err.startswith(told)
