"""The cycle: jobs submitted and their results read back, the same way for every peer.

In:    an exchange that takes jobs and gives results, and a moment by which to end.
Out:   how many came back, in how many seconds, from how many processes.
Never: counts a job whose result was not read, or the same job twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

_PAUSE_S = 0.001  # as long as a submitter rests that found nothing: short beside a job, long beside a look
_REST_S = 0.2  # a job of the warm-up keeps its worker this long, so that the other workers get one too
_LEAST_WINDOW = 64  # our own queue file shows as many experiments

IN_MEMORY = 1000  # jobs that may be out where they cost no file: engines are at their best with many

Answer = tuple[int, int]


def work(number: int, rest_s: float) -> Answer:
    """Do nothing, as every peer's worker does it; return the job's number and the process that did it."""
    if rest_s:
        time.sleep(rest_s)
    return number, os.getpid()


class Exchange(Protocol):
    """A peer, as who submits jobs sees it."""

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        """Hand over jobs, in one go where the peer can: ``work(number, rest_s)`` for each number."""

    def collect(self) -> list[Answer]:
        """Return the results that are there, at once; none is returned twice."""


@dataclass(frozen=True)
class Tally:
    """What came back: jobs of those asked for, in how many seconds, from how many processes, and how many again."""

    n_jobs: int
    n_asked: int
    seconds: float
    n_processes: int
    n_twice: int = 0
    turnaround_s: tuple[float, ...] = ()


def window(n_workers: int) -> int:
    """Return how many jobs may be out at a time: enough that no worker waits, few enough that no folder swells."""
    return max(_LEAST_WINDOW, 4 * n_workers)


def run_cycle(exchange: Exchange, *, n_workers: int, n_jobs: int, most_out: int, until: float) -> Tally:
    """Wait until the workers are up, for half of the time at most, then time the jobs.

    Args:
        exchange: The peer, with its workers being started.
        n_workers: Worker processes that were asked for.
        n_jobs: Jobs to submit.
        most_out: How many jobs may be out at a time.
        until: When to stop at the latest, by the monotonic clock.
    """
    n_ready = warm_up(exchange, n_workers, (time.monotonic() + until) / 2)
    tally = drive(exchange, n_jobs, most_out, until)
    return replace(tally, n_processes=max(n_ready, tally.n_processes))


def warm_up(exchange: Exchange, n_workers: int, until: float) -> int:
    """Give out short jobs until every worker process answered one; return how many did by ``until``."""
    processes: set[int] = set()
    number, n_out = 0, 0
    while time.monotonic() < until and (len(processes) < n_workers or n_out):
        if n_out < n_workers and len(processes) < n_workers:
            lowest = number - (n_workers - n_out)
            exchange.submit(range(lowest, number), _REST_S)
            number, n_out = lowest, n_workers  # below zero: told apart from the jobs that count, should one come late
        answers = exchange.collect()
        n_out -= len(answers)
        processes.update(process for _, process in answers)
        if not answers:
            time.sleep(_PAUSE_S)
    return len(processes)


def drive(exchange: Exchange, n_jobs: int, most_out: int, until: float) -> Tally:
    """Submit jobs, more whenever half of those that may be out are back, until all are back or time is up.

    Args:
        exchange: The peer, with its workers started.
        n_jobs: Jobs to submit.
        most_out: How many jobs may be out at a time.
        until: When to stop at the latest, by the monotonic clock.
    """
    seen: set[int] = set()
    processes: set[int] = set()
    n_submitted, n_twice = 0, 0
    begun = last = time.monotonic()
    while len(seen) < n_jobs and time.monotonic() < until:
        if n_submitted < n_jobs and n_submitted - len(seen) <= most_out // 2:
            upto = min(n_jobs, len(seen) + most_out)
            exchange.submit(range(n_submitted, upto), 0.0)
            n_submitted = upto
        answers = [(number, process) for number, process in exchange.collect() if number >= 0]
        for number, process in answers:
            n_twice += number in seen
            seen.add(number)
            processes.add(process)
        if answers:
            last = time.monotonic()
        else:
            time.sleep(_PAUSE_S)
    return Tally(len(seen), n_jobs, last - begun, len(processes), n_twice)
