import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import Objective
from alchemy_async.planner import adapter
from alchemy_async.planner.ax import AxPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.elimination import Elimination
from alchemy_async.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Space

ACID, BASE, WATER = Continuous("acid"), Continuous("base"), Continuous("water")
DROPS, DOSE = Integer("drops", low=0, high=10), Discrete("dose", options=(0.0, 0.2, 0.5))
MIXTURE = LinearConstraint((("acid", 1.0), ("base", 1.0), ("water", 1.0)), "equals", 1.0)
SPACES = {
    "an inequality": Space(
        (Continuous("t", low=300, high=400), Continuous("h", low=1, high=60), Categorical("s", options=("a", "b"))),
        (LinearConstraint((("t", 1.0), ("h", 2.0)), "at_most", 360.0),),
    ),
    "a lower bound": Space((ACID, BASE), (LinearConstraint((("acid", 2.0), ("base", -1.0)), "at_least", 0.5),)),
    "a mixture": Space((ACID, BASE, WATER), (MIXTURE,)),
    "a mixture with a bound on its rest": Space(
        (ACID, BASE, WATER),
        (MIXTURE, LinearConstraint((("acid", 1.0), ("base", 1.0), ("water", 3.0)), "at_least", 1.2)),
    ),
    "doses": Space(
        (DROPS, DOSE, Continuous("volume")),
        (LinearConstraint((("drops", 0.1), ("dose", 1.0), ("volume", 1.0)), "equals", 1.0),),
    ),
    "two equalities": Space(
        (ACID, BASE, WATER, Continuous("salt", low=0, high=2)),
        (MIXTURE, LinearConstraint((("salt", 1.0), ("acid", -1.0), ("water", 0.5)), "equals", 0.4)),
    ),
    "a chain of equalities": Space(
        (ACID, BASE, WATER), (MIXTURE, LinearConstraint((("base", 1.0), ("water", -0.5)), "equals", 0.1))
    ),
    "a parameter named twice": Space(
        (ACID, BASE), (LinearConstraint((("acid", 1.0), ("acid", 1.0), ("base", 1.0)), "equals", 1.0),)
    ),
}


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def kept(elimination, point):
    return {name: value for name, value in point.items() if name not in elimination.solved}


def test_every_feasible_point_keeps_the_inequalities_that_are_left(space):
    elimination = Elimination(space)

    for point in design(space, "random", 50, seed=0):
        for row in elimination.rows:
            assert sum(c * point[name] for name, c in row.terms.items()) <= row.bound


def test_every_point_that_keeps_them_and_its_bounds_is_feasible_once_it_is_restored(space):
    elimination = Elimination(space)
    free = Space(tuple(p for p in space.parameters if p.name not in elimination.solved))

    passing = [
        point
        for point in design(free, "random", 30 if free.n_points < 1000 else 400, seed=0)
        if all(sum(c * point[name] for name, c in row.terms.items()) <= row.bound - 1e-3 for row in elimination.rows)
    ]

    assert len(passing) > 5
    for point in passing:
        space.check(elimination.restore(point))


def test_a_point_that_is_feasible_but_for_rounding_keeps_them_too():
    space = SPACES["an inequality"]
    point = space.check({"t": 360.0 - 2 * 28.0 + 2e-4, "h": 28.0, "s": "a"})

    (row,) = Elimination(space).rows

    assert sum(c * point[name] for name, c in row.terms.items()) <= row.bound


def test_what_was_solved_for_comes_back(space):
    elimination = Elimination(space)

    for point in design(space, "random", 20, seed=1):
        restored = elimination.restore(kept(elimination, point))
        assert [restored[name] for name in elimination.solved] == pytest.approx(
            [point[name] for name in elimination.solved], abs=1e-5
        )


@pytest.mark.parametrize(
    ("kind", "n_solved", "n_rows"),
    [("an inequality", 0, 1), ("a mixture", 1, 1), ("doses", 1, 1), ("two equalities", 2, None)],
)
def test_one_parameter_goes_for_each_equality_and_rows_that_always_hold_go_too(kind, n_solved, n_rows):
    elimination = Elimination(SPACES[kind])

    assert len(elimination.solved) == n_solved
    assert n_rows is None or len(elimination.rows) == n_rows


def test_only_a_continuous_parameter_makes_up_the_rest():
    assert Elimination(SPACES["doses"]).solved == {"volume"}


def test_an_equality_said_twice_is_solved_once():
    twice = LinearConstraint(tuple((name, 2 * c) for name, c in MIXTURE.terms), "equals", 2.0)
    elimination = Elimination(Space((ACID, BASE, WATER), (MIXTURE, twice)))

    assert len(elimination.solved) == 1
    assert elimination.unsolved == []


@pytest.mark.parametrize(
    ("space", "what"),
    [
        (
            Space((DROPS, DOSE), (LinearConstraint((("drops", 0.1), ("dose", 1.0)), "equals", 0.5),)),
            r"the constraint 0\.1 x drops \+ 1 x dose equals 0\.5, which has no continuous parameter",
        ),
        (
            Space(
                (Continuous("load", low=0.1, high=10, log=True), ACID),
                (LinearConstraint((("load", 1.0), ("acid", 1.0)), "at_most", 5.0),),
            ),
            "a constraint on 'load', whose scale is logarithmic",
        ),
    ],
    ids=["no rest", "log"],
)
def test_constraints_that_ax_can_not_have_are_refused_at_construction(space, what, monkeypatch):
    monkeypatch.setattr(adapter, "version", lambda name: "1.3.1")

    with pytest.raises(PlannerError, match=f"The strategy ax can't plan with {what}.*strategy to bayesian"):
        AxPlanner(space, (Objective("loss"),))


def test_rows_are_of_the_size_of_one_whatever_the_units():
    space = Space(
        (Continuous("pressure", low=0, high=1e7), Continuous("load", low=0, high=1e-6)),
        (LinearConstraint((("pressure", 1.0), ("load", 1e13)), "at_most", 1e7),),
    )

    (row,) = Elimination(space).rows

    assert np.max([abs(c) * width for c, width in zip(row.terms.values(), (1e7, 1e-6), strict=True)]) == 1.0
    assert row.bound == pytest.approx(1.0, rel=1e-5)
