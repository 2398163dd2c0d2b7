from __future__ import annotations

import json
from datetime import timedelta

import pytest

from alchemy_async.clock import to_wire
from alchemy_async.experiment import History, Observed
from alchemy_async.planner.bayesian import BayesianPlanner

IMPROVES = "most improvement expected: yield 84.00 ± 3.0 % predicted"
NOTED = {"acquisition": -2.5, "n_observations": 2, "n_pending": 1, "seed": 7}


@pytest.fixture
def explain(run):
    """Return an explanation in words, on one line, so that a sentence is found wherever it is folded."""

    def explain_one(experiment):
        shown = run("explain", experiment)
        assert shown.exit_code == 0, shown.output
        return " ".join(shown.stdout.split())

    return explain_one


@pytest.fixture
def document(run):
    return lambda experiment: json.loads(run("explain", experiment, "--json").stdout)


@pytest.fixture
def known(bench):
    """Two results, 70 and 85.2 %, measured a minute before anything else happens."""
    bench.started(budget=20)
    names = []
    for temperature, value in ((310, 70.0), (320, 85.25)):
        names.append(bench.add(temperature, origin="initial", reason="initial design: sobol", pinned=True))
        bench.claim(names[-1])
        bench.report(names[-1], value)
    bench.clock.advance(60)
    return names


def noted(mean, sd, **others):
    return {**NOTED, "expected": {"yield": {"mean": mean, "sd": sd}}, **others}


def test_why_a_point_was_chosen_is_told_by_what_was_known_then(bench, known, explain, document):
    name = bench.add(330, reason=IMPROVES, metadata=noted(84.0, 3.0))

    words = explain(name)

    assert "chose it on 2026-01-01 00:01:00 UTC, as the point where most improvement was to be expected." in words
    assert "Then 2 results were known, and 1 point was still to come." in words
    assert f"The best yield then was 85.25 % ({known[1]})." in words
    assert "expected yield to be 84.0 ± 3.0 %, with a chance of 34 % of a better one" in words
    assert "it goes where little is known" in words
    chosen = document(name)["chosen"]
    assert chosen["expected"]["yield"]["better"] == pytest.approx(0.3385, abs=1e-3)  # 0.417 standard deviations
    assert (chosen["seed"], chosen["acquisition"]) == (7, -2.5)


def test_the_chance_to_succeed_is_told_where_the_planner_weighed_it(bench, known, explain):
    assert "A chance of 80 % was seen to succeed." in explain(bench.add(330, metadata=noted(84.0, 3.0, chance=0.8)))
    assert "to succeed" not in explain(bench.add(340, metadata=noted(84.0, 3.0)))


def test_a_point_that_looks_best_is_chosen_for_that(bench, known, explain):
    name = bench.add(330, reason=IMPROVES, metadata=noted(90.0, 1.0))

    assert "with a chance of more than 99 % of a better one: it goes for what looks best." in explain(name)


def test_where_next_to_no_better_value_is_thought_possible_nothing_is_said_of_what_could_be_won(bench, known, explain):
    words = explain(bench.add(330, reason=IMPROVES, metadata=noted(60.0, 1.0)))

    assert "with a chance of less than 1 % of a better one." in words


SOUGHT = {
    "improvement": "as the point where most improvement was to be expected.",
    "probability": "as the point where an improvement was likeliest.",
    "bound": "as the point whose value may well be the best.",
    "variance": "as the point that tells most of what is not known yet.",
}


def suggested(bench, **options):
    """Queue what the planner suggests after four results of all objectives, and return its id."""
    settings = bench.site.settings
    objectives = settings.as_objectives()
    points = [{"temperature": t, "solvent": "DMF"} for t in (300, 330, 360, 390)]
    values = [{one.name: 80.0 + (-1) ** i * k**2 for i, one in enumerate(objectives)} for k in range(4)]
    history = History(tuple(map(Observed, points, values)))
    (found,) = BayesianPlanner(settings.as_space(), objectives, **options).ask(history, (), 1, 0)
    return bench.add(found.parameters["temperature"], reason=found.reason, metadata=found.metadata)


