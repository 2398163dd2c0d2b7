"""Disk: every step that the product makes on the disk below one campaign folder, named as it happens.

In:    calls of ``os.open``, ``write``, ``fsync``, ``link``, ``rename``, ``unlink`` and so on, of any thread of this
       process; commits of the ledger.
Out:   a list of steps; a callback before and one after each, which may raise, or kill the process.
Never: changes what a call does, or lets one that has no name pass: `UnnamedStepError` is raised before it is made.

    with watching(folder, before=..., after=...) as steps:
        ...

A name is the kind of file and what befell it, both known when the call is made:

    queue beat claim result reason rejected probe    created written fsynced linked renamed unlinked
    folder pickup dump claims workers staging        made fsynced

A file in ``.staging/`` has the kind of what is written into it (``claim.written`` is the claim, still in staging);
before that it is ``staging.created``, and its removal is ``claim.unstaged``. Where a ``rejected`` folder is fsynced
the name is ``rejected.folder_fsynced``. A commit of the ledger is one step, ``ledger.committed``: before it the
transaction is open and complete, after it it is durable. SQLite's own files are not watched.

What a callback raises comes out of the call. An ``Exception`` is what the disk said, and the product may answer it.
Anything else is death: from then on every step is refused with it, so that no ``finally`` tidies up.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.ledger import Ledger
from tests.system.disk_names import BESIDE, Naming, UnnamedStepError

__all__ = ["Step", "UnnamedStepError", "watching"]

_REFUSED = ("truncate", "ftruncate", "symlink", "mkfifo", "mknod", "pwrite", "writev", "pwritev", "removedirs")


@dataclass(frozen=True)
class Step:
    """One call that changed the disk.

    Args:
        number: Its place among the steps, from 0.
        op: What was called, a key of `disk_names.VERBS`.
        path: What it was done to; of a link or rename, the name that appeared.
        other: Of a link or rename, the name that was there before.
        data: Of a write, the bytes that the disk took.
        name: Kind and verb.
    """

    number: int
    op: str
    path: Path
    other: Path | None = None
    data: bytes = b""
    name: str = ""


Callback = Callable[[Step], None]


class _Watch:
    """The patched calls; `real` holds the others."""

    def __init__(
        self,
        folder: Path,
        before: Callback | None,
        after: Callback | None,
        is_left_out: Callable[[Step], bool],
        beside: frozenset[str],
    ) -> None:
        self._naming = Naming(folder, beside)
        self._before, self._after, self._is_left_out = before, after, is_left_out
        self._opened: dict[int, tuple[Path, tuple[int, int]]] = {}
        self._death: BaseException | None = None
        self.unnamed = self._naming.unnamed
        self.steps: list[Step] = []
        self.real = {name: getattr(os, name) for name in (*_REFUSED, *_PATCHED, *_ALIASES)}
        self._opens = {module: module.open for module in (io, builtins)}
        self._change = Ledger.change

    def patches(self) -> Iterator[tuple[Any, str, Any]]:
        for name in _PATCHED:
            yield os, name, getattr(self, name)
        for alias, name in _ALIASES.items():
            yield os, alias, getattr(self, name)
        for name in _REFUSED:
            yield os, name, self._refusing(name)
        for module, real in self._opens.items():
            yield module, "open", self._reading(real)
        yield Ledger, "change", self._changing()

    def _do(self, op: str, path: Path, call: Callable[[], Any], other: Path | None = None, data: bytes = b"") -> Any:
        step = Step(len(self.steps), op, path, other, bytes(data), self._naming.name(op, path, bytes(data)))
        if self._is_left_out(step):
            return None
        self._begin(step)
        done = call()
        self._end(dataclasses.replace(step, data=step.data[:done]) if op == "write" else step)
        return done

    def _begin(self, step: Step) -> None:
        if self._death is not None:
            raise self._death
        self._tell(self._before, step)

    def _end(self, step: Step) -> None:
        step = dataclasses.replace(step, number=len(self.steps))  # a callback before it may have made steps of its own
        self.steps.append(step)
        self._tell(self._after, step)

    def _tell(self, callback: Callback | None, step: Step) -> None:
        try:
            if callback is not None:
                callback(step)
        except Exception:
            raise
        except BaseException as death:
            self._death = death
            raise

    # -- descriptors -------------------------------------------------------

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        found = None if dir_fd is not None else self._naming.locate(path)
        if found is None:
            return self.real["open"](path, flags, mode, dir_fd=dir_fd)

        def call():
            return self.real["open"](path, flags, mode)

        if flags & os.O_CREAT and not os.path.lexists(found):
            descriptor = self._do("create", found, call)
        elif flags & os.O_TRUNC:
            descriptor = self._do("truncate", found, call)
        else:
            descriptor = call()
        self._opened[descriptor] = found, _identity(descriptor)
        return descriptor

    def _path_of(self, descriptor):
        """Return what was opened; a file object gives its number back unseen, and then it may be anything's."""
        path, identity = self._opened.get(descriptor, (None, None))
        return path if path is not None and _identity(descriptor) == identity else None

    def close(self, descriptor):
        self._opened.pop(descriptor, None)
        return self.real["close"](descriptor)

    def write(self, descriptor, data):
        path = self._path_of(descriptor)
        if path is None:
            return self.real["write"](descriptor, data)
        return self._do("write", path, lambda: self.real["write"](descriptor, data), data=data)

    def fsync(self, descriptor):
        path = self._path_of(descriptor)
        if path is None:
            return self.real["fsync"](descriptor)
        op = "fsync_folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync"
        return self._do(op, path, lambda: self.real["fsync"](descriptor))

    # -- names -------------------------------------------------------------

    def link(self, source, target, **options):
        return self._move("link", source, target, options)

    def rename(self, source, target, **options):
        return self._move("rename", source, target, options)

    def _move(self, op, source, target, options):
        real = self.real[op]
        before, appears = self._naming.locate(source), self._naming.locate(target)
        if before is None and appears is None:
            return real(source, target, **options)
        if before is None or appears is None:
            self._naming.refuse(f"{op} of {source} to {target} crosses the border of the exchange")
        return self._do(op, appears, lambda: real(source, target, **options), before)

    def unlink(self, path, **options):
        return self._at("unlink", path, options)

    def mkdir(self, path, *mode, **options):
        return self._at("mkdir", path, options, *mode)

    def rmdir(self, path, **options):
        return self._at("rmdir", path, options)

    def _at(self, op, path, options, *rest):
        found = None if options.get("dir_fd") is not None else self._naming.locate(path)
        if found is None:
            return self.real[op](path, *rest, **options)
        return self._do(op, found, lambda: self.real[op](path, *rest, **options))

    # -- what has no name --------------------------------------------------

    def _refusing(self, name):
        def refuse(path, *rest, **options):
            target = rest[0] if name == "symlink" else path
            if (self._path_of(target) if isinstance(target, int) else self._naming.locate(target)) is not None:
                self._naming.refuse(f"os.{name} of {target} has no name")
            return self.real[name](path, *rest, **options)

        return refuse

    def _reading(self, real):
        def reading(file, mode="r", *rest, **options):
            if set(mode) & set("wax+") and self._naming.locate(file) is not None:
                self._naming.refuse(f"open({file}, {mode!r}) writes past os.open")
            return real(file, mode, *rest, **options)

        return reading

    # -- the ledger --------------------------------------------------------

    def _changing(self):
        real, watch = self._change, self

        @contextlib.contextmanager
        def change(ledger):
            with real(ledger) as opened:
                yield opened
                path = Path(ledger._db.execute("PRAGMA database_list").fetchone()["file"])
                step = Step(len(watch.steps), "commit", path, name="ledger.committed")
                watch._begin(step)
            watch._end(step)

        return change


