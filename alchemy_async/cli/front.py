"""The Pareto front of a campaign with several objectives, as a document, a table, and a mark in the export.

In:    outcomes from the ledger, the objectives.
Out:   what `status` shows of the front; which outcomes are on it.
Never: weighs one objective against another; with one objective there is no front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from alchemy_async.cli import amounts
from alchemy_async.experiment import Objective, optimised
from alchemy_async.experiment.front import counts, front

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings

MOST_SHOWN = 12


def is_wanted(settings: CampaignSettings) -> bool:
    """Tell whether there are several objectives to optimise."""
    return len(optimised(settings.as_objectives())) > 1


def take(settings: CampaignSettings, outcomes: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the front of all measurements that count; None with one objective, or before the first.

    Returns:
        ``members`` (``experiment``, ``values``, ``parameters`` as run; the best in the first objective first),
        ``n_measured``, ``objectives`` (``name``, ``unit``, ``reference``: where the hypervolume begins; of a target,
        how far off it), ``hypervolume``.
    """
    counted = [outcome for outcome in outcomes if counts(outcome)]
    if not is_wanted(settings) or not counted:
        return None
    objectives = settings.as_objectives()
    wanted = optimised(objectives)
    found = front(objectives, [outcome["measured"] for outcome in counted])
    members = [counted[i] for i in found.members]
    members.sort(key=lambda outcome: -wanted[0].score(outcome["measured"][wanted[0].name]))
    return {
        "members": [
            {"experiment": one["experiment"], "values": one["measured"], "parameters": one["parameters"]}
            for one in members
        ],
        "n_measured": len(counted),
        "objectives": [
            {"name": one.name, "unit": one.unit, "reference": found.reference.get(one.name)} for one in wanted
        ],
        "hypervolume": found.hypervolume,
    }


def on_front(settings: CampaignSettings, outcomes: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the ids of the outcomes that are on the front."""
    counted = [outcome for outcome in outcomes if counts(outcome)]
    objectives: tuple[Objective, ...] = settings.as_objectives()
    found = front(objectives, [outcome["measured"] for outcome in counted])
    return {counted[i]["id"] for i in found.members}


def shown(front_of_all: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the front for people: a sentence, and its members in a table."""
    members, objectives = front_of_all["members"], front_of_all["objectives"]
    if not members:
        yield Text("Pareto front: none of the measurements keeps all limits.")
        return
    since = ", ".join(f"{one['name']} {amounts.measured(one['reference'], one['unit'])}" for one in objectives)
    yield Text(
        f"Pareto front: {len(members)} of {front_of_all['n_measured']} measurements, "
        f"hypervolume {front_of_all['hypervolume']:.6g} beyond {since}"
    )
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("experiment", *(one["name"] for one in objectives), "parameters"):
        table.add_column(name, overflow="fold", no_wrap=name != "parameters")
    for one in members[:MOST_SHOWN]:
        values = [amounts.measured(one["values"][each["name"]], each["unit"]) for each in objectives]
        table.add_row(one["experiment"], *map(Text, values), Text(amounts.point(one["parameters"], {})))
    if len(members) > MOST_SHOWN:
        table.add_row("", *("" for _ in objectives), f"and {len(members) - MOST_SHOWN} more; `export` marks them all")
    yield table
