"""Processes: what the kernel says of them.

In:    process ids; Linux' /proc.
Out:   families, seconds on the processor, memory.
Never: signals a process, or takes another one for it that has got its id since.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
IS_THERE = (_PROC / "self" / "smaps_rollup").exists()
WHY_NOT = "needs /proc of Linux, which this system does not have"


@dataclass(frozen=True)
class Process:
    """One process; ``started`` tells it from a later one with the same id."""

    pid: int
    parent: int
    started: int
    cpu_s: float


def read(pid: int) -> Process | None:
    """Return what is known of a process; None if it has ended."""
    try:
        return parse((_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"), _ticks_per_s())
    except (OSError, ValueError):
        return None


def parse(text: str, ticks_per_s: float) -> Process | None:
    """Read a line of ``/proc/PID/stat``; None for a zombie. The name in brackets may hold anything."""
    pid, _, rest = text.partition(" ")
    fields = rest[rest.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(int(pid), int(fields[1]), int(fields[19]), (int(fields[11]) + int(fields[12])) / ticks_per_s)


def family(pid: int) -> list[Process]:
    """Return a process and all that descend from it, itself first."""
    everybody = [found for entry in _PROC.iterdir() if entry.name.isdigit() and (found := read(int(entry.name)))]
    return descendants(pid, everybody)


def descendants(pid: int, everybody: Iterable[Process]) -> list[Process]:
    """Pick a process and its descendants, itself first."""
    children: dict[int, list[Process]] = {}
    own: list[Process] = []
    for process in everybody:
        children.setdefault(process.parent, []).append(process)
        own += [process] * (process.pid == pid)
    for process in own:  # it grows while it is gone through
        own += children.get(process.pid, [])
    return own


def is_alive(process: Process) -> bool:
    """Return whether this very process has not ended."""
    found = read(process.pid)
    return found is not None and found.started == process.started


def memory_mb(pid: int) -> dict[str, float]:
    """Return proportional and private memory, in MB of 10^6 bytes.

    Raises:
        OSError: If the process has ended.
    """
    return parse_memory((_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii"))


def parse_memory(text: str) -> dict[str, float]:
    """Read ``/proc/PID/smaps_rollup``."""
    kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines()[1:])}
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return {"pss_mb": kb["Pss"] * 1.024e-3, "private_mb": private * 1.024e-3, "rss_mb": kb["Rss"] * 1.024e-3}


def _ticks_per_s() -> float:
    return float(os.sysconf("SC_CLK_TCK"))
