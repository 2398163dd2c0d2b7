"""Spool: results on the instrument's own disk, until the server has said that it has them.

In:    results of one worker; what the server said of each.
Out:   the ones that still wait, also those of a process that died; the refused ones, each with its reason.
Never: removes a result that nobody acknowledged, or lets two processes write one file.

    spool/<campaign>/worker_result_<worker>_<experiment>.<attempt>.json    waits to be acknowledged
    spool/refused/<name> + <name>.reason.txt                               the server will never take it
    spool/in_use/<worker>                                                  its process has not said goodbye
    spool/settings-<session>.json                                          what the server said at the last start
    spool/.staging/                                                        half-written
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from alchemy_async.errors import AlchemyError
from alchemy_async.experiment.records import AttemptKey
from alchemy_async.files import fsync_folder, publish_over
from alchemy_async.queues.layout import RESULT_PREFIX

FOLDER = "spool"
REFUSED, IN_USE, STAGING = "refused", "in_use", ".staging"


class KeptError(AlchemyError, OSError):
    """A result is kept on this disk and could not be sent yet: sent again now, or by the next process of its worker."""

    def __str__(self) -> str:
        return str(self.args[0])


def was_left(folder: Path, worker: str) -> bool:
    """Tell whether a worker's last process on this machine died with the instrument in its hands."""
    return (folder / FOLDER / IN_USE / worker).exists()


class Spool:
    """One worker's part of the spool; its instrument's lock is held.

    Args:
        folder: The local working folder, which exists.
        worker: The worker's name.
        durable: Whether what is kept waits for the disk.
    """

    def __init__(self, folder: Path, worker: str, *, durable: bool = True) -> None:
        self._folder, self._worker, self._durable = folder / FOLDER, worker, durable
        self._numbers = itertools.count(1)

    def keep(self, campaign: str, key: AttemptKey, data: bytes) -> Path:
        """Keep a result, durably; return where.

        Raises:
            OSError: If the disk refuses.
        """
        path = self._made(campaign) / f"{RESULT_PREFIX}{self._worker}_{key}.json"
        publish_over(self._stage(), path, data, durable=self._durable)
        return path

    def waiting(self, campaign: str) -> list[Path]:
        """Return what this worker's processes of this campaign left, oldest first."""
        return _oldest_first((self._folder / campaign).glob(f"{RESULT_PREFIX}{self._worker}_*.json"))

    def n_of_others(self, campaign: str) -> int:
        """Return how many results of this worker wait that belong to other campaigns."""
        found = self._folder.glob(f"*/{RESULT_PREFIX}{self._worker}_*.json")
        return sum(path.parent.name not in (campaign, REFUSED) for path in found)

    def forget(self, path: Path) -> None:
        """Remove a result that was acknowledged; should that fail, it is sent once more and counts once."""
        with contextlib.suppress(OSError):
            path.unlink()

    def set_aside(self, path: Path, reason: str) -> Path:
        """Keep a result that the server will never take where a person finds it; return where.

        Raises:
            OSError: If the disk refuses; it stays where it was.
        """
        aside = self._made(REFUSED) / path.name
        while aside.exists():
            aside = aside.with_name(f"{aside.stem}-again.json")
        note = f"{path.name} of campaign {path.parent.name} was refused.\nWhy:  {reason}\n"
        mend = (
            f"Mend: correct it and move it back to {FOLDER}/{path.parent.name}/; the next start of the pool sends it.\n"
        )
        publish_over(self._stage(), f"{aside}.reason.txt", (note + mend).encode(), durable=self._durable)
        path.replace(aside)
        if self._durable:
            fsync_folder(aside.parent)
        return aside

    def mark(self) -> None:
        """Note that a process has the instrument; should it die, the next one makes that safe first.

        Raises:
            OSError: If the disk refuses.
        """
        (self._made(IN_USE) / self._worker).touch()

    def unmark(self) -> None:
        """Note that the process said goodbye."""
        with contextlib.suppress(OSError):
            (self._folder / IN_USE / self._worker).unlink()

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            if self._durable:
                for parent in (self._folder, self._folder.parent):
                    fsync_folder(parent)
        return folder

    def _stage(self) -> Path:
        return self._made(STAGING) / f"{self._worker}.{os.getpid()}.{next(self._numbers)}"


def _oldest_first(found: Iterable[Path]) -> list[Path]:
    dated = []
    for path in found:
        with contextlib.suppress(FileNotFoundError):
            dated.append((path.stat().st_mtime_ns, path.name, path))
    return [path for _, _, path in sorted(dated)]
