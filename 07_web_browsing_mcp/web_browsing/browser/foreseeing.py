"""What a person is shown before a page may send something, a script runs or a file is handed out.

One hub-only operation answers for the three tools that wait for a person. It knows from the hub who
asks, and tells them of their own sessions alone.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import JsonValue

from flotilla import (
    Context,
    Deadline,
    FlotillaError,
    InvalidArgument,
    Model,
    Principal,
    TimedOut,
    UpstreamError,
)
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Change, Foreseen, rejecting
from flotilla.secret_shapes import names_a_secret
from web_browsing.browser.arriving import not_let_through
from web_browsing.browser.concealing import Veil
from web_browsing.browser.elements import FIND_S, located, translated
from web_browsing.browser.forms import Body, Field, query_of, shown, without
from web_browsing.browser.opening import check_url
from web_browsing.browser.outcome import read, shown_url
from web_browsing.browser.plans import Plan, plan_of
from web_browsing.browser.sending import Sending
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.shown import key_of
from web_browsing.browser.standing import standing
from web_browsing.browser.standpoint import (
    Standpoint,
    link_key,
    link_of,
    origin_of,
    script_key,
    standpoint,
)
from web_browsing.gate.refusing import Refused
from web_browsing.gate.visitor import Outgoing

if TYPE_CHECKING:
    from playwright.async_api import Page

Answer = TypeVar("Answer")
OPERATION = "browse.foresee"
LIMIT_S = 7.0
"""The hub waits for 8 s."""
JUDGE_S = 2.0
"""For the DNS."""
MAX_SHOWN_FIELDS = 30
"""Of those that the hub shows one by one; of more it shows the list."""
MAX_VALUE_CHARS = 250
MAX_SCRIPT_CHARS = 12_000
MAX_URL_CHARS = 400
MAX_HEADERS = 16
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
_EXPECTED = re.compile(
    r"host|connection|content-(length|type)|origin|referer|user-agent|accept(-encoding|-language)?|"
    r"cookie|cache-control|pragma|upgrade-insecure-requests|dnt|priority|sec-(ch-ua|fetch)(-[a-z]+)*"
)
"""Headers that browsers write by themselves; a page may add others."""


class Asked(Model):
    """A call that waits for a person. `owner` is who asks, by the hub's word."""

    action: Literal["submit", "evaluate", "download"]
    owner: str
    session_id: str
    tab: str | None = None
    ref: str | None = None
    selector: str | None = None
    held_id: str | None = None
    script: str | None = None
    url: str | None = None
    download_id: str | None = None


class Foreseer:
    """Answers the operation."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def operation(self) -> Operation:
        return Operation(name=OPERATION, takes=Asked, run=self.foresee, role=HUB_ROLE, reads=True)

    async def foresee(self, asked: Asked) -> Foreseen:
        context = Context(
            principal=Principal(asked.owner),
            correlation_id="",
            deadline=Deadline.after(LIMIT_S),
        )
        with rejecting():
            async with self._sessions.looking(asked.session_id, context) as session:
                try:
                    foreseen = await self._foreseen(session, asked)
                except FlotillaError as error:
                    Veil(session.sending.concealed).error(error)
                    raise
                return Veil(session.sending.concealed).data(foreseen)

    async def _foreseen(self, session: Session, asked: Asked) -> Foreseen:
        if asked.held_id is not None:
            held = session.sending.find(asked.held_id, showing=True)
            return _of_held(session, held.outgoing, read(held, session.sending))
        if asked.ref is not None or asked.selector is not None:
            # The page is asked for it, whose tab may wait for something else that is held.
            await standing(session, asked.tab or session.active)
        if asked.action == "evaluate":
            return await _of_script(session, asked)
        if asked.action == "download":
            return await _of_download(session, asked, self._judge)
        key, shown_so_far = key_of(asked.ref, asked.selector, asked.tab), session.sending.shown
        shown_so_far.begin(key)
        element = await located(session.page(asked.tab), asked.ref, asked.selector)
        plan = await _answered(plan_of(element))
        await self._judge(plan.url)
        shown_so_far.show(key, plan.digest)
        return _of_plan(session.sending, plan)

    async def _judge(self, url: str) -> None:
        """Nobody is asked to allow what the gate refuses afterwards.

        Raises NotAllowed, or UpstreamError for a name without an address.
        """
        parts = urlsplit(url)
        # Browsers send who is named there in a header of its own, and what is looked for in the
        # page not at all.
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
        with rejecting(UpstreamError):
            try:
                async with asyncio.timeout(JUDGE_S):
                    await self._sessions.judge(bare.geturl())
            except TimeoutError:
                # The gate judges it again, when it goes out.
                return
            except Refused as refused:
                # Browsers know other spellings, as names in letters beyond ASCII.
                if refused.reason != "bad_host":
                    raise not_let_through(refused) from None


async def _answered(question: Coroutine[Any, Any, Answer]) -> Answer:
    """What a page says, in time."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(FIND_S):
            return await question
    except TimeoutError:
        raise TimedOut("the page does not answer") from None
    except Error as error:
        raise translated(error) from None


