"""With one safeguard taken away the power-cut check goes red; else its silence would mean nothing.

That it is silent about the whole product, in the same stories, is in `test_power_cut`.
"""

from __future__ import annotations

import logging
import shutil

import pytest

from tests.system.after_power_cut import Aftermath, broken_at_once
from tests.system.cut_world import SETTINGS
from tests.system.mutations import MUTATIONS

pytestmark = pytest.mark.fault(4)


def find_violation(states, folder, altered):
    """Return the first state that breaks a promise, with what it breaks: at once, else by what happens next."""
    for state in states:
        broken = list(broken_at_once(state))
        if broken:
            return state, broken
    for number, state in enumerate(reversed(states)):
        place = folder / str(number)
        place.mkdir(parents=True)
        with altered():
            broken = Aftermath(state, place, SETTINGS).violations("worker")
        shutil.rmtree(place)
        if broken:
            return state, broken
    return None, []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_product_with_one_safeguard_less_is_caught(mutation, tmp_path, figures, caplog):
    caplog.set_level(logging.CRITICAL)
    (tmp_path / "story").mkdir()

    film = mutation.story.film(tmp_path / "story", is_left_out=mutation.is_left_out, altered=mutation.altered)
    state, broken = find_violation(film.states, tmp_path / "after", mutation.altered)

    assert broken, f"nobody notices: {mutation.name}"
    print(f"{mutation.name}: {broken[0]}, if the power fails before {state.at}")
    figures(mutations=1)
