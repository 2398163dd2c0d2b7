"""Askers: how the daemon puts a question to a planner without waiting for the answer.

In:    one question at a time.
Out:   its answer, later; an error is an answer too.
Never: looks at the ledger or the queue, or lets a planner block the daemon.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alchemy_async.errors import AlchemyError, PlannerError
from alchemy_async.experiment import History, Objective, Suggestion
from alchemy_async.planner import Planner
from alchemy_async.space import Point, Space, Value

if TYPE_CHECKING:  # multiprocess brings no types; its objects have the interface of multiprocessing's
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """The arguments of `Planner.ask`; ``hold``: what the points must have, whatever they have else."""

    history: History
    pending: tuple[Point, ...]
    n: int
    seed: int
    hold: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a planner said, and how long it took, in seconds."""

    suggestions: tuple[Suggestion, ...]
    seconds: float
    error: str = ""


class Asker(Protocol):
    """Puts one question at a time."""

    @property
    def is_busy(self) -> bool:
        """Whether a question waits for its answer, or an answer to be taken."""
        ...

    def start(self, question: Question) -> None:
        """Put a question; only while not busy."""
        ...

    def take(self) -> Answer | None:
        """Take the answer, if it is there."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def answer(planner: Planner, question: Question) -> Answer:
    """Ask a planner and measure how long it takes; any exception becomes an answer's error."""
    begun = time.perf_counter()
    try:
        suggestions = tuple(planner.ask(question.history, question.pending, question.n, question.seed))
    except AlchemyError as error:
        return Answer((), time.perf_counter() - begun, str(error))
    except Exception as error:
        log.debug("the planner failed", exc_info=True)
        return Answer((), time.perf_counter() - begun, f"{type(error).__name__}: {error}")
    return Answer(suggestions, time.perf_counter() - begun)


class Planners:
    """A campaign's planner, and one more for each of the values that parameters are held at.

    Args:
        planner: The campaign's.
        recipe: How the others are made; None: nothing can be held.
    """

    def __init__(self, planner: Planner, recipe: PlannerRecipe | None = None) -> None:
        self._recipe = recipe
        self._made: dict[tuple[tuple[str, Value], ...], Planner] = {(): planner}

    def answer(self, question: Question) -> Answer:
        """Ask whoever the question is for; any exception becomes an answer's error."""
        held = tuple(sorted(question.hold.items()))
        try:
            if held not in self._made:
                self._made[held] = self._make(question.hold)
        except AlchemyError as error:
            return Answer((), 0.0, str(error))
        return answer(self._made[held], question)

    def _make(self, hold: Mapping[str, Value]) -> Planner:
        if self._recipe is None:
            raise PlannerError("This planner can't hold parameters at values: nobody said how another one is made.")
        return replace(self._recipe, space=self._recipe.space.holding(hold)).make()


