"""Telling: what happened in a session, as messages for those who watch.

In:    a ledger's events, each with its number.
Out:   the same as JSON; over a WebSocket in ALchemist's words, with the number and our own fields beside them.
Never: tells what is not in the ledger, or tells it in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alchemy_async.experiment import State
from alchemy_async.ledger import Ledger

MOST = 1000  # events that are read at once
Says = Callable[[Ledger, Iterable[dict[str, Any]]], Iterable[dict[str, Any]]]

_ITEM = {  # what ALchemist calls the status of an item after an event
    "queued": "pending", "revised": "pending", "amended": "pending", "moved": "pending", "requeued": "pending",
    "released": "pending", "withdrawn": "pending", "cancel_requested": "pending", "claimed": "running",
    "revived": "running", "interrupted": "running", "completed": "done", "failed": "failed", "infeasible": "failed",
    "cancelled": "failed", "abandoned": "failed",
}  # fmt: skip
_MEASURING = frozenset({"completed", "replicate", "corrected"})  # the dataset is another one after these


def events_after(ledger: Ledger, seq: int, limit: int = MOST) -> list[dict[str, Any]]:
    """Return up to ``limit`` events that follow a number, oldest first: seq, at, kind, experiment, attempt, details."""
    return ledger.events(after=seq, limit=limit)


def last_seq(ledger: Ledger) -> int:
    """Return the number of the newest event; 0 before the first."""
    found = ledger.last_events(1)
    return int(found[0]["seq"]) if found else 0


def messages(ledger: Ledger, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what a WebSocket is told of events: one message for each, then what they come to.

    A client of ALchemist looks at ``event`` and finds the fields that it knows;
    ``seq``, ``kind``, ``at``, ``experiment``, ``attempt`` and ``details`` are ours.
    """
    seq, is_measured, is_queue_new = 0, False, False
    for one in events:
        seq = one["seq"]
        is_measured |= one["kind"] in _MEASURING
        is_queue_new |= one["kind"] in _ITEM
        yield {**_in_their_words(ledger, one), **one}
    if is_queue_new:
        yield {"event": "queue_updated", "seq": seq}
    if is_measured:
        yield {"event": "experiments_updated", "n_experiments": ledger.n_observations(), "seq": seq}


def _in_their_words(ledger: Ledger, one: dict[str, Any]) -> dict[str, Any]:
    kind, details = one["kind"], one["details"]
    if kind in _ITEM and one["experiment"]:
        values = list(details.get("values", {}).values())
        return {
            "event": "queue_item_updated",
            "item_id": one["experiment"],
            "status": _ITEM[kind],
            "reason": ledger.experiment(one["experiment"]).reason or None,
            "output": values[0] if len(values) == 1 else details.get("values"),
            "error": _error(kind, details),
        }
    if kind == "control_changed":
        return {"event": kind, "control": details.get("control", details)}
    return {**details, "event": kind}  # lock_status_changed, model_trained: their fields are the details


def _error(kind: str, details: dict[str, Any]) -> str | None:
    if kind in (State.FAILED, State.INFEASIBLE, State.CANCELLED, State.ABANDONED):
        return str(details.get("error") or details.get("why") or kind)
    return None
