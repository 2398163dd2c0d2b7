"""Planner and worker die before and after every step that they make on the disk; the campaign goes on from there."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.system.step_fire import ONCE, StepFire
from tests.system.step_kills import KillPoint, StepCampaign

REAL_ALONE = ("probe.created", "probe.unlinked", "spent.unstaged")  # a simulation need not wait, nor tidy meanwhile
STEPS = {
    "planner": (
        *(*ONCE, "dump.made", "ledger.committed"),
        *("staging.created", "queue.written", "queue.fsynced", "queue.renamed", "pickup.fsynced"),
        *("claim.written", "claim.fsynced", "claim.linked", "claim.renamed", "claim.unstaged", "claims.fsynced"),
        *("spent.linked", "result.unlinked", "rejected.linked", "rejected.folder_fsynced"),
        *("reason.written", "reason.fsynced", "reason.linked", "reason.unstaged"),
    ),
    "worker": (
        *("folder.fsynced", "staging.created", "beat.written", "beat.renamed"),
        *("claim.written", "claim.fsynced", "claim.linked", "claim.unstaged", "claims.fsynced"),
        *("result.written", "result.fsynced", "result.linked", "result.unstaged", "dump.fsynced"),
    ),
}
TIDYING = {  # steps that only one makes who follows a dead one, and where that one must have died
    ("planner", "staging.unstaged"): "queue.written",
    ("planner", "rejected.unlinked"): "rejected.linked",
    ("worker", "staging.unstaged"): "claim.written",
}
CASES = [pytest.param(actor, name, id=f"{actor}-{name}") for actor, names in STEPS.items() for name in names]
ROWS = {"planner": pytest.mark.fault(1), "worker": pytest.mark.fault(2)}
NAMED = [pytest.param(*case.values, marks=ROWS[case.values[0]], id=case.id) for case in CASES]


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    return StepCampaign(tmp_path_factory.mktemp("unharmed")).run()


def test_every_step_of_a_campaign_is_one_at_which_somebody_dies_here(unharmed):
    assert unharmed.violations == []

    assert {actor: set(counts) for actor, counts in unharmed.counts.items()} == {
        actor: set(names) for actor, names in STEPS.items()
    }


@pytest.mark.parametrize(("actor", "name"), NAMED)
def test_whoever_dies_at_a_step_is_followed_by_one_that_goes_on(quick_disk, unharmed, actor, name, figures):
    n = unharmed.counts[actor][name]

    n_kills = kill_at(quick_disk, unharmed, actor, name, sorted({1, n}))
    n_kills += kill_at(quick_disk, unharmed, actor, name, [(n + 1) // 2], away=2)

    figures(kills_at_steps=n_kills, steps=1)


def known(campaign):
    """Return whether somebody dies in this file at every step that was met; folders are made by whoever comes first."""
    expected = {actor: {*STEPS[actor], *tidied(actor), *ONCE, "dump.made"} for actor in STEPS}
    return all(set(counts) <= expected[actor] for actor, counts in campaign.counts.items())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("actor", "name", "first"),
    [pytest.param(*pair, first, marks=ROWS[pair[0]], id="-".join(pair)) for pair, first in TIDYING.items()],
)
def test_whoever_dies_tidying_up_after_a_death_is_followed_by_one_that_goes_on(
    quick_disk, unharmed, actor, name, first, when, figures
):
    campaign = StepCampaign(quick_disk, KillPoint(actor, first, "after"), KillPoint(actor, name, when)).run()

    assert campaign.violations == []
    if actor == "planner":
        assert campaign.xs == unharmed.xs
    figures(kills_at_steps=2, steps=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("actor", [pytest.param(actor, marks=mark) for actor, mark in ROWS.items()])
def test_whoever_dies_at_any_time_of_any_step_is_followed_by_one_that_goes_on(quick_disk, unharmed, actor, figures):
    n_kills = 0
    for name, n in unharmed.counts[actor].items():
        for away in (0, 1, 3):
            n_kills += kill_at(quick_disk, unharmed, actor, name, range(1, n + 1), away=away)

    figures(kills_at_steps=n_kills)


def kill_at(folder, unharmed, actor, name, occurrences, *, away=0):
    """Kill before and after a step in a campaign of its own each time; return how often.

    A planner that starts again at once must plan the same campaign. Where the other goes on alone, or where a
    worker died (its experiment is run again, later), the planner learns in another order.
    """
    n_kills = 0
    for occurrence in occurrences:
        for when in ("before", "after"):
            place = folder / f"{name}-{when}-{occurrence}"
            place.mkdir()

            kill = KillPoint(actor, name, when, occurrence)

            campaign = StepCampaign(place, kill, away=away).run()

            assert campaign.violations == [], kill
            assert known(campaign), kill
            if actor == "planner" and not away:
                assert campaign.xs == unharmed.xs, kill
            shutil.rmtree(place)
            n_kills += 1
    return n_kills


def chunks():
    """Return cases for real processes, each for one campaign; what a folder sees once can be killed at once only."""
    made = [("planner", name, when) for name in ONCE for when in ("before", "after") if name.endswith(".made")]
    once = [[("planner", "folder.fsynced", "before"), *made]]
    once += [[("planner", name, when)] for name, when in (("folder.fsynced", "after"), ("dump.fsynced", "before"))]
    once += [[("planner", "dump.fsynced", "after")]]
    often = [name for name in STEPS["planner"] if name not in (*ONCE, "dump.made")]
    parts = [("planner", often[0::3]), ("planner", often[1::3]), ("planner", [*often[2::3], *REAL_ALONE])]
    parts += [("worker", STEPS["worker"])]
    tidying = [
        [(actor, first, "after"), (actor, name, "before"), (actor, first, "after"), (actor, name, "after")]
        for (actor, name), first in TIDYING.items()
        if actor == "planner"  # a dead worker is followed at once, before anybody can say where that one is to die
    ]
    once += [[point for points in tidying for point in points]]
    return once + [[(actor, name, when) for name in names for when in ("before", "after")] for actor, names in parts]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.skipif(sys.platform != "linux", reason="finds its own processes by /proc, and results by inotify")
@pytest.mark.parametrize("points", chunks(), ids=lambda points: f"{'-'.join(points[0])}-and-{len(points) - 1}-more")
def test_a_real_process_that_dies_at_a_step_is_followed_by_one_that_goes_on(tmp_path, points, fault_seed, figures):
    fire = StepFire(tmp_path / "campaign", points, seed=fault_seed)

    report = fire.run()

    print(report)
    assert report.violations == []
    first = {*ONCE, "dump.made", "folder.made"}  # of whoever comes first
    assert fire.met("planner") <= {*STEPS["planner"], *REAL_ALONE, *tidied("planner"), *first}
    assert fire.met("worker") <= {*STEPS["worker"], *tidied("worker"), *first}
    figures(kills_at_steps_of_real_processes=sum(report.kills.values()))


def tidied(actor):
    return {name for who, name in TIDYING if who == actor}
