from __future__ import annotations

import gc
import json
import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from alchemy_async import locks
from alchemy_async.clock import SimulatedClock
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.definition.variables import RealVariable
from alchemy_async.service.problems import InvalidError, SessionNotFoundError, TooMuchError, UnavailableError
from alchemy_async.service.server.app import create_app
from alchemy_async.service.sessions import changing, overview
from alchemy_async.service.sessions.sessions import Sessions
from alchemy_async.service.staged.staging import Wanted, stage

P = "/api/v1"


@pytest.fixture
def client(tmp_path):
    service = make_service(ServiceSettings(root=tmp_path))
    yield TestClient(create_app(service), base_url="http://127.0.0.1:8000")  # not entered: nothing runs beside it
    service.close()


@pytest.fixture
def sessions(tmp_path):
    found = Sessions(tmp_path, SimulatedClock(), most_open=2)
    yield found
    found.close()


def begin(client, **said):
    answer = client.post(f"{P}/sessions", json=said)
    assert answer.status_code == 201
    return f"{P}/sessions/{answer.json()['session_id']}"


def with_rows(client, *outputs):
    at = begin(client, name="Rows")
    client.post(f"{at}/variables", json={"name": "x", "min": 0, "max": 10})
    for i, output in enumerate(outputs):
        client.post(f"{at}/experiments/staged", json={"inputs": {"x": i}})
        client.post(f"{at}/experiments/staged/complete", json={"outputs": [output]})
    return at


# -- over REST -------------------------------------------------------------


def test_a_session_begins_without_a_body_and_says_its_id(client):
    answer = client.post(f"{P}/sessions")

    assert answer.status_code == 201
    assert set(answer.json()) == {"session_id", "created_at", "expires_at"}
    at = f"{P}/sessions/{answer.json()['session_id']}"
    assert client.get(f"{at}/metadata").json()["name"] == "Untitled Session"


def test_what_is_said_of_a_session_is_kept_and_what_is_not_spoken_of_stays(client):
    at = begin(client, name="Amide / flow é", description="d", tags=["a", "b"], author="R")

    answer = client.patch(f"{at}/metadata", json={"tags": [], "description": None, "name": ""})

    found = client.get(f"{at}/metadata").json()
    assert answer.json() == found
    assert {key: found[key] for key in ("name", "description", "tags", "author")} == {
        "name": "", "description": "d", "tags": [], "author": "R",
    }  # fmt: skip
    assert found["last_modified"] > found["created_at"]


