from __future__ import annotations

import pytest

AUDIT = "/audit"


def types(api, **query):
    return [entry["entry_type"] for entry in api.did("GET", AUDIT, params=query)["entries"]]


def test_the_trail_has_what_was_measured_and_decided_and_not_the_traffic_of_the_queue(api):
    api.stage(1.0)
    api.claim()
    api.did("POST", "/experiments/staged/e0001/complete", {"output": 2.5})
    api.did("PATCH", "/experiments/e0001/observation", {"outlier": True, "why": "clogged"})
    api.did("POST", f"{AUDIT}/event", {"entry_type": "column_changed"})

    assert types(api) == ["created", "experiment_completed", "observation_corrected", "column_changed"]


def test_entries_of_one_type_can_be_asked_for(api):
    api.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 1.0})
    api.did("POST", f"{AUDIT}/event", {"entry_type": "mine", "parameters": {"x": 1}, "notes": "n"})

    assert types(api, entry_type="mine") == ["mine"]
    assert types(api, entry_type="experiment_completed") == ["experiment_completed"]
    assert types(api, entry_type="nothing of this kind") == []


def test_the_trail_is_read_in_pages(api):
    for i in range(3):
        api.did("POST", f"{AUDIT}/event", {"entry_type": f"e{i}"})

    first = api.did("GET", AUDIT, params={"limit": 2})
    second = api.did("GET", AUDIT, params={"limit": 5, "after": first["next"]})

    assert [entry["entry_type"] for entry in first["entries"] + second["entries"]] == ["created", "e0", "e1", "e2"]
    assert second["next"] is None


def test_an_event_is_kept_with_a_hash_of_what_it_says(api):
    entry = api.did("POST", f"{AUDIT}/event", {"entry_type": "mine", "parameters": {"x": 1}, "notes": "hey"})["entry"]

    assert (entry["entry_type"], entry["parameters"], entry["notes"]) == ("mine", {"x": 1}, "hey")
    assert (entry["source"], len(entry["hash"])) == ("client", 16)
    assert api.did("GET", AUDIT)["entries"][-1] == entry


def test_what_a_client_says_does_not_pass_for_what_the_ledger_says(api):
    api.did("POST", f"{AUDIT}/event", {"entry_type": "experiment_completed", "parameters": {"id": "e0001"}})
    api.did("POST", f"{AUDIT}/event", {"entry_type": "config_changed", "parameters": {"component": "model"}})

    assert [entry["source"] for entry in api.did("GET", AUDIT)["entries"]] == ["ledger", "client", "client"]
    assert api.did("GET", f"{AUDIT}/config-changes")["changes"] == []


def test_a_decision_about_the_data_has_a_hash_that_differs_once_they_do(api):
    def lock():
        return api.did("POST", f"{AUDIT}/lock", {"lock_type": "data", "notes": "n"})

    api.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 1.0})
    first, again = lock(), lock()
    api.did("PATCH", "/experiments/e0001/observation", {"output": 1.1, "why": "x"})
    other = lock()

    hashes = [one["entry"]["parameters"]["data_hash"] for one in (first, again, other)]
    assert (first["success"], first["message"]) == (True, "Data decision locked successfully")
    assert (first["entry"]["entry_type"], first["entry"]["parameters"]["n_experiments"]) == ("data_locked", 1)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_decision_about_the_next_experiments_needs_all_that_it_says(api):
    short = api.post(f"{AUDIT}/lock", {"lock_type": "acquisition"})
    whole = api.did(
        "POST",
        f"{AUDIT}/lock",
        {"lock_type": "acquisition", "strategy": "EI", "parameters": {"xi": 0.1}, "suggestions": [{"T": 1, "c": "A"}]},
    )

    assert short.status_code == 400
    assert whole["entry"]["parameters"] == {
        "strategy": "EI", "parameters": {"xi": 0.1}, "suggestions": [{"T": 1, "c": "A"}], "iteration": 0,
    }  # fmt: skip


def test_without_a_model_there_is_no_decision_about_one(api):
    answer = api.post(f"{AUDIT}/lock", {"lock_type": "model"})

    assert (answer.status_code, answer.json()["error_type"]) == (400, "NoModelError")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("event", {"entry_type": ""}),
        ("event", {}),
        ("event", {"entry_type": "x", "parameters": {"a": "y" * 70_000}}),
        ("lock", {"lock_type": "wrong"}),
        ("lock", {}),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(api, path, body):
    assert api.post(f"{AUDIT}/{path}", body).status_code == 422
    assert types(api) == ["created"]


def test_changes_of_configuration_are_listed(api):
    with api.desk.turn() as turn:
        turn.change.note("config_changed", component="model", old={}, new={"backend": "sklearn"}, iteration=0)

    (change,) = api.did("GET", f"{AUDIT}/config-changes")["changes"]
    assert (change["component"], change["old"], change["new"]) == ("model", {}, {"backend": "sklearn"})


def test_the_document_for_people_has_space_data_and_decisions(api):
    api.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 2.5, "reason": "a|b"})
    api.did("POST", "/experiments", {"inputs": {"T": 2.0, "c": "A"}, "output": 77.7})
    api.did("PATCH", "/experiments/e0002/observation", {"outlier": True, "why": "clogged"})
    api.did("POST", f"{AUDIT}/lock", {"lock_type": "data", "notes": "# so be it"})

    answer = api.get(f"{AUDIT}/export")

    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit_log_s1.md"'
    assert "- **T** (continuous): a number from 0 to 10" in answer.text
    assert "| 0 | a\\|b | 1.0 | A | 2.5 |" in answer.text
    assert "| 77.7 |" not in answer.text
    assert "### data\\_locked" in answer.text
    assert "\\# so be it" in answer.text
