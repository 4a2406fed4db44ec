"""`python3 -m flotilla hosts`: the hosts over SSH, and which of their keys are trusted."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from flotilla.cli.owner import CommandFailed, Owner
from flotilla.cli.terminal import show_rows

app = typer.Typer(help="See hosts over SSH and trust their keys.", no_args_is_help=True)

SERVICE = "linux_cli"

Name = Annotated[str, typer.Argument(help="A host of hosts.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.command("list")
def list_hosts(as_json: Json = False) -> None:
    """Show the hosts of the inventory and the key that each is trusted by."""
    told = _asked("hosts.list")
    if as_json:
        typer.echo(json.dumps(told))
        return
    heads = ("host", "address", "user", "jump", "trusted key", "connected")
    rows = [
        (
            one["host"],
            f"{one['address']}:{one['port']}",
            one["user"],
            one.get("jump") or "",
            one.get("fingerprint") or "none yet",
            "yes" if one["connected"] else "",
        )
        for one in told["hosts"]
    ]
    show_rows(heads, rows, "There are no hosts.")


@app.command()
def scan(name: Name, as_json: Json = False) -> None:
    """Fetch the key that a host shows now, and say whether it is the trusted one."""
    seen = _asked("hosts.scan", host=name)
    if as_json:
        typer.echo(json.dumps(seen))
    else:
        _show(seen)
    if seen["standing"] == "changed":
        raise typer.Exit(1)


@app.command()
def trust(
    name: Name,
    fingerprint: Annotated[
        str | None,
        typer.Option(help="SHA256:..., as the host's own administrator tells it; asks no more."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Another key is trusted; take this in its place.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Pin the key of a host, after comparing its fingerprint.

    On the host itself, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` tells it.
    """
    if fingerprint is None:
        seen = _asked("hosts.scan", host=name)
        if seen["standing"] == "trusted":
            typer.echo(json.dumps(seen) if as_json else f"{name} is trusted by that key already.")
            return
        if seen["standing"] == "changed" and not replace:
            _show(seen)
            raise CommandFailed(
                f"another key of {name} is trusted, and the host does not show it",
                code="conflict",
                hint="If the change is known to be right, say so with --replace.",
            )
        _show(seen, err=True)
        if not typer.confirm("Is this the key of that host, and is it to be trusted?", err=True):
            raise CommandFailed("nothing was pinned", code="not_allowed")
        fingerprint = str(seen["fingerprint"])
    trusted = _asked("hosts.trust", host=name, fingerprint=fingerprint, replace=replace)
    if as_json:
        typer.echo(json.dumps(trusted))
    else:
        typer.echo(f"{name} is trusted by {trusted['algorithm']} {trusted['fingerprint']}.")


@app.command()
def forget(name: Name, as_json: Json = False) -> None:
    """Trust no key of a host any more; its connection ends and none is made."""
    told = _asked("hosts.forget", host=name)
    typer.echo(json.dumps(told) if as_json else f"No key of {name} is trusted any more.")


def _asked(operation: str, **body: Any) -> Any:
    return Owner.of().post(f"/services/{SERVICE}/operations/{quote(operation)}", body)


def _show(seen: dict[str, Any], *, err: bool = False) -> None:
    said = {
        "new": "no key of it is trusted yet",
        "trusted": "this key is trusted",
        "changed": f"ANOTHER KEY IS TRUSTED: {seen.get('pinned')}",
    }[seen["standing"]]
    typer.echo(f"{seen['host']} shows {seen['algorithm']} {seen['fingerprint']}", err=err)
    typer.echo(f"  {said}", err=err)
