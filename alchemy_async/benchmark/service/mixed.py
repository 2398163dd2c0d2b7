"""Mixed load: clients that stage, start, look and complete at once, in one session.

In:    a server, how many clients, how many rounds each goes.
Out:   requests a second of all of them, and whether the session holds exactly what was acknowledged.
Never: takes a refused request for one that was served.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alchemy_async.benchmark.service import studies
from alchemy_async.benchmark.service.calls import Answer, Line
from alchemy_async.benchmark.service.turns import OURS, THEIRS, figures

_N_VARIABLES = 3


def measure(ports: Mapping[str, int], *, n_clients: int, n_rounds: int, repeats: int) -> dict[str, Any]:
    """Let the same clients work on each server, in turns.

    Args:
        ports: Of the servers, by name.
        n_clients: How many work at once.
        n_rounds: How many experiments each stages and completes: four requests each.
        repeats: How often that is done.

    Raises:
        OSError: If a server does not answer at all.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ports}
    for k in range(repeats):
        for name, port in ports.items():
            runs[name].append(_run(port, n_clients, n_rounds, seed=k))
    each = {name: _summary(found) for name, found in runs.items()}
    quicker = None
    if OURS in each and THEIRS in each and each[THEIRS]["per_s"]:
        quicker = each[OURS]["per_s"] / each[THEIRS]["per_s"]
    return {"n_clients": n_clients, "each": each, "times_quicker": quicker}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = sum(run["seconds"] for run in runs)
    served = [one for run in runs for one in run["served_s"]]
    return {
        **{key: value for key, value in figures(served).items() if key != "per_s"},
        "per_s": len(served) / seconds,
        "n_refused": sum(run["n_refused"] for run in runs),
        "n_missing": sum(run["n_missing"] for run in runs),
    }


def _run(port: int, n_clients: int, n_rounds: int, *, seed: int) -> dict[str, Any]:
    with Line(port) as line:
        session = studies.begin(line, _N_VARIABLES)
        gate = threading.Barrier(n_clients + 1)

        def work(k: int) -> tuple[list[Answer], int]:
            with Line(port) as own:
                own.call("GET", f"{session}/state")
                gate.wait()
                return _client(own, session, n_rounds, seed=1000 * seed + k)

        with ThreadPoolExecutor(n_clients) as pool:
            working = [pool.submit(work, k) for k in range(n_clients)]
            gate.wait()
            begun = time.perf_counter()
            ended = [one.result() for one in working]
            seconds = time.perf_counter() - begun
        n_rows = line.must("GET", f"{session}/state").body["n_experiments"]
    answers = [answer for found, _ in ended for answer in found]
    served = [answer.seconds for answer in answers if answer.status < 300]
    return {
        "seconds": seconds,
        "served_s": served,
        "n_refused": len(answers) - len(served),
        "n_missing": abs(sum(n for _, n in ended) - n_rows),
    }


def _client(line: Line, session: str, n_rounds: int, *, seed: int) -> tuple[list[Answer], int]:
    """Stage, start, look and complete; return the answers, and how many completions were acknowledged."""
    answers: list[Answer] = []
    n_completed = 0
    for point in studies.points(n_rounds, _N_VARIABLES, seed=seed):
        staged = line.call("POST", f"{session}/experiments/staged/batch", {"experiments": [point]})
        answers.append(staged)
        if staged.status >= 300:
            continue
        item = f"{session}/experiments/queue/{staged.body['ids'][0]}"
        answers.append(line.call("POST", f"{item}/start"))
        answers.append(line.call("GET", f"{session}/state"))
        completed = line.call("POST", f"{item}/complete", {"outputs": [studies.value(point)]})
        answers.append(completed)
        n_completed += completed.status < 300
    return answers, n_completed
