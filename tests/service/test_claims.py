from __future__ import annotations

import threading
import time

import pytest

from alchemy_async.experiment import AttemptKey
from tests.service.conftest import TWO_VARIABLES

STAGED = "/experiments/staged"


def interrupt(api, name, attempt=1):
    """End a lease as the sweep would."""
    with api.desk.turn() as turn:
        turn.change.interrupt(AttemptKey(name, attempt), "no sign of its worker")


# -- claiming


@pytest.fixture
def oven(at_hand):
    return at_hand("s3", TWO_VARIABLES.replace("bounds = [0, 10]", "bounds = [0, 10]\nshared = true"))


@pytest.fixture
def machines(at_hand):
    return at_hand("s3", TWO_VARIABLES.replace('options = ["A", "B"]', 'options = ["A", "B"]\ntied = true'))


def test_what_shares_an_oven_with_what_runs_has_its_temperature_or_waits(oven):
    oven.stage(1.0, 2.0)
    oven.did("POST", STAGED, {"inputs": {"T": 1.0, "c": "B"}})

    first = oven.did("POST", f"{STAGED}/claim", {"n": 3})
    in_vain = oven.did("POST", f"{STAGED}/claim", {"n": 3})
    for one in first["experiments"]:
        oven.did("POST", f"{STAGED}/{one['id']}/complete", {"output": 1.0})

    assert [one["id"] for one in first["experiments"]] == ["e0001", "e0003"]
    assert in_vain["n_claimed"] == 0
    assert oven.claim()["inputs"]["T"] == 2.0


def test_a_point_for_a_machine_goes_to_a_worker_that_has_it(machines):
    machines.stage(1.0)
    machines.did("PATCH", f"{STAGED}/e0001", {"inputs": {"T": 1.0, "c": "B"}})

    without = machines.did("POST", f"{STAGED}/claim", {"labels": ["A"]})
    with_it = machines.did("POST", f"{STAGED}/claim", {"labels": ["B", "uv"]})

    assert (without["n_claimed"], with_it["n_claimed"]) == (0, 1)


def test_the_best_experiments_are_handed_out_each_once(api):
    api.stage(1.0, 2.0, 3.0)
    api.did("PATCH", f"{STAGED}/e0003", {"priority": 5})

    first = api.did("POST", f"{STAGED}/claim", {"worker": "w-1", "n": 2})
    second = api.did("POST", f"{STAGED}/claim", {"worker": "w-2", "n": 2})

    assert [one["id"] for one in first["experiments"]] == ["e0003", "e0001"]
    assert [one["id"] for one in second["experiments"]] == ["e0002"]
    assert first["experiments"][0]["inputs"] == {"T": 3.0, "c": "A"}
    assert api.did("GET", STAGED)["n_staged"] == 0


def test_what_is_staged_with_a_higher_priority_goes_first(api):
    api.stage(1.0)
    api.did("POST", STAGED, {"inputs": {"T": 2.0, "c": "A"}, "priority": 1})

    assert api.did("GET", STAGED)["ids"] == ["e0002", "e0001"]
    assert api.claim()["id"] == "e0002"


def test_where_nothing_waits_nothing_is_handed_out(api):
    answer = api.did("POST", f"{STAGED}/claim", {})

    assert (answer["experiments"], answer["n_claimed"]) == ([], 0)


def test_an_experiment_goes_only_to_a_worker_with_its_labels(api):
    api.stage(1.0, requires=["uv", "furnace"], priority=9)
    api.stage(2.0)

    without = api.did("POST", f"{STAGED}/claim", {"labels": ["furnace"], "n": 2})
    in_vain = api.did("POST", f"{STAGED}/claim", {"labels": ["furnace"], "n": 2})
    with_them = api.did("POST", f"{STAGED}/claim", {"labels": ["uv", "furnace", "xrd"], "n": 2})

    assert ([one["id"] for one in without["experiments"]], in_vain["n_claimed"]) == (["e0002"], 0)
    assert [(one["id"], one["requires"]) for one in with_them["experiments"]] == [("e0001", ["furnace", "uv"])]


