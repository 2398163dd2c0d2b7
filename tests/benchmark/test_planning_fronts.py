from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from alchemy_async.benchmark.planning.contenders import CONTENDERS
from alchemy_async.benchmark.planning.fronts import FRONTS, hypervolume, process, suzuki
from alchemy_async.benchmark.planning.store import key_of
from alchemy_async.benchmark.planning.trial import Key, run_trial
from alchemy_async.drivers.dataset import driver as dataset

ANALYTIC = ("zdt1", "zdt2", "dtlz2")
ON_THE_FRONT = {"zdt1": 0.0, "zdt2": 0.0, "dtlz2": 0.5}  # what all variables but the first are there


def drawn(problem, n, seed=0):
    space = problem.settings(0).as_space()
    return space.from_unit(np.random.default_rng(seed).random((n, len(space.names))))


def rows_of_suzuki(tmp_path):
    table = dataset("suzuki", folder=tmp_path).table()
    names = dict.fromkeys(table.columns[:-1], False)
    return table.rows(names, ("yield",))


@pytest.mark.parametrize(
    ("losses", "area"),
    [
        ([], 0.0),
        ([(0.0, 0.0)], 2.0),
        ([(0.0, 1.0), (0.5, 0.0)], 1.5),
        ([(0.5, 0.0), (0.0, 1.0), (0.6, 1.5), (0.5, 0.0)], 1.5),
        ([(1.0, 0.0), (0.0, 2.0), (-5.0, 3.0)], 0.0),
    ],
    ids=["no point", "one point", "two points", "dominated ones and copies", "none better in both"],
)
def test_the_hypervolume_is_the_area_up_to_the_reference(losses, area):
    assert hypervolume(losses, (1.0, 2.0)) == pytest.approx(area)


def test_the_hypervolume_is_that_of_botorch():
    pytest.importorskip("botorch")
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume
    from botorch.utils.multi_objective.pareto import is_non_dominated

    losses = np.random.default_rng(0).random((40, 2)) * 1.5
    values = -torch.tensor(losses)

    theirs = Hypervolume(torch.tensor([-1.1, -1.1])).compute(values[is_non_dominated(values)])
    assert hypervolume([tuple(pair) for pair in losses], (1.1, 1.1)) == pytest.approx(theirs)


@pytest.mark.parametrize("name", ANALYTIC)
def test_the_functions_and_their_largest_hypervolume_are_those_of_botorch(name):
    pytest.importorskip("botorch")
    import torch
    from botorch.test_functions import multi_objective

    problem, far = FRONTS[name], 11.0 if name.startswith("zdt") else 1.1
    theirs = getattr(multi_objective, name.upper())(dim=len(problem.parameters), num_objectives=2)
    points = drawn(problem, 20)

    inputs = torch.tensor([list(point.values()) for point in points], dtype=torch.float64)
    assert [list(problem.measure(point).values.values()) for point in points] == [
        pytest.approx(row) for row in theirs(inputs).tolist()
    ]
    moved = far**2 - problem.reference[0] ** 2  # the reference lies farther out, and the volume up to it is larger
    assert problem.largest + moved == pytest.approx(theirs._max_hv)


@pytest.mark.parametrize("name", ANALYTIC)
def test_the_true_front_has_the_largest_hypervolume_and_no_point_goes_beyond(name):
    problem = FRONTS[name]
    n_others = len(problem.parameters) - 1
    others = {f"x{k + 1}": ON_THE_FRONT[name] for k in range(n_others)}

    front = [problem.measure({"x0": first, **others}).values for first in np.linspace(0, 1, 2001)]

    assert 0.998 < problem.share(front) < 1
    assert problem.share([*front, *(problem.measure(point).values for point in drawn(problem, 500))]) < 1


def test_all_rows_of_the_real_dataset_together_have_the_largest_hypervolume(tmp_path):
    problem = FRONTS["suzuki"]

    rows = [problem.measure(row.parameters) for row in rows_of_suzuki(tmp_path)]

    assert len(rows) == 247
    assert problem.share([row.values for row in rows]) == pytest.approx(1.0, abs=1e-12)


def test_the_reference_is_the_nadir_and_a_tenth_of_the_front_farther_out(tmp_path):
    pairs = [tuple(suzuki(row.parameters).values.values()) for row in rows_of_suzuki(tmp_path)]
    values = np.array(pairs)
    is_beaten = [((values >= one).all(axis=1) & (values > one).any(axis=1)).any() for one in values]
    front = values[~np.array(is_beaten)]

    low, high = np.min(front, axis=0), np.max(front, axis=0)
    assert FRONTS["suzuki"].reference == pytest.approx(low - 0.1 * (high - low), abs=0.05)
    assert [FRONTS[name].reference for name in ANALYTIC] == [(1.1, 1.1)] * 3, "their fronts go from 0 to 1"


def test_the_nearest_measured_row_is_observed_and_reported_as_run():
    seen = suzuki({"temperature": 89.0, "pd_mol": 0.6, "arbpin": 1.79, "k3po4": 2.9})

    assert seen.parameters == {"temperature": 90.0, "pd_mol": 0.5, "arbpin": 1.8, "k3po4": 3.0}
    assert seen.values["turnover"] == pytest.approx(2 * seen.values["yield"])


@pytest.mark.parametrize("name", FRONTS)
def test_planners_are_told_both_objectives_and_neither_reference_nor_noise(name):
    problem = FRONTS[name]

    settings = problem.settings(3)

    assert settings.planner.options == {}
    assert [objective.reference for objective in settings.as_objectives()] == [None, None]
    assert settings.budget.experiments == 60
    assert settings.n_initial() == 2 * (len(problem.parameters) + 1)


@pytest.mark.parametrize("name", ["dtlz2", "suzuki"])
def test_a_trial_spends_the_budget_and_its_share_never_falls(name):
    problem = dataclasses.replace(FRONTS[name], budget=20)

    found = run_trial(CONTENDERS["sobol"], problem, 3, 1)

    assert len(found["t_s"]) == len(found["share_so_far"]) == 20
    assert found["share_so_far"] == sorted(found["share_so_far"])
    assert 0 < found["share"] < 1
    assert math.isclose(found["share"], found["share_so_far"][-1], rel_tol=0.01)
    assert key_of(json.loads(json.dumps(found))) == Key("sobol", name, 3, 1)
    assert found["process"] == process() != "", "asks of another process are not compared with these"


def test_what_is_to_be_maximised_counts_upwards():
    problem = FRONTS["suzuki"]

    poor, good = {"yield": 60.0, "turnover": 20.0}, {"yield": 90.0, "turnover": 25.0}

    assert 0 < problem.share([poor]) < problem.share([good]) == problem.share([poor, good])
    assert problem.share([{"yield": 40.0, "turnover": 90.0}]) == 0
