"""ALchemist's documented examples run on our server as they stand.

Source: the page "Staged Experiments Workflow" of ALchemist's documentation (NREL,
https://github.com/NREL/ALchemist), kept word for word in tests/assets/alchemist_docs. What is
filled in is what the page leaves to its reader: the session's id, `run_experiment`, the measured
outputs; and the server's port, for ours listens at a free one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from tests.service.serving import serving

ASSETS = Path(__file__).parents[1] / "assets" / "alchemist_docs"
MIXED = (
    {"name": "Temperature", "type": "real", "min": 250.0, "max": 400.0, "unit": "K"},
    {"name": "Pressure", "type": "real", "min": 1.0, "max": 20.0, "unit": "bar"},
    {"name": "Catalyst", "type": "categorical", "categories": ["Pt", "Ni", "Pd"]},
)
PLATINUM = {"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"}
NICKEL = {"Temperature": 290.0, "Pressure": 12.0, "Catalyst": "Ni"}
YIELDS = "run_experiment_of_the_test"
EXPERIMENT = {
    'raise NotImplementedError("Implement this for your lab equipment")': f"return {YIELDS}(conditions)",
}
RESULTS = {"[...]": f"[{YIELDS}(point) for point in design_points]"}


def measured(conditions):
    catalyst = {"Pt": 0.3, "Ni": 0.1, "Pd": 0.0}[conditions["Catalyst"]]
    return catalyst - ((conditions["Temperature"] - 340) / 150) ** 2 - ((conditions["Pressure"] - 8) / 19) ** 2


def read_calls():
    """Return each documented call by its heading: method, path, body, and the answer that the page shows."""
    found = {}
    for section in (ASSETS / "rest_calls.txt").read_text().removeprefix("# ").split("\n# "):
        heading, _, rest = section.partition("\n")
        call, _, answer = rest.partition("Response:\n")
        line, _, body = call.partition("\n")
        method, path = line.split()
        body = body.removeprefix("Content-Type: application/json\n").strip()
        found[heading] = method, path, json.loads(body or "null"), json.loads(answer or "null")
    return found


CALLS = read_calls()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("documented") / "root") as running:
        yield running


@pytest.fixture
def session(server):
    """The id of a session that has variables and nothing else."""
    made = requests.post(f"{server.api}/sessions", json={"name": "documented"})
    assert made.status_code == 201
    session_id = made.json()["session_id"]
    for variable in MIXED:
        assert requests.post(f"{server.api}/sessions/{session_id}/variables", json=variable).status_code == 200
    return session_id


def send(server, session, heading, params=None):
    """Send a documented call word for word."""
    method, path, body, _ = CALLS[heading]
    url = server.url + path.replace("{session_id}", session)
    return requests.request(method, url, json=body, params=params)


def snippet(name, server, session, filled_in=None):
    """Return a documented snippet with what its reader has to fill in."""
    text = (ASSETS / f"{name}.py.txt").read_text()
    given = {"localhost:8000": f"localhost:{server.port}", "your-session-id": session} | (filled_in or {})
    for blank, value in given.items():
        assert text.count(blank) <= 1
        text = text.replace(blank, value)
    return compile(text, f"{name}.py", "exec")


def rows(server, session):
    return requests.get(f"{server.api}/sessions/{session}/experiments").json()["experiments"]


def staged(server, session):
    return requests.get(f"{server.api}/sessions/{session}/experiments/staged").json()


# -- the Python snippets ------------------------------------------------------------


def test_the_documented_autonomous_loop_runs_from_a_session_without_data(server, session, capsys):
    names = {YIELDS: measured}
    exec(snippet("autonomous_loop", server, session, EXPERIMENT), names)

    names["autonomous_loop"](n_iterations=4)

    found = rows(server, session)
    said = capsys.readouterr().out.splitlines()
    assert [row["Iteration"] for row in found] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [row["Reason"] for row in found] == [f"qEI iteration {row['Iteration']}" for row in found]
    assert all(row["Output"] == pytest.approx(measured(row)) for row in found)
    assert len({json.dumps({name: row[name] for name in PLATINUM}) for row in found}) == 8
    assert [line.partition(".")[0] for line in said] == [f"Iteration {k} complete" for k in (1, 2, 3, 4)]
    assert staged(server, session)["n_staged"] == 0


def test_the_documented_initial_design_is_staged_and_completed(server, session):
    names = {YIELDS: measured}
    exec(snippet("initial_design", server, session), names)
    waiting = staged(server, session)

    exec(snippet("initial_design_results", server, session, RESULTS), names)

    found = rows(server, session)
    assert waiting["experiments"] == names["design_points"]
    assert (waiting["n_staged"], waiting["reason"]) == (12, "Initial LHS Design")
    assert [{name: row[name] for name in PLATINUM} for row in found] == names["design_points"]
    assert [row["Output"] for row in found] == pytest.approx([measured(point) for point in names["design_points"]])
    assert {(row["Iteration"], row["Reason"]) for row in found} == {(0, "Initial LHS Design")}
    assert staged(server, session)["n_staged"] == 0


def test_the_documented_design_is_the_same_for_the_same_seed(server, session):
    first, again = {}, {}

    exec(snippet("initial_design", server, session), first)
    exec(snippet("initial_design", server, session), again)

    assert first["design_points"] == again["design_points"]


def test_the_loop_goes_on_after_the_initial_design(server, session):
    names = {YIELDS: measured}
    exec(snippet("initial_design", server, session), names)
    exec(snippet("initial_design_results", server, session, RESULTS), names)
    exec(snippet("autonomous_loop", server, session, EXPERIMENT), names)

    names["autonomous_loop"](n_iterations=2)

    assert [row["Iteration"] for row in rows(server, session)] == [0] * 12 + [1, 1, 2, 2]


# -- the REST calls, each on a queue of its own, in the order of the page -------------


def test_the_page_shows_five_calls():
    assert list(CALLS) == [
        "Stage a single experiment",
        "Stage multiple experiments at once",
        "Retrieve staged experiments",
        "Complete staged experiments with results",
        "Clear the staging queue",
    ]


def test_one_experiment_is_staged_and_answered_as_the_page_shows(server, session):
    answer = send(server, session, "Stage a single experiment")

    shown = CALLS["Stage a single experiment"][3]
    assert answer.status_code == 200
    assert shown.items() <= answer.json().items()


def test_several_experiments_are_staged_at_once(server, session):
    answer = send(server, session, "Stage multiple experiments at once")

    said = answer.json()
    assert answer.status_code == 200
    assert (said["experiments"], said["n_staged"], said["reason"]) == ([PLATINUM, NICKEL], 2, "qEI batch")
    assert len(set(said["ids"])) == 2


def test_staged_experiments_are_retrieved_as_the_page_shows(server, session):
    send(server, session, "Stage multiple experiments at once")

    answer = send(server, session, "Retrieve staged experiments")

    shown = CALLS["Retrieve staged experiments"][3]
    assert answer.status_code == 200
    assert shown.items() <= answer.json().items()
    assert rows(server, session) == []


def test_results_in_staged_order_become_rows_with_noise_iteration_and_reason(server, session):
    send(server, session, "Stage multiple experiments at once")

    answer = send(server, session, "Complete staged experiments with results")

    said = answer.json()
    wanted = {"Iteration": 5, "Reason": "qEI batch"}
    assert answer.status_code == 200
    assert (said["n_added"], said["n_experiments"], said["model_trained"]) == (2, 2, False)
    assert said["training_metrics"] is None
    assert [dict(row, ProvenanceId=None) for row in rows(server, session)] == [
        {**PLATINUM, "Output": 0.87, "Noise": 0.02, **wanted, "ProvenanceId": None},
        {**NICKEL, "Output": 0.79, "Noise": 0.03, **wanted, "ProvenanceId": None},
    ]
    assert staged(server, session)["n_staged"] == 0


def test_the_optional_query_parameters_train_the_model_that_they_name(server, session):
    for k in range(6):
        body = {"inputs": dict(PLATINUM, Temperature=260.0 + 20 * k), "output": 0.1 * k, "noise": 0.01}
        requests.post(f"{server.api}/sessions/{session}/experiments", json=body)
    send(server, session, "Stage multiple experiments at once")
    optional = {"auto_train": "true", "training_backend": "botorch", "training_kernel": "Matern"}

    answer = send(server, session, "Complete staged experiments with results", optional)

    said = answer.json()
    state = requests.get(f"{server.api}/sessions/{session}/state").json()
    assert (answer.status_code, said["n_experiments"], said["model_trained"]) == (200, 8, True)
    assert {"rmse", "r2", "backend"} <= said["training_metrics"].keys()
    assert said["training_metrics"]["backend"] == state["model_backend"] == "botorch"


def test_the_queue_is_cleared(server, session):
    send(server, session, "Stage multiple experiments at once")

    answer = send(server, session, "Clear the staging queue")

    assert (answer.status_code, answer.json()["n_cleared"]) == (200, 2)
    assert staged(server, session)["experiments"] == []
    assert rows(server, session) == []
