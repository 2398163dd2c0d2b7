"""The floor: how often this disk publishes a file or commits a transaction, with nothing around it.

In:    a folder on the disk.
Out:   how long each kind of publishing took, sampled again and again in the course of a run.
Never: goes through the product's own code: what it is compared with must not move with it.
"""

from __future__ import annotations

import itertools
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.figures import percentile

_DATA = b"x" * 500  # about a result of one objective
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

REPLACE, PUBLISH = "replace", "publish"  # write + fsync + rename | link + fsync of the folder


class Floor:
    """Samples the floor; the kinds take turns, so that a noise of the machine hits all of them.

    No file is removed: on some disks new ones become dear where many were removed lately.

    Args:
        folder: Where; it is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder, os.O_RDONLY)
        self._staging, self._final = str(folder / "staging"), str(folder / "final")
        self._numbers = itertools.count(1)
        self._db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, data BLOB)")
        self._kinds: dict[str, Callable[[], None]] = {
            REPLACE: lambda: self._replace(durable=True),
            PUBLISH: lambda: self._publish(durable=True),
            "replace_without_fsync": lambda: self._replace(durable=False),
            "publish_without_fsync": lambda: self._publish(durable=False),
            "sqlite_commit": self._commit,
        }
        self.samples: dict[str, list[list[float]]] = {kind: [] for kind in self._kinds}

    def sample(self, n: int) -> None:
        """Time each kind ``n`` times."""
        taken: dict[str, list[float]] = {kind: [] for kind in self._kinds}
        for _ in range(n):
            for kind, act in self._kinds.items():
                begun = time.perf_counter()
                act()
                taken[kind].append(time.perf_counter() - begun)
        for kind, seconds in taken.items():
            self.samples[kind].append(seconds)

    def per_s(self, kind: str, last: int = 2) -> float:
        """Return how many a second there were in the last samples."""
        seconds = [second for sample in self.samples[kind][-last:] for second in sample]
        return len(seconds) / math.fsum(seconds) if seconds else math.nan

    def figures(self) -> dict[str, Any]:
        """Return the figures of all samples."""
        return {kind: summarise(samples) for kind, samples in self.samples.items()}

    def close(self) -> None:
        """Give the disk back."""
        self._db.close()
        os.close(self._descriptor)

    def _write(self, *, durable: bool) -> None:
        descriptor = os.open(self._staging, _FLAGS, 0o644)
        try:
            os.write(descriptor, _DATA)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replace(self, *, durable: bool) -> None:
        self._write(durable=durable)
        os.rename(self._staging, self._free_name())  # noqa: PTH104 - as bare as can be
        if durable:
            os.fsync(self._descriptor)

    def _publish(self, *, durable: bool) -> None:
        self._write(durable=durable)
        os.link(self._staging, self._free_name())
        os.unlink(self._staging)  # noqa: PTH108 - as bare as can be
        if durable:
            os.fsync(self._descriptor)

    def _free_name(self) -> str:
        return f"{self._final}-{next(self._numbers)}"

    def _commit(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO rows (data) VALUES (?)", (_DATA,))
        self._db.execute("COMMIT")


def summarise(samples: list[list[float]]) -> dict[str, Any]:
    """Return rate and percentiles of one kind; the median of each sample shows how steady the machine was.

    Args:
        samples: Seconds, one list for each time that the floor was sampled.
    """
    seconds = [second for sample in samples for second in sample]
    medians = [percentile(sample, 50) for sample in samples]
    return {
        "per_s": len(seconds) / math.fsum(seconds) if seconds else None,
        **percentiles(seconds),
        "p50_of_each_sample_ms": [in_ms(median) for median in medians],
    }


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """Return how many there are, and percentiles in milliseconds."""
    return {
        "n": len(seconds),
        "p50_ms": in_ms(percentile(seconds, 50)),
        "p99_ms": in_ms(percentile(seconds, 99)),
        "max_ms": in_ms(max(seconds, default=None)),
    }


def in_ms(seconds: float | None) -> float | None:
    """Return milliseconds."""
    return None if seconds is None else 1000 * seconds
