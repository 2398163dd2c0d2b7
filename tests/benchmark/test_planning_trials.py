from __future__ import annotations

import dataclasses
import json

import pytest

from alchemy_async.benchmark.planning import contenders, run
from alchemy_async.benchmark.planning.contenders import CONTENDERS, contender
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.run import Wanted
from alchemy_async.benchmark.planning.store import Store, key_of
from alchemy_async.benchmark.planning.trial import Key, TrialError, run_trial


def record(name="sobol", problem="branin", n_workers=3, seed=0, *, fingerprint="", regret=0.5):
    return {
        **Key(name, problem, n_workers, seed)._asdict(), "fingerprint": fingerprint, "versions": {}, "regret": regret,
        "regret_chosen": regret, "t_s": [10.0, 20.0], "regret_so_far": [2 * regret, regret], "nearest_pending_min": 0.1,
        "n_asks": 2, "n_copies": 0, "asks": {"n": [4, 5], "wall_s": [0.1, 0.1], "cpu_s": [0.1, 0.1]},
    }  # fmt: skip


class Broken:
    def __init__(self, space, objectives):
        pass

    def ask(self, history, pending, n, seed):
        raise RuntimeError("no idea")


def test_a_trial_spends_the_whole_budget_and_its_regret_never_grows():
    found = run_trial(CONTENDERS["sobol"], PROBLEMS["branin"], 3, 1)

    assert len(found["t_s"]) == len(found["regret_so_far"]) == 40
    assert found["regret_so_far"] == sorted(found["regret_so_far"], reverse=True)
    assert found["regret"] == pytest.approx(found["regret_so_far"][-1], rel=0.01)
    assert found["n_asks"] == len(found["asks"]["n"]) > 0
    assert key_of(json.loads(json.dumps(found))) == Key("sobol", "branin", 3, 1)


def test_contenders_of_one_seed_meet_the_same_initial_design_and_the_same_durations():
    first, second = (run_trial(CONTENDERS[name], PROBLEMS["reaction"], 3, 1) for name in ("sobol", "random"))

    n_initial = PROBLEMS["reaction"].n_initial
    assert first["t_s"] == second["t_s"]
    assert first["regret_so_far"][: n_initial - 3] == second["regret_so_far"][: n_initial - 3]
    assert first["regret_so_far"] != second["regret_so_far"]


def test_noise_does_not_count_as_regret():
    problem = dataclasses.replace(PROBLEMS["reaction"], noise_sd=50.0)

    found = run_trial(CONTENDERS["sobol"], problem, 3, 1)

    assert 0 <= found["regret"] <= found["regret_chosen"]


def test_a_planner_that_fails_is_no_result():
    with pytest.raises(TrialError, match=r"failed .* no idea"):
        run_trial(contender(f"{__name__}:Broken"), PROBLEMS["branin"], 3, 0)


def test_what_is_kept_is_read_again(tmp_path):
    kept = Store(tmp_path / "new")
    kept.append(record())
    kept.append(record(seed=1))

    assert set(kept.read(["sobol", "random"])) == {Key("sobol", "branin", 3, 0), Key("sobol", "branin", 3, 1)}


def test_a_line_that_was_cut_off_is_left_aside_and_the_next_one_is_not_lost(tmp_path):
    kept = Store(tmp_path)
    kept.append(record())
    path = tmp_path / "sobol.jsonl"
    path.write_text(path.read_text() + '{"contender": "so')

    kept.append(record(seed=1))

    assert {key.seed for key in kept.read(["sobol"])} == {0, 1}


def test_of_a_trial_that_was_run_again_the_last_one_holds(tmp_path):
    kept = Store(tmp_path)
    kept.append(record(regret=0.5))
    kept.append(record(regret=0.1))

    assert kept.read(["sobol"])[Key("sobol", "branin", 3, 0)]["regret"] == 0.1


def test_trials_of_our_planner_hold_only_for_its_present_source(tmp_path):
    kept = Store(tmp_path)
    kept.append(record("bayesian", seed=0, fingerprint=contender("bayesian").fingerprint))
    kept.append(record("bayesian", seed=1, fingerprint="of another source"))

    assert {key.seed for key in kept.read(["bayesian"])} == {0}


def test_a_baseline_holds_whatever_becomes_of_our_source(monkeypatch):
    monkeypatch.setattr(contenders, "_source", lambda: "changed")

    assert contender("ax").fingerprint == contender("qlognei").fingerprint == ""
    assert contender("bayesian").fingerprint == "changed"


@pytest.fixture
def played(monkeypatch):
    """Trials that are only noted."""
    keys = []

    def play(one, problem, n_workers, seed):
        if one.name == "ax":
            raise TrialError("Ax is not installed")
        keys.append(Key(one.name, problem.name, n_workers, seed))
        return record(*keys[-1], fingerprint=one.fingerprint)

    monkeypatch.setattr(run, "run_trial", play)
    return keys


def test_trials_are_run_seed_by_seed_so_that_a_part_of_them_is_paired(tmp_path, played):
    wanted = Wanted(("sobol", "random"), ("branin", "reaction"), seeds=(0, 1))

    run.run(wanted, Store(tmp_path))

    assert [key.seed for key in played] == [0] * 4 + [1] * 4
    assert {key.contender for key in played[:4]} == {"sobol", "random"}


def test_what_is_there_is_not_run_again_unless_wanted_afresh(tmp_path, played):
    wanted = Wanted(("sobol",), ("branin", "reaction"), seeds=(0, 1))
    run.run(wanted, Store(tmp_path))

    run.run(wanted, Store(tmp_path))
    assert len(played) == 4

    run.run(dataclasses.replace(wanted, is_fresh=True), Store(tmp_path))
    assert len(played) == 8


def test_no_trial_starts_once_time_is_up(tmp_path, played):
    said = []

    run.run(Wanted(("sobol",), ("branin",), minutes=0.0), Store(tmp_path), said.append)

    assert played == []
    assert "24 trials are left" in said[-1]


def test_a_contender_that_fails_is_named_once_and_the_others_go_on(tmp_path, played):
    failures = run.run(Wanted(("ax", "sobol"), ("branin",), seeds=(0, 1, 2)), Store(tmp_path))

    assert [failure["what"] for failure in failures] == ["ax branin 3 0"]
    assert len(played) == 3


def test_what_is_declared_exact_is_for_those_that_can_be_told():
    on_exact = {key.contender for key in Wanted(tuple(CONTENDERS)).each() if PROBLEMS[key.problem].is_declared_exact}

    assert on_exact == {"bayesian", "optuna-gp"}
