"""The transport against a small server of the test's own, which answers as it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from alchemy_async.client import ClientError, RefusedError, UnreachableError
from alchemy_async.client.transport import Transport, part

PROBLEM = {"detail": "T is too hot.", "error_type": "ValidationError", "status_code": 422,
           "errors": [{"loc": ["body", "T"], "msg": "too hot", "type": "value_error"}]}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Gives the next of its answers to each request, and remembers what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = [], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, text, headers = self.server.answers.pop(0) if self.server.answers else (200, "{}", {})
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text.encode())), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_any  # noqa: N815 - as http.server has it

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def naps():
    return []


@pytest.fixture
def transport(server, naps):
    made = Transport(server.url, "a-token", sleep=naps.append)
    yield made
    made.close()


def test_a_request_is_sent_below_the_prefix_with_its_token_body_and_query(server, transport):
    server.answers.append((200, '{"n": 1}', {}))

    said = transport.call(
        "POST", "/sessions/s%201", body={"T": 350.0, "µ": "THF"}, query={"a": 1, "b": None, "c": True}
    )

    ((method, path, headers, body),) = server.asked
    assert said == {"n": 1}
    assert (method, path) == ("POST", "/api/v1/sessions/s%201?a=1&c=true")
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer a-token", "application/json")
    assert json.loads(body) == {"T": 350.0, "µ": "THF"}


def test_an_answer_without_a_body_is_none(server, transport):
    server.answers.append((204, "", {}))

    assert transport.call("GET", "/x") is None


def test_a_refusal_keeps_status_detail_kind_and_flaws(server, transport):
    server.answers.append((422, json.dumps(PROBLEM), {}))

    with pytest.raises(RefusedError, match="T is too hot") as refused:
        transport.call("POST", "/x", body={})

    error = refused.value
    assert (error.status, error.detail, error.kind) == (422, "T is too hot.", "ValidationError")
    assert error.flaws == ({"loc": ["body", "T"], "msg": "too hot", "type": "value_error"},)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
def test_what_will_be_refused_again_is_not_sent_again(server, transport, naps, status):
    server.answers.append((status, '{"detail": "no"}', {}))

    with pytest.raises(RefusedError):
        transport.call("GET", "/x", patience_s=60)

    assert len(server.asked) == 1
    assert naps == []


@pytest.mark.parametrize("status", [None, 429, 500, 502, 503, 504])
def test_what_may_be_answered_the_next_time_is_sent_again_as_long_as_there_is_patience(server, transport, naps, status):
    server.answers += [(status, '{"detail": "later"}', {})] * 2 + [(200, '{"n": 1}', {})]

    assert transport.call("GET", "/x", patience_s=60) == {"n": 1}

    assert len(server.asked) == 3
    assert 0.1 < naps[0] < naps[1]


def test_without_patience_nothing_is_sent_twice(server, transport):
    server.answers.append((503, '{"detail": "the disk refuses"}', {}))

    with pytest.raises(UnreachableError, match="the disk refuses") as unreachable:
        transport.call("POST", "/x", body={})

    assert isinstance(unreachable.value, OSError)
    assert unreachable.value.status == 503
    assert len(server.asked) == 1


def test_the_server_says_how_long_to_wait(server, transport, naps):
    server.answers += [(429, '{"detail": "slowly"}', {"Retry-After": "7"}), (200, "{}", {})]

    transport.call("GET", "/x", patience_s=60)

    assert 5 < naps[0] < 9


def test_patience_ends(server, transport, naps):
    server.answers += [(429, '{"detail": "slowly"}', {"Retry-After": "100"})] * 2

    with pytest.raises(UnreachableError):
        transport.call("GET", "/x", patience_s=60)

    assert naps == []


def test_nobody_who_listens_is_told_with_what_to_look_at(naps):
    with pytest.raises(UnreachableError, match="alchemy-async serve"):
        Transport("http://127.0.0.1:9", sleep=naps.append).call("GET", "/x")


def test_an_answer_that_does_not_come_ends_the_wait():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = Transport(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)

        with pytest.raises(UnreachableError, match="does not answer"):
            transport.call("GET", "/x")


def test_an_answer_that_is_not_json_comes_from_somebody_else(server, transport):
    server.answers.append((200, "<html>", {}))

    with pytest.raises(UnreachableError):
        transport.call("GET", "/x")


def test_a_redirection_is_not_followed_with_the_token(server, transport):
    server.answers.append((302, "", {"Location": "http://127.0.0.1:9/"}))

    with pytest.raises(ClientError):
        transport.call("GET", "/x")

    assert len(server.asked) == 1


def test_what_json_can_not_hold_is_refused_before_anything_is_sent(server, transport):
    with pytest.raises(ValueError, match="Out of range"):
        transport.call("POST", "/x", body={"T": float("nan")})

    assert server.asked == []


@pytest.mark.parametrize("url", ["lab-server:8000", "ftp://lab", "http://", "http://lab?x=1"])
def test_an_address_that_is_none_is_refused_with_one_that_is(url):
    with pytest.raises(ClientError, match="http://lab-server:8000"):
        Transport(url)


@pytest.mark.parametrize("token", ["two words", "new\nline", "µ"])
def test_a_token_that_can_be_none_is_refused_without_being_shown(token):
    with pytest.raises(ClientError) as refused:
        Transport("http://lab", token)

    assert token not in str(refused.value)


def test_a_token_is_shown_by_no_error(server):
    server.answers.append((401, '{"detail": "no"}', {}))

    with pytest.raises(RefusedError) as refused:
        Transport(server.url, "secret-token").call("GET", "/x")

    assert "secret-token" not in repr(refused.value) + str(refused.value)


def test_the_prefix_may_be_part_of_the_address(server):
    Transport(f"{server.url}/api/v1/").call("GET", "/x")

    assert server.asked[0][1] == "/api/v1/x"


def test_any_text_can_be_a_part_of_a_path():
    assert part("a/b?c ü") == "a%2Fb%3Fc%20%C3%BC"


def test_the_client_loads_nothing_that_only_a_server_needs_and_no_urllib3_before_its_first_request():
    script = (
        "import sys; import alchemy_async.client; "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    loaded = subprocess.run([sys.executable, "-S", "-c", script], env=path, capture_output=True, text=True)

    assert set(loaded.stdout.split()) - {"__main__", "__mp_main__"} == {"alchemy_async"}, loaded.stderr
