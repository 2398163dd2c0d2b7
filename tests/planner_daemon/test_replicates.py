"""Replicates: each point that the planner chooses is measured as often as the campaign says."""

from collections import Counter

import pytest

from alchemy_async.experiment import State
from alchemy_async.planner_daemon.opening import model_starts_at


def n_of_each(here):
    """Return how often each point stands in the ledger, the first one first."""
    return list(Counter(tuple(found.parameters.items()) for found in here.ledger.experiments()).values())


def run_to_the_end(here):
    worker = here.worker()
    for _ in range(200):
        summary = here.step()
        if summary is not None:
            return summary
        offer = here.claim(worker)
        if offer is not None:
            here.report(worker, offer)
    raise AssertionError("the campaign did not end")


def test_each_point_of_the_initial_design_and_of_the_model_is_measured_so_often(lab):
    here = lab(n_initial=2, budget="experiments = 12", replicates=3)

    run_to_the_end(here)

    assert here.ledger.tally()[State.COMPLETED] == 12
    assert n_of_each(here) == [3, 3, 3, 3]
    assert Counter(found.origin for found in here.ledger.experiments())["initial"] == 6


def test_replicates_stand_one_after_the_other_and_are_never_given_other_points(lab):
    here = lab(n_initial=1, budget="experiments = 9", replicates=3)
    run_to_the_end(here)

    points = [found.parameters for found in here.ledger.experiments()]

    assert [points[k] == points[k - 1] for k in range(1, 9)] == 2 * [True, True, False] + [True, True]
    assert not [event for event in here.ledger.events() if event["kind"] == "revised"]


def test_where_the_budget_ends_in_between_the_last_point_has_fewer(lab):
    here = lab(n_initial=1, budget="experiments = 5", replicates=2)

    run_to_the_end(here)

    assert n_of_each(here) == [2, 2, 1]


@pytest.mark.parametrize(("replicates", "expected"), [(1, 2), (3, 6)])
def test_a_model_waits_for_two_points_however_often_each_is_measured(lab, replicates, expected):
    here = lab(n_initial=2, budget="experiments = 30", replicates=replicates)

    assert model_starts_at(here.settings) == expected
