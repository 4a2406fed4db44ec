"""`python3 -m flotilla audit`: who did what, and whether the record of it is whole."""

import json
import sqlite3
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flotilla.chain import COLUMNS, Checked, Head, Link, Signed, Wanted, checking
from flotilla.cli.owner import CommandFailed, Owner
from flotilla.cli.terminal import plain, show_table

app = typer.Typer(help="Look through the audit, take it away, check it.", no_args_is_help=True)

LOOK_S = 1.0
"""How often `tail` asks."""
_PROGRESS = 100_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Since = Annotated[str | None, typer.Option(help="From then on: 2026-01-31T08:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Before then.")]
Tool = Annotated[str | None, typer.Option(help="A canonical name, or os.linux.*")]
By = Annotated[str | None, typer.Option("--principal", help="Who asked.")]
Outcome = Annotated[str | None, typer.Option(help="ok, asked, cancelled, or an error's code.")]
OfKind = Annotated[str | None, typer.Option(help="call, intent, approval, token, policy, ...")]
Id = Annotated[str | None, typer.Option("--id", help="The correlation ID of a call.")]


@app.command()
def query(
    since: Since = None,
    until: Until = None,
    tool: Tool = None,
    principal: By = None,
    outcome: Outcome = None,
    kind: OfKind = None,
    correlation_id: Id = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at most.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="What the page before named.")] = None,
    as_json: Json = False,
) -> None:
    """Show the newest rows that fit."""
    page = Owner.of().get(
        "/audit",
        since=since,
        until=until,
        tool=tool,
        principal=principal,
        outcome=outcome,
        kind=kind,
        correlationId=correlation_id,
        limit=limit,
        cursor=cursor,
    )
    if as_json:
        typer.echo(json.dumps(page))
        return
    _show(page["items"])
    if "nextCursor" in page:
        typer.echo(f"More: --cursor {page['nextCursor']}", err=True)


@app.command()
def tail(
    tool: Tool = None,
    principal: By = None,
    outcome: Outcome = None,
    as_json: Json = False,
) -> None:
    """Show rows as they are written, until Ctrl-C."""
    owner = Owner.of()
    wanted = {"tool": tool, "principal": principal, "outcome": outcome}
    newest = owner.get("/audit", limit=1)["items"]
    after = newest[0]["number"] if newest else 0
    try:
        while True:
            for raw in owner.lines("/audit/export", after=after, **wanted):
                line = json.loads(raw)
                if "row" not in line:
                    continue
                after = line["number"]
                typer.echo(raw.decode().rstrip("\n") if as_json else _in_a_line(line))
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return


@app.command()
def export(
    since: Since = None,
    until: Until = None,
    tool: Tool = None,
    principal: By = None,
    outcome: Outcome = None,
    kind: OfKind = None,
    after: Annotated[int, typer.Option(min=0, help="Rows after that number.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A new file; else standard output.")] = None,
) -> None:
    """Write rows as JSON lines, the oldest first, then what is signed about the newest one."""
    lines = Owner.of().lines(
        "/audit/export",
        after=after,
        since=since,
        until=until,
        tool=tool,
        principal=principal,
        outcome=outcome,
        kind=kind,
    )
    if out is None:
        for line in lines:
            sys.stdout.buffer.write(line)
        return
    try:
        with out.open("xb") as file:
            out.chmod(0o600)
            for line in lines:
                file.write(line)
    except OSError as error:
        raise CommandFailed(f"cannot write {out}: {error.strerror}") from None


