"""Rendering: the picture of a campaign for people.

In:    the document that `picture` takes.
Out:   a page on stdout, in colour at a terminal.
Never: reads a file or the ledger; what is not in the document is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from alchemy_async.cli import front, insight

N_QUEUED = 10
BAR = 60
DETAILS = 110  # characters of an event
WIDTH = 120  # where there is no terminal to ask

_COLOURS = {
    "running": "green",
    "busy": "green",
    "idle": "cyan",
    "queued": "cyan",
    "paused": "yellow",
    "draining": "yellow",
    "interrupted": "red",
    "sick": "red",
    "silent": "red",
}


def show(picture: Mapping[str, Any]) -> None:
    """Print the picture."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for part in _parts(picture):
        console.print(part)


def _parts(picture: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield _title(picture)
    yield from _progress(picture)
    if picture["front"]:
        yield from front.shown(picture["front"])
    elif picture["best"]:
        yield _best(picture["best"])
    if picture["fidelity"] and picture["fidelity"]["n_results"]:
        yield Text(picture["fidelity"]["message"])
    yield from _insight(picture)
    if picture["workers"]:
        yield _workers(picture["workers"])
    if picture["pending"]:
        yield _pending(picture)
    yield from _interrupted(picture)
    if picture["events"]:
        yield _events(picture["events"])


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, "default"))


def _title(picture: Mapping[str, Any]) -> Text:
    title = Text.assemble((picture["campaign"], "bold"), "  ", _coloured(picture["state"]))
    if picture["state"] == "new":
        title.append("  never started; `alchemy-async plan` and `alchemy-async work` start it")
    elif picture["ended"]:
        title.append(f"  {picture['ended']}")
    elif picture["planner"] is None:
        title.append("  no planner is running; `alchemy-async plan` goes on from here", style="yellow")
    else:
        title.append(f"  planned by {picture['planner']}")
    if picture["wanted"] not in ("running", picture["state"]):
        title.append(f"  ({picture['wanted']} asked for)", style="yellow")
    return title


def _progress(picture: Mapping[str, Any]) -> Iterator[RenderableType]:
    counts, total = picture["counts"], picture["budget"]["experiments"]
    of_total = "" if total is None else f" of {total}"
    others = [f"{n} {state}" for state, n in counts.items() if n and state not in ("completed", "starts")]
    text = Text(", ".join([f"{counts['completed']}{of_total} completed", *others]))
    budget = picture["budget"]
    limits = [f"{budget['hours']:g} h" if budget["hours"] else "", _target(budget["target"])]
    if any(limits):
        text.append(f"  (or {' or '.join(limit for limit in limits if limit)})", style="dim")
    yield text
    if total:
        done = min(BAR * counts["completed"] // total, BAR)
        yield Text.assemble(("█" * done, "green"), ("░" * (BAR - done), "dim"))


def _target(target: float | None) -> str:
    return "" if target is None else f"target {target:g} reached"


def _best(best: Mapping[str, Any]) -> Text:
    unit = f" {best['unit']}" if best["unit"] else ""
    off = "" if best["off_target"] is None else f", {best['off_target']:.3g}{unit} off its target"
    value = (f"{best['value']:.6g}{unit}", "bold green")
    broken = ("", "") if best["keeps_limits"] else ("  No experiment has kept all limits yet.", "yellow")
    return Text.assemble(
        f"Best {best['objective']}: ", value, f"{off}  ({best['experiment']}) at {_point(best['parameters'])}", broken
    )


def _insight(picture: Mapping[str, Any]) -> Iterator[Text]:
    if picture["recommended"]:
        yield Text(insight.recommended(picture))
    yield from (Text(sentence, style="dim") for sentence in insight.sentences(picture))
    yield from (Text(f"Note: {warning['message']}", style="yellow") for warning in picture["warnings"])


def _workers(workers: list[Mapping[str, Any]]) -> Table:
    table = _table("worker", "state", "holds", "last beat", "process")
    for worker in workers:
        age = "" if worker["age_s"] is None else f"{_time(worker['age_s'])} ago"
        state = _coloured("silent" if worker["is_silent"] else worker["state"])
        process = f"{worker['pid']} on {worker['host']}" if worker["pid"] else ""
        table.add_row(Text(worker["worker"]), state, worker["holds"], age, Text(process))
    return table


def _pending(picture: Mapping[str, Any]) -> Table:
    table = _table("experiment", "status", "worker", "parameters", "origin")
    held = [row for row in picture["pending"] if row["status"] != "queued"]
    queued = [row for row in picture["pending"] if row["status"] == "queued"][:N_QUEUED]
    for row in held + queued:
        name = row["experiment"] if row["attempt"] == 1 else f"{row['experiment']}.{row['attempt']}"
        state = _coloured(row["status"])
        if row["is_cancelling"]:
            state = Text("cancelling", style="yellow")
        table.add_row(name, state, Text(row["worker"]), Text(_point(row["parameters"])), Text(row["origin"]))
    more = picture["counts"]["queued"] - len(queued)
    if more > 0:
        table.add_row("", "", "", f"and {more} more", "")
    return table


def _interrupted(picture: Mapping[str, Any]) -> Iterator[RenderableType]:
    names = [row["experiment"] for row in picture["pending"] if row["status"] == "interrupted"]
    if names:
        yield Text(
            f"Interrupted: {', '.join(names)}. Nobody knows what happened on the bench. Look, then, for each:\n"
            f"  alchemy-async requeue FOLDER {names[0]}   measures it again\n"
            f"  alchemy-async abandon FOLDER {names[0]}   gives it up",
            style="red",
        )


def _events(events: list[Mapping[str, Any]]) -> Table:
    table = _table("time (UTC)", "event", "experiment", "")
    for event in events:
        name = f"{event['experiment']}.{event['attempt']}" if event["experiment"] else ""
        table.add_row(
            event["at"][:19].replace("T", " "), event["kind"].replace("_", " "), name, Text(_details(event["details"]))
        )
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header not in ("parameters", ""))
    return table


def _details(details: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in details.items() if key != "instance" and value not in ("", None, {})}
    text = ", ".join(f"{key} {_value(value)}" for key, value in shown.items())
    return text if len(text) <= DETAILS else text[: DETAILS - 3] + "..."


def _value(value: object) -> str:
    if isinstance(value, dict):
        return _point(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _point(point: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in point.items())


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
