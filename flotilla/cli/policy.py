"""`python3 -m flotilla policy`: what the rules are, whether they are right, what they would say."""

import importlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from flotilla.cli.owner import ROOT, CommandFailed, Owner
from flotilla.cli.terminal import show_rows
from flotilla.fleet import FleetConfig
from flotilla.launch.checks import environment
from flotilla.settings import CommonSettings, Misconfigured

app = typer.Typer(help="Look at the rules of who may do what.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

HUB_FOLDER = ROOT / "00_master_mcp"


@app.command()
def explain(
    tool: Annotated[str | None, typer.Option(help="A tool, by its canonical or safe name.")] = None,
    prompt: Annotated[str | None, typer.Option(help="A prompt, instead of a tool.")] = None,
    resource: Annotated[str | None, typer.Option(help="A resource's URI, instead.")] = None,
    principal: Annotated[str | None, typer.Option("--as", help="Who asks, by name.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="Its roles, instead of those of its token.")
    ] = None,
    args: Annotated[str, typer.Option(help="The arguments, a JSON object; - reads them.")] = "{}",
    at: Annotated[str | None, typer.Option(help="When, as 2026-12-24T23:00:00Z; or now.")] = None,
    robot: Annotated[bool, typer.Option("--robot", help="Nobody sits at the client.")] = False,
    profile: Annotated[str, typer.Option(help="Through this profile.")] = "default",
    as_json: Json = False,
) -> None:
    """Say what would happen to a call, and why. Exit code 1 where it is denied."""
    asked: dict[str, Any] = {
        "principal": principal,
        "roles": role or [],
        "tool": tool,
        "prompt": prompt,
        "resource": resource,
        "arguments": arguments_in(sys.stdin.read() if args == "-" else args),
        "at": None if at is None else moment_in(at),
        "interactive": not robot,
        "profile": profile,
    }
    told = Owner.of().post("/policy/explain", asked)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        for line in explanation(told):
            typer.echo(line)
    if not told["allowed"]:
        raise typer.Exit(1)


@app.command("list")
def list_rules(as_json: Json = False) -> None:
    """Show the rules by which the hub works now."""
    told = Owner.of().get("/policy/rules")
    if as_json:
        typer.echo(json.dumps(told))
        return
    rows = [
        (
            rule["id"],
            rule["effect"]
            if rule["consent"] == "usual"
            else f"{rule['effect']}, {rule['consent']}",
            f"{rule['file']}:{rule['line']}",
            f"no {', no '.join(rule['unknown'])} now" if rule["unknown"] else "",
        )
        for rule in told["rules"]
    ]
    show_rows(("rule", "effect", "where", ""), rows, "There are no rules: nothing is allowed.")
    typer.echo(f"{told['source']}, SHA-256 {told['digest']}", err=True)
    typer.echo(f"roles: {', '.join(told['roles'])}", err=True)


@app.command()
def check(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder of the rules; by default the fleet's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check rules without a hub. Exit code 1 where there are mistakes."""
    try:
        found = _loaded(folder)
    except Misconfigured as error:
        if as_json:
            typer.echo(json.dumps({"mistakes": _mistakes(error)}))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"mistakes": [], "rules": len(found.by_id), "digest": found.digest}))
        return
    typer.echo(f"{len(found.by_id)} rules in {found.source}, SHA-256 {found.digest}")


@app.command()
def schema() -> None:
    """Print what rules may speak of, the arguments that the fleet's own name among it."""
    try:
        typer.echo(_loaded(None).schema, nl=False)
    except Misconfigured as error:
        raise CommandFailed(str(error)) from None


def _loaded(folder: Path | None) -> Any:
    """The rules of a folder, by default of the fleet's; Misconfigured has their mistakes."""
    rules, opened = _hub_modules("rules", "opened")
    if folder is not None and not folder.is_dir():
        raise CommandFailed(f"there is no folder {folder}", code="invalid_argument")
    known = environment(ROOT, os.environ)
    config = CommonSettings.from_env(known).config_dir
    config = config if config.is_absolute() else ROOT / config
    names = opened.names_of(FleetConfig.load(config / "services.yaml", known))
    return rules.load_rules(folder or config / rules.FOLDER, names)


def arguments_in(text: str) -> dict[str, Any]:
    """A JSON object; CommandFailed for anything else."""
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"--args is no JSON: {error}", code="invalid_argument") from None
    if not isinstance(found, dict):
        raise CommandFailed("--args must be a JSON object", code="invalid_argument")
    return cast("dict[str, Any]", found)


def moment_in(text: str) -> str:
    """A moment in ISO 8601; without a zone it is UTC. CommandFailed for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"--at {text!r} is no moment", code="invalid_argument", hint="2026-12-24T23:00:00Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def explanation(told: dict[str, Any]) -> list[str]:
    """What the hub explained, as a person reads it."""
    roles = ", ".join(told["roles"]) or "no role"
    lines = [f"{'allowed' if told['allowed'] else 'denied'}: {told['tool']} for {roles}"]
    if told.get("reason"):
        lines.append(f"  {told['reason']}")
    if told["allowed"]:
        lines.append(f"  consent {told['consent']}: {told['asks']} is asked before it runs")
    elif told["listed"]:
        lines.append("  it is listed: other calls of it would be allowed")
    for rule in told["rules"]:
        lines += ["", f"{rule['id']}  {rule['file']}:{rule['line']}"]
        lines += [f"    {line}" for line in rule["text"].splitlines()]
    if told["misfits"]:
        lines += ["", "No rule that permits fits:"]
        lines += [
            f"  {each['id']}  {each['file']}:{each['line']}  {each['because']}"
            for each in told["misfits"]
        ]
    return lines


def _mistakes(error: Misconfigured) -> list[dict[str, Any]]:
    found: Any = getattr(error, "mistakes", None)
    if found is None:
        return [{"message": str(error)}]
    return [
        {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
        for each in found
    ]


def _hub_modules(*names: str) -> list[Any]:
    """Modules of the hub's policy. This library imports no service of itself."""
    from flotilla.host import open_package

    try:
        open_package(HUB_FOLDER)
        return [importlib.import_module(f"master.policy.{name}") for name in names]
    except (ImportError, Misconfigured) as error:
        raise CommandFailed(f"the hub cannot be imported: {error}") from None
