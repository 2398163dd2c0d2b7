from __future__ import annotations

import pytest

from alchemy_async.experiment import Objective
from alchemy_async.simulation.figures import figures, makespan_s, nearest_pending, percentile, running_best


def test_without_a_planner_to_wait_for_each_starts_on_the_worker_that_is_free_first():
    assert makespan_s([4.0, 1.0, 1.0, 1.0], 2, is_synchronous=False) == 4.0


def test_batches_take_as_long_as_their_longest_experiments_together():
    assert makespan_s([4.0, 1.0, 1.0, 2.0], 2, is_synchronous=True) == 6.0


def test_a_campaign_of_nothing_takes_no_time():
    assert makespan_s([], 3, is_synchronous=True) == makespan_s([], 3, is_synchronous=False) == 0.0


def test_the_median_lies_between_the_middle_two_and_nothing_has_none():
    assert percentile([1.0, 2.0, 4.0, 8.0], 50) == 3.0
    assert percentile([], 50) is None


def test_figures_agree_with_what_ran(make_lab):
    lab = make_lab(latency_s=8.0, look_ahead=0)
    lab.run()

    found = figures(lab, Objective("value"), n_workers=3, is_synchronous=False, optimum=0.397887)

    values = [one.outcome.values["value"] for one in lab.ran]
    busy_s = sum(one.finished_s - one.started_s for one in lab.ran)
    assert found["best"] == min(values)
    assert found["regret"] == pytest.approx(min(values) - 0.397887)
    assert found["makespan_s"] == max(one.finished_s for one in lab.ran)
    assert found["utilisation"] == pytest.approx(busy_s / (3 * found["makespan_s"]))
    assert found["utilisation"] < found["utilisation_ideal"] <= 1
    assert [point["best"] for point in found["trace"]] == sorted((p["best"] for p in found["trace"]), reverse=True)
    assert len(found["trace"]) == 15


def test_the_best_so_far_of_what_is_to_be_large_grows(make_lab):
    lab = make_lab()
    lab.run()

    trace = running_best(lab.ran, Objective("value", goal="maximize"))

    assert [point["best"] for point in trace] == sorted(point["best"] for point in trace)
    assert trace[-1]["best"] == max(point["value"] for point in trace)


def test_the_best_so_far_is_the_nearest_to_a_target_that_keeps_its_limits(make_lab):
    lab = make_lab()
    lab.run()
    wanted = Objective("value", "target", target=20.0, at_most=25.0)
    values = [one.outcome.values["value"] for one in lab.ran if one.outcome.values]

    trace = running_best(lab.ran, wanted)

    within = [value for value in values if value <= 25.0]
    assert trace[-1]["best"] == min(within, key=lambda value: abs(value - 20.0))


def test_the_initial_design_does_not_count_as_chosen(make_lab):
    lab = make_lab()
    lab.run()
    initial = [one for one in lab.ran if one.offer.origin == "initial"]

    assert nearest_pending(initial) is None
    assert nearest_pending(lab.ran) == min(o.nearest_pending for o in lab.ran if o.offer.origin != "initial")
