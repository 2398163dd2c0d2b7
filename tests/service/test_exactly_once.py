"""Many clients at once, on a server that is killed: each experiment is done once, and nothing acknowledged is lost."""

from __future__ import annotations

import random
import time

import pytest

from tests.service.counting_clients import Client, in_ledger, value_of
from tests.service.serving import serving

LIMIT_S = 300.0


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "root") as running:
        yield running


def stage(server, n):
    """Begin a session with ``n`` experiments staged; return its id and their inputs by id."""
    session = server.call("POST", "/sessions", {"name": "counted"})["session_id"]
    for name, most in (("x", 1.0), ("y", 10000.0)):
        variable = {"name": name, "type": "real", "min": 0.0, "max": most}
        server.call("POST", f"/sessions/{session}/variables", variable)
    points = [{"x": 0.5, "y": float(k)} for k in range(n)]
    body = {"experiments": points, "reason": "counted"}
    said = server.call("POST", f"/sessions/{session}/experiments/staged/batch", body)
    return session, dict(zip(said["ids"], points, strict=True))


def work(server, session, folder, *, n_clients=8, seed=0, kills=()):
    """Let clients work until nothing is left; kill the server where so many are completed; return the clients."""
    folder.mkdir()
    clients = [Client(f"client-{k}", server.port, session, folder, seed) for k in range(n_clients)]
    for client in clients:
        client.start()
    until = time.monotonic() + LIMIT_S
    for n_completed in kills:
        while sum(len(client.tally.completed) for client in clients) < n_completed:
            assert time.monotonic() < until
            assert any(client.is_alive() for client in clients), [client.error for client in clients]
            time.sleep(0.001)
        server.kill()
        server.start()
    for client in clients:
        client.join(max(1.0, until - time.monotonic()))
    assert [client.error for client in clients if client.error] == []
    assert not any(client.is_alive() for client in clients)
    return clients


def check(server, session, points, clients):
    """Compare the clients' own tallies with the ledger's file."""
    claimed = [key for client in clients for key in client.tally.claimed]
    completed = [item for client in clients for item in client.tally.completed.items()]
    held, n_others = in_ledger(server.root / session / "campaign.db")
    state = server.call("GET", f"/sessions/{session}/state")

    assert sorted(claimed) == sorted(f"{name}.1" for name in points)
    assert dict(completed) == {name: value_of(inputs) for name, inputs in points.items()}
    assert len(completed) == len(points)
    assert held == {name: ["completed", 1, [value_of(inputs)]] for name, inputs in points.items()}
    assert n_others == 0
    assert state["n_experiments"] == len(points)


@pytest.mark.fault(16)
def test_eight_clients_do_each_experiment_once_though_the_server_is_killed(server, tmp_path, figures):
    session, points = stage(server, 200)

    clients = work(server, session, tmp_path / "tallies", kills=[60])

    check(server, session, points, clients)
    figures(experiments=200, server_kills=1, repeated=sum(client.tally.n_repeated for client in clients))


@pytest.mark.fault(16)
def test_what_is_staged_and_claimed_survives_a_kill(server):
    session, points = stage(server, 5)
    staged = f"/sessions/{session}/experiments/staged"
    held = server.call("POST", f"{staged}/claim", {"n": 2, "worker": "w", "lease_s": 600})["experiments"]
    before = server.call("GET", staged)

    server.kill()
    server.start()

    after = server.call("GET", staged)
    mine = held[0]
    beat = {"worker": "w", "attempt": mine["attempt"]}
    assert after == before
    assert after["n_staged"] == 3
    assert set(after["ids"]) == set(points) - {one["id"] for one in held}
    assert server.call("POST", f"{staged}/{mine['id']}/heartbeat", beat)["id"] == mine["id"]


@pytest.mark.fault(16)
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("round_", range(10))
def test_a_thousand_experiments_are_each_done_once(server, tmp_path, figures, fault_seed, round_):
    """Eight clients, a thousand experiments, the server killed at moments that the seed draws."""
    session, points = stage(server, 1000)
    draw = random.Random(f"{fault_seed} {round_}")
    kills = sorted(draw.sample(range(50, 950), 3))

    clients = work(server, session, tmp_path / "tallies", seed=fault_seed + round_, kills=kills)

    check(server, session, points, clients)
    repeated = sum(client.tally.n_repeated for client in clients)
    figures(experiments=1000, server_kills=len(kills), repeated=repeated)