@pytest.mark.parametrize("wanted", ["paused", "draining"])
def test_while_the_session_is_not_running_nothing_is_handed_out(api, wanted):
    api.stage(1.0)
    with api.desk.turn() as turn:
        turn.change.set_meta(wanted=wanted)

    answer = api.did("POST", f"{STAGED}/claim", {})

    assert (answer["n_claimed"], answer["is_paused"]) == (0, True)


@pytest.mark.parametrize(
    "body",
    [
        {"n": 0},
        {"n": 1001},
        {"lease_s": 0.5},
        {"lease_s": "60"},
        {"worker": "a b"},
        {"worker": "planner"},
        {"wait_s": 61},
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(api, body):
    api.stage(1.0)

    assert api.post(f"{STAGED}/claim", body).status_code == 422
    assert api.did("GET", STAGED)["n_staged"] == 1


@pytest.mark.fault(18)
def test_a_claim_repeated_under_its_key_brings_the_same_experiments(api):
    api.stage(1.0, 2.0)
    key = {"Idempotency-Key": "k"}

    first = api.did("POST", f"{STAGED}/claim", {"worker": "w-1"}, headers=key)
    again = api.did("POST", f"{STAGED}/claim", {"worker": "w-1"}, headers=key)

    assert again == first
    assert api.did("GET", STAGED)["n_staged"] == 1


def test_an_empty_answer_is_not_kept_under_its_key(api):
    key = {"Idempotency-Key": "k"}
    assert api.did("POST", f"{STAGED}/claim", {}, headers=key)["n_claimed"] == 0
    api.stage(1.0)

    assert api.did("POST", f"{STAGED}/claim", {}, headers=key)["n_claimed"] == 1


def test_who_waits_gets_what_is_staged_meanwhile(api):
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(api.did("POST", f"{STAGED}/claim", {"wait_s": 30, "worker": "w-1"}))
    )
    waiting.start()
    while not api.session.feed.n_waiting:
        time.sleep(0.01)

    api.stage(1.0)
    waiting.join(10)

    assert answers[0]["experiments"][0]["id"] == "e0001"


def test_who_waits_in_vain_gets_nothing_after_that_time(api):
    begun = time.monotonic()

    answer = api.did("POST", f"{STAGED}/claim", {"wait_s": 0.2})

    assert answer["n_claimed"] == 0
    assert time.monotonic() - begun >= 0.2


@pytest.mark.fault(18)
def test_eight_workers_at_once_get_every_experiment_once(api):
    api.stage(*(i / 10 for i in range(40)))
    got = []

    def work(worker):
        while found := api.did("POST", f"{STAGED}/claim", {"worker": worker, "n": 3})["experiments"]:
            got.extend(one["id"] for one in found)

    workers = [threading.Thread(target=work, args=(f"w-{i}",)) for i in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()

    assert len(got) == len(set(got)) == 40


# -- living


def test_a_heartbeat_says_that_the_lease_goes_on(api):
    api.stage(1.0)
    held = api.claim(lease_s=30)

    answer = api.did("POST", f"{STAGED}/{held['id']}/heartbeat", {"worker": "w-1", "attempt": 1})

    assert answer == {"id": "e0001", "attempt": 1, "lease_s": 30.0, "cancel": False}
    with api.desk.look() as ledger:
        assert ledger.attempt(AttemptKey("e0001", 1)).beat == 1


def test_a_heartbeat_needs_no_body(api):
    api.stage(1.0)
    held = api.claim()

    assert api.post(f"{STAGED}/{held['id']}/heartbeat").status_code == 200


def test_a_heartbeat_tells_of_a_cancellation(api):
    api.stage(1.0)
    held = api.claim()
    api.did("DELETE", f"{STAGED}/{held['id']}")

    assert api.did("POST", f"{STAGED}/{held['id']}/heartbeat", {})["cancel"] is True


def test_a_heartbeat_takes_up_a_lease_that_ended(api):
    api.stage(1.0)
    held = api.claim()["id"]
    interrupt(api, held)

    api.did("POST", f"{STAGED}/{held}/heartbeat", {"worker": "w-1"})

    assert api.did("GET", f"{STAGED}/{held}")["state"] == "running"


def test_a_heartbeat_for_what_was_offered_again_is_refused_and_says_what_can_be_done(api):
    api.stage(1.0)
    held = api.claim(idempotent=True)["id"]
    interrupt(api, held)

    answer = api.post(f"{STAGED}/{held}/heartbeat", {"worker": "w-1"})

    assert answer.status_code == 409
    assert "can still be reported" in answer.json()["detail"]


@pytest.mark.parametrize("worker", ["w-2", None])
def test_a_heartbeat_for_what_one_does_not_have_is_refused(api, worker):
    api.stage(1.0, 2.0)
    held = api.claim()["id"]

    other = api.post(f"{STAGED}/{held if worker else 'e0002'}/heartbeat", {"worker": worker} if worker else {})

    assert other.status_code == 409


# -- second thoughts


def test_inputs_priority_and_reason_of_what_nobody_has_can_be_changed(api):
    api.stage(1.0)

    answer = api.did("PATCH", f"{STAGED}/e0001", {"inputs": {"T": 4.0, "c": "B"}, "priority": 2.5, "reason": "why"})

    assert (answer["inputs"], answer["priority"], answer["reason"]) == ({"T": 4.0, "c": "B"}, 2.5, "why")
    assert api.did("GET", STAGED)["experiments"] == [{"T": 4.0, "c": "B"}]


def test_what_somebody_has_can_not_be_changed(api):
    api.stage(1.0)
    held = api.claim()["id"]

    answers = [
        api.patch(f"{STAGED}/{held}", body)
        for body in ({"inputs": {"T": 2.0, "c": "A"}}, {"priority": 1}, {"reason": "x"})
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert api.did("GET", f"{STAGED}/{held}")["inputs"] == {"T": 1.0, "c": "A"}


@pytest.mark.parametrize("body", [{}, {"inputs": {"T": 11.0, "c": "A"}}, {"priority": "high"}, {"attempt": 2}])
def test_a_change_that_makes_no_sense_is_refused(api, body):
    api.stage(1.0)

    assert api.patch(f"{STAGED}/e0001", body).status_code == 422


def test_withdrawing_what_nobody_has_ends_it(api):
    api.stage(1.0)

    assert api.did("DELETE", f"{STAGED}/e0001")["state"] == "cancelled"
    assert api.send("DELETE", f"{STAGED}/e0001").status_code == 409


def test_what_was_to_be_cancelled_ends_when_it_is_released(api):
    api.stage(1.0)
    held = api.claim()["id"]
    assert api.did("DELETE", f"{STAGED}/{held}")["cancel"] is True

    api.did("POST", f"{STAGED}/{held}/release", {"worker": "w-1"})

    assert api.did("GET", f"{STAGED}/{held}")["state"] == "cancelled"


def test_an_interrupted_experiment_is_offered_again_or_given_up_at_a_persons_word(api):
    api.stage(1.0, 2.0)
    for name in (api.claim()["id"], api.claim()["id"]):
        interrupt(api, name)

    again = api.did("POST", f"{STAGED}/e0001/requeue")
    gone = api.did("POST", f"{STAGED}/e0002/abandon", {"why": "the sample is lost"})

    assert (again["state"], again["attempt"], gone["state"]) == ("queued", 2, "abandoned")
    assert api.post(f"{STAGED}/e0001/requeue").status_code == 409
    assert api.post(f"{STAGED}/e0001/abandon").status_code == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), *(("POST", f"/{what}") for what in
     ("heartbeat", "complete", "fail", "infeasible", "release", "requeue", "abandon"))],
)  # fmt: skip
def test_an_experiment_that_there_is_not_is_404(api, method, path):
    bodies = {"PATCH": {"priority": 1}, "/complete": {"output": 1.0}}

    answer = api.send(method, f"{STAGED}/e0099{path}", bodies.get(path or method))

    assert answer.status_code == 404
    assert "e0099" in answer.json()["detail"]
