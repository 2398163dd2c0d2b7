import numpy as np
import pytest

from alchemy_async.planner import gp
from alchemy_async.planner.features import Features
from alchemy_async.space import Categorical, Continuous, Fixed, Integer, Space

SOLVENT = Categorical(
    "solvent",
    options=("water", "ethanol", "THF", "toluene"),
    descriptors=((78.5, 100.0, 1.0), (24.5, 78.0, 1.0), (7.6, 66.0, 1.0), (2.4, 111.0, 1.0)),
)
SPACE = Space(
    (Continuous("temperature", low=300, high=400), SOLVENT, Categorical("base", options=("A", "B", "C")), Integer("n"))
)
PLAIN = Space((Continuous("temperature"), Categorical("base", options=("A", "B"))))


def some_points(n=12, seed=0):
    return SPACE.to_unit(SPACE.from_unit(np.random.default_rng(seed).random((n, 4))))


def some_process(x):
    features = Features(SPACE)
    kernel = gp.Kernel(np.array([0.7, 0.4, 0.9, 1.1, 0.5]), features.categorical)
    y = np.sin(5 * x[:, 0]) + x[:, 1]
    return features.over_unit_cube(gp.GaussianProcess(features(x), y, np.full(len(x), 0.01), kernel)), features


def test_each_descriptor_that_tells_options_apart_is_a_column_from_0_to_1_and_all_else_stays():
    features = Features(SPACE)

    columns = features(SPACE.to_unit([{"temperature": 350, "solvent": "THF", "base": "B", "n": 1}]))

    assert features.names == ("temperature", "solvent[1]", "solvent[2]", "base", "n")
    assert features.categorical.tolist() == [False, False, False, True, False]
    assert columns[0] == pytest.approx([0.5, 5.2 / 76.1, 0.0, 0.5, 1.0])


def test_a_space_without_descriptors_is_seen_as_it_is():
    features, x = Features(PLAIN), np.random.default_rng(0).random((3, 2))

    assert features.is_plain
    assert features(x) is x
    assert features.categorical.tolist() == PLAIN.is_categorical.tolist()


def test_coordinates_come_back_from_columns_to_the_last_bit():
    features, x = Features(SPACE), some_points()

    assert np.array_equal(features.restore(features(x)), x)


def test_options_with_similar_descriptors_are_nearer_to_the_model_than_others():
    process, _ = some_process(some_points())
    point = {"temperature": 350, "base": "A", "n": 0}
    water, ethanol, thf = SPACE.to_unit([{**point, "solvent": name} for name in ("water", "ethanol", "THF")])

    to_water, to_ethanol = process.kernel(thf[None], np.vstack([water, ethanol]))[0]

    assert to_ethanol > 0.5 > to_water


def test_a_process_over_the_unit_cube_predicts_what_the_process_of_columns_predicts():
    x, others = some_points(), some_points(5, seed=1)
    process, features = some_process(x)
    of_columns = gp.GaussianProcess(
        features(x), process.y, process.variances, gp.Kernel(process.kernel.lengths, features.categorical)
    )

    assert np.array_equal(process.x, x)
    for ours, theirs in zip(process.predict(others), of_columns.predict(features(others)), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_the_pull_is_the_gradient_by_coordinates_and_0_for_categories():
    x, at = some_points(), some_points(3, seed=2)
    process, _ = some_process(x)
    weights = np.random.default_rng(3).standard_normal((3, len(x)))
    covariance = process.kernel(at, x)

    pull = process.kernel.pull(at, x, covariance, weights)

    assert np.all(pull[:, [1, 2]] == 0.0)
    for i in (0, 3):
        step = np.zeros(4)
        step[i] = 1e-6
        there, back = (np.sum(weights * process.kernel(at + sign * step, x), axis=1) for sign in (1, -1))
        assert pull[:, i] == pytest.approx((there - back) / 2e-6, abs=1e-6)


def test_a_fixed_parameter_with_descriptors_is_described_too():
    fixed = Space((Continuous("t"), Fixed("solvent", of=SOLVENT, at="THF")))

    assert Features(fixed)(fixed.to_unit([{"t": 0.5, "solvent": "THF"}]))[0] == pytest.approx([0.5, 5.2 / 76.1, 0.0])
