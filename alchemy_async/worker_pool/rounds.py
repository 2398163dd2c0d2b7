"""Rounds: claim, measure, report, and again at once.

In:    the queue's offers and cancellations; the outcomes of the driver.
Out:   claims and results.
Never: waits between a published result and the next claim, or loses an outcome that a disk or a network refuses.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING

from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import (
    Attempt,
    AttemptState,
    Failure,
    Offer,
    Outcome,
    QueueState,
    Status,
    WorkerState,
)
from alchemy_async.queues.spool import KeptError
from alchemy_async.worker_pool import bench
from alchemy_async.worker_pool.backoff import Backoff
from alchemy_async.worker_pool.messages import Ending, Note, Topic

if TYPE_CHECKING:
    from concurrent.futures import Future

    from alchemy_async.executors import Executor
    from alchemy_async.queues import News
    from alchemy_async.worker_pool.ends import End
    from alchemy_async.worker_pool.post import Post

RESCAN_S = 2.0
SEND_AGAIN_S = 5.0
STOPPED_AT_START_S = 10.0
MOST_TELLINGS, TELLINGS_PER_S = 50, 5.0  # that an attempt started and ended well; of a quick series not each is told
TIMEOUT, STOPPED, CANCELLED = "timeout", "stopped", "cancelled"  # why a measurement is broken off

_HANGS = "the driver did not end within grace_s after it was told to stop"

log = logging.getLogger(__name__)


class Rounds:
    """One worker's life between setup and teardown.

    Args:
        post: Where the main thread waits.
        end: The worker's end of the queue.
    """

    def __init__(self, post: Post, end: End) -> None:
        self._post = post
        self._end = end
        self._clock = post.clock
        self._backoff = Backoff()
        self._not_before = -math.inf
        self._stopped_since: tuple[int, float] | None = None
        self._was_running = False
        self._n_completed = 0
        self._n_other = 0
        self._busy_s = 0.0
        self._untold: tuple[str, str] | None = None  # how the last attempt ended; told once the next one has started
        self._n_silent = 0  # attempts that ended since then and are not told one by one
        self._tellings, self._tellings_at = float(MOST_TELLINGS), self._clock.monotonic()

    def work(self, executor: Executor) -> None:
        """Work until the queue is drained or stopped, or somebody says so; then nothing is claimed any more."""
        self._tell(Topic.READY)
        self._post.say(WorkerState.IDLE)  # before the first claim: a claim without a beat is waited for in vain
        while True:
            offer = self._claim()
            if offer is not None:
                self._run(executor, offer)
                continue
            self._tell_ended()
            self._post.say(WorkerState.IDLE)
            if self.is_over():
                return
            backing_off_s = self._not_before - self._clock.monotonic()
            self._post.pause(min(RESCAN_S, backing_off_s if backing_off_s > 0 else RESCAN_S))

    def is_over(self) -> bool:
        """Return whether a worker that is idle has to end."""
        if self._post.is_draining:
            return True
        news = self._news()
        if news is None:
            return False
        if news.state is QueueState.STOPPED and not self._was_running:
            return self._has_stayed_stopped(news)
        self._was_running = True
        return news.state in (QueueState.DRAINING, QueueState.STOPPED)

    def _has_stayed_stopped(self, news: News) -> bool:
        """Return whether a queue that was stopped at the start has brought no newer revision for 10 s."""
        present = self._clock.monotonic()
        if self._stopped_since is None:
            self._stopped_since = (news.revision, present)
        revision, since = self._stopped_since
        return news.revision != revision or present >= since + STOPPED_AT_START_S

    def _news(self) -> News | None:
        try:
            return self._end.news()
        except (OSError, AlchemyError) as error:
            self._post.complain("the queue can't be read, nothing is claimed from it", error)
            return None

    def _claim(self) -> Offer | None:
        if self._post.is_draining or self._clock.monotonic() < self._not_before:
            return None
        try:
            return self._end.claim()
        except (OSError, AlchemyError) as error:
            self._post.complain("nothing can be claimed", error)
            return None

    def _run(self, executor: Executor, offer: Offer) -> None:
        plan, key = self._post.plan, offer.key
        attempt = Attempt(key, AttemptState.RUNNING, offer.parameters, worker=plan.worker)
        published_at = self._end.published_at_monotonic
        started_at = self._clock.now()
        future = executor.submit(attempt)
        started = self._clock.monotonic()
        turnaround = {} if published_at is None else {"turnaround_s": started - published_at}
        self._was_running = True
        self._post.say(WorkerState.BUSY, key, lease_s=offer.lease_s)
        if self._may_tell():
            self._tell_ended()
            self._tell(Topic.STARTED, about=_ids(offer))
        why = self._watch(executor, future, offer, started + min(offer.timeout_s, plan.timeout_s))
        self._busy_s += self._clock.monotonic() - started
        if future.done():
            outcome = _as_asked(future.result(), why)
        else:
            status = Status.FAILED if why == TIMEOUT else Status.CANCELLED
            outcome = Outcome(status, started_at, self._clock.now(), error=Failure(why, _HANGS))
        self._publish(offer, dataclasses.replace(outcome, metadata={**outcome.metadata, **turnaround}))
        if not future.done():
            self._tell_ended()
            bench.give_up(self._post, f"{_ids(offer)} {why}: {_HANGS}")
        if outcome.error is not None and outcome.error.kind == MemoryError.__name__:
            self._tell_ended()  # what the driver hoards stays: without memory no thread starts, and teardown hangs
            bench.give_up(self._post, f"{_ids(offer)} ran out of memory", Ending.EXHAUSTED)

    def _watch(self, executor: Executor, future: Future[Outcome], offer: Offer, deadline: float) -> str:
        """Wait for the outcome; return why it was broken off, or "". It may then still be running after its grace."""
        why, give_up_at = "", math.inf
        while not future.done() and self._clock.monotonic() < give_up_at:
            next_s = (give_up_at if why else deadline) - self._clock.monotonic()
            self._post.pause(min(RESCAN_S, next_s))
            if why or future.done():
                continue
            why = self._reason_to_stop(offer, deadline)
            if why:
                log.info("%s worker=%s is told to stop: %s", _ids(offer), self._post.plan.worker, why)
                self._post.beside(executor.stop)
                give_up_at = self._clock.monotonic() + self._post.plan.grace_s
        return why

    def _reason_to_stop(self, offer: Offer, deadline: float) -> str:
        if self._clock.monotonic() >= deadline:
            return TIMEOUT
        if self._post.is_stopping:
            return STOPPED
        news = self._news()
        return CANCELLED if news is not None and offer.key in news.cancel else ""

    def _publish(self, offer: Offer, outcome: Outcome) -> None:
        retry = Backoff(most_s=60.0)
        while True:
            try:
                self._end.report(offer.key, outcome)
                break
            except (TypeError, ValueError) as error:
                outcome = _as_text(outcome, error)
            except KeptError as error:
                if self._post.is_stopping:
                    log.warning("%s its result waits on this disk; the next start of this worker sends it", _ids(offer))
                    break
                self._post.complain(f"the result of {offer.key} waits on this disk until it can be sent", error)
                self._pause(min(retry.failed(), SEND_AGAIN_S))
            except (OSError, AlchemyError) as error:
                self._post.complain(f"the result of {offer.key} is kept in memory, the disk refuses it", error)
                self._pause(retry.failed())
        self._count(offer, outcome)

    def _pause(self, seconds: float) -> None:
        """Beat for so long, whatever wakes the worker meanwhile; but no longer once it is told to stop."""
        was_stopping, until = self._post.is_stopping, self._clock.monotonic() + seconds
        while self._clock.monotonic() < until and self._post.is_stopping == was_stopping:
            self._post.pause(until - self._clock.monotonic())

    def _count(self, offer: Offer, outcome: Outcome) -> None:
        if outcome.status is Status.COMPLETED:
            self._n_completed += 1
            self._backoff.succeeded()
        else:
            self._n_other += 1
        text = str(outcome.status) if outcome.error is None else f"{outcome.status} ({outcome.error.in_short()})"
        if outcome.error is not None and "\n" in outcome.error.message:  # a traceback: the pool's log has its last line
            log.warning("%s worker=%s failed: %s", _ids(offer), self._post.plan.worker, outcome.error.message)
        if outcome.status is Status.RELEASED:
            delay_s = self._backoff.failed()
            self._not_before = self._clock.monotonic() + delay_s
            text += f", next claim in {delay_s:g} s"
        self._n_silent += self._untold is not None
        self._untold = (text, _ids(offer))
        if outcome.error is not None:
            self._tell_ended()

    def _may_tell(self) -> bool:
        """Return whether a person can still follow: a telling costs as much as a short experiment."""
        present = self._clock.monotonic()
        self._tellings += (present - self._tellings_at) * TELLINGS_PER_S
        self._tellings, self._tellings_at = min(self._tellings, MOST_TELLINGS), present
        if self._tellings < 1:
            return False
        self._tellings -= 1
        return True

    def _tell_ended(self) -> None:
        if self._untold is not None:
            (text, about), self._untold = self._untold, None
            others = f" (and {self._n_silent} others before it)" if self._n_silent else ""
            self._n_silent = 0
            self._tell(Topic.ENDED, f"{text}{others}", about)

    def _tell(self, topic: Topic, text: str = "", about: str = "") -> None:
        self._post.note(Note(topic, text, about, self._n_completed, self._n_other, self._busy_s))


def _ids(offer: Offer) -> str:
    return f"experiment={offer.key.experiment} attempt={offer.key.attempt}"


def _as_asked(outcome: Outcome, why: str) -> Outcome:
    """Return what is reported: a measurement broken off for its time is a failure, one that still came counts."""
    if why != TIMEOUT or outcome.status is not Status.CANCELLED:
        return outcome
    message = "the measurement took longer than timeout_s and was broken off"
    return dataclasses.replace(outcome, status=Status.FAILED, error=Failure(TIMEOUT, message))


def _as_text(outcome: Outcome, error: Exception) -> Outcome:
    """Return a failure that tells all of an outcome that can't be written as JSON, so that nothing is lost."""
    message = f"this outcome can't be written ({ascii(error)[:1000]}): {ascii(outcome)[:15_000]}"
    return Outcome(Status.FAILED, outcome.started_at, outcome.finished_at, error=Failure("bad_result", message))
