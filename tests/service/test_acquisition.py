from __future__ import annotations

import threading

import pytest
from fastapi.testclient import TestClient

from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.models import acquiring
from alchemy_async.service.models.acquiring import STRATEGIES, Wish
from alchemy_async.service.problems import UnavailableError
from alchemy_async.service.server.app import create_app
from alchemy_async.service.staged import handouts
from tests.service.one_pool import one_pool, pool  # noqa: F401 - fixtures

MIXED = """
[campaign]
name = "mixed"
durable = false

[[parameters]]
name = "T"
type = "continuous"
bounds = [0, 10]

[[parameters]]
name = "p"
type = "continuous"
bounds = [1, 20]

[[parameters]]
name = "c"
type = "categorical"
options = ["A", "B"]

[[parameters]]
name = "humidity"
type = "continuous"
bounds = [0, 100]
context = true

[[objectives]]
name = "Output"
goal = "maximize"
"""
FOUR_POINTS = """
[campaign]
name = "four"
durable = false

[[parameters]]
name = "c"
type = "categorical"
options = ["A", "B", "C", "D"]

[[objectives]]
name = "Output"
goal = "maximize"
"""
SUGGEST = "/acquisition/suggest"


def yields(point):
    return 5.0 - (point["T"] - 6.0) ** 2 / 5.0 + (1.0 if point["c"] == "B" else 0.0)


def measure(api, points, outputs=None):
    rows = [
        {"inputs": point, "output": yields(point) if outputs is None else outputs[i]} for i, point in enumerate(points)
    ]
    api.did("POST", "/experiments/batch", {"experiments": rows})


def begun(api, n=8):
    """Measure some points, so that a model is possible."""
    measure(api, [{"T": 10.0 * k / (n - 1), "c": "AB"[k % 2]} for k in range(n)])
    return api


def suggest(api, **wish):
    return api.did("POST", SUGGEST, wish)["suggestions"]


def are_apart(api, points):
    space = api.desk.study.space
    return all(not space.is_copy(point, points[:i]) for i, point in enumerate(points))


# -- what is suggested ---------------------------------------------------------


def test_a_session_without_data_gets_points_that_fill_the_space_and_can_be_staged_as_they_are(api):
    answer = api.did("POST", SUGGEST, {"strategy": "qEI", "goal": "maximize", "n_suggestions": 4})

    found = answer["suggestions"]
    staged = api.did("POST", "/experiments/staged/batch", {"experiments": found})
    assert [list(point) for point in found] == [["T", "c"]] * 4
    assert are_apart(api, found)
    assert (answer["n_suggestions"], len(answer["diagnostics"])) == (4, 4)
    assert staged["experiments"] == found


def test_a_session_without_variables_says_what_is_missing(at_hand):
    empty = at_hand("empty", '[campaign]\nname = "e"\n[[objectives]]\nname = "Output"\ngoal = "maximize"\n')

    answer = empty.post(SUGGEST, {})

    assert (answer.status_code, answer.json()["error_type"]) == (400, "NoVariablesError")


def test_a_session_with_data_gets_points_where_more_is_to_be_expected(api):
    begun(api)

    (found,) = suggest(api)

    assert abs(found["T"] - 6.0) < 1.5
    assert found["c"] == "B"


def test_the_shorter_address_answers_the_same(api):
    answer = api.did("POST", "/acquire", {"strategy": "qEI", "goal": "maximize", "n_suggestions": 2})

    assert len(answer["suggestions"]) == answer["n_suggestions"] == 2


def test_the_goal_can_be_turned_round_for_one_question(api):
    begun(api, 12)

    (high,), (low,) = suggest(api, goal="maximize"), suggest(api, goal="minimize")

    assert yields(low) < 0.0 < yields(high)
    assert api.did("GET", "/state")["last_goal"] == "minimize"


@pytest.mark.parametrize("strategy", [names[0] for ours, names in STRATEGIES.items() if ours != "hypervolume"])
def test_every_strategy_suggests_batches_of_points_apart(api, strategy):
    begun(api)

    found = suggest(api, strategy=strategy.lower(), n_suggestions=3)

    assert len(found) == 3
    assert are_apart(api, found)


