"""Trees: all processes that came of one, found and ended by their ids.

In:    the root of a tree, and the mark that its environment carries.
Out:   the living processes of the tree; their end.
Never: touches a process of another tree.

A root that adopts orphans keeps the tree whole while it lives: whoever leaves the session, drops its environment or
loses its parent is still below it. Should the root die first, session and mark find what they can.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

MARK = "ALCHEMY_ASYNC_PEER"  # the variable that carries the mark

_PR_SET_CHILD_SUBREAPER = 36
_ROUND_S = 0.02


def adopt_orphans() -> None:
    """Let every process below this one whose parent dies become this one's child, not that of the system."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def living(root: int, mark: str) -> set[int]:
    """Return the living processes of a tree, its root among them.

    Args:
        root: The tree's first process, leader of its session.
        mark: What ``MARK`` holds in the environment that the root was given.
    """
    parents: dict[int, int] = {}
    tree: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked, or is not ours to read
            state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state == "Z":
                continue
            pid = int(entry.name)
            parents[pid] = int(parent)
            if int(session) == root or f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                tree.add(pid)
    while grown := {pid for pid, parent in parents.items() if parent in tree and pid not in tree}:
        tree |= grown
    return tree


def end(root: int, mark: str, *, spared: int | None = None, limit_s: float) -> None:
    """Kill a tree; look again until none is left, for a tree may grow meanwhile.

    Args:
        root: The tree's first process; it is killed last, for it holds the tree together.
        mark: What ``MARK`` holds in the environment that the root was given.
        spared: A process of the tree that is left alone: the one that calls.
        limit_s: When to stop looking.
    """
    until = time.monotonic() + limit_s
    while (left := living(root, mark) - {spared}) and time.monotonic() < until:
        for pid in left - {root} or left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_ROUND_S)
