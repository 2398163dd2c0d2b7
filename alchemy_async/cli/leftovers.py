"""Leftovers: every file that a campaign has left in its folder, and how it goes away.

In:    a campaign folder.
Out:   the list of them; a folder as it was before the first start, with an archive beside it.
Never: touches a file that is not the protocol's, follows a link, or removes a lock.

The order makes a broken-off clear harmless: first the queue, so that nothing can be
claimed; the ledger last, so that until then the campaign could still go on.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alchemy_async import files
from alchemy_async.errors import WireError
from alchemy_async.experiment import AttemptKey
from alchemy_async.experiment.records import WORKER_ID
from alchemy_async.queues.layout import Layout, is_result_name

_KEPT = ".gitkeep"


@dataclass
class Leftovers:
    """What lies in a campaign folder; ``foreign`` stays."""

    queue: list[Path] = field(default_factory=list)
    staging: list[Path] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    heartbeats: list[Path] = field(default_factory=list)
    claims: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    rejected: list[Path] = field(default_factory=list)
    ledger: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to clear."""
        return not self.discarded and not self.record

    @property
    def discarded(self) -> list[Path]:
        """What only helps a campaign to run, in the order in which it goes."""
        return self.queue + self.staging + self.logs + self.heartbeats + self.claims

    @property
    def record(self) -> list[Path]:
        """What holds measurements and what became of them, in the order in which it goes."""
        return self.results + self.rejected + self.ledger


def find(folder: Path, ledger: Path) -> Leftovers:
    """List what a campaign left behind.

    Raises:
        OSError: If a folder can't be read.
    """
    layout, found = Layout(folder), Leftovers()
    _sort(layout.pickup, found.queue, found.foreign, lambda name: name == layout.queue_file.name)
    _sort(layout.dump, found.results, found.foreign, is_result_name, own={"claims", "workers", "rejected"})
    _sort(layout.claims, found.claims, found.foreign, _is_claim)
    _sort(layout.workers, found.heartbeats, found.foreign, _is_heartbeat)
    _sort(layout.rejected, found.rejected, found.foreign, lambda _: True)
    _sort(layout.staging, found.staging, found.foreign, lambda _: True)
    _sort(folder / "logs", found.logs, found.foreign, lambda name: name.endswith(".log"))
    siblings = (ledger.with_name(ledger.name + suffix) for suffix in ("", "-wal", "-shm"))
    found.ledger = [path for path in siblings if os.path.lexists(path)]
    return found


def _sort(
    folder: Path, mine: list[Path], foreign: list[Path], is_mine: Callable[[str], bool], own: set[str] | None = None
) -> None:
    for path in _entries(folder):
        is_plain = not stat.S_ISDIR(os.lstat(path).st_mode)
        if path.name == _KEPT or (not is_plain and path.name in (own or ())):
            continue
        (mine if is_plain and is_mine(path.name) else foreign).append(path)


def _entries(folder: Path) -> Iterator[Path]:
    """Yield what lies in a real folder, by name; nothing where it is missing or only a link to one."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return
    except FileNotFoundError:
        return
    yield from sorted(folder.iterdir())


def _is_claim(name: str) -> bool:
    try:
        AttemptKey.parse(name.removesuffix(".json"))
    except WireError:
        return False
    return name.endswith(".json")


def _is_heartbeat(name: str) -> bool:
    return name.endswith(".json") and re.fullmatch(WORKER_ID, name.removesuffix(".json")) is not None


def make_archive(parent: Path, name: str) -> Path:
    """Make a folder under ``parent/archive`` that nobody has, durably.

    Raises:
        OSError: If the disk refuses.
    """
    archive = parent / "archive"
    archive.mkdir(exist_ok=True)
    files.fsync_folder(parent)
    for number in range(1, 1000):
        made = archive / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            made.mkdir()
            files.fsync_folder(archive)
            return made
    raise FileExistsError(f"{archive} has a thousand folders {name}-*")


def keep(paths: list[Path], archive: Path) -> None:
    """Move files into a folder of the same file system: a rename, so that there is one whole copy at any instant.

    A file that is gone is passed over: a planner that lives on, after ``--force``, has taken it into the ledger.

    Raises:
        OSError: If the disk refuses; what was not moved is still in its place.
    """
    archive.mkdir(exist_ok=True)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.rename(archive / path.name)
    files.fsync_folder(archive)
    for parent in {path.parent for path in paths}:
        files.fsync_folder(parent)
    files.fsync_folder(archive.parent)


def discard(paths: list[Path]) -> None:
    """Remove files (of a link, the link).

    Raises:
        OSError: If the disk refuses.
    """
    for path in paths:
        path.unlink(missing_ok=True)


def settle(ledger: Path) -> None:
    """Bring what SQLite has in its log into the ledger itself, as far as it can be read at all."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(ledger, timeout=5.0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
