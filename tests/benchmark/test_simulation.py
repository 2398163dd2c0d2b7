from __future__ import annotations

import tomllib
from itertools import pairwise

from alchemy_async.benchmark.simulation import Lab
from alchemy_async.config import check_campaign
from alchemy_async.config.templates import template
from alchemy_async.drivers.load import load_driver
from alchemy_async.experiment import State
from alchemy_async.planner.load import load_planner


def simulated(folder, *, budget=15, n_workers=3, strategy="sobol"):
    document = tomllib.loads(template("branin"))
    document["budget"] = {"experiments": budget}
    document["planner"] = {"strategy": strategy, "seed": 3, "look_ahead": 1}
    group = document["workers"][0]
    group["options"].pop("durations")
    settings = check_campaign(document)
    planner = load_planner(strategy, settings.as_space(), settings.as_objectives(), {})
    driver = load_driver(group["driver"], group["options"], folder)
    return Lab(settings, planner, driver, folder, n_workers=n_workers, durations=(5.0, 30.0), seed=3)


def spans(lab):
    return [(row["worker"], row["started_at"], row["finished_at"]) for row in lab.ledger.outcomes()]


def test_a_simulated_campaign_meets_its_budget_and_keeps_every_worker_busy(tmp_path):
    lab = simulated(tmp_path)

    summary = lab.run()

    assert summary.counts[State.COMPLETED] == 15
    assert {worker for worker, _, _ in spans(lab)} == {"worker-1", "worker-2", "worker-3"}
    for name in ("worker-1", "worker-2", "worker-3"):
        own = sorted((start, end) for worker, start, end in spans(lab) if worker == name)
        gaps = [after[0] != before[1] for before, after in pairwise(own)]
        assert not any(gaps), "an ask costs no simulated time, so no worker may wait for one"
    lab.ledger.close()


def test_the_same_seed_brings_the_same_campaign(tmp_path):
    ran = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        lab = simulated(tmp_path / name)
        lab.run()
        ran.append([(row["parameters"], row["measured"], row["finished_at"]) for row in lab.ledger.outcomes()])
        lab.ledger.close()

    assert ran[0] == ran[1]
