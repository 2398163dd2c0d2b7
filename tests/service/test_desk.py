from __future__ import annotations

import json
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.experiment import AttemptKey, AttemptState, Claim
from alchemy_async.files import dump_json
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.queues.layout import Layout
from alchemy_async.service.problems import ConflictError
from alchemy_async.service.staged.adopting import adopt
from alchemy_async.service.staged.desk import KEPT, Reply

FIRST = AttemptKey("e0001", 1)
STAGED = "/experiments/staged"


@pytest.fixture
def listed(api):
    """Return a session whose two experiments stood in a published queue."""
    api.stage(1.0, 2.0)
    Layout(api.desk.folder).make()
    with api.desk.turn() as turn:
        turn.change.list_attempts([FIRST, AttemptKey("e0002", 1)])
    return api


def link(api, key=FIRST, worker="w-folder", instance="i-1"):
    """Put a claim into the folder, as a worker, a planner or another server does."""
    with api.desk.look() as ledger:
        claim = Claim(ledger.campaign, key, 1, {"T": 1.0, "c": "A"}, worker, instance)
    Path(Layout(api.desk.folder).claim(key)).write_bytes(dump_json(claim.to_wire()))


def attempt(api, key=FIRST):
    with api.desk.look() as ledger:
        return ledger.attempt(key)


def state(api, name="e0001"):
    found = api.did("GET", f"{STAGED}/{name}")
    return found["state"], found["attempt"]


# -- one transaction, once


def test_a_request_that_fails_in_the_middle_changes_nothing(api):
    def stage_and_fail(turn):
        turn.change.add({"T": 1.0, "c": "A"})
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        api.desk.answer(stage_and_fail)

    assert api.did("GET", STAGED)["n_staged"] == 0


def test_a_request_is_done_once_under_its_key_and_answered_alike(api):
    n_done = []

    def make(turn):
        n_done.append(turn.change.add({"T": 1.0, "c": "A"}).id)
        return Reply({"ids": list(n_done)}, 201)

    first = api.desk.answer(make, key="k", request="r")
    again = api.desk.answer(make, key="k", request="r")

    assert (again, n_done) == (first, ["e0001"])


def test_a_key_of_another_request_is_refused_and_nothing_is_done(api):
    api.desk.answer(lambda _: Reply({}), key="k", request="one")

    with pytest.raises(ConflictError, match="Use a key once"):
        api.desk.answer(lambda turn: Reply({"id": turn.change.add({"T": 1.0}).id}), key="k", request="other")

    assert api.did("GET", STAGED)["n_staged"] == 0


def test_what_failed_under_a_key_can_be_tried_again_under_it(api):
    def fail(turn):
        raise ConflictError("not yet")

    with pytest.raises(ConflictError, match="not yet"):
        api.desk.answer(fail, key="k", request="r")

    assert api.desk.answer(lambda _: Reply({"ok": True}), key="k", request="r").body == {"ok": True}


def test_an_answer_that_says_nothing_yet_is_not_kept(api):
    first = api.desk.answer(lambda _: Reply({"n": 0}, is_kept=False), key="k", request="r")
    second = api.desk.answer(lambda _: Reply({"n": 1}), key="k", request="r")

    assert (first.body, second.body) == ({"n": 0}, {"n": 1})


def test_answers_are_forgotten_after_a_week(api, monkeypatch):
    monkeypatch.setattr("alchemy_async.service.staged.desk._FORGET_EVERY", 1)
    api.desk.answer(lambda _: Reply({"n": 1}), key="k", request="r")

    api.service.clock.advance(KEPT.total_seconds() + 1)
    api.desk.answer(lambda _: Reply({}), key="another", request="r")

    assert api.desk.answer(lambda _: Reply({"n": 2}), key="k", request="r").body == {"n": 2}


# -- what stands in a published queue belongs to whoever links its claim first


def test_what_was_never_listed_is_handed_out_without_a_file(api):
    api.stage(1.0)

    api.claim()

    assert not (api.desk.folder / "dump").exists()


def test_what_was_listed_is_handed_out_by_the_same_link(listed):
    held = listed.claim("w-rest")

    claim = json.loads((listed.desk.folder / "dump" / "claims" / "e0001.1.json").read_text())
    assert (held["id"], claim["worker"]) == ("e0001", "w-rest")


def test_who_was_faster_in_the_folder_has_it_and_the_next_is_handed_out(listed):
    link(listed)

    held = listed.claim("w-rest")

    assert held["id"] == "e0002"
    assert (attempt(listed).state, attempt(listed).worker) == (AttemptState.RUNNING, "w-folder")