class InlineAsker:
    """Asks at once, in this thread: for simulated time and for tests.

    Args:
        planner: Who is asked.
        recipe: How another one is made where parameters are held at values.
    """

    def __init__(self, planner: Planner, recipe: PlannerRecipe | None = None) -> None:
        self._planners = Planners(planner, recipe)
        self._answer: Answer | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer waits to be taken."""
        return self._answer is not None

    def start(self, question: Question) -> None:
        """Ask, and keep the answer."""
        self._answer = self._planners.answer(question)

    def take(self) -> Answer | None:
        """Take the answer."""
        taken, self._answer = self._answer, None
        return taken

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class PlannerRecipe:
    """What another process needs to make the planner by itself."""

    strategy: str
    space: Space
    objectives: tuple[Objective, ...]
    options: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def make(self) -> Planner:
        """Load the planner.

        Raises:
            PlannerError: If it can't be loaded, or can't do what the campaign asks for.
        """
        from alchemy_async.planner.load import load_planner

        with importable(self.folder):
            return load_planner(self.strategy, self.space, self.objectives, self.options)


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules beside campaign.toml be imported by name."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


class ProcessAsker:
    """Asks in a process of its own, so that neither torch nor a crash of it touches the daemon.

    Args:
        recipe: How the process makes its planner.
        on_answer: Called, from another thread, when an answer can be taken.
    """

    def __init__(self, recipe: PlannerRecipe, on_answer: Callable[[], None]) -> None:
        self._recipe = recipe
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._question: Question | None = None
        self._answer: Answer | None = None
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None

    def warm_up(self) -> None:
        """Start the process, which loads what its planner needs, before the first question."""
        if not self.is_busy:  # while busy, the death of the process is still to become an answer
            self._ensure_process()

    @property
    def is_busy(self) -> bool:
        """Whether a question waits for its answer, or an answer to be taken."""
        with self._lock:
            return self._question is not None or self._answer is not None

    def start(self, question: Question) -> None:
        """Send a question to the process, starting it anew if it has died."""
        with self._lock:
            self._question = question
        try:
            connection = self._ensure_process()
        except OSError as error:
            self._fail(error)
            return
        # A process that is still loading reads nothing, and a long history is more than the pipe holds.
        threading.Thread(target=self._send, args=(connection, question), daemon=True).start()

    @property
    def is_answered(self) -> bool:
        """Whether an answer can be taken."""
        with self._lock:
            return self._answer is not None

    def take(self) -> Answer | None:
        """Take the answer, if it is there."""
        with self._lock:
            taken, self._answer = self._answer, None
            return taken

    def close(self) -> None:
        """End the process; an answer that it was working on is dropped."""
        with self._lock:
            connection, process, self._connection, self._process = self._connection, self._process, None, None
        if process is not None:
            process.kill()
            process.join(5)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _ensure_process(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        import multiprocess

        context = multiprocess.get_context("spawn")  # fork after torch's threads is unsafe
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._recipe), name="planner", daemon=True)
        with _one_thread():
            process.start()
        theirs.close()
        self._connection, self._process = ours, process
        threading.Thread(target=self._listen, args=(ours, process), daemon=True).start()
        return self._connection

    def _send(self, connection: Connection, question: Question) -> None:
        try:
            # The standard pickle, in C: multiprocess would take dill's, twenty times slower under the daemon's lock.
            connection.send_bytes(pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._settle(Answer((), 0.0, f"the planner's process can't be reached: {error}"))

    def _listen(self, connection: Connection, process: BaseProcess) -> None:
        while True:
            try:
                self._settle(connection.recv())
            except (EOFError, OSError):
                process.join(5)
                with self._lock:
                    closed = self._process is not process
                if not closed:
                    self._settle(Answer((), 0.0, f"the planner's process ended (exit code {process.exitcode})"))
                return
            except Exception as error:  # noqa: BLE001 - what a planner of one's own puts into its metadata may do anything
                mend = "Let its suggestions hold plain numbers and texts only"
                self._settle(Answer((), 0.0, f"its answer can't be read ({error!r}). {mend}"))

    def _settle(self, settled: Answer) -> None:
        with self._lock:
            if self._question is None:
                return
            self._question, self._answer = None, settled
        self._on_answer()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let a process that starts within reckon with one thread: a second one gains nothing below 200 observations.

    Its libraries read this while they are loaded, which is before any code of ours runs there.
    """
    is_set = "OMP_NUM_THREADS" in os.environ
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        yield
    finally:
        if not is_set:
            del os.environ["OMP_NUM_THREADS"]


def _serve(connection: Connection, recipe: PlannerRecipe) -> None:
    """Answer questions until the other end is gone; runs in the planner's own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the daemon decides
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)  # instruments and the daemon go first: a planner that thinks must not delay a claim
    planners: Planners | None = None
    failure = ""
    try:
        planner = recipe.make()
        planners = Planners(planner, recipe)
        warm_up: Callable[[], None] = getattr(planner, "warm_up", lambda: None)
        warm_up()
    except AlchemyError as error:
        failure = str(error)
    while True:
        try:
            question = pickle.loads(connection.recv_bytes())  # noqa: S301 - our own parent wrote it
        except (EOFError, OSError):
            return
        said = Answer((), 0.0, failure) if planners is None else planners.answer(question)
        try:
            connection.send(said)
        except (OSError, ValueError):
            return
