from __future__ import annotations

import threading

import pytest

from alchemy_async.service.models import minds
from alchemy_async.service.models.minds import Trained

STAGED = "/experiments/staged"
NOT_A_POINT = [
    ({"T": 1.0}, "c"),
    ({"T": 1.0, "c": "A", "P": 2}, "P"),
    ({"T": 10.5, "c": "A"}, "T"),
    ({"T": "1", "c": "A"}, "T"),
    ({"T": True, "c": "A"}, "T"),
    ({"T": None, "c": "A"}, "T"),
    ({"T": [1.0], "c": "A"}, "T"),
    ({"T": 1.0, "c": "Z"}, "c"),
    ({"T": 1.0, "c": 1}, "c"),
    ({"T": 10**99, "c": "A"}, "T"),
]


def test_what_is_staged_is_told_as_it_was_taken(api):
    answer = api.did("POST", STAGED, {"inputs": {"T": 2, "c": "A"}, "reason": "qEI"})

    assert answer["message"] == "Experiment staged successfully"
    assert answer["n_staged"] == 1
    assert answer["staged_inputs"] == {"T": 2.0, "c": "A"}


def test_the_queue_keeps_the_order_in_which_it_was_staged_with_reasons_and_ids(api):
    api.stage(1.0, 2.0, reason="first")
    api.stage(3.0)

    queue = api.did("GET", STAGED)

    assert [point["T"] for point in queue["experiments"]] == [1.0, 2.0, 3.0]
    assert queue["reasons"] == ["first", "first", None]
    assert (queue["n_staged"], queue["reason"], queue["ids"]) == (3, "first", ["e0001", "e0002", "e0003"])


def test_an_empty_queue_has_no_reason(api):
    queue = api.did("GET", STAGED)

    assert (queue["experiments"], queue["n_staged"], queue["reason"], queue["reasons"]) == ([], 0, None, [])


def test_a_batch_answers_with_its_own_ids_and_the_length_of_the_whole_queue(api):
    api.stage(1.0)

    answer = api.did("POST", f"{STAGED}/batch", {"experiments": [{"T": 2.0, "c": "B"}], "reason": "q"})

    assert answer["ids"] == ["e0002"]
    assert (answer["n_staged"], answer["reason"]) == (2, "q")
    assert answer["experiments"] == [{"T": 2.0, "c": "B"}]


@pytest.mark.parametrize(("inputs", "field"), NOT_A_POINT)
def test_a_point_that_does_not_fit_is_refused_with_its_field(api, inputs, field):
    answer = api.post(STAGED, {"inputs": inputs})

    assert answer.status_code == 422
    assert ["body", "inputs", field] in [flaw["loc"] for flaw in answer.json()["errors"]]
    assert api.did("GET", STAGED)["n_staged"] == 0


def test_one_bad_point_of_a_batch_keeps_all_of_it_out_and_is_named(api):
    answer = api.post(f"{STAGED}/batch", {"experiments": [{"T": 1.0, "c": "A"}, {"T": 99.0, "c": "A"}]})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "experiments", 1, "T"]
    assert api.did("GET", STAGED)["n_staged"] == 0


def test_a_body_with_a_key_that_is_not_known_is_refused(api):
    answer = api.post(STAGED, {"inputs": {"T": 1.0, "c": "A"}, "raeson": "q"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "raeson"]


def test_outputs_go_to_the_inputs_in_the_order_of_the_queue(api):
    api.stage(1.0, 2.0, reason="q")

    answer = api.did("POST", f"{STAGED}/complete", {"outputs": [0.87, 0.79], "noises": [0.02, 0.03], "iteration": 5})

    assert (answer["n_added"], answer["n_experiments"], answer["model_trained"]) == (2, 2, False)
    assert api.did("GET", STAGED)["n_staged"] == 0
    assert api.rows() == [
        {"T": 1.0, "c": "A", "Output": 0.87, "Noise": 0.02, "Iteration": 5, "Reason": "q", "ProvenanceId": "e0001"},
        {"T": 2.0, "c": "A", "Output": 0.79, "Noise": 0.03, "Iteration": 5, "Reason": "q", "ProvenanceId": "e0002"},
    ]


def test_staged_experiments_are_no_rows_until_they_are_completed(api):
    api.stage(1.0)

    assert api.rows() == []


def test_the_noise_is_a_variance_that_the_ledger_keeps_as_a_standard_error(api):
    api.stage(1.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [1.0], "noises": [0.02]})

    with api.desk.look() as ledger:
        assert ledger.history().observations[0].sems == {"Output": pytest.approx(0.02**0.5)}
    assert api.rows()[0]["Noise"] == 0.02


def test_without_an_iteration_each_row_is_one_of_its_own_from_0_on(api):
    api.stage(1.0, 2.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [1, 2]})
    api.stage(3.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [3]})

    assert [row["Iteration"] for row in api.rows()] == [0, 1, 2]


