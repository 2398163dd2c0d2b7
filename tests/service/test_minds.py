from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Observed, Refused
from alchemy_async.service.models import thinking
from alchemy_async.service.models.thinking import Known, Pool
from alchemy_async.service.problems import NoModelError, TooMuchError, UnavailableError

JOBS = "tests.service.jobs"


@pytest.fixture(scope="module")
def pool():
    made = Pool(2, limit_s=60.0, loads=False)
    yield made
    made.close()


def observed(*values):
    return tuple(Observed({"x": float(v)}, {"y": float(v)}) for v in values)


def test_a_job_is_done_in_another_process(pool):
    assert pool.do(f"{JOBS}:add", 2, 3) == 5
    assert pool.do(f"{JOBS}:which") not in (os.getpid(), None)


def test_a_history_is_sent_once_and_then_what_is_new_of_it(monkeypatch):
    sizes = []
    write = thinking.write
    monkeypatch.setattr(thinking, "write", lambda stream, message: (sizes.append(len(message)), write(stream, message)))
    long = observed(*range(500))
    with_one_more = long + observed(7)
    alone = Pool(1, loads=False)

    try:
        first = alone.do(f"{JOBS}:count", 2, known=Known("s", History(long)))
        again = alone.do(f"{JOBS}:count", 1, known=Known("s", History(long)))
        more = alone.do(f"{JOBS}:count", 1, known=Known("s", History(with_one_more, (Refused({"x": 0.0}, "f"),))))
        other = alone.do(f"{JOBS}:count", 1, known=Known("t", History(observed(1, 2))))
    finally:
        alone.close()

    assert (first[0], again[0], more[0], other[0]) == (1000, 500, 501, 2)
    assert more[1][-1] == 7.0
    assert more[2] == 1
    assert sizes[0] > 10 * sizes[1]
    assert sizes[0] > 10 * sizes[2]


def test_a_history_that_was_corrected_is_told_anew(pool):
    pool.do(f"{JOBS}:count", 1, known=Known("corrected", History(observed(1, 2, 3))))

    found = pool.do(f"{JOBS}:count", 1, known=Known("corrected", History(observed(1, 9, 3))))

    assert found[1] == [1.0, 9.0, 3.0]


def test_more_sessions_than_a_process_remembers_are_answered_all_the_same(pool):
    histories = [Known(f"many-{k}", History(observed(*range(k + 1)))) for k in range(20)]

    for _ in range(2):
        counts = [pool.do(f"{JOBS}:count", 1, known=known)[0] for known in histories]
        assert counts == list(range(1, 21))


def test_a_job_whose_process_dies_is_done_once_more(pool, tmp_path):
    assert pool.do(f"{JOBS}:die_once", str(tmp_path / "mark")) == "answered"


def test_a_job_whose_process_dies_twice_is_refused_and_the_next_is_served(pool):
    with pytest.raises(UnavailableError, match="ended twice"):
        pool.do(f"{JOBS}:die")

    assert pool.do(f"{JOBS}:add", 1, 1) == 2
    assert len(pool.pids()) == 2


def test_a_job_that_takes_too_long_is_broken_off_and_the_next_is_served():
    short = Pool(1, limit_s=1.0, loads=False)
    try:
        assert short.do(f"{JOBS}:add", 1, 1) == 2
        with pytest.raises(UnavailableError, match="Ask for less"):
            short.do(f"{JOBS}:reckon")
        assert short.do(f"{JOBS}:add", 2, 2) == 4
    finally:
        short.close()


def test_who_waits_for_a_free_process_holds_up_a_few_only():
    busy = Pool(1, most_waiting=1, loads=False)
    try:
        busy.do(f"{JOBS}:add", 1, 1)
        threads = [threading.Thread(target=busy.do, args=(f"{JOBS}:sleep", 1.0)) for _ in range(2)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while busy._n_waiting < 1 and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(TooMuchError) as refused:
            busy.do(f"{JOBS}:add", 1, 1)
        for thread in threads:
            thread.join()
    finally:
        busy.close()

    assert (refused.value.status, refused.value.again_in_s) == (429, 1.0)


def test_two_jobs_are_done_at_the_same_time(pool):
    found = []
    threads = [threading.Thread(target=lambda: found.append(pool.do(f"{JOBS}:sleep", 0.5))) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 2


def test_what_a_job_refuses_keeps_its_kind_and_names_no_folder(pool, tmp_path):
    with pytest.raises(NoModelError, match="nothing yet"):
        pool.do(f"{JOBS}:lack", "nothing yet")
    with pytest.raises(PlannerError, match=r"^the session's folder/rule.py has a mistake$"):
        pool.do(f"{JOBS}:refuse", f"{tmp_path}/rule.py has a mistake", folder=tmp_path)


def test_a_mistake_in_a_job_is_an_error_here_and_the_process_goes_on(pool):
    with pytest.raises(RuntimeError, match="KeyError"):
        pool.do(f"{JOBS}:stumble")

    assert pool.do(f"{JOBS}:add", 1, 1) == 2


def test_what_is_printed_in_a_job_does_not_get_into_its_answer(pool):
    assert pool.do(f"{JOBS}:speak") == "and the answer comes all the same"


def test_starting_returns_before_the_processes_have_loaded_anything():
    begun = time.process_time()
    made = Pool(2)

    made.start()

    spent = time.process_time() - begun
    made.close()
    assert spent < 0.3


def test_closing_ends_the_processes_and_whoever_waits_for_one():
    made = Pool(1, loads=False)
    made.do(f"{JOBS}:add", 1, 1)
    pids, told = made.pids(), []

    def ask():
        try:
            made.do(f"{JOBS}:sleep", 60.0)
        except UnavailableError as error:
            told.append(str(error))

    waiting = [threading.Thread(target=ask) for _ in range(2)]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    made.close()
    for thread in waiting:
        thread.join(20)

    assert len(told) == 2
    assert not any(is_there(pid) for pid in pids)


SERVER = """
import sys, threading
from alchemy_async.service.models.thinking import Pool
pool = Pool(2, loads=False)
print(pool.do("tests.service.jobs:add", 1, 1), *pool.pids(), flush=True)
pool.do("tests.service.jobs:reckon")
"""


def test_the_processes_end_with_a_server_that_is_killed_even_at_work():
    root = Path(__file__).parents[2]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    _, *pids = map(int, server.stdout.readline().split())
    time.sleep(0.3)

    server.send_signal(signal.SIGKILL)
    server.wait()

    until = time.monotonic() + 30
    while any(is_there(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(is_there(pid) for pid in pids)


def is_there(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
