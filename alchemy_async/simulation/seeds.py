"""Seeds: which campaigns a text such as ``0-7`` names.

In:    a text from the command line.
Out:   seeds.
Never: loads anything: `--help` and wrong usage stay quick.
"""

from __future__ import annotations

MOST = 10_000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that a text such as ``0-7`` or ``1,3,5`` names, in its order.

    Raises:
        ValueError: If it names none, one that is not from 0 to 2^32 - 1, or more than `MOST`.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high < 2**32 or high - low + len(seeds) >= MOST:
            raise ValueError(f"{part!r} names no seeds")
        seeds += range(low, high + 1)
    return tuple(dict.fromkeys(seeds))
