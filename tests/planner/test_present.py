import pytest

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.load import load_planner
from alchemy_async.planner.present import PresentPlanner, readings
from alchemy_async.planner.space_filling import SobolPlanner
from alchemy_async.space import Context, Continuous, Space

SPACE = Space((Continuous("x", low=0, high=10), Context("humidity", of=Continuous("humidity", low=20, high=80))))
LOSS = Objective("loss", goal="minimize")


def observed(x, humidity):
    """Return a loss whose best x follows the humidity: 2 at 20 %, 8 at 80 %."""
    return Observed({"x": x, "humidity": humidity}, {"loss": (x - humidity / 10) ** 2})


SEEN = tuple(observed(x, h) for h in (20.0, 35.0, 50.0, 65.0, 80.0) for x in (1.0, 3.0, 5.0, 7.0, 9.0))


def planner(kind):
    return PresentPlanner(lambda space: kind(space, (LOSS,)), SPACE)


@pytest.mark.parametrize(("humidity", "best"), [(25.0, 2.5), (74.0, 7.4)])
def test_it_asks_for_what_is_best_at_the_newest_reading(humidity, best):
    history = History((*SEEN, observed(5.2, humidity)))

    (suggestion,) = planner(BayesianPlanner).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["humidity"] == humidity
    assert suggestion.parameters["x"] == pytest.approx(best, abs=0.4)


def test_before_the_first_result_readings_are_the_middle_of_their_bounds():
    suggestions = planner(SobolPlanner).ask(History(), [], n=3, seed=0)

    assert readings(SPACE, History()) == {}
    assert [suggestion.parameters["humidity"] for suggestion in suggestions] == [50.0, 50.0, 50.0]


def test_a_reading_outside_the_bounds_is_taken_as_it_is():
    (suggestion,) = planner(BayesianPlanner).ask(History((*SEEN, observed(5.2, 86.0))), [], n=1, seed=0)

    assert suggestion.parameters["humidity"] == 86.0
    assert SPACE.check(suggestion.parameters) == suggestion.parameters


def test_a_planner_that_is_loaded_by_name_asks_at_the_newest_reading():
    loaded = load_planner("bayesian", SPACE, (LOSS,), {})

    (suggestion,) = loaded.ask(History((*SEEN, observed(5.2, 74.0))), [], n=1, seed=0)

    assert suggestion.parameters["humidity"] == 74.0
