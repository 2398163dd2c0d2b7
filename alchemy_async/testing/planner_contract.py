"""The planner contract: what every planner must do, whoever wrote it.

In:    a planner, made by a subclass.
Out:   passed or failed tests.
Never: judges how good the points are.
"""

# ruff: noqa: D102, S101  (a contract is made of assertions, and a test is named by its sentence)
from __future__ import annotations

from typing import ClassVar

import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused, Suggestion
from alchemy_async.planner import Planner
from alchemy_async.space import (
    COPY_DISTANCE,
    Categorical,
    Context,
    Continuous,
    Discrete,
    Fixed,
    Integer,
    LinearConstraint,
    Point,
    Rule,
    Space,
    Value,
)

_MIXTURE = LinearConstraint((("acid", 1.0), ("base", 1.0), ("water", 1.0)), "equals", 1.0)
_HEAT = LinearConstraint((("temperature", 1.0), ("time", 2.0)), "at_most", 360.0)
_DOSES = LinearConstraint((("drops", 0.1), ("dose", 1.0), ("volume", 1.0)), "equals", 1.0)
_TEMPERATURE, _TIME = Continuous("temperature", low=300, high=400), Continuous("time", low=1, high=60)
_LOADING = Continuous("loading", low=1e-4, high=1e-1, log=True)
_SOLVENT = Categorical("solvent", options=("water", "ethanol", "toluene"))
_RATIO = Discrete("ratio", options=(0.5, 1.0, 2.0, 5.0))

_DESCRIBED = Categorical(
    "solvent", options=("water", "ethanol", "toluene"), descriptors=((78.4, 100.0), (24.5, 78.0), (2.4, 111.0))
)


def is_possible(temperature: float, solvent: str) -> bool:
    """Tell whether a solvent stays in the flask: the rule of the space ``ruled``."""
    return solvent != "ethanol" or temperature < 340


SPACES: dict[str, Space] = {
    "continuous": Space((_TEMPERATURE, _TIME)),
    "log": Space((_LOADING, _TIME)),
    "integer": Space((Integer("stages", low=1, high=8), Integer("cycles", low=1, high=200, log=True))),
    "discrete": Space((_RATIO, Discrete("speed", options=(100.0, 250.0, 600.0, 1000.0)))),
    "categorical": Space((_SOLVENT, Categorical("base", options=("A", "B", "C", "D")))),
    "mixed": Space((_TEMPERATURE, _LOADING, Integer("stages", low=1, high=8), _RATIO, _SOLVENT)),
    "inequality": Space((_TEMPERATURE, _TIME, _SOLVENT), (_HEAT,)),
    "mixture": Space((Continuous("acid"), Continuous("base"), Continuous("water")), (_MIXTURE,)),
    "doses": Space(
        (Integer("drops", low=0, high=10), Discrete("dose", options=(0.0, 0.2, 0.5)), Continuous("volume"), _SOLVENT),
        (_DOSES,),
    ),
    "ruled": Space((_TEMPERATURE, _TIME, _SOLVENT), (_HEAT,), (Rule(f"{__name__}:is_possible"),)),
    "described": Space((_TEMPERATURE, _DESCRIBED)),
    "fixed": Space((_TEMPERATURE, Fixed("stages", of=Integer("stages", low=1, high=8), at=3), _TIME)),
    "reading": Space((_TEMPERATURE, Context("humidity", of=Continuous("humidity", low=20, high=80)), _SOLVENT)),
}
_POINTS: dict[str, list[dict[str, Value]]] = {
    "continuous": [{"temperature": 310.0 + 20 * i, "time": (7.0 + 23 * i) % 59 + 1} for i in range(5)],
    "log": [{"loading": 10.0 ** (-3.9 + 0.7 * i), "time": (7.0 + 23 * i) % 59 + 1} for i in range(5)],
    "integer": [{"stages": 1 + i, "cycles": 1 + 37 * i} for i in range(5)],
    "discrete": [
        {"ratio": r, "speed": s} for r, s in [(0.5, 100.0), (1.0, 250.0), (2.0, 100.0), (5.0, 600.0), (0.5, 1e3)]
    ],
    "categorical": [{"solvent": s, "base": b} for s, b in zip(_SOLVENT.options * 2, "ABCDA", strict=False)],
    "mixed": [
        {
            "temperature": 310.0 + 20 * i,
            "loading": 10.0 ** (-3.9 + 0.7 * i),
            "stages": 1 + i,
            "ratio": 1.0,
            "solvent": s,
        }
        for i, s in enumerate((*_SOLVENT.options, "water", "ethanol"))
    ],
    "inequality": [{"temperature": 300.0 + 9 * i, "time": 28.0 - 5 * i, "solvent": "water"} for i in range(5)],
    "mixture": [{"acid": 0.1 * i, "base": 0.2, "water": 0.8 - 0.1 * i} for i in range(5)],
    "doses": [{"drops": i, "dose": 0.2, "volume": 0.8 - 0.1 * i, "solvent": "toluene"} for i in range(5)],
    "ruled": [{"temperature": 300.0 + 9 * i, "time": 28.0 - 5 * i, "solvent": "ethanol"} for i in range(5)],
    "described": [
        {"temperature": 310.0 + 20 * i, "solvent": s} for i, s in enumerate((*_SOLVENT.options, "water", "water"))
    ],
    "fixed": [{"temperature": 310.0 + 20 * i, "stages": 3, "time": (7.0 + 23 * i) % 59 + 1} for i in range(5)],
    "reading": [{"temperature": 310.0 + 20 * i, "humidity": 90.0 - 9 * i, "solvent": "water"} for i in range(5)],
}
YIELD = Objective("yield", goal="maximize", unit="%")


