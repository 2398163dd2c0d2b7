"""Everything that may happen to an exchange, in any order, against a model in memory.

The figures count how often each thing happened: orders of events that never led to a conflict would prove nothing
about conflicts.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from alchemy_async.experiment import AttemptKey, Claim, Result, WorkerState
from alchemy_async.files import dump_json
from tests.system.exchange import Exchange
from tests.system.queue_model import Taken

STATUSES = ["completed", "failed", "retryable", "infeasible", "released", "cancelled", "completed", "completed"]
picks = st.integers(0, 30)
wakes = st.sampled_from([True, True, False])
which = st.sampled_from(["w-1", "w-2"])
outcomes = st.sampled_from(STATUSES)
steps_after = st.sampled_from([1, 0, 2])  # of the planner
in_withdrawing = st.sampled_from(["", "withdraw"])
dooms = st.sampled_from(["", "settle", "settle", "publish", "collect", "withdraw", "", ""])


class AnyOrder(RuleBasedStateMachine):
    """Every rule is one thing that somebody does; most are followed by some steps of the planner."""

    place: Path
    happened: Counter[str]

    def __init__(self):
        super().__init__()
        self.at = Exchange(Path(tempfile.mkdtemp(dir=self.place)))
        self.model = self.at.model

    def teardown(self):
        self.at.close()
        AnyOrder.happened += self.model.seen
        AnyOrder.happened["examples"] += 1

    @invariant()
    def ledger_and_folders_say_what_the_model_says(self):
        self.at.check()

    # -- the planner and its people ----------------------------------------

    @rule(n=st.integers(1, 2), doom=dooms)
    def the_planner_steps_and_may_die_at_it(self, n, doom):
        self.at.steps(n, doom)

    @rule(n=st.integers(1, 6))
    def time_passes(self, n):
        self.at.steps(n, seconds=2.5)  # of which a scan counts 2 s

    @rule(doom=dooms, is_back=st.booleans())
    def the_planner_is_killed(self, doom, is_back):
        if self.at.daemon is not None:
            self.at.drop_planner()
        if is_back:
            self.at.start_planner(doom)

    @rule(x=st.integers(0, 1000), priority=st.integers(-2, 2), is_hot=st.booleans(), then=steps_after)
    def somebody_stages(self, x, priority, is_hot, then):
        point, requires, name = {"x": x / 1000}, ("hot",) * is_hot, f"e{len(self.model.plans) + 1:04d}"
        self.at.command(
            lambda change: change.add(point, origin="person", priority=priority, pinned=True, requires=requires),
            lambda: self.model.stage(name, point, priority, requires),
        )
        self.at.steps(then)

    @rule(
        verb=st.sampled_from(["cancel", "move", "requeue", "abandon"]),
        pick=picks,
        is_any=st.sampled_from([False, False, False, True]),
        priority=st.integers(-2, 2),
        then=steps_after,
        doom=in_withdrawing,
    )
    def somebody_steers(self, verb, pick, is_any, priority, then, doom):
        fit = {"cancel": ("queued", "running"), "move": ("queued",)}.get(verb, ("interrupted",))
        names = [name for name, plan in self.model.plans.items() if plan.state in fit]
        names = list(self.model.plans) if is_any or not names else names
        self.tell(verb, names[pick % len(names)], *([priority] if verb == "move" else []))
        self.at.steps(then, doom)

    def tell(self, verb, name, *more):
        word = {"cancel": "request_cancel"}.get(verb, verb)
        self.at.command(
            lambda change: getattr(change, word)(name, *more), lambda: getattr(self.model, verb)(name, *more)
        )

    @rule(wanted=st.sampled_from(["running", "paused", "draining", "running"]), then=steps_after, doom=in_withdrawing)
    def somebody_pauses_resumes_or_drains(self, wanted, then, doom):
        self.at.command(lambda change: change.set_meta(wanted=wanted), lambda: setattr(self.model, "wanted", wanted))
        self.at.steps(then, doom)

    # -- workers -----------------------------------------------------------

    def player(self, pick, *, busy=None):
        players = list(self.at.players.values())
        fit = [player for player in players if busy is None or (player.offer is not None) == busy]
        return fit[pick % len(fit)] if fit else None

    @rule(pick=picks, status=outcomes, beats=st.sampled_from([True, True, False]), then=steps_after, doom=dooms)
    def a_worker_goes_on(self, pick, status, beats, then, doom):
        self.go_on(self.player(pick), status, beats)
        self.at.steps(then, doom)

    @rule(status=outcomes, then=steps_after, doom=dooms)
    def all_workers_go_on(self, status, then, doom):
        for player in list(self.at.players.values()):
            self.go_on(player, status, beats=True)
        self.at.steps(then, doom)

    def go_on(self, player, status, beats):
        """Claim, or report what was claimed."""
        if player is None:
            return
        if player.offer is None:
            self.at.claim(player)
        elif self.at.publish(player, status):
            player.offer = None
        if beats:
            self.at.beat(player)

    @rule(
        pick=picks,
        n=st.sampled_from([3, 4, 2]),
        verb=st.sampled_from(["", "", "requeue", "abandon"]),
        another=st.booleans(),
        wakes=wakes,
    )
    def a_busy_worker_is_suspended(self, pick, n, verb, another, wakes):
        """Perhaps somebody decides meanwhile, or another worker takes the next attempt and is suspended, too."""
        player = self.player(pick, busy=True) or self.player(pick)
        if player is None:
            return
        self.hold(player)
        self.at.steps(n, seconds=2.5)
        if verb and player.offer:
            self.tell(verb, player.offer.key.experiment)
        for other in (each for each in self.at.players.values() if another and each is not player):
            self.at.steps(1)
            self.hold(other)
            self.at.steps(n, seconds=2.5)
        if wakes:
            self.at.beat(player)
        self.at.steps(1)

    def hold(self, player):
        """Claim what there is, unless the worker has something, and beat."""
        if player.offer is None:
            self.at.claim(player)
        self.at.beat(player)

    @precondition(lambda self: self.at.ghosts)
    @rule(pick=picks, status=outcomes, then=steps_after)
    def a_process_that_was_given_up_reports_late(self, pick, status, then):
        ghosts = self.at.ghosts
        if self.at.publish(ghosts[pick % len(ghosts)], status):
            del ghosts[pick % len(ghosts)]
        self.at.steps(then)

    @rule(name=which, how=st.sampled_from(["replaced", "killed", "gone"]), then=steps_after)
    def a_worker_ends_or_comes_back(self, name, how, then):
        player = self.at.players.pop(name, None)
        if player is not None and player.offer:
            self.at.ghosts.append(player)
        if player is None or how == "replaced":
            self.at.bring(name)
        elif how == "gone":
            self.at.beat(player, WorkerState.GONE)
        self.at.steps(then)

    @rule(name=which, then=steps_after)
    def a_worker_is_replaced_right_after_its_claim(self, name, then):
        player = self.at.players.get(name)
        if player is None:
            return
        self.hold(player)
        if player.offer:
            self.at.ghosts.append(player)
        self.at.bring(name)
        self.hold(self.at.players[name])
        self.at.steps(then)

    @rule(name=which, is_garbage=st.booleans(), then=steps_after)
    def a_heartbeat_is_lost(self, name, is_garbage, then):
        path = self.at.dump / "workers" / f"{name}.json"
        if is_garbage:
            path.write_text('{"format": 1, "worker": ')
        else:
            path.unlink(missing_ok=True)
        self.model.beats.pop(name, None)
        self.at.steps(then)

    # -- strangers ---------------------------------------------------------

    @rule(
        pick=picks,
        kind=st.sampled_from(["good", "no point", "garbage", "wrong point", "good", "good"]),
        then=steps_after,
    )
    def a_stranger_claims_from_any_list_that_ever_was(self, pick, kind, then):
        free = [each for each in self.at.offered.items() if each[0][0] not in self.model.claims]
        old = [each for each in free if self.model.plans[each[0][0][0]].point != each[1]]
        free = old or free
        if free:
            (key, _), point = free[-1 - pick % len(free)]
            said = {"good": point, "wrong point": {"z": 1}}.get(kind, {})
            claim = Claim(self.at.campaign, AttemptKey(*key), 1, said, "f-1", "")
            path = self.at.dump / "claims" / f"{key[0]}.{key[1]}.json"
            path.write_bytes(b"{" if kind == "garbage" else dump_json(claim.to_wire()))
            taken = Taken("f-1", point=point if kind == "good" else None, is_readable=kind != "garbage")
            self.at.note_claim(key, taken)
        self.at.steps(then)

    @rule(
        pick=picks,
        who=st.sampled_from(["f-1", "w-1", "w-2"]),
        status=outcomes,
        flaw=st.sampled_from(["", "garbage", "values", "unknown", "", ""]),
        then=steps_after,
    )
    def a_stranger_writes_a_result(self, pick, who, status, flaw, then):
        keys = sorted({key for key, _ in self.at.offered})
        key = ("e9999", 1) if flaw == "unknown" else keys[-1 - pick % len(keys)]
        report, outcome = self.at.report_of(who, key, status)
        if report.name not in self.model.results:
            document = Result(self.at.campaign, AttemptKey(*key), who, outcome).to_wire()
            document |= {"values": {"z": 1.0}} if flaw == "values" else {}
            (self.at.dump / report.name).write_bytes(b"{" if flaw == "garbage" else dump_json(document))
            self.at.note_result(replace(report, flaw=flaw if flaw in ("garbage", "values") else ""))
        self.at.steps(then)

    @precondition(lambda self: self.at.sent)
    @rule(pick=picks, then=steps_after)
    def a_result_comes_once_more(self, pick, then):
        content, report = list(self.at.sent.values())[-1 - pick % len(self.at.sent)][0]
        if report.name not in self.model.results:
            (self.at.dump / report.name).write_bytes(content)
            self.model.results[report.name] = report
        self.at.steps(then)


def play(tmp_path, *, n_examples, n_steps, fault_seed):
    """Play many orders of events; return how often each thing happened."""
    shm = Path("/dev/shm")  # no disk is on trial here, and its fsync would take most of the time
    AnyOrder.place = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else tmp_path))
    AnyOrder.happened = Counter()
    plan = settings(
        max_examples=n_examples,
        stateful_step_count=n_steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking thirty steps takes many minutes, and they can be read as they are
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(fault_seed)(AnyOrder), settings=plan)
    finally:
        shutil.rmtree(AnyOrder.place)
    return AnyOrder.happened


@pytest.mark.fault(7)
@pytest.mark.timeout(600)
def test_any_order_of_events_leaves_ledger_and_folders_as_the_model_says(tmp_path, figures):
    happened = play(tmp_path, n_examples=80, n_steps=30, fault_seed=0)

    figures(**happened)
    for what in (
        *("completed", "failed", "infeasible", "cancelled", "abandoned", "interrupted", "revived", "revised"),
        *("result", "replicate", "superseded", "duplicate", "conflict", "bad result", "withdrawn", "ended"),
        *("killed at collect", "killed at settle", "killed at withdraw", "killed at publish"),
        *("IllegalTransitionError", "BudgetError"),
    ):
        assert happened[what], f"{what} never happened"


@pytest.mark.slow
@pytest.mark.fault(7)
@pytest.mark.timeout(7200)
def test_many_orders_of_events_leave_ledger_and_folders_as_the_model_says(tmp_path, figures, fuzz_cases, fault_seed):
    happened = play(tmp_path, n_examples=max(fuzz_cases // 50, 100), n_steps=60, fault_seed=fault_seed)

    figures(**happened)
