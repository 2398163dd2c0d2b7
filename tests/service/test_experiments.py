from __future__ import annotations

import pytest

ADD, BATCH, RECORD = "/experiments", "/experiments/batch", "/experiments/record-batch"
POINT = {"T": 1.0, "c": "A"}


def test_a_measurement_is_a_row_with_the_reason_manual(api):
    answer = api.did("POST", ADD, {"inputs": POINT, "output": 2.5})

    assert answer["message"] == "Experiment added successfully"
    assert (answer["n_experiments"], answer["model_trained"], answer["training_metrics"]) == (1, False, None)
    assert api.rows() == [{**POINT, "Output": 2.5, "Iteration": 0, "Reason": "Manual", "ProvenanceId": "e0001"}]


def test_the_noise_column_is_there_once_any_row_has_one(api):
    api.did("POST", ADD, {"inputs": POINT, "output": 1.0})
    assert "Noise" not in api.rows()[0]

    api.did("POST", ADD, {"inputs": POINT, "output": 1.0, "noise": 0.02})

    assert [row["Noise"] for row in api.rows()] == [None, 0.02]


def test_rows_without_an_iteration_follow_the_largest_one(api):
    rows = [{"inputs": POINT, "output": 1.0, **more} for more in ({}, {"iteration": 7}, {}, {"iteration": 2}, {})]

    api.did("POST", BATCH, {"experiments": rows})

    assert [row["Iteration"] for row in api.rows()] == [0, 7, 8, 2, 9]


def test_a_batch_with_one_bad_row_is_refused_as_a_whole(api):
    rows = [{"inputs": POINT, "output": 1.0}, {"inputs": {"T": 11.0, "c": "A"}, "output": 1.0}]

    answer = api.post(BATCH, {"experiments": rows})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "experiments", 1, "inputs", "T"]
    assert api.rows() == []


def test_a_batch_of_nothing_changes_nothing(api):
    answer = api.did("POST", BATCH, {"experiments": []})

    assert (answer["message"], answer["n_experiments"]) == ("Added 0 experiments successfully", 0)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"inputs": POINT}, ["output"]),
        ({"inputs": POINT, "output": "2.5"}, ["output"]),
        ({"inputs": POINT, "output": True}, ["output"]),
        ({"inputs": POINT, "output": 1.0, "noise": -0.1}, ["noise"]),
        ({"inputs": POINT, "output": {"yield": 1.0}}, ["output", "yield"]),
        ({"inputs": {"T": 1.0}, "output": 1.0}, ["inputs", "c"]),
        ({"inputs": {**POINT, "P": 1}, "output": 1.0}, ["inputs", "P"]),
        ({"inputs": POINT, "output": 1.0, "iteration": 10**20}, ["iteration"]),
        ({"inputs": POINT, "output": 1.0, "reason": 5}, ["reason"]),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_field(api, body, place):
    answer = api.post(ADD, body)

    assert answer.status_code == 422
    assert any(flaw["loc"][1 : 1 + len(place)] == place for flaw in answer.json()["errors"])
    assert api.rows() == []


def test_a_row_repeated_under_its_key_is_added_once(api):
    key = {"Idempotency-Key": "k"}

    answers = [api.did("POST", ADD, {"inputs": POINT, "output": 1.0}, headers=key) for _ in range(2)]

    assert answers[0] == answers[1]
    assert len(api.rows()) == 1


