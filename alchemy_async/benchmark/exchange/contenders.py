"""Contenders: the peers' figures in the shape of ours.

In:    the name of a peer; workers, jobs.
Out:   a row of figures, or why there is none and how to mend that.
Never: imports a peer that is not asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange.floor import percentiles
from alchemy_async.benchmark.exchange.goals import is_polling
from alchemy_async.benchmark.peers import PEERS, load_peer

_POLLING = (3, 12)  # workers and jobs of a peer that takes seconds for each


def names() -> tuple[str, ...]:
    """Return the peers, in the order in which they are run."""
    return PEERS


def sizes(name: str, workers: Iterable[int], n_jobs: Callable[[int], int]) -> list[tuple[int, int]]:
    """Return with how many workers and jobs a peer is run: as ours, except where a handful takes a minute."""
    return [_POLLING] if is_polling(name) else [(n, n_jobs(n)) for n in workers]


def measure(name: str, folder: Path, *, n_workers: int, n_jobs: int, limit_s: float) -> dict[str, Any]:
    """Let a peer run its jobs in a folder that is made."""
    peer = load_peer(name)
    missing = peer.missing()
    row = {"name": name, "durable": peer.durable, "n_workers": n_workers, "jobs_per_s": None, "missing": missing}
    if missing:
        return row
    folder.mkdir(parents=True)
    found = dataclasses.asdict(peer.run(folder, n_workers=n_workers, n_jobs=n_jobs, limit_s=limit_s))
    seconds = found.pop("turnaround_s")
    return row | found | {"turnaround": percentiles(seconds) if seconds else None}
