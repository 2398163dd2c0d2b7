"""Output: where a worker process's words go, and how many are kept.

In:    all that the process, its driver and their children print or log.
Out:   ``logs/<worker>.log`` in the campaign folder, the last part of it.
Never: lets a driver that prints a gigabyte fill the disk for ever, or a full disk break a measurement that prints.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MOST_BYTES = 10 * 1024 * 1024
KEPT_BYTES = 1024 * 1024


def log_path(folder: Path, worker: str) -> Path:
    """Return the log file of a worker."""
    return folder / "logs" / f"{worker}.log"


def redirect(path: Path) -> None:
    """Send standard output, standard error and the log of this process to the end of a file.

    Raises:
        OSError: If the file can't be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    sys.stdout, sys.stderr = _words(1), _words(2)
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)sZ %(levelname)s %(message)s", force=True
    )


def _words(standard: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Lenient(standard, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", line_buffering=True)


class _Lenient(io.FileIO):
    """A log that drops what the disk refuses: ``print`` in a driver must not end its measurement."""

    def write(self, words: ReadableBuffer, /) -> int:
        """Write, or pretend to; return how many bytes are done with."""
        try:
            return super().write(words) or 0
        except OSError:
            return memoryview(words).nbytes


def cap(path: Path, *, most: int = MOST_BYTES, kept: int = KEPT_BYTES) -> None:
    """Keep only the last part of a log that has grown beyond ``most`` bytes.

    Its writers append, so the file is cut in place and keeps its name.

    Raises:
        OSError: If the disk refuses.
    """
    if not path.exists() or path.stat().st_size <= most:
        return
    with path.open("rb") as file:
        file.seek(-kept, os.SEEK_END)
        tail = file.read(kept)
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(b"... cut here, because the log had grown beyond %d bytes\n" % most + tail)
