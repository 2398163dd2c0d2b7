"""Daemons: which sessions have a planner daemon of their own, each a child of the server.

In:    wishes (`control: run`, `pause`), and worker pools that call in over REST.
Out:   the ordinary planner daemon in the session's folder, started again when it crashes, gone when nobody needs it.
Never: plans by itself, starts a second planner where somebody plans by hand, or leaves a child behind.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

from alchemy_async import locks
from alchemy_async.clock import Clock
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import AttemptState
from alchemy_async.ledger import planner_lock
from alchemy_async.service.autonomous.children import Child, stop_all
from alchemy_async.service.autonomous.planning import Ending
from alchemy_async.service.problems import UnknownError
from alchemy_async.service.sessions.sessions import Session, Sessions
from alchemy_async.worker_pool.backoff import Backoff

MOST = 16  # children at a time: each is a process with a planner of its own
IDLE_S = 120.0  # without a word from a pool, after which a daemon that nobody asked to run ends
PAUSED_S = 3.0  # the same while the session is paused: then its study can be changed
LOOK_S = 0.25
FORGET_S = 600.0  # after which nothing is known any more of a session that nobody needs a daemon for
ELSEWHERE_S = 5.0  # between two looks whether somebody else still plans
_CAP_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """How a session's planner daemon is, in the words of `control`, and why."""

    reported: str  # idle, running, paused or failed
    detail: str | None = None


@dataclass
class _Care:
    """What is known of one session whose daemon is looked after."""

    session_id: str
    is_wanted: bool = False  # somebody said run
    is_paused: bool = False  # somebody said pause
    has_ended: bool = False  # in good order: not started again by itself
    is_failed: bool = False
    detail: str | None = None
    attended_s: float = -math.inf  # when a pool last had something for it
    paused_s: float = -math.inf  # since when it is paused, as far as was seen
    not_before_s: float = -math.inf
    capped_s: float = -math.inf
    child: Child | None = None
    backoff: Backoff = field(default_factory=Backoff)
    started_s: float = -math.inf
    ready_s: float | None = None  # when its daemon was first seen at work