def test_a_strategy_that_there_is_not_is_refused_with_those_that_there_are(api):
    answer = api.post(SUGGEST, {"strategy": "luck"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "strategy"]
    assert all(name in answer.json()["detail"] for name in ("qEI", "qUCB", "qNIPV", "Sobol"))


def test_a_strategy_for_several_objectives_is_refused_where_there_is_one_and_the_other_way_round(api, two):
    assert api.post(SUGGEST, {"strategy": "qNEHVI"}).status_code == 422
    assert two.post(SUGGEST, {"strategy": "UCB"}).status_code == 422
    assert two.post(SUGGEST, {"goal": "maximize"}).json()["errors"][0]["loc"] == ["body", "goal"]


def test_two_objectives_are_searched_for_what_dominates(two):
    rows = [
        {"inputs": {"T": float(t), "c": "A"}, "output": {"Output": t, "cost": (t - 4) ** 2}} for t in range(0, 11, 2)
    ]
    two.did("POST", "/experiments/batch", {"experiments": rows})

    answer = two.did("POST", SUGGEST, {"strategy": "qNEHVI", "n_suggestions": 2})

    assert answer["strategy"] == "hypervolume"
    assert are_apart(two, answer["suggestions"])


@pytest.mark.parametrize(
    ("wish", "place"),
    [
        ({"n_suggestions": 0}, "n_suggestions"),
        ({"n_suggestions": 65}, "n_suggestions"),
        ({"xi": -1.0}, "xi"),
        ({"kappa": "wide"}, "kappa"),
        ({"goal": "min"}, "goal"),
        ({"hold": {"zz": 1}}, "hold"),
        ({"hold": {"T": 99.0}}, "hold"),
        ({"observed": {"T": 1.0}}, "observed"),
        ({"what": 1}, "what"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_with_its_place(api, wish, place):
    answer = api.post(SUGGEST, wish)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][1] == place


def test_numbers_that_are_none_are_refused(api):
    for text in ('{"xi": NaN}', '{"kappa": Infinity}', '{"hold": {"T": NaN}}'):
        answer = api.send("POST", SUGGEST, content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422


def test_what_is_held_keeps_its_value_and_what_is_read_is_as_it_was_read(at_hand):
    api = at_hand("mixed", MIXED)
    points = [{"T": float(k), "p": 1.0 + k, "c": "AB"[k % 2], "humidity": 10.0 * k} for k in range(8)]
    measure(api, points, [float(k % 5) for k in range(8)])

    held = api.did("POST", SUGGEST, {"hold": {"c": "A", "p": 5}, "n_suggestions": 2, "observed": {"humidity": 120.0}})
    (newest,) = suggest(api)

    assert [(one["c"], one["p"], one["humidity"]) for one in held["suggestions"]] == [("A", 5.0, 120.0)] * 2
    assert held["diagnostics"][0]["held"] == ["c", "p"]
    assert newest["humidity"] == 70.0


def test_constraints_hold_for_what_is_suggested(at_hand):
    limited = MIXED + "\n[[constraints]]\nterms = { T = 1.0, p = 1.0 }\nat_most = 6.0\n"
    api = at_hand("limited", limited)
    points = [{"T": 0.5 * k, "p": 1.0 + 0.2 * k, "c": "A"} for k in range(6)]
    measure(api, points, [point["T"] for point in points])

    found = suggest(api, n_suggestions=3)

    assert all(point["T"] + point["p"] <= 6.0 + 1e-6 for point in found)


# -- what is pending -----------------------------------------------------------


def test_asking_twice_without_completing_brings_other_points(api):
    begun(api)

    points = [point for _ in range(4) for point in suggest(api, n_suggestions=2)]

    assert are_apart(api, points)


def test_what_is_staged_running_or_interrupted_is_not_suggested_again(api):
    begun(api)
    first = suggest(api, n_suggestions=3)
    api.did("POST", "/experiments/staged/batch", {"experiments": first})
    api.claim()
    api.claim("w-2", lease_s=1)
    api.service.clock.advance(7200)

    answer = api.did("POST", SUGGEST, {"n_suggestions": 3})

    assert are_apart(api, [*first, *answer["suggestions"]])
    assert answer["n_pending"] == 3


def test_clients_that_ask_at_the_same_time_get_different_points(api):
    begun(api)
    found = []
    threads = [threading.Thread(target=lambda: found.extend(suggest(api, n_suggestions=2))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert are_apart(api, found)


def test_what_was_suggested_is_known_after_a_restart(api, tmp_path):
    begun(api)
    before = suggest(api, n_suggestions=2)
    api.service.close()
    again = make_service(ServiceSettings(root=tmp_path / "root"), api.service.clock)
    client = TestClient(create_app(again), base_url="http://127.0.0.1:8000")

    after = client.post(f"/api/v1/sessions/s1{SUGGEST}", json={"n_suggestions": 2}).json()
    again.close()

    assert after["n_pending"] == 2
    assert are_apart(api, [*before, *after["suggestions"]])


def test_what_was_only_looked_at_counts_for_an_hour(api):
    begun(api)
    first = suggest(api)
    api.service.clock.advance(3599)
    within = suggest(api)
    api.service.clock.advance(3601)

    later = suggest(api)

    assert within != first
    assert later == first


def test_what_was_suggested_and_measured_with_rounded_values_is_pending_no_more(api):
    begun(api)
    (point,) = suggest(api)
    measure(api, [{**point, "T": round(point["T"], 1)}])

    answer = api.did("POST", SUGGEST, {})

    assert answer["n_pending"] == 0


def test_a_suggestion_that_was_staged_and_withdrawn_may_come_again(api):
    begun(api)
    first = suggest(api)
    api.did("POST", "/experiments/staged/batch", {"experiments": first})
    api.did("DELETE", "/experiments/staged")

    assert suggest(api) == first


def test_a_small_space_repeats_what_was_handed_out_only_when_nothing_else_is_left(at_hand):
    api = at_hand("four", FOUR_POINTS)
    api.did("POST", "/experiments/staged/batch", {"experiments": [{"c": "A"}]})

    first, second = suggest(api, n_suggestions=2), suggest(api, n_suggestions=2)

    assert {point["c"] for point in first}.isdisjoint({"A"})
    assert len({point["c"] for point in [*first, *second]}) == 3
    assert len(second) == 2
    assert "A" not in {point["c"] for point in second}


def test_a_space_with_nothing_left_says_so(at_hand):
    api = at_hand("four", FOUR_POINTS)
    measure(api, [{"c": name} for name in "ABCD"], [1.0, 2.0, 3.0, 4.0])

    answer = api.did("POST", SUGGEST, {"n_suggestions": 2})

    assert (answer["suggestions"], answer["n_suggestions"], answer["diagnostics"]) == ([], 0, [])


def test_no_more_than_64_handouts_are_kept(api):
    for _ in range(3):
        suggest(api, strategy="random", n_suggestions=30)

    with api.desk.look() as ledger:
        kept = handouts._read(ledger.meta("handed_out"))
    assert len(kept) == 64


def test_a_variable_that_was_changed_since_makes_handouts_of_no_account(api):
    suggest(api, n_suggestions=2)
    api.did("PUT", "/variables/c", {"name": "c", "type": "categorical", "categories": ["X", "Y"]})

    answer = api.did("POST", SUGGEST, {})

    assert answer["n_pending"] == 0
    assert answer["suggestions"][0]["c"] in "XY"


# -- what is kept --------------------------------------------------------------


def test_what_was_expected_of_a_suggestion_can_be_told_when_it_is_staged(api):
    begun(api)
    (point,) = suggest(api, strategy="UCB", kappa=1.5)

    with api.desk.look() as ledger:
        noted, other = handouts.noted(ledger, point), handouts.noted(ledger, {**point, "T": 1.0})

    assert (noted["strategy"], noted["kappa"], noted["goal"]) == ("UCB", 1.5, {"Output": "maximize"})
    assert noted["asked_at"].endswith("Z")
    assert set(noted["expected"]["Output"]) == {"mean", "sd"}
    assert other == {}


def test_each_ask_is_an_event_and_the_state_shows_the_last_one(api):
    begun(api)
    (point,) = suggest(api, xi=0.1)

    event, state = api.events()[-1], api.did("GET", "/state")

    assert (event["kind"], event["details"]["suggestions"], event["details"]["xi"]) == ("suggested", [point], 0.1)
    assert state["last_suggestion"] == point
    assert isinstance(state["last_acquisition_value"], float)


def test_an_ask_that_a_model_answered_is_timed_and_one_that_fills_the_space_is_not(api):
    suggest(api)
    with api.desk.look() as ledger:
        assert ledger.ask_seconds() == []
    begun(api)
    suggest(api, n_suggestions=2)

    with api.desk.look() as ledger:
        assert len(ledger.ask_seconds()) == 1


def test_others_are_served_while_a_process_thinks(api, one_pool, monkeypatch):  # noqa: F811
    begun(api)
    asked, go_on, do = threading.Event(), threading.Event(), one_pool.do

    def slowly(*args, **more):
        asked.set()
        go_on.wait(20)
        return do(*args, **more)

    monkeypatch.setattr(one_pool, "do", slowly)
    thread = threading.Thread(target=suggest, args=(api,))
    thread.start()
    asked.wait(20)

    api.stage(1.5)
    go_on.set()
    thread.join()

    assert api.events()[-2]["kind"] == "queued"


def test_nothing_is_handed_out_where_no_process_answers(api, one_pool, monkeypatch):  # noqa: F811
    def fail(*args, **more):
        raise UnavailableError("the planner's process ended twice")

    monkeypatch.setattr(one_pool, "do", fail)
    before = len(api.events())

    answer = api.post(SUGGEST, {})

    assert answer.status_code == 503
    assert len(api.events()) == before


def test_the_same_ledger_and_seed_bring_the_same_suggestions_whoever_answers(at_hand):
    seeded = "\n[planner]\nseed = 3\n"
    first, second = at_hand("one", MIXED + seeded), at_hand("two", MIXED + seeded)
    points = [{"T": float(k), "p": 1.0 + k, "c": "AB"[k % 2]} for k in range(6)]
    for api in (first, second):
        measure(api, points, [float(k) for k in range(6)])

    assert suggest(first, n_suggestions=3) == suggest(second, n_suggestions=3)


def test_options_of_the_campaign_hold_and_another_planner_of_a_person_is_left_alone(at_hand):
    api = at_hand("mine", MIXED + '\n[planner]\nstrategy = "my_lab:Mine"\n[planner.options]\nnoise = 3\nluck = true\n')

    assert len(suggest(api, n_suggestions=2)) == 2


def test_a_wish_is_noted_without_what_was_not_wished():
    assert Wish("EI").noted() == {}
    assert Wish("EI", xi=0.0, hold={"T": 1}).noted() == {"xi": 0.0, "hold": {"T": 1}}


# -- the optimum ---------------------------------------------------------------


def test_the_optimum_is_where_the_model_expects_the_best(api):
    begun(api, 14)

    best, worst = (api.did("POST", "/acquisition/find-optimum", {"goal": goal}) for goal in ("maximize", "minimize"))

    assert best["optimum"]["T"] == pytest.approx(6.0, abs=0.3)
    assert best["optimum"]["c"] == "B"
    assert best["predicted_value"] == pytest.approx(6.0, abs=0.3)
    assert best["predicted_std"] >= 0.0
    assert (best["goal"], worst["goal"]) == ("maximize", "minimize")
    assert worst["predicted_value"] < 0.0


def test_there_is_no_optimum_without_data_without_differences_and_of_two_objectives(api, two):
    none = api.post("/acquisition/find-optimum", {})
    measure(api, [{"T": 1.0, "c": "A"}, {"T": 2.0, "c": "A"}], [1.0, 1.0])
    equal = api.post("/acquisition/find-optimum", {})
    rows = [{"inputs": {"T": float(t), "c": "A"}, "output": {"Output": t, "cost": -t}} for t in range(4)]
    two.did("POST", "/experiments/batch", {"experiments": rows})

    both = two.post("/acquisition/find-optimum", {})

    assert (none.status_code, none.json()["error_type"]) == (400, "NoDataError")
    assert (equal.status_code, equal.json()["error_type"]) == (400, "NoModelError")
    assert both.status_code == 422
    assert acquiring.MOST == 64
