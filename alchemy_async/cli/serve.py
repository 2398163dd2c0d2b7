"""Commands around the service: `serve`, and `token` for who may use it.

In:    a root folder.
Out:   a log on stderr while it serves; a token on stdout, once.
Never: shows a token again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from alchemy_async.cli.arguments import HERE, Json
from alchemy_async.cli.console import LogFormat, Verbose, note, set_up_logging
from alchemy_async.cli.daemons import LogFormatOption

Root = Annotated[Path, typer.Option(metavar="FOLDER", help="The folder whose campaigns are served: those below it.")]

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of a server.")


def serve(
    root: Root = HERE,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any that other machines can reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 8000,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A web page's origin that may use it, such as https://lab.example.org."),
    ] = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    verbose: Verbose = False,
) -> None:
    """Serve the campaigns of a folder over REST, each as a session. Ctrl-C ends it; start it again to go on."""
    set_up_logging(log_format, verbose=verbose)
    from alchemy_async.service.context import ServiceSettings
    from alchemy_async.service.server.serving import run_service

    run_service(ServiceSettings(root.resolve(), host, port, tuple(allow_origin or ())), note)


@app.command("add")
def add(
    name: Annotated[str, typer.Option(help="What to call it, such as the robot that gets it.")],
    scope: Annotated[
        str,
        typer.Option(help="read: look; work: stage, claim, complete, train; admin: sessions and their variables, too."),
    ] = "work",
    session: Annotated[str, typer.Option(metavar="ID", help="The one session that it is for; none: all.")] = "",
    root: Root = HERE,
) -> None:
    """Make a token and print it: this once, since only its digest is kept."""
    from alchemy_async.service.gateway.tokens import Scope, Tokens

    if scope not in list(Scope):
        raise typer.BadParameter(f"{scope!r} is none of {', '.join(Scope)}.", param_hint="--scope")
    folder = root.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    text = Tokens(folder).add(Scope(scope), name=name, session=session)
    note(f"Token {name!r} ({scope}{f', session {session}' if session else ''}). It is shown this once:")
    typer.echo(text)


@app.command("list")
def list_tokens(root: Root = HERE, as_json: Json = False) -> None:
    """List the tokens: name, scope, session, and when each was made."""
    from alchemy_async.service.gateway.tokens import Tokens

    tokens = Tokens(root.resolve()).all()
    if as_json:
        rows = [
            {"name": one.name, "scope": one.scope, "session": one.session or None, "created_at": one.created_at}
            for one in tokens
        ]
        typer.echo(json.dumps({"tokens": rows}))
        return
    for one in tokens:
        typer.echo(f"{one.name}  {one.scope}  {one.session or 'all sessions'}  {one.created_at[:19]}Z")
    if not tokens:
        note("There is no token: a server at 127.0.0.1 is open to whoever works on this machine.")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name (see `token list`).")], root: Root = HERE
) -> None:
    """Take a token away; a running server refuses it from now on."""
    from alchemy_async.service.gateway.tokens import Tokens

    tokens = Tokens(root.resolve())
    tokens.revoke(name)
    typer.echo(f"Revoked {name!r}.")
    if not tokens.all():
        note(
            "No token is left: a server at 127.0.0.1 is open to whoever works on this machine; any other admits nobody."
        )
