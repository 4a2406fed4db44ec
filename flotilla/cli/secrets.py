"""`python3 -m flotilla secrets`: write secrets, say who may use them, look after their keys."""

import getpass
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from flotilla.cli.owner import CommandFailed, Owner
from flotilla.cli.terminal import plain, show_rows
from flotilla.cli.tokens import lasting_s

app = typer.Typer(
    help="Write secrets and say who may use them. None of these commands shows a value.",
    no_args_is_help=True,
)

MAX_VALUE_BYTES = 64 * 1024
_PAGE = 500

PathOf = Annotated[str, typer.Argument(help="Of the secret, say db/production/password.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Description = Annotated[
    str | None, typer.Option(help="What it is for; everybody may read it, so no secret.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be repeated.")]
Expires = Annotated[str | None, typer.Option(help="It is not used after 12h, 30d, 8w.")]
AllowTools = Annotated[
    list[str] | None,
    typer.Option("--allow-tool", help="os.linux.runCommand, or os.linux.*; may be repeated."),
]
AllowServices = Annotated[
    list[str] | None,
    typer.Option("--allow-service", help="It may have it as a credential, say linux_cli."),
]
AllowPrincipals = Annotated[
    list[str] | None, typer.Option("--allow-principal", help="Only for this caller's calls.")
]
AllowRoles = Annotated[
    list[str] | None, typer.Option("--allow-role", help="Only for calls of this role.")
]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="os.linux.runCommand, os.linux.*")]
Services = Annotated[list[str] | None, typer.Option("--service", help="Say linux_cli.")]
Principals = Annotated[list[str] | None, typer.Option("--principal", help="A caller.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role of callers.")]
Kind = Annotated[str, typer.Option(help="password, hex, base64, uuid, ed25519 or rsa.")]
Length = Annotated[
    int | None, typer.Option(help="Characters of a password, bytes of hex and base64, bits of rsa.")
]
Alphabet = Annotated[str | None, typer.Option(help="What a password is drawn from.")]


@app.command()
def write(
    path: PathOf,
    file: Annotated[
        Path | None, typer.Option(help="Holds the value; else standard input, or you are asked.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Keep a line break at the end of a single line.")
    ] = False,
    description: Description = None,
    tag: Tags = None,
    expires: Expires = None,
    allow_tool: AllowTools = None,
    allow_service: AllowServices = None,
    allow_principal: AllowPrincipals = None,
    allow_role: AllowRoles = None,
    as_json: Json = False,
) -> None:
    """Write a secret, or the next version of one; the value is never an argument.

    Who may use it stays as it was unless an --allow option is given. A single line is taken without
    the line break at its end; a text of several lines, a key say, is taken as it is.
    """
    body: dict[str, Any] = {"path": path, "value": _value(file, exact=exact)}
    body |= _notes(description, tag, expires)
    rules = _rules(allow_tool, allow_service, allow_principal, allow_role)
    if rules:
        body["allow"] = rules
    _tell(_asked("write", body), as_json=as_json)


@app.command()
def generate(
    path: PathOf,
    kind: Kind = "password",
    length: Length = None,
    alphabet: Alphabet = None,
    description: Description = None,
    tag: Tags = None,
    expires: Expires = None,
    allow_tool: AllowTools = None,
    allow_service: AllowServices = None,
    allow_principal: AllowPrincipals = None,
    allow_role: AllowRoles = None,
    as_json: Json = False,
) -> None:
    """Make a new secret with a random value that nobody sees; of a key pair the public one is
    shown."""
    body: dict[str, Any] = {"path": path, "kind": kind, **_recipe(length, alphabet)}
    body |= _notes(description, tag, expires)
    rules = _rules(allow_tool, allow_service, allow_principal, allow_role)
    if rules:
        body["allow"] = rules
    _tell(_asked("generate", body), as_json=as_json)


@app.command("list")
def list_secrets(
    prefix: Annotated[str, typer.Argument(help="Only paths that begin so.")] = "",
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    as_json: Json = False,
) -> None:
    """Show the secrets and who may use them, without their values."""
    body: dict[str, Any] = {"prefix": prefix, **({"tag": tag} if tag else {})}
    found = _all_pages("list", body)
    if as_json:
        typer.echo(json.dumps({"secrets": found}))
        return
    rows = [_row(each) for each in found]
    heads = ("path", "version", "used last", "expires", "may be used by")
    show_rows(heads, rows, "There are no secrets.")


