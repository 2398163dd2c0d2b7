"""Witness: which results ever reached ``dump/`` under their names, told by the kernel.

In:    the folder ``dump/`` of a campaign.
Out:   the name of every result that appeared there, and a hard link to its content where it was still there.
Never: changes anything in the folder, or misses a name without saying so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import threading
from pathlib import Path

_CREATE, _MOVED_TO, _OVERFLOW = 0x100, 0x80, 0x4000
_EVENT = struct.Struct("iIII")


class Witness:
    """Watches from its making until it is closed (Linux alone has inotify).

    Args:
        dump: The folder; it must exist.
        kept: Where each result is linked as soon as it appears, on the same file system.

    Attributes:
        names: The results that appeared; a name is added before its file can be taken away again by anybody
            who waits for ``settle_s``.
        has_missed: Whether the kernel dropped events, so that the witness is worth nothing.
    """

    def __init__(self, dump: Path, kept: Path) -> None:
        self.dump, self.kept = dump, kept
        self.names: set[str] = set()
        self.has_missed = False
        kept.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._events < 0 or libc.inotify_add_watch(self._events, os.fsencode(dump), _CREATE | _MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"{dump} can't be watched by inotify")
        self._end_reader, self._end = os.pipe()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        self._thread.start()

    def published(self) -> set[str]:
        """Return the names of all results that have appeared up to now."""
        with self._lock:
            self._read()
            return set(self.names)

    def close(self) -> None:
        """Read what is left and stop watching."""
        os.write(self._end, b"x")
        self._thread.join()
        with self._lock:
            self._read()
        for descriptor in (self._events, self._end, self._end_reader):
            os.close(descriptor)

    def _watch(self) -> None:
        while True:
            ready, _, _ = select.select([self._events, self._end_reader], [], [])
            if self._end_reader in ready:
                return
            with self._lock:
                self._read()

    def _read(self) -> None:
        """Take in all events that wait; the kernel queues them in order, so none is older than these."""
        while True:
            try:
                data = os.read(self._events, 1 << 16)
            except BlockingIOError:
                return
            while data:
                _, mask, _, length = _EVENT.unpack_from(data)
                name = os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
                data = data[_EVENT.size + length :]
                self.has_missed = self.has_missed or bool(mask & _OVERFLOW)
                if name.startswith("worker_result_"):
                    self.names.add(name)
                    with contextlib.suppress(OSError):  # ingested already: its name is what counts
                        os.link(self.dump / name, self.kept / name)
