from __future__ import annotations

import pytest

QUEUE = "/experiments/queue"


def queue(api, *temperatures, **more):
    items = [{"inputs": {"T": t, "c": "A"}, **more} for t in temperatures]
    return api.did("POST", QUEUE, {"items": items})


def test_what_is_queued_is_told_with_the_whole_queue(api):
    queue(api, 1.0)

    answer = queue(api, 2.0, reason="q")

    assert [item["id"] for item in answer["items"]] == ["e0001", "e0002"]
    assert {key: answer[key] for key in ("n_pending", "n_running", "n_done", "n_failed")} == {
        "n_pending": 2, "n_running": 0, "n_done": 0, "n_failed": 0,
    }  # fmt: skip
    item = answer["items"][1]
    assert item["staged_at"].endswith("Z")
    assert {key: item[key] for key in ("inputs", "reason", "status", "output", "noise", "error", "plot")} == {
        "inputs": {"T": 2.0, "c": "A"}, "reason": "q", "status": "pending", "output": None, "noise": None,
        "error": None, "plot": None,
    }  # fmt: skip


def test_one_bad_item_keeps_all_of_them_out_and_is_named(api):
    answer = api.post(QUEUE, {"items": [{"inputs": {"T": 1.0, "c": "A"}}, {"inputs": {"T": 1.0}}]})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "items", 1, "inputs", "c"]
    assert api.did("GET", QUEUE)["items"] == []


def test_the_queue_and_what_is_staged_are_the_same(api):
    queue(api, 1.0)
    api.stage(2.0)

    assert api.did("GET", "/experiments/staged")["ids"] == ["e0001", "e0002"]
    assert api.did("GET", QUEUE)["n_pending"] == 2


def test_an_item_is_started_once_and_is_staged_no_more(api):
    queue(api, 1.0)

    started = api.did("POST", f"{QUEUE}/e0001/start")
    again = api.post(f"{QUEUE}/e0001/start")

    assert (started["status"], again.status_code) == ("running", 409)
    assert started["started_at"]
    assert api.did("GET", "/experiments/staged")["n_staged"] == 0


@pytest.mark.parametrize("is_started", [False, True])
def test_an_item_is_completed_pending_or_running(api, is_started):
    queue(api, 1.0, reason="q")
    if is_started:
        api.did("POST", f"{QUEUE}/e0001/start")

    item = api.did("POST", f"{QUEUE}/e0001/complete", {"outputs": [2.5], "noise": [0.04], "iteration": 3})

    assert (item["status"], item["output"], item["noise"], item["dataset_ref"]) == ("done", 2.5, 0.04, 1)
    assert api.rows() == [
        {"T": 1.0, "c": "A", "Output": 2.5, "Noise": 0.04, "Iteration": 3, "Reason": "q", "ProvenanceId": "e0001"}
    ]


def test_the_actual_inputs_are_those_of_the_row_and_the_item_keeps_its_own(api):
    queue(api, 1.0)

    item = api.did("POST", f"{QUEUE}/e0001/complete", {"outputs": [1.0], "actual_inputs": {"T": 1.7, "c": "B"}})

    assert item["inputs"] == {"T": 1.0, "c": "A"}
    assert api.rows()[0]["T"] == 1.7
    record = api.did("GET", "/experiments/provenance/e0001")
    assert record["delta"] == {"T": 0.7, "c": "A→B"}


def test_what_has_ended_can_not_be_started_completed_failed_or_deleted(api):
    queue(api, 1.0)
    api.did("POST", f"{QUEUE}/e0001/complete", {"outputs": [1.0]})

    answers = [
        api.post(f"{QUEUE}/e0001/start"),
        api.post(f"{QUEUE}/e0001/complete", {"outputs": [2.0]}),
        api.post(f"{QUEUE}/e0001/fail", {"error": "x"}),
        api.send("DELETE", f"{QUEUE}/e0001"),
    ]

    assert [answer.status_code for answer in answers] == [409] * 4


def test_a_failed_item_says_why_and_is_no_row(api):
    queue(api, 1.0)

    item = api.did("POST", f"{QUEUE}/e0001/fail", {"error": "it boiled over"})

    assert (item["status"], item["error"]) == ("failed", "it boiled over")
    assert item["completed_at"]
    assert api.rows() == []


def test_a_deleted_item_is_listed_no_more(api):
    queue(api, 1.0, 2.0)

    answer = api.did("DELETE", f"{QUEUE}/e0001")

    assert [item["id"] for item in answer["items"]] == ["e0002"]


