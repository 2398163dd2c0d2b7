from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from alchemy_async.clock import SimulatedClock
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

TWO_VARIABLES = """
[campaign]
name = "study"
durable = false

[[parameters]]
name = "T"
type = "continuous"
bounds = [0, 10]

[[parameters]]
name = "c"
type = "categorical"
options = ["A", "B"]

[[objectives]]
name = "Output"
goal = "maximize"
"""
SECOND_OBJECTIVE = """
[[objectives]]
name = "cost"
goal = "minimize"
"""


class AtHand:
    """A session of a service at hand: requests below its path, and its desk."""

    def __init__(self, service, client, name):
        self.service, self.client, self.name = service, client, name

    @property
    def session(self):
        return self.service.sessions.session(self.name)

    @property
    def desk(self):
        return self.session.desk

    def send(self, method, path, json=None, **more):
        more |= {} if json is None else {"json": json}
        return self.client.request(method, f"/api/v1/sessions/{self.name}{path}", **more)

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, json=None, **more):
        return self.send("POST", path, json, **more)

    def patch(self, path, json):
        return self.send("PATCH", path, json)

    def stage(self, *temperatures, **more):
        """Stage one experiment at each temperature; return their ids."""
        points = [{"T": t, "c": "A"} for t in temperatures]
        return self.did("POST", "/experiments/staged/batch", {"experiments": points, **more})["ids"]

    def claim(self, worker="w-1", **more):
        """Claim one experiment; return what the worker was told of it."""
        (found,) = self.did("POST", "/experiments/staged/claim", {"worker": worker, **more})["experiments"]
        return found

    def did(self, method, path, json=None, **more):
        answer = self.send(method, path, json, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self):
        return self.did("GET", "/experiments")["experiments"]

    def events(self):
        with self.desk.look() as ledger:
            return ledger.events()


@pytest.fixture
def at_hand(tmp_path):
    """Return what makes sessions of one service, whose clock does not move by itself."""
    clock = SimulatedClock()
    service = make_service(ServiceSettings(root=tmp_path / "root"), clock)
    client = TestClient(create_app(service), base_url="http://127.0.0.1:8000")

    def make(name="s1", text=TWO_VARIABLES):
        place = tmp_path / "root" / name
        place.mkdir()
        (place / "campaign.toml").write_text(text)
        return AtHand(service, client, name)

    yield make
    service.close()


@pytest.fixture
def api(at_hand):
    return at_hand()


@pytest.fixture
def two(at_hand):
    """Return a session of two objectives."""
    return at_hand("s2", TWO_VARIABLES + SECOND_OBJECTIVE)
