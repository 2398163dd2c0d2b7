from __future__ import annotations

from alchemy_async.planner_daemon.serving import n_ready

ANY, XRD, NMR = frozenset(), frozenset({"xrd"}), frozenset({"nmr"})


def test_what_every_living_worker_can_run_counts():
    assert n_ready({ANY: 3, XRD: 2}, living=[XRD, XRD | NMR], idle=[]) == 5


def test_what_only_busy_workers_can_run_does_not_count():
    assert n_ready({ANY: 1, XRD: 9}, living=[XRD, ANY], idle=[ANY]) == 1


def test_what_some_can_run_counts_as_far_as_idle_ones_among_them_take_it():
    assert n_ready({XRD: 9}, living=[XRD, XRD, ANY], idle=[XRD, XRD, ANY]) == 2
    assert n_ready({XRD: 1, NMR: 1}, living=[XRD | NMR, XRD], idle=[XRD | NMR, XRD]) == 2


def test_one_idle_worker_takes_one_experiment_whatever_it_can_do():
    assert n_ready({XRD: 1, NMR: 1}, living=[XRD | NMR, ANY], idle=[XRD | NMR, ANY]) == 1


def test_while_no_worker_lives_all_of_the_queue_counts():
    assert n_ready({ANY: 1, XRD: 2}, living=[], idle=[]) == 3
