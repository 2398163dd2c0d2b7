"""The driver's thread: the one thread that an instrument is spoken to from.

In:    calls, one after the other; plain or ``async``.
Out:   a future of each.
Never: keeps the process alive: a call that hangs ends with the process.

All ``async`` calls share one event loop, so that a connection opened in
``connect`` can be used in ``measure``.
"""

from __future__ import annotations

import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

Call = Callable[[], Any]


class DriverThread:
    """A daemon thread that runs calls in the order they were given.

    Args:
        name: Name of the thread, as tracebacks and debuggers show it.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Call, Future[Any]] | None] = queue.SimpleQueue()
        self._runner: asyncio.Runner | None = None
        self._task: asyncio.Task[Any] | None = None
        self._is_broken_off = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, step: Call) -> Future[Any]:
        """Run a call when its turn comes; what it returns is awaited if it can be."""
        future: Future[Any] = Future()
        self._calls.put((step, future))
        return future

    def resolve(self, result: Any) -> Any:  # noqa: ANN401  (whatever a driver returns)
        """Await a result if it can be; only from a call that runs on this thread."""
        if not inspect.isawaitable(result):
            return result
        import asyncio  # few drivers are asynchronous, and every worker would wait for it

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._awaited(result))

    def break_off(self) -> None:
        """Cancel the ``async`` call that runs, if one does; a plain call can't be cancelled."""
        self._is_broken_off = True
        task, runner = self._task, self._runner
        if task is not None and runner is not None:
            runner.get_loop().call_soon_threadsafe(task.cancel)

    def run_beside(self, awaitable: Awaitable[Any], timeout_s: float) -> None:
        """Await something from another thread: on the loop if it runs, else on one of its own.

        Raises:
            TimeoutError: If it takes longer than ``timeout_s``.
        """
        import asyncio

        if self._task is not None and self._runner is not None:
            asyncio.run_coroutine_threadsafe(_finished(awaitable), self._runner.get_loop()).result(timeout_s)
        else:
            asyncio.run(asyncio.wait_for(_finished(awaitable), timeout_s))

    def close(self) -> None:
        """End the thread after the calls that it was given."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            step, future = call
            self._is_broken_off = False
            future.set_running_or_notify_cancel()
            try:
                result = self.resolve(step())
            except BaseException as error:  # noqa: BLE001  (it belongs to whoever waits for the future)
                future.set_exception(error)
            else:
                future.set_result(result)
        if self._runner is not None:
            self._runner.close()

    async def _awaited(self, awaitable: Awaitable[Any]) -> Any:  # noqa: ANN401  (whatever a driver returns)
        import asyncio

        self._task = asyncio.current_task()
        try:
            if self._is_broken_off and self._task is not None:
                self._task.cancel()
            return await awaitable
        finally:
            self._task = None


async def _finished(awaitable: Awaitable[Any]) -> None:
    await awaitable
