from __future__ import annotations

import errno
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from alchemy_async import files
from alchemy_async.files import (
    NotRegularFileError,
    TooLargeError,
    dump_json,
    parse_json,
    publish_once,
    publish_over,
    read_file,
    write_file,
)


@pytest.fixture
def staging(tmp_path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging" / "half"


def fail_with(number: int):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def refuse_writes_after(n_bytes: int):
    real = os.write
    left = [n_bytes]

    def write(descriptor, view):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, view[: left[0]])
        left[0] -= written
        return written

    return write


def test_a_file_is_written_whole_even_when_the_disk_takes_it_in_pieces(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, view: real(descriptor, view[:7]))

    write_file(tmp_path / "file", b"0123456789" * 10, durable=True)

    assert (tmp_path / "file").read_bytes() == b"0123456789" * 10


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_synced_only_if_it_is_to_be_durable(tmp_path, monkeypatch, durable):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)

    write_file(tmp_path / "file", b"x", durable=durable)

    assert len(synced) == int(durable)


@pytest.mark.parametrize("name", ["write", "fsync"])
@pytest.mark.fault(5)
def test_a_file_that_the_disk_refuses_is_taken_away(tmp_path, monkeypatch, name):
    monkeypatch.setattr(os, name, fail_with(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        write_file(tmp_path / "file", b"x", durable=True)

    assert not (tmp_path / "file").exists()


def test_writing_does_not_follow_a_symlink(tmp_path):
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "file").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "file", b"x", durable=False)

    assert (tmp_path / "target").read_bytes() == b"kept"


def test_what_is_published_once_appears_whole_and_leaves_no_staging_file(tmp_path, staging):
    publish_once(staging, tmp_path / "final", b"whole")

    assert (tmp_path / "final").read_bytes() == b"whole"
    assert not staging.exists()


@pytest.mark.fault(9)
def test_publishing_once_overwrites_nothing(tmp_path, staging):
    publish_once(staging, tmp_path / "final", b"first")

    with pytest.raises(FileExistsError):
        publish_once(staging, tmp_path / "final", b"second")

    assert (tmp_path / "final").read_bytes() == b"first"
    assert not staging.exists()


def test_the_content_is_on_disk_before_the_name_is(tmp_path, staging, monkeypatch):
    steps = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "link", lambda source, target: (steps.append("link"), link(source, target)))

    publish_once(staging, tmp_path / "final", b"x")

    assert steps == ["fsync", "link"]


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.fault(9)
def test_where_there_are_no_hard_links_the_name_is_still_taken_at_most_once(tmp_path, staging, monkeypatch, refusal):
    monkeypatch.setattr(os, "link", fail_with(refusal))

    publish_once(staging, tmp_path / "final", b"first")
    with pytest.raises(FileExistsError):
        publish_once(staging, tmp_path / "final", b"second")

    assert (tmp_path / "final").read_bytes() == b"first"
    assert not staging.exists()


@pytest.mark.fault(5)
def test_where_there_are_no_hard_links_a_disk_that_fills_up_leaves_no_half_file(tmp_path, staging, monkeypatch):
    monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
    monkeypatch.setattr(os, "write", refuse_writes_after(15))

    with pytest.raises(OSError, match="No space left"):
        publish_once(staging, tmp_path / "final", b"0123456789")

    assert not (tmp_path / "final").exists()
    assert not staging.exists()


