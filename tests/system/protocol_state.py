"""Protocol state: what the two folders, the ledger, the planner, the workers and the bench look like at one instant.

In:    nothing.
Out:   the vocabulary of the protocol's model, as immutable and comparable values.
Never: says what may happen next.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

OPEN = ("queued", "running", "interrupted")


@dataclass(frozen=True)
class Rules:
    """The protections of the folder protocol; numbers are the rules of the design. Each can be taken away."""

    claim_by_link: bool = True  # 2: and not by looking first and writing then
    start_after_fsync: bool = True  # 2: the driver starts once the claim can survive a power cut
    keep_claims: bool = True  # 2: names are used once and stay
    withdraw_by_link: bool = True  # 3: and not by merely unlisting
    fsync_before_commit: bool = True  # 4: of the claims that were read
    revise_under_same_id: bool = True  # 5: a refresh makes no ids of its own
    one_point_one_id: bool = True  # 5: a point once offered under an id belongs to it until its claim is seen
    drop_copies: bool = True  # 5: of what began to run while the planner was asking
    commit_before_publish: bool = True  # 5: the ledger leads
    link_at_ingest: bool = True  # 6: a result without a claim gets one, so that nobody starts it
    commit_before_unlink: bool = True  # 6
    ignore_duplicates: bool = True  # 6
    result_by_link: bool = True  # 1: a clean-up overwrites nothing
    look_before_lease_end: bool = True  # 7: for the result, by name
    withdraw_newer_attempt: bool = True  # states: when an older one has completed, before `stopped`
    newest_attempt_only: bool = True  # states: only `completed` counts from an older attempt


class Chances(NamedTuple):
    """How often luck or a person may still interfere."""

    kill_worker: int = 0
    kill_planner: int = 0
    power_cut: int = 0
    false_lease_end: int = 0
    cancel: int = 0
    stop: int = 0
    requeue: int = 0
    abandon: int = 0
    unclaimed_result: int = 0


@dataclass(frozen=True)
class Setting:
    """One small campaign: the smaller, the more completely it can be looked through."""

    budget: int = 1
    n_experiments: int = 1  # max_started
    n_attempts: int = 1  # max_attempts
    n_points: int = 1  # points the planner may choose from
    n_workers: int = 2
    is_idempotent: bool = False
    can_fail: bool = False
    has_clean_up: bool = False  # the process that replaces a killed worker reports `failed` for it
    chances: Chances = field(default_factory=Chances)


class Experiment(NamedTuple):
    """A row of the ledger; ``tail`` is the state of its newest attempt."""

    state: str
    attempt: int
    tail: str  # queued | running | interrupted | ended | withdrawn
    point: int
    offered: frozenset[int]  # the points listed under this id while its claim was not seen
    is_cancelling: bool = False


class Claim(NamedTuple):
    by: str  # worker | planner
    point: int
    is_durable: bool


class Result(NamedTuple):
    status: str  # completed | failed | cancelled
    point: int
    is_durable: bool
    is_unlinked: bool = False  # gone, but a power cut may bring it back


class Listing(NamedTuple):
    """The queue file."""

    offers: tuple[tuple[int, int], ...] = ()  # (attempt, point)
    cancel: tuple[int, ...] = ()
    is_stopped: bool = False


class Planner(NamedTuple):
    """What the planner has in memory, and loses when it is killed."""

    excluded: frozenset[int] | None = None  # it is asking: the points that were taken when it began
    ingesting: int | None = None  # attempt whose result it has begun, but not ended, to ingest
    result: Result | None = None  # ... read and unlinked, not yet committed
    answer: tuple[Experiment, ...] | None = None  # published, not yet committed


class Worker(NamedTuple):
    """What a worker process has in memory."""

    doing: str = "idle"  # idle | choosing | claimed | measuring | reporting | cleaning
    attempt: int = -1
    point: int = -1


class State(NamedTuple):
    """Everything. Attempts are numbered through: experiment * n_attempts + (attempt - 1)."""

    ledger: tuple[Experiment, ...]
    is_stopping: bool
    counted: tuple[int, ...]  # per attempt: how often its result went into the ledger
    planner: Planner
    claims: tuple[Claim | None, ...]
    results: tuple[Result | None, ...]
    listed: Listing
    workers: tuple[Worker, ...]  # sorted: they are interchangeable
    starts: tuple[int, ...]  # per attempt: how often the bench saw it begin
    measured: frozenset[int]  # attempts that brought a value
    reported: frozenset[int]  # attempts whose value is in a durable file of the worker
    lease_ended: frozenset[int]
    n_points: int  # how many different points were ever chosen
    chances: Chances
    blame: str = ""


def put(values: tuple, index: int, value) -> tuple:
    """Return the tuple with one value replaced."""
    return (*values[:index], value, *values[index + 1 :])


def is_visible(result: Result | None) -> bool:
    """Whether a reader of the folder finds this result."""
    return result is not None and not result.is_unlinked
