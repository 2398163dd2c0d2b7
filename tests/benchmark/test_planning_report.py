from __future__ import annotations

import json

import numpy as np
import pytest

from alchemy_async.benchmark.planning import latency, schedule, summary
from alchemy_async.benchmark.planning.contenders import contender
from alchemy_async.benchmark.planning.goals import judge
from alchemy_async.benchmark.planning.plots import draw, over_time
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.reference_qlognei import ReferencePlanner
from alchemy_async.benchmark.planning.store import Store, key_of
from tests.benchmark.test_planning_trials import record

FIVE = [problem.name for problem in PROBLEMS.values() if not problem.is_declared_exact]


def trials(ratio, *, seeds=24, peer="ax", n_workers=3, n_copies=0, problems=None):
    """Return trials of ours and of a peer's, ours with so many times its regret, scattered."""
    rng = np.random.default_rng(0)
    records = []
    for problem in problems or FIVE:
        for seed in range(seeds):
            scatter = 10 ** (0.5 * rng.standard_normal())
            mine = record("bayesian", problem, n_workers, seed, regret=0.2 * ratio * scatter)
            records += [{**mine, "n_copies": n_copies}, record(peer, problem, n_workers, seed, regret=0.2)]
    return {key_of(one): one for one in records}


def goals(records, **parts):
    document = {"problems": summary.by_problem(records), "comparisons": summary.comparisons(records), **parts}
    return {goal["goal"]: goal for goal in judge(document)}


def verdicts(found, text):
    return [goal["is_met"] for name, goal in found.items() if text in name]


def test_a_planner_with_half_the_regret_is_better_over_all_problems():
    found = goals(trials(0.5))

    assert verdicts(found, "that of ax") == [True, True]


def test_a_planner_that_is_as_good_is_not_inferior_and_not_better():
    found = goals(trials(1.0))

    assert verdicts(found, "better: 3 workers") == [False]
    assert verdicts(found, "3 workers, 120 pairs: upper") == [True, False]


def test_a_planner_with_twice_the_regret_misses_the_goal():
    assert verdicts(goals(trials(2.0)), "that of ax") == [False, False]


def test_too_few_pairs_meet_no_goal_however_good_they_look():
    found = goals(trials(0.1, seeds=5))

    assert verdicts(found, "that of ax") == [False, False]
    assert any("25 pairs, of 113 that it takes" in name for name in found)


def test_at_eight_workers_24_pairs_are_enough():
    assert verdicts(goals(trials(0.5, seeds=5, n_workers=8)), "8 workers, 25 pairs") == [True]


def test_problems_that_are_declared_exact_are_pooled_apart():
    exact = [problem.name for problem in PROBLEMS.values() if problem.is_declared_exact]
    found = goals(trials(0.5) | trials(3.0, peer="optuna-gp", problems=exact))

    assert verdicts(found, "declared exact") == [False]
    assert verdicts(found, "that of ax") == [True, True]


def test_one_copy_of_a_pending_point_misses_the_goal():
    assert verdicts(goals(trials(1.0, n_copies=1)), "bayesian: asks that are copies") == [False]
    assert verdicts(goals(trials(1.0)), "bayesian: asks that are copies") == [True]


def asked(name, p50_ms, *, p95_ms=None, problem="hartmann6", n=60):
    times = {"p50": p50_ms, "p95": p95_ms or p50_ms}
    return {"problem": problem, "contender": name, "n": n, "n_asks": 12, "first_ms": p50_ms,
            "wall_ms": times, "cpu_ms": times}  # fmt: skip


@pytest.mark.parametrize(("problem", "ours_ms", "is_met"), [
    ("hartmann6", 90, True), ("hartmann6", 110, False), ("reaction", 340, True), ("reaction", 360, False),
])  # fmt: skip
def test_latency_is_judged_as_a_share_of_that_of_ax_in_the_same_run(problem, ours_ms, is_met):
    rows = [asked("bayesian", ours_ms, problem=problem), asked("ax", 1000, problem=problem)]

    assert verdicts(goals({}, latency=rows), "share of Ax's") == [is_met, is_met]


def test_an_ask_that_is_now_and_then_slow_misses_the_goal():
    assert verdicts(goals({}, latency=[asked("bayesian", 10, p95_ms=30)]), "95 % over median") == [False]