@pytest.mark.fault(5)
def test_a_link_that_fails_for_another_reason_publishes_nothing(tmp_path, staging, monkeypatch):
    monkeypatch.setattr(os, "link", fail_with(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        publish_once(staging, tmp_path / "final", b"x")

    assert not (tmp_path / "final").exists()
    assert not staging.exists()


def test_publishing_over_replaces_the_last_file(tmp_path, staging):
    publish_over(staging, tmp_path / "final", b"first", durable=True)
    publish_over(staging, tmp_path / "final", b"second", durable=False)

    assert (tmp_path / "final").read_bytes() == b"second"
    assert not staging.exists()


def test_publishing_over_durably_syncs_the_file_then_renames_then_syncs_the_folder(tmp_path, staging, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda source, to: (steps.append("rename"), replace(source, to)))

    publish_over(staging, tmp_path / "final", b"x", durable=True)

    assert steps == ["fsync", "rename", "fsync"]


@pytest.mark.fault(5)
def test_a_rename_that_fails_keeps_the_last_file_and_takes_the_staging_file_away(tmp_path, staging, monkeypatch):
    publish_over(staging, tmp_path / "final", b"first", durable=True)
    monkeypatch.setattr(os, "replace", fail_with(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        publish_over(staging, tmp_path / "final", b"second", durable=True)

    assert (tmp_path / "final").read_bytes() == b"first"
    assert not staging.exists()


def test_a_file_of_just_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)

    assert read_file(tmp_path / "file", limit=100) == b"x" * 100
    with pytest.raises(TooLargeError, match="has 100 bytes; a message may have 99"):
        read_file(tmp_path / "file", limit=99)


def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_the_limit(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x" * 1000)
    fstat = os.fstat

    def fstat_of_before(descriptor):
        found = list(fstat(descriptor))
        found[6] = 10  # st_size
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", fstat_of_before)

    with pytest.raises(TooLargeError):
        read_file(tmp_path / "file", limit=100)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "file")


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


KINDS = {
    "symlink": lambda path: path.symlink_to(__file__),
    "dangling symlink": lambda path: path.symlink_to("nowhere"),
    "folder": Path.mkdir,
    "FIFO": os.mkfifo if sys.platform != "win32" else Path.mkdir,
    "socket": a_socket,
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_read(tmp_path, kind):
    KINDS[kind](tmp_path / "file")

    with pytest.raises(NotRegularFileError, match="not a regular file"):
        read_file(tmp_path / "file")


def test_a_device_is_not_opened():
    with pytest.raises(NotRegularFileError):
        read_file(Path("/dev/zero"))


def test_a_symlink_that_takes_the_files_place_after_the_look_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "file").symlink_to(__file__)
    regular = os.lstat(__file__)
    monkeypatch.setattr(os, "lstat", lambda path: regular)

    with pytest.raises(NotRegularFileError, match="symbolic link"):
        read_file(tmp_path / "file")


def test_a_document_comes_back_as_it_was(tmp_path):
    document = {"text": "µ \u2028 \x00 €", "number": 0.1 + 0.2, "large": 2**53, "none": None, "list": [1, [2.5, {}]]}

    data = dump_json(document)

    assert parse_json(data) == document
    assert json.loads(data) == document


def test_a_written_document_has_a_line_for_each_key_and_each_object_of_a_list():
    data = dump_json({"format": 1, "experiments": [{"a": {"b": 1}}, {"a": {"b": 2}}], "cancel": ["e1.1", "e2.1"]})

    assert data.decode().splitlines() == [
        "{",
        ' "format": 1,',
        ' "experiments": [',
        '  {"a": {"b": 1}},',
        '  {"a": {"b": 2}}',
        " ],",
        ' "cancel": ["e1.1", "e2.1"]',
        "}",
    ]


def test_nan_can_not_be_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json({"value": float("nan")})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", r"is not JSON: .* \(line 1, column 2\)"),
        (b"{} {}", "is not JSON: Extra data"),
        (b"\xff\xfe", r"is not UTF-8 \(byte 0\)"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e400}', "holds 1e400, which is too large"),
        (b'{"a": ' + b"1" * 301 + b"}", "an integer of 301 digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "has the key 'a' twice"),
        (b'{"x": {"a": 1, "a": 1}}', "has the key 'a' twice"),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "is nested deeper than 32"),
        (b'{"a": ' + b"[" * 1_000_000 + b"}", "is nested too deeply"),
        (b'{"a": {"b": ["\\udc00"]}}', "half a Unicode character"),
        (b'{"\\ud800": 1}', "half a Unicode character"),
    ],
)
def test_what_is_no_strict_json_object_is_refused_with_the_reason(data, why):
    with pytest.raises(ValueError, match=why):
        parse_json(data)


def test_a_byte_order_mark_and_a_pair_of_surrogates_are_read():
    assert parse_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_a_document_may_be_nested_as_deeply_as_allowed():
    depth = files.MAX_DEPTH - 1

    assert parse_json(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")
