"""How attempts run on the driver's own thread."""

import asyncio
import sys
import threading
import time

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.drivers.function import FunctionDriver
from alchemy_async.errors import DriverError, LimitError, NotStartedError, RetryableError
from alchemy_async.executors import Executor
from alchemy_async.executors.local import LocalExecutor
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Failure, Status

PATIENCE_S = 10


def an_attempt(**parameters):
    return Attempt(AttemptKey("e1", 2), AttemptState.RUNNING, parameters)


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def execute(tmp_path, clock):
    """Make executors; close them at the end."""
    made = []

    def make(driver, objectives=("yield",), on_done=lambda: None, **options):
        if not hasattr(driver, "measure"):
            driver = FunctionDriver(driver, {})
        executor = LocalExecutor(
            driver, worker="w-1", folder=tmp_path, objectives=objectives, clock=clock, on_done=on_done, **options
        )
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.close()


def outcome_of(executor, **parameters):
    return executor.submit(an_attempt(**parameters)).result(PATIENCE_S)


class Recorder:
    """A driver that notes what is called, and on which thread."""

    def __init__(self):
        self.calls = []

    def note(self, what):
        self.calls.append((what, threading.current_thread()))

    def connect(self):
        self.note("connect")

    def setup(self):
        self.note("setup")

    def check(self, parameters):
        self.note("check")

    def measure(self, parameters, context):
        self.note("measure")
        return 1.0

    def stop(self):
        self.note("stop")

    def teardown(self):
        self.note("teardown")


def test_it_is_an_executor(execute):
    assert isinstance(execute(lambda: 1.0), Executor)


def test_all_but_stop_runs_on_one_thread_in_order(execute):
    driver = Recorder()
    executor = execute(driver)

    executor.connect()
    executor.setup()
    outcome_of(executor)
    executor.stop()
    executor.close()

    assert [what for what, _ in driver.calls] == ["connect", "setup", "check", "measure", "stop", "teardown"]
    threads = dict(driver.calls)
    stopping = threads.pop("stop")
    assert len(set(threads.values())) == 1
    assert stopping not in threads.values()
    assert threading.main_thread() not in threads.values()


def test_the_driver_is_told_which_attempt_it_runs(execute, tmp_path):
    seen = []

    def measure(context):
        seen.append(context)
        return 1.0

    outcome_of(execute(measure))

    context = seen[0]
    assert (context.experiment, context.attempt, context.worker, context.folder) == ("e1", 2, "w-1", tmp_path)
    assert context.objectives == ("yield",)


def test_whole_numbers_arrive_as_int(execute):
    seen = {}

    def measure(n, t):
        seen.update(n=n, t=t)
        return 1.0

    outcome_of(execute(measure), n=3, t=300.0)

    assert (type(seen["n"]), type(seen["t"])) == (int, float)


def test_a_driver_that_changes_its_parameters_changes_nothing_else(execute):
    class Greedy:
        def measure(self, parameters, context):
            return parameters.pop("t")

    attempt = an_attempt(t=300.0)

    execute(Greedy()).submit(attempt).result(PATIENCE_S)

    assert attempt.parameters == {"t": 300.0}


def test_times_come_from_the_clock(execute, clock):
    started_at = clock.now()

    def measure():
        clock.advance(7)
        return 1.0

    outcome = outcome_of(execute(measure))

    assert outcome.started_at == started_at
    assert (outcome.finished_at - outcome.started_at).total_seconds() == 7


def test_the_caller_is_woken_once_for_each_outcome(execute):
    woken = threading.Semaphore(0)
    executor = execute(lambda: 1.0, on_done=woken.release)

    outcome_of(executor)
    outcome_of(executor)

    assert woken.acquire(timeout=PATIENCE_S)
    assert woken.acquire(timeout=PATIENCE_S)
    assert not woken.acquire(blocking=False)


def test_check_refuses_a_point_before_it_is_measured(execute):
    driver = Recorder()
    driver.check = lambda parameters: (_ for _ in ()).throw(LimitError("above 450 K"))

    outcome = outcome_of(execute(driver))

    assert (outcome.status, outcome.error) == (Status.INFEASIBLE, Failure("limit", "above 450 K"))
    assert driver.calls == []


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (LimitError("x"), Status.INFEASIBLE, "limit"),
        (RetryableError("x"), Status.FAILED, "retryable"),
        (NotStartedError("x"), Status.RELEASED, "not_started"),
        (ValueError("x"), Status.FAILED, "ValueError"),
        (SystemExit(0), Status.FAILED, "SystemExit"),
        (KeyboardInterrupt(), Status.FAILED, "KeyboardInterrupt"),
    ],
)
def test_an_exception_is_an_outcome_and_the_next_attempt_runs(execute, error, status, kind):
    faults = [error]

    def measure():
        if faults:
            raise faults.pop()
        return 1.0

    executor = execute(measure)

    outcome = outcome_of(executor)

    assert (outcome.status, outcome.error.kind) == (status, kind)
    assert outcome_of(executor).status is Status.COMPLETED


