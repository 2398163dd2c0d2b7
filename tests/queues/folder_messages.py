from __future__ import annotations

import json
from pathlib import Path

from alchemy_async.experiment import AttemptKey, Result
from alchemy_async.testing.queue_contract import CAMPAIGN, an_outcome

KEY = AttemptKey("e0001", 1)


def a_result(worker: str = "w1", key: AttemptKey = KEY, **changes) -> dict:
    return Result(CAMPAIGN, key, worker, an_outcome()).to_wire() | changes


def put_result(dump: Path, document: dict | None = None, name: str = "worker_result_w1_e0001.1.json") -> Path:
    path = dump / name
    path.write_text(json.dumps(a_result() if document is None else document))
    return path