def _of_held(session: Session, out: Outgoing, body: Body) -> Foreseen:
    page = out.header("referer") or out.header("origin") or ""
    state: dict[str, JsonValue] = {
        "page": shown_url(page, session.sending, MAX_URL_CHARS) or "(it does not say)",
        "contentType": (out.header("content-type") or "none")[:100],
        "sizeBytes": body.size_bytes,
        "cookies": out.header("cookie") is not None,
    }
    # Of what is shown whole it says nothing more, and of a short password too much.
    if not body.whole and not body.has_secrets:
        state["sha256"] = body.digest
    others = [each for each in out.headers if _EXPECTED.fullmatch(each[0]) is None]
    for name, value in others[:MAX_HEADERS]:
        told = shown(name, value[:MAX_VALUE_CHARS], session.sending.concealed)
        is_secret = names_a_secret(name, value) or name == "authorization"
        name = without(name, session.sending.concealed)
        state[f"header {name}"] = f"({len(value)} characters)" if is_secret else told.shown
    return Foreseen(
        action=f"Send {out.method} {shown_url(out.url, session.sending, MAX_URL_CHARS)}",
        target=target_of(out.url),
        state=state,
        changes=_changes(body.fields),
        diff=_listed(body.fields) or _text(body),
        warnings=[
            *_warnings(out.url, page, session.sending.concealed),
            *_other_method(out),
            *_unusual(len(others)),
            *_unlisted(body.fields),
            *(["it carries a password or another secret"] if body.has_secrets else []),
            *(["a file goes with it"] if any(each.file for each in body.fields) else []),
            *([] if body.whole else [f"not all of its {body.size_bytes} bytes can be shown"]),
        ],
    )


def _of_plan(sending: Sending, plan: Plan) -> Foreseen:
    fields = tuple(
        Field(
            name=without(each.name, sending.concealed),
            shown=f"file {each.file!r}, {each.size} bytes",
            file=True,
        )
        if each.file is not None
        else shown(each.name, each.value, sending.concealed, secret=each.kind == "password")
        for each in plan.fields
    )
    hidden = [
        without(each.name, sending.concealed)
        for each in plan.fields
        if each.kind == "hidden" and each.value
    ]
    page = plan.page
    return Foreseen(
        action=f"Send {plan.method} {shown_url(plan.url, sending, MAX_URL_CHARS)}",
        target=target_of(plan.url),
        state={
            "page": shown_url(page, sending, MAX_URL_CHARS),
            "title": without(plan.title, sending.concealed),
            "encoding": plan.enctype,
        },
        changes=_changes(fields),
        diff=_listed(fields),
        warnings=[
            *_warnings(plan.url, page, sending.concealed),
            *_unlisted(fields),
            *(["it carries a password or another secret"] if _has_secret(fields) else []),
            *(["its fields stand in the URL, which servers log"] if plan.method == "GET" else []),
            *(["a file goes with it"] if any(each.file for each in fields) else []),
            *([f"fields that nobody sees: {', '.join(hidden)[:300]}"] if hidden else []),
        ],
    )


async def _of_script(session: Session, asked: Asked) -> Foreseen:
    page = session.page(asked.tab)
    script = asked.script or ""
    key = script_key(script, asked.ref, asked.selector, asked.tab)
    session.sending.shown.begin(key)
    where = Standpoint(None, page.url, page.url)
    named = asked.ref or asked.selector
    if named is not None:
        element = await located(page, asked.ref, asked.selector)
        where = await _answered(standpoint(page, element))
    session.sending.shown.show(key, where.digest)
    lines = "\n".join(f"+{line}" for line in script[:MAX_SCRIPT_CHARS].split("\n"))
    warnings = ["a script acts as the session's user on that site, and reads all that they may"]
    if len(script) > MAX_SCRIPT_CHARS:
        warnings.append(f"of its {len(script)} characters {MAX_SCRIPT_CHARS} are shown")
    if any(not each.isascii() for each in script):
        warnings.append("it holds characters beyond ASCII, which may look like others")
    if origin_of(where.frame_url) != origin_of(where.page_url):
        warnings.append("the element is in a frame of the page: the script runs as the frame's")
    frame = shown_url(where.frame_url, session.sending, MAX_URL_CHARS)
    return Foreseen(
        action=f"Run a script of {len(script)} characters in {frame}",
        target=target_of(where.frame_url),
        state={"page": _where(session, page), "element": named},
        diff=lines,
        warnings=warnings,
    )


