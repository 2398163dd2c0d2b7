from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from alchemy_async import locks
from alchemy_async.cli.commands import app
from alchemy_async.service.server import serving


class Server:
    """`alchemy-async serve` in a process of its own."""

    def __init__(self, root, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "alchemy_async", "serve", "--root", str(root), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.greeting = self.process.stderr.readline()
        self.port = int(re.search(r"at http://127\.0\.0\.1:(\d+)", self.greeting).group(1))

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "root"
    place.mkdir()
    return place


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def begin(root, name):
    (root / name).mkdir()
    (root / name / "campaign.toml").write_text(
        '[campaign]\nname = "study"\n[[parameters]]\nname = "T"\ntype = "continuous"\nbounds = [0, 1]\n'
        '[[objectives]]\nname = "Output"\ngoal = "maximize"\n'
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_says_where_it_is_serves_and_ends_in_order(root, number):
    begin(root, "s1")

    with Server(root, "--log-format", "json") as server:
        assert "serves 1 session of" in server.greeting
        assert "/api/docs" in server.process.stderr.readline()
        assert server.ask("GET", "/ready") == (200, {"status": "ready"})
        staged = {"inputs": {"T": 0.5}}
        assert server.ask("POST", "/api/v1/sessions/s1/experiments/staged", staged)[0] == 200
        server.process.send_signal(number)
        said, log = server.process.communicate(timeout=30)

    assert (server.process.returncode, said) == (0, "")
    assert "Traceback" not in log
    assert locks.holder(root / ".service.lock") is None


def test_a_server_ends_at_once_though_clients_watch_its_events(root):
    begin(root, "s1")

    with Server(root) as server, socket.create_connection(("127.0.0.1", server.port)) as watching:
        watching.sendall(
            b"GET /api/v1/sessions/s1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        assert b"200 OK" in watching.recv(4096)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        _, log = server.process.communicate(timeout=30)

        assert server.process.returncode == 0
        assert time.monotonic() - begun < 4.5, log
        rest = b""
        while part := watching.recv(4096):
            rest += part
        assert rest.endswith(b"0\r\n\r\n")  # the stream was ended, not torn


def test_a_root_is_served_once_and_the_second_is_told_by_whom(root):
    with locks.hold(root / ".service.lock", what="", mend=""):
        refused = run("serve", "--root", root, "--port", "0")

    assert refused.exit_code == 3
    assert f"process {os.getpid()}" in refused.stderr
    assert "--root" in refused.stderr


def test_a_server_that_others_can_reach_wants_a_token_first_and_says_how_to_make_one(root):
    refused = run("serve", "--root", root, "--host", "0.0.0.0", "--port", "0")

    assert refused.exit_code == 1
    assert "alchemy-async token add" in refused.stderr


def test_a_port_that_is_taken_is_named_with_what_to_do(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("serve", "--root", root, "--port", taken.getsockname()[1])

    assert refused.exit_code == 1
    assert "--port" in refused.stderr


def test_a_campaign_itself_is_no_root(root):
    begin(root, "s1")

    refused = run("serve", "--root", root / "s1", "--port", "0")

    assert refused.exit_code == 1
    assert "--root .." in refused.stderr


def test_a_token_is_shown_once_and_listed_without_its_text(root):
    made = run("token", "add", "--root", root, "--name", "robot", "--scope", "work", "--session", "s1")
    text = made.stdout.strip()

    listed = run("token", "list", "--root", root)
    as_json = json.loads(run("token", "list", "--root", root, "--json").stdout)

    assert text.startswith("alchemy_")
    assert listed.stdout.split()[:3] == ["robot", "work", "s1"]
    assert text not in listed.output
    assert [(one["name"], one["scope"], one["session"]) for one in as_json["tokens"]] == [("robot", "work", "s1")]


def test_a_token_is_revoked_by_its_name_and_the_last_one_is_missed(root):
    run("token", "add", "--root", root, "--name", "robot")

    revoked = run("token", "revoke", "robot", "--root", root)
    again = run("token", "revoke", "robot", "--root", root)

    assert revoked.exit_code == 0
    assert "No token is left" in revoked.stderr
    assert again.exit_code == 1
    assert "token list" in again.stderr


def test_a_scope_that_is_none_is_refused(root):
    assert run("token", "add", "--root", root, "--name", "robot", "--scope", "root").exit_code == 2


def test_small_answers_are_sent_at_once():
    with serving._listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()

        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY only on these"
