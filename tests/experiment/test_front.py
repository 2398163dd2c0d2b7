from __future__ import annotations

import random

import pytest

from alchemy_async.experiment import Objective
from alchemy_async.experiment.front import front, hypervolume, non_dominated

YIELD = Objective("yield", goal="maximize", unit="%")
COST = Objective("cost", goal="minimize", unit="EUR")


def sphere(n, m, seed=0):
    rng = random.Random(seed)
    points = [[abs(rng.gauss(0.0, 1.0)) for _ in range(m)] for _ in range(n)]
    return [tuple(x / sum(y * y for y in point) ** 0.5 for x in point) for point in points]


def test_the_front_is_what_no_other_measurement_beats_in_every_objective():
    measured = [
        {"yield": 50.0, "cost": 10.0},
        {"yield": 80.0, "cost": 20.0},
        {"yield": 40.0, "cost": 15.0},  # the first is better in both
        {"yield": 90.0, "cost": 60.0},
        {"yield": 90.0, "cost": 70.0},  # as good in one, worse in the other
    ]

    found = front((YIELD, COST), measured)

    assert found.members == (0, 1, 3)


def test_of_equal_measurements_all_are_on_the_front():
    assert non_dominated([(1.0, 2.0), (2.0, 1.0), (1.0, 2.0), (0.0, 0.0)]) == [0, 1, 2]


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_who_is_dominated_is_what_comparing_every_pair_says(m):
    rng = random.Random(m)
    scores = [tuple(float(rng.randrange(4)) for _ in range(m)) for _ in range(60)]

    found = non_dominated(scores)

    assert found == [
        i
        for i, one in enumerate(scores)
        if not any(other != one and all(b >= a for a, b in zip(one, other, strict=True)) for other in scores)
    ]


def test_a_measurement_that_breaks_a_limit_or_lacks_a_value_is_not_on_the_front():
    purity = Objective("purity", goal="limit", at_least=95.0)
    measured = [
        {"yield": 99.0, "cost": 1.0, "purity": 60.0},
        {"yield": 98.0, "cost": 2.0},
        {"yield": 50.0, "purity": 99.0},
        {"yield": 50.0, "cost": 10.0, "purity": 99.0},
    ]

    assert front((YIELD, COST, purity), measured).members == (3,)


def test_the_nearer_to_a_target_the_better():
    ph = Objective("ph", goal="target", target=7.4)
    measured = [{"ph": 7.0, "cost": 1.0}, {"ph": 7.5, "cost": 2.0}, {"ph": 8.0, "cost": 3.0}]

    found = front((ph, COST), measured)

    assert found.members == (0, 1)
    assert found.reference["ph"] == pytest.approx(0.6 + 0.1 * 0.5)


@pytest.mark.parametrize(("m", "n"), [(2, 1), (2, 40), (3, 1), (3, 40), (4, 1), (4, 20)])
def test_the_hypervolume_is_botorchs(m, n):
    torch = pytest.importorskip("torch")
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    points = sphere(n, m)
    reference = (0.1,) * m

    expected = Hypervolume(torch.tensor(reference, dtype=torch.float64)).compute(
        torch.tensor(points, dtype=torch.float64)
    )

    assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-9)


def test_dominated_points_and_points_beyond_the_reference_add_nothing_to_the_hypervolume():
    alone = hypervolume([(2.0, 1.0), (1.0, 2.0)], (0.0, 0.0))

    assert alone == pytest.approx(3.0)
    assert hypervolume([(2.0, 1.0), (1.0, 2.0), (0.5, 0.5), (9.0, -1.0), (2.0, 1.0)], (0.0, 0.0)) == alone


def test_the_reference_lies_a_tenth_of_the_range_below_the_worst_value_on_the_front_or_not():
    measured = [{"yield": 50.0, "cost": 10.0}, {"yield": 80.0, "cost": 20.0}, {"yield": 40.0, "cost": 60.0}]

    found = front((YIELD, COST), measured)

    assert found.members == (0, 1)
    assert found.reference == {"yield": pytest.approx(36.0), "cost": pytest.approx(65.0)}


def test_a_given_reference_is_used():
    least = Objective("yield", goal="maximize", reference=60.0)
    measured = [{"yield": 50.0, "cost": 10.0}, {"yield": 80.0, "cost": 20.0}, {"yield": 90.0, "cost": 60.0}]

    found = front((least, COST), measured)

    assert found.members == (0, 1, 2)
    assert found.reference == {"yield": 60.0, "cost": pytest.approx(65.0)}
    assert found.hypervolume == pytest.approx(20.0 * 45.0 + 10.0 * 5.0)


def test_the_front_of_a_single_measurement_has_no_volume_and_that_of_none_nothing_at_all():
    assert front((YIELD, COST), [{"yield": 1.0, "cost": 2.0}]).hypervolume == 0.0
    assert front((YIELD, COST), []).members == ()
