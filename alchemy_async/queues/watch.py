"""Watch: being told within a millisecond that a folder changed.

In:    folders.
Out:   a call whenever a file in one of them is created, renamed, or closed after writing.
Never: says what changed. A call only wakes; a scan is the truth, and the caller
       scans every 2 s even when nothing calls.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

POLL_S = 0.5
REARM_S = 1.0
PROBE_S = 1.0

_log = logging.getLogger(__name__)
_PROBE = ".probe-"
_TELLING = frozenset({"created", "moved", "closed"})  # what brings a whole file; reading and removing tell nothing
_SHARES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "glusterfs"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "virtiofs", "vboxsf", "drvfs"}
)  # their events tell only what this machine does


class FolderWatch:
    """Calls ``on_change`` from a thread of its own, once at the start and then whenever something happens.

    The first call comes when the watch stands: whatever came before is found by
    the scan that it brings. Where no events come (a network share, inotify at
    its limits) it calls every half second instead, and says so once.

    Args:
        folders: Folders to watch, not those within them.
        on_change: Called without arguments; it must not block or raise.
    """

    def __init__(self, folders: Sequence[Path], on_change: Callable[[], None]) -> None:
        self._folders = tuple(folders)
        self._on_change = on_change
        self._closing = threading.Event()
        self._rests = threading.Event()
        self._stirred = threading.Event()  # closing or resting changed
        self._is_deaf = False
        self._probe = f"{_PROBE}{secrets.token_hex(6)}"
        self._answered: set[str] = set()
        self._is_answered = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; no call comes after this."""
        self._closing.set()
        self._stirred.set()
        self._thread.join()

    def rest(self) -> None:
        """Call no more, as soon as may be: where a folder changes all the time, events cost more than they tell."""
        if not self._rests.is_set():
            self._rests.set()
            self._stirred.set()

    def listen(self) -> None:
        """Call again; the first call comes when the watch stands."""
        if self._rests.is_set():
            self._rests.clear()
            self._stirred.set()

    @property
    def is_deaf(self) -> bool:
        """Whether no call comes, because it rests or does not stand yet after a rest."""
        return self._is_deaf

    def _run(self) -> None:
        observer: BaseObserver | None = None
        try:
            share = next(filter(None, map(_share, self._folders)), None)
            if share:
                why = f"{share} tells nothing of what other machines do"
            else:
                observer = _start_observer(self._folders, self._hear)
                self._on_change()
                why = self._await_probe()
            if not why:
                self._keep_armed(observer)
                return
        except OSError as error:
            why = f"{error}; on Linux raise fs.inotify.max_user_instances and max_user_watches with sysctl"
        finally:
            _stop_observer(observer)
        self._poll(why)

    def _poll(self, why: str) -> None:
        if self._closing.is_set():
            return
        names = ", ".join(map(str, self._folders))
        _log.warning("No events from %s: %s. Looking every %g s instead.", names, why, POLL_S)
        self._on_change()
        while not self._closing.wait(POLL_S):
            self._on_change()

    def _keep_armed(self, observer: BaseObserver | None) -> None:
        armed = self._identities()
        while not self._closing.is_set():
            self._stirred.wait(REARM_S)
            self._stirred.clear()
            if self._closing.is_set():
                break
            if self._rests.is_set():
                _stop_observer(observer)
                observer, self._is_deaf = None, True
                continue
            present = self._identities()
            is_alive = observer is not None and all(emitter.is_alive() for emitter in observer.emitters)
            if None in present or (present == armed and is_alive):  # a folder made anew may get the old number
                continue
            _stop_observer(observer)  # a watch stays with the folder that was there when it was set
            observer = _start_observer(self._folders, self._hear)
            armed, self._is_deaf = present, False
            self._on_change()
        _stop_observer(observer)

    def _identities(self) -> list[tuple[int, int] | None]:
        return [_identity(folder) for folder in self._folders]

    def _await_probe(self) -> str:
        """Write a file in each folder; return why no event can be counted on, or nothing."""
        probes = [folder / self._probe for folder in self._folders]
        try:
            for probe in probes:
                probe.touch()
            if self._is_answered.wait(PROBE_S) or self._closing.is_set():
                return ""
            return "a file written there for a trial brought none"
        except OSError as error:
            return f"a trial failed ({error})"
        finally:
            for probe in probes:
                with contextlib.suppress(OSError):
                    probe.unlink()

    def _hear(self, event: FileSystemEvent) -> None:
        if event.is_directory or event.event_type not in _TELLING:
            return
        folder, name = os.path.split(os.fsdecode(event.dest_path or event.src_path))
        if name == self._probe:
            self._answered.add(folder)
            if len(self._answered) == len(set(self._folders)):
                self._is_answered.set()
        elif not name.startswith(".") and not self._closing.is_set():
            self._on_change()


def _start_observer(folders: Sequence[Path], on_event: Callable[[FileSystemEvent], None]) -> BaseObserver:
    from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def dispatch(self, event: FileSystemEvent) -> None:
            on_event(event)

    observer = Observer()
    # The kernel drops the rest: the planner's own reading and removing would bring several events for each result.
    wanted: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent, FileClosedEvent]
    for folder in folders:
        observer.schedule(Handler(), str(folder), recursive=False, event_filter=wanted)
    try:
        observer.start()
    except OSError:
        observer.unschedule_all()  # else the threads of those that did start live on
        raise
    return observer


def _stop_observer(observer: BaseObserver | None) -> None:
    if observer is not None and observer.is_alive():
        observer.stop()
        observer.join()


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _share(folder: Path) -> str | None:
    """Return the kind of network file system that a folder lies on, as far as Linux tells."""
    if sys.platform != "linux":
        return None
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), Path("/proc/self/mountinfo").open(encoding="utf-8") as mounts:
        for line in mounts:
            about, _, source = line.partition(" - ")
            if about.split()[2] == wanted and source.split()[0] in _SHARES:
                return source.split()[0]
    return None