def test_results_of_items_and_of_nothing_staged_are_recorded_together_in_their_order(api):
    api.stage(1.0, 2.0, reason="own")
    entries = [
        {"item_id": "e0002", "inputs": {"T": 2.2, "c": "A"}, "output": 2.0, "noise": 0.1},
        {"inputs": {"T": 5.0, "c": "B"}, "output": 5.0},
        {"item_id": "e0001", "inputs": {"T": 1.1, "c": "A"}, "output": 1.0, "reason": "entry"},
    ]

    answer = api.did("POST", RECORD, {"entries": entries})

    assert (answer["message"], answer["n_added"], answer["n_experiments"]) == ("Recorded 3 results", 3, 3)
    assert answer["completed_item_ids"] == ["e0002", "e0001"]
    assert [(row["T"], row["Output"], row["Reason"], row["Iteration"]) for row in api.rows()] == [
        (2.2, 2.0, "own", 0), (5.0, 5.0, "Manual", 0), (1.1, 1.0, "entry", 0),
    ]  # fmt: skip
    assert api.did("GET", "/experiments/staged")["n_staged"] == 0


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"item_id": "nope", "inputs": POINT, "output": 1.0}, 409),
        ({"item_id": "e0001", "inputs": POINT, "output": 1.0}, 409),
        ({"item_id": "E0002", "inputs": POINT, "output": 1.0}, 409),
        ({"inputs": {"T": 1.0, "c": "Z"}, "output": 1.0}, 422),
    ],
)
def test_one_entry_that_can_not_be_recorded_keeps_all_of_them_out(api, entry, status):
    api.stage(1.0, 2.0)
    api.did("POST", "/experiments/staged/e0001/complete", {"output": 1.0})
    good = {"item_id": "e0002", "inputs": POINT, "output": 1.0}

    answer = api.post(RECORD, {"entries": [good, entry]})

    assert answer.status_code == status
    assert status != 409 or "Nothing was recorded. entry 2: " in answer.json()["detail"]
    assert (len(api.rows()), api.did("GET", "/experiments/staged")["n_staged"]) == (1, 1)


def test_a_list_of_no_entries_is_refused(api):
    assert api.post(RECORD, {"entries": []}).status_code == 422


def test_rows_are_read_in_pages(api):
    api.did("POST", BATCH, {"experiments": [{"inputs": POINT, "output": float(i)} for i in range(5)]})

    first = api.did("GET", ADD, params={"limit": 3})
    second = api.did("GET", ADD, params={"limit": 3, "after": first["next"]})

    assert [row["Output"] for row in first["experiments"] + second["experiments"]] == [0, 1, 2, 3, 4]
    assert (first["n_experiments"], second["n_experiments"], second["next"]) == (5, 5, None)


def test_a_long_list_is_sent_whole(api):
    rows = [{"inputs": POINT, "output": float(i)} for i in range(2500)]
    api.did("POST", BATCH, {"experiments": rows})

    answer = api.did("GET", ADD)

    assert [row["Output"] for row in answer["experiments"]] == [float(i) for i in range(2500)]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"after": -1}, {"limit": "x"}, {"after": 2**70}])
def test_a_page_that_makes_no_sense_is_refused(api, query):
    assert api.get(ADD, params=query).status_code == 422


def test_the_summary_is_that_of_the_values(api):
    for output in (1.0, 2.0, 6.0):
        api.did("POST", ADD, {"inputs": POINT, "output": output})

    answer = api.did("GET", "/experiments/summary")

    stats = {"min": 1.0, "max": 6.0, "mean": 3.0, "std": pytest.approx(7**0.5)}
    assert answer == {
        "n_experiments": 3, "has_data": True, "has_noise": False, "target_stats": stats, "feature_names": ["T", "c"],
    }  # fmt: skip


def test_the_summary_of_nothing_has_no_statistics(api):
    answer = api.did("GET", "/experiments/summary")

    assert answer == {
        "n_experiments": 0, "has_data": False, "has_noise": None, "target_stats": None, "feature_names": None,
    }  # fmt: skip


def test_every_row_says_where_it_comes_from(api):
    api.stage(1.0, reason="qEI")
    api.did("POST", "/experiments/staged/complete", {"outputs": [2.0], "noises": [0.1]})
    api.did("POST", ADD, {"inputs": POINT, "output": 1.0})

    answer = api.did("GET", "/experiments/provenance")

    staged, manual = answer["records"]
    assert answer["n_records"] == 2
    assert (staged["id"], staged["strategy"], staged["suggested"]) == ("e0001", "qEI", POINT)
    assert (staged["delta"], staged["noise"]) == ({"T": 0.0, "c": "unchanged"}, 0.1)
    assert (manual["strategy"], manual["suggested"]) == ("Manual", None)
    assert manual["delta"] == {"T": "no-suggestion", "c": "no-suggestion"}
    assert api.did("GET", "/experiments/provenance/e0001") == staged


def test_a_provenance_that_there_is_not_is_404(api):
    assert api.get("/experiments/provenance/zz").status_code == 404


def test_the_rows_of_a_session_without_variables_are_none(at_hand):
    bare = at_hand("bare", '[campaign]\nname = "bare"\n[[objectives]]\nname = "Output"\ngoal = "maximize"\n')

    assert bare.did("GET", ADD)["experiments"] == []
    assert bare.post(ADD, {"inputs": {}, "output": 1.0}).json()["error_type"] == "NoVariablesError"
