from __future__ import annotations

import pytest


@pytest.fixture
def name(api):
    """Return the id of an experiment that was measured."""
    api.stage(1.0)
    api.did("POST", "/experiments/staged/complete", {"outputs": [2.5], "noises": [0.04]})
    return "e0001"


def correct(api, name, **body):
    return api.did("PATCH", f"/experiments/{name}/observation", {"why": "looked again", **body})


def history(api):
    with api.desk.look() as ledger:
        return [(dict(one.values), dict(one.sems)) for one in ledger.history().observations]


def test_a_corrected_value_is_what_rows_and_model_have_and_the_old_one_is_kept(api, name):
    correct(api, name, output=2.7, who="Ada")

    (found,) = api.did("GET", f"/experiments/{name}/observation")["measurements"]
    assert (found["values"], found["recorded"]["values"]) == ({"Output": 2.7}, {"Output": 2.5})
    assert [(one["who"], one["why"], one["values"]) for one in found["corrections"]] == [
        ("Ada", "looked again", {"Output": 2.7})
    ]
    assert api.rows()[0]["Output"] == 2.7
    assert history(api) == [({"Output": 2.7}, {"Output": 0.2})]


def test_an_outlier_is_out_of_rows_and_model_and_can_come_back(api, name):
    found = correct(api, name, outlier=True)["measurements"][0]
    gone = (api.rows(), history(api), api.did("GET", "/experiments/summary")["n_experiments"])
    marked = api.did("GET", "/experiments", params={"outliers": "true"})["experiments"]

    back = correct(api, name, outlier=False)["measurements"][0]

    assert (found["role"], back["role"]) == ("outlier", "result")
    assert gone == ([], [], 0)
    assert (marked[0]["Output"], marked[0]["Outlier"]) == (2.5, True)
    assert (len(api.rows()), len(back["corrections"])) == (1, 2)


def test_a_correction_of_the_noise_leaves_the_value(api, name):
    correct(api, name, noise=0.01)

    assert (api.rows()[0]["Output"], api.rows()[0]["Noise"]) == (2.5, 0.01)


def test_an_outlier_that_is_corrected_stays_one(api, name):
    correct(api, name, outlier=True)
    correct(api, name, output=2.6)

    assert api.rows() == []


def test_one_value_of_several_can_be_corrected(two):
    two.stage(1.0)
    two.did("POST", "/experiments/staged/complete", {"outputs": [{"Output": 1.0, "cost": 2.0}]})

    correct(two, "e0001", values={"cost": 2.5})

    assert (two.rows()[0]["Output"], two.rows()[0]["cost"]) == (1.0, 2.5)


@pytest.mark.parametrize(
    "body",
    [
        {"why": "x"},
        {"output": 1.0},
        {"output": 1.0, "why": ""},
        {"output": "1", "why": "x"},
        {"values": {"cost": 1.0}, "why": "x"},
        {"output": 1.0, "values": {"Output": 1.0}, "why": "x"},
        {"noise": -1, "why": "x"},
        {"outlier": "yes", "why": "x"},
    ],
)
def test_a_correction_that_makes_no_sense_is_refused(api, name, body):
    assert api.patch(f"/experiments/{name}/observation", body).status_code == 422
    assert api.rows()[0]["Output"] == 2.5


@pytest.mark.parametrize("body", [{"output": 1.0, "why": "x"}, {"output": 1.0, "why": "x", "attempt": 7}])
def test_where_nothing_was_measured_there_is_nothing_to_correct(api, body):
    api.stage(1.0)

    answer = api.patch("/experiments/e0001/observation", body)

    assert (answer.status_code, "nothing to correct" in answer.json()["detail"]) == (404, True)


def test_a_correction_repeated_under_its_key_is_made_once(api, name):
    key = {"Idempotency-Key": "k"}

    for _ in range(2):
        api.did("PATCH", f"/experiments/{name}/observation", {"output": 3.0, "why": "x"}, headers=key)

    (found,) = api.did("GET", f"/experiments/{name}/observation")["measurements"]
    assert len(found["corrections"]) == 1


def test_a_replicate_is_corrected_by_its_attempt(api):
    api.stage(1.0)
    api.claim("w-1", idempotent=True)
    with api.desk.turn() as turn:
        turn.change.interrupt(turn.ledger.experiment("e0001").key, "silent")
    api.claim("w-2")
    for worker, output in (("w-1", 1.0), ("w-2", 2.0)):
        api.did("POST", "/experiments/staged/e0001/complete", {"worker": worker, "output": output})

    correct(api, "e0001", output=2.2, attempt=2)

    assert [row["Output"] for row in api.rows()] == [1.0, 2.2]


def test_a_correction_is_an_event_that_says_what_was_before(api, name):
    correct(api, name, output=2.7, who="Ada")

    event = api.events()[-1]
    assert (event["kind"], event["details"]["was"], event["details"]["values"]) == (
        "corrected", {"Output": 2.5}, {"Output": 2.7},
    )  # fmt: skip