def test_many_observations_have_limits_of_their_own():
    found = goals({}, growth=[asked("bayesian", 200, n=1_000), asked("bayesian", 1_200, n=2_000)])

    assert verdicts(found, "steady ask") == [True, False]


def test_a_schedule_with_gaps_misses_the_goal():
    row = {"n_workers": 3, "n_seeds": 3, "utilisation": 0.9, "utilisation_ratio": 0.96, "speed_up": 1.31}

    assert verdicts(goals({}, schedule=[row]), "3 workers") == [False, True]


def test_histories_grow_by_one_observation_and_hold_what_a_campaign_has():
    problem = PROBLEMS["reaction"]

    short, pending = latency.history(problem, 21)

    assert len(short.observations) == 21
    assert len(pending) == 2
    space = problem.settings(0).as_space()
    assert all(space.check(observed.parameters) for observed in short.observations)


def test_all_contenders_are_asked_as_often_and_a_broken_one_is_named():
    rows, failures = latency.side_by_side(
        ["sobol", "tests.benchmark.test_planning_trials:Broken", "random"],
        problems=["branin"], sizes=[10], n_repeats=3,
    )  # fmt: skip

    assert [(row["contender"], row["n_asks"]) for row in rows] == [("sobol", 3), ("random", 3)]
    assert len(failures) == 1
    assert "no idea" in failures[0]["why"]


def test_the_schedule_of_a_planner_that_answers_at_once_has_no_gap_and_is_quicker_than_batches(monkeypatch):
    monkeypatch.setattr(schedule, "OURS", "sobol")

    (row,) = schedule.measure(n_workers=[3], seeds=[0])

    assert row["utilisation_ratio"] > 0.97
    assert row["speed_up"] > 1.2


def test_regret_over_time_is_a_staircase_that_begins_with_the_first_result():
    found = over_time([record(regret=0.5)], np.array([5.0, 10.0, 15.0, 25.0]), floor=0.6)

    assert np.isnan(found[0, 0])
    assert found[0, 1:].tolist() == [1.0, 1.0, 0.6]


def test_figures_are_drawn_for_regret_and_latency(tmp_path):
    pytest.importorskip("matplotlib")

    written = draw(trials(0.5, seeds=2, problems=["branin", "reaction"]), tmp_path / "figures")

    assert [path.suffix for path in written] == [".svg", ".svg"]
    assert all(path.stat().st_size > 1000 for path in written)


@pytest.mark.parametrize("name", ["branin", pytest.param("reaction", marks=pytest.mark.slow)])
def test_the_reference_keeps_away_from_what_is_pending(name):
    problem = PROBLEMS[name]
    settings = problem.settings(0)
    space = settings.as_space()
    reference = ReferencePlanner(space, settings.as_objectives())
    history, _ = latency.history(problem, 12)
    (first,) = reference.ask(history, (), 1, 0)

    (second,) = reference.ask(history, (first.parameters,), 1, 0)

    assert space.check(second.parameters)
    assert space.distances(space.to_unit([first.parameters]), space.to_unit([second.parameters]))[0, 0] > 1e-3


# -- the command -----------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    store = Store(tmp_path)
    for one in trials(0.5).values():
        store.append({**one, "fingerprint": contender(one["contender"]).fingerprint})


def test_the_command_compares_what_is_there_without_running_anything(shown, kept):
    ended = shown("--only", "none", "--seeds", "0-23", "--json")

    document = json.loads(ended.stdout)
    assert ended.exit_code == 0
    assert document["n_trials"]["there"] == 240
    pooled = [row for row in document["comparisons"] if row["problem"] is None]
    assert [(row["peer"], row["n_pairs"]) for row in pooled] == [("ax", 120)]


def test_the_tables_say_which_goals_are_not_met(shown, kept):
    ended = shown("--only", "none", "--seeds", "0-4")

    assert ended.exit_code == 0
    assert "NOT MET" in ended.stdout


def test_the_command_runs_what_is_missing_and_keeps_it(shown, tmp_path):
    ended = shown("--only", "trials", "--contenders", "sobol", "--problems", "branin", "--seeds", "0,1")

    assert ended.exit_code == 0
    assert len((tmp_path / "sobol.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "everything"), "is no part"),
        (("--problems", "rosenbrock"), "is no problem"),
        (("--workers", "0"), "numbers of workers"),
        (("--seeds", "x"), "names no seeds"),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(shown, arguments, said):
    ended = shown(*arguments)

    assert ended.exit_code == 2
    assert said in ended.output
