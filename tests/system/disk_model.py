"""Disk model: what a disk may legally show after the power failed, by the steps that were made before.

In:    a folder, and the steps of `disk` below it, one by one.
Out:   every tree of names and contents that may be left.
Never: runs code of the product, or is kinder than POSIX:

- what was written and not fsynced may be missing, empty, half there, zeros of the right length, or whole;
- a name that appeared or went since the last fsync of its folder did so or did not, each name by itself; an fsync of
  a file does nothing for its name, one of a folder nothing for the folder's own name;
- what an fsync that failed was to make durable never becomes so, whatever a later one says;
- a rename shows the old name, the new one, or both (not of a folder), and never neither.

Two kinds of file are noise, which nobody has to believe: what is left in ``.staging/``, and heartbeats. They are not
varied with all the rest, but beside its newest state.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.system.disk import Step
from tests.system.disk_names import EXCHANGE

FOLDER = -1  # instead of the number of a file
MOST_STATES = 5000  # of one instant; more would be a mistake in the model

Names = Mapping[str, int | None]
Options = Mapping[str, list[int | None]]


@dataclass
class _File:
    synced: bytes = b""
    current: bytes = b""
    is_open: bool = False  # written to since its last fsync
    is_doubted: bool = False  # an fsync of it failed

    def contents(self) -> list[bytes]:
        if not self.is_open:
            return [self.current]
        half = self.current[: len(self.current) // 2]
        return list(dict.fromkeys([self.current, self.synced, half, bytes(len(self.current))]))


class _Change(NamedTuple):
    """What became of a name: a file's number, `FOLDER`, or None where it went."""

    path: str
    value: int | None
    after: _Change | None = None  # of a rename: the new name, without which the old one does not go


class Entry(NamedTuple):
    """One name of a state; names with the same ``file`` are links to each other."""

    path: str
    file: int
    content: bytes


Shown = tuple[tuple[Entry, ...], bool]


