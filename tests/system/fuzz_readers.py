"""Who reads files that anybody may have written, and what must be true of all they take or refuse.

Each reader takes a batch of cases, returns how many were accepted, and raises where the product did what it must not:
an error that is not documented, a document accepted against its meaning, a message that would steer a terminal.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

from alchemy_async import locks
from alchemy_async.cli import beats, staging
from alchemy_async.clock import SimulatedClock
from alchemy_async.config import CampaignSettings, check_campaign, load_campaign
from alchemy_async.config.templates import examples, template
from alchemy_async.drivers import Context
from alchemy_async.drivers.dataset import MODES, driver
from alchemy_async.errors import DriverError, FolderError, LedgerError, PointError, SettingsError, WireError
from alchemy_async.experiment import (
    AttemptKey,
    Claim,
    Heartbeat,
    Offer,
    Outcome,
    QueueState,
    Result,
    Revision,
    State,
    Status,
    Suggestion,
    WorkerState,
)
from alchemy_async.files import dump_json
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.asker import InlineAsker
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd

CAMPAIGN = """
[campaign]
name = "fuzz"
[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]
[[parameters]]
name = "n"
type = "integer"
bounds = [1, 9]
[[parameters]]
name = "solvent"
type = "categorical"
options = ["DMF", "THF"]
[[objectives]]
name = "y"
goal = "minimize"
[budget]
experiments = {budget}
[planner]
strategy = "random"
seed = 1
initial = {{ method = "points", points = [{{ x = 0.5, n = 1, solvent = "DMF" }}] }}
[[workers]]
name = "w"
count = 2
driver = "my_lab:reaction"
"""
POINT = {"x": 0.25, "n": 3, "solvent": "THF"}
SLOT = b"e0000"  # stands for the id of an experiment in every case of a batch
KEY = AttemptKey("e0000", 1)
MAX_MESSAGE = 4000


def assert_plain(text: str) -> None:
    """A message is read at a terminal: it must neither steer it nor flood it."""
    assert len(text) <= MAX_MESSAGE, f"a message of {len(text)} characters: {text[:80]!r}"
    assert all(line.isprintable() for line in text.split("\n")), f"a message that steers a terminal: {text[:300]!r}"


def assert_mistakes(mistakes) -> None:
    """Each says where, what and how to mend it."""
    assert mistakes
    for mistake in mistakes:
        assert mistake.path and mistake.what and mistake.mend  # noqa: PT018 - one thing
        assert_plain(str(mistake))


def assert_point(point) -> None:
    """Numbers are finite, texts are texts."""
    for name, value in point.items():
        assert isinstance(name, str)
        assert isinstance(value, str) or (isinstance(value, (int, float)) and math.isfinite(value))


def assert_strict(content: bytes) -> None:
    """What was accepted is strict JSON, judged by other code than the product's."""

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), "a key twice was accepted"
        return dict(pairs)

    def depth(value):
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    def short(text):
        assert len(text) <= 300
        return int(text)

    document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique, parse_int=short)
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    assert depth(document) <= 32
    assert document["format"] == 1


class Reader:
    """Reads damaged files in a folder of its own; ``allowed`` acts are those that it needs."""

    form, batch = "json", 1
    allowed: tuple[str, ...] = ()
    wholes: tuple[bytes, ...] = ()

    def __init__(self, place: Path):
        self.place, self.n = place, 0
        self.prepare()

    def prepare(self) -> None:
        """Make what is made once."""

    def read(self, cases: list[bytes]) -> int:
        return sum(self.read_one(case) for case in cases)

    def read_one(self, case: bytes) -> bool:
        raise NotImplementedError

    def tidy(self) -> None:
        """Take away what a batch left behind."""

    def close(self) -> None:
        """Give back what was opened."""


