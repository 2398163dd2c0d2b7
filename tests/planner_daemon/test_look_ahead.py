from __future__ import annotations

import pytest

from alchemy_async.planner_daemon.look_ahead import MAX_DEPTH, depth


@pytest.mark.parametrize(
    ("n_workers", "ask_s", "duration_s", "expected"),
    [
        (3, [0.3], [17.5], 1),  # an ask is short: one ready experiment is enough
        (3, [10.0], [17.5], 4),  # 2 * 3 * 10 / 17.5 = 3.4
        (8, [1.0], [2.0], 8),
        (3, [1.0], [0.0], MAX_DEPTH),
        (3, [], [17.5], 1),
        (3, [0.3], [], 1),
        (256, [10.0], [1.0], MAX_DEPTH),
    ],
)
def test_auto_holds_ready_twice_what_workers_take_during_one_ask(n_workers, ask_s, duration_s, expected):
    assert depth("auto", n_workers=n_workers, ask_s=ask_s, duration_s=duration_s) == expected


def test_one_slow_ask_does_not_deepen_the_queue():
    assert depth("auto", n_workers=3, ask_s=[0.3, 0.3, 60.0], duration_s=[17.5]) == 1


def test_a_number_is_taken_as_it_is():
    assert depth(0, n_workers=3, ask_s=[99.0], duration_s=[1.0]) == 0
