from __future__ import annotations

import pytest

from alchemy_async.planner_daemon.look_ahead import MAX_DEPTH, Pace, depth, round_size


@pytest.mark.parametrize(
    ("n_workers", "point_s", "duration_s", "expected"),
    [
        (3, (0.3,), (17.5,), 1),  # an ask is short: one ready experiment is enough
        (3, (10.0,), (17.5,), 6),  # 1.5 * 3 * 10 / 17.5 = 2.6 are taken before an answer, give or take 1.6
        (3, (0.35,), (1.75,), 3),
        (8, (1.0,), (2.0,), 11),
        (3, (1.0,), (0.0,), 1),
        (3, (), (17.5,), 1),
        (3, (0.3,), (), 1),
        (256, (10.0,), (1.0,), MAX_DEPTH),
    ],
)
def test_auto_holds_ready_what_workers_take_before_an_answer_and_two_standard_deviations_more(
    n_workers, point_s, duration_s, expected
):
    assert depth("auto", Pace(n_workers, point_s, {"w-1": duration_s})) == expected


def test_one_slow_ask_does_not_deepen_the_queue():
    assert depth("auto", Pace(3, (0.3, 0.3, 60.0), {"w-1": (17.5,)})) == 1


def test_workers_that_are_quick_count_for_more_than_slow_ones_among_the_same_number():
    alike = Pace(2, (1.0,), {"w-1": (20.0,) * 9, "w-2": (20.0,) * 9})
    unlike = Pace(2, (1.0,), {"w-1": (2.0,) * 9, "w-2": (38.0,) * 9})

    assert unlike.n_freed > 2 * alike.n_freed


def test_a_number_is_taken_as_it_is():
    assert depth(0, Pace(3, (99.0,), {"w-1": (1.0,)})) == 0


@pytest.mark.parametrize(
    ("point_s", "duration_s", "expected"),
    [
        (0.35, 17.5, 16),  # 5.8 s until the next worker is free: time for sixteen points
        (0.35, 1.6, 1),
        (10.0, 17.5, 2),  # can't keep up with one at a time: as many as become free meanwhile
    ],
)
def test_a_round_is_as_large_as_there_is_time_for(point_s, duration_s, expected):
    assert round_size(Pace(3, (point_s,), {"w-1": (duration_s,)})) == expected


def test_while_a_worker_waits_one_point_is_asked_for_at_a_time():
    assert round_size(Pace(3, (0.35,), {"w-1": (17.5,)}), is_starved=True) == 1


def test_before_anything_was_measured_a_round_is_not_limited():
    assert round_size(Pace(3)) == MAX_DEPTH
