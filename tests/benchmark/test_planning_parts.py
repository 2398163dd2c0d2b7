"""Rows, goals and commands of the parts `front` and `failing`."""

from __future__ import annotations

import json

import pytest

from alchemy_async.benchmark.planning import document, latency
from alchemy_async.benchmark.planning.catalogue import EVERY, is_compared
from alchemy_async.benchmark.planning.contenders import CONTENDERS, IGNORING, OURS, contender
from alchemy_async.benchmark.planning.failing import FAILING
from alchemy_async.benchmark.planning.fronts import FRONTS
from alchemy_async.benchmark.planning.goals import judge
from alchemy_async.benchmark.planning.run import Wanted
from alchemy_async.benchmark.planning.store import Store, key_of
from alchemy_async.cli.bench_planner import _PARTS
from tests.benchmark.test_planning_trials import record


def fronts(more=0.0, *, seeds=8, ours_s=0.1, process="of both", problems=tuple(FRONTS)):
    """Return trials of ours and of Ax's, whose fronts cover so much more; its asks take 1 s."""
    records = []
    for problem in problems:
        for seed in range(seeds):
            for name, share, ask_s in ((OURS, 0.5, ours_s), ("ax", 0.5 + more, 1.0)):
                one = record(name, problem, seed=seed, fingerprint=contender(name).fingerprint)
                asks = {"n": [4, 5], "wall_s": [ask_s, ask_s], "cpu_s": [ask_s, ask_s]}
                where = process if name == OURS else "of both"
                records.append({**one, "share": share, "share_so_far": [0.0, share], "process": where, "asks": asks})
    return {key_of(one): one for one in records}


def failures(ours=10, theirs=30, *, initial=3, regret=0.1, seeds=8, problems=tuple(FAILING)):
    """Return trials of ours with so many failures, and of the same with failures ignored, which has regret 0.1."""
    records = []
    for problem in problems:
        for seed in range(seeds):
            for name, n_failed, left in ((OURS, ours, regret), (IGNORING, theirs, 0.1)):
                one = record(name, problem, seed=seed, fingerprint=contender(name).fingerprint, regret=left)
                records.append(
                    {
                        **one,
                        "n_failed": n_failed,
                        "n_failed_initial": initial,
                        "failed_t_s": [1.0 + k for k in range(n_failed)],
                    }
                )
    return {key_of(one): one for one in records}


def verdicts(records, text):
    found = judge(document.summarised(records))
    return [goal["is_met"] for goal in found if text in goal["goal"]]


# -- two objectives --------------------------------------------------------


@pytest.mark.parametrize(("more", "is_met"), [(-0.1, True), (0.0, True), (0.019, True), (0.021, False)])
def test_a_front_is_no_worse_than_that_of_ax_up_to_a_fiftieth_of_the_largest(more, is_met):
    assert verdicts(fronts(more), "front covers more") == [is_met] * 5, "all together, and each of the four"


def test_too_few_fronts_meet_no_goal_however_good_they_look():
    assert verdicts(fronts(-0.3, seeds=7), "front covers more") == [False] * 5
    assert verdicts(fronts(-0.3, seeds=7), "time of an ask") == [False] * 8


def test_many_pairs_of_one_problem_do_not_speak_for_all():
    assert verdicts(fronts(-0.3, seeds=32, problems=("zdt1",)), "front covers more") == [False, True]
    assert verdicts(failures(1, 30, seeds=16, problems=("branin_failing",)), "failures ignored") == [False] * 3


def test_a_problem_that_is_missing_leaves_only_the_goal_of_all_together_unmet():
    assert verdicts(fronts(problems=("zdt1", "zdt2", "dtlz2")), "front covers more") == [False, True, True, True]


@pytest.mark.parametrize(("ours_s", "is_met"), [(0.49, True), (0.5, True), (0.51, False)])
def test_an_ask_may_take_half_of_the_time_of_ax(ours_s, is_met):
    assert verdicts(fronts(ours_s=ours_s), "time of an ask") == [is_met] * 8


def test_asks_of_two_processes_are_not_compared():
    found = fronts(process="of another")

    (row, *_) = document.summarised(found)["front"]["comparisons"]
    assert (row["n_pairs"], row["n_timed_pairs"], row["ask_wall_ratio"]) == (32, 0, None)
    assert verdicts(found, "time of an ask") == [False] * 8


def test_asks_of_one_process_alone_meet_no_goal_where_they_are_too_few():
    found = fronts(process="of another") | fronts(seeds=7)

    (row, *_) = document.summarised(found)["front"]["comparisons"]
    assert row["ask_wall_ratio"] == pytest.approx(0.1)
    assert verdicts(found, "time of an ask") == [False] * 8
    assert verdicts(found, "front covers more") == [True] * 5


def test_a_larger_front_is_a_win_of_ours():
    (row, *_) = document.summarised(fronts(-0.1))["front"]["comparisons"]

    assert (row["problem"], row["n_wins"], row["n_losses"]) == (None, 32, 0)
    assert row["difference"] == row["upper"] == pytest.approx(-0.1)


# -- failures --------------------------------------------------------------


@pytest.mark.parametrize(("ours", "is_met"), [(10, True), (11, False)])
def test_a_third_of_the_failures_meets_the_goal_and_those_of_the_initial_design_count(ours, is_met):
    found = failures(ours, 30)

    (row, *_) = document.summarised(found)["failing"]["comparisons"]
    assert verdicts(found, "failures to the end") == [is_met]
    assert (row["n_failed"], row["n_failed_peer"]) == (16 * ours, 16 * 30)
    assert row["ratio_chosen"] == pytest.approx((ours - 3) / 27)


