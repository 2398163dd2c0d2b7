"""Serving: how many of the queued experiments are ready for the workers that live.

In:    how many are queued for which labels; the labels of the workers that live, and of the idle ones.
Out:   a number that the look-ahead can be held against.
Never: says who runs what; workers choose for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Labels = frozenset[str]


def n_ready(queued: Mapping[Labels, int], living: Sequence[Labels], idle: Sequence[Labels]) -> int:
    """Return how many queued experiments count as ready.

    What every living worker can run counts. What only some can run counts as far as
    idle ones among these take it: the others would find the queue empty all the same.

    Args:
        queued: How many experiments are queued, by the labels that they require.
        living: The labels of each worker that lives.
        idle: The labels of each of them that has nothing.
    """
    everybody = frozenset.intersection(*living) if living else frozenset().union(*queued)
    free, n = sorted(idle, key=len), 0
    for requires, count in sorted(queued.items(), key=lambda kind: -len(kind[0])):
        if requires <= everybody:
            n += count
            continue
        for labels in [labels for labels in free if requires <= labels][:count]:
            free.remove(labels)
            n += 1
    return n