def test_an_item_that_runs_can_not_be_deleted(api):
    queue(api, 1.0)
    api.did("POST", f"{QUEUE}/e0001/start")

    assert api.send("DELETE", f"{QUEUE}/e0001").status_code == 409


def test_purging_lists_what_has_ended_no_more_and_keeps_the_rows(api):
    queue(api, 1.0, 2.0, 3.0)
    api.did("POST", f"{QUEUE}/e0001/complete", {"outputs": [1.0]})
    api.did("POST", f"{QUEUE}/e0002/fail", {"error": "x"})

    purged = api.did("POST", f"{QUEUE}/purge")
    rest = api.did("GET", QUEUE)
    api.did("POST", f"{QUEUE}/e0003/complete", {"outputs": [3.0]})

    assert purged == {"message": "Terminal items purged", "n_purged": 2}
    assert ([item["id"] for item in rest["items"]], rest["n_done"], rest["n_failed"]) == (["e0003"], 0, 0)
    assert api.did("GET", QUEUE)["n_done"] == 1
    assert len(api.rows()) == 2
    assert api.did("GET", f"{QUEUE}/e0001")["status"] == "done"


def test_rows_that_were_never_queued_are_no_items(api):
    api.did("POST", "/experiments", {"inputs": {"T": 1.0, "c": "A"}, "output": 1.0})

    answer = api.did("GET", QUEUE)

    assert (answer["items"], answer["n_done"]) == ([], 0)


@pytest.mark.parametrize(
    ("status", "ids"),
    [("pending", ["e0004"]), ("running", ["e0003"]), ("done", ["e0001"]), ("failed", ["e0002"]), ("nonsense", [])],
)
def test_the_queue_can_be_asked_for_items_of_one_status(api, status, ids):
    queue(api, 1.0, 2.0, 3.0, 4.0)
    api.did("POST", f"{QUEUE}/e0001/complete", {"outputs": [1.0]})
    api.did("POST", f"{QUEUE}/e0002/fail", {"error": "x"})
    api.did("POST", f"{QUEUE}/e0003/start")

    answer = api.did("GET", QUEUE, params={"status": status})

    assert [item["id"] for item in answer["items"]] == ids
    assert [answer[f"n_{one}"] for one in ("pending", "running", "done", "failed")] == [1, 1, 1, 1]


def test_an_item_that_is_offered_again_does_not_show_the_failure_before(api):
    queue(api, 1.0)
    api.claim()
    api.did("POST", "/experiments/staged/e0001/fail", {"retryable": True, "message": "shaky"})

    item = api.did("GET", f"{QUEUE}/e0001")

    assert (item["status"], item["error"], item["completed_at"], item["attempt"]) == ("pending", None, None, 2)


@pytest.mark.parametrize("body", [{"outputs": []}, {"outputs": [1.0, 2.0]}, {"outputs": [1.0], "noise": []}])
def test_another_number_of_outputs_than_one_is_refused(api, body):
    queue(api, 1.0)

    assert api.post(f"{QUEUE}/e0001/complete", body).status_code == 400


@pytest.mark.parametrize(
    "body",
    [{"outputs": ["1"]}, {"outputs": [1.0], "noise": [-1]}, {"outputs": [1.0], "actual_inputs": {"T": 1.0, "c": "Z"}}],
)
def test_values_that_do_not_fit_are_refused_and_the_item_stays(api, body):
    queue(api, 1.0)

    assert api.post(f"{QUEUE}/e0001/complete", body).status_code == 422
    assert api.did("GET", f"{QUEUE}/e0001")["status"] == "pending"


def test_outputs_that_the_client_takes_for_something_else_are_refused(api):
    queue(api, 1.0)
    api.did("PUT", "/objective-metadata", {"metadata": {"Output": {"label": "Yield"}}})

    wrong = api.post(f"{QUEUE}/e0001/complete", {"outputs": [1.0], "expected_objective_label": {"Output": "Purity"}})
    right = api.post(f"{QUEUE}/e0001/complete", {"outputs": [1.0], "expected_objective_label": {"Output": "Yield"}})

    assert (wrong.status_code, right.status_code) == (409, 200)


def test_an_item_that_there_is_not_is_404(api):
    answer = api.get(f"{QUEUE}/nope")

    assert (answer.status_code, "Unknown queue item" in answer.json()["detail"]) == (404, True)


def test_what_a_robot_holds_can_be_completed_by_its_id(api):
    queue(api, 1.0)
    held = api.claim("robot-1")["id"]

    api.did("POST", f"{QUEUE}/{held}/complete", {"outputs": [1.0]})

    assert api.did("GET", f"{QUEUE}/{held}")["worker"] == "robot-1"
