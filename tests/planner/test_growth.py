import numpy as np
import pytest

from alchemy_async.planner import gp, growth
from alchemy_async.planner.active import active
from alchemy_async.planner.climbing import climb
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.growth import Limits, Values, milestone, process_for
from alchemy_async.planner.improvement import NoisyImprovement
from alchemy_async.planner.local import LocalProcess

NUMBERS = np.zeros(3, dtype=bool)
MIXED = np.array([False, False, True])
PENDING = np.array([[0.5, 0.5, 0.5], [0.1, 0.9, 0.0]])


def values(n, categorical=NUMBERS, seed=0, noise=0.1, sems=None):
    """A bowl in the unit cube, seen with noise; half of the points near its bottom."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    near = rng.random(n) < 0.5
    x[near] = np.clip(0.3 + 0.05 * rng.standard_normal((int(near.sum()), 3)), 0, 1)
    x[:, categorical] = np.round(2 * x[:, categorical]) / 2
    y = -np.sum((x - 0.3) ** 2, axis=1) / 0.2 + noise * rng.standard_normal(n)
    return Values(x, y, None if sems is None else np.full(n, sems**2), categorical)


def forget():
    growth._hyperparameters.cache_clear()
    growth._factor.cache_clear()


@pytest.mark.parametrize("sems", [None, 0.1])
def test_a_planner_that_saw_the_history_grow_says_to_the_last_bit_what_one_says_that_sees_it_first(sems):
    history = values(450, sems=sems)
    forget()
    for n in (442, 446, 450):
        grown = process_for(history.at(slice(n)), limits=Limits(exact=500))
    n_kept = growth._factor.cache_info().hits

    forget()
    fresh = process_for(history, limits=Limits(exact=500))

    assert n_kept == 2
    assert np.array_equal(grown.factor, fresh.factor)
    assert grown.mean == fresh.mean
    assert np.array_equal(
        NoisyImprovement(grown, PENDING, 0)(PENDING + 0.1), NoisyImprovement(fresh, PENDING, 0)(PENDING + 0.1)
    )


def test_what_was_kept_of_one_history_is_not_taken_for_another():
    forget()
    process_for(values(420, seed=1))

    second = process_for(values(420, seed=2))

    forget()
    assert np.array_equal(second.factor, process_for(values(420, seed=2)).factor)


def test_values_standardised_anew_with_later_ones_find_again_what_was_kept():
    history = values(430)
    forget()

    for n in (420, 425, 430):
        y = history.y[:n]
        process_for(Values(history.x[:n], (y - y.mean()) / y.std(), None, NUMBERS), limits=Limits(exact=500))

    assert growth._hyperparameters.cache_info().misses == 1
    assert growth._factor.cache_info().misses == 1


def test_up_to_a_few_hundred_values_their_order_means_nothing():
    history = values(60)
    order = np.random.default_rng(1).permutation(60)

    process = process_for(history, came=order)

    assert np.array_equal(process.x, history.x)
    assert np.array_equal(process.kernel.lengths, gp.fit(history.x, history.y, None, NUMBERS).kernel.lengths)


def test_the_order_in_which_many_came_is_restored_from_their_places():
    history = values(450)
    order = np.random.default_rng(1).permutation(450)

    shuffled = process_for(history.at(order), came=order)

    assert np.array_equal(shuffled.factor, process_for(history).factor)


def test_with_all_its_values_a_long_history_predicts_as_the_fit_to_all_of_them():
    history = values(700)

    process = process_for(history)

    whole = gp.fit(history.x, (history.y - history.y.mean()) / history.y.std(), None, NUMBERS)
    at = np.random.default_rng(3).random((50, 3))
    theirs = whole.predict(at)[0] * history.y.std() + history.y.mean()
    assert len(process.x) == 700
    assert process.predict(at)[0] == pytest.approx(theirs, abs=0.1)


def test_milestones_lie_a_twentieth_apart():
    reached = [milestone(n) for n in range(400, 1000)]

    assert reached[0] == 400
    assert all(m <= n < 1.06 * m for n, m in zip(range(400, 1000), reached, strict=True))
    assert len(set(reached)) == 19


@pytest.mark.parametrize("categorical", [NUMBERS, MIXED], ids=["numbers", "mixed"])
def test_a_core_and_neighbours_tell_what_all_values_tell(categorical):
    history = values(1500, categorical)
    whole = process_for(history)
    at = values(80, categorical, seed=9).x

    part = process_for(history, limits=Limits(exact=1000, active=400))

    mean, variance = whole.predict(at)
    near_mean, near_variance = part.predict(at)
    assert isinstance(part, LocalProcess)
    assert len(part.x) == 400
    assert np.abs(near_mean - mean).max() < 0.1  # a tenth of the values' standard deviation
    assert np.all(near_variance >= variance - 1e-6)
    assert np.sqrt(np.median(near_variance / variance)) < 2.2


def test_neighbours_know_a_region_that_the_core_leaves_out():
    history = values(1500)
    process = process_for(history, limits=Limits(exact=1000, active=100))
    at = np.random.default_rng(4).random((50, 3))

    _, variance = process.predict(at)

    core = gp.GaussianProcess(process.x, process.y, process.variances, process.kernel)
    assert np.median(variance / core.predict(at)[1]) < 0.7


@pytest.mark.parametrize("categorical", [NUMBERS, MIXED], ids=["numbers", "mixed"])
def test_the_gradient_of_an_improvement_over_local_models_is_that_of_finite_differences(categorical):
    history = values(1500, categorical)
    process = process_for(history, limits=Limits(exact=1000, active=100))
    acquisition = NoisyImprovement(process, PENDING, 0)
    at = values(12, categorical, seed=9).x

    value, gradient = acquisition.with_gradient(at)

    steps = 1e-5 * np.eye(3)
    slopes = np.column_stack([(acquisition(at + step) - acquisition(at - step)) / 2e-5 for step in steps])
    slopes[:, categorical] = 0.0
    assert DrawnProcess(process, PENDING, np.zeros((2, 4))).moments(at).is_local.any()
    assert value == pytest.approx(acquisition(at), abs=1e-9)
    assert np.all(np.linalg.norm(gradient - slopes, axis=1) <= 1e-3 * np.linalg.norm(gradient, axis=1))


def test_a_pending_point_far_from_the_core_is_as_uncertain_as_its_neighbours_leave_it():
    history = values(1500)
    process = process_for(history, limits=Limits(exact=1000, active=60))
    whole = process_for(history)
    at = np.array([[0.9, 0.8, 0.9]])

    drawn = DrawnProcess(process, at, np.random.default_rng(0).standard_normal((1, 4000)))

    mean, variance = whole.predict(at)
    assert drawn.values.mean() == pytest.approx(mean[0], abs=0.1)
    assert drawn.values.std() < 2.0 * np.sqrt(variance[0])


def test_the_active_set_holds_the_newest_the_nearest_to_the_best_and_some_of_everywhere():
    history = values(5000)
    kernel = gp.Kernel(np.full(3, 0.3), NUMBERS)

    rows = active(history.x, history.y, np.full(5000, 0.01), kernel, 500)

    distances = np.linalg.norm(history.x - 0.3, axis=1)
    assert len(rows) == 500 == len(np.unique(rows))
    assert set(range(4950, 5000)) <= set(rows.tolist())
    assert np.sum(distances[rows] < 0.06) > 100
    corners = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T
    assert np.linalg.norm(corners[:, None] - history.x[rows], axis=2).min(axis=1).max() < 0.3


def test_values_that_are_high_by_luck_do_not_draw_the_active_set_to_them():
    history, rng = values(3000), np.random.default_rng(8)
    history.x[:300] = 0.8 + 0.02 * rng.standard_normal((300, 3))
    history.y[:300] = -1.5 + rng.standard_normal(300)
    kernel = gp.Kernel(np.full(3, 0.3), NUMBERS)

    rows = active(history.x, history.y, np.full(3000, 0.5), kernel, 400)

    assert np.argmax(history.y) < 300
    assert np.sum(rows < 300) < 60


@pytest.mark.slow
def test_ten_thousand_values_lead_to_the_bottom_of_the_bowl():
    process = process_for(values(10_000))
    acquisition = NoisyImprovement(process, PENDING, 0)
    starts = np.random.default_rng(2).random((20, 3))

    where, height = climb(acquisition.with_gradient, starts, ~NUMBERS)

    assert where[np.argmax(height)] == pytest.approx(np.full(3, 0.3), abs=0.05)
