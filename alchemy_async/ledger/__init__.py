"""The ledger: the durable record of a campaign, and the only place where its state lives.

In:    changes, each checked against the states of an experiment and the budget.
Out:   experiments, attempts, observations and events as frozen records, to any number of readers.
Never: reads a folder of the queue, asks a planner, or changes what has ended.
"""

from alchemy_async.ledger.change import Change, Ingested
from alchemy_async.ledger.dataset import Item, Measurement, Summary
from alchemy_async.ledger.ledger import Ledger, planner_lock
from alchemy_async.ledger.many import RECORDED, Addition, Completion

__all__ = [
    "RECORDED",
    "Addition",
    "Change",
    "Completion",
    "Ingested",
    "Item",
    "Ledger",
    "Measurement",
    "Summary",
    "planner_lock",
]