def test_failures_until_the_optimum_is_found_have_a_goal_of_their_own():
    found = failures(30, 30)
    for key, one in found.items():  # ours with its first result, at 10 s, when nine experiments have failed
        one["regret_so_far"] = [0.0, 0.0] if key.contender == OURS else [1.0, 1.0]

    (row, *_) = document.summarised(found)["failing"]["comparisons"]
    assert (row["n_found"], row["n_failed_until_found"], row["n_failed_until_found_peer"]) == (16, 16 * 9, 16 * 30)
    assert verdicts(found, "failures until the optimum is found") == [True]
    assert verdicts(found, "failures to the end") == [False]


def test_failures_are_summed_before_they_are_compared():
    one, other = FAILING
    found = failures(10, 10, problems=(one,)) | failures(10, 50, problems=(other,))

    assert verdicts(found, "failures to the end") == [True], "20 of 60; the mean of both ratios would be 0.6"


@pytest.mark.parametrize(("regret", "is_met"), [(0.05, True), (0.17, True), (0.19, False)])
def test_few_failures_may_not_be_paid_for_with_regret(regret, is_met):
    assert verdicts(failures(regret=regret), "that with failures ignored") == [is_met]


def test_too_few_campaigns_with_failures_meet_no_goal():
    assert verdicts(failures(1, 30, seeds=7), "failures ignored") == [False] * 3


def test_a_planner_that_never_fails_where_nobody_does_has_no_share():
    assert verdicts(failures(0, 0, initial=0), "failures to the end") == [False]


# -- parts -----------------------------------------------------------------


def test_copies_are_counted_in_all_campaigns():
    found = {key: {**one, "n_copies": 1} for key, one in fronts(seeds=1).items()} | failures(seeds=1)

    (goal,) = [goal for goal in judge(document.summarised(found)) if goal["goal"].startswith("bayesian: asks")]
    assert (goal["figure"], goal["is_met"]) == (4, False)


def test_each_problem_has_its_own_contenders_and_a_planner_of_ones_own_runs_on_all():
    on = {name: {one for one in CONTENDERS if is_compared(one, name)} for name in EVERY}

    assert on["branin"] == set(CONTENDERS) - {IGNORING}
    assert all(on[name] == {"sobol", "random", "ax", OURS} for name in FRONTS)
    assert all(on[name] == {"sobol", "random", OURS, IGNORING} for name in FAILING)
    assert all(is_compared("my_lab:Mine", name) for name in EVERY)


def test_the_planner_that_ignores_failures_is_not_timed(tmp_path, monkeypatch):
    timed = []
    monkeypatch.setattr(latency, "side_by_side", lambda names, show: (timed.extend(names), ([], []))[1])

    document.measure(Wanted((*CONTENDERS, "my_lab:Mine")), Store(tmp_path), ["latency"])

    assert timed == [*(name for name in CONTENDERS if name not in ("sobol", "random", IGNORING)), "my_lab:Mine"]


def test_the_command_knows_every_part():
    assert _PARTS == document.PARTS


@pytest.fixture
def kept(tmp_path):
    for one in (fronts(0.1, seeds=2) | failures(seeds=2)).values():
        Store(tmp_path).append(one)


def test_a_run_of_fronts_that_was_broken_off_is_gone_on_with(shown, tmp_path):
    asked = ("--only", "front", "--contenders", "sobol", "--problems", "dtlz2,branin", "--json")
    shown(*asked, "--seeds", "0")
    path = tmp_path / "sobol.jsonl"
    first = path.read_text()
    path.write_text(first + first[: len(first) // 2])

    ended = shown(*asked, "--seeds", "0,1")

    told = json.loads(ended.stdout)
    assert told["n_trials"] == {"wanted": 2, "there": 2}, "branin belongs to another part"
    assert path.read_text().startswith(first)
    assert [(row["problem"], row["n_trials"]) for row in told["front"]["problems"]] == [("dtlz2", 2)]


def test_a_run_of_failures_runs_no_other_part(shown, tmp_path):
    ended = shown(
        "--only", "failing", "--contenders", "random", "--problems", "branin_failing", "--seeds", "0", "--json"
    )

    told = json.loads(ended.stdout)
    (row,) = told["failing"]["problems"]
    assert row["n_failed"] > row["n_failed_initial"]
    assert told["problems"] == told["front"]["problems"] == told["failures"] == []
    assert len((tmp_path / "random.jsonl").read_text().splitlines()) == 1


def test_the_tables_have_fronts_and_failures_and_the_goals_that_are_missed(shown, kept):
    ended = shown("--only", "none", "--seeds", "0-1")

    assert ended.exit_code == 0
    for text in ("Two objectives", "Front against", "40 % fails", "Failures", "until found", "NOT MET", "zdt2"):
        assert text in ended.stdout


def test_one_part_is_compared_without_the_others(shown, kept):
    told = json.loads(
        shown("--only", "failing", "--contenders", f"{OURS},{IGNORING}", "--seeds", "0-1", "--json").stdout
    )

    assert told["front"] == {"problems": [], "comparisons": []}
    assert [row["problem"] for row in told["failing"]["comparisons"]] == [None, *FAILING]


def test_figures_leave_fronts_and_failures_out(shown, kept, tmp_path):
    pytest.importorskip("matplotlib")
    ended = shown("--only", "none", "--seeds", "0-1", "--figures", str(tmp_path / "figures"))

    assert ended.exit_code == 0
