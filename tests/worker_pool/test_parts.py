"""The parts of the pool, one by one: no processes of instruments, and a clock that is told what time it is."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import check_campaign
from alchemy_async.errors import SettingsError, WireError
from alchemy_async.experiment import Attempt, AttemptKey, Offer, Outcome, QueueState, Result, Status, WorkerState
from alchemy_async.files import dump_json, parse_json
from alchemy_async.queues import News
from alchemy_async.worker_pool import output, pipes, pool
from alchemy_async.worker_pool.backoff import Backoff
from alchemy_async.worker_pool.messages import Note, Topic, WorkerPlan
from alchemy_async.worker_pool.pool import plans_of
from alchemy_async.worker_pool.post import Post
from alchemy_async.worker_pool.rounds import Rounds
from alchemy_async.worker_pool.slot import Tally

LIGHT = {"alchemy_async", "multiprocess", "_multiprocess", "dill", "filelock"}


class Queue:
    """A worker's end that shows what it is told to."""

    def __init__(self) -> None:
        self.shows: News | Exception | None = None

    def show(self, state: QueueState, revision: int = 1) -> None:
        self.shows = News("test-00000001", revision, state, frozenset())

    def news(self) -> News | None:
        if isinstance(self.shows, Exception):
            raise self.shows
        return self.shows


class Diary:
    """A worker's end and an executor that write down in which order they are used."""

    def __init__(self, n_offers: int, as_run: dict[str, float] | None = None, lasts_s: float = 1.0) -> None:
        self.as_run, self.lasts_s, self.clock = as_run, lasts_s, SimulatedClock()
        self.lines: list[str] = []
        self.published_at_monotonic = None
        self._offers = [
            Offer(AttemptKey(f"e{k}", 1), {"x": 1.0}, lease_s=9, timeout_s=9) for k in range(1, n_offers + 1)
        ]

    def news(self) -> News:
        return News("test-00000001", 1, QueueState.RUNNING if self._offers else QueueState.DRAINING, frozenset())

    def claim(self) -> Offer | None:
        self.lines.append("claim")
        return self._offers.pop(0) if self._offers else None

    def beat(self, state: WorkerState, holds: AttemptKey | None = None) -> None:
        self.lines.append(f"beat {state} {holds or ''}".strip())

    def report(self, key: AttemptKey, outcome: Outcome) -> None:
        self.outcome = Result.from_wire(parse_json(dump_json(Result("test-1", key, "w-1", outcome).to_wire()))).outcome
        self.lines.append(f"report {key} {outcome.status}")

    def submit(self, attempt: Attempt) -> Future[Outcome]:
        self.lines.append(f"submit {attempt.key}")
        future: Future[Outcome] = Future()
        self.clock.advance(self.lasts_s)
        now = self.clock.now()
        future.set_result(Outcome(Status.COMPLETED, now, now, {"y": 0.125}, parameters=self.as_run))
        return future


def work_through(diary: Diary, folder: Path) -> None:
    orders, pool = pipes.pipe()
    heard, notes = pipes.pipe()
    post = Post(WorkerPlan(folder, "w-1", "lab:f"), orders, notes, diary.clock)
    post.begin_beating(diary)
    Rounds(post, diary).work(diary)
    for end in (orders, pool, heard, notes):
        end.close()


def test_a_worker_beats_before_its_first_claim_and_after_a_report_claims_before_all_else(tmp_path):
    diary = Diary(n_offers=2)

    work_through(diary, tmp_path)

    first = ["claim", "submit e1.1", "beat busy e1.1", "report e1.1 completed"]
    second = ["claim", "submit e2.1", "beat busy e2.1", "report e2.1 completed"]
    assert diary.lines == ["beat idle", *first, *second, "claim"]


def test_a_worker_does_not_beat_for_each_of_many_short_experiments(tmp_path):
    diary = Diary(n_offers=100, lasts_s=0.01)

    work_through(diary, tmp_path)

    beats = [line for line in diary.lines if line.startswith("beat")]
    assert 4 <= len(beats) <= 7
    assert [line.split()[0] for line in diary.lines].count("report") == 100


def test_an_outcome_that_can_not_be_written_is_reported_as_a_failure_that_tells_all_of_it(tmp_path):
    diary = Diary(n_offers=1, as_run={"x": math.nan})

    work_through(diary, tmp_path)

    assert diary.outcome.status is Status.FAILED
    assert diary.outcome.error.kind == "bad_result"
    assert "'y': 0.125" in diary.outcome.error.message


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def rounds(clock, queue) -> Rounds:
    post = SimpleNamespace(clock=clock, is_draining=False, complain=lambda what, why: None)
    return Rounds(post, queue)


def test_a_queue_that_is_stopped_at_the_start_is_over_after_ten_seconds(rounds, queue, clock):
    queue.show(QueueState.STOPPED)
    assert not rounds.is_over()

    clock.advance(9.9)
    assert not rounds.is_over()

    clock.advance(0.2)
    assert rounds.is_over()


def test_a_queue_that_was_stopped_at_the_start_and_runs_again_is_not_over(rounds, queue, clock):
    queue.show(QueueState.STOPPED)
    rounds.is_over()

    queue.show(QueueState.RUNNING, revision=2)
    clock.advance(60)

    assert not rounds.is_over()


