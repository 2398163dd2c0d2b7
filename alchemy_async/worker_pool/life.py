"""A life: what a worker does between its instrument's lock and its last heartbeat.

In:    a worker's plan, and whom it may be told to end by.
Out:   how it ended; everything else goes through the queue.
Never: touches the instrument without its lock, or imports pydantic, numpy or torch by itself.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from alchemy_async import locks
from alchemy_async.errors import AlchemyError, AlreadyRunningError
from alchemy_async.experiment import Heartbeat, WorkerState
from alchemy_async.worker_pool import bench, ends
from alchemy_async.worker_pool.messages import Ending, Note, Topic
from alchemy_async.worker_pool.rounds import Rounds

if TYPE_CHECKING:
    from alchemy_async.worker_pool.ends import End
    from alchemy_async.worker_pool.post import Post

LOCK_AGAIN_S = 0.5
LOOK_AGAIN_S = 0.1
ASK_AGAIN_S = 1.0

_OTHER_NAME = "Stop it there, or give the workers of this machine another name in campaign.toml."


def live(post: Post) -> Ending:
    """Lock the instrument, make it safe or work with it, and say goodbye."""
    plan = post.plan
    in_vain = Ending.UNRECOVERED if plan.must_recover else Ending.FINISHED
    lock = _lock_instrument(post)
    if lock is None:
        return in_vain
    with lock:
        end = ends.make_end(plan, os.urandom(8).hex())
        if ends.is_left(plan):
            post.begin_beating(end)
            return bench.recover(post)
        if not _is_alone(post, end):
            return in_vain
        previous = _previous_beat(post, end)
        post.begin_beating(end)
        if plan.must_recover or _was_killed(previous):
            return bench.recover(post)
        rounds = Rounds(post, end)
        opened = bench.make_ready(post, rounds.is_over)
        if opened is not None:
            end.idempotent = opened.idempotent
            rounds.work(opened.executor)
            bench.close(post, opened.executor)
        post.say(WorkerState.GONE)
        return Ending.FINISHED


def _is_unwanted(post: Post) -> bool:
    """Return whether a process that has not begun need not begin; one that is to recover does while others drain."""
    return post.is_stopping or post.is_orphaned or (post.is_draining and not post.plan.must_recover)


def _lock_instrument(post: Post) -> locks.Lock | None:
    """Take the instrument's lock on this machine; None if told to end while another process has it."""
    plan = post.plan
    path = locks.machine_lock_path(f"instrument {plan.instrument_name}")
    told = ""
    while not _is_unwanted(post):
        try:
            return locks.hold(
                path,
                what=f"the instrument of {plan.worker} is in use",
                mend="It is taken over as soon as that process ends.",
            )
        except AlreadyRunningError as error:
            if str(error) != told:
                told = str(error)
                post.note(Note(Topic.WAITING, told))
        post.pause(LOCK_AGAIN_S)
    return None


def _is_alone(post: Post, end: End) -> bool:
    """Wait until no other host beats for this worker; False if told to end meanwhile."""
    here = socket.gethostname()
    seen, told = _previous_beat(post, end), ""
    silent_from = post.clock.monotonic()
    while seen is not None and seen.host not in ("", here) and seen.state is not WorkerState.GONE:
        if post.clock.monotonic() >= silent_from + post.plan.lease_s / 2:
            return True
        if _is_unwanted(post):
            return False
        post.pause(LOOK_AGAIN_S)
        latest = _previous_beat(post, end)
        if latest != seen:
            seen, silent_from = latest, post.clock.monotonic()
            other = "" if latest is None or latest.host == here else latest.host
            if other and other != told:
                told = other
                post.note(Note(Topic.WAITING, f"a worker of this name beats on {other}. {_OTHER_NAME}"))
    return True


def _previous_beat(post: Post, end: End) -> Heartbeat | None:
    """Return the last beat under this worker's name; a server that does not answer is asked again and again."""
    while True:
        try:
            return end.previous_beat()
        except (OSError, AlchemyError) as error:
            if post.plan.server is None:
                raise
            post.complain("waiting for the server", error)
        if _is_unwanted(post):
            return None
        post.pause(ASK_AGAIN_S)


def _was_killed(previous: Heartbeat | None) -> bool:
    """Return whether the process before this one ended without saying so, with the instrument in its hands."""
    return previous is not None and previous.state is not WorkerState.GONE