@app.command()
def verify(
    database: Annotated[
        Path | None,
        typer.Option(help="Check this SQLite file (a copy of hub.sqlite3), without the hub."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="With --database: the public keys to believe, by default beside it."),
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="With --database: heads that were taken away, by default beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk all rows; exit code 1 and the first wrong row where something was tampered with."""
    started = time.monotonic()
    steps = _by_the_hub() if database is None else _in_the_file(database, key, head)
    checked: Any = None
    for found in steps:
        if not isinstance(found, int):
            checked = found
        elif sys.stderr.isatty() and found and found % _PROGRESS == 0:
            typer.echo(f"{found} rows are right so far", err=True)
    if checked is None:
        raise CommandFailed("the hub stopped before it had walked all rows")
    spent_s = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps({**checked, "seconds": round(spent_s, 3)}))
    else:
        _tell(checked, spent_s)
    if checked["fault"] is not None:
        raise typer.Exit(1)


def _tell(checked: dict[str, Any], spent_s: float) -> None:
    fault = checked["fault"]
    if fault is not None:
        wrong = str(fault["wrong"]).replace("_", " ")
        typer.echo(f"Row {fault['number']}: {wrong}: {fault['meaning']}.", err=True)
        return
    rows = checked["last"] - checked["first"] + 1
    typer.echo(f"All {rows} rows hold, {checked['first']} to {checked['last']} ({spent_s:.1f} s).")


def _by_the_hub() -> Iterator[Any]:
    for raw in Owner.of().lines("/audit/verify"):
        line = json.loads(raw)
        yield line["at"] if "at" in line else line["checked"]


def _in_the_file(
    file: Path, keys: Sequence[Path] | None, heads: Sequence[Path] | None
) -> Iterator[Any]:
    beside = file.parent / "audit"
    keys = keys or [beside / "public_key.pem"]
    if heads is None:
        heads = [beside / "head"] if (beside / "head").exists() else []
    try:
        known = [_public_key(path) for path in keys]
        told = [Head.read(path.read_text()) for path in heads]
        if not file.is_file():
            raise FileNotFoundError(2, "there is no such file", str(file))
        # Only read, so that the copy stays evidence.
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            yield from _walked(opened, known, told)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise CommandFailed(f"cannot check {file}: {error}", code="invalid_argument") from None


def _walked(
    opened: sqlite3.Connection, known: Sequence[Ed25519PublicKey], told: Sequence[Head]
) -> Iterator[Any]:
    marks = [
        Head(name.partition(":")[0], *values)
        for name, *values in opened.execute(
            "SELECT name, number, hash, at, key, signature FROM hub_audit_marks"
        )
    ]
    (newest,) = opened.execute("SELECT max(number) FROM hub_audit").fetchone()
    anchor = next((mark for mark in marks if mark.name == "anchor"), None)
    heads = [mark for mark in marks if mark.name != "anchor"]
    walking = checking(Signed(anchor, [*heads, *told], newest or 0), known)
    checked = yield from _stepped(opened, walking)
    fault = checked.fault
    yield {
        "first": checked.first,
        "last": checked.last,
        "fault": None
        if fault is None
        else {"number": fault.number, "wrong": fault.wrong, "meaning": fault.meaning},
    }


def _stepped(
    opened: sqlite3.Connection, walking: Generator[Wanted, Sequence[Link], Checked]
) -> Generator[int, None, Checked]:
    try:
        wanted = next(walking)
        while True:
            yield wanted.after
            found = opened.execute(
                f"SELECT number, previous, body, hash, {', '.join(COLUMNS.values())} FROM hub_audit"  # noqa: S608
                " WHERE number > ? ORDER BY number LIMIT ?",
                (wanted.after, wanted.many),
            )
            wanted = walking.send(
                [
                    Link(row[0], row[1], row[2], row[3], dict(zip(COLUMNS, row[4:], strict=True)))
                    for row in found
                ]
            )
    except StopIteration as end:
        return cast("Checked", end.value)


def _public_key(file: Path) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(file.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{file} is not an Ed25519 key")
    return key


def _show(items: Sequence[dict[str, Any]]) -> None:
    if not sys.stdout.isatty():
        for item in items:
            typer.echo(_in_a_line(item))
        return
    heads = ("row", "at", "kind", "principal", "tool", "outcome", "rules", "ID")
    show_table(heads, [_row(item) for item in items])


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    row = item["row"]
    rules = " ".join(row.get("rules", ()))
    who = (str(item["number"]), row["at"], row["kind"], row["principal"])
    return (*who, row.get("tool", ""), row["outcome"], rules, row.get("correlationId", ""))


def _in_a_line(item: dict[str, Any]) -> str:
    row = item["row"]
    words = [str(item["number"]), row["at"], row["kind"], row["principal"], row.get("tool", "-")]
    words += [row["outcome"], row.get("correlationId", "-")]
    if "arguments" in row:
        words.append(json.dumps(row["arguments"]))
    return plain("  ".join(words))
