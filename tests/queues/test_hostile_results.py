from __future__ import annotations

import json
import os
import resource
import socket
import stat
import tracemalloc
from pathlib import Path

import pytest
from folder_messages import KEY, a_result, put_result

from alchemy_async.files import MAX_BYTES
from alchemy_async.queues import publishing, results
from alchemy_async.testing.queue_contract import a_revision, an_offer

NAME = "worker_result_w1_e0001.1.json"


def collect_when_settled(planner, clock):
    planner.collect([KEY])
    clock.advance(0.5)
    return planner.collect([KEY])


def reject_all(planner, clock) -> list[str]:
    spoiled = collect_when_settled(planner, clock).spoiled
    for one in spoiled:
        planner.settle(one.name, one.reason)
    return [one.reason for one in spoiled]


WHOLE = json.dumps(a_result()).encode()

BAD_CONTENT = {
    "empty": (b"", "is empty"),
    "truncated": (WHOLE[:-20], "is not JSON"),
    "garbage": (bytes(range(256)), "is not UTF-8"),
    "two documents": (WHOLE + WHOLE, "is not JSON"),
    "a list": (b"[1, 2]", "is not a JSON object"),
    "deep lists": (b'{"format": 1, "metadata": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested"),
    "deep objects": (b'{"a":' * 50 + b"1" + b"}" * 50, "nested deeper than 32"),
    "a key twice": (WHOLE[:-1] + b', "status": "failed"}', "'status' twice"),
    "NaN": (WHOLE.replace(b"0.30000000000000004", b"NaN"), "NaN"),
    "infinity": (WHOLE.replace(b"0.30000000000000004", b"-Infinity"), "Infinity"),
    "a number beyond floats": (WHOLE.replace(b"0.30000000000000004", b"1e999"), "too large"),
    "an integer of a million digits": (WHOLE.replace(b"0.30000000000000004", b"9" * 1_000_000), "1000000 digits"),
    "a value that is a text": (json.dumps(a_result(values={"yield": "high"})).encode(), "must be a number"),
    "a value that is a flag": (json.dumps(a_result(values={"yield": True})).encode(), "must be a number"),
    "a negative error": (json.dumps(a_result(sems={"yield": -1.0})).encode(), "sems.yield"),
    "an unknown status": (json.dumps(a_result(status="done")).encode(), "must be one of completed"),
    "an unknown field": (json.dumps(a_result(yield_=1)).encode(), "not a field"),
    "no format": (b'{"campaign": "x"}', "format"),
    "a newer format": (json.dumps(a_result(format=2)).encode(), "Install a newer alchemy_async"),
    "another campaign": (json.dumps(a_result(campaign="other-00000000")).encode(), "belongs to 'contract-0a1b2c3d'"),
    "another worker inside": (json.dumps(a_result(worker="w2")).encode(), "must agree"),
    "another attempt inside": (json.dumps(a_result(attempt=2)).encode(), "must agree"),
    "a path as experiment": (json.dumps(a_result(experiment="../../x")).encode(), "letters, digits"),
    "half a character": (WHOLE.replace(b"ue-7", b"x").replace(b'"lot"', b'"\\ud800"'), "half a Unicode"),
    "half a character inside metadata": (json.dumps(a_result(metadata={"a": ["\ud800"]})).encode(), "half a Unicode"),
    "a local time": (json.dumps(a_result(finished_at="2026-11-22T10:00:00")).encode(), "must be a UTC time"),
}


@pytest.mark.fault(6)
@pytest.mark.parametrize("what", BAD_CONTENT)
def test_bad_content_is_rejected_with_a_reason_that_says_what_is_wrong(planner, clock, dump, what):
    content, why = BAD_CONTENT[what]
    (dump / NAME).write_bytes(content)

    (reason,) = reject_all(planner, clock)

    assert why in reason
    assert not (dump / NAME).exists()
    assert (dump / "rejected" / NAME).read_bytes() == content
    note = (dump / "rejected" / f"{NAME}.reason.txt").read_text()
    assert why in note
    assert "move it back to dump/" in note
    assert "2026-01-01T00:00:00.500000Z" in note


FOREIGN_NAMES = [
    "worker_result_w1_e0001.1.pkl",
    "worker_result_w1_e0001.1.json~",
    "worker_result_w1_e0001.1.json.tmp",
    "worker_result_w1_e0001.1.JSON",
    "worker_result_w1_e0001.json",
    "worker_result_w1_e0001.01.json",
    "worker_result_e0001.1.json",
    "worker_result_",
    "worker_result_w1_e0001.1\n.json",
    "worker_result_w1_...json",
    "worker_result_..",
    "worker_result_w1_e0001.1.json.reason.txt",
    "worker_result_" + "x" * 241,
    "worker_result_" + "ü" * 118 + ".json",
]


@pytest.mark.fault(6)
@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_a_name_that_no_result_may_have_is_rejected_even_with_good_content(planner, clock, dump, name):
    put_result(dump, name=name)

    reject_all(planner, clock)

    assert not list(dump.glob("worker_result_*"))
    kept = sorted((dump / "rejected").iterdir())
    assert len(kept) == 2
    assert repr(name) in max(kept, key=lambda path: len(os.fsencode(path))).read_text()


@pytest.mark.fault(6)
@pytest.mark.parametrize("worker", ["planner", "Unknown"])
def test_a_result_in_the_name_of_a_worker_that_can_not_be_one_claims_nothing(planner, clock, dump, worker):
    put_result(dump, a_result(worker), f"worker_result_{worker}_e0001.1.json")

    (reason,) = reject_all(planner, clock)

    assert "no worker may be called" in reason
    assert not planner.collect([KEY]).claims


@pytest.mark.fault(6)
def test_a_name_that_is_no_unicode_is_rejected(planner, clock, dump):
    name = os.fsdecode(b"worker_result_\xff\xfe.json")
    put_result(dump, name=name)

    reject_all(planner, clock)

    assert (dump / "rejected" / name).exists()


def test_only_a_name_that_is_a_results_says_whose_the_spoiled_one_is(planner, clock, dump):
    (dump / NAME).write_text("{")
    (dump / f"{NAME}.tmp").write_text("{")

    whose = {one.name: (one.worker, one.key) for one in collect_when_settled(planner, clock).spoiled}

    assert whose == {NAME: ("w1", KEY), f"{NAME}.tmp": ("", None)}


def make_symlink(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def make_dangling_symlink(path: Path, secret: Path) -> None:
    path.symlink_to(secret / "nowhere")


def make_fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path, secret: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def make_folder(path: Path, secret: Path) -> None:
    path.mkdir()
    (path / "inside.txt").write_text("kept")


@pytest.mark.fault(6)
@pytest.mark.parametrize("make", [make_symlink, make_dangling_symlink, make_fifo, make_socket, make_folder])
def test_what_is_no_regular_file_is_moved_as_it_is_and_never_opened_or_followed(
    planner, clock, dump, tmp_path_factory, make
):
    secret = tmp_path_factory.mktemp("outside") / "secret.json"
    secret.write_text(json.dumps(a_result()))
    make(dump / NAME, secret)
    kind = stat.S_IFMT(os.lstat(dump / NAME).st_mode)

    (reason,) = reject_all(planner, clock)

    assert "regular file" in reason
    assert not os.path.lexists(dump / NAME)
    assert stat.S_IFMT(os.lstat(dump / "rejected" / NAME).st_mode) == kind
    assert json.loads(secret.read_text()) == a_result()


def test_where_hard_links_are_refused_a_spoiled_file_is_renamed(planner, clock, dump, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    put_result(dump, {"format": 1})
    monkeypatch.setattr(os, "link", refuse)

    reject_all(planner, clock)

    assert not (dump / NAME).exists()
    assert (dump / "rejected" / NAME).exists()
    assert (dump / "rejected" / f"{NAME}.reason.txt").exists()


@pytest.mark.fault(6)
def test_a_sparse_file_of_a_gigabyte_is_rejected_without_being_read(planner, clock, dump):
    with (dump / NAME).open("wb") as file:
        file.truncate(1 << 30)
    peak_before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    (reason,) = reject_all(planner, clock)

    assert "larger than" in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before_kb < 20_000


@pytest.mark.fault(6)
def test_many_files_of_the_largest_size_are_read_a_few_at_a_time(planner, dump, monkeypatch):
    monkeypatch.setattr(results, "MAX_READ_BYTES", 2 * MAX_BYTES)
    for number in range(1, 9):
        padding = {"metadata": {"spectrum": "x" * (MAX_BYTES - 1000)}}
        put_result(dump, a_result(attempt=number) | padding, f"worker_result_w1_e0001.{number}.json")
    tracemalloc.start()

    collected = planner.collect([])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(collected.deliveries) == 3
    assert collected.again_in_s == 0
    assert peak < 14 * MAX_BYTES


@pytest.mark.fault(12)
def test_more_results_than_fit_one_look_are_all_brought_by_the_next_ones(planner, dump, monkeypatch):
    monkeypatch.setattr(results, "MAX_READ", 10)
    for number in range(1, 26):
        put_result(dump, a_result(attempt=number), f"worker_result_w1_e0001.{number}.json")

    sizes = []
    while (collected := planner.collect([])).deliveries:
        sizes.append((len(collected.deliveries), collected.n_waiting))
        for delivery in collected.deliveries:
            planner.settle(delivery.name)

    assert sizes == [(10, 15), (10, 5), (5, 0)]
    assert collected.again_in_s is None


def test_the_result_of_an_open_attempt_is_read_before_all_others(planner, dump, monkeypatch):
    monkeypatch.setattr(results, "MAX_READ", 1)
    for number in range(1, 20):
        put_result(dump, a_result(attempt=number), f"worker_result_w1_e0001.{number}.json")
    key = type(KEY)("e0001", 13)

    (delivery,) = planner.collect([key]).deliveries

    assert delivery.result.key == key


@pytest.mark.fault(6)
def test_spoiled_files_in_great_number_do_not_keep_good_ones_waiting(planner, clock, dump, monkeypatch):
    monkeypatch.setattr(results, "MAX_SPOILED", 5)
    for number in range(40):
        (dump / f"worker_result_junk{number}").touch()
    put_result(dump)

    collected = collect_when_settled(planner, clock)

    assert len(collected.deliveries) == 1
    assert len(collected.spoiled) == 5
    assert collected.again_in_s == 0


def test_a_slow_writer_in_place_is_waited_for(planner, clock, dump):
    path = dump / NAME
    for end in range(100, len(WHOLE), 100):
        path.write_bytes(WHOLE[:end])
        collected = planner.collect([KEY])
        assert collected.again_in_s == 0.5
        assert not collected.spoiled
        clock.advance(0.4)

    path.write_bytes(WHOLE)

    assert len(planner.collect([KEY]).deliveries) == 1


@pytest.mark.fault(6)
def test_a_broken_file_is_read_once_and_looked_at_again_when_half_a_second_is_over(planner, clock, dump):
    (dump / NAME).write_text("{")

    assert planner.collect([]).again_in_s == 0.5
    clock.advance(0.3)
    assert planner.collect([]).again_in_s == pytest.approx(0.2)
    clock.advance(0.2)
    collected = planner.collect([])
    assert (collected.again_in_s, len(collected.spoiled)) == (None, 1)
    assert planner.collect([]) == collected


def test_what_was_mended_between_judgement_and_rejection_stays(planner, clock, dump):
    (dump / NAME).write_text("{")
    (spoiled,) = collect_when_settled(planner, clock).spoiled

    put_result(dump)
    planner.settle(spoiled.name, spoiled.reason)

    assert len(planner.collect([KEY]).deliveries) == 1


def test_a_result_that_was_replaced_after_it_was_read_is_not_removed(planner, dump):
    put_result(dump)
    (first,) = planner.collect([KEY]).deliveries

    put_result(dump, a_result(values={"yield": 2.0}))
    planner.settle(first.name)

    (second,) = planner.collect([KEY]).deliveries
    assert second.digest != first.digest
    assert second.result.outcome.values == {"yield": 2.0}


def test_the_same_bad_name_again_and_again_overwrites_nothing(planner, clock, dump):
    for content in ("first", "second", "third"):
        (dump / NAME).write_text(content)
        reject_all(planner, clock)

    stem = NAME.removesuffix(".json")
    kept = [(dump / "rejected" / name).read_text() for name in (NAME, f"{stem}-2.json", f"{stem}-3.json")]
    assert kept == ["first", "second", "third"]
    assert len(list((dump / "rejected").glob("*.reason.txt"))) == 3


@pytest.mark.fault(5)
def test_a_rejected_file_is_safe_in_its_place_before_it_leaves_the_other(planner, clock, dump, monkeypatch):
    (dump / NAME).write_text("{")
    present = []
    monkeypatch.setattr(publishing, "fsync_folder", lambda folder: present.append((folder, (dump / NAME).exists())))

    reject_all(planner, clock)

    assert present == [(str(dump / "rejected"), True)]


def test_a_rejection_that_was_cut_off_is_finished_under_the_same_name(planner, clock, dump):
    (dump / NAME).write_text("{")
    os.link(dump / NAME, dump / "rejected" / NAME)

    reject_all(planner, clock)

    assert not (dump / NAME).exists()
    assert sorted(path.name for path in (dump / "rejected").iterdir()) == [NAME, f"{NAME}.reason.txt"]


def test_a_rejected_result_that_is_mended_and_moved_back_counts(planner, clock, dump):
    (dump / NAME).write_text("{")
    reject_all(planner, clock)

    put_result(dump / "rejected")
    (dump / "rejected" / NAME).rename(dump / NAME)

    assert len(planner.collect([KEY]).deliveries) == 1


def test_a_file_that_may_not_be_read_is_rejected(planner, clock, dump, monkeypatch):
    put_result(dump)
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(NAME):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)

    (reason,) = reject_all(planner, clock)

    assert "right to read it" in reason


@pytest.mark.fault(5)
def test_a_sick_disk_is_no_reason_to_reject(planner, dump, monkeypatch):
    put_result(dump)
    real = os.open

    def fail(path, *args, **kwargs):
        if str(path).endswith(NAME):
            raise OSError(5, "Input/output error")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail)
        with pytest.raises(OSError, match="Input/output error"):
            planner.collect([KEY])

    assert len(planner.collect([KEY]).deliveries) == 1


@pytest.mark.fault(7)
def test_a_result_of_an_unknown_experiment_is_delivered_for_the_ledger_to_judge_and_claims_nothing(planner, dump):
    put_result(dump)

    collected = planner.collect([])

    assert [delivery.result.key for delivery in collected.deliveries] == [KEY]
    assert not collected.claims
    assert not list((dump / "claims").iterdir())


@pytest.mark.fault(7)
def test_the_same_attempt_with_other_values_has_another_digest(planner, dump):
    put_result(dump)
    put_result(dump, a_result("w2", values={"yield": 2.0}), "worker_result_w2_e0001.1.json")

    first, second = planner.collect([KEY]).deliveries

    assert first.digest != second.digest


def test_files_that_claim_to_be_no_result_are_left_alone(planner, clock, dump):
    for name in ("notes.txt", ".worker_result_w1_e0001.1.json", "worker_status_1.pkl", "pending_exps.pkl"):
        (dump / name).write_text("{")

    collected = collect_when_settled(planner, clock)

    assert not collected.spoiled
    assert len(list(dump.iterdir())) == 4 + 3


@pytest.mark.fault(6)
@pytest.mark.parametrize("name", ["../campaign.toml", "claims", "worker_result_/../claims/e0001.1.json", "/etc/passwd"])
def test_only_a_result_can_be_settled(planner, name):
    with pytest.raises(ValueError, match="settle what collect returned"):
        planner.settle(name)


@pytest.mark.fault(6)
def test_rejecting_leaves_a_running_campaign_alone(planner, clock, dump, new_worker):
    worker = new_worker()
    planner.publish(a_revision(an_offer(1), an_offer(2)))
    for number, (content, _) in enumerate(BAD_CONTENT.values()):
        (dump / f"worker_result_x_e{number:04d}.1.json").write_bytes(content)

    offer = worker.claim()
    put_result(dump)
    reject_all(planner, clock)

    collected = planner.collect([offer.key])
    assert [claim.worker for claim in collected.claims] == ["w1"]
    assert len(collected.deliveries) == 1
    assert not collected.spoiled
