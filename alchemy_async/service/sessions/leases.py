"""Leases: what clients took and went silent about is given back, in every session of a server.

In:    the beats that clients write into the ledgers.
Out:   interrupted attempts, by the rules of the planner daemon.
Never: judges what workers of the folder hold, or takes time in which the server did not run for silence.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alchemy_async.clock import Clock
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import Attempt, AttemptState
from alchemy_async.ledger import Change, Ledger
from alchemy_async.service.definition.study import read_study
from alchemy_async.service.sessions.sessions import Session, Sessions

if TYPE_CHECKING:
    from alchemy_async.planner_daemon.leases import Leases

log = logging.getLogger(__name__)

EVERY_S = 0.5
_AT_ONCE = 25  # sessions that are not open and that one round looks into
_PART = 0.05  # of the time, at most, that the sweep takes
_Ended = tuple[Attempt, str]  # with the reason


class Sweep:
    """Looks at what clients hold, twice a second; sessions that nobody uses are looked at less often.

    Args:
        sessions: All of the server.
        clock: For silence.
        on_end: Called for each lease that ended.
    """

    def __init__(self, sessions: Sessions, clock: Clock, on_end: Callable[[], None] = lambda: None) -> None:
        self._sessions, self._clock, self._on_end = sessions, clock, on_end
        self._leases: dict[str, Leases] = {}  # of each session in which clients hold something
        self._unseen: deque[str] = deque()  # sessions that nobody has opened since the server started
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sweep in a thread of its own until `stop`; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the sweep; leases stay in the ledgers."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def begin(self) -> None:
        """Note every session there is: clients of an earlier server may hold something in it."""
        self._unseen.extend(self._sessions.ids())

    def step(self) -> None:
        """Look once at each open session, and at some of the others."""
        opened = {session.id: session for session in self._sessions.opened()}
        for name, session in opened.items():
            with _survived(name):
                self._look_at(session)
        closed = deque(name for name in self._leases if name not in opened)
        for _ in range(_AT_ONCE):
            others = closed or self._unseen
            if not others:
                return
            name = others.popleft()
            if name not in opened:
                with _survived(name):
                    self._look_into(name)

    def _run(self) -> None:
        wait_s = EVERY_S
        with _survived("all"):
            self.begin()
        while not self._stop.wait(wait_s):
            begun = time.thread_time()
            with _survived("all"):
                self.step()
            wait_s = max(EVERY_S, (time.thread_time() - begun) / _PART)

    def _look_at(self, session: Session) -> None:
        """Judge an open session at its desk, so that whoever waits for it hears of what ended."""
        with session.desk.look() as ledger:
            ended = self._judge(session.id, _held(ledger))
        if ended:
            with session.desk.turn() as turn:
                ended = _interrupt(turn.change, turn.ledger, ended)
            self._tell(session.id, ended)

    def _look_into(self, name: str) -> None:
        """Judge a session that is not open, without opening it for others."""
        folder = self._sessions.root / name
        path = folder / "campaign.db"
        if not (folder / "campaign.toml").is_file():
            self._leases.pop(name, None)
            return
        if b"ledger" in (folder / "campaign.toml").read_bytes():
            path = read_study(folder).ledger_path
        if not path.is_file():
            self._leases.pop(name, None)
            return
        with Ledger.open(path, clock=self._clock) as ledger:
            ended = self._judge(name, _held(ledger))
            if ended:
                with ledger.change() as change:
                    ended = _interrupt(change, ledger, ended)
                self._tell(name, ended)

    def _judge(self, name: str, held: list[Attempt]) -> list[_Ended]:
        leases = self._leases.pop(name, None)
        if not held:
            return []
        leases = leases or _begin(self._clock)
        self._leases[name] = leases  # at the end: those that are not open take turns
        whys = dict(leases.scan(held, ()).ended)
        return [(attempt, whys[attempt.key]) for attempt in held if attempt.key in whys]

    def _tell(self, name: str, ended: list[_Ended]) -> None:
        for attempt, why in ended:
            log.warning("session=%s attempt=%s interrupted: %s", name, attempt.key, why)
            self._on_end()


def _begin(clock: Clock) -> Leases:
    from alchemy_async.planner_daemon.leases import Leases, Terms  # and the whole daemon: not before it is needed

    unused = Terms(lease_s=30.0, timeout_s=3600.0)  # of workers of the folder, which this sweep does not judge
    return Leases(clock, lambda _: unused)


def _held(ledger: Ledger) -> list[Attempt]:
    """Return what clients hold and beat for."""
    held = ledger.held()
    return [one for one in held if one.lease_s is not None and one.state is AttemptState.RUNNING]


def _interrupt(change: Change, ledger: Ledger, ended: list[_Ended]) -> list[_Ended]:
    """End leases; return those that really ended: a beat may have come since they were judged."""
    still = [(one, why) for one, why in ended if ledger.attempt(one.key).beat == one.beat]
    for attempt, why in still:
        change.interrupt(attempt.key, why)
    return still


@contextmanager
def _survived(name: str) -> Iterator[None]:
    """Go on with the others where one session can't be looked at: it may just be closed, deleted, or its disk full."""
    try:
        yield
    except (AlchemyError, sqlite3.Error, OSError) as error:
        log.debug("session=%s can't be looked at for its leases: %s", name, error)