@pytest.mark.parametrize("strategy", SOUGHT)
def test_each_strategy_is_told_by_what_it_looks_for(bench, known, explain, strategy):
    words = explain(suggested(bench, strategy=strategy))

    assert SOUGHT[strategy] in words
    assert "Its reason" not in words
    assert strategy in ("improvement", "bound") or "it goes" not in words


def test_with_several_objectives_the_front_is_what_was_to_gain(folder, request, explain):
    path = folder / "campaign.toml"
    path.write_text(path.read_text().replace("[budget]", '[[objectives]]\nname = "cost"\ngoal = "minimize"\n[budget]'))

    words = explain(suggested(request.getfixturevalue("bench")))

    assert "as the point by which the front was expected to gain most." in words
    assert "expected yield to be" in words
    assert "expected cost to be" in words


def test_a_reason_in_a_planners_own_words_is_quoted_beside_what_it_expected(bench, known, explain):
    words = explain(bench.add(330, reason="ratio 1: 2 was due", metadata=noted(84.0, 3.0)))

    assert "UTC. Then 2 results were known" in words
    assert "Its reason: ratio 1: 2 was due. The best yield then was" in words
    assert "a chance of 34 % of a better one." in words


def test_what_was_pending_and_when_it_was_asked_are_told_where_the_daemon_noted_them(bench, known, explain, document):
    asked_at = to_wire(bench.clock.now() - timedelta(seconds=10))
    several = {"pending": [f"e00{i}" for i in range(30, 38)], "asked_at": asked_at, "ask_s": 0.03}
    name = bench.add(330, metadata=noted(84.0, 3.0, **several))

    words = explain(name)

    assert "on 2026-01-01 00:00:50 UTC" in words
    assert "8 experiments were still to come (e0030, e0031, e0032, e0033, e0034 and 3 more)." in words
    assert document(name)["chosen"]["ask_s"] == 0.03


def test_the_best_then_is_not_the_best_of_today(bench, known, explain, document):
    name = bench.add(330, metadata=noted(84.0, 3.0))
    bench.clock.advance(5)
    later = bench.add(340)
    bench.claim(later)
    bench.report(later, 97.0)

    assert f"The best yield then was 85.25 % ({known[1]})." in explain(name)
    assert document(name)["best"] == {"experiment": later, "value": 97.0, "keeps_limits": True}


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (84.9, "Yield is about what was expected. The best so far is 85.25 %"),
        (88.5, "Yield is within what was thought possible. It is the best result so far."),
        (95.0, "Yield is a surprise, better than expected"),
        (60.0, "Yield is a surprise, worse than expected"),
    ],
)
def test_what_was_measured_is_held_against_what_was_expected(bench, known, explain, value, verdict):
    name = bench.add(330, metadata=noted(84.0, 3.0))
    bench.claim(name, "reactor-2")
    bench.report(name, value, worker="reactor-2")

    words = explain(name)

    assert f"{name} completed by reactor-2 temperature = 330, solvent = DMF" in words
    assert "00:01:00 taken by reactor-2" in words
    assert f"reactor-2 measured yield = {value:g} %" in words
    assert verdict in words


def test_revisions_are_told_with_their_points_and_times(bench, known, explain, document):
    name = bench.add(330, metadata=noted(80.0, 3.0), reason="first")
    for temperature in (340, 350):
        bench.clock.advance(30)
        with bench.ledger.change() as change:
            point = {"temperature": temperature, "solvent": "THF"}
            change.revise(name, point, reason="then", metadata=noted(86.0, 3.0))

    words = explain(name)

    assert "its parameters were revised 2 times: 2026-01-01 00:01:00 temperature = 330" in words
    assert "00:01:30 temperature = 340, solvent = THF 00:02:00 temperature = 350" in words
    assert "on 2026-01-01 00:02:00 UTC" in words
    assert "86.0 ± 3.0 %" in words
    assert [offer["reason"] for offer in document(name)["offers"]] == ["first", "then", "then"]