class Disk:
    """The model of one campaign folder: what is durable, and what is on its way.

    Args:
        folder: Whatever lies there is durable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - as `disk` has it
        self._files: dict[int, _File] = {}
        self._durable: dict[str, int] = {}
        self._changes: list[_Change] = []
        self._doubted: set[_Change] = set()
        numbers: dict[int, int] = {}
        for path in sorted(path for top in EXCHANGE for path in [folder / top, *(folder / top).rglob("*")]):
            if path.is_dir():
                self._durable[self._name(path)] = FOLDER
            elif path.exists():
                data, inode = path.read_bytes(), path.stat().st_ino
                if inode not in numbers:
                    numbers[inode] = self._new_file(_File(data, data))
                self._durable[self._name(path)] = numbers[inode]

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _new_file(self, file: _File) -> int:
        self._files[len(self._files)] = file
        return len(self._files) - 1

    # -- steps -------------------------------------------------------------

    def take(self, step: Step) -> None:
        """Let a step happen."""
        path = self._name(step.path)
        if step.op == "fsync_folder":
            self._sync_folder(path)
        elif step.op in ("write", "truncate", "fsync"):
            file = self._files[self.newest()[path] or 0]
            file.current = file.current + step.data if step.op != "truncate" else b""
            file.is_open = step.op != "fsync" or file.is_doubted
            file.synced = file.synced if file.is_open else file.current
        elif step.op in ("create", "mkdir"):
            self._changes.append(_Change(path, FOLDER if step.op == "mkdir" else self._new_file(_File(is_open=True))))
        elif step.op in ("unlink", "rmdir"):
            self._changes.append(_Change(path, None))
        elif step.op in ("link", "rename") and step.other is not None:
            source = self._name(step.other)
            appears = _Change(path, self.newest()[source])
            self._changes += [appears] if step.op == "link" else [appears, _Change(source, None, appears)]
        elif step.op != "commit":
            raise ValueError(f"the model knows no {step.op}")

    def refuse(self, step: Step) -> None:
        """Let a step fail; an fsync that fails drops what it was to write."""
        path = self._name(step.path)
        if step.op == "fsync_folder":
            self._doubted |= {change for change in self._changes if parent_of(change.path) == path}
        elif step.op == "fsync":
            self._files[self.newest()[path] or 0].is_doubted = True

    def _sync_folder(self, folder: str) -> None:
        here = {change for change in self._changes if parent_of(change.path) == folder} - self._doubted
        here |= {change.after for change in here if change.after is not None}
        waiting: list[_Change] = []
        for change in self._changes:
            if change not in here:
                waiting.append(change)
                continue
            waiting = [earlier for earlier in waiting if earlier.path != change.path]  # this one tops them
            if change.value is None:
                self._durable.pop(change.path, None)
            else:
                self._durable[change.path] = change.value
        self._changes = waiting

    # -- states ------------------------------------------------------------

    def newest(self) -> dict[str, int | None]:
        """Return the names as every process sees them while the power is on."""
        names: dict[str, int | None] = dict(self._durable)
        for change in self._changes:
            names[change.path] = change.value
        return {path: value for path, value in names.items() if value is not None}

    def shown(self) -> dict[str, bytes | None]:
        """Return what every process sees: the content of each file; None for a folder."""
        return {path: None if n == FOLDER else self._files[n or 0].current for path, n in self.newest().items()}

    def states(self) -> Iterator[Shown]:
        """Yield what the disk may show if the power failed now, and whether a final name shows half a file."""
        options = self._options()
        firm = {path: values for path, values in options.items() if not _is_noise(path)}
        n_states = math.prod(map(len, firm.values()))
        if n_states > MOST_STATES:
            raise ValueError(f"{n_states} states at one instant: {firm}")
        newest, stable = self.newest(), {path: value for path, value in self._durable.items() if path not in options}
        quiet = {path: newest[path] for path in options if _is_noise(path) and _is_beat(path) and path in newest}
        for values in itertools.product(*firm.values()):
            names = {**stable, **quiet, **dict(zip(firm, values, strict=True))}
            if self._is_possible(names):
                yield from self._with_contents(names)
        names = {**stable, **{path: values[-1] for path, values in firm.items()}}
        yield from self._with_noise(names, options)

    def _options(self) -> dict[str, list[int | None]]:
        options: dict[str, list[int | None]] = {}
        for change in self._changes:
            values = options.setdefault(change.path, [self._durable.get(change.path)])
            if change.value in values:
                values.remove(change.value)  # the newest comes last
            values.append(change.value)
        return options

    def _is_possible(self, names: Names) -> bool:
        """Whether no rename shows neither name, and none of a folder both."""
        for old in self._changes:
            if old.after is None or _is_noise(old.path):
                continue
            is_old, is_new = names.get(old.path) is not None, names.get(old.after.path) == old.after.value
            if not (is_old or is_new) or (is_old and is_new and old.after.value == FOLDER):
                return False
        return True

    def _with_contents(self, names: Names) -> Iterator[Shown]:
        """Vary the content of what is not fsynced; heartbeats are whole."""
        seen = {value for path, value in names.items() if value not in (None, FOLDER) and not _is_noise(path)}
        torn = [value for value in seen if value is not None and self._files[value].is_open]
        for contents in itertools.product(*(self._files[value].contents() for value in torn)):
            yield self._entries(names, dict(zip(torn, contents, strict=True)))

    def _with_noise(self, names: Names, options: Mapping[str, list[int | None]]) -> Iterator[Shown]:
        beats = {path: values for path, values in options.items() if _is_beat(path)}
        yield self._entries({**names, **{path: values[0] for path, values in beats.items()}}, {})
        last = {path: values[-1] for path, values in beats.items()}
        files = [value for value in last.values() if value is not None]
        for which in range(1, 4):
            contents = {n: (self._files[n].contents() * 4)[which] for n in files}
            yield self._entries({**names, **last}, contents)
        left = {
            path: max((value for value in values if value is not None), default=None)
            for path, values in options.items()
            if path.startswith(".staging/")
        }
        for which in (0, 2):
            files = [n for n in left.values() if n is not None and n not in names.values()]
            yield self._entries({**names, **left}, {n: (self._files[n].contents() * 3)[which] for n in files})

    def _entries(self, names: Names, contents: Mapping[int, bytes]) -> Shown:
        entries: list[Entry] = []
        first: dict[int, int] = {}
        is_torn = False
        for path in sorted(names, key=lambda path: path.split("/")):
            number = names[path]
            if number is None or not _has_folders(path, names):
                continue
            if number == FOLDER:
                entries.append(Entry(path, FOLDER, b""))
                continue
            content = contents.get(number, self._files[number].current)
            is_torn |= content != self._files[number].current and not _is_noise(path)
            entries.append(Entry(path, first.setdefault(number, len(first)), content))
        return tuple(entries), is_torn


def parent_of(path: str) -> str:
    """Return the folder that a name lies in."""
    return path.rpartition("/")[0] or "."


def _has_folders(path: str, names: Names) -> bool:
    parent = parent_of(path)
    return parent == "." or (names.get(parent) == FOLDER and _has_folders(parent, names))


def _is_beat(path: str) -> bool:
    return path.startswith("dump/workers/")


def _is_noise(path: str) -> bool:
    return _is_beat(path) or path.startswith(".staging/")