@app.command()
def show(path: PathOf, as_json: Json = False) -> None:
    """Show what is known of a secret, without its value."""
    _tell(_asked("show", {"path": path}), as_json=as_json)


@app.command()
def allow(
    path: PathOf,
    tool: Tools = None,
    service: Services = None,
    principal: Principals = None,
    role: Roles = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Let more tools or services use a secret.

    Principals and roles bound for whom a tool may: with none named, for every caller of the tool.
    """
    body: dict[str, Any] = {"path": path, "allow": _rules(tool, service, principal, role)}
    body |= _notes(None, None, expires)
    _tell(_asked("allow", body), as_json=as_json)


@app.command()
def disallow(
    path: PathOf,
    tool: Tools = None,
    service: Services = None,
    principal: Principals = None,
    role: Roles = None,
    as_json: Json = False,
) -> None:
    """Take back what was allowed; leases that rest on it end with it."""
    body = {"path": path, "revoke": _rules(tool, service, principal, role)}
    _tell(_asked("allow", body), as_json=as_json)


@app.command()
def rotate(
    path: PathOf,
    kind: Annotated[str | None, typer.Option(help="Of one that was written by hand.")] = None,
    length: Length = None,
    alphabet: Alphabet = None,
    as_json: Json = False,
) -> None:
    """Give a secret a new random value; services have it within a minute.

    The version before stays readable to leases that name it, until it is deleted with the secret.
    """
    body: dict[str, Any] = {"path": path, **_recipe(length, alphabet)}
    if kind is not None:
        body["kind"] = kind
    _tell(_asked("rotate", body), as_json=as_json)


@app.command()
def delete(
    path: PathOf,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Destroy all versions of a secret; not to be undone."""
    if not yes:
        _confirm(f"Destroy all versions of {path}?")
    told = _asked("delete", {"path": path})
    typer.echo(json.dumps(told) if as_json else f"destroyed {told['versions']} versions of {path}")


@app.command()
def leases(
    path: Annotated[str | None, typer.Argument(help="Only those of this secret.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show who holds a handle of which secret, for which tool."""
    body: dict[str, Any] = {"liveOnly": not everything, **({"path": path} if path else {})}
    found = _all_pages("leases", body)
    if as_json:
        typer.echo(json.dumps({"leases": found}))
        return
    rows = [
        (
            each["leaseId"],
            each["path"],
            each["principal"],
            each["tool"],
            f"{each['usesLeft']} of {each['uses']}",
            "live" if each["live"] else "ended",
            _moment(each["expiresAt"]),
        )
        for each in found
    ]
    heads = ("lease", "path", "principal", "tool", "uses left", "state", "expires")
    show_rows(heads, rows, "There are no leases.")


@app.command()
def revoke(
    lease: Annotated[str, typer.Argument(help="The ID of a lease.")], as_json: Json = False
) -> None:
    """End a lease before its time."""
    told = _asked("revoke", {"lease": lease})
    typer.echo(json.dumps(told) if as_json else f"revoked {told['leaseId']} of {told['path']}")


@app.command()
def rewrap(
    new_master_key: Annotated[
        bool, typer.Option("--new-master-key", help="Make a new key in our own file.")
    ] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Seal every value anew, under a new data key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Seal the store's keys with the master key as it is configured now.

    To change a key or passphrase of your own, set the new one, name the old one as
    SECRETS_PREVIOUS_MASTER_KEY_FILE or SECRETS_PREVIOUS_PASSPHRASE_FILE, restart and rewrap. Where
    somebody may have had both the old key and the database, add --values, then rotate the secrets.
    """
    told = _asked("rewrap", {"newMasterKey": new_master_key, "values": values})
    if as_json:
        typer.echo(json.dumps(told))
        return
    more = f"; {told['values']} values sealed anew" if values else ""
    typer.echo(f"sealed with master key {told['masterKeyId']}{more}")


@app.command()
def verify(as_json: Json = False) -> None:
    """Check that the trail of all acts is whole; exit code 1 when it is not."""
    told = _asked("verify", {})
    if as_json:
        typer.echo(json.dumps(told))
    elif told["intact"]:
        typer.echo(f"intact: {told['entries']} entries")
    if not told["intact"]:
        raise CommandFailed(
            f"entry {told['brokenAt']} was changed, put in, or follows a removed one"
        )


def _asked(operation: str, body: Mapping[str, Any]) -> Any:
    return Owner.of().post(f"/services/secrets/operations/{operation}", body)


def _all_pages(operation: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = _asked(operation, {**body, "limit": _PAGE, **more})
        found.extend(page["items"])
        cursor = page.get("nextCursor")
        if cursor is None:
            return found


def _value(file: Path | None, *, exact: bool) -> str:
    """The value, from a file, from standard input, or asked for without echo."""
    if file is None and sys.stdin.isatty():
        value = getpass.getpass("Value: ")
        if value != getpass.getpass("Again: "):
            raise CommandFailed("the two are not the same", code="invalid_argument")
        return _checked(value)
    try:
        with sys.stdin.buffer if file is None else file.open("rb") as source:
            raw = source.read(MAX_VALUE_BYTES + 3)
    except OSError as error:
        raise CommandFailed(
            f"cannot read {file}: {error.strerror}", code="invalid_argument"
        ) from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise CommandFailed(
            "the value is not UTF-8 text", code="invalid_argument", hint="Store it in base64."
        ) from None
    return _checked(text if exact else without_line_break(text))


def _checked(value: str) -> str:
    if not value or len(value.encode()) > MAX_VALUE_BYTES:
        raise CommandFailed(f"a value has 1 to {MAX_VALUE_BYTES} bytes", code="invalid_argument")
    return value


def without_line_break(text: str) -> str:
    """A single line without the break at its end; several lines as they are, say a key."""
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line else line


def _rules(
    tools: list[str] | None,
    services: list[str] | None,
    principals: list[str] | None,
    roles: list[str] | None,
) -> dict[str, list[str]]:
    given = {"tools": tools, "services": services, "principals": principals, "roles": roles}
    return {name: names for name, names in given.items() if names}


def _notes(description: str | None, tags: list[str] | None, expires: str | None) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    if description is not None:
        notes["description"] = description
    if tags:
        notes["tags"] = tags
    lasts_s = None if expires is None else lasting_s(expires)
    if lasts_s is not None:
        notes["expiresAt"] = (datetime.now(UTC) + timedelta(seconds=lasts_s)).isoformat()
    return notes


def _recipe(length: int | None, alphabet: str | None) -> dict[str, Any]:
    given = {"length": length, "alphabet": alphabet}
    return {name: value for name, value in given.items() if value is not None}


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed(
            "nobody is here to be asked", code="invalid_argument", hint="Add --yes."
        )
    typer.confirm(question, abort=True, err=True)


def _tell(secret: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(secret))
        return
    typer.echo(f"{secret['path']}  version {secret['version']}  ({secret['versions']} kept)")
    for name, label in (
        ("description", "description"),
        ("generated", "generated"),
        ("publicKey", "public key"),
        ("createdAt", "created"),
        ("updatedAt", "written"),
        ("expiresAt", "expires"),
        ("lastUsedAt", "used last"),
    ):
        if secret.get(name):
            typer.echo(f"  {label + ':':13}{plain(secret[name])}")
    if secret["tags"]:
        typer.echo(f"  {'tags:':13}{plain(' '.join(secret['tags']))}")
    typer.echo(f"  {'used by:':13}{_users(secret)}")


def _users(secret: Mapping[str, Any]) -> str:
    rules: Mapping[str, list[str]] = secret["usableBy"]
    who = [*rules["principals"], *(f"role {role}" for role in rules["roles"])]
    tools = " ".join(rules["tools"])
    if tools and who:
        tools = f"{tools} for {', '.join(who)}"
    services = [f"service {name}" for name in rules["services"]]
    return ", ".join(filter(None, [tools, *services])) or "nobody"


def _row(secret: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        secret["path"],
        str(secret["version"]),
        _moment(secret.get("lastUsedAt")),
        _moment(secret.get("expiresAt")),
        _users(secret),
    )


def _moment(at: str | None) -> str:
    return at[:16].replace("T", " ") if at else "-"
