"""Which machines simulated workers have, and what becomes of a simulation in which a machine has nobody."""

from __future__ import annotations

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.simulation import SimulationError, machines
from alchemy_async.simulation.campaigns import Wish, simulate

TIED = """
[[parameters]]
name = "machine"
type = "categorical"
options = ["m1", "m2"]
tied = true

[[parameters]]"""


def document(workers=(), **ties):
    tied = [
        {"name": name, "type": "categorical", "options": list(options), "tied": True} for name, options in ties.items()
    ]
    return {
        "campaign": {"name": "machines"},
        "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}, *tied],
        "objectives": [{"name": "y", "goal": "maximize"}],
        "workers": [
            {"name": f"w{k}", "driver": "a:b", "count": n, "labels": own} for k, (n, *own) in enumerate(workers)
        ],
    }


def test_without_workers_in_the_campaign_each_has_one_machine_in_turn():
    settings = check_campaign(document(oven=("a", "b"), pump=("p", "q")))

    assert machines.labels(settings, 5) == [("a", "p"), ("a", "q"), ("b", "p"), ("b", "q"), ("a", "p")]


def test_simulated_workers_have_the_labels_of_the_campaigns_own_one_of_each_group_first():
    settings = check_campaign(document([(3, "m1"), (1, "m2", "hplc")], machine=("m1", "m2")))

    assert machines.labels(settings, 5) == [("m1",), ("m2", "hplc"), ("m1",), ("m1",), ("m1",)]


def test_a_campaign_without_machines_has_workers_enough_with_one():
    machines.check(check_campaign(document()), 1)


def test_one_worker_that_can_run_all_machines_is_enough():
    machines.check(check_campaign(document([(1, "m1", "m2")], machine=("m1", "m2"))), 1)


def test_what_none_of_the_campaigns_workers_can_run_is_not_asked_of_the_simulated_ones():
    machines.check(check_campaign(document([(1, "a", "p"), (1, "b", "q")], oven=("a", "b"), pump=("p", "q"))), 2)


@pytest.mark.parametrize("workers", [(), [(2, "m1"), (1, "m2"), (1, "m3")]])
def test_fewer_workers_than_machines_are_refused_with_how_many_it_takes(workers):
    settings = check_campaign(document(workers, machine=("m1", "m2", "m3")))

    with pytest.raises(
        SimulationError, match=r"3 machines and 2 workers: .* planned for m3\. Give --workers 3 or more"
    ):
        machines.check(settings, 2)


def test_a_simulation_with_too_few_workers_is_refused_before_anything_runs(campaign):
    campaign.write_text(campaign.read_text().replace("\n[[parameters]]", TIED, 1))
    with (campaign.parent / "simulated_functions.py").open("a") as functions:
        functions.write("\ndef never(**parameters):\n    raise SystemExit('it was called')\n")

    with pytest.raises(SimulationError, match=r"2 machines and 1 worker: .*--workers 2 or more"):
        simulate(Wish(campaign, "simulated_functions:never", n_workers=1))


def test_a_dead_end_names_what_nobody_can_run(campaign):
    pump = TIED.replace("machine", "pump").replace("m1", "p1").replace("m2", "p2").removesuffix("\n[[parameters]]")
    workers = "".join(f'\n[[workers]]\nname = "w{k}"\ndriver = "a:b"\nlabels = ["m{k}", "p{k}"]\n' for k in (1, 2))
    campaign.write_text(campaign.read_text().replace("\n[[parameters]]", pump + TIED, 1) + workers)
    (campaign.parent / "simulated_functions.py").write_text("def flat(**parameters):\n    return 1.0\n")

    with pytest.raises(SimulationError, match=r"requires m\d and p\d\..*give one of \[\[workers\]\] `labels = \[\"m"):
        simulate(Wish(campaign, "simulated_functions:flat", n_workers=2))
