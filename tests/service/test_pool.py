"""The routes of worker pools, without a network: what they write in the session's folder, and what they refuse."""

from __future__ import annotations

import json
import threading
import time

import pytest
from fastapi.testclient import TestClient

from alchemy_async import locks
from alchemy_async.clock import SystemClock
from alchemy_async.experiment import AttemptKey, QueueState
from alchemy_async.files import parse_json
from alchemy_async.queues import publishing
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app
from alchemy_async.testing.queue_contract import CAMPAIGN, a_revision, an_offer, an_outcome

SETTINGS = """
[campaign]
name = "contract"
[[parameters]]
name = "temperature"
type = "continuous"
bounds = [0, 1000]
[[objectives]]
name = "yield"
goal = "maximize"
[[workers]]
name = "w"
driver = "lab:f"
options = {since = 2026-11-22, most = inf}
"""
ASKER = {"campaign": CAMPAIGN, "instance": "i1", "host": "pc", "pid": 7}
RESULT = {
    "campaign": CAMPAIGN, "experiment": "e0001", "attempt": 1, "status": "completed", "values": {"yield": 0.25},
    "started_at": "2026-11-22T10:33:27Z", "finished_at": "2026-11-22T10:34:27Z",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def client(root):
    with TestClient(create_app(make_service(ServiceSettings(root=root)))) as client:
        yield client


@pytest.fixture
def folder(root, tmp_path):
    folder = root / tmp_path.name[-60:]
    folder.mkdir()
    (folder / "campaign.toml").write_text(SETTINGS)
    with locks.hold(folder / "planner.lock", what="the test plans", mend=""):  # so that the server starts no planner
        yield folder


@pytest.fixture
def planner(folder):
    end = FolderPlannerEnd(folder, campaign=CAMPAIGN, clock=SystemClock())
    yield end
    end.close()


@pytest.fixture
def pool(folder):
    return f"/api/v1/sessions/{folder.name}/pool"


@pytest.fixture
def post(client, pool):
    def post(path, body, worker="w1"):
        return client.post(f"{pool}/{worker}/{path}", json=body)

    return post


@pytest.fixture
def news(client, pool):
    def news(**query):
        return client.get(f"{pool}/news", params=query).json()

    return news


def claim(*names, **changes):
    return ASKER | {"attempts": list(names)} | changes


def test_the_settings_are_those_of_the_file_as_json_can_hold_them(client, pool):
    said = client.get(f"{pool}/settings").json()

    assert said["settings"]["objectives"] == [{"name": "yield", "goal": "maximize"}]
    assert said["settings"]["workers"][0]["options"] == {"since": "2026-11-22", "most": "inf"}
    assert said["campaign"].startswith("contract-")


def test_a_session_without_variables_says_so_to_a_pool(client, folder):
    other = folder.parent / "s2"
    other.mkdir()
    (other / "campaign.toml").write_text('[campaign]\nname = "s"\n[[objectives]]\nname = "y"\ngoal = "maximize"\n')

    refused = client.get("/api/v1/sessions/s2/pool/settings")

    assert refused.status_code == 400
    assert "no variable yet" in refused.json()["detail"]


def test_before_the_first_revision_there_is_no_news(news):
    assert news(offers=8) == {"campaign": None, "revision": None, "state": None, "cancel": [], "offers": []}


def test_news_show_the_best_offers_that_nobody_has_and_that_the_labels_allow(planner, post, news):
    planner.publish(a_revision(an_offer(1), an_offer(2, requires=("hot",)), an_offer(3), an_offer(4)))
    post("claim", claim("e0001.1"))

    said = news(offers=2, labels=[])

    assert [offer["experiment"] for offer in said["offers"]] == ["e0003", "e0004"]
    assert [offer["experiment"] for offer in news(offers=2, labels=["hot"])["offers"]] == ["e0002", "e0003"]


@pytest.mark.parametrize("state", [QueueState.PAUSED, QueueState.DRAINING, QueueState.STOPPED])
def test_nothing_is_offered_or_claimed_while_the_queue_does_not_run(planner, post, news, state):
    planner.publish(a_revision(an_offer(), state=state))

    assert news(offers=8)["offers"] == []
    assert post("claim", claim("e0001.1")).json() == {"claim": None}


def test_news_that_are_known_are_waited_for_and_come_as_soon_as_they_are_published(planner, news):
    planner.publish(a_revision(number=4))
    began = time.monotonic()
    threading.Timer(0.3, lambda: planner.publish(a_revision(an_offer(), number=5))).start()

    said = news(seen=4, wait_s=20)

    assert said["revision"] == 5
    assert 0.2 < time.monotonic() - began < 10


def test_news_that_are_known_come_again_when_the_time_is_up(planner, news):
    planner.publish(a_revision(number=4))

    assert news(seen=4, wait_s=0.1)["revision"] == 4


def test_a_claim_lies_in_the_folder_under_the_name_of_the_worker_elsewhere(planner, post, folder):
    planner.publish(a_revision(an_offer(), number=3))

    said = post("claim", claim("e0001.1", idempotent=True)).json()["claim"]

    assert said == parse_json((folder / "dump/claims/e0001.1.json").read_bytes())
    assert (said["worker"], said["instance"], said["host"], said["pid"]) == ("w1", "i1", "pc", 7)
    assert (said["revision"], said["idempotent"], said["parameters"]) == (3, True, an_offer().parameters)


def test_of_several_attempts_the_first_that_is_free_is_claimed(planner, post):
    planner.publish(a_revision(an_offer(1), an_offer(2), an_offer(3)))
    post("claim", claim("e0001.1", instance="i2"), worker="w2")

    said = post("claim", claim("e0001.1", "e0009.1", "e0003.1", "e0002.1")).json()["claim"]

    assert said["experiment"] == "e0003"


def test_a_claim_whose_answer_was_lost_is_the_same_claim_again_even_after_a_restart(planner, post, pool, folder):
    planner.publish(a_revision(an_offer(1), an_offer(2)))
    asked = claim("e0001.1", "e0002.1")

    first = post("claim", asked).json()
    planner.publish(a_revision(an_offer(2), number=2))
    with TestClient(create_app(make_service(ServiceSettings(root=folder.parent)))) as restarted:
        again = restarted.post(f"{pool}/w1/claim", json=asked).json()

    assert again == first
    assert [path.name for path in (folder / "dump/claims").iterdir()] == ["e0001.1.json"]


@pytest.mark.parametrize("changes", [{"instance": "i2"}, {"worker": "w2"}])
def test_another_process_or_worker_does_not_get_what_was_claimed(planner, post, changes):
    planner.publish(a_revision(an_offer()))
    post("claim", claim("e0001.1"))
    worker = changes.pop("worker", "w1")

    assert post("claim", claim("e0001.1", **changes), worker=worker).json() == {"claim": None}


def test_what_was_never_offered_can_not_be_claimed(planner, post, folder):
    planner.publish(a_revision(an_offer(1)))

    assert post("claim", claim("e0002.1")).json() == {"claim": None}
    assert not list((folder / "dump/claims").iterdir())


def test_a_claim_that_the_disk_did_not_confirm_is_not_told_and_still_the_workers_own(planner, post, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    planner.publish(a_revision(an_offer(1), an_offer(2)))
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "fsync_folder", fail)
        refused = post("claim", claim("e0001.1", "e0002.1"))

    assert refused.status_code == 503
    assert "Input/output" not in refused.text
    assert post("claim", claim("e0001.1", "e0002.1")).json()["claim"]["experiment"] == "e0001"


def test_a_beat_lies_in_the_folder_and_an_older_one_does_not_undo_it(planner, post, client, pool):
    beat = {"instance": "i1", "host": "pc", "pid": 7, "state": "busy", "holds": "e0001.1", "labels": ["hot"]}
    post("beat", beat | {"beat": 2})
    post("beat", beat | {"beat": 1, "state": "idle", "holds": ""})

    (found,) = planner.collect([]).heartbeats
    told = client.get(f"{pool}/w1/beat").json()["heartbeat"]

    assert (found.beat, found.state, found.holds) == (2, "busy", AttemptKey("e0001", 1))
    assert (found.host, found.pid, found.labels) == ("pc", 7, ("hot",))
    assert told == found.to_wire()


def test_the_beat_of_a_fresh_process_follows_whatever_the_last_one_said(planner, post):
    post("beat", {"instance": "i1", "beat": 99, "state": "busy"})
    post("beat", {"instance": "i2", "beat": 1, "state": "idle"})

    (found,) = planner.collect([]).heartbeats

    assert (found.instance, found.beat) == ("i2", 1)


def test_a_worker_that_never_beat_has_no_last_beat(client, pool):
    assert client.get(f"{pool}/w1/beat").json() == {"heartbeat": None}


def test_a_result_is_collected_as_one_of_the_folder_and_its_repetition_once(planner, post):
    planner.publish(a_revision(an_offer()))
    post("claim", claim("e0001.1"))

    assert post("report", RESULT | {"metadata": {"lot": "ü-7"}}).json() == {"stored": True}
    assert post("report", RESULT | {"metadata": {"lot": "ü-7"}}).json() == {"stored": True}

    (delivery,) = planner.collect([an_offer().key]).deliveries
    assert (delivery.result.worker, delivery.result.key) == ("w1", an_offer().key)
    assert delivery.result.outcome.values == {"yield": 0.25}
    assert delivery.result.outcome.error is None
    assert delivery.result.outcome.metadata == {"lot": "ü-7"}


def test_a_failure_keeps_its_kind_and_message(planner, post):
    planner.publish(a_revision(an_offer()))
    failed = {"status": "failed", "values": {}, "error": {"kind": "retryable", "message": "the pump was dry"}}

    post("report", RESULT | failed)

    (delivery,) = planner.collect([an_offer().key]).deliveries
    assert (delivery.result.outcome.error.kind, delivery.result.outcome.error.message) == (
        "retryable",
        "the pump was dry",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"values": {"yield": "1"}},
        {"values": {"yield": True}},
        {"status": "done"},
        {"sems": {"yield": -1}},
        {"started_at": "yesterday"},
        {"experiment": "../../etc"},
        {"attempt": 0},
        {"attempt": "1"},
        {"error": {"path": "x"}},
        {"strange": 1},
        {"worker": "w2"},
    ],
)
def test_a_result_that_does_not_fit_is_refused_and_nothing_is_written(planner, post, folder, changes):
    planner.publish(a_revision(an_offer()))

    refused = post("report", RESULT | changes)

    assert refused.status_code == 422
    assert refused.json()["errors"]
    assert not list((folder / "dump").glob("worker_result_*"))


