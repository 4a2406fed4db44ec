"""`python3 -m flotilla keys`: the key by which services know the hub."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flotilla.certificates import DAYS, make_certificates
from flotilla.cli.owner import ROOT, CommandFailed, Owner
from flotilla.fleet import HUB, FleetConfig
from flotilla.launch.checks import environment
from flotilla.settings import CommonSettings, Misconfigured

app = typer.Typer(help="The key by which services know the hub.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """The key by which services know the hub."""


@app.command()
def rotate() -> None:
    """Change the hub's signing key now; running calls notice nothing."""
    told = Owner.of().post("/keys/rotate")
    typer.echo(
        f"A new key is announced; it signs after {told['signsAfterS']:g} s, and the old one is "
        "forgotten two minutes later."
    )


@app.command()
def certificates(
    folder: Annotated[Path, typer.Argument(help="Where the folders of all services are made.")],
    name: Annotated[
        list[str] | None,
        typer.Option(help="What services are called beside their own names, say 127.0.0.1."),
    ] = None,
    days: Annotated[int, typer.Option(min=61, max=3650, help="How long they are good.")] = DAYS,
) -> None:
    """Make certificates for TLS between the hub and its services, a folder for each of them.

    Does nothing while those that are there last for two months.
    """
    try:
        known = environment(ROOT, os.environ)
        config = CommonSettings.from_env(known).config_dir
        fleet = FleetConfig.load(ROOT / config / "services.yaml", known)
    except Misconfigured as error:
        raise CommandFailed(str(error), code="not_configured") from None
    services = [each for each in fleet.services if each != HUB]
    made = make_certificates(folder, HUB, services, names=name or (), days=days)
    said = "made" if made else "kept, they last for two months and more:"
    typer.echo(f"{said} {folder}/<{', '.join((HUB, *services))}>")
