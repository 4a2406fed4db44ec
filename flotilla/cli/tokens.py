"""`python3 -m flotilla tokens`: make, list and revoke the tokens by which clients are known."""

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from flotilla.cli.owner import CommandFailed, Owner
from flotilla.cli.terminal import show_rows

app = typer.Typer(help="Make, list and revoke the tokens of principals.", no_args_is_help=True)

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LASTING = re.compile(r"(\d{1,5})([mhdw])")
_NEVER = "never"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="The principal: small letters, digits and . _ @ -")],
    role: Annotated[list[str], typer.Option(help="viewer, operator, approver, admin, or another.")],
    expires: Annotated[str, typer.Option(help="12h, 30d, 8w; or never.")] = "90d",
    profile: Annotated[
        list[str] | None, typer.Option(help="It may use this profile alone; may be repeated.")
    ] = None,
    robot: Annotated[
        bool, typer.Option("--robot", help="Nobody sits at its client who could be asked.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the token to this new file, mode 0600.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it once: the hub keeps only its SHA-256."""
    body: dict[str, Any] = {"name": name, "roles": role, "robot": robot}
    lasts_s = lasting_s(expires)
    body |= {"never": True} if lasts_s is None else {"expiresInS": lasts_s}
    if profile:
        body["profiles"] = profile
    # The file is made first: a token that nobody can read would be live all the same.
    with _new_file(out) as file:
        made = Owner.of().post("/tokens", body)
        secret: str = made.pop("secret")
        if file is not None:
            file.write(f"{secret}\n")
    for warning in made["warnings"]:
        typer.echo(f"flotilla: {warning}", err=True)
    if as_json:
        shown = made if out is not None else {**made, "secret": secret}
        typer.echo(json.dumps(shown))
        return
    token = made["token"]
    until = token.get("expiresAt", _NEVER)
    typer.echo(f"{token['id']}  {token['principal']}  {' '.join(token['roles'])}  expires {until}",
               err=True)  # fmt: skip
    if out is None:
        typer.echo("It is shown this once:", err=True)
        typer.echo(secret)
    else:
        typer.echo(f"The token is in {out}.", err=True)


@app.command("list")
def list_tokens(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that expired or were revoked, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the tokens, without the tokens themselves."""
    tokens: list[dict[str, Any]] = Owner.of().get("/tokens")["tokens"]
    chosen = [token for token in tokens if everything or token["state"] == "live"]
    if as_json:
        typer.echo(json.dumps({"tokens": chosen}))
        return
    heads = ("ID", "principal", "roles", "profiles", "for", "state", "expires")
    none = "There are none; `python3 -m flotilla tokens make` makes one."
    show_rows(heads, [_row(token) for token in chosen], none)


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(help="The ID of a token, or a principal: all of its.")],
    as_json: Json = False,
) -> None:
    """Revoke tokens: they count no more at once, and their open streams end."""
    if not re.fullmatch(r"[a-z0-9._@-]{1,63}", which):
        raise CommandFailed(
            f"{which[:80]!r} is neither an ID nor a principal", code="invalid_argument"
        )
    told = Owner.of().delete(f"/tokens/{which}")
    if as_json:
        typer.echo(json.dumps(told))
        return
    for token in told["revoked"]:
        typer.echo(f"revoked {token['id']}  {token['principal']}")


def lasting_s(text: str) -> float | None:
    """Seconds of `12h`, `30d` or `8w`; None for `never`. CommandFailed for anything else."""
    if text == _NEVER:
        return None
    found = _LASTING.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise CommandFailed(
            f"--expires {text!r} is no length of time",
            code="invalid_argument",
            hint="Say 12h, 30d or 8w; or never.",
        )
    return float(int(found[1]) * _UNITS_S[found[2]])


@contextmanager
def _new_file(path: Path | None) -> Generator[TextIO | None]:
    """A new file of mode 0600, taken back where anything fails; None for no path."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandFailed(
            f"cannot make {path}: {error.strerror}",
            code="invalid_argument",
            hint="Name a file that is not there yet.",
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _row(token: dict[str, Any]) -> tuple[str, ...]:
    expires = token.get("expiresAt")
    return (
        token["id"],
        token["principal"],
        " ".join(token["roles"]),
        " ".join(token.get("profiles", ["all"])),
        "person" if token["interactive"] else "robot",
        token["state"],
        _NEVER if expires is None else _day(expires),
    )


def _day(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