class QueueReader(Reader):
    """The queue: a worker looks for work in it, a planner that starts looks whose it is."""

    offers = tuple(Offer(AttemptKey(f"e{i:04d}", i), POINT, i / 2, requires=("hot",) * (i % 2)) for i in (1, 2, 3))
    wholes = (
        dump_json(Revision("fuzz-00000000", 7, QueueState.RUNNING, offers, (AttemptKey("e0009", 1),)).to_wire()),
        dump_json(Revision("fuzz-00000000", 1, QueueState.RUNNING, offers[:1]).to_wire()),
    )

    def prepare(self):
        FolderPlannerEnd(self.place, campaign="fuzz-00000000", clock=SimulatedClock()).close()

    def read_one(self, case):
        (self.place / "pickup" / "priority_queue.json").write_bytes(case)
        self.n += 1
        worker = FolderWorkerEnd(self.place, worker="w-1", instance=f"i{self.n}", labels=("hot",))
        try:
            news, offer = worker.news(), worker.claim()
        except (WireError, FolderError) as error:
            assert_plain(str(error))
            news = offer = None
        try:
            FolderPlannerEnd(self.place, campaign="fuzz-00000000", clock=SimulatedClock()).close()
        except (WireError, FolderError) as error:
            assert_plain(str(error))
        if news is not None:
            assert_strict(case)
        claims = list((self.place / "dump" / "claims").iterdir())
        assert [path.name for path in claims] == ([f"{offer.key}.json"] if offer else [])
        if offer:
            assert news.state is QueueState.RUNNING
            assert re.fullmatch(r"[A-Za-z0-9-]{1,64}\.[0-9]+\.json", claims[0].name)
            assert_point(offer.parameters)
            assert all(math.isfinite(number) for number in (offer.priority, offer.lease_s, offer.timeout_s))
        self.tidy()
        return news is not None

    def tidy(self):
        for path in (self.place / "dump" / "claims").iterdir():
            path.unlink()


class DaemonReader(Reader):
    """A planner daemon with a campaign for each batch; every case is about an experiment of its own."""

    batch, budget = 20, 200

    def open(self):
        self.n += 1
        self.folder = self.place / f"campaign-{self.n}"
        self.folder.mkdir()
        (self.folder / "campaign.toml").write_text(CAMPAIGN.format(budget=self.budget))
        self.settings, self.clock = load_campaign(self.folder), SimulatedClock()
        path, study = self.folder / "campaign.db", self.settings.study()
        self.ledger = Ledger.create(path, name="fuzz", study=study, clock=self.clock)
        with self.ledger.change() as change:
            change.set_meta(campaign="fuzz-00000000")
            for i in range(self.batch):
                change.add({"x": i / self.batch, "n": 1 + i % 9, "solvent": "DMF"}, pinned=True, origin="person")
        self.queue = FolderPlannerEnd(self.folder, campaign=self.ledger.campaign, clock=self.clock)
        asker = InlineAsker(SimpleNamespace(ask=lambda *_: [Suggestion(POINT)]))
        self.daemon = PlannerDaemon(self.settings, self.ledger, self.queue, asker, self.clock, seed=1)
        self.daemon.start()
        self.daemon.step()
        self.dump = self.folder / "dump"

    def read(self, cases):
        self.open()
        cases = [case.replace(SLOT, f"e{i:04d}".encode()) for i, case in enumerate(cases, 1)]
        self.put(cases)
        for _ in range(3):
            self.clock.advance(0.6)
            self.daemon.step()
        n = self.judge(cases)
        self.check()
        return n

    def tidy(self):
        self.queue.close()
        self.ledger.close()
        shutil.rmtree(self.folder)

    def put(self, cases) -> None:
        raise NotImplementedError

    def judge(self, cases) -> int:
        raise NotImplementedError

    def claim(self, i, worker="w1"):
        """Let a worker have an experiment."""
        claim = Claim(self.ledger.campaign, AttemptKey(f"e{i:04d}", 1), 1, {}, worker, "i")
        (self.dump / "claims" / f"{claim.key}.json").write_bytes(dump_json(claim.to_wire()))

    def check(self):
        """What holds whatever came: counts, finite numbers, plain words, and a queue that a worker can read."""
        found, tally, space = self.ledger.experiments(), self.ledger.tally(), self.settings.as_space()
        assert all(tally[state] == sum(each.state is state for each in found) for state in State)
        for observed in self.ledger.history().observations:
            space.check_as_run(observed.parameters)
            assert all(math.isfinite(value) for value in (*observed.values.values(), *observed.sems.values()))
        for event in self.ledger.events():
            assert_plain(event["details"].get("reason", ""))
        assert FolderWorkerEnd(self.folder, worker="w-9", instance="i").news() is not None

    def is_ingested(self, name, content):
        """Tell whether a result was taken; else it must lie among the rejected, unchanged, with a reason in words."""
        assert not (self.dump / name).exists(), f"{name!r} still lies in dump/"
        digests = {outcome["digest"] for outcome in self.ledger.outcomes()}
        if sha256(content).hexdigest() in digests:
            assert_strict(content)
            return True
        assert (self.dump / "rejected" / name).read_bytes() == content
        assert_plain((self.dump / "rejected" / f"{name}.reason.txt").read_text())
        return False