@pytest.mark.fault(13)
def test_a_driver_that_calls_sys_exit_only_fails_its_attempt(execute):
    outcome = outcome_of(execute(lambda: sys.exit("emergency")))

    assert (outcome.status, outcome.error.kind) == (Status.FAILED, "SystemExit")
    assert "emergency" in outcome.error.message


@pytest.mark.parametrize("returned", [None, "1.0", True, float("nan"), {"other": 1.0}])
def test_what_is_no_measurement_is_a_bad_result(execute, returned):
    outcome = outcome_of(execute(lambda: returned))

    assert (outcome.status, outcome.error.kind) == (Status.FAILED, "bad_result")
    assert outcome.values == {}


def test_an_object_that_raises_when_it_is_read_is_a_failure_too(execute):
    class Evil:
        shape = ()

        def __float__(self):
            raise MemoryError("no room")

    outcome = outcome_of(execute(lambda: Evil()))

    assert (outcome.status, outcome.error.kind) == (Status.FAILED, "MemoryError")


def test_a_measurement_that_is_asked_to_stop_is_cancelled(execute):
    sleeping = threading.Event()

    def measure(context):
        sleeping.set()
        context.sleep(3600)

    executor = execute(measure)
    future = executor.submit(an_attempt())
    sleeping.wait(PATIENCE_S)

    executor.stop()

    outcome = future.result(PATIENCE_S)
    assert (outcome.status, outcome.error.kind) == (Status.CANCELLED, "stopped")


def test_a_value_returned_after_a_stop_is_a_measurement(execute):
    begun = threading.Event()

    def measure(context):
        begun.set()
        context.stopping.wait(PATIENCE_S)
        return 5.0

    executor = execute(measure)
    future = executor.submit(an_attempt())
    assert begun.wait(PATIENCE_S)

    executor.stop()

    outcome = future.result(PATIENCE_S)
    assert (outcome.status, outcome.values) == (Status.COMPLETED, {"yield": 5.0})


def test_a_bad_value_after_a_stop_is_no_cancellation(execute):
    begun = threading.Event()

    def measure(context):
        begun.set()
        context.stopping.wait(PATIENCE_S)

    executor = execute(measure)
    future = executor.submit(an_attempt())
    assert begun.wait(PATIENCE_S)

    executor.stop()

    assert future.result(PATIENCE_S).error.kind == "bad_result"


def test_an_attempt_stopped_before_its_turn_never_starts(execute):
    held, measured = threading.Event(), []
    driver = Recorder()
    driver.check = lambda parameters: held.wait(PATIENCE_S)
    driver.measure = lambda parameters, context: measured.append(1)
    executor = execute(driver)
    future = executor.submit(an_attempt())

    executor.stop()
    held.set()

    assert future.result(PATIENCE_S).status is Status.CANCELLED
    assert measured == []


def test_the_stop_of_one_attempt_does_not_stop_the_next(execute):
    def measure(context):
        context.sleep(0.01)
        return 1.0

    executor = execute(measure)
    executor.stop()

    assert outcome_of(executor).status is Status.COMPLETED


def test_a_second_attempt_at_once_is_refused(execute):
    executor = execute(lambda context: context.sleep(3600))
    future = executor.submit(an_attempt())

    with pytest.raises(RuntimeError, match="one attempt at a time"):
        executor.submit(an_attempt())

    executor.stop()
    future.result(PATIENCE_S)


@pytest.mark.parametrize("step", ["connect", "setup"])
def test_a_driver_that_cannot_be_made_ready_says_what_failed(execute, step):
    driver = Recorder()
    cause = OSError("no such port")
    setattr(driver, step, lambda: (_ for _ in ()).throw(cause))

    with pytest.raises(
        DriverError, match=rf"{step}\(\) of its driver Recorder failed: OSError: no such port"
    ) as caught:
        getattr(execute(driver), step)()

    assert caught.value.__cause__ is cause


def test_what_never_connected_is_not_torn_down(execute):
    driver = Recorder()
    driver.connect = lambda: sys.exit(1)
    executor = execute(driver)

    with pytest.raises(DriverError, match="SystemExit"):
        executor.connect()
    executor.close()

    assert driver.calls == []


def test_closing_twice_tears_down_once(execute):
    driver = Recorder()
    executor = execute(driver)
    executor.connect()

    executor.close()
    executor.close()

    assert [what for what, _ in driver.calls] == ["connect", "teardown"]


def test_a_teardown_that_fails_is_logged_and_ends_there(execute, caplog):
    driver = Recorder()
    driver.teardown = lambda: 1 / 0
    executor = execute(driver)
    executor.connect()

    executor.close()

    assert "teardown() failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.fault(13)
