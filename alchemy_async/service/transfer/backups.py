"""Backups: copies of whole sessions, beside the sessions themselves.

In:    sessions; the age at which a backup is of no use any more.
Out:   folders below the root, and sessions made of them.
Never: needed for what a crash or a power cut may do: the ledger is safe from that. A backup takes a session back.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from alchemy_async import files
from alchemy_async.clock import from_wire, to_wire
from alchemy_async.ledger.copying import copy, renew
from alchemy_async.service.definition.rewriting import rewrite
from alchemy_async.service.definition.study import FILE
from alchemy_async.service.problems import UnknownError
from alchemy_async.service.sessions import overview
from alchemy_async.service.sessions.opening import Session
from alchemy_async.service.sessions.sessions import SESSION_ID, Sessions

FOLDER = ".recovery"
LEDGER = "campaign.db"
_NOTE = "backup.json"
MOST_CODE = 1024 * 1024  # bytes of a person's module


class Backups:
    """The backups of a server's sessions, the newest of each.

    Args:
        sessions: The sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._root = sessions.root / FOLDER

    def make(self, session: Session) -> None:
        """Copy a session as it is now, in place of an older copy: ledger, campaign.toml, a person's modules.

        Raises:
            OSError: If the disk refuses; the older one is still there.
        """
        fresh = self._root / f".{session.id}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with session.desk.look() as ledger:  # no change of the study comes between the two
            study = session.desk.study
            said, state = overview.metadata(ledger, study), overview.state(ledger, study)
            copy(study.ledger_path, fresh / LEDGER)
        campaign = {key: value for key, value in study.document["campaign"].items() if key != "ledger"}
        text = rewrite(study.text, {**study.document, "campaign": campaign})
        files.write_file(fresh / FILE, text.encode(), durable=True)
        for path in session.desk.folder.glob("*.py"):
            with contextlib.suppress(OSError):  # no plain file, or a large one: nothing that a person wrote
                files.write_file(fresh / path.name, files.read_file(path, limit=MOST_CODE), durable=True)
        self._note(
            fresh,
            session.id,
            {
                "session_name": said["name"],
                "backup_time": to_wire(self._sessions.clock.now()),
                "n_variables": state["n_variables"],
                "n_experiments": state["n_experiments"],
                "model_trained": state["model_trained"],
            },
        )
        self.clear(session.id)
        fresh.rename(self._root / session.id)
        files.fsync_folder(self._root)

    def clear(self, session_id: str) -> bool:
        """Take the backup of a session away; False if there is none."""
        folder = self._folder(session_id)
        if folder is None:
            return False
        shutil.rmtree(folder)
        return True

    def listed(self) -> list[dict[str, Any]]:
        """Return what backups there are, the newest first; each names its place below the root."""
        found = []
        for path in self._root.glob(f"[!.]*/{_NOTE}"):
            with contextlib.suppress(OSError, ValueError):  # one that is just being taken away
                note = files.parse_json(files.read_file(path))
                found.append({**note, "file_path": f"{FOLDER}/{path.parent.name}"})
        return sorted(found, key=lambda note: str(note.get("backup_time")), reverse=True)

    def restore(self, session_id: str) -> Session:
        """Make a session of a backup, which then belongs to that session.

        Raises:
            UnknownError: If there is none.
            LedgerError: If it can't be read.
        """
        folder = self._folder(session_id)
        if folder is None or not (folder / _NOTE).is_file():
            raise UnknownError(f"There is no backup of session {session_id[:80]!r}. GET /recovery/list lists all.")
        note = files.parse_json(files.read_file(folder / _NOTE))
        session = self._sessions.make(lambda fresh: self._take(folder, fresh))
        with contextlib.suppress(OSError):  # the session is there; its backup under the old name is no harm
            folder.rename(self._root / session.id)
            self._note(self._root / session.id, session.id, note)
        return session

    def clean_up(self, max_age_hours: float) -> int:
        """Take away what is older; return how many."""
        before = self._sessions.clock.now() - timedelta(hours=max_age_hours)
        old = [note for note in self.listed() if from_wire(str(note["backup_time"])) <= before]
        return sum(self.clear(str(note["session_id"])) for note in old)

    def _take(self, folder: Path, fresh: Path) -> None:
        for path in folder.iterdir():
            if path.name == LEDGER:
                copy(path, fresh / LEDGER)
            elif path.suffix in (".py", ".toml"):
                files.write_file(fresh / path.name, files.read_file(path), durable=True)
        renew(fresh / LEDGER, self._sessions.clock)

    def _note(self, folder: Path, session_id: str, note: Mapping[str, Any]) -> None:
        text = json.dumps({**note, "session_id": session_id}).encode()
        files.publish_over(folder / f".{_NOTE}", folder / _NOTE, text, durable=True)

    def _folder(self, session_id: str) -> Path | None:
        folder = self._root / session_id
        return folder if SESSION_ID.match(session_id) and folder.is_dir() else None
