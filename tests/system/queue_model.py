"""The exchange in memory: what the design says of a ledger, a planner daemon and the folders, without any of them.

It predicts every state, outcome, claim and published list. What a planner is free to choose (new points, revised
points) is taken over from the ledger, once it is seen to be within the rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

PENDING = ("queued", "running", "interrupted")
MAX_ATTEMPTS = 3
UNCHANGED_S = 0.5
MAX_STEP_S = 2.0


class Refused(Exception):  # noqa: N818 - no error: what the product must refuse, too
    """What a command must be told: a word of the product's error."""


class Killed(BaseException):
    """The planner dies here."""


@dataclass
class Try:
    """One attempt."""

    state: str = "queued"
    worker: str = ""
    instance: str = ""
    idempotent: bool = False
    is_listed: bool = False


@dataclass
class Plan:
    """One experiment."""

    point: dict
    state: str = "queued"
    attempt: int = 1
    priority: float = 0.0
    pinned: bool = False
    requires: tuple = ()
    cancelling: bool = False


@dataclass(frozen=True)
class Taken:
    """A claim file; ``point`` is None where it says none, or none that can have been taken."""

    worker: str
    instance: str = ""
    point: dict | None = None
    idempotent: bool = False
    is_readable: bool = True


@dataclass(frozen=True)
class Report:
    """A result file: ``flaw`` is empty, ``garbage``, or ``values`` (a valid message about an unknown objective)."""

    name: str
    key: tuple[str, int]
    worker: str
    status: str = "completed"
    value: float = 0.0
    at: float = 0.0
    retryable: bool = False
    flaw: str = ""
    digest: object = None


@dataclass
class Life:
    """What a planner process knows and would lose."""

    read: dict = field(default_factory=dict)
    unreadable: dict = field(default_factory=dict)
    suspects: dict = field(default_factory=dict)
    published: object = None
    last_scan: float | None = None
    beats: dict = field(default_factory=dict)
    silence: dict = field(default_factory=dict)


