"""The ledger's own files after a power cut: SQLite's log may be torn anywhere behind what was committed."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alchemy_async.ledger import Ledger
from tests.system.cut_stories import an_experiment_is_claimed_run_reported_and_ingested
from tests.system.cut_world import World
from tests.system.disk import watching

pytestmark = pytest.mark.fault(4)

SECTOR = 512  # the least that a disk writes at once


@dataclass(frozen=True)
class Image:
    """The ledger's files at one instant, and all that it held."""

    database: bytes
    log: bytes
    rows: tuple[str, ...]


def take_image(folder: Path) -> Image:
    with contextlib.closing(sqlite3.connect(folder / "campaign.db")) as db:
        rows = tuple(db.iterdump())
    log = folder / "campaign.db-wal"
    return Image((folder / "campaign.db").read_bytes(), log.read_bytes() if log.exists() else b"", rows)


@pytest.fixture
def images(tmp_path) -> list[Image]:
    """Images of a real ledger after each commit of one experiment's life, with checkpoints in between."""
    (tmp_path / "real").mkdir()
    world = World(tmp_path / "real")
    world.open()
    taken = [take_image(world.folder)]

    def after(step):
        if step.op == "commit":
            taken.append(take_image(world.folder))
            if len(taken) % 3 == 0:
                with contextlib.closing(sqlite3.connect(world.folder / "campaign.db")) as db:
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                taken.append(take_image(world.folder))

    with watching(world.folder, after=after):
        an_experiment_is_claimed_run_reported_and_ingested(world)
    world.lab.close()
    return taken


def cut_short(before: bytes, after: bytes) -> Iterator[bytes]:
    """Yield the later file cut at many offsets: of what was overwritten the old bytes are still there.

    What was on the disk before stays: SQLite, too, counts on a disk that leaves the neighbours of a byte alone.
    """
    begin = next((n for n in range(len(after)) if after[n : n + 1] != before[n : n + 1]), None)
    if begin is None:
        return
    frame = 24  # the header of a page in the log
    for offset in {*range(begin, len(after), 2039), begin + 1, begin + frame, begin + frame + 1, len(after) - 1}:
        yield after[:offset] + before[offset:]
        yield after[:offset]
        yield after[:offset] + bytes(len(after) - offset)


def shuffled(before: bytes, after: bytes, rng: random.Random, times: int) -> Iterator[bytes]:
    """Yield files of which some sectors were written and some not, in no order."""
    size = max(len(before), len(after))
    for _ in range(times):
        choice = [after if rng.random() < 0.5 else before.ljust(size, b"\0") for _ in range(0, size, SECTOR)]
        yield b"".join(source[n * SECTOR : (n + 1) * SECTOR] for n, source in enumerate(choice))


def opens_as(database: bytes, log: bytes, folder: Path) -> tuple[str, ...]:
    """Open the product on these files; return what the ledger holds."""
    for path in folder.iterdir():
        path.unlink()
    (folder / "campaign.db").write_bytes(database)
    (folder / "campaign.db-wal").write_bytes(log)
    with Ledger.open(folder / "campaign.db") as ledger:
        assert ledger.tally()
        assert ledger.campaign
    with contextlib.closing(sqlite3.connect(folder / "campaign.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return tuple(db.iterdump())


def test_a_log_that_is_torn_behind_a_commit_holds_that_commit_and_at_most_the_next(images, tmp_path, figures):
    place, n_torn = tmp_path / "torn", 0
    place.mkdir()
    rng = random.Random(4)

    for before, after in itertools.pairwise(images):
        if before.database != after.database:
            continue  # a checkpoint: see below
        logs = {*cut_short(before.log, after.log), *shuffled(before.log, after.log, rng, 10)}
        for log in sorted(logs):
            assert opens_as(after.database, log, place) in (before.rows, after.rows)
            n_torn += 1

    assert n_torn > 200
    figures(torn_logs=n_torn)


def test_a_checkpoint_that_was_cut_off_loses_nothing(images, tmp_path, figures):
    place, n_torn = tmp_path / "torn", 0
    place.mkdir()
    rng = random.Random(4)

    for before, after in itertools.pairwise(images):
        if before.database == after.database:
            continue
        for database in shuffled(before.database, after.database, rng, 30):
            assert opens_as(database, before.log, place) == before.rows
            n_torn += 1

    assert n_torn >= 60
    figures(torn_checkpoints=n_torn)


def test_a_log_that_is_torn_before_a_commit_loses_that_commit(images, tmp_path):
    """Else the two tests above would show nothing."""
    place = tmp_path / "torn"
    place.mkdir()
    before, after = next((a, b) for a, b in itertools.pairwise(images) if a.database == b.database and a.rows != b.rows)

    shown = opens_as(after.database, after.log[: len(before.log) - SECTOR], place)

    assert shown not in (before.rows, after.rows)