def test_a_driver_that_hangs_does_not_hold_up_close(execute, caplog):
    begun, release = threading.Event(), threading.Event()
    driver = Recorder()
    driver.measure = lambda parameters, context: begun.set() or release.wait(60)
    driver.stop = lambda: release.wait(60)
    executor = execute(driver, stop_s=0.05, teardown_s=0.05)
    executor.submit(an_attempt())
    assert begun.wait(PATIENCE_S)
    began = time.monotonic()

    executor.close()

    assert time.monotonic() - began < PATIENCE_S
    assert "stop() has not returned" in caplog.text
    assert "has not torn down" in caplog.text
    release.set()


@pytest.mark.fault(13)
def test_a_hung_driver_does_not_keep_the_process_from_exiting(tmp_path, run_script):
    script = """
        import threading
        from pathlib import Path
        from alchemy_async.clock import SystemClock
        from alchemy_async.drivers.function import FunctionDriver
        from alchemy_async.executors.local import LocalExecutor
        from alchemy_async.experiment import Attempt, AttemptKey, AttemptState

        begun = threading.Event()
        driver = FunctionDriver(lambda: begun.set() or threading.Event().wait(), {})
        executor = LocalExecutor(driver, worker="w", folder=Path(), objectives=("y",), clock=SystemClock(),
                                 on_done=lambda: None, stop_s=0.1, teardown_s=0.1)
        executor.submit(Attempt(AttemptKey("e1", 1), AttemptState.RUNNING, {}))
        begun.wait()
        executor.close()
    """

    done = run_script(script)

    assert done.returncode == 0, done.stderr


@pytest.mark.fault(13)
def test_a_stop_that_fails_is_logged_and_the_attempt_ends_all_the_same(execute, caplog):
    driver = Recorder()
    driver.measure = lambda parameters, context: context.sleep(3600)
    driver.stop = lambda: 1 / 0
    executor = execute(driver)
    future = executor.submit(an_attempt())

    executor.stop()

    assert future.result(PATIENCE_S).status is Status.CANCELLED
    assert "stop() failed" in caplog.text


class Bench:
    """An ``async`` driver throughout."""

    def __init__(self):
        self.loops = []
        self.begun = threading.Event()
        self.is_open = False

    async def connect(self):
        self.loops.append(asyncio.get_running_loop())
        self.is_open = True

    async def check(self, parameters):
        if parameters["t"] > 1:
            raise LimitError("t is at most 1")

    async def measure(self, parameters, context):
        self.loops.append(asyncio.get_running_loop())
        self.begun.set()
        await asyncio.sleep(parameters["t"])
        return 1.0

    async def teardown(self):
        self.loops.append(asyncio.get_running_loop())
        self.is_open = False


def test_an_async_driver_keeps_one_event_loop_from_connect_to_teardown(execute):
    driver = Bench()
    executor = execute(driver)

    executor.connect()
    outcome = outcome_of(executor, t=0.0)
    executor.close()

    assert outcome.status is Status.COMPLETED
    assert not driver.is_open
    assert len(driver.loops) == 3
    assert len(set(map(id, driver.loops))) == 1


def test_an_async_check_is_awaited(execute):
    assert outcome_of(execute(Bench()), t=2.0).status is Status.INFEASIBLE


def test_an_async_measurement_without_a_stop_of_its_own_is_cancelled_where_it_waits(execute):
    begun = threading.Event()

    async def measure():
        begun.set()
        await asyncio.sleep(3600)

    executor = execute(measure)
    future = executor.submit(an_attempt())
    assert begun.wait(PATIENCE_S)

    executor.stop()

    assert future.result(PATIENCE_S).status is Status.CANCELLED


def test_an_async_stop_is_awaited_beside_the_measurement(execute):
    class Stoppable(Bench):
        async def measure(self, parameters, context):
            self.halt = asyncio.Event()
            self.begun.set()
            await self.halt.wait()
            return 2.0

        async def stop(self):
            self.halt.set()

    driver = Stoppable()
    executor = execute(driver)
    future = executor.submit(an_attempt(t=0.0))
    assert driver.begun.wait(PATIENCE_S)

    executor.stop()

    assert future.result(PATIENCE_S).values == {"yield": 2.0}


def test_an_async_stop_is_awaited_while_nothing_runs(execute):
    stopped = []

    class Stoppable(Bench):
        async def stop(self):
            stopped.append(True)

    execute(Stoppable()).stop()

    assert stopped == [True]


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (Failure("KeyError", "Traceback (most recent call last):\n  ...\nKeyError: 'x'"), "KeyError: 'x'"),
        (Failure("limit", "too hot\nby 3 K"), "limit: too hot"),
        (Failure("stirrer"), "stirrer"),
        (Failure("limit", "x" * 5000), "limit: " + "x" * 290 + "..."),
    ],
)
def test_a_failure_in_short_is_one_line(failure, line):
    assert failure.in_short() == line
