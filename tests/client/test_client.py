"""The client against a real server: one method of each kind, and what it does when the line breaks."""

from __future__ import annotations

import pytest

from alchemy_async.client import Client, RefusedError, UnreachableError
from tests.service.serving import RealServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RealServer(tmp_path_factory.mktemp("served")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(server):
    with Client(server.url) as client:
        yield client


@pytest.fixture
def session(client):
    session = client.create_session("client", description="what a client does", tags=["test"])
    session.add_variable("x", min=0, max=1)
    session.add_variable("kind", "categorical", categories=["a", "b"])
    return session


def points(n):
    return [{"x": (k + 0.5) / n, "kind": "a"} for k in range(n)]


def test_sessions_are_made_listed_and_deleted(client):
    session = client.create_session("to be deleted")

    assert session.id in [found["session_id"] for found in client.sessions()]
    client.delete_session(session.id)
    assert session.id not in [found["session_id"] for found in client.sessions()]


def test_a_session_says_where_it_stands(session):
    assert [variable["name"] for variable in session.variables()] == ["x", "kind"]
    assert session.state()["n_experiments"] == 0


def test_what_is_staged_is_completed_in_its_order(session):
    (first,) = session.stage_all(points(1), reason="by hand")
    second = session.stage({"x": 0.25, "kind": "b"})

    queue = session.staged()
    ids = session.complete_staged(queue, [0.5, 0.75], noises=[0.01, 0.01], iteration=3)

    assert queue.ids == (first.id, second.id)
    assert queue.experiments == ({"x": 0.5, "kind": "a"}, {"x": 0.25, "kind": "b"})
    assert queue.reasons[0] == "by hand"
    assert ids == [first.id, second.id]
    assert session.state()["n_experiments"] == 2


def test_a_queue_that_has_changed_meanwhile_is_not_completed(session):
    session.stage_all(points(2))
    seen = session.staged()
    session.stage({"x": 0.1, "kind": "a"})

    with pytest.raises(RefusedError, match="version") as refused:
        session.complete_staged(seen, [1.0, 2.0])

    assert refused.value.status == 409
    assert session.state()["n_experiments"] == 0


def test_a_point_that_does_not_fit_is_refused_with_its_place(session):
    with pytest.raises(RefusedError) as refused:
        session.stage_all([{"x": 0.5, "kind": "a"}, {"x": 2.0, "kind": "a"}])

    assert refused.value.status == 422
    assert refused.value.flaws[0]["loc"][:3] == ["body", "experiments", 1]


def test_experiments_are_taken_one_by_one_and_reported_in_any_order(session):
    session.stage_all(points(5))

    a, b, c, d = session.claim("robot-1", 4)
    assert not session.heartbeat(a)
    reported = [
        session.complete(b, 0.5, metadata={"file": "b.csv"}),
        session.complete(a, {"Output": 0.75}, sems={"Output": 0.1}, inputs={"x": 0.11, "kind": "a"}),
        session.infeasible(c, "too hot"),
        session.fail(d, "the pump was dry", retryable=True),
    ]

    assert [one.status for one in reported] == ["completed", "completed", "infeasible", "failed"]
    assert {one.recorded for one in reported} == {"counted"}
    assert {taken.id for taken in session.claim("robot-1", 9)} == {"e0004", "e0005"}
    assert session.claim("robot-1") == []


def test_the_same_report_once_more_counts_once_and_another_one_is_refused(session):
    session.stage_all(points(1))
    (taken,) = session.claim("robot-1")

    first, again = session.complete(taken, 0.5), session.complete(taken, 0.5)

    assert again == first
    with pytest.raises(RefusedError) as refused:
        session.complete(taken, 0.75)
    assert refused.value.status == 409
    assert session.state()["n_experiments"] == 1


def test_what_was_released_is_offered_again(session):
    session.stage_all(points(1))
    (taken,) = session.claim("robot-1")

    session.release(taken)

    (again,) = session.claim("robot-2")
    assert (again.id, again.attempt) == (taken.id, 2)


def test_what_nobody_has_can_be_amended_moved_up_and_withdrawn(session):
    first, second, third = session.stage_all(points(3))

    session.amend(third.id, inputs={"x": 0.99, "kind": "b"}, priority=5)
    session.withdraw(first.id)

    assert session.staged().ids == (third.id, second.id)
    assert session.staged().experiments[0] == {"x": 0.99, "kind": "b"}
    assert session.clear_staged() == 2


def test_events_come_in_order_and_go_on_behind_the_last_one(session):
    session.stage_all(points(2))

    events = list(session.events())
    session.stage({"x": 0.9, "kind": "a"})
    later = list(session.events(events[-1].number))

    assert [event.number for event in events] == sorted(event.number for event in events)
    assert [event.experiment for event in events if event.kind == "queued"] == ["e0001", "e0002"]
    assert [event.experiment for event in later if event.kind == "queued"] == ["e0003"]


def test_points_that_are_suggested_or_designed_can_be_staged_as_they_are(session):
    designed = session.initial_design(4, method="sobol", seed=1)
    suggested = session.suggest(2)

    staged = session.stage_all([*designed, *suggested])

    assert len(staged) == 6


@pytest.fixture
def losing(monkeypatch):
    """Have a session lose the next answer; something may happen before the request is repeated."""

    def lose(session, then=lambda: None):
        once, n_lost = session._transport._once, []

        def lose_the_first_answer(*request):
            answer = once(*request)
            if n_lost:
                return answer
            n_lost.append(1)
            then()
            raise UnreachableError("the answer was lost")

        monkeypatch.setattr(session._transport, "_once", lose_the_first_answer)

    return lose


def test_a_session_is_begun_once_though_the_answer_was_lost(client, losing):
    before = {one["session_id"] for one in client.sessions()}
    losing(client)

    begun = client.create_session("Night")

    assert {one["session_id"] for one in client.sessions()} == {*before, begun.id}


def test_what_is_staged_is_staged_once_though_the_answer_was_lost(session, losing):
    losing(session)

    staged = session.stage({"x": 0.5, "kind": "a"})

    assert session.staged().ids == (staged.id,)


def test_what_is_claimed_is_claimed_once_though_the_answer_was_lost(session, losing):
    session.stage_all(points(2))
    losing(session)

    (taken,) = session.claim("robot-1")

    assert len(session.staged().ids) == 1
    assert taken.id not in session.staged().ids


@pytest.mark.fault(7)
def test_a_report_is_repeated_over_a_restart_of_the_server_and_counts_once(server, session, losing):
    session.stage_all(points(1))
    (taken,) = session.claim("robot-1")

    def restart():
        server.kill()
        server.start()

    losing(session, restart)

    assert session.complete(taken, 0.5).recorded == "counted"
    assert session.state()["n_experiments"] == 1
