import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from alchemy_async.planner.gains import NOTHING, Above, AtLeast, Nearer, Within, log_improvement

BEST = np.array([1e-3, 0.05, 0.5, 3.0])
MEAN = np.array([0.3, 0.31, -4.0, 9.0, 2.0])
SD = np.array([1.0, 0.01, 0.3, 1.0, 0.5])
GAINS = {
    "above": Above(BEST),
    "nearer": Nearer(0.3, BEST),
    "above, or a little": AtLeast(Above(BEST)),
    "nearer, or a little": AtLeast(Nearer(0.3, BEST)),
    "between": Within(-0.2, 0.4),
    "below": Within(-math.inf, 0.4),
    "over": Within(0.1, math.inf),
    "blurred": Within(0.1, math.inf, blur=0.5),
    "cautious": Within(-0.2, 0.4, blur=0.5, caution=3.0),
}


def worth(function, mean, sd, low, high):
    """Return the expectation of a function of a normal value between two ends, by quadrature."""
    ends = [max(low, mean - 40 * sd), min(high, mean + 40 * sd)]
    breaks = sorted(p for p in (mean, 0.3) if ends[0] < p < ends[1])
    return quad(lambda f: function(f) * norm.pdf(f, mean, sd), *ends, points=breaks, epsabs=0, limit=400)[0]


@pytest.mark.parametrize("row", range(len(MEAN)))
def test_coming_nearer_to_a_target_is_worth_what_quadrature_says(row):
    logs = Nearer(0.3, BEST).logs(np.repeat(MEAN[:, None], 4, axis=1), SD)[row]

    for best, log in zip(BEST, logs, strict=True):
        expected = worth(lambda f, b=best: max(b - abs(f - 0.3), 0.0), MEAN[row], SD[row], 0.3 - best, 0.3 + best)
        assert log == pytest.approx(math.log(expected), abs=1e-7)


@pytest.mark.parametrize("row", range(len(MEAN)))
def test_the_chance_to_stay_within_limits_is_what_the_normal_distribution_says(row):
    log = Within(-0.2, 0.4).logs(MEAN[:, None], SD)[row, 0]

    z = (np.array([-0.2, 0.4]) - MEAN[row]) / SD[row]
    sides = norm.logcdf(z) if z.sum() < 0 else norm.logsf(z[::-1])
    assert log == pytest.approx(sides[1] + math.log1p(-math.exp(sides[0] - sides[1])), abs=1e-9)


@pytest.mark.parametrize("gain", GAINS.values(), ids=GAINS)
def test_slopes_are_what_small_steps_say(gain):
    mean, step = np.repeat(MEAN[:, None], 4, axis=1), 1e-6

    logs = gain.logs(mean, SD)
    by_mean, by_sd = gain.slopes(mean, SD, logs)

    along = step * SD[:, None]
    assert by_mean == pytest.approx(
        (gain.logs(mean + along, SD) - gain.logs(mean - along, SD)) / (2 * along), rel=1e-4, abs=1e-5
    )
    wider, tighter = gain.logs(mean, SD * (1 + step)), gain.logs(mean, SD * (1 - step))
    assert by_sd == pytest.approx((wider - tighter) / (2 * along), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("gain", GAINS.values(), ids=GAINS)
@pytest.mark.parametrize("sd", [1e-7, 1e-3, 1.0])
@pytest.mark.parametrize("mean", [-1e3, -50.0, 0.3, 50.0, 1e3])
def test_far_away_and_all_but_certain_values_have_finite_logarithms_and_slopes(gain, mean, sd):
    means, sds = np.full((1, 4), mean), np.array([sd])

    logs = gain.logs(means, sds)
    slopes = gain.slopes(means, sds, logs)

    assert np.isfinite([logs, *slopes]).all()
    assert (logs <= 1e4).all()


def test_both_sides_of_a_target_are_worth_the_same():
    gain = Nearer(0.3, BEST)
    left, right = np.full((1, 4), 0.3 - 0.7), np.full((1, 4), 0.3 + 0.7)

    there, here = gain.logs(left, SD[:1]), gain.logs(right, SD[:1])

    assert there == pytest.approx(here)
    assert gain.slopes(left, SD[:1], there)[0] == pytest.approx(-gain.slopes(right, SD[:1], here)[0])


def test_the_improvement_joins_its_asymptote_without_a_step():
    z = np.array([-40.0 + 1e-9, -40.0 - 1e-9])

    near, far = log_improvement(z)

    assert near == pytest.approx(far, abs=1e-6)


@pytest.mark.parametrize("z", [-1e4, -300.0, -40.001, -39.999, -7.0, -1.0, 0.0, 1e-9, 5.0, 34.999, 35.001, 300.0])
def test_the_improvement_and_its_slopes_are_what_sixty_digits_say(z):
    with mpmath.workdps(60):
        exact = mpmath.mpf(z)
        density, below = mpmath.npdf(exact), mpmath.erfc(-exact / mpmath.sqrt(2)) / 2
        improvement = density + exact * below
        expected = [float(mpmath.log(improvement)), float(below / improvement), float(density / improvement)]
    mean, sd = np.array([[z]]), np.ones(1)

    logs = Above(np.zeros(1)).logs(mean, sd)
    by_mean, by_sd = Above(np.zeros(1)).slopes(mean, sd, logs)

    assert logs[0, 0] == pytest.approx(expected[0], rel=1e-9, abs=1e-7)
    assert [by_mean[0, 0], by_sd[0, 0]] == pytest.approx(expected[1:], rel=1e-5, abs=1e-100)


def test_an_improvement_of_almost_nothing_is_as_good_as_none_and_a_real_one_is_what_it_is():
    mean = np.array([[-30.0], [-300.0], [0.5]])
    alone, floored = (gain.logs(mean, np.ones(3))[:, 0] for gain in (Above(np.zeros(1)), AtLeast(Above(np.zeros(1)))))

    assert alone[0] - alone[1] > 1000
    assert floored[0] == pytest.approx(floored[1]) == pytest.approx(NOTHING)
    assert floored[2] == pytest.approx(alone[2], abs=1e-5)