def a_result(status=Status.COMPLETED, **more):
    now = SimulatedClock().now()
    values = {"y": 0.5} if status is Status.COMPLETED else {}
    return dump_json(Result("fuzz-00000000", KEY, "w1", Outcome(status, now, now, values, **more)).to_wire())


class ResultReader(DaemonReader):
    """Results, in the planner daemon; every other experiment is claimed by the worker that they name."""

    wholes = (
        a_result(sems={"y": 0.1}, parameters=POINT, metadata={"lot": "ü-7", "spectrum": [1, 2.5, {"a": None}]}),
        a_result(Status.FAILED),
        a_result(Status.RELEASED),
    )

    def put(self, cases):
        for i, case in enumerate(cases, 1):
            if i % 2:
                self.claim(i)
            (self.dump / f"worker_result_w1_e{i:04d}.1.json").write_bytes(case)

    def judge(self, cases):
        return sum(self.is_ingested(f"worker_result_w1_e{i:04d}.1.json", case) for i, case in enumerate(cases, 1))


class NameReader(DaemonReader):
    """Names of results; the content is good."""

    form = "bytes"
    wholes = tuple(b"worker_result_%s.json" % name for name in (b"w1_e0000.1", b"planner_e0000.1", b"a_b-c_e0000.2"))

    def put(self, cases):
        self.names = []
        for i, case in enumerate(cases, 1):
            name = b"worker_result_" + case.removeprefix(b"worker_result_").translate(bytes.maketrans(b"/\0", b"__"))
            path = self.dump / name[:255].decode("utf-8", "surrogateescape")
            path.write_bytes(ResultReader.wholes[0].replace(SLOT, f"e{i:04d}".encode()))
            self.names.append((path.name, path.read_bytes()))
        self.names = list(dict(self.names).items())  # two cases may have one name; the last content counts

    def judge(self, cases):
        kept = [path for path in (self.dump / "rejected").iterdir() if not path.name.endswith(".reason.txt")]
        contents = {path.read_bytes() for path in kept}
        digests = {outcome["digest"] for outcome in self.ledger.outcomes()}
        n_ingested = 0
        for name, content in self.names:
            assert not (self.dump / name).exists(), f"{name!r} still lies in dump/"
            is_ingested = sha256(content).hexdigest() in digests
            assert is_ingested != (content in contents), f"{name!r} is neither in the ledger nor among the rejected"
            n_ingested += is_ingested
        for path in (self.dump / "rejected").glob("*.reason.txt"):
            assert_plain(path.read_text())
        return n_ingested