def test_a_result_with_nan_in_its_metadata_is_refused(client, pool, planner):
    planner.publish(a_revision(an_offer()))
    body = json.dumps(RESULT | {"metadata": {"x": float("nan")}})

    refused = client.post(f"{pool}/w1/report", content=body, headers={"Content-Type": "application/json"})

    assert refused.status_code == 422


def test_a_result_that_is_larger_than_a_message_may_be_is_refused(planner, post):
    planner.publish(a_revision(an_offer()))

    assert post("report", RESULT | {"metadata": {"x": "x" * 5_000_000}}).status_code == 413


@pytest.mark.parametrize("path", ["claim", "report"])
def test_what_belongs_to_another_campaign_is_refused(planner, post, path):
    planner.publish(a_revision(an_offer()))
    body = claim("e0001.1") if path == "claim" else RESULT

    refused = post(path, body | {"campaign": "other-00000000"})

    assert refused.status_code == 409
    assert CAMPAIGN in refused.json()["detail"]


@pytest.mark.parametrize("worker", ["planner", "Unknown", "a b", "..", "x" * 65])
def test_a_name_that_no_worker_may_have_is_refused(planner, post, worker):
    planner.publish(a_revision(an_offer()))

    assert post("claim", claim("e0001.1"), worker=worker).status_code in (404, 422)


def test_a_folder_that_was_lost_is_told_without_its_path(planner, post, folder):
    planner.publish(a_revision(an_offer()))
    post("beat", {"instance": "i1", "beat": 1, "state": "idle"})
    (folder / "dump").rename(folder / "elsewhere")

    refused = post("claim", claim("e0001.1"))

    assert refused.status_code == 503
    assert str(folder) not in refused.text


def test_a_worker_in_the_folder_and_one_elsewhere_never_get_the_same_attempt(planner, post, folder):
    from alchemy_async.queues.folder_worker import FolderWorkerEnd

    planner.publish(a_revision(an_offer(1), an_offer(2)))
    here = FolderWorkerEnd(folder, worker="w2", instance="i2")

    first = here.claim()
    second = post("claim", claim("e0001.1", "e0002.1")).json()["claim"]

    assert (first.key.experiment, second["experiment"]) == ("e0001", "e0002")
    assert here.claim() is None
    here.report(first.key, an_outcome())
    assert len(planner.collect([first.key]).deliveries) == 1
