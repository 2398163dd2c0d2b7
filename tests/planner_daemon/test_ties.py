from __future__ import annotations

import itertools

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.errors import SettingsError
from alchemy_async.experiment import State
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.planner_daemon.ties import Kind, Ties, Worker
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab

A, B, BOTH = frozenset({"A"}), frozenset({"B", "hot"}), frozenset({"A", "B"})


def workers(*labels, idle=()):
    return [Worker(f"w-{k}", each, is_idle=k in idle) for k, each in enumerate(labels)]


def test_a_point_requires_the_label_of_its_machine():
    assert Ties({"machine": ("A", "B")}).requires({"x": 0.5, "machine": "B"}) == ("B",)
    assert Ties({}).requires({"x": 0.5}) == ()


def test_without_tied_parameters_all_workers_are_of_one_kind_and_nothing_is_held():
    (kind,) = Ties({}).kinds(workers(A, frozenset(), idle=(1,)), turn=3)

    assert (len(kind.living), len(kind.idle), kind.hold) == (2, 1, {})


def test_workers_of_one_machine_get_points_for_it_and_those_of_all_machines_for_any():
    kinds = Ties({"machine": ("A", "B")}).kinds(workers(A, B, BOTH, A, idle=(1,)), turn=0)

    assert [(sorted(kind.workers), kind.hold) for kind in kinds] == [
        (["w-1"], {"machine": "B"}),  # the one that is idle comes first
        (["w-0", "w-3"], {"machine": "A"}),
        (["w-2"], {}),
    ]


def test_a_worker_of_some_machines_gets_points_for_one_after_the_other():
    ties = Ties({"machine": ("A", "B", "C")})

    assert [ties.kinds(workers(BOTH), turn)[0].hold["machine"] for turn in range(4)] == ["A", "B", "A", "B"]


def test_who_can_run_nothing_gets_nothing():
    assert Ties({"machine": ("A", "B")}).kinds(workers(frozenset({"hot"})), turn=0) == [Kind()]


CAMPAIGN = {
    "campaign": {"name": "machines"},
    "parameters": [
        {"name": "x", "type": "continuous", "bounds": [0, 1]},
        {"name": "machine", "type": "categorical", "options": ["A", "B"], "tied": True},
    ],
    "objectives": [{"name": "y", "goal": "maximize"}],
    "budget": {"experiments": 24},
    "planner": {"strategy": "bayesian", "seed": 4, "look_ahead": 1},
}


class Machines:
    """B is the better machine, and takes its time."""

    def measure(self, parameters, context):
        return -((parameters["x"] - 0.3) ** 2) + (0.5 if parameters["machine"] == "B" else 0.0)


@pytest.mark.parametrize("n_workers", [2, 3])
def test_each_worker_runs_its_own_machine_alone_and_none_of_them_waits(tmp_path, n_workers):
    settings = check_campaign(CAMPAIGN)
    recipe = PlannerRecipe("bayesian", settings.as_space(), settings.as_objectives(), {}, tmp_path)

    def seconds(rng, parameters):
        return uniform(20.0, 40.0)(rng, parameters) / (1 if parameters["machine"] == "B" else 4)

    lab = Lab(
        settings, recipe.make(), Machines(), tmp_path,
        n_workers=n_workers, durations=seconds, latency_s=0.0, seed=4, recipe=recipe,
    )  # fmt: skip

    with lab.ledger:
        lab.run()

        assert lab.ledger.tally()[State.COMPLETED] == 24
    machine_of = {ran.worker: set() for ran in lab.ran}
    for ran in lab.ran:
        machine_of[ran.worker].add(ran.offer.parameters["machine"])
    assert machine_of == {f"worker-{k + 1}": {"AB"[k % 2]} for k in range(n_workers)}
    for worker in machine_of:
        own = sorted((ran.started_s, ran.finished_s) for ran in lab.ran if ran.worker == worker)
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(own)]
        assert max(gaps) < 2.5, f"{worker} waited for more than one look"
    on_the_better = [ran.offer.parameters["x"] for ran in lab.ran if ran.offer.parameters["machine"] == "B"]
    assert min(abs(x - 0.3) for x in on_the_better) < 0.1


def test_an_option_that_no_worker_has_a_label_for_is_told_before_the_start():
    document = CAMPAIGN | {"workers": [{"name": "w", "driver": "my_lab:run", "labels": ["A"]}]}

    with pytest.raises(SettingsError, match='Write `labels = \\["B"\\]` under'):
        check_campaign(document)
