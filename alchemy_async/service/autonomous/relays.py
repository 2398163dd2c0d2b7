"""Relays: the folders of the sessions, as worker pools elsewhere write in them.

In:    the sessions that pools name.
Out:   a relay for each, kept while it is used.
Never: has two relays for one folder: each would take the other's half-written files for leftovers.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from alchemy_async.queues.folder_relay import FolderRelay
from alchemy_async.service.sessions.sessions import Session

OWNER = "service+pool"  # no worker can have this name
MOST = 256


class Relays:
    """All relays of a server; any thread may ask for one."""

    def __init__(self) -> None:
        self._instance = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, FolderRelay] = OrderedDict()

    def relay(self, session: Session) -> FolderRelay:
        """Return the relay of a session.

        Raises:
            FolderError: If its folder can't be used.
            OSError: If the disk refuses.
        """
        folder, settings = session.desk.folder, session.desk.study.settings
        with self._lock:
            found = self._known.get(folder)
            if found is None:
                durable = settings is None or settings.campaign.durable
                found = self._known[folder] = FolderRelay(folder, owner=OWNER, instance=self._instance, durable=durable)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
            self._known.move_to_end(folder)
            return found