def _identity(descriptor):
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


_PATCHED = ("open", "close", "write", "fsync", "link", "rename", "unlink", "mkdir", "rmdir")
_ALIASES = {"replace": "rename", "remove": "unlink", "fdatasync": "fsync"}


@contextlib.contextmanager
def watching(
    folder: Path,
    before: Callback | None = None,
    after: Callback | None = None,
    *,
    is_left_out: Callable[[Step], bool] = lambda _: False,
    beside: tuple[str, ...] = (),
) -> Iterator[list[Step]]:
    """Record the steps that this process makes on the disk below a campaign folder.

    Args:
        folder: The campaign folder.
        before: Called before each step, with the step as it will be.
        after: Called after each step that succeeded.
        is_left_out: Tells of which fsyncs and removals the product shall only believe that they were made.
        beside: Further entries of the folder that are no part of the exchange, such as a driver's own tally.

    Raises:
        UnnamedStepError: Within the block, where the product does something that has no name here.
    """
    watch = _Watch(folder, before, after, is_left_out, BESIDE | set(beside))
    with contextlib.ExitStack() as stack:
        for owner, attribute, patched in watch.patches():
            stack.callback(setattr, owner, attribute, getattr(owner, attribute))
            setattr(owner, attribute, patched)
        yield watch.steps
    if watch.unnamed:
        raise watch.unnamed[0]
