"""Best found: whole campaigns in simulated time, three workers, experiments of 5 to 30 s, over several seeds.

    .venv/bin/python benchmarks/best_found.py              # prints the table
    .venv/bin/python benchmarks/best_found.py --write      # and puts it into docs/benchmarks.md

The planner daemon is the real one; only the instruments are simulated, and asks cost no simulated time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tomllib
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from alchemy_async.benchmark.demo import BRANIN_MINIMUM
from alchemy_async.config import check_campaign
from alchemy_async.config.templates import template
from alchemy_async.drivers.load import load_driver
from alchemy_async.planner.load import load_planner
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- best_found: begin -->", "<!-- best_found: end -->"


def run(problem: str, strategy: str, budget: int, seed: int) -> dict[str, float]:
    """Run one campaign; return the best value and the mean time of an ask in seconds."""
    document = tomllib.loads(template(problem))
    document["budget"] = {"experiments": budget}
    options = document["planner"].get("options", {}) if strategy == "bayesian" else {}
    document["planner"] = {"strategy": strategy, "seed": seed, "look_ahead": 1, "options": options}
    group = document["workers"][0]
    group["options"].pop("durations", None)
    settings = check_campaign(document, source=f"example {problem}")
    planner = load_planner(strategy, settings.as_space(), settings.as_objectives(), settings.planner.options)
    with tempfile.TemporaryDirectory() as folder:
        driver = load_driver(group["driver"], group["options"], Path(folder))
        lab = Lab(settings, planner, driver, Path(folder), n_workers=3, durations=uniform(5.0, 30.0), seed=seed)
        summary = lab.run()
        asks = [asked.wall_s for asked in lab.asker.asked]
        lab.ledger.close()
    if summary.best is None or summary.counts["completed"] != budget:
        raise RuntimeError(f"the campaign did not end as it should: {summary}")
    return {"best": summary.best["value"], "ask_s": statistics.median(asks) if asks else float("nan")}


def best_of_suzuki() -> float:
    """Return the best yield in the table."""
    from alchemy_async.drivers.surfaces import olympus_folder

    lines = (olympus_folder() / "datasets" / "dataset_suzuki" / "data.csv").read_text().split()
    return max(float(line.split(",")[-1]) for line in lines)


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--json", type=Path, help="keep every single value here")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: the table shows a spread")
    began, everything = time.monotonic(), {}
    rows = [
        "| problem | evaluations | planner | best found, median | 25 % to 75 % | worst | ask, s, median |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for problem, budget in (("branin", 20), ("branin", 40), ("suzuki", 20)):
        for strategy in ("bayesian", "sobol"):
            runs = [run(problem, strategy, budget, seed) for seed in range(arguments.seeds)]
            everything[f"{problem}-{budget}-{strategy}"] = runs
            rows.append(row(problem, budget, strategy, runs))
            print(rows[-1], file=sys.stderr, flush=True)
    table = "\n".join(rows)
    note = (
        f"{arguments.seeds} seeds, 3 workers, {time.monotonic() - began:.0f} s in all. Known best: Branin "
        f"{BRANIN_MINIMUM:.4f} (to minimise); Suzuki {best_of_suzuki():.2f}, the best yield in the table (to maximise)."
    )
    print(f"{table}\n\n{note}")
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1))
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{note}\n{END}{rest.partition(END)[2]}")
    return 0


def row(problem: str, budget: int, strategy: str, runs: list[dict[str, float]]) -> str:
    """Return one row of the table."""
    best = sorted(found["best"] for found in runs)
    quarters = statistics.quantiles(best, n=4, method="inclusive")
    worst = best[0] if problem == "suzuki" else best[-1]
    ask = statistics.median(found["ask_s"] for found in runs)
    return (
        f"| {problem} | {budget} | {strategy} | {statistics.median(best):.4f} | {quarters[0]:.4f} to {quarters[2]:.4f} "
        f"| {worst:.4f} | {ask:.2f} |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
