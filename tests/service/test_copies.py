"""Sessions as files. What ALchemist's files look like was read off its 0.4.0 server; no text of its own is kept."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest
from fastapi.testclient import TestClient

from alchemy_async.ledger.copying import TABLES, snapshot
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

P = "/api/v1"


@pytest.fixture
def client(tmp_path):
    service = make_service(ServiceSettings(root=tmp_path))
    yield TestClient(create_app(service), base_url="http://127.0.0.1:8000")  # not entered: nothing runs beside it
    service.close()


@pytest.fixture
def at(client):
    """A session in which all that a ledger can hold has happened."""
    found = f"{P}/sessions/" + client.post(f"{P}/sessions", json={"name": "Flow é", "tags": ["t"]}).json()["session_id"]
    for variable in (
        {"name": "T", "type": "real", "min": 300, "max": 400, "unit": "K", "changes": "hard"},
        {"name": "n", "type": "integer", "min": 1, "max": 8},
        {"name": "c", "type": "categorical", "categories": ["Pt", "Ni"]},
        {"name": "d", "type": "discrete", "allowed_values": [0.5, 1.0]},
        {"name": "humidity", "min": 0, "max": 100, "role": "observed"},
    ):
        assert client.post(f"{found}/variables", json=variable).status_code == 200
    constraint = {"constraint_type": "inequality", "coefficients": {"T": 1, "n": 2}, "rhs": 410, "name": "oven"}
    assert client.post(f"{found}/constraints", json=constraint).status_code == 200
    client.put(f"{found}/objective-metadata", json={"metadata": {"Output": {"label": "Yield"}}})
    points = [{"T": 300 + 7.3 * i, "n": 1 + i, "c": "Pt" if i % 2 else "Ni", "d": 1.0} for i in range(6)]
    assert client.post(f"{found}/experiments/staged/batch", json={"experiments": points, "reason": "first"}).is_success
    taken = client.post(f"{found}/experiments/staged/claim", json={"n": 4, "worker": "w1", "lease_s": 60}).json()
    ids = [one["id"] for one in taken["experiments"]]
    done = {"values": {"Output": 1.25}, "noises": {"Output": 0.02}, "worker": "w1"}
    assert client.post(f"{found}/experiments/staged/{ids[0]}/complete", json=done).is_success
    assert client.post(f"{found}/experiments/staged/{ids[1]}/fail", json={"message": "leak", "worker": "w1"}).is_success
    released = client.post(f"{found}/experiments/staged/{ids[2]}/release", json={"worker": "w1"})
    assert released.is_success
    row = {"inputs": {**points[0], "humidity": 55.5}, "output": 2.5, "reason": "by hand", "iteration": 7}
    assert client.post(f"{found}/experiments", json=row).is_success
    return found


def exported(client, at):
    answer = client.get(f"{at}/export")
    assert answer.status_code == 200
    return answer.json()


def brought(client, document, how="import"):
    text = document if isinstance(document, str) else json.dumps(document)
    return client.post(f"{P}/sessions/{how}", files={"file": ("s.json", text)})


def places(answer):
    assert answer.status_code == 422, answer.text
    return [tuple(one["loc"]) for one in answer.json()["errors"]]


def tables(tmp_path, at):
    with snapshot(tmp_path / at.rsplit("/", 1)[-1] / "campaign.db") as ledger:
        return {table: list(map(json.loads, ledger.lines(table))) for table in TABLES} | {"tally": ledger.tally()}


def test_an_exported_session_has_the_keys_that_alchemist_reads(client, at):
    document = exported(client, at)

    assert document["version"] == "1.1.0"
    assert document["metadata"]["name"] == "Flow é"
    assert [one["name"] for one in document["search_space"]["variables"]] == ["T", "n", "c", "d", "humidity"]
    assert document["search_space"]["constraints"] == [
        {"type": "inequality", "coefficients": {"T": 1.0, "n": 2.0}, "rhs": 410.0, "name": "oven"}
    ]
    rows = document["experiments"]["data"]
    assert document["experiments"]["n_total"] == len(rows) == 2
    assert rows[0]["Noise"] == 0.02
    assert (rows[1]["Output"], rows[1]["Reason"], rows[1]["Iteration"], rows[1]["humidity"]) == (
        2.5,
        "by hand",
        7,
        55.5,
    )
    assert rows == client.get(f"{at}/experiments").json()["experiments"]
    assert [one["status"] for one in document["staged_experiments"]] == ["pending", "running", "pending", "pending"]
    assert document["objective_metadata"] == {"Output": {"label": "Yield"}}
    assert len(document["provenance"]) == 2
    kinds = {one["entry_type"] for one in document["audit_log"]["entries"]}
    assert {"study_changed", "objective_label_changed"} <= kinds
    assert set(document["audit_log"]["entries"][0]) == {"timestamp", "entry_type", "parameters", "hash", "notes"}


def test_a_session_comes_back_whole_but_for_who_was_running_what(client, at, tmp_path):
    answer = brought(client, exported(client, at))

    other = f"{P}/sessions/{answer.json()['session_id']}"
    assert answer.status_code == 201
    assert answer.json()["left_out"] == []
    before, after = tables(tmp_path, at), tables(tmp_path, other)
    for table in ("points", "outcomes", "corrections", "asks"):
        assert after[table] == before[table], table
    assert after["events"][:-1] == before["events"]
    assert after["events"][-1]["kind"] == "imported"
    assert after["tally"]["starts"] == before["tally"]["starts"]
    assert after["tally"]["running"] == 0
    assert after["tally"]["interrupted"] == before["tally"]["running"] == 1
    for path in ("variables", "constraints", "objective-metadata", "experiments", "experiments/summary"):
        assert client.get(f"{other}/{path}").json() == client.get(f"{at}/{path}").json(), path
    names = ("name", "tags", "created_at")
    said, mine = (client.get(f"{one}/metadata").json() for one in (other, at))
    assert [said[name] for name in names] == [mine[name] for name in names]


def test_a_session_that_came_back_goes_on_by_itself_as_another_campaign(client, at, tmp_path):
    other = f"{P}/sessions/{brought(client, exported(client, at)).json()['session_id']}"

    staged = client.get(f"{other}/experiments/staged").json()
    done = client.post(f"{other}/experiments/staged/{staged['ids'][0]}/complete", json={"values": {"Output": 9.0}})

    assert done.status_code == 200
    assert client.get(f"{other}/state").json()["n_experiments"] == 3
    assert client.get(f"{at}/state").json()["n_experiments"] == 2
    campaigns = {json.loads(client.get(f"{one}/export").text)["alchemy_async"]["campaign"] for one in (at, other)}
    assert len(campaigns) == 2


def test_what_was_imported_can_be_exported_and_imported_again(client, at):
    once = f"{P}/sessions/{brought(client, exported(client, at)).json()['session_id']}"
    twice = brought(client, exported(client, once), how="upload")

    other = f"{P}/sessions/{twice.json()['session_id']}"
    assert exported(client, other)["experiments"] == exported(client, at)["experiments"]


def test_nothing_that_names_code_or_a_place_leaves_with_a_session(client, tmp_path):
    (tmp_path / "amide").mkdir()
    (tmp_path / "amide" / "campaign.toml").write_text(
        '[campaign]\nname = "amide"\nledger = "secret-place.db"\n[[parameters]]\nname = "T"\ntype = "integer"\n'
        'bounds = [1, 5]\n[[objectives]]\nname = "y"\ngoal = "minimize"\n[planner]\nstrategy = "my_lab:Planner"\n'
        '[[workers]]\nname = "w"\ndriver = "my_lab:Reactor"\n[[constraints]]\nfunction = "my_lab:is_possible"\n'
    )

    text = client.get(f"{P}/sessions/amide/export").text

    assert "my_lab" not in text
    assert "secret-place" not in text
    assert brought(client, text).status_code == 201


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda own: own["document"].update(planner={"strategy": "my_lab:Planner"}), ("document", "planner")),
        (lambda own: own["document"].update(workers=[{"driver": "os:system"}]), ("document", "workers")),
        (lambda own: own["document"]["constraints"].append({"function": "os:system"}), ("document", "constraints", 1)),
        (lambda own: own["document"]["campaign"].update(ledger="/etc/x.db"), ("document", "campaign")),
        (lambda own: own.update(format=2), ("format",)),
        (lambda own: own["ledger"].update(sqlite_master=[]), ("ledger",)),
        (lambda own: own["ledger"]["experiments"][0].update(id="../../x"), ("ledger", "experiments", 0, "id")),
        (lambda own: own["ledger"]["experiments"][0].update(id="e0099"), ("ledger", "experiments", 0, "id")),
        (lambda own: own["ledger"]["experiments"][0].update(state="done"), ("ledger", "experiments", 0, "state")),
        (lambda own: own["ledger"]["experiments"][0].update(attempt=2), ("ledger", "experiments", 0, "attempt")),
        (
            lambda own: own["ledger"]["experiments"][4]["parameters"].update(T=999),
            ("ledger", "experiments", 4, "parameters", "T"),
        ),
        (
            lambda own: own["ledger"]["experiments"][0]["parameters"].update(x=1),
            ("ledger", "experiments", 0, "parameters", "x"),
        ),
        (lambda own: own["ledger"]["attempts"].pop(0), ("ledger", "experiments", 0, "attempt")),
        (lambda own: own["ledger"]["attempts"][0].update(worker="../w"), ("ledger", "attempts", 0, "worker")),
        (lambda own: own["ledger"]["outcomes"][0].update(measured={}), ("ledger", "outcomes", 0, "measured")),
        (lambda own: own["ledger"]["outcomes"][0]["measured"].update(Output="2"),
         ("ledger", "outcomes", 0, "measured", "Output")),
        (lambda own: own["ledger"]["outcomes"][0].update(finished_at="now"), ("ledger", "outcomes", 0, "finished_at")),
        (lambda own: own["ledger"]["outcomes"].pop(0), ("ledger", "outcomes")),
        (lambda own: own["ledger"]["events"][3].update(seq=1), ("ledger",)),
        (lambda own: own["ledger"]["points"][0].update(experiment=5), ("ledger", "points", 0, "experiment")),
        (lambda own: own["labels"].update(driver="os:system"), ("labels", "driver")),
    ],
)  # fmt: skip
def test_a_file_that_was_tampered_with_is_refused_whole_with_the_place(client, at, tmp_path, change, place):
    document = exported(client, at)
    change(document["alchemy_async"])

    answer = brought(client, document)

    assert ("body", "file", "alchemy_async", *place) in places(answer)
    assert client.get(f"{P}/sessions").json()["n_sessions"] == 1
    assert not list(tmp_path.glob(".new-*"))


@pytest.mark.parametrize("content", ["nope", "", '{"metadata": NaN}', '{"a": 1, "a": 2}', '{"a": 1e999}'])
def test_a_file_that_is_no_json_is_refused_as_alchemist_does(client, content):
    assert brought(client, content).status_code == 400


def test_an_empty_object_makes_an_empty_session(client):
    answer = brought(client, {})

    assert answer.status_code == 201
    assert client.get(f"{P}/sessions/{answer.json()['session_id']}/state").json()["n_variables"] == 0


def test_a_file_without_the_file_is_refused(client):
    answer = client.post(f"{P}/sessions/import", json={"a": 1})

    assert answer.status_code == 422


# -- ALchemist's files -----------------------------------------------------


def theirs():
    return {
        "version": "1.1.0",
        "metadata": {
            "session_id": "0b94f3a2", "name": "Theirs", "created_at": "2026-01-02T03:04:05.000006",
            "last_modified": "2026-01-02T03:04:05.000006", "description": "", "author": "A", "tags": [],
        },
        "audit_log": {
            "entries": [
                {"timestamp": "2026-01-02T03:04:05", "entry_type": "data_locked", "parameters": {"n_experiments": 1},
                 "hash": "2aeb444437e0b4b1", "notes": "first batch"},
                {"timestamp": "2026-01-02T03:04:06", "entry_type": "experiment_completed", "parameters": {},
                 "hash": "2aeb444437e0b4b2", "notes": ""},
            ]
        },
        "search_space": {
            "variables": [
                {"name": "T", "type": "real", "min": 0.0, "max": 10.0, "unit": None, "description": None},
                {"name": "c", "type": "categorical", "unit": None, "description": None, "values": ["A", "B"]},
                {"name": "w", "type": "real", "role": "observed"},
            ],
            "derived_variables": [],
            "constraints": [{"type": "inequality", "coefficients": {"T": 1.0}, "rhs": 9.0, "name": "constraint_0"}],
        },
        "experiments": {
            "data": [
                {"T": 1.5, "c": "A", "w": 3, "Output": 1.0, "Noise": 0.01, "Iteration": 0, "Reason": "Manual",
                 "ProvenanceId": "7a0a42f8"},
                {"T": 11.0, "c": "B", "w": 4.5, "Output": 2, "Noise": None, "Iteration": 1, "Reason": "qEI",
                 "ProvenanceId": "f6e990bd"},
            ],
            "n_total": 2,
            "target_columns": ["Output"],
        },
        "staged_experiments": [
            {"id": "1", "inputs": {"T": 1.5, "c": "A"}, "reason": None, "status": "done", "output": 1.0},
            {"id": "2", "inputs": {"T": 2.5, "c": "A"}, "reason": "why", "status": "pending"},
            {"id": "3", "inputs": {"T": 3.5, "c": "B"}, "reason": None, "status": "running"},
            {"id": "4", "inputs": {"T": 4.5, "c": "B"}, "reason": None, "status": "failed", "error": "leak"},
        ],
        "outcome_constraints": [],
        "objective_metadata": {"Output": {"label": "Yield", "unit": "%"}},
        "control": {"requested": "run", "reported": "idle"},
        "last_suggestions": [],
        "provenance": [],
        "config": {"random_state": 42, "verbose": True, "auto_train": False, "auto_train_threshold": 5},
    }  # fmt: skip


def test_a_file_of_alchemists_becomes_a_session_with_its_rows_and_its_queue(client):
    answer = brought(client, theirs())

    at = f"{P}/sessions/{answer.json()['session_id']}"
    assert answer.json()["left_out"] == ["1 failed experiments of the queue: only what was measured is taken over"]
    rows = client.get(f"{at}/experiments").json()["experiments"]
    assert [(row["T"], row["w"], row["Output"], row["Noise"]) for row in rows] == [
        (1.5, 3.0, 1.0, 0.01),
        (11.0, 4.5, 2.0, None),
    ]
    assert [(row["Iteration"], row["Reason"]) for row in rows] == [(0, "Manual"), (1, "qEI")]
    staged = client.get(f"{at}/experiments/staged").json()
    assert [one["T"] for one in staged["experiments"]] == [2.5, 3.5]
    assert client.get(f"{at}/metadata").json()["created_at"] == "2026-01-02T03:04:05.000006"
    assert client.get(f"{at}/variables").json()["variables"][2]["bounds"] == [3.0, 4.5]
    assert client.get(f"{at}/constraints").json()["constraints"][0]["name"] == "constraint_0"
    assert client.get(f"{at}/objective-metadata").json()["metadata"]["Output"]["label"] == "Yield"
    locked = client.get(f"{at}/audit", params={"entry_type": "data_locked"}).json()["entries"]
    assert [one["notes"] for one in locked] == ["first batch"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["search_space"]["variables"][0].update(max=-1), ("search_space", "variables", 0, "max")),
        (lambda d: d["experiments"]["data"][0].update(zz=1), ("experiments", "data", 0, "zz")),
        (lambda d: d["experiments"]["data"][0].pop("c"), ("experiments", "data", 0, "c")),
        (lambda d: d["search_space"]["constraints"][0].update(coefficients={"z": 1}),
         ("search_space", "constraints", 0, "coefficients", "z")),
        (lambda d: d["experiments"]["data"][1].update(T="hot"), ("experiments", "data", 1, "T")),
        (lambda d: d["experiments"]["data"][1].update(c="Z"), ("experiments", "data", 1, "c")),
        (lambda d: d["experiments"]["data"][1].pop("Output"), ("experiments", "data", 1, "Output")),
        (lambda d: d["experiments"]["data"][0].update(Noise=-1), ("experiments", "data", 0, "Noise")),
        (lambda d: d["experiments"]["data"][0].update(Iteration=1.5), ("experiments", "data", 0, "Iteration")),
        (lambda d: d["staged_experiments"][1]["inputs"].update(T=99), ("staged_experiments", 1, "inputs", "T")),
        (lambda d: d["metadata"].update(name=7), ("metadata", "name")),
        (lambda d: d.update(experiments=[]), ("experiments",)),
        (lambda d: d["experiments"].update(data={}), ("experiments", "data")),
        (lambda d: d["experiments"].update(target_columns=[7]), ("experiments", "target_columns", 0)),
        (lambda d: d.update(staged_experiments=["x"]), ("staged_experiments", 0)),
        (lambda d: d["audit_log"]["entries"].append(7), ("audit_log", "entries", 2)),
    ],
)  # fmt: skip
def test_a_file_of_alchemists_that_does_not_fit_is_refused_whole_with_the_place(client, change, place):
    document = theirs()
    change(document)

    answer = brought(client, document)

    assert ("body", "file", *place) in places(answer)
    assert client.get(f"{P}/sessions").json()["n_sessions"] == 0


# -- downloads and backups -------------------------------------------------


def test_a_downloaded_session_is_named_after_itself_on_any_machine(client, at):
    answer = client.get(f"{at}/download")

    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Flow.json\"; filename*=UTF-8''Flow%20%C3%A9.json"
    )
    assert answer.json()["experiments"] == exported(client, at)["experiments"]


def test_an_export_is_of_one_moment_and_holds_up_nobody(client, at, tmp_path):
    service = client.app.state.service
    session = service.sessions.session(at.rsplit("/", 1)[-1])
    from alchemy_async.service.transfer.exporting import export

    pieces = export(session)
    head = next(pieces) + next(pieces)
    row = {"inputs": {"T": 301, "n": 1, "c": "Pt", "d": 1.0}, "output": 3.5}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.post(f"{at}/experiments", json=row)))
    thread.start()
    thread.join(timeout=10)

    document = json.loads(head + "".join(pieces))

    assert answers[0].status_code == 200
    assert document["experiments"]["n_total"] == len(document["experiments"]["data"]) == 2
    assert client.get(f"{at}/state").json()["n_experiments"] == 3


def test_a_backup_takes_a_session_back_as_a_session_of_its_own(client, at):
    made = client.post(f"{at}/backup")
    row = {"inputs": {"T": 301, "n": 1, "c": "Pt", "d": 1.0}, "output": 3.5}
    client.post(f"{at}/experiments", json=row)

    (listed,) = client.get(f"{P}/recovery/list").json()["recoveries"]
    session_id = at.rsplit("/", 1)[-1]
    restored = client.post(f"{P}/recovery/{session_id}/restore")

    assert made.json() == {"message": "Recovery backup created"}
    assert (listed["session_id"], listed["session_name"], listed["n_experiments"]) == (session_id, "Flow é", 2)
    assert not listed["file_path"].startswith("/")
    other = f"{P}/sessions/{restored.json()['session_id']}"
    assert restored.status_code == 201
    state = client.get(f"{other}/state").json()
    assert (state["n_experiments"], state["n_running"], state["n_interrupted"]) == (2, 0, 1)
    assert client.get(f"{at}/state").json()["n_experiments"] == 3
    campaigns = {exported(client, one)["alchemy_async"]["campaign"] for one in (at, other)}
    assert len(campaigns) == 2
    again = client.post(f"{P}/recovery/{session_id}/restore")
    assert again.status_code == 404
    (listed,) = client.get(f"{P}/recovery/list").json()["recoveries"]
    assert listed["session_id"] == restored.json()["session_id"]


def test_a_backup_of_a_persons_folder_has_his_modules_and_all_of_his_file(client, tmp_path):
    (tmp_path / "amide").mkdir()
    text = (
        '[campaign]\nname = "amide" # mine\nledger = "elsewhere.db"\n[[parameters]]\nname = "T"\ntype = "integer"\n'
        'bounds = [1, 5]\n[[objectives]]\nname = "y"\ngoal = "minimize"\n[[constraints]]\nfunction = "my_lab_b:fits"\n'
    )
    (tmp_path / "amide" / "campaign.toml").write_text(text)
    (tmp_path / "amide" / "my_lab_b.py").write_text("def fits(T):\n    return T < 4\n")
    client.post(f"{P}/sessions/amide/backup")

    restored = client.post(f"{P}/recovery/amide/restore").json()["session_id"]

    staged = [
        client.post(f"{P}/sessions/{restored}/experiments/staged", json={"inputs": {"T": t}}).status_code
        for t in (3, 4)
    ]
    assert staged == [200, 422]
    kept = (tmp_path / restored / "campaign.toml").read_text()
    assert "# mine" in kept
    assert "elsewhere" not in kept
    assert (tmp_path / restored / "campaign.db").is_file()


def test_backups_are_cleared_one_by_one_or_by_their_age(client, at):
    for _ in range(2):
        client.post(f"{at}/backup")
    assert client.get(f"{P}/recovery/list").json()["count"] == 1

    assert client.delete(f"{P}/recovery/cleanup").json()["n_deleted"] == 0
    assert client.delete(f"{at}/backup").json() == {"message": "Recovery backup cleared", "deleted": True}
    assert client.delete(f"{at}/backup").json()["deleted"] is False
    client.post(f"{at}/backup")
    assert client.delete(f"{P}/recovery/cleanup", params={"max_age_hours": 0}).json()["n_deleted"] == 1
    assert client.get(f"{P}/recovery/list").json() == {"recoveries": [], "count": 0}


def test_the_backup_of_a_deleted_session_can_still_be_restored(client, at):
    client.post(f"{at}/backup")
    client.delete(at, params={"force": True})

    assert client.post(f"{P}/recovery/{at.rsplit('/', 1)[-1]}/restore").status_code == 201


@pytest.mark.parametrize("name", ["zz", "..", "%2e%2e"])
def test_a_backup_that_there_is_not_can_not_be_restored(client, name):
    assert client.post(f"{P}/recovery/{name}/restore").status_code in (404, 405)
    assert client.delete(f"{P}/sessions/zz/backup").json()["deleted"] is False


def test_the_ledger_of_an_imported_session_is_whole_to_sqlite(client, at, tmp_path):
    other = brought(client, exported(client, at)).json()["session_id"]

    with sqlite3.connect(tmp_path / other / "campaign.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        counted = dict(connection.execute("SELECT state, count(*) FROM experiments GROUP BY state").fetchall())
        tallied = dict(connection.execute("SELECT name, n FROM tallies WHERE n > 0 AND name <> 'starts'").fetchall())
        seen = dict(connection.execute("SELECT name, n FROM counters").fetchall())
    connection.close()
    assert counted == tallied
    assert seen["observations"] == 2