def test_an_experiments_own_reason_wins_and_the_requests_fills_in_where_there_is_none(api):
    api.stage(1.0, reason="own")
    api.stage(2.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [1, 2], "reason": "filled"})
    api.stage(3.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [3]})

    assert [row["Reason"] for row in api.rows()] == ["own", "filled", "Manual"]


@pytest.mark.parametrize("outputs", [[1.0], [1.0, 2.0, 3.0], []])
def test_another_number_of_outputs_than_is_staged_is_refused(api, outputs):
    api.stage(1.0, 2.0)

    answer = api.post(f"{STAGED}/complete", {"outputs": outputs})

    assert answer.status_code == 400
    assert f"Number of outputs ({len(outputs)}) must match number of staged experiments (2)" in answer.json()["detail"]
    assert api.did("GET", STAGED)["n_staged"] == 2


def test_another_number_of_noises_than_of_outputs_is_refused(api):
    api.stage(1.0, 2.0)

    answer = api.post(f"{STAGED}/complete", {"outputs": [1, 2], "noises": [0.1]})

    assert answer.status_code == 400
    assert "Number of noise values (1)" in answer.json()["detail"]


def test_outputs_for_an_empty_queue_are_refused_and_not_dropped(api):
    answer = api.post(f"{STAGED}/complete", {"outputs": [1.0]})

    assert answer.status_code == 409
    assert "they would be lost" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"outputs": [1.0, "2.5"]}, ["outputs", 1]),
        ({"outputs": [1.0, True]}, ["outputs", 1]),
        ({"outputs": [1.0, None]}, ["outputs", 1]),
        ({"outputs": [1.0, 2.0], "noises": [0.1, -0.1]}, ["noises", 1]),
        ({"outputs": [1.0, 2.0], "iteration": 1.5}, ["iteration"]),
        ({"outputs": [1.0, {"yield": 2.0}]}, ["outputs", 1, "yield"]),
    ],
)
def test_one_bad_value_keeps_the_whole_completion_out_and_is_named(api, body, place):
    api.stage(1.0, 2.0)

    answer = api.post(f"{STAGED}/complete", body)

    assert answer.status_code == 422
    assert any(flaw["loc"][1 : 1 + len(place)] == place for flaw in answer.json()["errors"])
    assert (api.did("GET", STAGED)["n_staged"], api.rows()) == (2, [])


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_what_is_no_finite_number_is_refused(api, text):
    api.stage(1.0)

    answer = api.post(
        f"{STAGED}/complete", content=f'{{"outputs": [{text}]}}', headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert api.rows() == []


def test_a_completion_of_the_queue_that_was_seen_is_taken_and_of_another_one_refused(api):
    api.stage(1.0)
    seen = api.did("GET", STAGED)["queue_version"]
    api.stage(2.0)

    late = api.post(f"{STAGED}/complete", {"outputs": [1, 2], "queue_version": seen})
    present = api.did("GET", STAGED)["queue_version"]
    right = api.post(f"{STAGED}/complete", {"outputs": [1, 2], "queue_version": present})

    assert (late.status_code, right.status_code) == (409, 200)
    assert "GET it again" in late.json()["detail"]


def test_the_etag_of_the_queue_serves_as_if_match(api):
    api.stage(1.0)
    tag = api.get(STAGED).headers["etag"]
    api.did("PATCH", f"{STAGED}/e0001", {"inputs": {"T": 5.0, "c": "A"}})

    late = api.post(f"{STAGED}/complete", {"outputs": [1]}, headers={"If-Match": tag})
    right = api.post(f"{STAGED}/complete", {"outputs": [1]}, headers={"If-Match": api.get(STAGED).headers["etag"]})

    assert (late.status_code, right.status_code) == (409, 200)


@pytest.mark.parametrize("tag", ["nonsense", '"-1"', '"99999999999999999999"', ""])
def test_an_if_match_that_names_no_queue_is_refused(api, tag):
    api.stage(1.0)

    assert api.post(f"{STAGED}/complete", {"outputs": [1]}, headers={"If-Match": tag}).status_code == 409


def test_rows_that_nobody_staged_leave_the_queue_at_its_version(api):
    api.stage(1.0)
    seen = api.did("GET", STAGED)["queue_version"]

    api.did("POST", "/experiments", {"inputs": {"T": 2.0, "c": "B"}, "output": 3.0})

    assert api.did("GET", STAGED)["queue_version"] == seen


def test_while_something_runs_outputs_without_a_version_are_refused(api):
    api.stage(1.0, 2.0)
    api.claim()
    version = api.did("GET", STAGED)["queue_version"]

    without = api.post(f"{STAGED}/complete", {"outputs": [1]})
    with_it = api.post(f"{STAGED}/complete", {"outputs": [2], "queue_version": version})

    assert (without.status_code, with_it.status_code) == (409, 200)
    assert "queue_version" in without.json()["detail"]
    assert api.rows()[0]["T"] == 2.0


def test_of_two_completions_at_once_one_wins_and_the_other_is_refused(api):
    api.stage(1.0, 2.0)
    answers = []

    def complete(first):
        answers.append(api.post(f"{STAGED}/complete", {"outputs": [first, first]}).status_code)

    both = [threading.Thread(target=complete, args=(number,)) for number in (1.0, 2.0)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(answers) == [200, 409]
    assert len({row["Output"] for row in api.rows()}) == 1


def test_a_completion_repeated_under_its_key_is_answered_alike_and_done_once(api):
    api.stage(1.0)
    key = {"Idempotency-Key": "k1"}

    first = api.post(f"{STAGED}/complete", {"outputs": [1]}, headers=key)
    again = api.post(f"{STAGED}/complete", {"outputs": [1]}, headers=key)
    other = api.post(f"{STAGED}/complete", {"outputs": [2]}, headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409)
    assert again.json() == first.json()
    assert len(api.rows()) == 1


def test_a_batch_repeated_under_its_key_is_staged_once(api):
    body, key = {"experiments": [{"T": 1.0, "c": "A"}]}, {"Idempotency-Key": "k1"}

    first = api.did("POST", f"{STAGED}/batch", body, headers=key)
    again = api.did("POST", f"{STAGED}/batch", body, headers=key)

    assert again == first
    assert api.did("GET", STAGED)["n_staged"] == 1


def test_clearing_withdraws_what_waits_and_leaves_what_runs(api):
    api.stage(1.0, 2.0, 3.0)
    held = api.claim()["id"]

    answer = api.did("DELETE", STAGED)

    assert answer["n_cleared"] == 2
    assert api.did("GET", f"{STAGED}/{held}")["state"] == "running"
    assert api.did("DELETE", STAGED)["n_cleared"] == 0


def test_a_session_without_variables_stages_nothing(at_hand):
    bare = at_hand("bare", '[campaign]\nname = "bare"\n[[objectives]]\nname = "Output"\ngoal = "maximize"\n')

    answer = bare.post(STAGED, {"inputs": {"T": 1.0}})

    assert (answer.status_code, answer.json()["error_type"]) == (400, "NoVariablesError")


def test_several_objectives_are_completed_by_name(two):
    two.stage(1.0)

    bare = two.post(f"{STAGED}/complete", {"outputs": [1.0]})
    two.did("POST", f"{STAGED}/complete", {"outputs": [{"Output": 1.0, "cost": 2.0}], "noises": [{"cost": 0.04}]})

    assert bare.status_code == 422
    assert two.rows()[0] | {"Iteration": 0} == {
        "T": 1.0, "c": "A", "Output": 1.0, "cost": 2.0, "Noise_Output": None, "Noise_cost": 0.04,
        "Iteration": 0, "Reason": "Manual", "ProvenanceId": "e0001",
    }  # fmt: skip


def test_what_is_staged_is_there_after_a_restart(api, at_hand, tmp_path):
    api.stage(1.0, reason="q")
    api.service.sessions.close()

    queue = api.did("GET", STAGED)

    assert (queue["ids"], queue["reasons"]) == (["e0001"], ["q"])


def test_a_completion_leaves_the_same_events_as_a_claim_and_a_report_would(api):
    api.stage(1.0)
    api.did("POST", f"{STAGED}/complete", {"outputs": [1]})

    kinds = [event["kind"] for event in api.events() if event["experiment"]]
    assert kinds == ["queued", "claimed", "completed"]


def test_training_that_can_not_be_done_is_told_and_the_rows_are_kept(api):
    api.stage(1.0)

    answer = api.did("POST", f"{STAGED}/complete", {"outputs": [1]}, params={"auto_train": "true"})

    assert answer["model_trained"] is False
    assert "it takes 5 results, and so far there are 1" in answer["message"]
    assert len(api.rows()) == 1


@pytest.mark.parametrize("query", [{"training_backend": "torch"}, {"training_kernel": "IBNN"}, {"auto_train": "zz"}])
def test_a_model_that_is_not_offered_is_refused_before_anything_is_recorded(api, query):
    api.stage(1.0)

    answer = api.post(f"{STAGED}/complete", {"outputs": [1]}, params=query)

    assert (answer.status_code, api.rows()) == (422, [])


def test_what_training_brought_is_in_the_answer_and_a_repetition_does_not_train_again(api, monkeypatch):
    trained = []

    def train(service, session, backend, kernel):
        trained.append((backend, kernel, len(api.rows())))
        return Trained(True, "done", backend, kernel, figures={"rmse": 0.1, "r2": 0.9})

    monkeypatch.setattr(minds, "train", train)
    api.stage(1.0)
    query = {"auto_train": "true", "training_backend": "botorch", "training_kernel": "RBF"}
    key = {"Idempotency-Key": "k"}

    answers = [api.did("POST", f"{STAGED}/complete", {"outputs": [1]}, params=query, headers=key) for _ in range(2)]

    assert trained == [("botorch", "RBF", 1)]
    assert answers[0] == answers[1]
    assert answers[0]["model_trained"] is True
    assert answers[0]["training_metrics"] == {"rmse": 0.1, "r2": 0.9, "backend": "botorch"}
