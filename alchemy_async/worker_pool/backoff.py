"""Back-off: how long to wait before something that failed is tried again.

In:    failures and successes.
Out:   seconds: 1, doubling, at most 300.
Never: waits by itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubles with every failure in a row."""

    first_s: float = 1.0
    most_s: float = 300.0
    n_failures: int = 0

    def failed(self) -> float:
        """Count a failure; return the seconds to wait before the next try."""
        self.n_failures += 1
        return float(min(self.first_s * 2 ** min(self.n_failures - 1, 30), self.most_s))

    def succeeded(self) -> None:
        """Begin at the first wait again."""
        self.n_failures = 0
