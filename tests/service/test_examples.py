"""The examples run as they stand, against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.counting_clients import in_ledger
from tests.service.serving import SOURCE, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("examples") / "root") as running:
        yield running


@pytest.fixture
def session(server):
    """A session of two variables with five experiments staged."""
    made = server.call("POST", "/sessions", {"name": "example"})["session_id"]
    for name in "xy":
        server.call("POST", f"/sessions/{made}/variables", {"name": name, "type": "real", "min": 0, "max": 1})
    points = [{"x": 0.1 * k, "y": 0.5} for k in range(5)]
    server.call("POST", f"/sessions/{made}/experiments/staged/batch", {"experiments": points})
    return made


def needs(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


in_each_language = pytest.mark.parametrize(
    "command",
    [
        pytest.param(("sh", "worker.sh"), marks=needs("curl", "jq"), id="shell"),
        pytest.param(("node", "worker.mjs"), marks=needs("node"), id="javascript"),
    ],
)


def run(*command, **more):
    ended = subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | {"PYTHONPATH": str(SOURCE)} | more,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def hill(x, y):
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2


def rows(server, session):
    return server.call("GET", f"/sessions/{session}/experiments")["experiments"]


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        ("requests_loops.py", [0] * 8 + [1, 1, 2, 2, 3, 3]),
        ("client_loops.py", [0] * 8 + [1, 1, 2, 2]),  # and two that were taken one at a time
    ],
)
def test_the_two_loops_run_and_leave_every_row_in_its_iteration(server, name, iterations):
    before = {one["session_id"] for one in server.call("GET", "/sessions")["sessions"]}

    said = run(sys.executable, EXAMPLES / name, server.url)

    (made,) = {one["session_id"] for one in server.call("GET", "/sessions")["sessions"]} - before
    found = rows(server, made)
    assert len(found) == 14
    assert [row["Iteration"] for row in found][: len(iterations)] == iterations
    assert all(row["Output"] == pytest.approx(hill(row["x"], row["y"])) for row in found)
    assert "iteration 2: best so far " in said


def test_a_row_that_was_completed_by_its_id_is_an_iteration_of_its_own(server, session):
    staged = f"/sessions/{session}/experiments/staged"
    for name in server.call("GET", staged)["ids"][:2]:
        server.call("POST", f"{staged}/{name}/complete", {"output": 1.0})

    assert [row["Iteration"] for row in rows(server, session)] == [0, 1]


@needs("curl", "jq")
def test_the_curl_script_goes_from_nothing_to_a_suggestion(server):
    said = run("sh", EXAMPLES / "curl.sh", server.url)

    assert '"n_experiments":3' in said.replace(" ", "").splitlines()[-1]
    assert '"suggestions"' in said


@in_each_language
def test_a_worker_in_another_language_measures_what_is_staged(server, session, command):
    program, script = command

    said = run(program, EXAMPLES / script, server.url, session, "bench-1", UNTIL_EMPTY="1")

    held, others = in_ledger(server.root / session / "campaign.db")
    assert len(said.splitlines()) == 5
    assert {(state, n) for state, n, _ in held.values()} == {("completed", 1)}
    assert others == 0
    assert [row["Output"] for row in rows(server, session)] == pytest.approx([hill(0.1 * k, 0.5) for k in range(5)])


@in_each_language
def test_two_workers_share_what_is_staged(server, session, command):
    program, script = command
    both = [
        subprocess.Popen(
            [program, EXAMPLES / script, server.url, session, f"bench-{k}"],
            env=os.environ | {"UNTIL_EMPTY": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in (1, 2)
    ]

    said = [one.communicate(timeout=LIMIT_S)[0] for one in both]

    held, others = in_ledger(server.root / session / "campaign.db")
    assert [one.returncode for one in both] == [0, 0]
    assert len("".join(said).splitlines()) == 5
    assert {(state, n) for state, n, _ in held.values()} == {("completed", 1)}
    assert others == 0
