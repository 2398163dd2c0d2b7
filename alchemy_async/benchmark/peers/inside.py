"""Inside: what runs in a peer's own process: measure, write the figures down, wait to be let go.

In:    the peer's class and fields, a folder, workers, jobs, a limit in seconds, as arguments.
Out:   ``figures.json`` in the folder: what came back and a note, or nothing and why.
Never: outlives the process that started it, or is outlived by one that it started.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from alchemy_async.benchmark.peers import tree

_END_S = 8.0


def main(kind: str, fields: str, folder: str, n_workers: str, n_jobs: str, limit_s: str) -> None:
    """Measure one peer; all arguments as they stand in the command."""
    until = time.monotonic() + float(limit_s)
    tree.adopt_orphans()
    let_go = threading.Thread(target=_end_with_the_starter, daemon=True)
    let_go.start()
    module, _, name = kind.partition(":")
    peer = getattr(importlib.import_module(module), name)(**json.loads(fields))
    try:
        tally, note = peer.measure(Path(folder), n_workers=int(n_workers), n_jobs=int(n_jobs), until=until)
        told = [asdict(tally), note]
    except Exception as error:  # noqa: BLE001 - whatever a peer raises stands in the table in place of its figure
        traceback.print_exc()
        told = [None, f"failed: {type(error).__name__}: {error}"]
    staged = Path(folder) / "figures.staged"
    staged.write_text(json.dumps(told), encoding="utf-8")
    staged.replace(Path(folder) / "figures.json")  # atomic: the starter reads a whole file or none
    let_go.join()


def _end_with_the_starter() -> None:
    """Wait until the starter closes its end of our input, by will or by death; then end the tree, and with it us."""
    while os.read(0, 1):  # a bare read: it holds no lock that a fork could inherit
        pass
    tree.end(os.getpid(), os.environ[tree.MARK], spared=os.getpid(), limit_s=_END_S)
    os._exit(0)  # no clean-up of a peer can hang here


if __name__ == "__main__":
    main(*sys.argv[1:])
