"""Commands that only look: `status`, `explain` and `export`.

In:    a campaign folder; daemons may run or not.
Out:   a picture for people, JSON or CSV for programs, on stdout.
Never: changes anything.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from alchemy_async.cli.arguments import HERE, ExperimentId, Folder, Json
from alchemy_async.cli.site import open_site


class TableFormat(StrEnum):
    """What `export` writes."""

    CSV = "csv"
    JSON = "json"


def status(
    folder: Folder = HERE,
    as_json: Json = False,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Fit no model: quicker, without what is recommended and warned of.")
    ] = False,
) -> None:
    """Show where the campaign stands: budget, best result, workers, what is pending, what happened last.

    From five results on it also fits a model, and tells which point is expected
    to be best, how well the model predicts, and what to look after.
    Works with and without running daemons. The object of --json has the keys
    campaign, state (new, running, paused, draining, stopped), wanted, ended,
    planner, counts, budget, best, fidelity, front, recommended, model, warnings,
    workers, pending and events.
    """
    from alchemy_async.cli.picture import take

    picture = take(open_site(folder), with_model=not no_model)
    if as_json:
        typer.echo(json.dumps(picture, ensure_ascii=False))
        return
    from alchemy_async.cli.render import show

    show(picture)


def explain(folder: Folder, experiment: ExperimentId, as_json: Json = False) -> None:
    """Tell why an experiment was chosen, what was expected of it, and what became of it.

    What is told is what was known when it was chosen. The object of --json has
    the keys experiment, status, attempt, worker, origin, reason, parameters,
    chosen (at, n_observations, pending, expected, chance, best, acquisition,
    model_revision, seed, ask_s), offers, events, measured and best.
    """
    from alchemy_async.cli.explain import take

    site = open_site(folder)
    told = take(site, experiment)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    from alchemy_async.cli.explain_words import in_words

    units = {parameter.name: parameter.unit for parameter in site.settings.parameters}
    typer.echo(in_words(told, site.settings.as_objectives(), units))


def export(
    folder: Folder = HERE,
    table_format: Annotated[TableFormat, typer.Option("--format", help="CSV, or a JSON list.")] = TableFormat.CSV,
    with_all: Annotated[
        bool, typer.Option("--all", help="Also results that do not count: conflicting and superseded ones.")
    ] = False,
) -> None:
    """Write every experiment as a row to stdout, numbers in full precision.

    Columns: experiment, status, the parameters as run, the objectives, their
    standard errors (OBJECTIVE_sem), worker, attempt, started_at, finished_at,
    origin, reason, iteration and, with several objectives, on_front. Every
    experiment has a row, whatever its status; after it come its replicates,
    with that as their status.
    """
    from alchemy_async.cli import table

    site = open_site(folder)
    with site.open_ledger() as ledger:
        rows = table.rows(ledger, site.settings, with_all=with_all)
        if table_format is TableFormat.CSV:
            table.write_csv(sys.stdout, table.columns(site.settings), rows)
        else:
            table.write_json(sys.stdout, rows)
