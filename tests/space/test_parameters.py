from __future__ import annotations

import pytest

from alchemy_async.errors import PointError
from alchemy_async.space import Continuous, Space


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), True, "1", None])
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(PointError, match="x"):
        Space((Continuous("x"),)).check({"x": value})
