from __future__ import annotations

import pytest

from alchemy_async.cli import amounts


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [
        (86.934, 2.764, "86.9 ± 2.8 %"),
        (1.7669, 12.89, "2 ± 13 %"),
        (0.4111, 0.0344, "0.411 ± 0.034 %"),
        (1234.0, 150.0, "1230 ± 150 %"),
        (99.97, 0.0996, "99.97 ± 0.10 %"),
        (5.0, 0.0, "5 %"),
        (1.5e-9, 2e-10, "1.5e-09 ± 2e-10 %"),
        (3e20, 4e19, "3e+20 ± 4e+19 %"),
    ],
)
def test_a_prediction_has_the_digits_that_its_doubt_leaves(mean, sd, shown):
    assert amounts.with_doubt(mean, sd, "%") == shown


def test_nothing_uncertain_is_called_sure():
    assert [amounts.share(part) for part in (0.0, 0.004, 0.5, 0.996, 1.0)] == [
        "less than 1 %",
        "less than 1 %",
        "50 %",
        "more than 99 %",
        "more than 99 %",
    ]


def test_a_time_of_the_same_day_needs_no_date():
    at = "2026-11-22T14:02:07.123456Z"

    assert amounts.clock_time(at, "2026-11-22T01:00:00.000000Z") == "14:02:07"
    assert amounts.clock_time(at, "2026-11-21T23:00:00.000000Z") == "2026-11-22 14:02:07"


def test_a_long_list_is_cut_and_says_by_how_much():
    assert amounts.listed(["a", "b", "c"], most=3) == "a, b, c"
    assert amounts.listed(["a", "b", "c", "d"], most=3) == "a, b and 2 more"
