"""One session in which things happen, for tests that watch it."""

from __future__ import annotations

from alchemy_async.experiment import AttemptKey, Outcome, Result, Status
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.events import telling
from alchemy_async.service.gateway.limits import Limits

CAMPAIGN = """
[campaign]
name = "study"

[[parameters]]
name = "T"
type = "continuous"
bounds = [300, 400]

[[objectives]]
name = "Output"
goal = "maximize"
"""


def one_session(root):
    """Return a service of a root with the session s1; two clients may watch."""
    place = root / "s1"
    place.mkdir(parents=True)
    (place / "campaign.toml").write_text(CAMPAIGN)
    return make_service(ServiceSettings(root=root, limits=Limits(watchers=2)))


def stage(service, temperature=350.0, reason=""):
    with service.sessions.session("s1").desk.turn() as turn:
        return turn.change.add({"T": temperature}, reason=reason, pinned=True).id


def complete(service, experiment, value=1.5):
    with service.sessions.session("s1").desk.turn() as turn:
        key = AttemptKey(experiment, 1)
        turn.take(key, "robot", lease_s=60)
        outcome = Outcome(Status.COMPLETED, turn.now, turn.now, {"Output": value})
        turn.change.ingest(Result(turn.ledger.campaign, key, "robot", outcome), "digest")


def last(service):
    with service.sessions.session("s1").desk.look() as ledger:
        return telling.last_seq(ledger)
