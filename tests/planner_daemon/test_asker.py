from __future__ import annotations

import threading
import time

import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner_daemon.asker import PlannerRecipe, ProcessAsker, Question
from alchemy_async.space import Continuous, Space

SPACE = Space((Continuous("x", low=0.0, high=1.0),))
GOALS = (Objective("y"),)
QUESTION = Question(History(), (), 1, 0)

OWN = """
import os
import time
from alchemy_async.experiment import Suggestion

class Fixed:
    def __init__(self, space, objectives): pass
    def ask(self, history, pending, n, seed):
        return [Suggestion({"x": 0.25, "pid": os.getpid()})]

class TellsItsThreads(Fixed):
    def ask(self, history, pending, n, seed):
        import numpy
        from threadpoolctl import threadpool_info
        most = max(pool["num_threads"] for pool in threadpool_info())
        return [Suggestion({"x": 0.25}, metadata={"most": most})]

class Dies(Fixed):
    def ask(self, history, pending, n, seed):
        os._exit(9)

class LoadsLong(Fixed):
    def warm_up(self):
        time.sleep(4)

class Thinks(Fixed):
    def ask(self, history, pending, n, seed):
        time.sleep(60)

class Mine(str): pass

class Odd(Fixed):
    def ask(self, history, pending, n, seed):
        return [Suggestion({"x": 0.25}, metadata={"model": Mine("gp")})]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "own_planners.py").write_text(OWN)
    return lambda name: PlannerRecipe(f"own_planners:{name}", SPACE, GOALS, {}, tmp_path)


@pytest.fixture
def asker():
    made, ready = [], threading.Event()

    def make(recipe):
        made.append(ProcessAsker(recipe, ready.set))

        def ask():
            ready.clear()
            made[-1].start(QUESTION)
            assert made[-1].is_busy
            assert ready.wait(30)
            return made[-1].take()

        return ask

    yield make
    for each in made:
        each.close()


def test_a_users_planner_beside_campaign_toml_answers_from_another_process(recipe, asker):
    import os

    answer = asker(recipe("Fixed"))()

    assert answer.error == ""
    assert answer.suggestions[0].parameters["x"] == 0.25
    assert answer.suggestions[0].parameters["pid"] != os.getpid()
    assert answer.seconds >= 0


def test_a_planner_whose_process_dies_is_an_answer_and_the_next_question_gets_a_fresh_process(recipe, asker):
    ask = asker(recipe("Dies"))

    for _ in range(2):
        answer = ask()
        assert answer.suggestions == ()
        assert "exit code 9" in answer.error


def test_a_strategy_that_is_none_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(PlannerError, match="bayesian"):
        PlannerRecipe("bayesain", SPACE, GOALS, {}, tmp_path).make()


def test_a_planner_that_is_still_loading_does_not_hold_up_whoever_asks(recipe):
    ready = threading.Event()
    asker = ProcessAsker(recipe("LoadsLong"), ready.set)
    history = History(tuple(Observed({"x": i / 20_000}, {"y": 1.0}) for i in range(20_000)))  # more than a pipe holds
    asker.warm_up()

    begun = time.monotonic()
    asker.start(Question(history, (), 1, 0))

    assert time.monotonic() - begun < 2.0
    assert ready.wait(60)
    assert asker.take().error == ""
    asker.close()


def test_a_process_that_dies_while_the_daemon_warms_it_up_still_answers(recipe):
    ready = threading.Event()
    asker = ProcessAsker(recipe("Thinks"), ready.set)
    asker.start(QUESTION)
    process = asker._process
    join, is_warmed_up = process.join, threading.Event()
    process.join = lambda _: (is_warmed_up.wait(30), join(5))  # its death is noticed late
    process.kill()
    join(5)

    asker.warm_up()
    is_warmed_up.set()

    assert ready.wait(30)
    assert "the planner's process" in asker.take().error  # it ended; or, on a busy machine, before it was told anything
    asker.close()


def test_an_answer_that_only_the_planners_process_can_read_is_an_error_with_what_to_do(recipe, asker):
    answer = asker(recipe("Odd"))()

    assert answer.suggestions == ()
    assert "plain numbers and texts" in answer.error


def test_its_libraries_reckon_with_one_thread_and_the_daemons_environment_stays(asker, recipe, monkeypatch):
    import os

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    answer = asker(recipe("TellsItsThreads"))()

    assert answer.suggestions[0].metadata["most"] == 1
    assert "OMP_NUM_THREADS" not in os.environ
