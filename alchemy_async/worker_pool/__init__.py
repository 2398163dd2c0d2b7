"""The worker pool: one process per instrument, kept alive, woken, drained and counted.

In:    campaign.toml or what a server says of a session, the queue, signals.
Out:   claims, heartbeats and results, each written by the worker process that owns the instrument.
Never: chooses an experiment, opens the ledger, or lets one instrument's fault reach another.

    pool    reads the settings, spawns and supervises     (`pool`, `slot`, `remote`)
    worker  one process, one instrument                   (`worker`, `life`, `ends`, `bench`, `rounds`, `post`, ...)
    both    what passes between them, and when            (`messages`, `pipes`, `backoff`)

A worker process imports neither pydantic nor numpy: it starts in a fraction of
a second and weighs a few megabytes, whatever the planner needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alchemy_async.queues.rest import Server


def run_pool(folder: Path, *, name: str = "pool", n_workers: int | None = None, server: Server | None = None) -> int:
    """Run the instruments of a campaign until they are drained, stopped, or told to end.

    Args:
        folder: The campaign folder; nothing but campaign.toml need be there. With a server: a local folder, for
            drivers, logs, results that wait, and a workers.toml where this machine has workers of its own.
        name: Name of the pool; one of each name runs on a host.
        n_workers: Instead of the settings' ``count``, where there is one group of workers.
        server: Where the session is served; None: the queue is in the folder.

    Returns:
        The exit code: 0 if every worker ended in good order.

    Raises:
        SettingsError: If campaign.toml has mistakes, or no workers.
        FolderError: If there is no campaign.toml.
        AlreadyRunningError: If this host has a pool of this name in this folder.
        ClientError: If the server refuses.
    """
    from alchemy_async.worker_pool import pool

    return pool.run_pool(folder, name=name, n_workers=n_workers, server=server)