def test_a_session_that_is_begun_twice_under_one_key_is_one(client, tmp_path):
    key = {"Idempotency-Key": "night-7"}

    answers = [client.post(f"{P}/sessions", json={"name": "Night"}, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(list(tmp_path.glob("*/campaign.toml"))) == 1
    other = client.post(f"{P}/sessions", json={"name": "Day"}, headers=key)
    assert (other.status_code, other.json()["error_type"]) == (409, "ConflictError")
    assert client.post(f"{P}/sessions", json={"name": "Night"}).json() != answers[0].json()


def test_of_one_request_that_comes_twice_at_once_one_session_is_made(sessions, tmp_path, monkeypatch):
    rename = Path.rename

    def late(path, target):
        monkeypatch.undo()  # the other one comes first
        sessions.create("Night", key="night-7")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)

    found = sessions.create("Night", key="night-7")

    assert sessions.ids() == [found.id]
    assert [path.name for path in tmp_path.iterdir()] == [found.id]


def test_a_session_is_a_campaign_folder_whose_name_is_made_of_letters_and_digits(client, tmp_path):
    at = begin(client, name="../../etc/passwd é")

    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert folder.name == at.rsplit("/", 1)[-1]
    assert 'name = "etc-passwd"' in (folder / "campaign.toml").read_text()
    assert (folder / "campaign.db").is_file()


def test_objectives_may_be_named_when_a_session_begins(client):
    goals = [{"name": "Yield", "goal": "maximize", "unit": "%"}, {"name": "Cost", "goal": "limit", "at_most": 5}]
    at = begin(client, objectives=goals)

    assert client.get(at).json()["target_columns"] == ["Yield", "Cost"]


@pytest.mark.parametrize(
    ("objectives", "place"),
    [
        ([{"name": "Yield", "goal": "more"}], ["body", "objectives", 0, "goal"]),
        ([{"name": "a"}, {"name": "A"}], ["body", "objectives", 1, "name"]),
        ([{"name": "a", "goal": "target"}], ["body", "objectives", 0, "target"]),
        ([{"name": "a", "driver": "os:system"}], ["body", "objectives", 0, "driver"]),
    ],
)
def test_objectives_that_do_not_fit_are_refused_and_no_session_begins(client, tmp_path, objectives, place):
    answer = client.post(f"{P}/sessions", json={"objectives": objectives})

    assert answer.status_code == 422
    assert place in [one["loc"] for one in answer.json()["errors"]]
    assert client.get(f"{P}/sessions").json()["n_sessions"] == 0
    assert not list(tmp_path.glob(".new-*"))


def test_a_session_tells_its_variables_its_data_and_where_it_stands(client):
    at = with_rows(client, 1.0, 3.0)
    client.post(f"{at}/experiments/staged", json={"inputs": {"x": 5}})

    info, state = client.get(at).json(), client.get(f"{at}/state").json()

    assert info["search_space"]["n_variables"] == 1
    assert info["data"]["n_experiments"] == 2
    assert info["data"]["target_stats"]["mean"] == 2.0
    assert info["data"]["feature_names"] == ["x"]
    assert info["model"] is None
    expected = {"n_variables": 1, "n_experiments": 2, "model_trained": False, "n_staged": 1, "n_running": 0}
    assert {key: state[key] for key in expected} == expected


def test_the_cost_of_the_state_does_not_grow_with_the_session(client):
    at = with_rows(client)
    session = client.app.state.service.sessions.session(at.rsplit("/", 1)[-1])

    def n_steps():
        steps = 0

        def count():
            nonlocal steps
            steps += 1

        with session.desk.look() as ledger:
            ledger._db.set_progress_handler(count, 1)
            overview.state(ledger, session.desk.study)
            ledger._db.set_progress_handler(None, 1)
        return steps

    n_empty = n_steps()
    rows = [{"inputs": {"x": i % 10}, "output": 1.0} for i in range(500)]
    assert client.post(f"{at}/experiments/batch", json={"experiments": rows}).status_code == 200

    assert n_steps() <= 2 * n_empty


def test_sessions_are_listed_page_by_page_with_those_that_can_not_be_opened(client, tmp_path):
    names = sorted(begin(client, name=name).rsplit("/", 1)[-1] for name in ("a", "b", "c"))
    (tmp_path / "by-hand").mkdir()
    (tmp_path / "by-hand" / "campaign.toml").write_text("[[")
    (tmp_path / "no-session").mkdir()

    first = client.get(f"{P}/sessions", params={"limit": 2}).json()
    second = client.get(f"{P}/sessions", params={"limit": 2, "after": first["next"]}).json()

    listed = {one["session_id"]: one for one in first["sessions"] + second["sessions"]}
    assert sorted(listed) == sorted([*names, "by-hand"])
    assert second["next"] is None
    assert first["n_sessions"] == 4
    assert "can't be read" in listed["by-hand"]["problem"]
    assert str(tmp_path) not in json.dumps(listed)
    assert {listed[name]["name"] for name in names} == {"a", "b", "c"}


def test_a_folder_that_a_person_made_says_what_its_file_says(client, tmp_path):
    (tmp_path / "amide").mkdir()
    (tmp_path / "amide" / "campaign.toml").write_text(
        '[campaign]\nname = "amide"\ndescription = "First screen"\n[[parameters]]\nname = "T"\ntype = "integer"\n'
        'bounds = [1, 5]\n[[objectives]]\nname = "yield"\ngoal = "minimize"\n'
    )

    found = client.get(f"{P}/sessions/amide").json()

    assert (found["metadata"]["name"], found["metadata"]["description"]) == ("amide", "First screen")
    assert found["target_columns"] == ["yield"]


@pytest.mark.parametrize("name", ["..", "..%2f..%2fetc", ".deleted", "a%00b", "x" * 65, "%2e%2e"])
def test_an_id_that_leads_out_of_the_root_is_no_session(client, name):
    answer = client.get(f"{P}/sessions/{name}/state")

    assert answer.status_code in (404, 422)


@pytest.mark.parametrize("name", ["..", ".deleted", "../outside", "inside/..", "inside/", ""])
def test_a_campaign_folder_that_is_not_right_below_the_root_is_no_session(sessions, tmp_path, name):
    for folder in (tmp_path, tmp_path / ".deleted", tmp_path / "outside", tmp_path / "root" / "inside"):
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "campaign.toml").write_text('[campaign]\nname = "x"\n[[objectives]]\nname = "y"\ngoal = "maximize"\n')
    (tmp_path / "root" / ".deleted").symlink_to(tmp_path / ".deleted")
    below = Sessions(tmp_path / "root", SimulatedClock())

    with pytest.raises(SessionNotFoundError):
        below.session(name)
    assert below.session("inside").desk.study.name == "x"
    below.close()


