"""Pipes: waking a loop, and telling another process something, without ever being held up by it.

In:    bytes, from any thread or signal handler.
Out:   the same bytes at the other end; or nothing, where the other end does not read.
Never: blocks the writer: a stopped process must not stop the one that writes to it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from multiprocess.connection import Connection, wait
from multiprocess.context import SpawnContext

_CONTEXT: Any = SpawnContext()


def pipe() -> tuple[Connection, Connection]:
    """Return the reading and the writing end of a pipe whose writer never blocks."""
    reader, writer = _CONTEXT.Pipe(duplex=False)
    unblock(writer)
    return reader, writer


def unblock(writer: Connection) -> None:
    """Make a writing end drop what a full pipe can't take (Windows: its pipes grow instead)."""
    if sys.platform != "win32":
        os.set_blocking(writer.fileno(), False)


def tell(writer: Connection, message: bytes) -> bool:
    """Write a message of less than 4 kB, whole or not at all; False if nobody can read it any more."""
    try:
        writer.send_bytes(message)
    except BlockingIOError:  # full: the reader has enough to wake up for
        return True
    except OSError:
        return False
    return True


def drain(reader: Connection) -> list[bytes] | None:
    """Return every message that waits; None if the writer has gone and nothing is left."""
    messages: list[bytes] = []
    try:
        while reader.poll(0):
            messages.append(reader.recv_bytes())
    except (EOFError, OSError):
        return messages or None
    return messages


class Bell:
    """Wakes the loop that waits for it; may be rung by any thread, and by signal handlers."""

    def __init__(self) -> None:
        self.reader, self._writer = pipe()

    def ring(self) -> None:
        """Wake the loop; ringing twice wakes it at least once."""
        tell(self._writer, b"!")

    def silence(self) -> None:
        """Forget what rang so far."""
        drain(self.reader)

    def close(self) -> None:
        """Close both ends; ringing it afterwards does nothing."""
        for end in (self._writer, self.reader):
            with contextlib.suppress(OSError):
                end.close()


__all__ = ["Bell", "Connection", "drain", "pipe", "tell", "unblock", "wait"]
