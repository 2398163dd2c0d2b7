"""ALchemist's two documented loops with our typed client, and one that takes experiments one at a time.

python client_loops.py http://127.0.0.1:8000
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from alchemy_async.client import Client, Session


def run_experiment(conditions: Mapping[str, float]) -> float:
    """Replace this with your instrument."""
    return -((conditions["x"] - 0.3) ** 2) - (conditions["y"] - 0.7) ** 2


def run_staged(session: Session, iteration: int) -> list[float]:
    """Run everything that is staged, and complete it; should the queue have changed meanwhile, nothing is recorded."""
    queue = session.staged()
    outputs = [run_experiment(conditions) for conditions in queue.experiments]
    session.complete_staged(queue, outputs, iteration=iteration)
    return outputs


def initial_design(session: Session) -> None:
    """Stage a space-filling design and run it."""
    session.stage_all(session.initial_design(8, method="lhs", seed=42), reason="Initial LHS Design")
    run_staged(session, 0)


def autonomous_loop(session: Session, n_iterations: int = 2) -> float:
    """Suggest, stage, run, complete, and again; return the best output."""
    best = float("-inf")
    for iteration in range(1, n_iterations + 1):
        session.stage_all(session.suggest(2, goal="maximize"), reason=f"qEI iteration {iteration}")
        best = max(best, *run_staged(session, iteration))
        print(f"iteration {iteration}: best so far {best:.4f}")  # noqa: T201 - a script that talks to a person
    return best


def one_at_a_time(session: Session, worker: str = "bench-1") -> None:
    """Stage two, and have a worker take and report each by itself, as several instruments do."""
    session.stage_all(session.suggest(2, goal="maximize"), reason="one at a time")
    while taken := session.claim(worker, lease_s=60):
        for experiment in taken:
            session.complete(experiment, run_experiment(experiment.inputs))


if __name__ == "__main__":
    with Client(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000") as client:
        study = client.create_session("loops")
        for name in ("x", "y"):
            study.add_variable(name, min=0.0, max=1.0)
        initial_design(study)
        autonomous_loop(study)
        one_at_a_time(study)
