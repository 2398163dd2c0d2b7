"""After a power cut at any instant, whatever the disk then shows, every promise that was made is kept."""

from __future__ import annotations

import logging
import shutil
import sys

import pytest

from tests.system.after_power_cut import Aftermath, broken_at_once
from tests.system.cut_stories import STORIES, both_daemons_come_back
from tests.system.cut_world import SETTINGS, Story
from tests.system.power_cut import Film

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fsync of a folder")

QUICK = {
    "a_campaign_begins",
    "an_experiment_is_claimed_run_reported_and_ingested",
    "a_person_cancels_what_is_queued",
    "a_spoiled_result_is_rejected",
}
quick = pytest.mark.parametrize("story", [story for story in STORIES if str(story) in QUICK], ids=str)
TWICE = {"an_experiment_is_claimed_run_reported_and_ingested", "a_spoiled_result_is_rejected", "a_campaign_is_drained"}
every = pytest.mark.parametrize("story", STORIES, ids=str)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)  # a daemon after a power cut has much to tell


def make_film(story, folder) -> Film:
    (folder / "story").mkdir()
    return story.film(folder / "story")


def one_after_the_other(number) -> tuple[str]:
    return ("worker", "planner")[number % 2 :][:1]


def go_on(story, states, folder, orders) -> dict[str, str]:
    """Start the product on each state; return what was broken, and before which step the power failed."""
    broken = {}
    for number, state in enumerate(states):
        for first in orders(number):
            place = folder / "after"
            place.mkdir()
            for promise in Aftermath(state, place, SETTINGS, may_tear=not story.has_links).violations(first):
                broken.setdefault(promise, f"the power failed before {state.at}; then came the {first}")
            shutil.rmtree(place)
    return broken


@pytest.mark.fault(4)
@every
def test_no_state_that_a_power_cut_leaves_breaks_a_promise_by_itself(story, tmp_path, figures):
    film = make_film(story, tmp_path)

    broken = {promise for state in film.states for promise in broken_at_once(state, may_tear=not story.has_links)}

    assert broken == set()
    figures(instants=len(film.names) + 1, states=len(film.states))


@pytest.mark.fault(4)
@quick
def test_every_promise_outlives_a_power_cut(story, tmp_path, figures):
    film = make_film(story, tmp_path)

    broken = go_on(story, film.states, tmp_path, one_after_the_other)

    assert broken == {}
    figures(starts_after_a_cut=len(film.states))


@pytest.mark.fault(4)
@pytest.mark.slow
@pytest.mark.timeout(3600)
@every
def test_every_promise_outlives_a_power_cut_whoever_starts_first(story, tmp_path, figures):
    film = make_film(story, tmp_path)

    broken = go_on(story, film.states, tmp_path, lambda number: ("worker", "planner"))

    assert broken == {}
    figures(starts_after_a_cut=2 * len(film.states))


@pytest.mark.fault(4)
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", [story for story in STORIES if str(story) in TWICE], ids=str)
def test_every_promise_outlives_a_second_power_cut_while_all_starts_again(story, tmp_path, figures):
    film, n_starts = make_film(story, tmp_path), 0

    for number, state in enumerate(film.states[:: len(film.states) // 6]):
        place = tmp_path / str(number)
        place.mkdir()
        again = Story(both_daemons_come_back, begin=lambda world, state=state: world.come_back_to(state))
        left = make_film(again, place).states[number % 4 :: 4]
        assert go_on(again, left, place, one_after_the_other) == {}
        n_starts += len(left)
        shutil.rmtree(place)

    figures(starts_after_a_second_cut=n_starts)


def test_every_step_of_the_exchange_has_its_name(tmp_path):
    names = set()
    for number, story in enumerate(story for story in STORIES if str(story) in QUICK):
        (tmp_path / str(number)).mkdir()
        names |= set(make_film(story, tmp_path / str(number)).names)

    assert names == {
        "staging.made", "pickup.made", "dump.made", "claims.made", "workers.made", "rejected.made",
        "folder.fsynced", "dump.fsynced", "claims.fsynced", "pickup.fsynced", "rejected.folder_fsynced",
        "staging.created",
        "queue.written", "queue.fsynced", "queue.renamed",
        "beat.written", "beat.renamed",
        "claim.written", "claim.fsynced", "claim.linked", "claim.renamed", "claim.unstaged",
        "result.written", "result.fsynced", "result.linked", "result.unstaged", "result.unlinked", "spent.linked",
        "reason.written", "reason.fsynced", "reason.linked", "reason.unstaged", "rejected.linked",
        "ledger.committed",
    }  # fmt: skip


def test_a_step_that_the_model_did_not_see_is_noticed(tmp_path):
    (tmp_path / "pickup").mkdir()
    film = Film(tmp_path)
    (tmp_path / "pickup" / "priority_queue.json").write_bytes(b"{}")

    with pytest.raises(ValueError, match="went by unseen"):
        film.end()
