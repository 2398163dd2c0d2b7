"""Campaigns in simulated time: a campaign file and a function, run once for each seed.

In:    campaign.toml, a function instead of instruments, workers, durations, how long an ask takes.
Out:   the object that ``alchemy-async simulate --json`` prints.
Never: writes beside campaign.toml, or keeps a ledger.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async import files
from alchemy_async.config import CampaignSettings, check_campaign
from alchemy_async.drivers import Driver
from alchemy_async.drivers.load import load_driver
from alchemy_async.errors import DriverError, FolderError, Mistake, SettingsError
from alchemy_async.experiment import State
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.simulation import SimulationError, machines
from alchemy_async.simulation.durations import Durations, parse
from alchemy_async.simulation.figures import figures
from alchemy_async.simulation.lab import Lab

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Wish:
    """What is to be simulated.

    Args:
        campaign: A campaign file, or the folder that holds campaign.toml.
        function: ``module:name`` of what is measured, beside the campaign file or installed.
        optimum: The best value that there is, in the objective's unit; None if nobody knows.
        n_workers: How many workers, > 0.
        durations: How long experiments take, as `durations.parse` reads it.
        budget: How many experiments; None: as the campaign says.
        seeds: Of planner and durations; one campaign for each.
        strategy: The planner; None: as the campaign says.
        latency_s: Simulated seconds of one ask; None: as long as it really takes.
        is_synchronous: Whether workers take experiments in batches, all of them at once.
        depth: Look-ahead, ``auto`` or a number; None: as the campaign says, in batches 0.
    """

    campaign: Path
    function: str
    optimum: float | None = None
    n_workers: int = 3
    durations: str = "5,30"
    budget: int | None = None
    seeds: tuple[int, ...] = (0,)
    strategy: str | None = None
    latency_s: float | None = 0.0
    is_synchronous: bool = False
    depth: int | str | None = None


def simulate(wish: Wish, show: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
    """Run one campaign for each seed.

    Args:
        wish: What is to be simulated.
        show: Called with the figures of each campaign once it has ended.

    Returns:
        ``{"runs": [...]}``, the figures of each seed, and how many experiments were completed and how many failed
        or were refused (``n_completed``, ``n_failed``), and why the campaign ended (``ended``). With several
        objectives the figures are those of the first.

    Raises:
        FolderError: If there is no such file.
        SettingsError: If it has mistakes, or a wish does not fit it.
        DriverError: If the function can't be loaded.
        PlannerError: If the planner can't be loaded, or can't do what the campaign asks for.
        SimulationError: If no experiment of a campaign could be completed, or the workers are too few for its
            machines.
    """
    path = wish.campaign / "campaign.toml" if wish.campaign.is_dir() else wish.campaign
    settings = _settings(wish, path)
    machines.check(settings, wish.n_workers)
    folder = path.resolve().parent
    durations = parse(wish.durations, folder)
    driver = _driver(wish.function, settings, folder)
    runs = []
    for seed in wish.seeds:
        runs.append({"seed": seed, **_run(wish, settings, driver, durations, folder, seed)})
        show(runs[-1])
    return {"runs": runs}


def _settings(wish: Wish, path: Path) -> CampaignSettings:
    document = _read(path)
    planner, budget = document.get("planner", {}), document.get("budget", {})
    if not (isinstance(planner, dict) and isinstance(budget, dict)):
        return check_campaign(document, source=str(path))  # which says what is wrong
    planner, budget = dict(planner), dict(budget)
    if wish.strategy is not None and wish.strategy != planner.get("strategy", "bayesian"):
        planner.pop("options", None)  # they are another planner's
        planner["strategy"] = wish.strategy
    depth = 0 if wish.is_synchronous and wish.depth is None else wish.depth
    if depth is not None:
        planner["look_ahead"] = depth
    if wish.budget is not None:
        budget |= {"experiments": wish.budget}
        budget.pop("max_started", None)
    settings = check_campaign({**document, "planner": planner, "budget": budget}, source=str(path))
    settings = settings.in_folder(path.parent)
    if not (settings.budget.experiments or settings.budget.hours or settings.budget.target is not None):
        raise SimulationError(f"Nothing ends this campaign. Give --budget N, or write a [budget] into {path}.")
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        text = files.read_file(path.resolve(), limit=_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "it is no file"
        raise FolderError(
            f"{path} can't be read: {reason}. Name a campaign file, such as one that `init` writes."
        ) from error
    except UnicodeDecodeError:
        raise SettingsError(str(path), [Mistake(path.name, "is not UTF-8", "Save the file as UTF-8.")]) from None
    try:
        return tomllib.loads(text)
    except ValueError as error:
        mend = "Compare it with what `alchemy-async init` writes."
        raise SettingsError(str(path), [Mistake(path.name, f"is not TOML: {error}", mend)]) from None


def _driver(function: str, settings: CampaignSettings, folder: Path) -> Driver:
    """Return what is measured, with the options that a worker group of the campaign gives the same driver."""
    groups = [group.options for group in settings.workers if group.driver == function]
    options = {key: value for key, value in (groups[0] if groups else {}).items() if key != "durations"}
    try:
        driver = load_driver(function, options, folder)
    except DriverError as error:
        raise DriverError(f"--function is loaded as the driver of a worker is, and {error}") from error
    connect = getattr(driver, "connect", None)
    if connect is not None:
        connect()
    return driver


def _run(
    wish: Wish, settings: CampaignSettings, driver: Driver, durations: Durations, folder: Path, seed: int
) -> dict[str, Any]:
    recipe = PlannerRecipe(
        settings.planner.strategy, settings.as_space(), settings.as_objectives(), settings.planner.keywords(), folder
    )
    planner = recipe.make()
    warm_up = getattr(planner, "warm_up", None)
    if warm_up is not None:
        warm_up()  # as the planner's own process does before its first question
    with tempfile.TemporaryDirectory() as place:
        lab = Lab(
            settings,
            planner,
            driver,
            Path(place),
            n_workers=wish.n_workers,
            durations=durations,
            latency_s=wish.latency_s,
            is_synchronous=wish.is_synchronous,
            seed=seed,
            recipe=recipe,
        )
        with lab.ledger:
            summary = lab.run()
    _check_that_something_came(lab, wish.function)
    shown = figures(
        lab,
        *settings.as_objectives(),
        n_workers=wish.n_workers,
        is_synchronous=wish.is_synchronous,
        optimum=wish.optimum,
        fidelity=settings.as_fidelity(),
    )
    n = summary.counts
    return shown | {
        "n_completed": n[State.COMPLETED],
        "n_failed": n[State.FAILED] + n[State.INFEASIBLE],
        "ended": summary.reason,
    }


def _check_that_something_came(lab: Lab, function: str) -> None:
    errors = [ran.outcome.error for ran in lab.ran]
    if errors and all(errors):
        first = errors[0]
        said = "" if first is None else first.in_short()
        raise SimulationError(
            f"None of {len(errors)} experiments was completed. {function} said first: {said.rstrip('.')}."
        )
    complaints = [asked.error for asked in lab.asker.asked]
    if complaints and all(complaints):
        raise SimulationError(f"The planner never answered: {complaints[0]}")
