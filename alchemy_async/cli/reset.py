"""The command that starts over: `clear`.

In:    a campaign folder, and a person's yes.
Out:   a folder as before the first start; what was measured, in `archive/`.
Never: acts while a daemon lives (but with ``--force``), or destroys a measurement (but with ``--purge``).
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alchemy_async.cli.arguments import HERE, Folder
from alchemy_async.cli.console import Code, note
from alchemy_async.cli.site import open_site
from alchemy_async.errors import AlreadyRunningError, LedgerError

if TYPE_CHECKING:
    from alchemy_async.cli.leftovers import Leftovers
    from alchemy_async.cli.site import Site


def clear(
    folder: Folder = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Archive nothing: the measurements are gone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while a daemon lives; everything is archived.")] = False,
) -> None:
    """Take away what a campaign left in its folder, and put its ledger and results into archive/.

    campaign.toml, drivers and all other files stay.
    """
    from alchemy_async.cli import leftovers

    if purge and force:
        raise typer.BadParameter("--force keeps a copy of everything and --purge of nothing. Give one of them.")
    site = open_site(folder)
    if leftovers.find(site.folder, site.ledger_path).is_empty:
        typer.echo(f"There is nothing to clear in {site.folder}.")
        return
    with ExitStack() as stack:
        _keep_daemons_out(site, stack, force=force)
        found = leftovers.find(site.folder, site.ledger_path)
        _list(found, site, purge=purge)
        if not (yes or _agrees()):
            raise typer.Exit(Code.REFUSED)
        name = _archive_name(site)
        leftovers.discard(found.discarded)
        if purge:
            leftovers.discard(found.record)
        elif found.record:
            _archive(found, site, name)
    typer.echo("Cleared.")


def _keep_daemons_out(site: Site, stack: ExitStack, *, force: bool) -> None:
    """Hold the planner's lock, so that none starts meanwhile, and look for workers.

    Raises:
        AlreadyRunningError: If a daemon lives, and nobody insists.
    """
    from alchemy_async import locks
    from alchemy_async.cli.beats import living_workers

    mend = f"End it with `alchemy-async drain {site.folder}` or Ctrl-C; --force clears all the same, and archives."
    try:
        if site.ledger_path.parent.is_dir():
            stack.enter_context(locks.hold(site.lock_path, what=f"{site.folder} has a planner", mend=mend))
        workers = living_workers(site)
        if workers:
            raise AlreadyRunningError(
                f"{site.folder} has workers that live: {'; '.join(workers)}. {mend}", holder=workers[0]
            )
    except AlreadyRunningError as error:
        if not force:
            raise
        note(f"{error}\nGoing on because of --force. End it: what it still writes belongs to no campaign.")


def _list(found: Leftovers, site: Site, *, purge: bool) -> None:
    fate = "remove for ever" if purge else "archive"
    lines = (
        (found.queue, "the queue", "remove"),
        (found.staging, "half-written files", "remove"),
        (found.logs, "logs of workers", "remove"),
        (found.heartbeats, "heartbeats", "remove"),
        (found.claims, "claims", "remove"),
        (found.results, "results that no planner has taken", fate),
        (found.rejected, "rejected files and their reasons", fate),
        (found.ledger, "the ledger", fate),
    )
    for paths, what, how in lines:
        if paths:
            typer.echo(f"{how}: {what}, {_places(paths, site.folder)}")
    for path in found.foreign:
        typer.echo(f"leave alone: {_short(path, site.folder)}")


def _places(paths: list[Path], folder: Path) -> str:
    names = [_short(path, folder) for path in paths]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} files in {_short(paths[0].parent, folder)}"


def _short(path: Path, folder: Path) -> str:
    text = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    return text if text.isprintable() else ascii(text)


def _is_attended() -> bool:
    return sys.stdin.isatty()


def _agrees() -> bool:
    if not _is_attended():
        note("Nothing was removed: nobody is there to ask. Add --yes if that is what you want.")
        return False
    if not typer.confirm("Clear all this?"):
        note("Nothing was removed.")
        return False
    return True


def _archive_name(site: Site) -> str:
    """Return the campaign's id, or its name where no ledger tells it, and the time."""
    try:
        with site.open_ledger() as ledger:
            campaign = ledger.campaign
    except LedgerError:
        campaign = site.settings.campaign.name
    return f"{campaign}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _archive(found: Leftovers, site: Site, name: str) -> None:
    """Move the record into archives beside what they hold: the ledger may lie on another disk than the folder."""
    from alchemy_async.cli import leftovers

    is_together = site.ledger_path.parent == site.folder
    here = leftovers.make_archive(site.folder, name) if found.results or found.rejected or is_together else None
    if here and found.results:
        leftovers.keep(found.results, here / "results")
    if here and found.rejected:
        leftovers.keep(found.rejected, here / "rejected")
    if found.ledger:
        there = here if here and is_together else leftovers.make_archive(site.ledger_path.parent, name)
        leftovers.settle(site.ledger_path)
        present = leftovers.find(site.folder, site.ledger_path).ledger  # settling may have taken SQLite's log away
        leftovers.keep(present, there)
        typer.echo(f"The ledger is {there / site.ledger_path.name}.")
    if here and (found.results or found.rejected):
        typer.echo(f"Results and rejected files are in {here}.")