class PlannerContract:
    """Subclass this, make your planner in `make_planner`, and pytest runs the contract over it."""

    learns = True  # False for a planner that does not look at what was measured
    refuses: ClassVar[frozenset[str]] = frozenset()  # kinds of `SPACES` that it can't plan, and says so when it is made

    def make_planner(self, space: Space, objectives: tuple[Objective, ...]) -> Planner:
        """Return the planner under test."""
        raise NotImplementedError

    def planner_of(self, kind: str) -> Planner:
        """Return a planner for a kind of space; where it refuses such spaces, see that it says so, and skip."""
        if kind not in self.refuses:
            return self.make_planner(SPACES[kind], (YIELD,))
        with pytest.raises(PlannerError):
            self.make_planner(SPACES[kind], (YIELD,))
        pytest.skip(f"this planner can't plan the space {kind!r}, and says so when it is made")

    @pytest.mark.parametrize("kind", SPACES)
    def test_three_points_are_three_feasible_points_and_copies_of_nothing_seen(self, kind: str) -> None:
        space, points = SPACES[kind], _POINTS[kind]
        planner = self.planner_of(kind)

        suggestions = planner.ask(_history(points[:3], refused=points[3:4]), points[4:], n=3, seed=1)

        assert len(suggestions) == 3
        _assert_fit(space, suggestions)
        _assert_no_copies(space, suggestions, points)

    @pytest.mark.parametrize("kind", ["continuous", "mixed", "mixture", "ruled"])
    def test_the_same_question_brings_the_same_answer_whatever_was_asked_in_between(self, kind: str) -> None:
        space, points = SPACES[kind], _POINTS[kind]
        planner = self.planner_of(kind)
        history = _history(points[:4])

        first = planner.ask(history, points[4:], n=2, seed=7)
        planner.ask(_history(points[:2]), [], n=1, seed=8)
        again = planner.ask(history, points[4:], n=2, seed=7)
        fresh = self.make_planner(space, (YIELD,)).ask(history, points[4:], n=2, seed=7)

        assert first == again == fresh

    @pytest.mark.parametrize("kind", SPACES)
    def test_a_planner_that_has_seen_nothing_still_suggests_points(self, kind: str) -> None:
        space = SPACES[kind]

        suggestions = self.planner_of(kind).ask(History(), [], n=4, seed=0)

        assert len(suggestions) == 4
        _assert_fit(space, suggestions)
        _assert_no_copies(space, suggestions, [])

    def test_a_finite_space_brings_what_it_has_left_and_then_nothing(self) -> None:
        space = Space((Integer("stages", low=1, high=2), Categorical("base", options=("A", "B"))))
        planner = self.make_planner(space, (YIELD,))
        all_four = list(space.grid())

        last = planner.ask(_history(all_four[:2]), all_four[2:3], n=3, seed=0)
        none = planner.ask(_history(all_four[:2], refused=all_four[2:3]), all_four[3:], n=3, seed=0)

        assert [dict(suggestion.parameters) for suggestion in last] == all_four[3:]
        assert none == []

    def test_a_point_is_taken_whatever_a_reading_was_then(self) -> None:
        if "reading" in self.refuses:
            pytest.skip("this planner takes no readings")
        space = Space(
            (Integer("stages", low=1, high=3), Context("humidity", of=Continuous("humidity", low=20, high=80)))
        )
        planner = self.make_planner(space, (YIELD,))
        seen: list[dict[str, Value]] = [{"stages": 1, "humidity": 25.0}, {"stages": 2, "humidity": 77.0}]

        (last,) = planner.ask(_history(seen), [], n=2, seed=0)
        none = planner.ask(_history(seen), [{"stages": 3, "humidity": 61.0}], n=1, seed=0)

        assert last.parameters["stages"] == 3
        assert none == []

    def test_parameters_as_run_may_lie_off_the_grid_and_outside_the_bounds(self) -> None:
        space = SPACES["mixed"]
        ran = [
            {**point, "temperature": 295.5 + 40 * i, "loading": 0.0, "stages": 2.5, "ratio": 1.1}
            for i, point in enumerate(_POINTS["mixed"])
        ]

        suggestions = self.make_planner(space, (YIELD,)).ask(_history(ran), [], n=2, seed=3)

        assert len(suggestions) == 2
        _assert_fit(space, suggestions)

    @pytest.mark.parametrize("n_points", [1, 4])
    def test_observations_that_teach_nothing_are_no_reason_to_stop(self, n_points: int) -> None:
        space, points = SPACES["continuous"], _POINTS["continuous"]
        same = tuple(Observed(point, {"yield": 5.0}) for point in points[:n_points])
        replicates = same[:1] * 3

        suggestions = self.make_planner(space, (YIELD,)).ask(History(same + replicates), [], n=2, seed=0)

        assert len(suggestions) == 2
        _assert_no_copies(space, suggestions, points[:n_points])

    def test_a_larger_value_attracts_where_it_is_wanted_and_repels_where_it_is_not(self) -> None:
        if not self.learns:
            pytest.skip("this planner does not learn")
        space = Space((Continuous("x", low=0, high=10),))
        rising = History(tuple(Observed({"x": x}, {"y": 3 * x}) for x in (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)))

        (high,) = self.make_planner(space, (Objective("y", goal="maximize"),)).ask(rising, [], n=1, seed=0)
        (low,) = self.make_planner(space, (Objective("y", goal="minimize"),)).ask(rising, [], n=1, seed=0)

        assert float(high.parameters["x"]) > 8 > 2 > float(low.parameters["x"])


def _history(points: list[dict[str, Value]], refused: list[dict[str, Value]] | None = None) -> History:
    return History(
        observations=tuple(Observed(point, {"yield": 10.0 + i * i}) for i, point in enumerate(points)),
        refused=tuple(Refused(point, "limit") for point in refused or []),
    )


def _assert_fit(space: Space, suggestions: list[Suggestion]) -> None:
    for suggestion in suggestions:
        assert space.check(suggestion.parameters) == suggestion.parameters


def _assert_no_copies(space: Space, suggestions: list[Suggestion], seen: list[dict[str, Value]]) -> None:
    points: list[Point] = [*seen]
    for suggestion in suggestions:
        assert not space.is_copy(suggestion.parameters, points), (
            f"{suggestion.parameters} is nearer than {COPY_DISTANCE} to a point that is taken"
        )
        points.append(suggestion.parameters)
