"""Thinking: processes beside the server in which models are fitted and points are chosen.

In:    a job by its name, arguments that can be pickled; a session's history, sent once and then only what is new of it.
Out:   what the job returns, or the error that it raises.
Never: keeps anything that changes an answer, outlives the server, even one that was killed, or lets a job hold it up.

A job is a pure function, so it does not matter which process answers, and one whose process died is done once more.
A process is on a leash: its standard input. Where that ends, it ends, whatever it is at.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alchemy_async
from alchemy_async.errors import AlchemyError, PlannerError
from alchemy_async.experiment import History, Observed
from alchemy_async.service.models.mind import keep, read, write
from alchemy_async.service.problems import InvalidError, ServiceError, TooMuchError, UnavailableError

N_PROCESSES = 2
LIMIT_S = 120.0  # that a job may take
LOADING_S = 60.0  # that a process may take before its first one
MOST_WAITING = 16  # requests that wait for a free process; each holds a thread of the server
_MODULE = "alchemy_async.service.models.mind"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A history, and whose it is.

    Args:
        about: The session.
        history: All of it.
    """

    about: str
    history: History


class DiedError(AlchemyError):
    """A process ended before it answered."""


class Pool:
    """Processes that do jobs; any thread may call it, and waits for the answer.

    Args:
        n: How many processes.
        limit_s: How long a job may take.
        most_waiting: How many callers may wait for a free process.
        loads: Whether a process loads all that a suggestion needs before its first job.
    """

    def __init__(
        self,
        n: int = N_PROCESSES,
        *,
        limit_s: float = LIMIT_S,
        most_waiting: int = MOST_WAITING,
        loads: bool = True,
    ) -> None:
        self._n, self._limit_s, self._most_waiting, self._loads = n, limit_s, most_waiting, loads
        self._changed = threading.Condition()
        self._free: list[_Mind] = []
        self._all: list[_Mind] = []
        self._n_waiting = 0
        self._is_closed = False

    def start(self) -> None:
        """Start the processes, which load what they need by themselves; returns at once.

        Raises:
            OSError: If one can't be started.
        """
        with self._changed:
            while len(self._all) < self._n and not self._is_closed:
                mind = _Mind(self._loads)
                self._all.append(mind)
                self._free.append(mind)
            self._changed.notify_all()

    def do(self, job: str, *args: object, known: Known | None = None, folder: Path | None = None) -> Any:  # noqa: ANN401 - what the job returns
        """Do a job in one of the processes.

        Args:
            job: ``module:function``, the module a room of `models` or a dotted name; it is called with the history
                first, where there is one.
            args: Its arguments.
            known: The history that it is given.
            folder: A path that no error may name.

        Raises:
            AlchemyError: What the job raised.
            TooMuchError: If too many wait already.
            UnavailableError: If it took too long, or its process died twice.
        """
        self.start()
        for _ in range(2):
            with self._taken(None if known is None else known.about) as mind:
                try:
                    answer = mind.ask(job, args, known, self._limit_s)
                    break
                except DiedError:
                    is_late = mind.is_late
                    log.warning("a planner process %s at %s", "took too long" if is_late else "died", job)
            if is_late:
                raise UnavailableError(
                    f"The planner took more than {self._limit_s:g} s. Ask for less: fewer points, or a shorter history."
                )
        else:
            raise UnavailableError("The planner's process ended twice at this request; the server's log says more.")
        return _opened(answer, folder)

    @contextmanager
    def _taken(self, about: str | None) -> Iterator[_Mind]:
        """Take a free process, one that knows the session if there is one; a dead one is replaced."""
        with self._changed:
            if self._n_waiting >= self._most_waiting:
                raise TooMuchError("The planner has too much to do. Ask again in a moment.", status=429, again_in_s=1.0)
            self._n_waiting += 1
            try:
                self._changed.wait_for(lambda: self._free or self._is_closed)
            finally:
                self._n_waiting -= 1
            if self._is_closed:
                raise UnavailableError("The server is ending.")
            mind = max(self._free, key=lambda one: one.knows(about))
            self._free.remove(mind)
        try:
            yield mind
        finally:
            self._put_back(mind)

    def _put_back(self, mind: _Mind) -> None:
        with self._changed:
            if self._is_closed:
                mind.end()
                return
            if not mind.is_alive:
                mind.end()
                self._all.remove(mind)
                mind = _Mind(self._loads)
                self._all.append(mind)
            self._free.append(mind)
            self._changed.notify()

    def close(self) -> None:
        """End the processes; whoever waits for an answer is told so."""
        with self._changed:
            self._is_closed = True
            minds, self._all, self._free = self._all, [], []
            self._changed.notify_all()
        for mind in minds:
            mind.end()

    def pids(self) -> list[int]:
        """Return the ids of the processes."""
        with self._changed:
            return [mind.pid for mind in self._all]


class _Mind:
    """One process; one caller at a time."""

    def __init__(self, loads: bool) -> None:
        here = Path(alchemy_async.__file__).parents[1]
        paths = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(  # noqa: S603 - our own module; in a session of its own: Ctrl-C is the server's
            [sys.executable, "-m", _MODULE, *(["loads"] if loads else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        )
        self._told: OrderedDict[str, tuple[Observed, ...]] = OrderedDict()
        self.is_late = False
        self._has_answered = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and not self.is_late

    def knows(self, about: str | None) -> int:
        """Return how much of a session's history the process has."""
        return len(self._told.get(about, ())) if about is not None else 0

    def ask(self, job: str, args: tuple[object, ...], known: Known | None, limit_s: float) -> tuple[Any, ...]:
        """Do a job there.

        Raises:
            DiedError: If it ended, or had to be ended since it took too long.
        """
        told = None if known is None else self._news(known)
        message = pickle.dumps((job, args, told), pickle.HIGHEST_PROTOCOL)
        ends, begins = self._process.stdin, self._process.stdout
        if ends is None or begins is None:
            raise DiedError
        timer = threading.Timer(limit_s + (0.0 if self._has_answered else LOADING_S), self._give_up)
        timer.daemon = True
        timer.start()
        try:
            write(ends, message)
            answer: tuple[Any, ...] = pickle.loads(read(begins))  # noqa: S301 - our own process wrote it
        except (OSError, EOFError, ValueError) as error:
            self._process.kill()
            raise DiedError from error
        finally:
            timer.cancel()
        self._has_answered = True
        return answer

    def _news(self, known: Known) -> tuple[str, int, tuple[Observed, ...], object]:
        """Return what the process does not know yet of a history: what was added, or after a correction all."""
        has, wanted = self._told.get(known.about, ()), known.history.observations
        n_kept = len(has) if wanted[: len(has)] == has else 0
        keep(self._told, known.about, wanted)
        return known.about, n_kept, wanted[n_kept:], known.history.refused

    def _give_up(self) -> None:
        self.is_late = True
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _opened(answer: tuple[Any, ...], folder: Path | None) -> Any:  # noqa: ANN401 - what the job returned
    """Return what a job returned, or raise what it raised."""
    if answer[0] == "done":
        return answer[1]
    _, kind, message = answer
    text = message if folder is None else message.replace(str(folder), "the session's folder")
    if answer[0] == "failed":
        raise RuntimeError(f"a job failed: {kind}: {text}")
    module, _, name = kind.rpartition(".")
    found = getattr(importlib.import_module(module), name, None) if module.startswith("alchemy_async.") else None
    if isinstance(found, type) and issubclass(found, ServiceError) and not issubclass(found, InvalidError):
        raise found(text)
    raise PlannerError(text)
