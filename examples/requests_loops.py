"""ALchemist's two documented loops with plain `requests`, made fit for the night: checked, repeatable, in step.

    python requests_loops.py http://127.0.0.1:8000

What they add to the documented ones: every refusal is raised; a key on each write, so that it can be
sent again after a broken line; the queue's version, so that outputs can't land on other inputs.
"""

from __future__ import annotations

import sys
import time
import uuid

import requests

VARIABLES = ({"name": "x", "type": "real", "min": 0, "max": 1}, {"name": "y", "type": "real", "min": 0, "max": 1})


def run_experiment(conditions: dict[str, float]) -> float:
    """Replace this with your instrument."""
    return -((conditions["x"] - 0.3) ** 2) - (conditions["y"] - 0.7) ** 2


def call(method: str, url: str, body: object = None, tries: int = 5, **more: object) -> dict:
    """Send a request until it is answered; under one key, so that it counts once."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    for left in reversed(range(tries)):
        try:
            answer = requests.request(method, url, json=body, headers=headers, timeout=60, **more)
        except requests.ConnectionError:
            if not left:
                raise
            time.sleep(1)
            continue
        if not answer.ok:
            raise RuntimeError(f"{method} {url}: {answer.status_code} {answer.json()['detail']}")
        return answer.json()
    raise AssertionError


def begin(server: str) -> str:
    """Make a session and its variables; return its address."""
    session = f"{server}/api/v1/sessions/{call('POST', f'{server}/api/v1/sessions', {'name': 'loops'})['session_id']}"
    for variable in VARIABLES:
        call("POST", f"{session}/variables", variable)
    return session


def run_staged(session: str, iteration: int, **query: str) -> list[float]:
    """Run everything that is staged and complete it in the queue's order."""
    staged = call("GET", f"{session}/experiments/staged")
    outputs = [run_experiment(conditions) for conditions in staged["experiments"]]
    body = {"outputs": outputs, "iteration": iteration, "queue_version": staged["queue_version"]}
    call("POST", f"{session}/experiments/staged/complete", body, params=query)
    return outputs


def initial_design(session: str) -> None:
    """Stage a space-filling design and run it."""
    design = call("POST", f"{session}/initial-design", {"method": "lhs", "n_points": 8, "random_seed": 42})
    body = {"experiments": design["points"], "reason": "Initial LHS Design"}
    call("POST", f"{session}/experiments/staged/batch", body)
    run_staged(session, 0)


def autonomous_loop(session: str, n_iterations: int = 3) -> float:
    """Suggest, stage, run, complete, and again; return the best output."""
    best = float("-inf")
    for iteration in range(1, n_iterations + 1):
        ask = {"strategy": "qEI", "goal": "maximize", "n_suggestions": 2}
        suggestions = call("POST", f"{session}/acquire", ask)["suggestions"]
        body = {"experiments": suggestions, "reason": f"qEI iteration {iteration}"}
        call("POST", f"{session}/experiments/staged/batch", body)
        best = max(best, *run_staged(session, iteration, auto_train="true"))
        print(f"iteration {iteration}: best so far {best:.4f}")  # noqa: T201 - a script that talks to a person
    return best


if __name__ == "__main__":
    study = begin(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
    initial_design(study)
    autonomous_loop(study)
