"""DriverContract: what every driver must pass, shipped ones and a user's own.

In:    a way to make the driver, and a point that it can measure.
Out:   pytest tests.
Never: needs more than the instrument itself, real or simulated.

    class TestMyFurnace(DriverContract):
        objectives = ("yield",)
        good_point = {"temperature": 350.0, "time": 20}
        bad_point = {"temperature": 5000.0, "time": 20}

        def make_driver(self, folder):
            return Furnace("ASRL1::INSTR")
"""

# ruff: noqa: S101  (a contract is made of assertions)

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import pytest

from alchemy_async.clock import SystemClock
from alchemy_async.drivers import Driver
from alchemy_async.executors.local import LocalExecutor
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Outcome, Status


class DriverContract:
    """Subclass it in a test file, under a name that begins with ``Test``.

    Attributes:
        objectives: Names of what the driver measures.
        good_point: Parameters that it can measure, integers as int.
        bad_point: Parameters that it must refuse with LimitError; None: it refuses none.
        patience_s: How long one measurement, or breaking one off, may take.
    """

    objectives: ClassVar[tuple[str, ...]] = ("value",)
    good_point: ClassVar[Mapping[str, float | int | str]]
    bad_point: ClassVar[Mapping[str, float | int | str] | None] = None
    patience_s: ClassVar[float] = 20.0

    def make_driver(self, folder: Path) -> Driver:
        """Return a driver that is not connected; ``folder`` stands for the campaign folder."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its driver: define make_driver.")

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Driver:
        """A driver that is not connected."""
        return self.make_driver(tmp_path)

    @pytest.fixture
    def executor(self, driver: Driver, tmp_path: Path) -> Iterator[LocalExecutor]:
        """What runs the driver; it tears down at the end."""
        executor = LocalExecutor(
            driver,
            worker="contract-1",
            folder=tmp_path,
            objectives=self.objectives,
            clock=SystemClock(),
            on_done=lambda: None,
            stop_s=self.patience_s,
            teardown_s=self.patience_s,
        )
        yield executor
        executor.close()

    def test_a_good_point_brings_a_finite_value_for_each_objective(self, executor: LocalExecutor) -> None:
        """Connect, set up, measure once."""
        _make_ready(executor)

        outcome = self._measured(executor)

        assert outcome.status is Status.COMPLETED, outcome.error
        assert set(outcome.values) == set(self.objectives)
        assert all(math.isfinite(value) for value in outcome.values.values())

    def test_it_measures_again_after_it_has_measured(self, executor: LocalExecutor) -> None:
        """A worker measures many points with one driver."""
        _make_ready(executor)

        outcomes = [self._measured(executor, number) for number in (1, 2)]

        assert [outcome.status for outcome in outcomes] == [Status.COMPLETED] * 2, outcomes

    def test_parameters_as_run_are_those_that_were_asked_for(self, executor: LocalExecutor) -> None:
        """Their values may differ, their names may not."""
        _make_ready(executor)

        ran = self._measured(executor).parameters

        assert ran is None or set(ran) == set(self.good_point)

    def test_a_bad_point_is_infeasible(self, executor: LocalExecutor) -> None:
        """A limit is an error of its own, so that the planner learns of it and nobody tries again."""
        if self.bad_point is None:
            pytest.skip("this driver refuses no point")
        _make_ready(executor)

        outcome = self._outcome(self._submitted(executor, self.bad_point, 1))

        assert outcome.status is Status.INFEASIBLE, outcome.error

    def test_stop_while_nothing_runs_does_no_harm(self, executor: LocalExecutor) -> None:
        """A fresh process stops an instrument that it has not used yet."""
        _make_ready(executor)

        executor.stop()

        assert self._measured(executor).status is Status.COMPLETED

    def test_a_measurement_that_is_stopped_ends_in_time_and_the_next_one_completes(
        self, executor: LocalExecutor
    ) -> None:
        """It may have finished before the stop reached it."""
        _make_ready(executor)
        running = self._submitted(executor, self.good_point, 1)

        executor.stop()

        assert self._outcome(running).status in (Status.CANCELLED, Status.COMPLETED)
        assert self._measured(executor, 2).status is Status.COMPLETED

    def test_a_fresh_driver_makes_the_instrument_safe_without_measuring(
        self, executor: LocalExecutor, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a worker was killed: connect, stop, teardown."""
        executor.connect()
        with caplog.at_level(logging.ERROR):
            executor.stop()
            executor.close()

        assert not caplog.records, caplog.text

    def test_a_second_driver_connects_after_the_first_was_torn_down(
        self, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        """Teardown gives the instrument back."""
        _make_ready(executor)
        executor.close()
        again = LocalExecutor(
            self.make_driver(tmp_path),
            worker="contract-2",
            folder=tmp_path,
            objectives=self.objectives,
            clock=SystemClock(),
            on_done=lambda: None,
        )
        try:
            _make_ready(again)

            assert self._measured(again).status is Status.COMPLETED
        finally:
            again.close()

    def test_idempotent_is_true_or_false(self, driver: Driver) -> None:
        """It decides whether an attempt that was cut off is simply run again."""
        assert getattr(driver, "idempotent", False) in (True, False)

    def _measured(self, executor: LocalExecutor, number: int = 1) -> Outcome:
        return self._outcome(self._submitted(executor, self.good_point, number))

    def _submitted(
        self, executor: LocalExecutor, point: Mapping[str, float | int | str], number: int
    ) -> Future[Outcome]:
        return executor.submit(Attempt(AttemptKey(f"contract{number}", 1), AttemptState.RUNNING, point))

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        return future.result(timeout=self.patience_s)


def _make_ready(executor: LocalExecutor) -> None:
    executor.connect()
    executor.setup()