class QueueModel:
    """The whole exchange; ``seen`` counts what has happened, so that a test can tell that it tried something."""

    def __init__(self, *, budget: int, starts: int, lease_s: float, timeout_s: float):
        self.budget, self.most, self.lease_s, self.timeout_s = budget, starts, lease_s, timeout_s
        self.plans: dict[str, Plan] = {}
        self.tries: dict[tuple[str, int], Try] = {}
        self.outcomes: list[tuple] = []  # experiment, attempt, worker, status, role, value
        self.digests: list[tuple] = []  # key, worker, digest, role
        self.claims: dict[tuple[str, int], Taken] = {}
        self.results: dict[str, Report] = {}
        self.beats: dict[str, tuple] = {}  # worker: instance, beat, state, holds
        self.queue: tuple = ("none", (), ())  # state, ((key, point), ...), cancel
        self.starts, self.n_rejected, self.wanted, self.ended = 0, 0, "running", False
        self.life = Life()
        self.seen: Counter[str] = Counter()

    # -- tallies -----------------------------------------------------------

    def n(self, *states: str) -> int:
        return sum(plan.state in states for plan in self.plans.values())

    def starts_left(self) -> int:
        return self.most - self.starts - self.n("queued")

    def listed(self) -> list:
        return sorted(key for key, found in self.tries.items() if found.is_listed and found.state != "ended")

    # -- commands ----------------------------------------------------------

    def stage(self, name: str, point: dict, priority: float, requires: tuple) -> None:
        self.check_room()
        self.plans[name] = Plan(point, priority=priority, pinned=True, requires=requires)
        self.tries[name, 1] = Try()

    def check_room(self) -> None:
        if self.n(*PENDING, "completed") >= self.budget or self.starts_left() <= 0:
            raise Refused("BudgetError")

    def _plan_in(self, name: str, *states: str) -> Plan:
        if self.plans[name].state not in states:
            raise Refused("IllegalTransitionError")
        return self.plans[name]

    def cancel(self, name: str) -> None:
        self._plan_in(name, "queued", "running").cancelling = True

    def move(self, name: str, priority: float) -> None:
        self._plan_in(name, "queued").priority = priority

    def requeue(self, name: str) -> None:
        self._plan_in(name, "interrupted")
        if self.starts_left() <= 0:
            raise Refused("BudgetError")
        self._offer_again(name)

    def abandon(self, name: str) -> None:
        self._become(name, "abandoned", self._plan_in(name, "interrupted"))

    def _become(self, name: str, state: str, plan: Plan | None = None) -> None:
        (plan or self.plans[name]).state = state
        self.seen[state] += 1

    def _offer_again(self, name: str) -> None:
        plan = self.plans[name]
        plan.attempt += 1
        self._become(name, "queued")
        self.tries[name, plan.attempt] = Try()

    # -- the planner -------------------------------------------------------

    def start(self, now: float, rows: dict, doom: str = "") -> None:
        self.life, self.ended = Life(), False
        self._collect(now, doom)
        self._adopt(rows)

    def step(self, now: float, rows: dict, doom: str = "") -> None:
        """Do what a step of the daemon must do; ``rows`` is the ledger after it, for what planners are free to do."""
        self._collect(now, doom)
        cancelled = [(name, p.attempt) for name, p in self.plans.items() if p.cancelling and p.state == "queued"]
        stale = [key for key in self.listed() if self.tries[key].state == "queued" and not self._is_offer(key)]
        self._withdraw(sorted({*cancelled, *stale}), doom)
        if self._is_over():
            self._end(doom)
            return
        if self.wanted != "paused":
            self._adopt(rows)
        self._publish("paused" if self.wanted == "paused" else "running", doom)

    def _is_offer(self, key: tuple) -> bool:
        plan = self.plans[key[0]]
        return plan.state == "queued" and plan.attempt == key[1]

    def _is_over(self) -> bool:
        if self.wanted == "draining" or self.n("completed") >= self.budget:
            return True
        return not self.n(*PENDING) and self.starts >= self.most

    def _end(self, doom: str) -> None:
        is_drained = self.wanted == "draining"
        queued = [(name, plan.attempt) for name, plan in self.plans.items() if plan.state == "queued"]
        going = [k for k in queued if not (is_drained and self.plans[k[0]].pinned) or k in self.listed()]
        self._withdraw(going, doom, keep=is_drained)
        is_listed = any(key in self.listed() for key in queued)
        if any(found.state == "running" for found in self.tries.values()) or is_listed:
            self._publish("draining", doom)
            return
        self._publish("stopped", doom)
        self.wanted, self.ended = "running", True
        self.seen["ended"] += 1

    def _adopt(self, rows: dict) -> None:
        for name, row in rows.items():
            known = self.plans.get(name)
            if known is None:
                self.check_room()
                assert (row["state"], row["attempt"]) == ("queued", 1)
                assert row["origin"] in ("initial", "fill", "planner")
                self.plans[name] = Plan(row["point"], pinned=row["origin"] == "initial")
                self.tries[name, 1] = Try()
                self.seen["added"] += 1
            elif row["point"] != known.point:
                assert known.state == "queued"
                assert known.attempt == 1
                assert not known.pinned
                assert not known.cancelling
                known.point = row["point"]
                self.seen["revised"] += 1

    def _publish(self, state: str, doom: str) -> None:
        waiting = [(name, plan) for name, plan in self.plans.items() if plan.state == "queued" and not plan.cancelling]
        waiting = waiting if state in ("running", "paused") else []
        order = sorted(waiting, key=lambda each: (-each[1].priority, each[0]))
        offers = tuple(((name, plan.attempt), tuple(plan.point.items()), plan.priority) for name, plan in order)
        stop = tuple(
            key for key, found in sorted(self.tries.items()) if found.state == "running" and self._is_lost(key)
        )
        wanted = (state, offers, stop)
        if wanted == self.life.published:
            return
        for key, _, _ in offers:
            self.tries[key].is_listed = True
        if doom == "publish":
            raise Killed
        self.queue = self.life.published = wanted

    def _is_lost(self, key: tuple) -> bool:
        plan = self.plans[key[0]]
        return plan.cancelling or plan.state != "running" or plan.attempt != key[1]

    def _withdraw(self, keys: list, doom: str, *, keep: bool = False) -> None:
        free = []
        for key in keys:
            if self.tries[key].is_listed:
                claim = self.claims.setdefault(key, Taken("planner"))
                if doom == "withdraw":
                    raise Killed
                if claim.worker != "planner":
                    self.seen["withdrawn too late"] += 1
                    continue
            free.append(key)
        for key in free:
            self._withdrawn(key, keep=keep and self.plans[key[0]].pinned)

    def _withdrawn(self, key: tuple, *, keep: bool) -> None:
        if self.tries[key].state != "queued":
            return
        is_offer = self._is_offer(key)
        self.tries[key].state = "ended"
        self.seen["withdrawn"] += 1
        if is_offer and keep:
            self._offer_again(key[0])
        elif is_offer:
            self._become(key[0], "cancelled")

    # -- what came in ------------------------------------------------------

    def _collect(self, now: float, doom: str) -> None:
        life, listed = self.life, self.listed()
        fresh = {}
        for key in (key for key in listed if key not in life.read and key in self.claims):
            if self.claims[key].is_readable:
                fresh[key] = self.claims[key]
            elif life.unreadable.setdefault(key, now) + UNCHANGED_S - now <= 0:
                fresh[key] = Taken("unknown")
        good = sorted((r for r in self.results.values() if r.flaw != "garbage"), key=lambda r: (r.at, r.name))
        for report in good:
            if report.key in listed and report.key not in life.read and report.key not in fresh:
                fresh[report.key] = Taken(report.worker)
                self.claims.setdefault(report.key, fresh[report.key])
        life.read = {key: claim for key, claim in life.read.items() if key in listed} | fresh
        bad = [report for report in self.results.values() if report.flaw == "garbage"]
        life.suspects = {report.name: life.suspects.get(report.name, now) for report in bad}
        ripe = [report for report in bad if life.suspects[report.name] + UNCHANGED_S - now <= 0]
        if doom == "collect":
            raise Killed
        for key in (key for key in listed if key in life.read):
            if life.read[key].worker == "planner":
                plan = self.plans[key[0]]
                self._withdrawn(key, keep=plan.pinned and not plan.cancelling)
            else:
                self._claimed(key, life.read[key])
        rejected = [report.name for report in good if not self._ingest(report)]
        for report in ripe:
            self._spoil(report)
        settled = [report.name for report in (*good, *ripe)]
        if settled and doom == "settle":
            raise Killed
        for name in settled:
            del self.results[name]
            life.suspects.pop(name, None)
        self.n_rejected += len(rejected) + len(ripe)
        self._scan(now)

    def _claimed(self, key: tuple, claim: Taken) -> None:
        found, plan = self.tries[key], self.plans[key[0]]
        if found.state != "queued":
            return
        self.starts += 1
        if self._is_offer(key):
            plan.point = claim.point or plan.point
            self._become(key[0], "running")
        self.tries[key] = Try("running", claim.worker, claim.instance, claim.idempotent, is_listed=True)

    def _ingest(self, report: Report) -> bool:
        found = self.tries.get(report.key)
        if found is None:
            return False
        if report.flaw:
            self._spoil(report)
            return False
        known = [(worker, digest, role) for key, worker, digest, role in self.digests if key == report.key]
        if any((worker, digest) == (report.worker, report.digest) for worker, digest, _ in known):
            self.seen["duplicate"] += 1
            return True
        self._claimed(report.key, Taken(report.worker))
        found = self.tries[report.key]
        role = self._role(report, found, is_answered=any(role != "conflict" for _, _, role in known))
        self._record(report, role)
        if role == "conflict":
            return True
        self.tries[report.key] = replace(found, state="ended")
        if role == "result":
            self._decide(report)
        return True

    def _role(self, report: Report, found: Try, *, is_answered: bool) -> str:
        plan = self.plans[report.key[0]]
        if is_answered or found.worker not in (report.worker, "unknown", ""):
            return "conflict"
        is_open = plan.state in PENDING
        if report.status == "completed":
            return "result" if is_open else "replicate"
        return "result" if is_open and plan.attempt == report.key[1] else "superseded"

    def _record(self, report: Report, role: str) -> None:
        value = report.value if report.status == "completed" else None
        self.outcomes.append((*report.key, report.worker, report.status, role, value))
        self.digests.append((report.key, report.worker, report.digest, role))
        self.seen[role] += 1

    def _decide(self, report: Report) -> None:
        name, plan = report.key[0], self.plans[report.key[0]]
        again = False
        if report.status == "released":
            self.starts -= 1
            again = not plan.cancelling
        elif report.status == "failed" and report.retryable and plan.attempt < MAX_ATTEMPTS:
            again = not plan.cancelling and self.starts_left() > 0
        if again:
            self._offer_again(name)
            return
        self._become(name, "cancelled" if report.status == "released" else report.status)
        newest = self.tries[name, plan.attempt]
        if plan.attempt != report.key[1]:
            self.seen["ended by an older attempt"] += 1
            if newest.state == "queued" and not newest.is_listed:
                newest.state = "ended"

    def _spoil(self, report: Report) -> None:
        found = self.tries.get(report.key)
        if found and found.state in ("running", "interrupted") and found.worker == report.worker:
            self.seen["bad result"] += 1
            self._ingest(replace(report, status="failed", flaw="", retryable=False, digest=f"rejected {report.name}"))

    # -- leases ------------------------------------------------------------

    def _scan(self, now: float) -> None:
        life, running = self.life, [k for k, t in sorted(self.tries.items()) if t.state == "running"]
        step = 0.0 if life.last_scan is None else min(now - life.last_scan, MAX_STEP_S)
        fresh = {w for w, beat in self.beats.items() if w not in life.beats or beat[:2] != life.beats[w][:2]}
        back = [k for k, t in sorted(self.tries.items()) if self._is_back(k, t, fresh & set(life.beats))]
        life.last_scan, life.beats = now, dict(self.beats)
        over = [key for key in running if self._is_silent(key, fresh, step)]
        life.silence = {k: s for k, s in life.silence.items() if self.tries[k].state in ("running", "interrupted")}
        for key in over:
            self._interrupt(key)
        for key in back:
            if self.plans[key[0]].state == "interrupted" and self.plans[key[0]].attempt == key[1]:
                self.tries[key].state = "running"
                self._become(key[0], "running")
                self.seen["revived"] += 1

    def _is_back(self, key: tuple, found: Try, beating: set) -> bool:
        if found.state != "interrupted" or found.worker not in beating or not found.instance:
            return False
        instance, _, state, holds = self.beats[found.worker]
        return instance == found.instance and holds == key and state != "gone"

    def _is_silent(self, key: tuple, fresh: set, step: float) -> bool:
        found = self.tries[key]
        beat = self.beats.get(found.worker)
        if beat and ((found.instance and beat[0] != found.instance) or beat[2] == "gone"):
            return True
        if beat and found.worker in fresh and beat[3] == key:
            self.life.silence[key] = 0.0
            return False
        self.life.silence[key] = self.life.silence.get(key, 0.0) + step
        return self.life.silence[key] >= (self.timeout_s if beat is None else self.lease_s)

    def _interrupt(self, key: tuple) -> None:
        found, (name, attempt) = self.tries[key], key
        plan = self.plans[name]
        found.state = "interrupted"
        if plan.attempt != attempt or plan.state != "running":
            return
        self._become(name, "interrupted")
        if plan.cancelling:
            self._become(name, "abandoned")
        elif found.idempotent and attempt < MAX_ATTEMPTS and self.starts_left() > 0:
            self._offer_again(name)
