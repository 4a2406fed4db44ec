"""`python3 -m flotilla grants`: what principals granted the hub for servers of others."""

import json
from typing import Annotated

import typer

from flotilla.cli.owner import Owner
from flotilla.cli.terminal import show_rows

app = typer.Typer(help="What principals granted the hub for other servers.", no_args_is_help=True)

Server = Annotated[str, typer.Argument(help="An external server of mcp.json.")]
Principal = Annotated[
    str, typer.Option("--as", help="Whose grant; `hub` is the hub itself, which reads the lists.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.command("list")
def list_grants(as_json: Json = False) -> None:
    """Show who has granted what; never a token."""
    told = Owner.of().get("/grants")
    if as_json:
        typer.echo(json.dumps(told))
        return
    heads = ("server", "principal", "granted", "good until", "scope", "in use")
    rows = [
        (
            one["server"],
            one["principal"],
            one["grantedAt"][:19],
            "renews itself" if one["renewsItself"] else one.get("expiresAt", "not said")[:19],
            one["scope"],
            "yes" if one["inUse"] else "no: its server has another address now",
        )
        for one in told["grants"]
    ]
    show_rows(heads, rows, "Nobody has granted anything.")


@app.command()
def connect(server: Server, principal: Principal, as_json: Json = False) -> None:
    """Print a link by which a principal signs in for a server: good once, for ten minutes.

    Give it to that person alone: whoever opens it grants their own account to the principal.
    """
    told = Owner.of().post("/grants/connect", {"server": server, "principal": principal})
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(told["url"])
    minutes = round(told["expiresInS"] / 60)
    typer.echo(
        f"Good once, for {minutes} minutes, and for {principal} alone: whoever signs in there lets "
        f"{principal} act with their account.",
        err=True,
    )


@app.command()
def revoke(server: Server, principal: Principal, as_json: Json = False) -> None:
    """Take a grant back, here and at the server that gave it."""
    told = Owner.of().post("/grants/revoke", {"server": server, "principal": principal})
    typer.echo(
        json.dumps(told) if as_json else f"{principal} has granted nothing for {server} any more."
    )
