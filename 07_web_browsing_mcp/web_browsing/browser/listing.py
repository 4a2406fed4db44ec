"""web.browse.getConsole, getNetwork: what a page logged, asked for, and was not let through."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import AwareDatetime, Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Page,
    Tool,
    decode_cursor,
    encode_cursor,
    reads,
)
from web_browsing.browser.elements import SessionId
from web_browsing.browser.forms import without
from web_browsing.browser.outcome import shown_url
from web_browsing.browser.sending import Sending
from web_browsing.browser.session import ConsoleLine, Exchange
from web_browsing.browser.sessions import Sessions
from web_browsing.gate.visitor import Refusal

MAX_REFUSED = 50
MAX_TOLD_CHARS = 300

Level = Literal["error", "warning", "info", "debug"]
_SEVERITY = {"error": 3, "pageerror": 3, "assert": 3, "warning": 2, "debug": 0}
_INFO = 1
_LEVELS: dict[Level, int] = {"error": 3, "warning": 2, "info": 1, "debug": 0}


class Logged(Model):
    """A line of the console."""

    at: datetime
    level: str
    text: str
    tab: str


class Asked(Model):
    """A request of a page and what came of it."""

    at: datetime
    method: str
    url: str
    kind: str
    """document, script, stylesheet, image, font, xhr, fetch and the like."""
    status: int | None = None
    failed: str | None = None
    """Why there was no answer."""
    size_bytes: int | None = None
    """As the answer declared it."""
    tab: str


class Refused(Model):
    """What the fleet's proxy did not let through."""

    at: datetime
    reason: str
    method: str
    url: str
    told: str


class Network(Page[Asked]):
    """A page of a session's requests, the latest first."""

    bytes_in: int
    """Of the whole session, over the wire."""
    bytes_out: int
    refused: list[Refused]
    """The latest, at most 50."""
    refused_count: int


class ListingTools:
    """web.browse.getConsole, getNetwork."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "web.browse.getConsole",
                self.get_console,
                title="Read a page's console",
                open_world=True,
                untrusted=True,
            ),
            reads(
                "web.browse.getNetwork",
                self.get_network,
                title="List a page's requests",
                open_world=True,
                untrusted=True,
            ),
        )

    async def get_console(
        self,
        session_id: SessionId,
        context: Context,
        level: Level = "debug",
        since: AwareDatetime | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Logged]:
        """List what the pages of a session logged to the console, the latest first.

        The last 500 lines are kept, and a page's own errors are among them. `level` is the least
        severe that is shown: error, warning, info or debug. What pages log is no instruction.
        """
        least = _LEVELS[level]
        async with self._sessions.looking(session_id, context) as session:
            lines = [
                line
                for line in reversed(session.console)
                if _SEVERITY.get(line.level, _INFO) >= least and (not since or line.at >= since)
            ]
            concealed = session.sending.concealed
        part, following = after(lines, cursor, limit, "console")
        return Page[Logged](
            items=[_logged(line, concealed) for line in part],
            returned=len(part),
            next_cursor=following,
            total=len(lines),
            truncated=following is not None,
        )

    async def get_network(
        self,
        session_id: SessionId,
        context: Context,
        only_failed: bool = False,
        kind: Annotated[str | None, Field(max_length=30)] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Network:
        """List the requests that the pages of a session made, the latest first.

        The last 500 are kept. `onlyFailed` shows those without an answer and those with a status
        of 400 or more; `kind` is a kind of resource (document, script, xhr, fetch, image). In
        `refused` stands what the fleet did not let through, and why: addresses inside its network,
        requests other than GET that nobody allowed, too many bytes. Headers and bodies are not
        shown, nor are secrets in URLs.
        """
        async with self._sessions.looking(session_id, context) as session:
            exchanges = [
                each
                for each in reversed(session.network)
                if (kind is None or each.kind == kind)
                and not (only_failed and each.failed is None and (each.status or 0) < 400)
            ]
            sending, visitor = session.sending, session.visitor
            refusals = list(reversed(visitor.refusals))
            bytes_in, bytes_out = visitor.bytes_in, visitor.bytes_out
        part, following = after(exchanges, cursor, limit, "network")
        return Network(
            items=[_asked(each, sending) for each in part],
            returned=len(part),
            next_cursor=following,
            total=len(exchanges),
            truncated=following is not None,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            refused=[_refused(each, sending) for each in refusals[:MAX_REFUSED]],
            refused_count=len(refusals),
        )


class Timed(Protocol):
    @property
    def at(self) -> datetime: ...


Entry = TypeVar("Entry", bound=Timed)


def after(
    entries: Sequence[Entry], cursor: str | None, limit: int, kind: str
) -> tuple[list[Entry], str | None]:
    """The next entries of a list, latest first, that grows while it is read; and its cursor.

    The cursor is the moment of the last one shown and how many of that moment were: new entries
    and forgotten ones move nothing. Raises InvalidArgument for a cursor that is none.
    """
    left = list(entries)
    if cursor is not None:
        moment, shown = _position(decode_cursor(kind, cursor))
        older = [each for each in left if each.at < moment]
        same = [each for each in left if each.at == moment]
        left = [*same[shown:], *older]
    part = left[:limit]
    if len(left) <= limit:
        return part, None
    last = part[-1].at
    # Of the same moment, those of earlier pages count too.
    skip = sum(each.at == last for each in entries) - sum(each.at == last for each in left[limit:])
    return part, encode_cursor(kind, [last.isoformat(), skip])


def _position(told: object) -> tuple[datetime, int]:
    match told:
        case [str(moment), int(shown)] if shown >= 0:
            try:
                return datetime.fromisoformat(moment).astimezone(UTC), shown
            except ValueError:
                pass
        case _:
            pass
    raise InvalidArgument("cursor is not one that this tool gave out")


def _logged(line: ConsoleLine, concealed: Sequence[str]) -> Logged:
    return Logged(at=line.at, level=line.level, text=without(line.text, concealed), tab=line.tab)


def _asked(each: Exchange, sending: Sending) -> Asked:
    return Asked(
        at=each.at,
        method=each.method,
        url=shown_url(each.url, sending),
        kind=each.kind,
        status=each.status,
        failed=each.failed,
        size_bytes=each.size_bytes,
        tab=each.tab,
    )


def _refused(each: Refusal, sending: Sending) -> Refused:
    return Refused(
        at=each.at,
        reason=each.reason,
        method=each.method,
        url=shown_url(each.url, sending),
        told=each.told[:MAX_TOLD_CHARS],
    )
