"""Control: what is wanted of a session and what goes on in it, in ALchemist's shapes."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from alchemy_async import locks
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app
from tests.worker_pool.conftest import until

SETTINGS = """
[campaign]
name = "test"
[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]
[[objectives]]
name = "yield"
goal = "maximize"
"""
UNTOUCHED = {
    "requested": "run", "requested_at": None, "requested_by": None,
    "reported": "idle", "reported_at": None, "reported_by": None, "detail": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def client(root):
    with TestClient(create_app(make_service(ServiceSettings(root=root)))) as client:
        yield client


@pytest.fixture
def folder(root, tmp_path):
    folder = root / tmp_path.name[-60:]
    folder.mkdir()
    (folder / "campaign.toml").write_text(SETTINGS)
    with locks.hold(folder / "planner.lock", what="the test plans", mend=""):  # so that the server starts no planner
        yield folder


@pytest.fixture
def control(client, folder):
    def control(**body):
        path = f"/api/v1/sessions/{folder.name}/control"
        return client.put(path, json=body) if body else client.get(path)

    return control


@pytest.fixture
def meta(client, folder):
    def meta(key):
        with client.app.state.service.sessions.session(folder.name).desk.look() as ledger:
            return ledger.meta(key)

    return meta


def test_before_anybody_asked_nothing_runs_and_the_shape_is_alchemists(control, meta):
    assert control().json() == UNTOUCHED
    assert meta("wanted") == "running"
    assert meta("suggests") is None


def test_to_run_is_kept_in_the_ledger_with_who_wanted_it_and_when(control, meta):
    said = control(requested="run", requested_by="ada").json()

    assert (said["requested"], said["requested_by"]) == ("run", "ada")
    assert said["requested_at"].endswith("Z")
    assert (meta("wanted"), meta("suggests")) == ("running", "yes")
    assert control().json()["requested_by"] == "ada"


def test_a_pause_is_what_the_ledger_and_its_planner_know(control, meta):
    control(requested="run")

    assert control(requested="pause").json()["requested"] == "pause"
    assert meta("wanted") == "paused"
    until(lambda: control().json()["reported"] == "paused")


def test_where_somebody_plans_by_hand_it_is_said(control):
    control(requested="run")

    until(lambda: control().json()["detail"] is not None)
    assert "by hand" in control().json()["detail"]


def test_what_a_clients_own_loop_reports_stands_beside_what_is_requested(control):
    control(requested="pause", requested_by="ada")

    said = control(reported="running", reported_by="loop", detail="iteration 3").json()

    assert (said["requested"], said["requested_by"]) == ("pause", "ada")
    assert (said["reported"], said["reported_by"], said["detail"]) == ("running", "loop", "iteration 3")


def test_a_change_says_so_in_the_events(client, control, folder):
    control(reported="failed", detail="no power")

    events = client.get(f"/api/v1/sessions/{folder.name}/events").json()["events"]

    assert events[-1]["kind"] == "control"
    assert events[-1]["details"]["detail"] == "no power"


@pytest.mark.parametrize("body", [{"detail": "only"}, {"requested": None}])
def test_neither_requested_nor_reported_is_refused(control, body):
    refused = control(**body)

    assert refused.status_code == 400
    assert "`requested` or `reported`" in refused.json()["detail"]


@pytest.mark.parametrize("body", [{"requested": "zz"}, {"reported": "asleep"}, {"requested": "run", "strange": 1}])
def test_what_is_not_known_is_refused(control, body):
    assert control(**body).status_code == 422


def test_an_unknown_session_has_no_control(client):
    assert client.get("/api/v1/sessions/no-such-session/control").status_code == 404