def test_a_deleted_session_is_gone_and_its_measurements_are_kept(client, tmp_path):
    at = with_rows(client, 1.5)

    first, second = client.delete(at), client.delete(at)

    assert (first.status_code, second.status_code) == (204, 404)
    assert client.get(f"{at}/state").status_code == 404
    (kept,) = (tmp_path / ".deleted").iterdir()
    with sqlite3.connect(kept / "campaign.db") as connection:
        assert connection.execute("SELECT measured FROM outcomes").fetchone()[0] == '{"Output":1.5}'
    connection.close()


def test_a_session_in_which_something_runs_is_deleted_only_by_force(client):
    at = with_rows(client)
    client.post(f"{at}/experiments/staged", json={"inputs": {"x": 5}})
    client.post(f"{at}/experiments/staged/claim", json={"n": 1, "worker": "w1", "lease_s": 30})

    refused = client.delete(at)
    forced = client.delete(at, params={"force": True})

    assert refused.status_code == 409
    assert "force=true" in refused.json()["detail"]
    assert forced.status_code == 204


def test_a_session_that_a_planner_works_on_is_not_deleted(client, tmp_path):
    at = with_rows(client)
    path = planner_lock(tmp_path / at.rsplit("/", 1)[-1] / "campaign.db")

    with locks.hold(path, what="held", mend="end the test"):
        answer = client.delete(at, params={"force": True})

    assert answer.status_code == 409
    assert client.get(f"{at}/state").status_code == 200


def test_saving_is_said_to_be_done_since_it_always_is(client):
    assert client.post(f"{with_rows(client)}/save").json() == {"message": "Session persisted to server storage"}


def test_a_lock_is_a_notice_that_can_be_taken_over_and_whose_token_is_told_once(client, tmp_path):
    at = with_rows(client)
    free = {"locked": False, "locked_by": None, "locked_at": None, "lock_token": None}
    assert client.get(f"{at}/lock").json() == free

    first = client.post(f"{at}/lock", json={"locked_by": "me"}).json()
    second = client.post(f"{at}/lock", json={"locked_by": "other"}).json()

    assert client.get(f"{at}/lock").json() == {**second, "lock_token": None}
    assert client.delete(f"{at}/lock", params={"lock_token": first["lock_token"]}).status_code == 403
    token = second["lock_token"].encode()
    assert not any(token in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert client.delete(f"{at}/lock", params={"lock_token": second["lock_token"]}).json() == free
    client.post(f"{at}/lock", json={"locked_by": "me"})
    assert client.delete(f"{at}/lock").json() == free
    assert client.delete(f"{at}/lock").json() == free


def test_an_extra_field_is_refused_by_name(client):
    answer = client.post(f"{P}/sessions", json={"name": "x", "planner": {"strategy": "my_lab:Planner"}})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "planner"]


# -- many sessions, many threads -------------------------------------------


def test_a_session_that_is_put_away_goes_on_in_the_hands_that_hold_it(sessions):
    first = sessions.create("first")

    others = [sessions.create(name) for name in "abc"]

    assert first not in sessions.opened()
    changing.add_variable(first.desk, RealVariable(name="x", min=0.0, max=1.0))
    assert sessions.session(first.id) is first
    assert len(sessions.opened()) == 2
    assert others[0].id != first.id


def test_a_session_that_nobody_holds_is_closed_when_it_is_put_away(sessions):
    gc.disable()
    try:
        session = sessions.create("first")
        session_id, desk = session.id, weakref.ref(session.desk)
        del session

        for name in "ab":
            sessions.create(name)

        assert desk() is None  # without the collector: there is no cycle that keeps the file open
    finally:
        gc.enable()
    assert sessions.session(session_id).id == session_id


