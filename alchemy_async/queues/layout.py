"""Layout: where every file of the two folders lies, and what its name says.

In:    the campaign folder.
Out:   paths, checked folders; whose result a name is.
Never: reads a message, or makes do with a folder that is a link or lies on another disk.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from alchemy_async.errors import FolderError, WireError
from alchemy_async.experiment.records import WORKER_ID, AttemptKey
from alchemy_async.files import fsync_folder

RESULT_PREFIX = "worker_result_"
PLANNER = "planner"  # the worker that a claim names where the planner withdrew the attempt
UNKNOWN = "unknown"  # the worker of a claim that can't be read: the name is taken, nobody knows by whom
RESERVED = frozenset({PLANNER, UNKNOWN})

_RESULT_FORM = f"{RESULT_PREFIX}<worker>_<experiment>.<attempt>.json, such as {RESULT_PREFIX}reactor-1_e0001.1.json"


class FolderLostError(FolderError, OSError):
    """A folder of the protocol is missing or was replaced; work can go on once it is back."""


class Layout:
    """Every path of one campaign folder.

    Args:
        folder: The campaign folder; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pickup = folder / "pickup"
        self.dump = folder / "dump"
        self.claims = self.dump / "claims"
        self.workers = self.dump / "workers"
        self.rejected = self.dump / "rejected"
        self.staging = folder / ".staging"
        self.queue_file = self.pickup / "priority_queue.json"
        self._folders = (self.staging, self.pickup, self.dump, self.claims, self.workers, self.rejected)
        self._texts = tuple(map(str, self._folders))

    # Paths of single files are texts: thousands are made in a second.

    def claim(self, key: AttemptKey) -> str:
        """Return the file whose existence says that an attempt is taken."""
        return f"{self._texts[3]}{os.sep}{key.experiment}.{key.attempt}.json"

    def is_claimed(self, key: AttemptKey) -> bool:
        """Return whether an attempt is taken, by whomever; no means "not yet"."""
        try:
            os.lstat(self.claim(key))
        except FileNotFoundError:
            return False
        return True

    def heartbeat(self, worker: str) -> str:
        """Return the file that a worker renames each beat over."""
        return f"{self._texts[4]}{os.sep}{worker}.json"

    def result(self, worker: str, key: AttemptKey) -> str:
        """Return the file that a worker links its result to."""
        return self.entry(f"{RESULT_PREFIX}{worker}_{key}.json")

    def entry(self, name: str) -> str:
        """Return an entry of ``dump/``."""
        return f"{self._texts[2]}{os.sep}{name}"

    def make(self) -> None:
        """Make the folders that are missing, durably, and check them all.

        Raises:
            FolderError: If the campaign folder is missing, or one of its folders can't be used.
            OSError: If the disk refuses.
        """
        if not self.folder.is_dir():
            raise FolderError(
                f"{self.folder} is not a folder. Make a campaign there with `alchemy-async init {self.folder}`."
            )
        missing = [folder for folder in self._folders if not os.path.lexists(folder)]
        try:
            for folder in missing:
                folder.mkdir(exist_ok=True)
            self.check()
            for parent in (self.folder, self.dump):  # whoever made them may have been killed before its fsync
                fsync_folder(parent)
        except OSError:
            for folder in reversed(missing):  # so that the next start makes and fsyncs them anew
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise

    def check(self) -> None:
        """Check that every folder is there, is no link, and shares one file system.

        Raises:
            FolderLostError: If one is not; the message says which and how to mend it.
        """
        device: int | None = None
        for folder in self._texts:
            try:
                found = os.lstat(folder)
            except FileNotFoundError:
                raise FolderLostError(
                    f"{folder} is missing. Put it back with what was in it; only a restart makes an empty one."
                ) from None
            if not stat.S_ISDIR(found.st_mode):
                raise FolderLostError(
                    f"{folder} is not a folder, and links are not followed. Put a real folder there; "
                    f"to keep the files elsewhere, move the whole of {self.folder}."
                )
            if device not in (None, found.st_dev):
                raise FolderLostError(
                    f"{folder} lies on another file system than {self.staging}, so that nothing can be linked "
                    f"between them. Keep the whole of {self.folder} on one file system."
                )
            device = found.st_dev


def check_worker_name(worker: str) -> None:
    """Check that a name may be a worker's.

    Raises:
        FolderError: If it may not.
    """
    if not WORKER_ID.match(worker) or worker.lower() in RESERVED:
        raise FolderError(
            f"{worker!r} can't be the name of a worker: allowed are 1 to 64 letters, digits, - and _, "
            f"but not {' or '.join(sorted(RESERVED))}. Change `name` under [[workers]] in campaign.toml."
        )


def is_result_name(name: str) -> bool:
    """Return whether an entry of ``dump/`` claims to be a result, whatever its suffix or kind."""
    return name.startswith(RESULT_PREFIX)


def parse_result_name(name: str) -> tuple[str, AttemptKey]:
    """Return whose result a file name says it is: worker and attempt.

    Raises:
        WireError: If it has another form, or names a worker that can't be one.
    """
    stem, dot, suffix = name.removeprefix(RESULT_PREFIX).rpartition(".")
    worker, _, key = stem.rpartition("_")  # an experiment's id has no underscore, a worker's may have
    if not (is_result_name(name) and dot and suffix == "json" and WORKER_ID.match(worker)):
        raise WireError(f"the name is not of the form {_RESULT_FORM}. A half-written file belongs elsewhere.")
    if worker.lower() in RESERVED:
        raise WireError(f"the name says that the worker is {worker!r}, which no worker may be called")
    try:
        return worker, AttemptKey.parse(key)
    except WireError:
        raise WireError(f"the name is not of the form {_RESULT_FORM}") from None
