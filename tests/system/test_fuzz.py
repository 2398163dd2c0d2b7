"""Every file that a daemon or a command reads, damaged in a thousand ways.

It is taken, or refused by the documented error; nothing runs, nothing outside the campaign folder is touched, memory
stays bounded, and no reader is slow. `--fault-seed` gives other damage, `--fuzz-cases` more of it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

from tests.system.fuzz_readers import READERS
from tests.system.fuzzing import Damage, smallest, watch

pytestmark = [
    pytest.mark.fault(6),
    pytest.mark.skipif(sys.platform == "win32", reason="counts memory, and writes names that Windows has not"),
]
N_PER_KIND = 1000
MAX_FAILURES = 8
SLOWEST_S = 3.0  # of processor time for one case
MOST_MB = 256
LONGEST_LINE = 4000


@pytest.fixture
def place(tmp_path):
    shm = Path("/dev/shm")  # no disk is on trial here, and its fsync would take most of the time
    folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)


def fuzz(reader, n, seed):
    """Let a reader read ``n`` cases; return what was seen, how many were accepted, and the smallest bad inputs."""
    damage = Damage(seed, reader.wholes, reader.form)
    assert reader.read(list(reader.wholes)) >= 1  # and whatever is imported late is imported now
    reader.tidy()
    n_accepted, failures = 0, {}
    with watch(reader.place, allowed=reader.allowed) as seen:
        for start in range(0, n, reader.batch):
            cases = [damage.case(number) for number in range(start, min(start + reader.batch, n))]
            try:
                n_accepted += seen.time(lambda cases=cases: reader.read(cases), cases)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                failures.setdefault(where(error), (cases, error))
            reader.tidy()
            if len(failures) >= MAX_FAILURES:
                break
    return seen, n_accepted, [explain(reader, cases, error) for cases, error in failures.values()]


def where(error):
    frames = traceback.extract_tb(error.__traceback__)
    return type(error), frames[-1].filename, frames[-1].lineno


def explain(reader, cases, error):
    """Return a failure in words, with the smallest input that brings it about."""

    def is_bad(case):
        try:
            reader.read([case])
        except Exception as again:  # noqa: BLE001 - see above
            return where(again) == where(error)
        finally:
            reader.tidy()
        return False

    bad = next((case for case in cases if is_bad(case)), None)
    text = "".join(traceback.format_exception(error)[-3:])
    if bad is None:
        return f"only together: {cases!r}\n{text}"
    return f"{smallest(bad, is_bad)[:2000]!r}\n{text}"


def assert_nothing_bad(kind, place, n, seed, figures):
    reader = READERS[kind](place)
    try:
        seen, n_accepted, failures = fuzz(reader, n, seed)
    finally:
        reader.close()

    figures(
        kind=kind, cases=n, accepted=n_accepted, crashes=len(failures), acts=len(seen.acts),
        slowest_ms=round(1000 * seen.slowest_s, 1), gained_mb=round(seen.gained_mb),
    )  # fmt: skip
    assert not failures, "\n\n".join(failures)
    assert not seen.acts
    assert not seen.bad_lines
    assert seen.longest_line < LONGEST_LINE
    assert seen.slowest_s < SLOWEST_S, f"{seen.slowest_s} s for {seen.slowest[:200]!r}"
    assert seen.gained_mb < MOST_MB
    assert n_accepted < n
    assert n_accepted or n < 1000, "else the damage is too great to get past the first check"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_taken_or_refused_and_does_no_harm(place, figures, fault_seed, kind):
    assert_nothing_bad(kind, place, N_PER_KIND, f"{fault_seed}/{kind}", figures)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no peak can be forgotten")
def test_memory_that_is_taken_for_a_moment_is_seen_although_more_was_in_use_before(tmp_path):
    bytearray(b"x" * 300_000_000).clear()

    with watch(tmp_path) as seen:
        bytearray(b"x" * 100_000_000).clear()

    assert 90 < seen.gained_mb < 250  # it is there twice for a moment


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", READERS)
def test_many_damaged_files_are_taken_or_refused_and_do_no_harm(place, figures, fault_seed, fuzz_cases, kind):
    assert_nothing_bad(kind, place, max(fuzz_cases // len(READERS), 1), f"many {fault_seed}/{kind}", figures)