def test_threads_that_use_more_sessions_than_may_be_open_do_not_close_them_on_one_another(sessions):
    made = [sessions.create(f"s{i}").id for i in range(6)]
    for session_id in made:
        changing.add_variable(sessions.session(session_id).desk, RealVariable(name="x", min=0.0, max=1.0))
    errors = []

    def work(session_id):
        try:
            for i in range(15):
                with sessions.session(session_id).desk.turn() as turn:
                    stage(turn, [Wanted({"x": i / 20})], ("inputs",))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
            errors.append(error)

    threads = [threading.Thread(target=work, args=(session_id,)) for session_id in made * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    for session_id in made:
        with sessions.session(session_id).desk.look() as ledger:
            assert ledger.tally()["queued"] == 30


def test_a_session_is_opened_once_however_many_ask_for_it_at_the_same_time(sessions, tmp_path):
    session_id = sessions.create("x").id
    again = Sessions(tmp_path, SimulatedClock())
    found, barrier = [], threading.Barrier(8)

    def ask():
        barrier.wait()
        found.append(again.session(session_id))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(session) for session in found}) == 1
    again.close()


def test_a_server_keeps_no_more_sessions_than_it_may(tmp_path):
    sessions = Sessions(tmp_path, SimulatedClock(), most=2)
    sessions.create("a")
    sessions.create("b")

    with pytest.raises(TooMuchError, match="at most 2 sessions"):
        sessions.create("c")

    sessions.close()


def test_a_session_whose_making_is_broken_off_leaves_nothing(sessions, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Ledger, "create", refuse)

    with pytest.raises(OSError, match="No space"):
        sessions.create("x")

    assert sessions.ids() == []
    assert list(sessions.root.iterdir()) == []


def test_what_a_killed_server_had_begun_to_make_is_swept_away_once_it_is_old(sessions, tmp_path):
    for name, age_s in ((".new-old", 7200), (".new-fresh", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)

    Sessions(tmp_path, SimulatedClock())

    assert sorted(path.name for path in tmp_path.iterdir()) == [".new-fresh"]


def test_a_folder_that_is_taken_away_by_hand_is_no_session_any_more(sessions, tmp_path):
    session = sessions.create("x")
    (session.desk.folder / "campaign.toml").rename(tmp_path / "elsewhere")

    with pytest.raises(SessionNotFoundError):
        sessions.session(session.id)

    assert session not in sessions.opened()


def test_sessions_outlive_the_server(sessions, tmp_path):
    session = sessions.create("x", tags=["a"])
    changing.add_variable(session.desk, RealVariable(name="x", min=0.0, max=1.0))
    with session.desk.turn() as turn:
        stage(turn, [Wanted({"x": 0.5}, reason="why")], ("inputs",))
    sessions.close()

    again = Sessions(tmp_path, SimulatedClock())

    with again.session(session.id).desk.look() as ledger:
        assert [one.reason for one in ledger.waiting()] == ["why"]
        assert overview.metadata(ledger, again.session(session.id).desk.study)["tags"] == ["a"]
    again.close()


def test_what_waits_for_a_deleted_session_is_told_that_it_has_ended(sessions):
    session = sessions.create("x")

    sessions.delete(session.id)

    assert session.feed.is_closed
    with pytest.raises(SessionNotFoundError):
        sessions.session(session.id)


def test_two_sessions_of_one_name_are_two_campaigns(sessions):
    campaigns = set()
    for _ in range(2):
        with sessions.create("same").desk.look() as ledger:
            campaigns.add(ledger.campaign)

    assert len(campaigns) == 2


def test_objectives_given_to_python_are_checked_too(sessions):
    with pytest.raises(InvalidError):
        sessions.create("x", objectives=[{"name": "y", "goal": "up"}])


def test_a_campaign_toml_that_is_no_toml_keeps_its_session_from_being_opened(sessions):
    (sessions.root / "broken").mkdir()
    (sessions.root / "broken" / "campaign.toml").write_text("x = ")

    with pytest.raises(UnavailableError, match="A person has to mend the file"):
        sessions.session("broken")
