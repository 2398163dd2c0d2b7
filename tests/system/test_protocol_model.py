"""The rules of the two folders keep their promises in every order of events, and none of them can be spared."""

from dataclasses import fields

import pytest

from tests.system.model_checker import explore, stuck_states
from tests.system.protocol_model import Protocol
from tests.system.protocol_state import Chances, Rules, Setting

pytestmark = [pytest.mark.fault(row) for row in (1, 2, 4, 11)]

SETTINGS = {
    "two places, one point too few for carelessness": Setting(budget=2, n_experiments=2, n_points=2),
    "a worker is killed and reported as failed": Setting(
        n_experiments=2, n_points=2, n_attempts=2, is_idempotent=True, has_clean_up=True, chances=Chances(kill_worker=1)
    ),
    "a worker and the planner are killed": Setting(
        n_experiments=2, n_points=2, n_attempts=2, has_clean_up=True, chances=Chances(kill_worker=1, kill_planner=1)
    ),
    "two workers are killed, and the planner twice": Setting(
        n_experiments=2, n_points=2, chances=Chances(kill_worker=2, kill_planner=2)
    ),
    "a power cut": Setting(n_experiments=2, n_points=2, n_attempts=2, is_idempotent=True, chances=Chances(power_cut=1)),
    "a silent worker and a killed one, failures and retries": Setting(
        n_attempts=2, is_idempotent=True, can_fail=True, chances=Chances(false_lease_end=1, kill_worker=1)
    ),
    "two silent workers and three attempts": Setting(
        n_attempts=3, is_idempotent=True, chances=Chances(false_lease_end=2)
    ),
    "cancel, stop and a killed planner": Setting(
        n_experiments=2, n_points=2, chances=Chances(cancel=1, stop=1, kill_planner=1)
    ),
    "cancel and stop while a silent worker's experiment is run again": Setting(
        n_attempts=2, is_idempotent=True, chances=Chances(false_lease_end=1, cancel=1, stop=1)
    ),
    "a person requeues and abandons": Setting(
        n_experiments=2, n_points=2, n_attempts=2, chances=Chances(false_lease_end=1, requeue=1, abandon=1)
    ),
    "a result nobody claimed for, and a power cut": Setting(
        n_experiments=2, n_points=2, chances=Chances(unclaimed_result=1, kill_planner=1, power_cut=1)
    ),
}

LARGE = {
    "a silent worker, failures, and a second experiment": Setting(
        n_experiments=2, n_points=2, n_attempts=2, is_idempotent=True, can_fail=True, chances=Chances(false_lease_end=1)
    ),
    "two places, three experiments and a killed planner": Setting(
        budget=2, n_experiments=3, n_points=3, chances=Chances(kill_planner=1)
    ),
    "a silent worker and a killed one, failures, and a second experiment": Setting(
        n_experiments=2,
        n_points=2,
        n_attempts=2,
        is_idempotent=True,
        can_fail=True,
        chances=Chances(false_lease_end=1, kill_worker=1),
    ),
}

WITHOUT = [
    ("claim_by_link", "an attempt was started twice", Setting()),
    ("start_after_fsync", "an attempt was started twice", Setting(chances=Chances(power_cut=1))),
    ("keep_claims", "an attempt was started twice", Setting()),
    ("withdraw_by_link", "a withdrawn attempt was started", Setting(chances=Chances(cancel=1))),
    ("withdraw_by_link", "claimed after `stopped`", Setting(chances=Chances(stop=1))),
    ("fsync_before_commit", "a claim that the ledger knows is gone", Setting(chances=Chances(power_cut=1))),
    ("revise_under_same_id", "more was measured than the budget allows", Setting(n_experiments=2, n_points=2)),
    ("revise_under_same_id", "one point runs under two ids", Setting(n_experiments=3, n_points=2)),
    ("one_point_one_id", "one point runs under two ids", Setting(budget=2, n_experiments=2, n_points=2)),
    ("drop_copies", "one point runs under two ids", Setting(budget=2, n_experiments=2, n_points=2)),
    (
        "commit_before_publish",
        "one point runs under two ids",
        Setting(budget=2, n_experiments=2, n_points=2, chances=Chances(kill_planner=1)),
    ),
    ("link_at_ingest", "claimed after its result was counted", Setting(chances=Chances(unclaimed_result=1))),
    ("commit_before_unlink", "a reported measurement was lost", Setting(chances=Chances(kill_planner=1))),
    ("ignore_duplicates", "a measurement was counted twice", Setting(chances=Chances(kill_planner=1))),
    ("result_by_link", "a reported measurement was lost", Setting(has_clean_up=True, chances=Chances(kill_worker=1))),
    (
        "look_before_lease_end",
        "run again although nothing went wrong",
        Setting(n_attempts=2, is_idempotent=True),
    ),
    (
        "withdraw_newer_attempt",
        "claimed after `stopped`",
        Setting(n_attempts=2, is_idempotent=True, chances=Chances(false_lease_end=1, stop=1)),
    ),
    (
        "newest_attempt_only",
        "more was measured than the budget allows",
        LARGE["a silent worker, failures, and a second experiment"],
    ),
]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_rules_together_break_no_promise(setting):
    findings = explore(Protocol(setting, Rules()))

    assert not findings.violation, str(findings)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", LARGE.values(), ids=LARGE)
def test_the_rules_together_break_no_promise_in_a_larger_campaign(setting):
    findings = explore(Protocol(setting, Rules()))

    assert not findings.violation, str(findings)


@pytest.mark.parametrize(("rule", "promise", "setting"), WITHOUT, ids=[f"{rule}: {what}" for rule, what, _ in WITHOUT])
def test_without_this_rule_this_promise_is_broken(rule, promise, setting):
    findings = explore(Protocol(setting, Rules(**{rule: False})), watched={promise})

    assert findings.violation == promise, f"without {rule}: {findings}"
    assert findings.trace


def test_every_rule_is_taken_away_once():
    assert {rule for rule, _, _ in WITHOUT} == {rule.name for rule in fields(Rules)}


@pytest.mark.parametrize(
    "name",
    [
        "two places, one point too few for carelessness",
        "a power cut",
        "a silent worker and a killed one, failures and retries",
        "cancel and stop while a silent worker's experiment is run again",
    ],
)
def test_a_campaign_can_end_from_wherever_luck_has_left_it(name):
    n_states, stuck = stuck_states(Protocol(SETTINGS[name], Rules()))

    assert not stuck, f"{len(stuck)} of {n_states} states lead to no end, for example {stuck[0]}"


def test_a_counterexample_is_a_shortest_one_and_says_each_step():
    findings = explore(Protocol(Setting(n_workers=1, chances=Chances(power_cut=1)), Rules(start_after_fsync=False)))

    assert str(findings).splitlines()[1:] == [
        "   1. planner begins to ask",
        "   2. planner commits point 0 as e1",
        "   3. planner publishes the queue",
        "   4. a worker reads the queue and chooses e1.1 at point 0",
        "   5. a worker claims e1.1 at point 0",
        "   6. a worker starts e1.1",
        "   7. !power cut; claims lost: e1.1",
        "   8. a worker reads the queue and chooses e1.1 at point 0",
        "   9. a worker claims e1.1 at point 0",
        "  10. a worker starts e1.1",
    ]
