"""`python3 -m flotilla approvals`: the calls that wait for a person, and the decision."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Annotated, Any, cast

import typer

from flotilla.cli.owner import CommandFailed, Owner
from flotilla.cli.terminal import plain, show_rows

app = typer.Typer(help="See which calls wait for a person, and decide.", no_args_is_help=True)

LOOK_S = 2.0
"""How often `watch` asks, and a decision for the end of the call."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Id = Annotated[str, typer.Argument(help="The ID, or as much of it as no other begins with.")]
Reason = Annotated[str, typer.Option(help="Why: the caller and the audit are told.")]


@app.command("list")
def list_calls(
    state: Annotated[str, typer.Option(help="pending, done, denied, ... or all.")] = "pending",
    tool: Annotated[str | None, typer.Option(help="A canonical name.")] = None,
    principal: Annotated[str | None, typer.Option(help="Who asked.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="What the page before named.")] = None,
    as_json: Json = False,
) -> None:
    """Show the calls that wait, or those that were decided."""
    page = Owner.of().get(
        "/approvals", state=state, tool=tool, principal=principal, limit=limit, cursor=cursor
    )
    if as_json:
        typer.echo(json.dumps(page))
        return
    heads = ("ID", "state", "tool", "asked by", "time left", "what")
    none = "Nothing waits." if state == "pending" else "There are none."
    show_rows(heads, [_row(item) for item in page["items"]], none)
    if "nextCursor" in page:
        typer.echo(f"More: --cursor {page['nextCursor']}", err=True)


@app.command()
def show(approval: Id, as_json: Json = False) -> None:
    """Show one: what will happen, by whom it was asked, its arguments, and what became of it."""
    owner = Owner.of()
    found = owner.get(f"/approvals/{whole_id(owner, approval)}")
    typer.echo(json.dumps(found) if as_json else told(found))


@app.command()
def approve(
    approval: Id,
    reason: Reason = "",
    minutes: Annotated[
        float | None,
        typer.Option("--for", min=0.1, max=480, help="Allow it again for so many minutes."),
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait for its end.")
    ] = 30.0,
    as_json: Json = False,
) -> None:
    """Allow a call: it runs at once, as it was asked for. Exit code 1 where it failed."""
    owner = Owner.of()
    approval = whole_id(owner, approval)
    body: dict[str, Any] = {"decision": "approve", "reason": reason}
    if minutes is not None:
        body["forMinutes"] = minutes
    owner.post(f"/approvals/{approval}/decide", body)
    found = _at_its_end(owner, approval, wait_s)
    if as_json:
        typer.echo(json.dumps(found))
    elif found["state"] == "done":
        typer.echo(_ending(found))
    else:
        typer.echo(f"Approved; it is {found['state']}. `approvals show {approval}` tells its end.")
    if cast("dict[str, Any]", found.get("result") or {}).get("isError") is True:
        raise typer.Exit(1)


@app.command()
def deny(approval: Id, reason: Reason = "", as_json: Json = False) -> None:
    """Refuse a call, or end what was allowed for a while."""
    owner = Owner.of()
    approval = whole_id(owner, approval)
    decided = owner.post(f"/approvals/{approval}/decide", {"decision": "deny", "reason": reason})
    if as_json:
        typer.echo(json.dumps(decided))
    elif decided["state"] == "denied":
        typer.echo(f"{plain(decided['tool'])} of {plain(decided['principal'])} will not run.")
    else:
        typer.echo("It must be asked for again from now on.")


@app.command()
def watch(
    ask: Annotated[bool, typer.Option("--ask", help="Ask you about each, here.")] = False,
    as_json: Json = False,
) -> None:
    """Show each call that comes to wait, until Ctrl-C."""
    if ask and not sys.stdin.isatty():
        raise CommandFailed("--ask needs a terminal", code="invalid_argument")
    owner, seen = Owner.of(), set[str]()
    try:
        while True:
            waiting: list[dict[str, Any]] = owner.get("/approvals", limit=500)["items"]
            new = [item["id"] for item in reversed(waiting) if item["id"] not in seen]
            for approval in new:
                found = owner.get(f"/approvals/{approval}")
                typer.echo(json.dumps(found) if as_json else f"{told(found)}\n")
                if ask:
                    _ask(owner, approval)
            seen = {item["id"] for item in waiting}
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        return


def whole_id(owner: Owner, start: str) -> str:
    """The ID that begins so among those that wait; `start` itself where none does."""
    if not start.isascii() or not start.isalnum() or len(start) > 64:
        raise CommandFailed(f"{start[:80]!r} is no ID of an approval", code="invalid_argument")
    if len(start) >= 16:
        return start
    waiting = owner.get("/approvals", limit=500)["items"]
    found = [item["id"] for item in waiting if item["id"].startswith(start)]
    if len(found) > 1:
        raise CommandFailed(f"{len(found)} approvals begin with {start}", code="invalid_argument")
    return found[0] if found else start


def told(found: dict[str, Any]) -> str:
    """An approval in plain words for a terminal; what a caller wrote stays text in its lines."""
    roles = " ".join(found["roles"]) or "no role"
    lines = [
        f"{found['id']}  {found['state']}{_left(found)}",
        f"  tool      {plain(found['tool'])} of {plain(found['service'])}",
        f"  asked by  {plain(found['principal'])} ({plain(roles)}) at {found['askedAt']}",
    ]
    if found["fourEyes"]:
        lines.append("  needs     somebody who is not the asker")
    if "decidedAt" in found:
        lines.append(
            f"  decided   by {plain(found['decidedBy'])} ({found['way']}) at {found['decidedAt']}"
        )
    if "reason" in found:
        lines.append(f"  reason    {plain(found['reason'])}")
    if "allowedUntil" in found:
        lines.append(f"  allowed   this exact call until {found['allowedUntil']}")
    lines += ["", *_indented(found["shown"].split("\n"))]
    lines += ["", "  arguments", *_indented(json.dumps(found["arguments"], indent=2).split("\n"))]
    if found["state"] == "done":
        lines += ["", _ending(found)]
    return "\n".join(lines)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {plain(line)}" for line in lines]


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    left = item.get("expiresInS")
    return (
        item["id"],
        item["state"],
        item["tool"],
        item["principal"],
        "" if left is None else _lasting(left),
        item["summary"],
    )


def _left(found: dict[str, Any]) -> str:
    left = found.get("expiresInS")
    return "" if left is None else f", {_lasting(left)} left"


def _lasting(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _ending(found: dict[str, Any]) -> str:
    result = cast("dict[str, Any] | None", found.get("result"))
    if result is None:
        return "It has ended; its result is no longer kept."
    head = "It failed:" if result.get("isError") is True else "It has run:"
    texts = [str(block.get("text", f"({block.get('type')})")) for block in result["content"]]
    lines = [head, *_indented(line for text in texts for line in text.split("\n"))]
    return "\n".join([*lines, *([f"  {plain(result['note'])}"] if "note" in result else [])])


def _at_its_end(owner: Owner, approval: str, wait_s: float) -> dict[str, Any]:
    until = time.monotonic() + wait_s
    while True:
        found: dict[str, Any] = owner.get(f"/approvals/{approval}")
        left_s = until - time.monotonic()
        if found["state"] not in ("approved", "running") or left_s <= 0:
            return found
        time.sleep(min(LOOK_S / 4, left_s))


def _ask(owner: Owner, approval: str) -> None:
    answer = typer.prompt("Allow it? yes, no, or later", default="later").strip().lower()
    decision = {"yes": "approve", "y": "approve", "no": "deny", "n": "deny"}.get(answer)
    if decision is None:
        return
    try:
        owner.post(f"/approvals/{approval}/decide", {"decision": decision})
    except CommandFailed as error:
        typer.echo(f"flotilla: {error.message}", err=True)
