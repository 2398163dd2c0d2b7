from __future__ import annotations

from datetime import timedelta

import pytest

from alchemy_async.clock import from_wire
from alchemy_async.experiment import AttemptKey

STAGED = "/experiments/staged"


@pytest.fixture
def held(api):
    """Return the id of an experiment that w-1 has."""
    api.stage(1.0)
    return api.claim("w-1")["id"]


def end_lease(api, name, attempt=1):
    with api.desk.turn() as turn:
        turn.change.interrupt(AttemptKey(name, attempt), "no sign of its worker")


def state(api, name):
    return api.did("GET", f"{STAGED}/{name}")["state"]


def test_a_measurement_of_one_experiment_is_a_row_of_the_dataset(api, held):
    answer = api.did("POST", f"{STAGED}/{held}/complete", {"worker": "w-1", "attempt": 1, "output": 2.5, "noise": 0.04})

    assert (answer["recorded"], answer["values"], answer["sems"]) == ("counted", {"Output": 2.5}, {"Output": 0.2})
    assert state(api, held) == "completed"
    (row,) = api.rows()
    assert (row["Output"], row["Noise"]) == (2.5, 0.04)


def test_experiments_are_completed_in_any_order(api):
    api.stage(1.0, 2.0, 3.0)
    for _ in range(3):
        api.claim()

    for name in ("e0003", "e0001", "e0002"):
        api.did("POST", f"{STAGED}/{name}/complete", {"output": 1.0})

    assert [row["ProvenanceId"] for row in api.rows()] == ["e0003", "e0001", "e0002"]


def test_what_nobody_claimed_can_be_completed(api):
    api.stage(1.0)

    api.did("POST", f"{STAGED}/e0001/complete", {"output": 1.0})

    assert [event["kind"] for event in api.events() if event["experiment"]] == ["queued", "claimed", "completed"]


def test_the_inputs_as_run_are_what_the_dataset_has(api, held):
    api.did("POST", f"{STAGED}/{held}/complete", {"output": 1.0, "inputs": {"T": 10.7, "c": "B"}})

    row, record = api.rows()[0], api.did("GET", f"/experiments/provenance/{held}")
    assert (row["T"], row["c"]) == (10.7, "B")
    assert (record["suggested"], record["delta"]) == ({"T": 1.0, "c": "A"}, {"T": 10.7 - 1.0, "c": "A→B"})


def test_the_time_that_a_measurement_took_is_counted_from_its_claim(api, held):
    api.service.clock.advance(90)

    api.did("POST", f"{STAGED}/{held}/complete", {"output": 1.0})

    with api.desk.look() as ledger:
        (found,) = ledger.measurements_of(held)
    assert from_wire(found.finished_at) - from_wire(found.started_at) == timedelta(seconds=90)


def test_attachments_and_metadata_are_kept_with_the_measurement(api, held):
    file = {"name": "a.csv", "size": 12, "digest": "sha256:ab"}

    api.did("POST", f"{STAGED}/{held}/complete", {"output": 1.0, "attachments": [file], "metadata": {"who": "Ada"}})

    (found,) = api.did("GET", f"/experiments/{held}/observation")["measurements"]
    assert found["metadata"] == {"who": "Ada", "attachments": [file]}


def test_standard_errors_can_be_sent_in_place_of_variances(api, held):
    api.did("POST", f"{STAGED}/{held}/complete", {"values": {"Output": 1.0}, "sems": {"Output": 0.1}})

    assert api.rows()[0]["Noise"] == 0.01


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"output": 1.0, "values": {"Output": 1.0}},
        {"values": {}},
        {"values": {"Output": 1.0, "cost": 2.0}},
        {"output": "1.0"},
        {"output": 1.0, "noise": -0.1},
        {"output": 1.0, "noise": 0.1, "sems": {"Output": 0.1}},
        {"output": 1.0, "inputs": {"T": 1.0}},
        {"output": 1.0, "inputs": {"T": 1.0, "c": "Z"}},
        {"output": 1.0, "attempt": 0},
        {"output": 1.0, "metadata": {"a": "x" * 70_000}},
        {"output": 1.0, "worker": "a b"},
    ],
)
def test_a_report_that_does_not_fit_is_refused_and_the_experiment_goes_on(api, held, body):
    answer = api.post(f"{STAGED}/{held}/complete", body)

    assert answer.status_code == 422
    assert (state(api, held), api.rows()) == ("running", [])


@pytest.mark.fault(18)
def test_the_same_report_once_more_is_answered_as_the_first_was(api, held):
    body = {"worker": "w-1", "attempt": 1, "output": 2.5}

    first = api.did("POST", f"{STAGED}/{held}/complete", body)
    again = api.did("POST", f"{STAGED}/{held}/complete", {**body, "metadata": {"sent": "twice"}})

    assert again == first
    assert len(api.rows()) == 1