class ClaimReader(DaemonReader):
    """Claims: the name is the claim, so every one is taken, whatever it says."""

    wholes = tuple(
        dump_json(Claim("fuzz-00000000", KEY, 3, point, "w1", "i", "host", 42, idempotent=True).to_wire())
        for point in (POINT, {})
    )

    def put(self, cases):
        for i, case in enumerate(cases, 1):
            (self.dump / "claims" / f"e{i:04d}.1.json").write_bytes(case)

    def judge(self, cases):
        space, n = self.settings.as_space(), 0
        for i, case in enumerate(cases, 1):
            attempt = self.ledger.attempt(AttemptKey(f"e{i:04d}", 1))
            assert attempt.state != "queued", f"{attempt.key} has a claim and is offered"
            space.check_as_run(attempt.parameters)
            if attempt.worker == "w1":
                assert_strict(case)
                n += 1
        return n


class HeartbeatReader(DaemonReader):
    """Heartbeats: the daemon judges leases by them, a worker its own last one, `status` all of them."""

    budget = 20  # all places are taken: for an idle worker the daemon would load a planner, and that opens files
    wholes = tuple(
        dump_json(Heartbeat("e0000", "i", 7, state, holds, "fuzz-00000000", "host", 42, ("hot",)).to_wire())
        for state, holds in ((WorkerState.BUSY, KEY), (WorkerState.IDLE, None), (WorkerState.GONE, None))
    )

    def put(self, cases):
        for i, case in enumerate(cases, 1):
            self.claim(i, f"e{i:04d}")  # each worker is called as its experiment
            (self.dump / "workers" / f"e{i:04d}.json").write_bytes(case)

    def judge(self, cases):
        found = self.queue.collect(()).heartbeats
        for beat in found:
            assert re.fullmatch(r"e[0-9]{4}", beat.worker)
            assert_strict(cases[int(beat.worker[1:]) - 1])
            assert 0 <= beat.beat < 2**53
            assert_point(dict.fromkeys(beat.labels, ""))
        site = SimpleNamespace(folder=self.folder, settings=self.settings)
        assert len(beats.read_beats(site)) >= len(found)
        for i in range(1, len(cases) + 1):
            FolderWorkerEnd(self.folder, worker=f"e{i:04d}", instance="j").previous_beat()
            assert self.ledger.attempt(AttemptKey(f"e{i:04d}", 1)).state in ("running", "interrupted")
        return len(found)


class CampaignReader(Reader):
    """campaign.toml: settings that make sense, or mistakes that a person can mend."""

    form = "toml"
    wholes = tuple(text.encode() for text in (CAMPAIGN.format(budget=200), template(), *map(template, examples())))

    def prepare(self):
        with contextlib.suppress(SettingsError):  # which installed packages bring planners is looked up once
            check_campaign({"planner": {"strategy": "nobody"}}, source="a strategy that nobody knows")

    def read_one(self, case):
        (self.place / "campaign.toml").write_bytes(case)
        try:
            settings = load_campaign(self.place)
        except SettingsError as error:
            assert_mistakes(error.mistakes)
            return False
        assert isinstance(settings, CampaignSettings)
        space = settings.as_space()
        for point in space.from_unit([[0.37] * len(space.names), [1.0] * len(space.names)]):
            assert_point(point)
            assert_point(space.check_as_run(point))
        json.dumps(settings.study(), allow_nan=False)
        assert settings.n_initial() >= 1
        assert settings.as_objectives()
        return True


class TableReader(Reader):
    """A user's CSV behind ``dataset:``: a finite measurement, or an error that names the line."""

    form = "csv"
    wholes = (
        b"x,n,solvent,y\n0.1,1,DMF,0.5\n0.1,1,DMF,0.7\n0.2,2,THF,\n0.9,9,THF,-3e-2\n",
        b'n, x ,y,solvent\r\n1,0.25,1e3,THF\r\n3,0.5,"2.5",THF\r\n4,nan,1,DMF\r\n',
        b"\xef\xbb\xbfx,n,solvent,other\n0.25,3,THF,7\n0.3,3,THF,8\n",
    )

    def read_one(self, case):
        (self.place / "results.csv").write_bytes(case)
        n = 0
        for mode in MODES:
            table = driver("results.csv", folder=self.place, mode=mode)
            try:
                table.connect()
                seen = table.measure(POINT, Context("e0001", 1, "w1", self.place, objectives=("y",)))
            except DriverError as error:
                assert_plain(str(error))
                continue
            assert all(math.isfinite(value) for value in seen.values.values()), f"measured {seen.values}"
            assert all(math.isfinite(sem) and sem >= 0 for sem in seen.sems.values()), f"errors {seen.sems}"
            assert_point(seen.parameters or {})
            n += 1
        return n > 0