@pytest.mark.parametrize("state", [QueueState.STOPPED, QueueState.DRAINING])
def test_a_queue_that_ends_after_it_ran_is_over_at_once(rounds, queue, state):
    queue.show(QueueState.RUNNING)
    assert not rounds.is_over()

    queue.show(state, revision=2)

    assert rounds.is_over()


@pytest.mark.parametrize("shows", [None, WireError("garbage"), OSError("no such disk")])
def test_a_queue_that_is_not_there_or_can_not_be_read_is_waited_for(rounds, queue, clock, shows):
    queue.shows = shows
    clock.advance(3600)

    assert not rounds.is_over()


def test_back_off_doubles_from_one_second_to_five_minutes_and_begins_again_after_a_success():
    backoff = Backoff()

    waits = [backoff.failed() for _ in range(11)]
    backoff.succeeded()

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff.failed() == 1


def test_a_pipe_whose_reader_does_not_read_never_holds_its_writer_up():
    reader, writer = pipes.pipe()

    assert all(pipes.tell(writer, b"wake") for _ in range(50_000))

    messages = pipes.drain(reader)
    assert messages
    assert set(messages) == {b"wake"}


def test_a_pipe_says_when_its_other_end_has_gone_and_loses_nothing_before():
    reader, writer = pipes.pipe()
    pipes.tell(writer, b"last words")
    writer.close()

    assert pipes.drain(reader) == [b"last words"]
    assert pipes.drain(reader) is None

    reader, writer = pipes.pipe()
    reader.close()
    assert not pipes.tell(writer, b"anybody?")


def test_a_note_passes_a_pipe_whole_however_long_its_text():
    note = Note(Topic.SICK, "😀\n" * 10_000, "experiment=e0001", 3, 1, 2.5)

    data = note.to_bytes()

    assert len(data) < 4000
    assert Note.from_bytes(data).n_completed == 3
    assert Note.from_bytes(data).text.startswith("😀\n")


@pytest.mark.fault(13)
def test_a_log_is_cut_to_its_last_part_and_keeps_its_file(tmp_path):
    path = tmp_path / "w-1.log"
    path.write_bytes(b"a" * 1000 + b"the end")
    inode = path.stat().st_ino

    output.cap(path, most=1007, kept=7)
    assert path.stat().st_size == 1007
    output.cap(path, most=1006, kept=7)

    assert path.read_bytes().endswith(b"\nthe end")
    assert path.stat().st_size < 200
    assert path.stat().st_ino == inode


def test_a_worker_process_loads_neither_pydantic_nor_numpy_nor_torch_by_itself():
    script = (
        "import sys; from alchemy_async.worker_pool import life, post, worker; "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )

    loaded = subprocess.run([sys.executable, "-S", "-c", script], env=_path(), capture_output=True, text=True)

    assert set(loaded.stdout.split()) - {"__main__", "__mp_main__"} == LIGHT, loaded.stderr


def test_the_pool_loads_nothing_that_only_its_workers_need():
    needed = ("worker_pool.life", "worker_pool.post", "executors.local", "drivers.load", "queues.folder_worker")
    script = (
        "import sys; import alchemy_async.worker_pool.pool; "
        f"print([name for name in {needed!r} if 'alchemy_async.' + name in sys.modules])"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_workers_begin_before_the_pool_loads_what_watches_the_folder(tmp_path, monkeypatch):
    begun = []

    class Watch:
        def __init__(self, _folders, _hear):
            self.begun_before = list(begun)
            watches.append(self)

        def close(self):
            pass

    class Place:
        is_done, has_failed, tally, started_at = True, False, Tally(), None

        def __init__(self, plan, _clock):
            self.worker = plan.worker

        def look(self, _level):
            begun.append(self.worker)

        def abandon(self):
            pass

    watches: list[Watch] = []
    monkeypatch.setattr(pool, "FolderWatch", Watch)
    monkeypatch.setattr(pool, "Slot", Place)
    plans = [WorkerPlan(tmp_path, name, "my_lab:f") for name in ("w-1", "w-2")]

    code = pool.Pool(tmp_path, plans, SimulatedClock()).run()

    assert code == 0
    assert [watch.begun_before for watch in watches] == [["w-1", "w-2"]]


def _path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # -S: no .pth file of site-packages is run


def test_the_number_of_workers_can_be_chosen_at_the_start_for_one_group_alone(tmp_path):
    reactor, furnace = ({"name": name, "driver": "lab:f", "labels": ["hplc"]} for name in ("reactor", "furnace"))
    one, several = _settings(reactor), _settings(reactor, furnace)

    plans = plans_of(one, tmp_path, n_workers=2)

    assert [plan.worker for plan in plans] == ["reactor-1", "reactor-2"]
    assert {(plan.driver, plan.labels, plan.objectives) for plan in plans} == {("lab:f", ("hplc",), ("yield",))}
    with pytest.raises(SettingsError, match="Change `count` of each"):
        plans_of(several, tmp_path, n_workers=2)


def _settings(*workers):
    return check_campaign(
        {
            "campaign": {"name": "test"},
            "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
            "objectives": [{"name": "yield", "goal": "maximize"}],
            "workers": list(workers),
        }
    )
