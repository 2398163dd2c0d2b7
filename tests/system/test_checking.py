"""The checker of the kills is believed because it speaks up where a promise is broken."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from unittest import mock

import pytest

from alchemy_async.ledger import Change
from tests.system import mutations
from tests.system.step_kills import KillPoint, StepCampaign

pytestmark = [pytest.mark.fault(1), pytest.mark.fault(2)]


@contextlib.contextmanager
def every_driver_taken_for_idempotent():
    real = Change._attempt

    def attempt(self, key):
        return dataclasses.replace(real(self, key), idempotent=True)

    with mock.patch.object(Change, "_attempt", attempt):
        yield


def played(folder, altered, *kills):
    """Return what is found after each of these kills, each in a campaign of its own, with the product altered."""
    found = []
    for number, kill in enumerate(kills):
        place = folder / f"{number}"
        place.mkdir()
        with altered():
            found += StepCampaign(place, kill).run().violations
    return " | ".join(found)


def committing(*occurrences):
    return [KillPoint("planner", "ledger.committed", "before", occurrence) for occurrence in occurrences]


@pytest.mark.parametrize(
    ("altered", "kills", "said"),
    [
        (mutations.result_unlinked_before_the_commit, committing(*range(9, 13)), "was published and is "),
        (
            mutations.every_delivery_counted,
            [KillPoint("planner", "result.unlinked", "before")],
            "of w-1 was recorded twice",
        ),
        (
            every_driver_taken_for_idempotent,
            [KillPoint("worker", "result.written", "before")],
            "was started 2 times, and nobody allowed more than 1",
        ),
    ],
    ids=["unlinked first", "no dedupe", "silent re-run"],
)
def test_a_campaign_with_a_safeguard_less_is_found_out(quick_disk, altered, kills, said, figures):
    (quick_disk / "whole").mkdir()
    (quick_disk / "altered").mkdir()

    assert played(quick_disk / "whole", contextlib.nullcontext, *kills) == ""
    assert said in played(quick_disk / "altered", altered, *kills)
    figures(safeguards_taken_away_under_kills=1, noticed=1)


def started_again(folder):
    with (folder / "tally.txt").open("r+") as tally:
        first = tally.readline()
        tally.seek(0, 2)
        tally.write(first)


def started_once_more(folder):
    first = (folder / "tally.txt").read_text().splitlines()[0].split()
    experiment = first[1].partition(".")[0]
    with (folder / "tally.txt").open("a") as tally:
        tally.write(f"started {experiment}.9 {first[2]}\n")


def left(folder):
    (folder / "dump" / "worker_result_w-1_e9998.1.json").write_text("{}")


def altered_ledger(*commands):
    def alter(folder):
        with contextlib.closing(sqlite3.connect(folder / "campaign.db")) as ledger, ledger:
            triggers = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                ledger.execute(f"DROP TRIGGER {name}")
            for command in commands:
                ledger.execute(command)

    return alter


FIRST = "(SELECT min(id) FROM outcomes)"
SPOILT = {
    "an attempt started twice": (started_again, "was started twice"),
    "an experiment started anew": (started_once_more, "and nobody allowed more than 1"),
    "a result that nobody took": (left, "was left in dump/"),
    "an outcome gone": (altered_ledger(f"DELETE FROM outcomes WHERE id = {FIRST}"), "and is not in the ledger"),
    "a value changed": (
        altered_ledger(f"""UPDATE outcomes SET measured = '{{"y": 7.5}}' WHERE id = {FIRST}"""),
        "has a value that no driver measured",
    ),
    "an experiment gone": (altered_ledger("DELETE FROM experiments WHERE state = 'cancelled'"), "has vanished"),
    "an end undone": (
        altered_ledger("UPDATE experiments SET state = 'queued' WHERE state = 'completed'"),
        "has no terminal record: queued",
    ),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_a_folder_that_was_spoilt_after_its_end_is_found_out(quick_disk, spoil, said):
    campaign = StepCampaign(quick_disk).run()
    assert campaign.violations == []

    spoil(campaign.folder)
    campaign.checker.close()

    assert said in " | ".join(campaign.violations)
