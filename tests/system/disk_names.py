"""Disk names: which kind of file of the exchange a path is, and what a step that befalls it is called.

In:    a path, what is done to it, what is written.
Out:   a name such as ``claim.linked``.
Never: touches the disk, or makes up a name: what is not known is refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

BESIDE = frozenset({"campaign.toml", "campaign.db", "campaign.db-wal", "campaign.db-shm", "planner.lock", "logs"})
"""Entries of the campaign folder that are no part of the exchange."""

EXCHANGE = ("pickup", "dump", ".staging")
VERBS = {
    "create": "created",
    "truncate": "truncated",
    "write": "written",
    "fsync": "fsynced",
    "link": "linked",
    "rename": "renamed",
    "unlink": "unlinked",
    "mkdir": "made",
    "rmdir": "removed",
    "fsync_folder": "fsynced",
    "commit": "committed",
}
_FOLDERS = {
    ".": "folder",
    "pickup": "pickup",
    "dump": "dump",
    "dump/claims": "claims",
    "dump/workers": "workers",
    "dump/rejected": "rejected",
    ".staging": "staging",
}
_CONTENTS = (  # first match wins: a heartbeat names its instance as a claim does
    ("beat", re.compile(rb'"beat":')),
    ("queue", re.compile(rb'"experiments":')),
    ("result", re.compile(rb'"status":')),
    ("claim", re.compile(rb'"instance":')),
    ("reason", re.compile(rb"was not taken as a result")),
)


class UnnamedStepError(AssertionError):
    """The product did something to the disk that this module has no name for."""


class Naming:
    """Which kind of file of the protocol a path is."""

    def __init__(self, folder: Path, beside: frozenset[str]) -> None:
        self.folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links must stay links
        self.unnamed: list[UnnamedStepError] = []
        self._beside = beside
        self._staged: dict[Path, str] = {}

    def refuse(self, why: str) -> NoReturn:
        """Raise, and remember it in case the product catches it."""
        self.unnamed.append(UnnamedStepError(why))
        raise self.unnamed[-1]

    def locate(self, path: object) -> Path | None:
        """Return an absolute path, if it lies in the folder and is part of the exchange."""
        if isinstance(path, int):
            return None
        whole = Path(os.path.abspath(os.fsdecode(path)))  # type: ignore[call-overload]  # noqa: PTH100 - same
        if whole != self.folder and self.folder not in whole.parents:
            return None
        parts = whole.relative_to(self.folder).parts
        if parts and parts[0] not in EXCHANGE:
            if parts[0] in self._beside or whole.suffix in (".lock", ".pyc"):
                return None
            self.refuse(f"{whole} is neither part of the exchange nor known to lie beside it")
        return whole

    def name(self, op: str, path: Path, data: bytes = b"") -> str:
        if op in ("mkdir", "rmdir", "fsync_folder"):
            kind = _FOLDERS.get(path.relative_to(self.folder).as_posix(), "")
            verb = "folder_fsynced" if (kind, op) == ("rejected", "fsync_folder") else VERBS[op]
        elif path.parent == self.folder / ".staging":
            if op == "write" and path not in self._staged:
                self._staged[path] = next((kind for kind, sign in _CONTENTS if sign.search(data)), "")
            if op == "link":  # a settled result, which is only given another name at first
                self._staged[path] = "spent"
            kind = self._staged.get(path, "staging")
            verb = "unstaged" if op == "unlink" else VERBS[op]
        else:
            kind, verb = self._kind(path), VERBS[op]
        if not kind:
            self.refuse(f"there is no name for {op} of {path.relative_to(self.folder)}: {data[:60]!r}")
        return f"{kind}.{verb}"

    def _kind(self, path: Path) -> str:
        where, name = path.parent.relative_to(self.folder).as_posix(), path.name
        if name.startswith(".probe-"):
            return "probe"
        if where == "pickup":
            return "queue" if name == "priority_queue.json" else ""
        if where == "dump":
            return "result" if name.startswith("worker_result_") else ""
        if where == "dump/rejected":
            return "reason" if name.endswith(".reason.txt") else "rejected"
        return {"dump/claims": "claim", "dump/workers": "beat"}.get(where, "")
