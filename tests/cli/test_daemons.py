from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from alchemy_async import locks
from alchemy_async.cli import daemons


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "alchemy_async", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_two_commands_run_a_campaign_to_its_end_and_sum_it_up(folder, status):
    with start("work", folder) as pool, start("plan", folder) as planner:
        summary, log = planner.communicate(timeout=90)
        pool_log = pool.communicate(timeout=30)[1]

    assert (planner.returncode, pool.returncode) == (0, 0), log + pool_log
    assert "budget met, 5 of 5 experiments completed" in summary
    assert "Best yield" in summary
    assert status()["counts"]["completed"] == 5


@pytest.mark.parametrize(
    ("command", "said"), [(("-v", "work"), ["begins without []"]), (("status",), []), (("status", "work"), [])]
)
def test_work_alone_begins_with_what_its_workers_need_before_it_loads_the_commands(tmp_path, command, said):
    script = (
        f"import sys; sys.argv = {['alchemy-async', *command, str(tmp_path)]!r}\n"
        "from alchemy_async.cli import main\n"
        "from alchemy_async.worker_pool import processes\n"
        "heavy = ('typer', 'pydantic', 'watchdog')\n"
        "told = lambda **_: print('begins without', [name for name in heavy if name in sys.modules])\n"
        "processes.prepare = told\n"
        "main()"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert ended.returncode != 0
    assert ended.stdout.splitlines()[:1] == said


@pytest.mark.parametrize("command", ["plan", "work", "serve"])
def test_a_daemon_that_is_interrupted_while_it_loads_ends_though_the_exception_would_get_lost(tmp_path, command):
    script = (
        f"import sys; sys.argv = ['alchemy-async', {command!r}, {str(tmp_path)!r}]\n"
        "import os, signal, types\n"
        "import alchemy_async.cli as cli\n"
        "from alchemy_async.worker_pool import processes\n"
        "processes.prepare = lambda **_: None\n"
        "class Late(types.ModuleType):\n"
        "    def app(self, **_):\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        except BaseException:\n"
        "            pass  # as in an import that takes it for its own trouble\n"
        "        print('runs on')\n"
        "sys.modules['alchemy_async.cli.commands'] = Late('late')\n"
        "cli.main()"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_interrupting_the_planner_ends_it_properly_with_a_log_in_json(folder):
    with start("plan", folder, "--log-format", "json") as planner:
        first = json.loads(planner.stderr.readline())
        planner.send_signal(signal.SIGINT)
        summary, rest = planner.communicate(timeout=30)

    assert "planner started" in first["message"]
    assert (planner.returncode, summary) == (0, "")
    assert "goes on from here" in json.loads(rest.splitlines()[-1])["message"]


def test_a_second_planner_is_refused_and_told_who_the_first_is(run, folder):
    with locks.hold(folder / "planner.lock", what="a planner", mend=""):
        refused = run("plan")

    assert refused.exit_code == 3
    assert f"process {os.getpid()}" in refused.stderr


def test_a_second_pool_of_one_name_is_refused(run, folder):
    with locks.hold(locks.machine_lock_path(f"pool pool {folder}"), what="a pool", mend=""):
        refused = run("work")

    assert refused.exit_code == 3


@pytest.mark.parametrize("command", ["plan", "work", "status", "export", "pause", "clear"])
def test_a_folder_without_a_campaign_is_told_how_to_make_one(command, run, folder):
    (folder / "campaign.toml").unlink()

    refused = run(command)

    assert refused.exit_code == 1
    assert "alchemy-async init" in refused.stderr


def test_the_number_of_workers_may_be_given_at_the_start(run, folder):
    refused = run("work", "--workers", "0")

    assert refused.exit_code == 2


@pytest.mark.parametrize(
    "options", [("--server", "http://lab:8000"), ("--session", "s1"), ("--token-file", "token.txt")]
)
def test_work_for_a_server_wants_its_address_and_the_session(run, options):
    refused = run("work", *options)

    assert refused.exit_code == 2
    assert "go together" in refused.stderr


def test_an_address_that_is_none_is_refused_before_anything_begins(run):
    refused = run("work", "--server", "lab-server:8000", "--session", "s1")

    assert refused.exit_code == 1
    assert "http://lab-server:8000" in refused.stderr


def test_the_token_for_a_server_comes_from_a_file_or_the_environment_and_never_from_the_command_line(
    tmp_path, monkeypatch
):
    (tmp_path / "token.txt").write_text("from-a-file\n")
    monkeypatch.setenv("ALCHEMY_TOKEN", "from-the-environment")

    assert daemons._token(tmp_path / "token.txt") == "from-a-file"
    assert daemons._token(None) == "from-the-environment"
    monkeypatch.delenv("ALCHEMY_TOKEN")
    assert daemons._token(None) is None
    assert "from-a-file" not in repr(daemons._server("http://lab", "s1", tmp_path / "token.txt"))