class Daemons:
    """Looks after the planner daemons of a server; any thread may call it.

    Args:
        sessions: The sessions.
        clock: Its monotonic seconds decide.
    """

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions, self._clock = sessions, clock
        self._cares: dict[str, _Care] = {}
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._is_closing = False

    # -- wishes ------------------------------------------------------------

    def begin(self) -> None:
        """Start the daemons of all sessions that were to run when the server ended; returns at once."""
        threading.Thread(target=self._begin_all, name="daemons-begin", daemon=True).start()

    def run(self, session_id: str) -> None:
        """Have a session plan by itself, from here on and after every restart."""
        with self._changed:
            care = self._care(session_id)
            care.is_wanted, care.is_paused, care.has_ended, care.is_failed = True, False, False, False
            care.detail, care.not_before_s = None, -math.inf
            care.backoff.succeeded()
            self._changed.notify()

    def pause(self, session_id: str) -> None:
        """Have a session offer nothing; its daemon ends as soon as nobody runs anything for it."""
        with self._changed:
            care = self._cares.get(session_id)
            if care is not None:
                care.is_paused, care.is_wanted = True, False
                care.paused_s = self._clock.monotonic()
                self._changed.notify()

    def attend(self, session_id: str, *, begins: bool = False, has_work: bool = True) -> None:
        """Take note that a worker pool needs somebody who takes in what it does.

        Args:
            session_id: The session.
            begins: Whether the pool has just started: then a campaign that had ended is looked at again.
            has_work: Whether it has something to be taken in; who only looks needs nobody while all is paused.
        """
        with self._changed:
            care = self._care(session_id)
            if care.is_paused and not (has_work or begins):
                return
            care.attended_s = self._clock.monotonic()
            if begins:
                care.has_ended = False
            if care.child is None and not care.has_ended:
                self._changed.notify()

    def end(self, session_id: str) -> None:
        """End a session's daemon and forget it, whoever wanted it; returns when it has ended."""
        with self._changed:
            care = self._cares.pop(session_id, None)
        if care is not None and care.child is not None:
            stop_all([care.child])

    def standing(self, session_id: str) -> Standing | None:
        """Return how a session's daemon is; None if none was ever wanted here."""
        with self._changed:
            care = self._cares.get(session_id)
            if care is None:
                return None
            if care.is_failed:
                return Standing("failed", care.detail)
            if care.child is None:
                return Standing("paused" if care.is_paused else "idle", care.detail)
            if care.is_paused:
                return Standing("paused")
            return (
                Standing("running") if care.is_wanted else Standing("idle", "what is staged is served to the workers")
            )

    def close(self) -> None:
        """End every child, in order."""
        with self._changed:
            self._is_closing = True
            children = [care.child for care in self._cares.values() if care.child is not None]
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        stop_all(children)

    # -- the thread that looks after them ----------------------------------

    def _care(self, session_id: str) -> _Care:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_after, name="daemons", daemon=True)
            self._thread.start()
        return self._cares.setdefault(session_id, _Care(session_id))

    def _begin_all(self) -> None:
        for session_id in self._sessions.ids():
            if self._is_closing:
                return
            try:
                if _was_to_run(self._sessions.root / session_id):
                    self.run(session_id)
            except (OSError, ValueError, sqlite3.Error) as error:
                log.error("session=%s is not started again: %s", session_id, error)

    def _look_after(self) -> None:
        while True:
            with self._changed:
                if self._is_closing:
                    return
                cares = list(self._cares.values())
            for care in cares:
                try:
                    self._look_at(care)
                except UnknownError:  # the session was deleted
                    self.end(care.session_id)
                except (AlchemyError, OSError, sqlite3.Error) as error:
                    log.error("session=%s its planner daemon: %s", care.session_id, error)
                    care.not_before_s = self._clock.monotonic() + care.backoff.failed()
            with self._changed:
                self._changed.wait(LOOK_S if self._cares else None)

    def _look_at(self, care: _Care) -> None:
        now = self._clock.monotonic()
        if care.child is not None and care.child.code is not None:
            self._bury(care, care.child)
        if care.child is None and not care.is_wanted and now > max(care.attended_s, care.paused_s) + FORGET_S:
            with self._changed:
                self._cares.pop(care.session_id, None)
            return
        if care.child is None and now < care.not_before_s:
            return
        self._compare(care, now)
        if care.child is None:
            if self._is_needed(care, now):
                self._start(care)
            return
        if now >= care.capped_s + _CAP_S:
            care.capped_s = now
            care.child.cap_log()
        if care.ready_s is None:
            care.ready_s = now if self._has_begun(care) else None
        elif not care.child.is_let_go and self._is_idle(care, now, care.ready_s):
            log.info("session=%s its planner daemon ends: nobody needs it", care.session_id)
            care.child.let_go()

    def _compare(self, care: _Care, now: float) -> None:
        """See what the ledger says, which commands in the folder also write."""
        desk = self._sessions.session(care.session_id).desk
        with desk.look() as ledger:
            is_paused, suggests = ledger.meta("wanted") == "paused", ledger.meta("suggests")
        if is_paused and not care.is_paused:
            care.paused_s = now
        care.is_paused = is_paused
        if care.child is not None and care.is_wanted and suggests == "no":  # it began before somebody said run
            with desk.turn() as turn:
                turn.change.set_meta(suggests="yes")

    def _is_needed(self, care: _Care, now: float) -> bool:
        if care.has_ended or self._is_closing or self._cares.get(care.session_id) is not care:
            return False
        return care.is_wanted or self._is_attended(care, now)

    def _is_attended(self, care: _Care, now: float) -> bool:
        return now < care.attended_s + (PAUSED_S if care.is_paused else IDLE_S)

    def _has_begun(self, care: _Care) -> bool:
        return locks.holder(planner_lock(self._sessions.session(care.session_id).desk.study.ledger_path)) is not None

    def _is_idle(self, care: _Care, now: float, ready_s: float) -> bool:
        if care.is_wanted or self._is_attended(care, now) or now < max(care.paused_s, ready_s) + PAUSED_S:
            return False
        with self._sessions.session(care.session_id).desk.look() as ledger:
            held = ledger.held()
        in_folder = any(attempt.state is AttemptState.RUNNING and attempt.lease_s is None for attempt in held)
        if in_folder:
            care.attended_s = now
        return not in_folder

    def _start(self, care: _Care) -> None:
        session = self._sessions.session(care.session_id)
        if session.desk.study.settings is None:
            care.is_failed, care.detail = care.is_wanted, "The session has no variable yet. Add one, then ask again."
            care.not_before_s = self._clock.monotonic() + ELSEWHERE_S
            return
        found = locks.holder(planner_lock(session.desk.study.ledger_path))
        if found is not None:
            care.is_failed, care.detail = False, "somebody plans it by hand on the server's machine"
            care.not_before_s = self._clock.monotonic() + ELSEWHERE_S
            return
        if sum(other.child is not None for other in list(self._cares.values())) >= MOST:
            care.is_failed, care.detail = True, f"{MOST} sessions run already. Pause one of them."
            care.not_before_s = self._clock.monotonic() + ELSEWHERE_S
            return
        self._spawn(care, session)

    def _spawn(self, care: _Care, session: Session) -> None:
        with self._changed:
            if self._is_closing:
                return
            care.child = Child(session.desk.folder, suggests=care.is_wanted)
        care.is_failed, care.detail, care.started_s, care.ready_s = False, None, self._clock.monotonic(), None
        log.info("session=%s planner daemon started: process %d", care.session_id, care.child.pid)

    def _bury(self, care: _Care, child: Child) -> None:
        """Decide what follows a daemon that ended."""
        is_let_go = child.is_let_go
        ending, detail = child.last_word()
        if ending is None and is_let_go:  # before it could say anything
            ending = Ending.STOPPED
        care.child = None
        care.has_ended = ending is Ending.FINISHED
        care.is_failed = ending is Ending.REFUSED
        care.detail = detail or None
        now = self._clock.monotonic()
        if ending is Ending.REFUSED:
            care.not_before_s = now + max(ELSEWHERE_S, care.backoff.failed())
        elif ending is Ending.ELSEWHERE:
            care.detail, care.not_before_s = "somebody plans it by hand on the server's machine", now + ELSEWHERE_S
        elif ending is None:
            if now >= care.started_s + IDLE_S:
                care.backoff.succeeded()
            delay_s = care.backoff.failed()
            care.is_failed, care.not_before_s = True, now + delay_s
            care.detail = f"its planner daemon died (exit code {child.code}) and is started again"
        said = "" if ending is None else f" {ending}"
        log.log(
            logging.WARNING if care.is_failed else logging.INFO,
            "session=%s planner daemon ended:%s %s", care.session_id, said, care.detail or "",
        )  # fmt: skip


def _was_to_run(folder: Path) -> bool:
    """Tell whether a session was told to run and has not ended; reads no more than it must: there may be thousands."""
    import tomllib

    settings = tomllib.loads((folder / "campaign.toml").read_text(encoding="utf-8"))
    path = folder / Path(settings.get("campaign", {}).get("ledger") or "campaign.db").expanduser()
    if not path.exists():
        return False
    opened = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
    with contextlib.closing(opened):
        found = opened.execute("SELECT key, value FROM meta WHERE key IN ('control', 'ended')").fetchall()
    known = {str(key): str(value) for key, value in found}
    return "ended" not in known and json.loads(known.get("control", "{}")).get("requested") == "run"
