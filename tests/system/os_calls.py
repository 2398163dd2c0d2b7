"""The calls that a process makes to its disk: taken down, and refused where a test says so.

`Calls` stands between one process's real daemon, ledger and queue and the operating system. It needs /proc, to find
the file behind a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

import pytest

BY_DESCRIPTOR = ("write", "fsync")
BY_PATH = ("open", "unlink", "mkdir")
BY_TWO_PATHS = NAMING = ("link", "replace", "rename")
MOST_TRIES = 6


class Calls:
    """Stands in for ``os``: takes down each call on the campaign folder, and refuses those that it is told to.

    Args:
        folder: Calls on anything outside it pass unseen.
        refuse: Gets the number, the name and the path of a call (of two, the second); returns an errno, or 0.
    """

    def __init__(self, folder, refuse=lambda number, name, path: 0):
        self.folder, self.refuse, self.n_seen = str(folder), refuse, 0
        self.made: list[tuple[str, str, bool]] = []  # name, path, whether it was refused here; no other that failed

    @contextlib.contextmanager
    def watched(self):
        with pytest.MonkeyPatch.context() as patched:
            for name in BY_DESCRIPTOR + BY_PATH + BY_TWO_PATHS:
                patched.setattr(os, name, self._stand_in(name, getattr(os, name)))
            yield self

    def _stand_in(self, name, real):
        def call(*args, **kwargs):
            path = self._path(name, args)
            self.refuse_if_told(name, path)
            found = None if name == "fsync" else real(*args, **kwargs)  # these tests pull no plug: no need to wait
            self.take_down(name, path, is_refused=False)
            return found

        return call

    def _path(self, name, args):
        if name in BY_DESCRIPTOR:
            return str(Path(f"/proc/self/fd/{args[0]}").readlink())
        return os.fspath(args[1] if name in BY_TWO_PATHS else args[0])

    def refuse_if_told(self, name, path):
        if not path.startswith(self.folder):
            return
        self.n_seen += 1
        number = self.refuse(self.n_seen - 1, name, path)
        if number:
            self.take_down(name, path, is_refused=True)
            raise OSError(number, os.strerror(number), path)

    def take_down(self, name, path, *, is_refused):
        if path.startswith(self.folder):
            self.made.append((name, path, is_refused))


class RefusingLedger:
    """A connection whose commits can be refused, as SQLite says it of a sick or full disk."""

    def __init__(self, real, calls):
        self._real, self._calls = real, calls

    def execute(self, sql, *more):
        if sql == "COMMIT":
            try:
                self._calls.refuse_if_told("commit", self._calls.folder)
            except OSError as error:
                full = error.errno == errno.ENOSPC
                raise sqlite3.OperationalError("database or disk is full" if full else "disk I/O error") from None
        found = self._real.execute(sql, *more)
        if sql == "COMMIT":
            self._calls.take_down("commit", self._calls.folder, is_refused=False)
        return found

    def __getattr__(self, name):
        return getattr(self._real, name)


def insist(action):
    """Do something again until the disk does not refuse it."""
    for _ in range(MOST_TRIES):
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            return action()
    return action()