def test_what_a_planner_withdrew_and_never_told_is_offered_again_under_its_next_attempt(listed):
    link(listed, worker="planner", instance="")

    held = listed.claim("w-rest")

    assert (held["id"], held["attempt"], state(listed)) == ("e0001", 2, ("running", 2))


def test_a_completion_of_all_takes_none_if_somebody_in_the_folder_was_faster(listed):
    link(listed, AttemptKey("e0002", 1))
    version = listed.did("GET", STAGED)["queue_version"]

    answer = listed.post(f"{STAGED}/complete", {"outputs": [1.0, 2.0], "queue_version": version})

    assert (answer.status_code, listed.rows()) == (409, [])
    assert (state(listed), state(listed, "e0002")[0]) == (("queued", 2), "running")


def test_a_completion_of_all_claims_what_was_listed_and_keeps_the_order(listed):
    listed.stage(3.0)

    listed.did("POST", f"{STAGED}/complete", {"outputs": [1.0, 2.0, 3.0]})

    assert [(row["T"], row["Output"]) for row in listed.rows()] == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    with listed.desk.look() as ledger:
        assert ledger.tally()["starts"] == 3


def test_what_a_worker_in_the_folder_runs_is_reported_by_itself(listed):
    link(listed)
    listed.claim("w-rest")

    for path, body in (
        (f"{STAGED}/e0001/complete", {"output": 1.0}),
        ("/experiments/queue/e0001/fail", {"error": "x"}),
    ):
        answer = listed.post(path, body)
        assert (answer.status_code, "reports by itself" in answer.json()["detail"]) == (409, True)


def test_withdrawing_what_somebody_in_the_folder_has_tells_it_to_stop(listed):
    link(listed)

    answer = listed.did("DELETE", f"{STAGED}/e0001")

    assert (answer["state"], answer["cancel"]) == ("running", True)


def test_clearing_links_what_was_listed_so_that_nobody_can_start_it(listed):
    assert listed.did("DELETE", STAGED)["n_cleared"] == 2

    claim = json.loads((listed.desk.folder / "dump" / "claims" / "e0001.1.json").read_text())
    assert claim["worker"] == "planner"


# -- after a crash


def test_a_claim_that_a_killed_server_linked_and_never_answered_is_offered_again(listed):
    link(listed, worker="w-rest", instance="service-killed")

    assert adopt(listed.desk) == 1
    assert state(listed) == ("queued", 2)
    assert attempt(listed).ending == "withdrawn"


def test_a_claim_of_a_worker_in_the_folder_is_taken_note_of(listed):
    link(listed)

    assert adopt(listed.desk) == 1
    assert (state(listed), attempt(listed).worker) == (("running", 1), "w-folder")


def test_where_nothing_was_linked_nothing_is_adopted(listed):
    before = listed.events()

    assert adopt(listed.desk) == 0
    assert listed.events() == before


def test_while_somebody_plans_nothing_is_adopted(listed):
    link(listed)

    with locks.hold(planner_lock(listed.desk.study.ledger_path), what="planning", mend="stop it"):
        assert adopt(listed.desk) == 0

    assert state(listed) == ("queued", 1)


def test_what_was_adopted_is_adopted_once(listed):
    link(listed, worker="w-rest", instance="service-killed")

    assert [adopt(listed.desk), adopt(listed.desk)] == [1, 0]


def test_a_claim_that_can_not_be_read_is_one_all_the_same(listed):
    Path(Layout(listed.desk.folder).claim(FIRST)).touch()

    assert adopt(listed.desk) == 1
    assert attempt(listed).worker == "unknown"


def test_what_is_read_again_is_made_anew_after_anybody_wrote(api):
    n_made = []

    def make(ledger):
        n_made.append(1)
        return [one.reason for one in ledger.waiting()]

    api.stage(1.0)
    assert api.desk.read("reasons", make) is api.desk.read("reasons", make)
    assert len(n_made) == 1

    with api.desk.turn() as turn:
        turn.change.annotate("e0001", reason="ours")
    assert api.desk.read("reasons", make) == ["ours"]

    with Ledger.open(api.desk.folder / "campaign.db") as other, other.change() as change:
        change.annotate("e0001", reason="another process's")
    assert api.desk.read("reasons", make) == ["another process's"]


def test_a_list_that_is_polled_shows_what_another_process_changed(api):
    api.stage(1.0)
    before = api.get(STAGED).json()
    with Ledger.open(api.desk.folder / "campaign.db") as other, other.change() as change:
        change.annotate("e0001", reason="another process's")

    assert api.get(STAGED).json() == {**before, "reason": "another process's", "reasons": ["another process's"]}
