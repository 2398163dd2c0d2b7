"""A long history in a space with descriptors: neighbours are looked up there as anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner import gp
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.features import Features
from alchemy_async.planner.growth import Limits, Values, process_for
from alchemy_async.planner.improvement import NoisyImprovement
from alchemy_async.planner.learning import learn, modelled
from alchemy_async.planner.local import LocalProcess
from alchemy_async.planner.training import training
from alchemy_async.space import Categorical, Continuous, Space

DYE = Categorical("dye", options=("red", "green", "blue"), descriptors=((650.0, 1.0), (530.0, 4.0), (470.0, 2.0)))
X, Y, SALT = Continuous("x"), Continuous("y"), Categorical("salt", options=("A", "B"))
DESCRIBED = Space((X, DYE, SALT, Y))
PLAIN = Space((X, replace(DYE, descriptors=()), SALT, Y))
LOSS = Objective("loss", goal="minimize")
PART, WHOLE = Limits(exact=500, active=100), Limits(exact=2000)
PENDING = DESCRIBED.to_unit([{"x": 0.5, "dye": "green", "salt": "B", "y": 0.5}])


def points(n, seed=0):
    """Points half of which lie near the best one."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 4))
    near = rng.random(n) < 0.5
    x[np.ix_(near, [0, 3])] = np.clip(0.3 + 0.05 * rng.standard_normal((int(near.sum()), 2)), 0, 1)
    return DESCRIBED.from_unit(x)


def history(n=700, of_dye=0.2, ripples=0.0):
    """A bowl, with a step for each dye and with ripples, seen with noise."""
    rng = np.random.default_rng(0)

    def loss(p):
        bowl = (p["x"] - 0.3) ** 2 + (p["y"] - 0.3) ** 2 + of_dye * DYE.options.index(p["dye"])
        return float(bowl + ripples * np.sin(20 * p["x"]) * np.sin(20 * p["y"]) + 0.02 * rng.standard_normal())

    return History(tuple(Observed(p, {"loss": loss(p)}) for p in points(n)))


def model(space, limits, of_dye=0.2, n=700):
    return modelled(space, training(space, LOSS, history(n, of_dye)), "inferred", limits)


def everywhere(n=60):
    return DESCRIBED.to_unit(DESCRIBED.from_unit(np.random.default_rng(7).random((n, 4))))


def by_columns():
    """Return a process of columns, and what makes these of coordinates."""
    data, features = training(DESCRIBED, LOSS, history()), Features(DESCRIBED)
    return process_for(Values(features(data.x), data.y, None, features.categorical), data.came, PART), features


def test_a_long_history_with_descriptors_predicts_by_coordinates_what_it_does_by_columns():
    of_columns, features = by_columns()
    at = everywhere()

    by_coordinates = features.over_unit_cube(of_columns)

    assert isinstance(by_coordinates, LocalProcess)
    assert by_coordinates.x.shape == (100, 4)
    for ours, theirs in zip(by_coordinates.predict(at), of_columns.predict(features(at)), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_values_drawn_at_pending_points_tell_by_coordinates_what_they_do_by_columns():
    of_columns, features = by_columns()
    pending, at = everywhere(4), np.repeat(everywhere(4), 8, axis=0)
    at[:, [0, 3]] += np.random.default_rng(2).uniform(-0.3, 0.3, (32, 2))  # around the pending points
    normal = np.random.default_rng(1).standard_normal((4, 8))

    ours = DrawnProcess(features.over_unit_cube(of_columns), pending, normal).moments(at)

    theirs = DrawnProcess(of_columns, features(pending), normal).moments(features(at))
    assert ours.is_local.any()
    assert ours.mean == pytest.approx(theirs.mean, abs=1e-9)
    assert ours.sd == pytest.approx(theirs.sd, abs=1e-9)


def test_neighbours_know_what_the_core_leaves_out_with_descriptors_too():
    process = model(DESCRIBED, PART)
    core = gp.GaussianProcess(process.x, process.y, process.variances, process.kernel)
    whole = model(DESCRIBED, WHOLE)
    at = everywhere()

    mean, variance = process.predict(at)

    assert np.median(variance / core.predict(at)[1]) < 0.7
    off = np.abs(mean - whole.predict(at)[0])
    assert np.sqrt(np.mean(off**2)) < 0.1  # a tenth of the values' standard deviation
    assert np.sqrt(np.median(variance / whole.predict(at)[1])) < 2.2


def test_where_descriptors_mean_nothing_a_long_history_tells_the_same_with_and_without():
    described, plain = (model(space, PART, of_dye=0.0) for space in (DESCRIBED, PLAIN))
    at = everywhere()

    (mean, variance), (plain_mean, plain_variance) = described.predict(at), plain.predict(at)

    assert type(described) is type(plain) is LocalProcess
    assert np.sqrt(np.mean((mean - plain_mean) ** 2)) < 0.05
    assert 0.5 < np.sqrt(np.median(variance / plain_variance)) < 2.0


def test_neighbours_of_a_described_option_are_those_of_similar_ones():
    process = model(DESCRIBED, PART)
    (near,) = DESCRIBED.to_unit([{"x": 0.8, "dye": "blue", "salt": "A", "y": 0.8}])

    joined = process.with_neighbours(near[None])

    added = joined.x[len(process.x) :]
    assert len(added) > 8
    assert joined.predict(near[None])[1] < 0.7 * gp.GaussianProcess.predict(process, near[None])[1]
    assert process.kernel(near[None], added).min() > np.median(process.kernel(near[None], process.x))


def test_the_gradient_over_local_models_with_descriptors_is_that_of_finite_differences():
    process = model(DESCRIBED, PART)
    acquisition = NoisyImprovement(process, PENDING, 0)
    at = everywhere(12)

    value, gradient = acquisition.with_gradient(at)

    steps = 1e-5 * np.eye(4)[[0, 3]]
    slopes = np.column_stack([(acquisition(at + step) - acquisition(at - step)) / 2e-5 for step in steps])
    assert DrawnProcess(process, PENDING, np.zeros((1, 4))).moments(at).is_local.any()
    assert value == pytest.approx(acquisition(at), abs=1e-9)
    assert np.all(gradient[:, [1, 2]] == 0.0)
    assert np.all(np.linalg.norm(gradient[:, [0, 3]] - slopes, axis=1) <= 1e-3 * np.linalg.norm(gradient, axis=1))


@pytest.mark.slow
def test_beyond_two_thousand_results_descriptors_lose_no_neighbours():
    many = history(n=5000, of_dye=0.0, ripples=0.3)

    described, plain = (
        learn(space, (LOSS,), many, noise={"loss": "inferred"}, learns_failures=True, seed=0)
        for space in (DESCRIBED, PLAIN)
    )

    at = everywhere()
    process = described.modelled[0].process
    assert [type(one.modelled[0].process) for one in (described, plain)] == [LocalProcess, LocalProcess]
    ours, theirs = (np.array([row["loss"].mean for row in one.predict(at)]) for one in (described, plain))
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.02  # as much as the noise
    assert np.mean(process.predict(at)[1] < gp.GaussianProcess.predict(process, at)[1]) > 0.2
