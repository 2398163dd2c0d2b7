"""Sessions: the campaigns below one root folder, each opened when it is asked for.

In:    a root folder; the ids that clients name.
Out:   a desk for each session, and the feed of its changes; sessions begun, and put aside.
Never: follows an id out of the root, destroys a measurement, or closes what somebody uses.
"""

from __future__ import annotations

import errno
import json
import re
import secrets
import shutil
import threading
import time
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alchemy_async import files
from alchemy_async.clock import Clock
from alchemy_async.ledger import Ledger
from alchemy_async.service.problems import ConflictError, SessionNotFoundError, TooMuchError
from alchemy_async.service.sessions.beginning import begin
from alchemy_async.service.sessions.opening import Session, keep_up, open_session

__all__ = ["MOST_OPEN", "SESSION_ID", "Session", "Sessions"]

SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
MOST_OPEN = 64
MOST_SESSIONS = 10_000
DELETED = ".deleted"
_NEW = ".new-"
_KEYED = uuid.UUID("6f1b0a53-3c0e-4f5d-9d51-8f5a0c6f2a11")  # of ids that are made of a key
_GATES = 64
_ABANDONED_S = 3600.0  # no session takes that long to be made


class Sessions:
    """All sessions of a server.

    Any number of threads may use it. A session that has not been used for long
    is put away: it is closed as soon as nobody holds its desk any more.

    Args:
        root: Each folder below it that has a campaign.toml is a session of the folder's name.
        clock: For times.
        most_open: How many are kept open.
        most: How many there may be.
    """

    def __init__(self, root: Path, clock: Clock, *, most_open: int = MOST_OPEN, most: int = MOST_SESSIONS) -> None:
        self.root = root
        self.clock, self._most_open, self._most = clock, most_open, most
        self._instance = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._gates = [threading.RLock() for _ in range(_GATES)]  # so that one slow disk holds up one session
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._alive: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()
        self._sweep()

    def ids(self) -> list[str]:
        """Return the ids of all sessions."""
        folders = (path.parent.name for path in self.root.glob("*/campaign.toml"))
        return sorted(name for name in folders if SESSION_ID.match(name))

    def session(self, session_id: str) -> Session:
        """Return a session, opening it if need be.

        Raises:
            SessionNotFoundError: If there is none of that id.
            UnavailableError: If its campaign.toml can't be used, or does not fit what was done.
            LedgerError: If its ledger can't be read.
        """
        found = self._find(session_id)
        if found is None:
            with self._gate(session_id):
                found = self._find(session_id)
                if found is None:
                    found = open_session(session_id, self.folder(session_id), self.clock, self._instance)
                    self._keep(found)
                    return found
        try:
            keep_up(found)
        except FileNotFoundError:
            self._put_away(session_id)
            raise SessionNotFoundError(_no_session(session_id)) from None
        return found

    def opened(self) -> list[Session]:
        """Return the sessions that are open, for those who look after all of them (leases, metrics)."""
        with self._lock:
            return list(self._open.values())

    def create(
        self,
        name: str = "",
        *,
        description: str = "",
        tags: Sequence[str] = (),
        author: str = "",
        objectives: Sequence[Mapping[str, Any]] = (),
        key: str | None = None,
    ) -> Session:
        """Begin a session without variables.

        Args:
            name: For people; the campaign's name is made of its letters and digits.
            description: For people.
            tags: For people.
            author: For people.
            objectives: As campaign.toml has them; none: one, ``Output``, to be maximised.
            key: What the client named this request; the session that was begun under it is returned again.

        Raises:
            InvalidError: If the objectives have mistakes.
            ConflictError: If the key belongs to another request.
            TooMuchError: If there are too many sessions.
        """
        said = {"name": name, "description": description, "tags": list(tags), "author": author}
        if key is None:
            return self.make(lambda folder: begin(folder, said, objectives, self.clock))
        session_id = str(uuid.uuid5(_KEYED, key))  # so that the folder's name tells, whatever is killed when
        request = json.dumps([said, [dict(one) for one in objectives]], sort_keys=True)
        try:
            if not (self.root / session_id).exists():
                return self.make(lambda folder: begin(folder, said, objectives, self.clock, request), session_id)
        except FileExistsError:  # the same request came twice at once
            pass
        found = self.session(session_id)
        with found.desk.look() as ledger:
            if ledger.meta("begun_by") != request:
                raise ConflictError("This Idempotency-Key began a session with other words. Take a new key.")
        return found

    def make(self, fill: Callable[[Path], None], session_id: str | None = None) -> Session:
        """Let a function make a session in an empty folder; there is all of it, or none.

        Args:
            fill: Gets the folder.
            session_id: The id; None: one that nobody has.

        Raises:
            FileExistsError: If there is a session of that id.
            TooMuchError: If there are too many sessions.
        """
        if sum(1 for _ in self.root.iterdir()) >= self._most:
            raise TooMuchError(
                f"This server keeps at most {self._most} sessions. Delete one, or ask its administrator.", status=429
            )
        unique = str(uuid.uuid4())
        session_id = session_id or unique
        fresh = self.root / f"{_NEW}{unique}"
        fresh.mkdir()
        try:
            fill(fresh)
            files.fsync_folder(fresh)
            _rename(fresh, self.root / session_id)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        files.fsync_folder(self.root)
        return self.session(session_id)

    def delete(self, session_id: str, *, force: bool = False) -> str:
        """Put a session aside: its folder is moved out of sight, and kept.

        Args:
            session_id: The session.
            force: Whether what is running is left to itself.

        Returns:
            The name that the folder has now, below the root.

        Raises:
            SessionNotFoundError: If there is none of that id.
            ConflictError: If a planner runs on it, or, without ``force``, experiments do.
        """
        folder = self.folder(session_id)
        with self._gate(session_id):
            session = self.session(session_id)
            with session.desk.look() as ledger:
                if session.is_planned:
                    raise ConflictError(
                        "A planner runs on this session. Pause it first with PUT /control, or say force=true; one that "
                        "was started by hand can only be stopped by hand."
                    )
                _check_idle(ledger, force=force)
                aside = self.root / DELETED / f"{session_id}-{self.clock.now():%Y%m%dT%H%M%S%fZ}"
                aside.parent.mkdir(exist_ok=True)
                self._put_away(session_id)
                session.desk.close()
                folder.rename(aside)
            session.feed.close()
            files.fsync_folder(aside.parent)
            files.fsync_folder(self.root)
        return f"{DELETED}/{aside.name}"

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].desk.close()

    def folder(self, session_id: str) -> Path:
        """Return the folder of a session.

        Raises:
            SessionNotFoundError: If there is none of that id.
        """
        folder = self.root / session_id
        if not SESSION_ID.match(session_id) or not (folder / "campaign.toml").is_file():
            raise SessionNotFoundError(_no_session(session_id))
        return folder

    def glance(self, session_id: str) -> Session:
        """Return a session to be looked at once: one that is not open is opened, and not kept.

        Raises:
            SessionNotFoundError: If there is none of that id.
            AlchemyError: If it can't be used.
        """
        with self._lock:
            found = self._open.get(session_id) or self._alive.get(session_id)
        if found is not None:
            return found
        with self._gate(session_id):
            return open_session(session_id, self.folder(session_id), self.clock, self._instance)

    def _sweep(self) -> None:
        """Take away what a server that was killed had begun to make."""
        for path in self.root.glob(f"{_NEW}*"):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)

    def _gate(self, session_id: str) -> threading.RLock:
        return self._gates[hash(session_id) % _GATES]

    def _find(self, session_id: str) -> Session | None:
        with self._lock:
            found = self._open.get(session_id)
            if found is not None:
                self._open.move_to_end(session_id)
                return found
            found = self._alive.get(session_id)
        if found is not None:  # put away, and still in somebody's hands
            self._keep(found)
        return found

    def _keep(self, session: Session) -> None:
        put_away = []  # dropped when the lock is free again: closing takes its time
        with self._lock:
            self._alive[session.id] = self._open[session.id] = session
            self._open.move_to_end(session.id)
            while len(self._open) > self._most_open:
                put_away.append(self._open.popitem(last=False))

    def _put_away(self, session_id: str) -> None:
        with self._lock:
            self._open.pop(session_id, None)
            self._alive.pop(session_id, None)


def _rename(folder: Path, name: Path) -> None:
    """Give a folder a name that nobody has.

    Raises:
        FileExistsError: If somebody has it; a folder that holds something is not replaced.
    """
    try:
        folder.rename(name)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(name) from error
        raise


def _no_session(session_id: str) -> str:
    return f"There is no session {session_id[:80]!r}. POST /sessions makes one."


def _check_idle(ledger: Ledger, *, force: bool) -> None:
    n_running = ledger.tally()["running"]
    if n_running and not force:
        raise ConflictError(
            f"{n_running} of this session's experiments are running. Wait for them, or say force=true: their results "
            "would then have no session to go to."
        )
