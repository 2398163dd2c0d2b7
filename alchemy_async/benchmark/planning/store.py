"""The store: trials that were run, one JSON line each, in one file for each contender.

In:    trials as they end.
Out:   those that still hold.
Never: rewrites a line, or loses more than the line that was being written when the power went.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from alchemy_async.benchmark.planning.contenders import contender
from alchemy_async.benchmark.planning.problem import Record
from alchemy_async.benchmark.planning.trial import Key


class Store:
    """A folder of ``<contender>.jsonl``.

    Args:
        folder: Made with the first trial.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, names: Iterable[str]) -> dict[Key, Record]:
        """Return the trials of these contenders that hold for what they are now; the last of each key."""
        found: dict[Key, Record] = {}
        for name in names:
            fingerprint = contender(name).fingerprint
            for record in self._lines(name):
                if record["fingerprint"] == fingerprint:
                    found[key_of(record)] = record
        return found

    def append(self, record: Record) -> None:
        """Add a trial, and wait until the disk has it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record, allow_nan=False, separators=(",", ":"))
        with self._path(record["contender"]).open("a+b") as file:
            file.seek(max(file.tell() - 1, 0))
            is_cut_off = file.read(1) not in (b"", b"\n")  # a line that was being written when the power went
            file.write((b"\n" if is_cut_off else b"") + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '.')}.jsonl"

    def _lines(self, name: str) -> list[Record]:
        try:
            lines = self._path(name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:  # cut off in the middle: that trial is run again
                continue
        return records


def key_of(record: Mapping[str, object]) -> Key:
    """Return which trial a record is of."""
    return Key(*(record[field] for field in Key._fields))  # type: ignore[arg-type]
