from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner import gp
from alchemy_async.planner.insight import LEAST, fitting, learn
from alchemy_async.planner.insight.summit import Height
from alchemy_async.planner.training import training
from alchemy_async.space import (
    Categorical,
    Context,
    Continuous,
    Discrete,
    Fixed,
    Integer,
    LinearConstraint,
    Rule,
    Space,
)

SQUARE = Space((Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)))
YIELD = Objective("yield", goal="maximize", unit="%")


def hill(point, x=6.0, y=4.0):
    return 80.0 - 2.0 * (point["x"] - x) ** 2 - (point.get("y", y) - y) ** 2


def scattered(space, n, seed=0):
    return space.from_unit(np.random.default_rng(seed).random((n, len(space.names))))


def measured(points, function=hill, noise=0.0, seed=0):
    errors = noise * np.random.default_rng([seed, 1]).standard_normal(len(points))
    values = [float(function(point) + error) for point, error in zip(points, errors, strict=True)]
    return History(tuple(Observed(point, {"yield": value}) for point, value in zip(points, values, strict=True)))


def campaign(n=20, noise=0.0, seed=0):
    """Results as a planner brings them: all over the space first, then nearer and nearer to the best."""
    wide = scattered(SQUARE, n // 2, seed)
    near = [
        {"x": 6.0 + (point["x"] - 5.0) * 0.7**i, "y": 4.0 + (point["y"] - 5.0) * 0.7**i}
        for i, point in enumerate(scattered(SQUARE, n - n // 2, seed + 1))
    ]
    return measured([*wide, *near], noise=noise, seed=seed)


def kinds(insight):
    return [notice.kind for notice in insight.notices]


# -- what is recommended -------------------------------------------------------


def test_the_best_of_what_was_measured_is_recommended_under_its_name():
    history = campaign()
    names = [f"e{i + 1:04d}" for i in range(20)]

    found = learn(SQUARE, (YIELD,), history, names=names).recommended

    best = max(range(20), key=lambda i: history.observations[i].values["yield"])
    assert found.experiment == names[best]
    assert found.measured == history.observations[best].values
    assert found.expected["yield"].mean == pytest.approx(80, abs=0.5)


def test_a_point_that_nobody_measured_is_recommended_where_it_is_clearly_expected_to_be_better():
    points = [point for point in scattered(SQUARE, 40) if abs(point["x"] - 6) > 1.5]

    found = learn(SQUARE, (YIELD,), measured(points)).recommended

    assert (found.experiment, found.measured) == ("", None)
    assert found.parameters == pytest.approx({"x": 6, "y": 4}, abs=0.3)
    assert found.expected["yield"].mean == pytest.approx(80, abs=1)


def test_a_lucky_measurement_is_not_recommended_for_its_luck():
    points = [{"x": x, "y": y} for x in (2.0, 4.0, 6.0, 8.0) for y in (1.0, 4.0, 7.0) for _ in range(3)]
    history = measured(points, noise=4.0)
    lucky = Observed({"x": 2.0, "y": 1.0}, {"yield": 83.0})

    found = learn(SQUARE, (YIELD,), History((*history.observations, lucky))).recommended

    assert found.parameters["x"] == pytest.approx(6, abs=1)


def test_the_recommended_point_keeps_the_limits_of_the_other_objectives():
    cost = Objective("cost", goal="limit", at_most=5.0)
    points = scattered(SQUARE, 40)
    history = History(tuple(Observed(p, {"yield": hill(p), "cost": p["x"]}) for p in points))

    found = learn(SQUARE, (YIELD, cost), history).recommended

    assert found.keeps_limits
    assert 4 < found.parameters["x"] <= 5.02
    assert found.expected["cost"].mean <= 5.0


def test_a_recommended_point_that_breaks_a_limit_says_so():
    cost = Objective("cost", goal="limit", at_most=-1.0)
    history = History(tuple(Observed(p, {"yield": hill(p), "cost": p["x"]}) for p in scattered(SQUARE, 20)))

    assert not learn(SQUARE, (YIELD, cost), history).recommended.keeps_limits


def test_the_value_nearest_to_a_target_is_what_is_recommended():
    target = Objective("yield", goal="target", target=50.0)

    found = learn(SQUARE, (target,), measured(scattered(SQUARE, 30))).recommended

    assert found.expected["yield"].mean == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("space", "best"),
    [
        (Space((Integer("x", low=0, high=10), Integer("y", low=0, high=10))), {"x": 6, "y": 4}),
        (Space((Continuous("x", low=0, high=10), Discrete("y", options=(0.0, 2.0, 4.0, 8.0)))), {"x": 6.0, "y": 4.0}),
        (
            Space(SQUARE.parameters, (LinearConstraint((("x", 1.0), ("y", 1.0)), "equals", 7.0),)),
            {"x": 5.0, "y": 2.0},
        ),
    ],
    ids=["listed", "mixed", "constrained"],
)
def test_any_space_is_searched_and_only_its_points_are_recommended(space, best):
    wide = np.random.default_rng(2).random((30, 2))
    points = [p for p in space.from_unit(wide) if abs(p["x"] - best["x"]) > 1.2]
    if space.constraints:
        points = [{"x": x, "y": 7.0 - x} for x in (0.0, 0.7, 1.4, 2.1, 2.8, 3.5, 6.3, 6.6, 7.0)]

    found = learn(space, (YIELD,), measured(points)).recommended

    assert space.check(found.parameters) == found.parameters
    assert found.parameters == pytest.approx(best, abs=0.4)


def test_numbers_rounded_to_whole_ones_still_keep_a_sum():
    space = Space(
        (Integer("x", low=0, high=100), Integer("y", low=0, high=150)),
        (LinearConstraint((("x", 7.0), ("y", 5.0)), "equals", 600.0),),
    )
    points = [{"x": x, "y": 120 - 7 * x // 5} for x in range(0, 81, 5) if x not in (40, 45)]

    found = learn(space, (YIELD,), measured(points, lambda point: -((point["x"] - 43) ** 2) / 50)).recommended

    assert found.measured is None
    assert space.check(found.parameters) == found.parameters
    assert found.parameters["x"] == pytest.approx(43, abs=4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_point_of_which_little_is_known_is_not_recommended_before_a_measured_one(seed):
    history = measured(scattered(SQUARE, 8, seed), noise=10.0, seed=seed)

    assert learn(SQUARE, (YIELD,), history).recommended.measured is not None


def test_heights_have_the_slope_that_they_say():
    history = measured(scattered(SQUARE, 15), noise=1.0)
    target = Objective("yield", goal="target", target=60.0, at_most=70.0)
    height = Height([fitting.fitted(SQUARE, target, training(SQUARE, target, history), "inferred")])
    at, step = np.array([[0.3, 0.7], [0.6, 0.4], [0.9, 0.1]]), 1e-5

    _, gradient = height.with_gradient(at)

    for i in range(2):
        shift = step * np.eye(2)[i]
        assert gradient[:, i] == pytest.approx((height(at + shift) - height(at - shift)) / (2 * step), rel=1e-3)


def test_a_reading_that_nobody_chooses_is_taken_as_it_was_last_and_what_is_fixed_is_kept():
    humidity = Context("humidity", of=Continuous("humidity", low=0, high=10))
    space = Space((*SQUARE.parameters, humidity, Fixed("lid", of=Categorical("lid", options=("on", "off")), at="on")))
    points = [
        {**point, "humidity": float(i % 10), "lid": "off" if i == 20 else "on"}
        for i, point in enumerate([*scattered(SQUARE, 20), {"x": 3.0, "y": 4.0}, *scattered(SQUARE, 20, 1)])
    ]
    history = measured(points, lambda point: hill(point) - 20 * (point["humidity"] - point["x"]) ** 2 / 10)

    found = learn(space, (YIELD,), history).recommended

    assert points[-1]["humidity"] == 0
    assert found.parameters["lid"] == "on"
    assert found.parameters["x"] == pytest.approx(3, abs=1)


def test_a_rule_of_a_persons_own_is_kept(tmp_path):
    (tmp_path / "insight_rules.py").write_text("def possible(x):\n    return x <= 5.0\n")
    space = Space(SQUARE.parameters, rules=(Rule("insight_rules:possible", str(tmp_path)),))
    points = [point for point in scattered(SQUARE, 40) if abs(point["x"] - 4.5) > 0.5]

    found = learn(space, (YIELD,), measured(points)).recommended

    assert 4.99 < found.parameters["x"] <= 5.0
    assert found.parameters["y"] == pytest.approx(4, abs=0.1)


def test_several_objectives_have_no_single_recommended_point():
    cost = Objective("cost")
    history = History(tuple(Observed(p, {"yield": hill(p), "cost": p["x"]}) for p in scattered(SQUARE, 12)))

    found = learn(SQUARE, (YIELD, cost), history)

    assert found.recommended is None
    assert [quality.objective for quality in found.quality] == ["yield", "cost"]


# -- how far the model is to be trusted ----------------------------------------


def test_a_smooth_surface_is_explained_and_its_parameters_are_weighed():
    space = Space((*SQUARE.parameters, Continuous("idle", low=0, high=1), Categorical("lid", options=("on", "off"))))

    (quality,) = learn(space, (YIELD,), measured(scattered(space, 40), noise=0.3)).quality

    assert quality.explained > 0.9
    assert quality.rank_correlation > 0.9
    assert quality.inside >= 0.85
    assert quality.noise < 0.05
    assert quality.importance["x"] > quality.importance["y"] > 0.05
    assert max(quality.importance["idle"], quality.importance["lid"]) < 0.05


def test_a_category_that_was_never_tried_is_not_said_to_matter():
    space = Space((*SQUARE.parameters, Categorical("lid", options=("on", "off"))))
    points = [{**point, "lid": "on"} for point in scattered(SQUARE, 12)]

    (quality,) = learn(space, (YIELD,), measured(points)).quality

    assert quality.importance["lid"] == 0


def test_each_objective_may_have_a_noise_of_its_own():
    cost = Objective("cost", goal="limit", at_most=15.0)
    history = History(tuple(Observed(p, {"yield": hill(p), "cost": p["x"]}) for p in scattered(SQUARE, 16)))

    of_yield, of_cost = learn(SQUARE, (YIELD, cost), history, noise={"cost": 2.0, "yield": "none"}).quality

    assert of_yield.noise < 1e-4
    assert of_cost.noise == pytest.approx(4 / np.var([o.values["cost"] for o in history.observations], ddof=1))


def test_the_share_of_noise_is_what_was_added():
    points = scattered(SQUARE, 120)
    spread = float(np.std([hill(point) for point in points]))

    (quality,) = learn(SQUARE, (YIELD,), measured(points, noise=0.5 * spread)).quality

    assert quality.noise == pytest.approx(0.2, abs=0.08)
    assert quality.explained == pytest.approx(0.8, abs=0.1)


def test_each_value_is_predicted_without_itself():
    history = measured(scattered(SQUARE, 15), noise=2.0)
    model = fitting.fitted(SQUARE, YIELD, training(SQUARE, YIELD, history), "inferred")
    process, mean = model.process, []
    for i in range(15):
        rest = np.arange(15) != i
        without = gp.GaussianProcess(process.x[rest], process.y[rest], process.variances[rest], process.kernel)
        mean.append(float(without.predict(process.x[i : i + 1])[0][0]))

    errors = process.y - np.array(mean)

    spread = [process.y[i] - np.delete(process.y, i).mean() for i in range(15)]
    assert model.quality.explained == pytest.approx(1 - errors @ errors / np.dot(spread, spread), abs=0.03)


def test_ranks_are_correlated_as_spearman_did_ties_sharing_theirs():
    a, b = np.array([1.0, 2.0, 2.0, 3.0, 9.0, 9.0]), np.array([2.0, 1.0, 5.0, 5.0, 7.0, 6.0])

    assert fitting._ranks(a) == pytest.approx([1, 2.5, 2.5, 4, 5.5, 5.5])
    assert fitting._correlation(fitting._ranks(a), fitting._ranks(b)) == pytest.approx(0.850841043488)


def test_of_a_long_history_a_part_is_shown_with_the_best_in_it():
    points = scattered(SQUARE, 900)
    names = [str(i) for i in range(900)]

    found = learn(SQUARE, (YIELD,), measured(points), names=names)

    best = max(range(900), key=lambda i: hill(points[i]))
    assert (found.n_observations, found.n_used) == (900, fitting.MOST)
    assert found.quality[0].n == fitting.MOST
    assert found.recommended.experiment == str(best)


def test_the_same_history_teaches_the_same():
    history = campaign(noise=1.0)

    assert learn(SQUARE, (YIELD,), history) == learn(SQUARE, (YIELD,), history)


# -- what a person should know of ----------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_campaign_that_goes_well_has_nothing_to_be_warned_of(seed, noise):
    assert kinds(learn(SQUARE, (YIELD,), campaign(18, noise, seed))) == []


@pytest.mark.parametrize(("x", "end"), [(14.0, "upper end of x (10)"), (-4.0, "lower end of x (0)")])
def test_a_best_at_the_end_of_a_range_is_a_reason_to_widen_it(x, end):
    history = measured(scattered(SQUARE, 19), lambda point: hill(point, x=x))

    found = learn(SQUARE, (YIELD,), history)

    assert kinds(found) == ["at_bound"]
    assert found.notices[0].parameter == "x"
    assert end in found.notices[0].message
    assert "widen its range" in found.notices[0].message


@pytest.mark.parametrize("seed", range(4))
def test_a_parameter_that_does_not_matter_may_lie_at_its_end(seed):
    space = Space((*SQUARE.parameters, Continuous("idle", low=0, high=1)))
    points = [{**point, "idle": round(point["idle"])} for point in scattered(space, 17, seed)]

    assert "at_bound" not in kinds(learn(space, (YIELD,), measured(points, noise=1.0, seed=seed)))


def test_a_plateau_that_reaches_the_end_of_a_range_is_no_reason_to_widen_it():
    def saturating(point):
        return 80.0 - 2.0 * max(6.0 - point["x"], 0.0) ** 2 + (0.2 if point["x"] == 10.0 else 0.0)

    points = [*scattered(SQUARE, 18), {"x": 10.0, "y": 5.0}]

    found = learn(SQUARE, (YIELD,), measured(points, saturating, noise=0.05))

    assert found.recommended.parameters["x"] == 10.0
    assert kinds(found) == []


def test_what_a_mixture_does_without_can_not_be_less():
    names = ("x", "y", "z")
    space = Space(
        tuple(Continuous(name, low=0, high=1) for name in names),
        (LinearConstraint(tuple((name, 1.0) for name in names), "equals", 1.0),),
    )
    rows = np.random.default_rng(0).dirichlet([1, 1, 1], 17)
    history = measured([dict(zip(names, row, strict=True)) for row in rows], lambda p: 10 * p["x"] * p["y"])

    found = learn(space, (YIELD,), history)

    assert found.recommended.parameters["z"] < 0.03
    assert kinds(found) == []


def test_one_of_two_values_is_no_end_of_a_range():
    space = Space((Continuous("x", low=0, high=10), Discrete("y", options=(1.0, 9.0))))

    assert kinds(learn(space, (YIELD,), measured(scattered(space, 17)))) == []


@pytest.mark.parametrize("seed", range(4))
def test_noise_that_hides_what_there_is_to_see_is_told(seed):
    history = measured(scattered(SQUARE, 30, seed), lambda point: 0.2 * point["x"], noise=5.0, seed=seed)

    found = learn(SQUARE, (YIELD,), history)

    assert {"noisy", "blind"} & set(kinds(found))


def test_a_declared_noise_as_large_as_the_differences_is_told():
    history = measured(scattered(SQUARE, 15), lambda point: point["x"])

    found = learn(SQUARE, (YIELD,), history, noise=4.0)

    assert "noisy" in kinds(found)
    assert "Measure longer or repeatedly" in found.notices[0].message


def test_values_that_nothing_here_explains_are_told():
    history = measured(scattered(SQUARE, 30), lambda point: 0.0, noise=1.0)

    found = learn(SQUARE, (YIELD,), history, noise="none")

    assert "blind" in kinds(found)


def test_results_that_bring_nothing_better_are_told_with_what_was_best():
    better = campaign(12)
    others = measured([p for p in scattered(SQUARE, 40, 9) if hill(p) < 70][:14])
    names = [f"e{i + 1:04d}" for i in range(26)]

    (notice,) = learn(SQUARE, (YIELD,), History(better.observations + others.observations), names=names).notices

    best = max(range(12), key=lambda i: better.observations[i].values["yield"])
    assert notice.kind == "stalled"
    assert f"None of the last {25 - best} results" in notice.message
    assert f"(e{best + 1:04d})" in notice.message


def test_a_hair_better_is_not_better():
    points = sorted(scattered(SQUARE, 25), key=hill, reverse=True)
    best = measured(points).observations
    hair = Observed({"x": 6.0, "y": 4.0}, {"yield": best[0].values["yield"] + 1e-3})

    assert "stalled" in kinds(learn(SQUARE, (YIELD,), History((*best, hair))))


def test_to_keep_a_limit_for_the_first_time_is_better():
    cost = Objective("cost", goal="limit", at_most=5.0)
    points = sorted(scattered(SQUARE, 25), key=lambda point: point["y"])
    broken = [Observed(p, {"yield": hill(p), "cost": 9.0 + p["y"]}) for p in points]
    kept = Observed({"x": 1.0, "y": 1.0}, {"yield": 20.0, "cost": 4.0})

    assert "stalled" in kinds(learn(SQUARE, (YIELD, cost), History(tuple(broken))))
    assert "stalled" not in kinds(learn(SQUARE, (YIELD, cost), History((*broken, kept))))


@pytest.mark.parametrize("n", [0, 1, LEAST - 1])
def test_with_too_few_results_it_says_so_and_nothing_else(n):
    found = learn(SQUARE, (YIELD,), measured(scattered(SQUARE, n)))

    assert (kinds(found), found.recommended, found.quality) == (["too_few"], None, ())
    assert f"{n} result" in found.notices[0].message


def test_values_that_are_all_equal_send_a_person_to_the_driver():
    found = learn(SQUARE, (YIELD,), measured(scattered(SQUARE, 8), lambda point: 5.0))

    assert kinds(found) == ["all_equal"]
    assert "the driver returns what it measures" in found.notices[0].message


@pytest.mark.parametrize(("value", "told"), [(0.0, []), (9.0, ["all_equal"])], ids=["kept", "broken"])
def test_a_limit_that_is_always_the_same_is_told_only_where_it_is_broken(value, told):
    cost = Objective("cost", goal="limit", at_most=5.0)
    history = campaign()
    with_cost = tuple(Observed(one.parameters, {**one.values, "cost": value}) for one in history.observations)

    found = learn(SQUARE, (YIELD, cost), History(with_cost))

    assert kinds(found) == told
    assert found.recommended.keeps_limits == (not told)


def test_results_of_a_single_point_are_no_ground_for_a_model():
    found = learn(SQUARE, (YIELD,), measured([{"x": 1.0, "y": 2.0}] * 8, noise=1.0))

    assert kinds(found) == ["all_equal"]
    assert "Measure other points" in found.notices[0].message


def test_a_model_that_can_not_be_fitted_is_told_with_its_mend(monkeypatch):
    def fail(*arguments):
        raise gp.NotPositiveDefiniteError("no factor")

    monkeypatch.setattr(gp, "fit", fail)

    found = learn(SQUARE, (YIELD,), campaign())

    assert (kinds(found), found.recommended) == (["no_model"], None)
    assert "take `noise` out" in found.notices[0].message


def test_neither_torch_nor_scipy_stats_is_loaded():
    script = """
import json, sys
from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner.insight import learn
from alchemy_async.space import Continuous, Space
seen = tuple(Observed({"x": i / 9}, {"y": (i - 4.2) ** 2}) for i in range(9))
assert learn(Space((Continuous("x"),)), (Objective("y"),), History(seen)).recommended
print(json.dumps([name for name in ("torch", "scipy.stats") if name in sys.modules]))
"""

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert json.loads(ended.stdout) == []
