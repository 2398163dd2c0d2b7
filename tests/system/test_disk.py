"""The shim that watches the disk, and the model of what a disk may show: what the power-cut check stands on."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.system.cut_world import World
from tests.system.disk import UnnamedStepError, watching
from tests.system.disk_model import Disk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fsync of a folder")

# -- the shim ----------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda dump: (dump / "worker_result_w-1_e0001.1.json").write_text("{}"),
        lambda dump: (dump / "claims" / "e0001.1.json").symlink_to(dump),
        lambda dump: os.close(os.open(dump / "notes.txt", os.O_WRONLY | os.O_CREAT)),
        lambda dump: (dump.parent / "elsewhere").mkdir(),
        lambda dump: os.truncate(dump / "claims", 0),
    ],
)
def test_a_step_without_a_name_is_refused(tmp_path, act):
    (tmp_path / "dump" / "claims").mkdir(parents=True)

    with pytest.raises(UnnamedStepError), watching(tmp_path):
        act(tmp_path / "dump")

    assert [path for path in tmp_path.rglob("*") if path.name not in ("dump", "claims")] == []


def test_a_step_without_a_name_is_told_even_if_somebody_caught_it(tmp_path):
    with (
        pytest.raises(UnnamedStepError, match="neither part of the exchange"),
        watching(tmp_path),
        contextlib.suppress(AssertionError),
    ):
        (tmp_path / "elsewhere").mkdir()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_at_a_step_does_not_tidy_up(tmp_path, when):
    world = World(tmp_path)
    world.open()
    worker = world.worker()

    def kill(step):
        if step.name == "claim.linked":
            raise Killed

    with pytest.raises(Killed), watching(tmp_path, **{when: kill}) as steps:
        worker.claim()

    world.lab.close()
    assert len(list((tmp_path / ".staging").iterdir())) == 1
    assert (tmp_path / "dump" / "claims" / "e0001.1.json").exists() == (when == "after")
    assert steps[-1].name == ("claim.linked" if when == "after" else "claim.fsynced")


def test_killed_before_the_commit_the_ledger_has_nothing_and_after_it_everything(tmp_path):
    world = World(tmp_path)
    ledger = world.open().ledger

    def kill(step):
        raise Killed

    def commit(**when):
        with pytest.raises(Killed), watching(tmp_path, **when), ledger.change() as change:
            change.set_meta(seed="1")
        return ledger.meta("seed")

    assert commit(before=kill) is None
    assert commit(after=kill) == "1"
    world.lab.close()


# -- the model of the disk ---------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in (".staging", "pickup", "dump", "dump/claims", "dump/workers", "dump/rejected"):
        (tmp_path / name).mkdir()
    return tmp_path


def shown_after(folder, act, path) -> set[bytes | None]:
    """Return what a file may hold after a power cut; None: it may be absent."""
    disk = Disk(folder)
    with watching(folder, after=disk.take):
        act()
    trees = [{entry.path: entry.content for entry in entries} for entries, _ in disk.states()]
    return {tree.get(path) for tree in trees}


def write(path, data, *, fsync):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, data)
    if fsync:
        os.fsync(descriptor)
    os.close(descriptor)


def sync(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


CLAIM = b'{"instance": "a"}'


@pytest.mark.parametrize(
    ("file_fsynced", "folder_fsynced", "shown"),
    [
        (True, True, {CLAIM}),
        (True, False, {CLAIM, None}),
        (False, True, {CLAIM, b"", CLAIM[:8], bytes(17)}),
        (False, False, {CLAIM, b"", CLAIM[:8], bytes(17), None}),
    ],
)
def test_a_file_is_sure_only_when_it_and_its_name_are_fsynced(folder, file_fsynced, folder_fsynced, shown):
    def act():
        write(folder / ".staging" / "w.1", CLAIM, fsync=file_fsynced)
        os.link(folder / ".staging" / "w.1", folder / "dump" / "claims" / "e1.1.json")
        if folder_fsynced:
            sync(folder / "dump" / "claims")

    assert shown_after(folder, act, "dump/claims/e1.1.json") == shown


@pytest.mark.parametrize(
    ("fsynced", "shown"), [(True, {b'{"experiments": 2}'}), (False, {b"old", b'{"experiments": 2}'})]
)
def test_a_rename_shows_the_old_file_or_the_next_one_but_never_none(folder, fsynced, shown):
    (folder / "pickup" / "priority_queue.json").write_bytes(b"old")

    def act():
        write(folder / ".staging" / "planner.1", b'{"experiments": 2}', fsync=True)
        os.replace(  # noqa: PTH105 - the calls of the product
            folder / ".staging" / "planner.1", folder / "pickup" / "priority_queue.json"
        )
        if fsynced:
            sync(folder / "pickup")

    assert shown_after(folder, act, "pickup/priority_queue.json") == shown


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_is_renamed_into_another_folder_is_under_one_name_or_a_file_under_both(folder, make):
    name = "worker_result_w-1_e1.1.json"
    make(folder / "dump" / name)
    disk = Disk(folder)

    with watching(folder, after=disk.take):
        (folder / "dump" / name).rename(folder / "dump" / "rejected" / name)
    shown = {tuple(entry.path for entry in entries if entry.path.endswith(name)) for entries, _ in disk.states()}

    both = {(f"dump/rejected/{name}", f"dump/{name}")} if make is Path.touch else set()
    assert shown == {(f"dump/{name}",), (f"dump/rejected/{name}",)} | both


def test_what_a_failed_fsync_was_to_keep_is_not_kept_by_the_next_one(folder):
    def act():
        write(folder / ".staging" / "w.1", CLAIM, fsync=True)
        os.link(folder / ".staging" / "w.1", folder / "dump" / "claims" / "e1.1.json")
        with contextlib.suppress(OSError):
            sync(folder / "dump" / "claims")
        sync(folder / "dump" / "claims")

    disk = Disk(folder)
    refused = []

    def refuse_once(step):
        if step.name == "claims.fsynced" and not refused:
            refused.append(step)
            disk.refuse(step)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with watching(folder, refuse_once, disk.take):
        act()

    kept = {any(entry.path == "dump/claims/e1.1.json" for entry in entries) for entries, _ in disk.states()}
    assert kept == {True, False}


def test_of_two_names_either_may_outlive_the_other(folder):
    def act():
        for name in ("e1.1.json", "e2.1.json"):
            write(folder / "dump" / "claims" / name, CLAIM, fsync=True)

    disk = Disk(folder)
    with watching(folder, after=disk.take):
        act()
    shown = {frozenset(entry.path[-9:] for entry in entries if entry.content) for entries, _ in disk.states()}

    assert shown == {
        frozenset(),
        frozenset({"e1.1.json"}),
        frozenset({"e2.1.json"}),
        frozenset({"e1.1.json", "e2.1.json"}),
    }


def test_what_lies_in_a_folder_is_gone_where_the_name_of_the_folder_is(folder):
    shutil.rmtree(folder / "dump")

    def act():
        os.mkdir(folder / "dump")  # noqa: PTH102 - the calls of the product
        os.mkdir(folder / "dump" / "claims")  # noqa: PTH102 - same
        write(folder / "dump" / "claims" / "e1.1.json", CLAIM, fsync=True)
        sync(folder / "dump" / "claims")
        sync(folder / "dump")

    assert shown_after(folder, act, "dump/claims/e1.1.json") == {CLAIM, None}
