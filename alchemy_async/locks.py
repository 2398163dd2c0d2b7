"""Locks: one holder at a time on this machine, for as long as its process lives.

In:    the path of a lock file.
Out:   the lock, or the name of whoever holds it.
Never: deletes a lock file (two processes could then hold two files of one name), or outlives its holder.

Who holds a lock is told by a sibling, ``<path>.holder``, written after the lock
was taken. It is for people: the lock itself is what counts.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import filelock

from alchemy_async import clock, files
from alchemy_async.errors import AlreadyRunningError, FolderError

_PATIENCE_S = 0.3  # outlasts somebody who only looks whether the lock is held
_INTRODUCTION_S = 3.0  # how long a holder may take on a busy machine to say who it is; whoever asks waits no longer
_POLL_S = 0.02
_EVERYBODY = 0o666
_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; ``pid`` is 0 if it has not said so."""

    pid: int = 0
    host: str = ""
    since: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return "a process that has not said who it is"
        return f"process {self.pid} on {self.host}, since {self.since[:19].replace('T', ' ')} UTC"


class Lock:
    """A lock that is held as long as this object is kept.

    Released by `release`, by leaving its ``with``, or by the end of the process.
    """

    def __init__(self, path: Path, held: filelock.BaseFileLock) -> None:
        self.path = path
        self._held = held

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._held.is_locked:
            _introduce(self.path, b"")
            self._held.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold(path: Path, *, what: str, mend: str) -> Lock:
    """Take a lock, or say who has it.

    Args:
        path: The lock file; it is made where it is missing, and stays.
        what: What being held means, such as ``"/data/amide already has a planner"``.
        mend: What a person can do about it.

    Raises:
        AlreadyRunningError: If another process holds it.
        FolderError: If the lock file can't be made or opened.
    """
    try:
        held = _file_lock(path)
        held.acquire(timeout=_PATIENCE_S, poll_interval=_POLL_S)
    except filelock.Timeout:
        present = _wait_for_introduction(path)
        raise AlreadyRunningError(f"{what}: {present}. {mend}", holder=str(present)) from None
    except OSError as error:
        raise FolderError(
            f"The lock {path} can't be opened: {error.strerror or error}. Give this user the right to write there."
        ) from error
    me = Holder(os.getpid(), socket.gethostname(), clock.to_wire(clock.SystemClock().now()))
    _introduce(path, files.dump_json({"pid": me.pid, "host": me.host, "since": me.since}))
    return Lock(path, held)


def holder(path: Path) -> Holder | None:
    """Return who holds a lock at this moment, or None; makes no file and keeps nobody from taking it.

    Raises:
        FolderError: If the lock file can't be opened.
    """
    if not path.exists():
        return None
    try:
        held = _file_lock(path)
        held.acquire(timeout=0)
    except filelock.Timeout:
        return _wait_for_introduction(path)
    except OSError as error:
        raise FolderError(
            f"The lock {path} can't be looked at: {error.strerror or error}. Give this user the right to write to it."
        ) from error
    held.release()
    return None


def machine_lock_path(name: str) -> Path:
    """Return the lock file of a thing that this machine has once, whoever's processes use it.

    Args:
        name: Any text; the file's name is its readable part and a digest.

    Raises:
        FolderError: If the folder of these locks can't be made.
    """
    folder = _machine_folder() / "alchemy-async-locks"
    try:
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():  # anybody may put one into /tmp; what it points to would be opened to all
            raise OSError(errno.ELOOP, "it is a link")
        with contextlib.suppress(PermissionError):  # another user made it, and opened it to all
            folder.chmod(0o1777)
    except OSError as error:
        raise FolderError(
            f"{folder}, where the locks of this machine lie, can't be made: {error.strerror or error}. "
            "Take away what has its place."
        ) from error
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-60:]
    return folder / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def _machine_folder() -> Path:
    shared = Path("/tmp")  # noqa: S108 - the same for every user and terminal, whatever TMPDIR says
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def _file_lock(path: Path) -> filelock.BaseFileLock:
    if _is_shared(path.parent):
        return filelock.FileLock(path, mode=_EVERYBODY, thread_local=False)
    return filelock.FileLock(path, thread_local=False)


def _is_shared(folder: Path) -> bool:
    return not _WINDOWS and bool(folder.stat().st_mode & stat.S_ISVTX)


def _introduction(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


def _introduce(path: Path, data: bytes) -> None:
    """Write in place: in a folder shared by all users nobody may rename over another's file."""
    target = _introduction(path)
    flags = os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with contextlib.suppress(OSError):  # the lock holds without it; people then read "has not said who it is"
        try:
            descriptor = os.open(target, flags)
        except FileNotFoundError:
            descriptor = os.open(target, flags | os.O_CREAT | os.O_EXCL, 0o644)
            if _is_shared(path.parent):
                os.fchmod(descriptor, _EVERYBODY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def _wait_for_introduction(path: Path) -> Holder:
    deadline = time.monotonic() + _INTRODUCTION_S
    while True:
        found = _read_introduction(path)
        if found is not None and _may_live(found):
            return found
        if time.monotonic() > deadline:
            return Holder()
        time.sleep(_POLL_S)


def _read_introduction(path: Path) -> Holder | None:
    try:
        document = files.parse_json(files.read_file(_introduction(path)))
        host, since = str(document["host"]), str(document["since"])
        if not (host + since).isprintable() or len(host + since) > 400:  # others may write there, and people read it
            return None
        return Holder(int(document["pid"]), host, since)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _may_live(found: Holder) -> bool:
    if _WINDOWS or found.host != socket.gethostname():
        return True
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
