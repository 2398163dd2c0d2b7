"""The local executor: attempts run in this process, on one thread that belongs to the driver.

In:    a driver, and attempts, one at a time.
Out:   a future of each outcome, which never raises.
Never: waits without end for a driver that hangs.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async.clock import Clock
from alchemy_async.drivers import Context, Driver
from alchemy_async.errors import DriverError, StoppedError
from alchemy_async.executors.driver_thread import DriverThread
from alchemy_async.executors.outcomes import as_observation, completed, refused
from alchemy_async.experiment import Attempt, Outcome

if TYPE_CHECKING:
    from alchemy_async.space import Value

logger = logging.getLogger(__name__)


class LocalExecutor:
    """Runs attempts on a thread of this process.

    ``connect``, ``setup``, ``check``, ``measure`` and ``teardown`` of the driver
    run on that one thread, ``stop`` on another. One thread of the caller uses
    the executor.

    Args:
        driver: What the attempts are run by.
        worker: Name of the worker.
        folder: The campaign folder.
        objectives: Names of the objectives; every measurement must have them all.
        clock: What started and finished times are read from.
        on_done: Called once for each outcome, as a rule from the driver's thread.
        stop_s: Longest time that ``stop`` waits for the driver's ``stop``.
        teardown_s: Longest time that ``close`` waits for the running attempt and ``teardown``.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        worker: str,
        folder: Path,
        objectives: tuple[str, ...],
        clock: Clock,
        on_done: Callable[[], None],
        stop_s: float = 5.0,
        teardown_s: float = 30.0,
    ) -> None:
        self._driver = driver
        self._worker = worker
        self._folder = folder
        self._objectives = objectives
        self._clock = clock
        self._on_done = on_done
        self._stop_s = stop_s
        self._teardown_s = teardown_s
        self._thread = DriverThread(f"driver of {worker}")
        self._running: Context | None = None
        self._is_used = False
        self._is_closed = False

    def connect(self) -> None:
        """Open the link to the instrument.

        Raises:
            DriverError: If the driver could not; its own exception is the cause.
        """
        self._prepare("connect")
        self._is_used = True

    def setup(self) -> None:
        """Make the instrument ready to measure.

        Raises:
            DriverError: If the driver could not; its own exception is the cause.
        """
        self._is_used = True
        self._prepare("setup")

    def submit(self, attempt: Attempt) -> Future[Outcome]:
        """Start an attempt; the future never raises, a failure is an outcome.

        Raises:
            RuntimeError: If one is running, or the executor is closed.
        """
        if self._running is not None or self._is_closed:
            state = "is closed" if self._is_closed else "runs an attempt already"
            raise RuntimeError(f"the executor of {self._worker} {state}. Submit one attempt at a time, before close().")
        self._is_used = True
        context = Context(
            experiment=attempt.key.experiment,
            attempt=attempt.key.attempt,
            worker=self._worker,
            folder=self._folder,
            objectives=self._objectives,
        )
        self._running = context
        parameters = dict(attempt.parameters)  # the driver's own: it may change them
        future = self._thread.call(lambda: self._attempt(parameters, context))
        future.add_done_callback(lambda _: self._on_done())
        return future

    def stop(self) -> None:
        """Ask the running attempt to break off; its future still brings an outcome.

        The driver's ``stop`` is called even if nothing runs, so that a fresh
        process can make an instrument safe. A driver without one that measures
        in an ``async`` function has that function cancelled.
        """
        running = self._running
        if running is not None:
            running.stopping.set()
        step = getattr(self._driver, "stop", None)
        if step is None:
            if running is not None:
                self._thread.break_off()
            return
        stopping = threading.Thread(target=self._call_stop, args=(step,), name=f"stop of {self._worker}", daemon=True)
        stopping.start()
        stopping.join(self._stop_s)
        if stopping.is_alive():
            logger.error("%s: the driver's stop() has not returned for %g s", self._worker, self._stop_s)

    def close(self) -> None:
        """Stop what runs, leave the instrument safe, and end the driver's thread; never hangs, never raises."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._running is not None:
            self.stop()
        step = getattr(self._driver, "teardown", None)
        if step is not None and self._is_used:
            torn_down = self._thread.call(step)
            wait([torn_down], self._teardown_s)
            if not torn_down.done():
                logger.error("%s: the driver has not torn down within %g s", self._worker, self._teardown_s)
            elif (error := torn_down.exception()) is not None:
                logger.error("%s: the driver's teardown() failed", self._worker, exc_info=error)
        self._thread.close()

    def _attempt(self, parameters: dict[str, Value], context: Context) -> Outcome:
        started_at = self._clock.now()
        try:
            measured = self._measure(parameters, context)
        except BaseException as error:  # noqa: BLE001  (a driver may raise anything, sys.exit included: that is data)
            return refused(error, started_at, self._clock.now(), is_stopping=context.stopping.is_set())
        finally:
            self._running = None
        finished_at = self._clock.now()
        try:
            return completed(as_observation(measured, self._objectives), started_at, finished_at)
        except Exception as error:  # noqa: BLE001  (a driver may return anything, objects that raise included)
            return refused(error, started_at, finished_at, is_stopping=False)

    def _measure(self, parameters: dict[str, Value], context: Context) -> object:
        check = getattr(self._driver, "check", None)
        if check is not None:
            self._thread.resolve(check(parameters))
        if context.stopping.is_set():
            raise StoppedError("the measurement was asked to stop before it started")
        measured: object = self._thread.resolve(self._driver.measure(parameters, context))
        return measured

    def _prepare(self, what: str) -> None:
        step = getattr(self._driver, what, None)
        if step is None:
            return
        error = self._thread.call(step).exception()
        if error is not None:
            raise DriverError(
                f"{self._worker}: {what}() of its driver {type(self._driver).__name__} failed: "
                f"{type(error).__name__}: {error}. Look at the instrument and its link, then start the worker again."
            ) from error

    def _call_stop(self, step: Callable[[], object]) -> None:
        try:
            answer = step()
            if inspect.isawaitable(answer):
                self._thread.run_beside(answer, self._stop_s)
        except (Exception, SystemExit):
            logger.exception("%s: the driver's stop() failed", self._worker)
