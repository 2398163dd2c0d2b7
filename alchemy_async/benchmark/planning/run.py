"""A run: all trials that are wanted and not there yet, seed by seed.

In:    contenders, problems, numbers of workers, seeds, a store, minutes.
Out:   the store, filled; one object that says what was compared and what it came to.
Never: breaks a trial off, or runs one again that still holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from alchemy_async.benchmark.planning.catalogue import EVERY, is_compared
from alchemy_async.benchmark.planning.contenders import contender
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.store import Store
from alchemy_async.benchmark.planning.trial import Key, run_trial
from alchemy_async.errors import AlchemyError

SEEDS = tuple(range(100, 124))  # kernel and noise prior were chosen on seeds below 100


@dataclass(frozen=True)
class Wanted:
    """Which trials.

    Args:
        contenders: By name.
        problems: By name; some are for some contenders only.
        n_workers: Numbers of workers.
        seeds: One trial for each.
        minutes: No trial starts after so many; None: no limit.
        is_fresh: Whether trials that are in the store are run again.
    """

    contenders: tuple[str, ...]
    problems: tuple[str, ...] = tuple(PROBLEMS)
    n_workers: tuple[int, ...] = (3,)
    seeds: tuple[int, ...] = SEEDS
    minutes: float | None = None
    is_fresh: bool = False

    def each(self) -> Iterator[Key]:
        """Yield every trial, seed by seed, so that a part of them is paired."""
        for n_workers in self.n_workers:
            for seed in self.seeds:
                for name in self.contenders:
                    for problem in self.problems:
                        if is_compared(name, problem):
                            yield Key(name, problem, n_workers, seed)


def run(wanted: Wanted, store: Store, show: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Run what is wanted and not in the store; return what failed, as ``what`` and ``why``.

    A contender that fails on a problem is not tried on it with further seeds.
    """
    there = {} if wanted.is_fresh else store.read(wanted.contenders)
    missing = [key for key in wanted.each() if key not in there]
    show(f"{len(missing)} trials to run, {len(there)} are there.")
    failures: list[dict[str, Any]] = []
    broken: set[tuple[str, str]] = set()
    begun = time.monotonic()
    for k, key in enumerate(missing):
        if wanted.minutes is not None and time.monotonic() - begun > 60 * wanted.minutes:
            show(f"Time is up; {len(missing) - k} trials are left for the next time.")
            break
        if key[:2] in broken:
            continue
        try:
            record = run_trial(contender(key.contender), EVERY[key.problem], key.n_workers, key.seed)
        except AlchemyError as error:
            broken.add(key[:2])
            failures.append({"what": " ".join(map(str, key)), "why": str(error)})
            show(f"{k + 1}/{len(missing)} {key.contender} {key.problem}: {error}")
            continue
        store.append(record)
        show(
            f"{k + 1}/{len(missing)} {key.contender} {key.problem} W={key.n_workers} seed {key.seed}: "
            f"{EVERY[key.problem].in_words(record)}, asks {sum(record['asks']['cpu_s']):.1f} s of processor time"
        )
    return failures
