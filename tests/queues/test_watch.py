from __future__ import annotations

import logging
import os
import threading
import time

import pytest

from alchemy_async.queues import watch
from alchemy_async.queues.watch import FolderWatch

QUIET_S = 0.3


class Calls:
    def __init__(self) -> None:
        self._called = threading.Event()

    def __call__(self) -> None:
        self._called.set()

    def came(self, within_s: float = 10) -> bool:
        return self._called.wait(within_s)

    def forget(self) -> None:
        self._called.clear()


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def watched(tmp_path, calls):
    """A folder whose watch stands and has proved itself."""
    folder = tmp_path / "watched"
    folder.mkdir()
    observer = FolderWatch([folder], calls)
    assert calls.came()
    wait_until(lambda: observer._is_answered.is_set() and not list(folder.iterdir()))
    calls.forget()
    yield folder
    observer.close()


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def link_from_elsewhere(folder):
    (folder.parent / "staged").write_text("whole")
    os.link(folder.parent / "staged", folder / "file")


def rename_from_elsewhere(folder):
    (folder.parent / "staged").write_text("whole")
    (folder.parent / "staged").rename(folder / "file")


def write_in_place(folder):
    (folder / "file").write_text("whole")


@pytest.mark.parametrize("put", [link_from_elsewhere, rename_from_elsewhere, write_in_place])
def test_whatever_way_a_file_comes_the_call_comes_at_once(watched, calls, put):
    started = time.monotonic()
    put(watched)

    assert calls.came()
    assert time.monotonic() - started < watch.POLL_S


def test_reading_and_removing_a_file_calls_nobody(watched, calls):
    write_in_place(watched)
    assert calls.came()
    time.sleep(QUIET_S)
    calls.forget()

    (watched / "file").read_text()
    (watched / "file").unlink()

    assert not calls.came(QUIET_S)


def test_hidden_files_and_those_in_folders_below_call_nobody(watched, calls):
    (watched / "below").mkdir()
    (watched / "below" / "file").touch()
    (watched / ".hidden").touch()

    assert not calls.came(QUIET_S)


def test_after_close_nothing_is_called(tmp_path, calls):
    observer = FolderWatch([tmp_path], calls)
    assert calls.came()
    observer.close()
    calls.forget()

    write_in_place(tmp_path)

    assert not calls.came(QUIET_S)
    assert not observer._thread.is_alive()


def test_a_folder_that_is_removed_and_made_again_is_watched_again(watched, calls, monkeypatch):
    watched.rmdir()
    watched.mkdir()
    assert calls.came(), "the scan that finds what came meanwhile"
    time.sleep(QUIET_S)
    calls.forget()

    write_in_place(watched)

    assert calls.came(watch.POLL_S)


def test_a_watch_that_rests_calls_nobody_and_says_so_until_it_listens_again(tmp_path, calls):
    observer = FolderWatch([tmp_path], calls)
    assert calls.came()
    wait_until(lambda: observer._is_answered.is_set() and not list(tmp_path.iterdir()))

    observer.rest()
    wait_until(lambda: observer.is_deaf)
    calls.forget()
    write_in_place(tmp_path)
    assert not calls.came(QUIET_S)

    observer.listen()
    assert calls.came(), "the scan that finds what came meanwhile"
    assert not observer.is_deaf
    calls.forget()
    (tmp_path / "file").unlink()
    write_in_place(tmp_path)
    assert calls.came(watch.POLL_S)
    observer.close()


def test_a_watch_that_rests_closes_at_once(tmp_path, calls):
    observer = FolderWatch([tmp_path], calls)
    assert calls.came()
    observer.rest()
    wait_until(lambda: observer.is_deaf)

    observer.close()

    assert not observer._thread.is_alive()


def polls(calls) -> bool:
    for _ in range(3):
        calls.forget()
        if not calls.came(3 * watch.POLL_S):
            return False
    return True


@pytest.mark.fault(12)
def test_where_inotify_is_at_its_limits_it_polls_and_says_how_to_mend_it(tmp_path, calls, monkeypatch, caplog):
    def refuse(folders, on_event):
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watch, "_start_observer", refuse)

    observer = FolderWatch([tmp_path], calls)

    assert polls(calls)
    assert "raise fs.inotify.max_user_instances" in caplog.text
    observer.close()


@pytest.mark.fault(12)
def test_where_the_trial_brings_no_event_it_polls_with_a_warning(tmp_path, calls, monkeypatch, caplog):
    start = watch._start_observer
    monkeypatch.setattr(watch, "PROBE_S", 0.05)
    monkeypatch.setattr(watch, "_start_observer", lambda folders, on_event: start(folders, lambda event: None))

    with caplog.at_level(logging.WARNING):
        observer = FolderWatch([tmp_path], calls)
        assert polls(calls)

    observer.close()
    assert caplog.text.count("No events from") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.fault(12)
def test_a_network_share_is_polled_because_others_changes_bring_no_events(tmp_path, calls, monkeypatch, caplog):
    monkeypatch.setattr(watch, "_share", lambda folder: "nfs4")

    observer = FolderWatch([tmp_path], calls)

    assert polls(calls)
    assert "nfs4 tells nothing of what other machines do" in caplog.text
    observer.close()


def test_a_local_folder_is_no_share(tmp_path):
    assert watch._share(tmp_path) is None


def test_the_start_does_not_wait_for_the_trial(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(FolderWatch, "_await_probe", lambda self: time.sleep(0.5) or "")

    started = time.monotonic()
    observer = FolderWatch([tmp_path], calls)

    assert time.monotonic() - started < 0.4
    observer.close()