def test_a_worker_that_took_an_older_offer_is_not_told_the_prediction_of_a_newer_one(bench, known, document):
    from alchemy_async.experiment import AttemptKey, Claim

    name = bench.add(330, reason="the older", metadata=noted(80.0, 3.0))
    with bench.ledger.change() as change:
        change.revise(name, {"temperature": 390, "solvent": "THF"}, reason="the newer", metadata=noted(99.0, 1.0))
        key = AttemptKey(name, 1)
        change.list_attempts([key])
        change.claim(Claim(bench.ledger.campaign, key, 1, {"temperature": 330, "solvent": "DMF"}, "reactor-1", "i"))

    told = document(name)

    assert (told["parameters"]["temperature"], told["reason"], len(told["offers"])) == (330, "the older", 1)
    assert told["chosen"]["expected"] == {}


@pytest.mark.parametrize(
    ("origin", "reason", "words"),
    [
        ("initial", "initial design: sobol", "It belongs to the initial design, which is measured before a model can"),
        ("fill", "space-filling: no model yet", "It fills the space: no model had a point ready"),
        ("person", "a hunch", "A person staged it (a hunch). It was queued on 2026-01-01 00:00:00 UTC."),
        ("design", "lhs design of 3, seed 42", "as one point of a design (lhs design of 3, seed 42)."),
        ("planner", "a point at random", "Its reason: a point at random."),
    ],
)
def test_every_origin_has_its_sentence(bench, explain, origin, reason, words):
    name = bench.add(330, origin=origin, reason=reason)

    assert words in explain(name)
    assert explain(name).endswith("Since then: nothing. It waits for a worker.")


def test_what_became_of_it_is_told_step_by_step(bench, known, explain):
    name = bench.add(330, origin="person")
    bench.claim(name)
    bench.interrupt(name)
    with bench.ledger.change() as change:
        change.requeue(name)
    bench.claim(name, "reactor-2", attempt=2)
    bench.report(name, worker="reactor-2", attempt=2, kind="error")

    words = explain(name)

    steps = [
        "taken by reactor-1",
        "interrupted on reactor-1: its lease ended",
        "offered again: a person asked for it",
        "taken by reactor-2",
        "failed on reactor-2: error: why",
    ]
    assert sorted(steps, key=words.index) == steps
    assert words.startswith(f"{name} failed, attempt 2")


@pytest.mark.parametrize(
    "metadata",
    [
        {"expected": 3},
        {"expected": {"yield": "much"}},
        {"expected": {"yield": {"mean": "x", "sd": 1}}, "acquisition": {}},
        {"pending": 3, "asked_at": 5, "n_observations": "many", "n_pending": [], "seed": None},
    ],
)
def test_a_planner_of_ones_own_may_note_whatever_it_likes(bench, known, explain, metadata):
    words = explain(bench.add(330, reason="because", metadata=metadata))

    assert "Then 2 results were known." in words
    assert "Its reason: because." in words


def test_no_line_is_longer_than_a_terminal_is_wide(bench, known, run):
    name = bench.add(330.123456789, metadata=noted(84.123456, 3.0, pending=[f"e{i:04d}" for i in range(40)]))
    bench.claim(name)
    bench.report(name, kind="error " * 40)

    assert max(map(len, run("explain", name).stdout.splitlines())) <= 80


def test_an_experiment_that_there_is_not_is_refused_with_where_to_look(bench, run):
    refused = run("explain", "e0099")

    assert refused.exit_code == 1
    assert "alchemy-async export" in refused.stderr


def test_a_campaign_that_never_started_has_nothing_to_explain(run):
    refused = run("explain", "e0001")

    assert refused.exit_code == 1
    assert "never started" in refused.stderr