async def _of_download(
    session: Session, asked: Asked, judge: Callable[[str], Awaitable[None]]
) -> Foreseen:
    page = session.page(asked.tab)
    kept = session.downloads.get(asked.download_id or "")
    if asked.download_id is not None and kept is None:
        raise InvalidArgument(f"there is no download {asked.download_id[:20]!r}")
    url = asked.url if kept is None else kept.url
    if asked.url is not None:
        await judge(check_url(asked.url))
    state: dict[str, JsonValue] = {"page": _where(session, page)}
    if kept is not None:
        name = without(kept.suggested_name, session.sending.concealed)
        state |= {"name": name, "sizeBytes": kept.size_bytes, "sha256": kept.sha256}
    if url is None:
        key = link_key(asked.ref, asked.selector, asked.tab)
        session.sending.shown.begin(key)
        element = await located(page, asked.ref, asked.selector)
        # Where it leads is not judged here: a script of the page may bring the file instead.
        url = await _answered(link_of(element))
        session.sending.shown.show(key, f"{origin_of(page.url)} {url}")
        state["element"] = asked.ref or asked.selector
    if not url:
        return Foreseen(
            action=f"Click an element of {_where(session, page)}, load the file that the page "
            "answers with, and hand it to the model",
            target=target_of(page.url),
            state=state,
            warnings=["the element is no link: which file it is, is not known"],
        )
    verb = "Load the file at" if kept is None else "Hand the file that was loaded from"
    told = f"{verb} {shown_url(url, session.sending, MAX_URL_CHARS)}"
    return Foreseen(
        action=f"{told} {'and hand it ' * (kept is None)}to the model",
        target=target_of(url),
        state=state,
        warnings=[
            *_of_file(url, page.url),
            *_of_address(url, session.sending.concealed),
        ],
    )


def _of_file(url: str, page: str) -> Iterator[str]:
    of, by = urlsplit(url), urlsplit(page)
    if by.hostname and of.hostname != by.hostname:
        yield f"it comes from {of.hostname}, which is not the page's host {by.hostname}"
    if of.scheme == "http":
        yield "it comes over http: whoever is on the way may have changed it"


def target_of(url: str) -> str:
    """Who gets it: host and port, and the name as people read it where that is another."""
    parts = urlsplit(url)
    host = parts.hostname or "(no host)"
    told = readable(host)
    named = host if told is None else f"{host} (reads {told!r})"
    return f"{named}, port {parts.port}" if parts.port else named


def readable(host: str) -> str | None:
    """An internationalized name in its letters (RFC 3492); None for one that is ASCII."""
    labels: list[str] = []
    for label in host.split("."):
        if not label.startswith("xn--"):
            labels.append(label)
            continue
        try:
            labels.append(label[4:].encode("ascii").decode("punycode"))
        except UnicodeError:
            return None
    name = ".".join(labels)
    return None if name == host else name


def _warnings(url: str, page: str, concealed: Collection[str]) -> Iterator[str]:
    to, of = urlsplit(url), urlsplit(page)
    if not of.hostname:
        yield "it is not known which page sends it"
    elif to.hostname != of.hostname:
        yield f"it goes to {to.hostname}, which is not the page's host {of.hostname}"
    if to.scheme == "http":
        yield "it goes over http: whoever is on the way reads it and may change it"
    yield from _of_address(url, concealed)


def _of_address(url: str, concealed: Collection[str]) -> Iterator[str]:
    to = urlsplit(url)
    name = readable(to.hostname or "")
    if name is not None:
        yield f"the host is written with other letters than ASCII's: {name!r} is {to.hostname}"
    if len(url) > MAX_URL_CHARS:
        yield f"of its URL's {len(url)} characters {MAX_URL_CHARS} are shown"
    secrets = [each.name for each in query_of(to.query, concealed) if each.secret]
    if secrets:
        yield f"its URL carries what may be a secret: {', '.join(secrets)[:200]}"


def _has_secret(fields: tuple[Field, ...]) -> bool:
    return any(each.secret for each in fields)


def _changes(fields: tuple[Field, ...]) -> list[Change]:
    return [Change(field=each.name, after=each.shown) for each in fields[:MAX_SHOWN_FIELDS]]


def _unusual(headers: int) -> Iterator[str]:
    if headers > MAX_HEADERS:
        yield f"{headers} of its headers are the page's own; {MAX_HEADERS} of them are shown"


def _other_method(out: Outgoing) -> Iterator[str]:
    for name, value in out.headers:
        if name in OVERRIDES:
            yield f"by a header it asks the site to take it as {value[:20]}"


def _listed(fields: tuple[Field, ...]) -> str | None:
    """All fields as a list, where they do not all fit among the changes."""
    long = any(len(each.shown) > MAX_VALUE_CHARS for each in fields)
    if not long and len(fields) <= MAX_SHOWN_FIELDS:
        return None
    return _lines(fields)[:MAX_SCRIPT_CHARS]


def _unlisted(fields: tuple[Field, ...]) -> Iterator[str]:
    if len(_lines(fields)) > MAX_SCRIPT_CHARS:
        yield f"its {len(fields)} fields are too long to be shown whole: the end is missing"


def _lines(fields: tuple[Field, ...]) -> str:
    """A line each: no value can play a further field."""
    return "\n".join(f"+{_one_line(each.name)}: {_one_line(each.shown)}" for each in fields)


def _one_line(text: str) -> str:
    return text.replace("\r", "⟨CR⟩").replace("\n", "⟨LF⟩")


def _text(body: Body) -> str | None:
    return "\n".join(f"+{line}" for line in body.text.split("\n")) if body.text else None


def _where(session: Session, page: "Page") -> str:
    return shown_url(page.url, session.sending, MAX_URL_CHARS)
