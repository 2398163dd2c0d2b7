from __future__ import annotations

import http.server
import io
import json
import math
import threading

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alchemy_async.benchmark.exchange import processes
from alchemy_async.benchmark.exchange.daemons import BenchError
from alchemy_async.benchmark.service import goals, growth, mixed, regret, servers, staged, starting, studies, turns
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.run import PARTS, Plan, run
from alchemy_async.benchmark.service.servers import Peer
from alchemy_async.benchmark.service.turns import OURS, THEIRS
from alchemy_async.cli import app, bench_service

needs_proc = pytest.mark.skipif(not processes.IS_THERE, reason=processes.WHY_NOT)


def compared(what, ours_s, theirs_s, **more):
    return turns.row(what, {OURS: [ours_s] * 3, THEIRS: [theirs_s] * 3}, **more)


def suggested(ours_s, theirs_s):
    more = {"cpu_ms": {OURS: 1.0, THEIRS: 2.0}, "train_p50_ms": 900.0, "times_quicker_than_train_and_suggest": 30.0}
    return compared("suggest 1, 2 variables, 20 rows", ours_s, theirs_s, **more)


def clients(ours_per_s=900.0, n_refused=0, n_missing=0):
    ours = {"n": 800, "p50_ms": 8.0, "p95_ms": 12.0, "n_refused": n_refused, "n_missing": n_missing}
    theirs = ours | {"per_s": 60.0, "n_refused": 5, "n_missing": 1}
    return {
        "n_clients": 8,
        "each": {OURS: ours | {"per_s": ours_per_s}, THEIRS: theirs},
        "times_quicker": ours_per_s / 60,
    }


@pytest.fixture
def document():
    """A run in which every part was measured and every goal met."""
    tries = {OURS: [{"ready_s": 0.9, "memory_mb": 150.0}], THEIRS: [{"ready_s": 6.0, "memory_mb": 700.0}]}
    measured = {
        "start": starting.compare(tries),
        "staged": [
            compared("stage one", 0.001, 0.02),
            compared("stage one, 1000 waiting", 0.002, 0.06, n_waiting=1000),
        ],
        "mixed": clients(),
        "suggest": [suggested(0.1, 0.6)],
        "regret": {"problem": "Branin", "seeds": [0], **regret.compare({OURS: [1e-3], THEIRS: [2e-3]})},
        "growth": [growth.compare("claim", 100_000, [0.001], [0.0015])],
        "failures": [],
        "wall_s": 900.0,
    }
    return measured | {"goals": goals.judge(measured)}


def missed(document):
    return [goal["goal"] for goal in goals.judge(document) if not goal["is_met"]]


# -- figures -----------------------------------------------------------------------


def test_both_sides_take_turns():
    order = []

    seconds = turns.in_turns(2, {name: lambda k, name=name: order.append((k, name)) or 0.5 for name in (OURS, THEIRS)})

    assert order == [(0, OURS), (0, THEIRS), (1, OURS), (1, THEIRS)]
    assert seconds == {OURS: [0.5, 0.5], THEIRS: [0.5, 0.5]}


def test_a_row_has_the_figures_of_each_side_and_the_ratio_of_the_medians():
    row = turns.row("get", {OURS: [0.001, 0.002, 0.009], THEIRS: [0.02, 0.02, 0.5]})

    assert row["each"][OURS]["p50_ms"] == pytest.approx(2.0)
    assert row["each"][OURS]["per_s"] == pytest.approx(3 / 0.012)
    assert row["times_quicker"] == pytest.approx(10.0)


def test_without_the_other_side_there_is_no_ratio():
    assert turns.row("get", {OURS: [0.001]})["times_quicker"] is None
    assert turns.row("get", {OURS: [0.001], THEIRS: []})["times_quicker"] is None
    assert starting.compare({OURS: [{"ready_s": 1.0, "memory_mb": 1.0}]})["times_less"]["ready_s"] is None
    assert regret.compare({OURS: [1.0]})["ratio"] is None


def test_regrets_are_compared_by_their_geometric_means_seed_by_seed():
    found = regret.compare({OURS: [1e-4, 1e-2], THEIRS: [1e-2, 1e-4]})

    assert found["ratio"] == pytest.approx(1.0)
    assert found["n_wins"] == 1


def test_a_regret_of_nothing_is_counted_as_rounding():
    assert regret.compare({OURS: [0.0]})["geometric_mean"][OURS] == pytest.approx(1e-9)


@pytest.mark.parametrize("point", [(-math.pi, 12.275), (math.pi, 2.275), (9.42477796, 2.475)])
def test_branin_has_its_three_minima(point):
    assert regret.branin(dict(zip(("x0", "x1"), point, strict=True))) == pytest.approx(regret.OPTIMUM, abs=1e-6)


def test_points_are_the_same_for_the_same_seed_and_within_the_cube():
    points = studies.points(5, 3, seed=1)

    assert points == studies.points(5, 3, seed=1) != studies.points(5, 3, seed=2)
    assert all(set(point) == {"x0", "x1", "x2"} and all(0 <= x <= 1 for x in point.values()) for point in points)


# -- goals -------------------------------------------------------------------------


def test_a_run_that_reaches_everything_meets_every_goal(document):
    assert missed(document) == []
    assert len(document["goals"]) == 10