@pytest.mark.fault(18)
def test_other_values_are_refused_every_time_and_both_are_kept(api, held):
    api.did("POST", f"{STAGED}/{held}/complete", {"output": 2.5})

    answers = [api.post(f"{STAGED}/{held}/complete", {"output": 3.5}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["stored"]["values"] == {"Output": 2.5}
    assert answers[0].json()["new"]["values"] == {"Output": 3.5}
    roles = [one["role"] for one in api.did("GET", f"/experiments/{held}/observation")["measurements"]]
    assert roles == ["result", "conflict"]
    assert [row["Output"] for row in api.rows()] == [2.5]


def test_a_conflict_under_a_key_is_kept_and_answered_alike(api, held):
    api.did("POST", f"{STAGED}/{held}/complete", {"output": 2.5})
    key = {"Idempotency-Key": "k"}

    answers = [api.post(f"{STAGED}/{held}/complete", {"output": 3.5}, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert len(api.did("GET", f"/experiments/{held}/observation")["measurements"]) == 2


def test_a_report_of_somebody_elses_experiment_is_kept_out_of_the_model(api, held):
    answer = api.post(f"{STAGED}/{held}/complete", {"worker": "w-2", "output": 9.0})

    assert answer.status_code == 409
    assert "w-1" in answer.json()["detail"]
    assert (state(api, held), api.rows()) == ("running", [])


@pytest.mark.fault(18)
def test_a_late_result_after_the_lease_ended_still_counts(api, held):
    end_lease(api, held)

    api.did("POST", f"{STAGED}/{held}/complete", {"worker": "w-1", "output": 1.0})

    assert state(api, held) == "completed"


def test_a_late_result_goes_to_the_attempt_of_its_worker_and_ends_the_experiment(api):
    api.stage(1.0)
    name = api.claim("w-1", idempotent=True)["id"]
    end_lease(api, name)
    assert api.claim("w-2")["attempt"] == 2

    late = api.did("POST", f"{STAGED}/{name}/complete", {"worker": "w-1", "output": 1.0})
    beat = api.did("POST", f"{STAGED}/{name}/heartbeat", {"worker": "w-2"})
    more = api.did("POST", f"{STAGED}/{name}/complete", {"worker": "w-2", "output": 1.1})

    assert (late["attempt"], late["recorded"]) == (1, "counted")
    assert beat["cancel"] is True
    assert (more["attempt"], more["recorded"]) == (2, "replicate")
    assert [row["ProvenanceId"] for row in api.rows()] == [name, f"{name}.2"]


def test_a_failure_ends_the_experiment_and_its_kind_is_remembered(api, held):
    answer = api.did("POST", f"{STAGED}/{held}/fail", {"kind": "valve_stuck", "message": "it is stuck"})

    assert (answer["status"], answer["recorded"]) == ("failed", "counted")
    assert state(api, held) == "failed"
    with api.desk.look() as ledger:
        assert ledger.history().refused[0].kind == "valve_stuck"


def test_what_is_worth_another_attempt_is_offered_again(api, held):
    api.did("POST", f"{STAGED}/{held}/fail", {"kind": "timeout", "retryable": True})

    assert state(api, held) == "queued"
    assert api.claim("w-2")["attempt"] == 2


def test_a_failure_reported_twice_is_answered_alike(api, held):
    body = {"worker": "w-1", "kind": "timeout", "retryable": True}

    first = api.did("POST", f"{STAGED}/{held}/fail", body)

    assert api.did("POST", f"{STAGED}/{held}/fail", body) == first
    assert api.did("GET", f"{STAGED}/{held}")["attempt"] == 2


def test_inputs_that_can_not_be_run_end_as_infeasible(api, held):
    api.did("POST", f"{STAGED}/{held}/infeasible", {"message": "it boils"})

    assert state(api, held) == "infeasible"
    with api.desk.look() as ledger:
        assert ledger.history().refused[0].parameters == {"T": 1.0, "c": "A"}


def test_what_is_given_back_is_offered_again_and_uses_up_no_start(api, held):
    api.did("POST", f"{STAGED}/{held}/release", {"worker": "w-1"})

    assert state(api, held) == "queued"
    with api.desk.look() as ledger:
        assert ledger.tally()["starts"] == 0


def test_what_nobody_has_can_not_be_given_back(api):
    api.stage(1.0)

    answer = api.post(f"{STAGED}/e0001/release")

    assert (answer.status_code, state(api, "e0001")) == (409, "queued")


def test_a_measurement_after_a_failure_is_a_conflict_that_is_kept(api, held):
    api.did("POST", f"{STAGED}/{held}/fail", {})

    answer = api.post(f"{STAGED}/{held}/complete", {"output": 1.0})

    assert answer.status_code == 409
    assert answer.json()["stored"]["status"] == "failed"


def test_what_was_withdrawn_takes_no_report_and_says_what_to_do(api):
    api.stage(1.0)
    api.did("DELETE", f"{STAGED}/e0001")

    answer = api.post(f"{STAGED}/e0001/complete", {"output": 1.0})

    assert answer.status_code == 409
    assert "Add a row instead" in answer.json()["detail"]


def test_a_report_under_a_key_of_another_request_is_refused(api, held):
    key = {"Idempotency-Key": "k"}
    api.did("POST", f"{STAGED}/{held}/complete", {"output": 1.0}, headers=key)

    answer = api.post(f"{STAGED}/{held}/fail", {}, headers=key)

    assert answer.status_code == 409
    assert "Use a key once" in answer.json()["detail"]


def test_several_objectives_are_reported_by_name(two):
    two.stage(1.0)
    bare = two.post(f"{STAGED}/e0001/complete", {"output": 1.0})
    short = two.post(f"{STAGED}/e0001/complete", {"values": {"Output": 1.0}})
    two.did("POST", f"{STAGED}/e0001/complete", {"values": {"Output": 1.0, "cost": 2.0}})

    assert (bare.status_code, short.status_code) == (422, 422)
    assert short.json()["errors"][0]["loc"] == ["body", "values", "cost"]
    assert two.rows()[0]["cost"] == 2.0
