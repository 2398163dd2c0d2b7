"""What becomes of what a driver returns or raises."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from alchemy_async.errors import DriverError, LimitError, NotStartedError, RetryableError, StoppedError
from alchemy_async.executors.outcomes import MAX_MESSAGE, BadResultError, as_observation, refused
from alchemy_async.experiment import Observation, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "number",
    [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), Decimal(2), Fraction(4, 2)],
    ids=lambda number: type(number).__name__,
)
def test_a_number_of_any_make_is_the_value_of_the_only_objective(number):
    values = as_observation(number, ("yield",)).values

    assert values == {"yield": 2.0}
    assert type(values["yield"]) is float


@pytest.mark.parametrize(
    "returned",
    [True, np.True_, "2.0", None, float("nan"), float("inf"), 10**400, [2.0], np.array([2.0]), 2j, object(), {}],
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_what_is_no_finite_number_is_refused(returned):
    with pytest.raises(BadResultError, match=r"[Rr]eturn "):
        as_observation(returned, ("yield",))


def test_a_truth_value_of_an_array_library_is_refused():
    class Truth:
        dtype = "torch.bool"

        def __float__(self):
            return 1.0

    with pytest.raises(BadResultError, match="Return one number"):
        as_observation(Truth(), ("yield",))


def test_a_mapping_holds_a_value_for_each_objective():
    assert as_observation({"cost": 1, "yield": np.float64(2)}, ("yield", "cost")).values == {"yield": 2.0, "cost": 1.0}


def test_a_bare_number_is_refused_where_there_are_several_objectives():
    with pytest.raises(BadResultError, match=r"Return a mapping: \{'yield': \.\.\., 'cost': \.\.\.\}"):
        as_observation(2.0, ("yield", "cost"))


def test_a_missing_objective_is_named():
    with pytest.raises(BadResultError, match=r"no 'cost'\. Return a number for each"):
        as_observation({"yield": 2.0}, ("yield", "cost"))


def test_an_unknown_objective_is_named_with_the_one_that_was_meant():
    with pytest.raises(BadResultError, match=r"'yeild'.*did you mean yield\?.*metadata"):
        as_observation({"yeild": 2.0}, ("yield", "cost"))


def test_an_observation_keeps_errors_parameters_as_run_and_metadata():
    measured = Observation(
        {"yield": 2.0}, {"yield": 0.1}, {"t": np.float64(301.5), "n": np.int64(3), "s": "THF"}, {"a": 1}
    )

    observation = as_observation(measured, ("yield",))

    assert observation == Observation({"yield": 2.0}, {"yield": 0.1}, {"t": 301.5, "n": 3, "s": "THF"}, {"a": 1})
    assert type(observation.parameters["n"]) is int


@pytest.mark.parametrize("sems", [{"yield": float("nan")}, {"yield": -1.0}, {"cost": 0.1}, {"yield": None}])
def test_a_standard_error_that_is_none_is_dropped_and_the_measurement_stays(sems):
    observation = as_observation(Observation({"yield": 2.0}, sems), ("yield",))

    assert observation.values == {"yield": 2.0}
    assert observation.sems == {}
    assert set(observation.metadata["dropped_sems"]) == set(sems)


def test_parameters_as_run_that_are_no_numbers_are_refused():
    with pytest.raises(BadResultError, match="the parameter t as run is nan"):
        as_observation(Observation({"yield": 2.0}, parameters={"t": float("nan")}), ("yield",))


def test_metadata_that_json_cannot_hold_is_kept_as_text():
    class Unshowable:
        def __str__(self):
            raise RuntimeError

    cyclic = []
    cyclic.append(cyclic)
    metadata = {
        "path": Path("spectrum.csv"), "when": NOW, "nan": float("nan"), "count": np.int64(3), 7: (1, {2}),
        "half": "\ud800", "huge": 10**5000, "odd": Unshowable(), "cyclic": cyclic,
    }  # fmt: skip

    kept = as_observation(Observation({"yield": 2.0}, metadata=metadata), ("yield",)).metadata

    json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert kept["path"] == "spectrum.csv"
    assert kept["nan"] == "nan"
    assert kept["count"] == 3
    assert kept["7"] == [1, "{2}"]
    assert kept["huge"] == "<int>"
    assert kept["odd"] == "<Unshowable>"


def test_metadata_too_large_for_a_message_is_left_out_and_says_so():
    observation = as_observation(Observation({"yield": 2.0}, metadata={"spectrum": [0.5] * 300_000}), ("yield",))

    assert observation.values == {"yield": 2.0}
    assert "Write them to a file" in observation.metadata["left_out"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (LimitError("too hot"), Status.INFEASIBLE, "limit"),
        (RetryableError("try again"), Status.FAILED, "retryable"),
        (NotStartedError("door open"), Status.RELEASED, "not_started"),
        (StoppedError("stopped"), Status.CANCELLED, "stopped"),
        (BadResultError("no number"), Status.FAILED, "bad_result"),
        (DriverError("broken"), Status.FAILED, "DriverError"),
        (ZeroDivisionError("division"), Status.FAILED, "ZeroDivisionError"),
        (SystemExit(3), Status.FAILED, "SystemExit"),
        (KeyboardInterrupt(), Status.FAILED, "KeyboardInterrupt"),
    ],
)
def test_each_exception_has_its_status_and_kind(error, status, kind):
    outcome = refused(error, NOW, NOW, is_stopping=False)

    assert (outcome.status, outcome.error.kind) == (status, kind)


@pytest.mark.parametrize("error", [LimitError("hot"), RuntimeError("link closed"), SystemExit()])
def test_any_exception_after_a_stop_is_the_answer_to_it(error):
    outcome = refused(error, NOW, NOW, is_stopping=True)

    assert (outcome.status, outcome.error.kind) == (Status.CANCELLED, "stopped")


def test_a_failure_keeps_its_traceback():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        message = refused(error, NOW, NOW, is_stopping=False).error.message

    assert message.startswith("Traceback")
    assert "test_outcomes.py" in message
    assert message.endswith("ZeroDivisionError: division by zero")


def test_a_long_message_is_cut_in_the_middle():
    message = refused(ValueError("a" * 10**6 + "the end"), NOW, NOW, is_stopping=False).error.message

    assert len(message) <= MAX_MESSAGE
    assert message.endswith("the end")


def test_an_exception_that_cannot_be_shown_still_has_an_outcome():
    class OddError(LimitError):
        def __str__(self):
            raise RuntimeError

    assert refused(OddError(), NOW, NOW, is_stopping=False).error.message == "<OddError>"