class PointsReader(Reader):
    """Points that a person stages: JSON from the command line or stdin."""

    wholes = (json.dumps(POINT).encode(), json.dumps({"x": 1, "n": 9.0, "solvent": "DMF"}).encode())

    def prepare(self):
        (self.place / "campaign.toml").write_text(CAMPAIGN.format(budget=200))
        self.site = SimpleNamespace(settings=load_campaign(self.place))

    def read_one(self, case):
        text = case.decode("utf-8", "surrogateescape")
        try:
            wanted = staging.from_person(self.site, text if len(case) % 2 else f"[{text}, {text}]", "why")
        except PointError as error:
            assert_mistakes(error.mistakes)
            return False
        for point in wanted.points:
            assert self.site.settings.as_space().check(point) == point
        return True


class LedgerReader(Reader):
    """The first page of the ledger: opened, or refused and left as it is."""

    form = "bytes"

    def prepare(self):
        self.path, study = self.place / "campaign.db", {"parameters": []}
        with Ledger.create(self.path, name="fuzz", study=study) as ledger, ledger.change() as change:
            change.add(POINT)
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
        self.whole = self.path.read_bytes()
        self.wholes = (self.whole[:100], self.whole[:100], self.whole[:4096])

    def read_one(self, case):
        data = case + self.whole[len(case) :] if case else b""
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(f"campaign.db{suffix}").unlink(missing_ok=True)
        self.path.write_bytes(data)
        try:
            ledger = Ledger.open(self.path)
        except LedgerError as error:
            assert_plain(str(error))
            self._refuse_to_begin(data)
            return False
        with ledger:
            try:
                assert [each.id for each in ledger.experiments()] == ["e0001"]
                assert ledger.tally()["queued"] == 1
            except sqlite3.DatabaseError:  # the commands have an answer to it
                return False
        return True

    def _refuse_to_begin(self, data):
        """What can't be opened must not be begun anew, unless it is empty; nor may it be changed."""
        if not data:
            return
        assert self.path.read_bytes() == data, "a ledger that was refused has changed"
        try:
            Ledger.create(self.path, name="fuzz", study={"parameters": []}).close()
        except LedgerError as error:
            assert_plain(str(error))


class HolderReader(Reader):
    """Who holds a lock, as told to whoever is refused."""

    wholes = (dump_json({"pid": 1, "host": "bench", "since": "2026-11-22T10:00:00.000000Z"}),)
    allowed = ("os.kill",)  # signal 0 only: whether such a process lives

    def prepare(self):
        self.path = self.place / "planner.lock"
        self.patience, locks._INTRODUCTION_S, locks._POLL_S = (locks._INTRODUCTION_S, locks._POLL_S), 0.0, 0.0
        self.lock = locks.hold(self.path, what="fuzz", mend="none")

    def close(self):
        self.lock.release()
        locks._INTRODUCTION_S, locks._POLL_S = self.patience

    def read_one(self, case):
        self.path.with_name("planner.lock.holder").write_bytes(case)
        holder = locks.holder(self.path)
        assert_plain(str(holder))
        return holder.host == "bench"


READERS = {
    "queue": QueueReader,
    "claims": ClaimReader,
    "heartbeats": HeartbeatReader,
    "results": ResultReader,
    "names of results": NameReader,
    "campaign.toml": CampaignReader,
    "a user's CSV": TableReader,
    "staged points": PointsReader,
    "the ledger's header": LedgerReader,
    "holders of locks": HolderReader,
}
