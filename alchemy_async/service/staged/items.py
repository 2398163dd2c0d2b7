"""Items: what was queued, as clients of ALchemist know it: pending, running, done or failed.

In:    a ledger.
Out:   the queue with what became of each item; what has ended only as far back as was asked for.
Never: loses what was purged: it is only listed no more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alchemy_async.experiment import PENDING, State
from alchemy_async.ledger import Item, Ledger
from alchemy_async.service.problems import UnknownError
from alchemy_async.service.staged.desk import Turn
from alchemy_async.service.staged.measures import noise_of

MOST_ENDED = 200  # of what has ended, that an answer lists if nobody asks for more
_MARK = "queue_purged"  # of the ledger's meta: the last outcome, and how many were done and failed, at the purge
_STATUS = {
    State.QUEUED: "pending",
    State.RUNNING: "running",
    State.INTERRUPTED: "running",
    State.COMPLETED: "done",
}


def find(ledger: Ledger, name: str) -> Item:
    """Return an item.

    Raises:
        UnknownError: If there is none.
    """
    found = ledger.item(name)
    if found is None:
        raise UnknownError(f"Unknown queue item: {name[:80]!r}. GET /experiments/queue lists all.")
    return found


def purge(turn: Turn) -> int:
    """List what has ended no more; return how many items that are."""
    before, (n_done, n_failed) = _purged(turn.ledger), turn.ledger.n_ended()
    mark = {"outcome": turn.ledger.last_measurement(), "done": n_done, "failed": n_failed}
    turn.change.set_meta(**{_MARK: json.dumps(mark)})
    n_purged = n_done + n_failed - before["done"] - before["failed"]
    turn.change.note("purged", n=n_purged)
    return n_purged


def _purged(ledger: Ledger) -> dict[str, int]:
    mark: dict[str, int] = json.loads(ledger.meta(_MARK) or '{"outcome": 0, "done": 0, "failed": 0}')
    return mark


def queue(ledger: Ledger, status: str | None = None, limit: int = MOST_ENDED) -> dict[str, Any]:
    """Return the whole queue: all that is open, and what ended among the last ``limit`` outcomes.

    Args:
        ledger: The ledger.
        status: Only items of this one; the counts are those of the whole queue.
        limit: How many outcomes are looked through.
    """
    purged, tally, (n_done, n_failed) = _purged(ledger), ledger.tally(), ledger.n_ended()
    wants_open, wants_ended = status in (None, "pending", "running"), status in (None, "done", "failed")
    items: list[Item] = ledger.open_items() if wants_open else []
    if wants_ended and limit:
        items += ledger.ended_items(limit, after=purged["outcome"])
    items.sort(key=lambda item: item.number)
    return {
        "items": _bodies([item for item in items if status in (None, status_of(item))]),
        "n_pending": tally["queued"],
        "n_running": tally["running"] + tally["interrupted"],
        "n_done": n_done - purged["done"],
        "n_failed": n_failed - purged["failed"],
    }


def status_of(item: Item) -> str:
    """Return what clients call the state of an item."""
    return _STATUS.get(item.state, "failed")


def body_of(ledger: Ledger, name: str) -> dict[str, Any]:
    """Return one item as clients know it.

    Raises:
        UnknownError: If there is none.
    """
    return _bodies([find(ledger, name)])[0]


def _bodies(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return items as clients know them; of what is open, an attempt that failed before says nothing."""
    return [
        {
            "id": item.id,
            "inputs": dict(item.parameters),
            "reason": item.reason or None,
            "status": status_of(item),
            "output": _single(item.values),
            "noise": _single(noise_of(item.values, item.sems, item.metadata)),
            "error": None if item.state in PENDING else item.error or None,
            "dataset_ref": item.outcome if item.state is State.COMPLETED else None,
            "staged_at": item.added_at,
            "started_at": item.claimed_at,
            "completed_at": None if item.state in PENDING else item.recorded_at,
            "plot": None,
            "state": str(item.state),
            "attempt": item.attempt,
            "worker": item.worker or None,
        }
        for item in items
    ]


def _single(numbers: dict[str, float]) -> Any:  # noqa: ANN401 - a number or several by name, as JSON has it
    if not numbers:
        return None
    return next(iter(numbers.values())) if len(numbers) == 1 else numbers