@pytest.mark.parametrize(
    ("part", "worse", "goal"),
    [
        ("staged", [compared("stage one", 0.02, 0.01)], "stage one: times as quick"),
        ("staged", [compared("stage one, 9 waiting", 0.01, 0.19, n_waiting=9)], "stage one, 9 waiting"),
        ("mixed", clients(ours_per_s=59.0), "their requests a second"),
        ("mixed", clients(n_refused=1), "requests refused"),
        ("mixed", clients(n_missing=1), "rows missing"),
        ("suggest", [suggested(0.1, 0.49)], "suggest 1, 2 variables, 20 rows"),
        ("regret", {"problem": "Branin", "seeds": [0], **regret.compare({OURS: [3.0], THEIRS: [2.0]})}, "regret"),
        ("start", {"each": {}, "times_less": {"ready_s": 0.9, "memory_mb": 2.0}}, "start to ready"),
        ("start", {"each": {}, "times_less": {"ready_s": 2.0, "memory_mb": 0.9}}, "memory"),
        ("growth", [growth.compare("claim", 10, [0.001], [0.0021])], "claim with 10 rows"),
    ],
)
def test_a_goal_that_is_missed_is_told(document, part, worse, goal):
    found = missed(document | {part: worse})

    assert len(found) == 1
    assert goal in found[0]


def test_what_was_not_measured_is_no_goal():
    assert goals.judge({}) == []
    assert goals.judge({"staged": [turns.row("stage one", {OURS: [0.1]})]}) == []


# -- calls -------------------------------------------------------------------------


@pytest.fixture
def answering():
    """A server that answers 409 to POST, and hangs up on DELETE."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.reply(200, b'{"is": "well"}')

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.reply(409, b'{"detail": "somebody was faster"}')

        def do_DELETE(self):
            self.close_connection = True

        def reply(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_call_tells_status_body_and_seconds(answering):
    with Line(answering) as line:
        answer = line.call("GET", "/x")

    assert (answer.status, answer.body) == (200, {"is": "well"})
    assert 0 < answer.seconds < 60


def test_a_request_that_had_to_succeed_says_why_it_did_not(answering):
    with Line(answering) as line, pytest.raises(BenchError, match=r"POST /x answered 409.*somebody was faster"):
        line.must("POST", "/x", {})


def test_a_line_that_broke_is_told_and_opened_again(answering):
    with Line(answering) as line:
        with pytest.raises(ConnectionError, match="DELETE /x"):
            line.call("DELETE", "/x")

        assert line.call("GET", "/x").status == 200


# -- the peer ------------------------------------------------------------------------


def test_an_interpreter_without_alchemist_is_told_with_its_mend(tmp_path):
    assert "pip install alchemist-nrel==0.4.0" in Peer(str(tmp_path / "nothing")).missing()
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    assert "has no alchemist-nrel" in Peer(str(bare)).missing()


def test_another_version_is_not_compared_with(tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 0.5.0\n")
    other.chmod(0o755)

    assert "has alchemist-nrel 0.5.0" in Peer(str(other)).missing()


# -- tables --------------------------------------------------------------------------


def test_the_tables_show_each_part_and_every_goal(document):
    document["goals"][0]["is_met"] = False
    console = Console(width=180, record=True, file=io.StringIO())

    for one in bench_service.tables(document):
        console.print(one)

    text = console.export_text()
    heads = ("Start", "Requests", "8 clients at once", "Suggestions", "Regret on Branin", "session of 100000 rows")
    assert all(head in text for head in heads)
    assert text.count(" met ") == len(document["goals"]) - 1
    assert text.count("NOT MET") == 1


# -- runs ----------------------------------------------------------------------------


def test_a_part_that_does_not_exist_is_refused_with_those_that_do():
    ended = CliRunner().invoke(app, ["bench", "service", "--only", "speed"])

    assert ended.exit_code == 2
    assert all(part in ended.output for part in PARTS)


@needs_proc
def test_our_server_alone_is_measured_and_nothing_is_left(tmp_path):
    plan = Plan(parts=("staged", "mixed", "growth"), n_rows=5, n_small=2, n_large=1, n_clients=2, n_rounds=2, n_mixed=1,
                n_observations=20, n_growth=3)  # fmt: skip

    found = run(plan, None, tmp_path)

    assert found["failures"] == []
    assert [row["what"] for row in found["staged"]] == [
        "stage one", "complete 5", "stage 5", "get 5", "stage one, 5 waiting",
    ]  # fmt: skip
    assert found["mixed"]["each"][OURS]["n"] == 16
    assert (found["mixed"]["each"][OURS]["n_refused"], found["mixed"]["each"][OURS]["n_missing"]) == (0, 0)
    assert [row["what"] for row in found["growth"]] == list(growth.KINDS)
    assert json.loads(json.dumps(found, allow_nan=False))["peer"] is None
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_a_peer_that_is_missing_is_told_and_ours_is_measured_all_the_same(tmp_path):
    found = run(Plan(parts=()), Peer(str(tmp_path / "nothing")), tmp_path)

    assert [failure["what"] for failure in found["failures"]] == [THEIRS]
    assert found["peer"]["missing"]


@needs_proc
def test_a_part_that_fails_takes_no_other_figures_away(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise BenchError("the disk is on fire")

    monkeypatch.setattr(staged, "measure", fail)
    monkeypatch.setattr(mixed, "measure", lambda *_, **__: {"each": {OURS: {"n_refused": 0, "n_missing": 0}},
                                                           "n_clients": 1, "times_quicker": None})  # fmt: skip

    found = run(Plan(parts=("staged", "mixed")), None, tmp_path)

    assert found["failures"] == [{"what": "staged", "why": "the disk is on fire"}]
    assert found["mixed"]["n_clients"] == 1


@needs_proc
def test_a_server_that_ends_at_once_is_told_with_its_last_words(monkeypatch, tmp_path):
    monkeypatch.setattr(servers.sys, "executable", "/bin/false")

    with pytest.raises(BenchError, match="ended with exit code 1"), servers.ours(tmp_path / "own"):
        pass
