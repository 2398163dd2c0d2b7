"""Commands that steer: each is a short-lived writer of the ledger; a running planner acts on it within a second.

In:    what a person wants.
Out:   one transaction in the ledger, and a sentence that says what follows from it.
Never: writes into the two folders; the planner does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alchemy_async.cli.arguments import HERE, ExperimentId, Folder, Priority, check_line
from alchemy_async.cli.console import note
from alchemy_async.cli.site import open_site
from alchemy_async.errors import AlchemyError

if TYPE_CHECKING:
    from alchemy_async.cli.site import Site


class NotRunningError(AlchemyError):
    """A command needs a running planner, and there is none."""


def _when(site: Site) -> str:
    return "within a second" if site.planner() else "as soon as `alchemy-async plan` runs"


def _check_lines(texts: list[str] | None) -> list[str]:
    return [check_line(text) for text in texts or []]


Points = Annotated[
    str | None,
    typer.Argument(
        metavar="POINTS",
        help="One point as JSON, '{\"temperature\": 350}', or a list of them; - reads them from stdin.",
    ),
]
Design = Annotated[
    str | None, typer.Option(help="Instead of points: a design that fills the space; sobol, lhs, random or grid.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option(callback=_check_lines, help="A label that the worker must have; may be repeated."),
]


def stage(
    folder: Folder,
    points: Points = None,
    design: Design = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many points the design has.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of the design.")] = None,
    priority: Priority = 0.0,
    reason: Annotated[str, typer.Option(callback=check_line, help="Why, for the record.")] = "",
    requires: Labels = None,
) -> None:
    """Queue experiments of your own: all of them, or none if one does not fit. Prints their ids."""
    from alchemy_async.cli import staging

    if (points is None) == (design is None) or (design is None) != (n is None) or (design is None and seed is not None):
        raise typer.BadParameter("Give either POINTS as JSON, or a design: --design lhs --n 12 --seed 42.")
    site, labels = open_site(folder), requires or []
    if points is not None:
        wanted = staging.from_person(site, points, reason)
    else:
        wanted = staging.from_design(site, str(design), int(n or 0), seed, reason)
    with site.begin_ledger() as ledger:  # only now: a mistake leaves no ledger behind
        tied = site.settings.labels_for
        staged = staging.add_all(ledger, wanted, priority=priority, requires=lambda point: (*labels, *tied(point)))
    typer.echo("\n".join(staged))
    note(f"Offered {_when(site)}.")
    if labels and not any(set(labels) <= set(group.labels) for group in site.settings.workers):
        note("No worker in campaign.toml has these labels: only one from elsewhere can run this.")


def pause(folder: Folder = HERE) -> None:
    """Offer nothing for now; what runs is finished."""
    _want(
        open_site(folder),
        "paused",
        "Paused {when}: what runs is finished, and nothing else is offered until `alchemy-async resume`.",
    )


def resume(folder: Folder = HERE) -> None:
    """Go on after `pause`, or take a `drain` back."""
    _want(open_site(folder), "running", "Resumed {when}: experiments are offered.")


def drain(folder: Folder = HERE) -> None:
    """Finish what runs, then end both daemons."""
    site = open_site(folder)
    if site.planner() is None:
        raise NotRunningError(
            f"No planner runs in {site.folder}, and only a planner can drain a campaign. Start `alchemy-async plan` "
            "and drain then; or end a worker pool alone with Ctrl-C in its terminal."
        )
    _want(site, "draining", "What runs is finished, then both daemons end.")


def _want(site: Site, wanted: str, so: str) -> None:
    with site.open_ledger() as ledger, ledger.change() as change:
        if ledger.meta("wanted") == wanted:
            typer.echo(f"It is {wanted} already.")
            return
        change.set_meta(wanted=wanted)
        change.note({"running": "resumed"}.get(wanted, wanted))
    typer.echo(so.format(when=_when(site)))


def requeue(folder: Folder, experiment: ExperimentId) -> None:
    """Offer an interrupted experiment again, after a look at the bench."""
    site = open_site(folder)
    with site.open_ledger() as ledger, ledger.change() as change:
        key = change.requeue(experiment)
    typer.echo(f"{key.experiment} is queued again as attempt {key.attempt}, offered {_when(site)}.")


def abandon(folder: Folder, experiment: ExperimentId) -> None:
    """Give an interrupted experiment up; its place goes back to the budget."""
    with open_site(folder).open_ledger() as ledger, ledger.change() as change:
        change.abandon(experiment)
    typer.echo(f"{experiment} is given up. If its worker still measures it, the result is kept as a replicate.")


def cancel(folder: Folder, experiment: ExperimentId) -> None:
    """Withdraw a queued experiment, or stop a running one."""
    from alchemy_async.experiment import State

    site = open_site(folder)
    with site.open_ledger() as ledger, ledger.change() as change:
        state = change.request_cancel(experiment)
    what = "is withdrawn from the queue" if state is State.QUEUED else "is told to stop"
    typer.echo(f"{experiment} {what} {_when(site)}.")


def move(folder: Folder, experiment: ExperimentId, priority: Priority) -> None:
    """Give a queued experiment another priority."""
    site = open_site(folder)
    with site.open_ledger() as ledger, ledger.change() as change:
        change.move(experiment, priority)
    typer.echo(f"{experiment} has priority {priority:g} {_when(site)}.")
