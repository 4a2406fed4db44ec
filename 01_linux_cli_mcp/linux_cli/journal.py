"""systemd's journal: readJournal."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotAllowed,
    NotConfigured,
    Page,
    TimedOut,
    Tool,
    UpstreamError,
    cut,
    decode_cursor,
    encode_cursor,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import Host, HostName, Hosts, Order
from linux_cli.programs import Programs, timeout_within
from linux_cli.services import NO_SYSTEMD_HINT, UnitName

PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
Priority = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
When = Annotated[
    str | None,
    Field(
        max_length=64,
        description="`2026-01-31 13:00:00` (UTC), `yesterday`, `-2h` or `2 hours ago`.",
    ),
]

_MAX_BYTES = 8 * 1024 * 1024
_MAX_MESSAGE_BYTES = 4096
_MAX_MESSAGES_BYTES = 256 * 1024
_QUICK_S = 25.0
_FIELDS = "MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,_PID,_HOSTNAME"


class JournalEntry(Model):
    """One entry; a message over 4 KB is cut and ends in an ellipsis."""

    at: datetime
    message: str
    priority: str | None
    unit: str | None
    identifier: str | None
    pid: int | None


class Journal:
    """Asks journalctl."""

    def __init__(self, hosts: Hosts, programs: Programs) -> None:
        self._hosts = hosts
        self._programs = programs

    def tools(self) -> tuple[Tool, ...]:
        return (reads("os.linux.readJournal", self.read_journal, untrusted=True),)

    async def read_journal(
        self,
        context: Context,
        host: HostName = "local",
        unit: UnitName | None = None,
        since: When = None,
        until: When = None,
        priority: Annotated[
            Priority | None, Field(description="Only entries at least this severe.")
        ] = None,
        grep: Annotated[
            str | None,
            Field(max_length=512, description="Only messages that match this (PCRE2)."),
        ] = None,
        lines: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[JournalEntry]:
        """Read systemd's journal, newest entries first; `nextCursor` leads to older ones.

        Answers `not_configured` on a host without a journal, such as most containers; read a file
        under /var/log with readFile there.
        """
        machine = self._hosts.find(host)
        if await machine.find_program("journalctl") is None:
            raise NotConfigured(f"host {host!r} has no journalctl", hint=NO_SYSTEMD_HINT)
        after = None if cursor is None else decode_cursor("journal", cursor)
        if after is not None and not isinstance(after, str):
            raise InvalidArgument("cursor is not one that this tool gave out")
        # Values are glued to their option, so that none can pass for an option itself.
        chosen = {
            "--unit": unit,
            "--since": since,
            "--until": until,
            "--priority": priority,
            "--grep": grep,
            "--after-cursor": after,
        }
        filters = (f"{option}={value}" for option, value in chosen.items() if value is not None)
        argv = ("journalctl", "--output=json", f"--output-fields={_FIELDS}", "--no-pager",
                "--reverse", "--all", f"--lines={lines + 1}", *filters)  # fmt: skip
        order = Order(argv=argv, timeout_s=timeout_within(context, _QUICK_S))
        answer = await self._programs.run(machine, order, head_bytes=_MAX_BYTES, tail_bytes=0)
        if answer.ended.timed_out:
            raise TimedOut("the journal did not answer in time", hint="Ask for a shorter span.")
        # With --grep and nothing found it exits 1 and says nothing.
        if answer.ended.exit_code != 0 and answer.stderr.strip():
            raise _refused(answer.stderr.strip())
        page = page_of_entries(answer.stdout, lines)
        if not page.items and not await _has_journal(machine):
            raise NotConfigured("this host has no journal", hint=NO_SYSTEMD_HINT)
        return page


async def _has_journal(machine: Host) -> bool:
    # Without one, journalctl finds nothing and calls that a success.
    for folder in ("/var/log/journal", "/run/log/journal"):
        if await machine.list_system(folder):
            return True
    return False


def _refused(said: str) -> Exception:
    if re.search(r"No journal files|not been booted|No such file or directory", said):
        return NotConfigured("this host has no journal", hint=NO_SYSTEMD_HINT)
    if re.search(r"Failed to parse|Invalid|[Bb]ad pattern|compile|cursor", said):
        return InvalidArgument(said[:500])
    if re.search(r"insufficient permissions|Permission denied", said):
        return NotAllowed(said[:500])
    return UpstreamError(said[:500])


def page_of_entries(output: str, lines: int) -> Page[JournalEntry]:
    """The page in journalctl's JSON lines, which hold one entry more where more follows."""
    items: list[JournalEntry] = []
    last: str | None = None
    room = _MAX_MESSAGES_BYTES
    more = False
    for line in output.splitlines():
        try:
            said: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            # The last line of an output that was cut.
            more = True
            break
        if len(items) == lines or room <= 0:
            more = True
            break
        if not isinstance(said, dict) or "__REALTIME_TIMESTAMP" not in said:
            continue
        entry = _entry(cast("dict[str, Any]", said))
        room -= len(entry.message.encode())
        items.append(entry)
        last = str(cast("dict[str, Any]", said).get("__CURSOR", ""))
    follows = encode_cursor("journal", last) if more and last else None
    return Page[JournalEntry](
        items=items, returned=len(items), next_cursor=follows, truncated=follows is not None
    )


def _entry(said: dict[str, Any]) -> JournalEntry:
    at = int(said["__REALTIME_TIMESTAMP"]) / 1_000_000
    priority = str(said.get("PRIORITY", ""))
    pid = str(said.get("_PID", ""))
    return JournalEntry(
        at=datetime.fromtimestamp(at, UTC),
        message=_message(said.get("MESSAGE")),
        priority=PRIORITIES[int(priority)] if priority in tuple("01234567") else None,
        unit=_text(said.get("_SYSTEMD_UNIT") or said.get("UNIT")),
        identifier=_text(said.get("SYSLOG_IDENTIFIER")),
        pid=int(pid) if pid.isdigit() else None,
    )


def _message(value: Any) -> str:
    """The message, which is a list of bytes where it is no UTF-8, and a list of such if doubled."""
    if isinstance(value, list):
        parts = cast("list[Any]", value)
        if all(isinstance(part, int) for part in parts):
            value = bytes(part & 0xFF for part in parts).decode(errors="replace")
        else:
            value = "\n".join(_message(part) for part in parts)
    text, was_cut = cut("" if value is None else str(value), _MAX_MESSAGE_BYTES)
    return f"{text}…" if was_cut else text


def _text(value: Any) -> str | None:
    return None if value is None else _message(value)
