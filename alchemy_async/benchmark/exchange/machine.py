"""The machine: where the figures were measured.

In:    the folder that was measured in.
Out:   cores, file system, versions, load.
Never: says who or where the machine is.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("alchemy-async", "watchdog", "multiprocess", "pydantic", "numpy")


def facts(folder: Path) -> dict[str, Any]:
    """Return what a reader must know to compare these figures with others."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "folder": str(folder),
        "file_system": file_system(folder.resolve(), _mounts()),
    }


def file_system(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system that a folder lies on.

    Args:
        folder: Absolute.
        mounts: Mount point and type of each file system, in the order of mounting.
    """
    found, longest = "unknown", -1
    for point, kind in mounts:
        if (folder == Path(point) or Path(point) in folder.parents) and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def _mounts() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [(fields[1].replace("\\040", " "), fields[2]) for line in lines if len(fields := line.split()) > 2]


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
