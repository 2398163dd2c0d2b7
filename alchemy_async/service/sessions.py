"""Sessions: the campaigns below one root folder, each opened when it is asked for.

In:    a root folder; the ids that clients name.
Out:   a desk for each session, and the feed of its changes.
Never: follows an id out of the root, or keeps open what nobody has used for long.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from alchemy_async.clock import Clock
from alchemy_async.ledger import Ledger
from alchemy_async.service.desk import Desk
from alchemy_async.service.feed import Feed
from alchemy_async.service.problems import UnknownError
from alchemy_async.service.study import begin_study, read_study

SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
MOST_OPEN = 64


@dataclass
class Session:
    """One session that is open in this process."""

    id: str
    desk: Desk
    feed: Feed


class Sessions:
    """All sessions of a server.

    Args:
        root: Each folder below it that has a campaign.toml is a session of the folder's name.
        clock: For times.
        most_open: How many are kept open.
    """

    def __init__(self, root: Path, clock: Clock, *, most_open: int = MOST_OPEN) -> None:
        self.root = root
        self._clock, self._most_open = clock, most_open
        self._instance = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def ids(self) -> list[str]:
        """Return the ids of all sessions."""
        folders = (path.parent.name for path in self.root.glob("*/campaign.toml"))
        return sorted(name for name in folders if SESSION_ID.match(name))

    def session(self, session_id: str) -> Session:
        """Return a session, opening it if need be.

        Raises:
            UnknownError: If there is none of that id.
            AlchemyError: If its campaign.toml or its ledger can't be read.
        """
        with self._lock:
            found = self._open.get(session_id)
            if found is None:
                found = self._open[session_id] = self._open_session(session_id)
                while len(self._open) > self._most_open:
                    self._open.popitem(last=False)[1].desk.close()
            self._open.move_to_end(session_id)
            return found

    def create(self, name: str = "", **metadata: str) -> Session:
        """Begin a session without variables, whose one objective is ``Output``."""
        session_id = str(uuid.uuid4())
        folder = self.root / session_id
        folder.mkdir(parents=True)
        begin_study(folder, name)
        return self.session(session_id)

    def delete(self, session_id: str) -> None:
        """Close a session and take its folder away.

        Raises:
            UnknownError: If there is none of that id.
        """
        folder = self._folder(session_id)
        with self._lock:
            found = self._open.pop(session_id, None)
            if found is not None:
                found.desk.close()
            shutil.rmtree(folder)

    def close(self) -> None:
        """Close every session."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].desk.close()

    def _folder(self, session_id: str) -> Path:
        folder = self.root / session_id
        if not SESSION_ID.match(session_id) or not (folder / "campaign.toml").is_file():
            raise UnknownError(f"There is no session {session_id[:80]!r}. POST /sessions makes one.")
        return folder

    def _open_session(self, session_id: str) -> Session:
        folder = self._folder(session_id)
        study = read_study(folder)
        path = study.ledger_path
        ledger = Ledger.create(path, name=study.name, study=study.as_study(), clock=self._clock, shared=True)
        feed: Feed
        desk = Desk(folder, study, ledger, self._clock, instance=self._instance, on_change=lambda: feed.changed())
        feed = Feed(desk.stamp)
        return Session(session_id, desk, feed)
