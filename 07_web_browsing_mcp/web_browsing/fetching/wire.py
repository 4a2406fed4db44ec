"""HTTP of pages fetched without a browser: everything through the gate, each hop looked at anew.

No cookies, no credentials, no environment: what a site learns of us is one user agent.
"""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import aiohttp
from yarl import URL

from flotilla import FlotillaError, TimedOut, Unavailable, UpstreamError
from web_browsing.fetching.decoding import ACCEPT_ENCODING, Decoder, too_large
from web_browsing.fetching.refusals import refused
from web_browsing.fetching.targets import next_target, origin_of
from web_browsing.gate.refusing import REFUSED_HEADER
from web_browsing.gate.visitor import Visitor

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = 10
CONNECT_S, IDLE_S = 20.0, 30.0
"""To reach a server at all, and between two pieces of its answer."""
ACCEPT = (
    "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.9,application/json;q=0.9,"
    "application/xml;q=0.9,application/pdf;q=0.8,*/*;q=0.5"
)
MAX_HEADER_BYTES = 32 * 1024
"""Of one header's name or value."""
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Hop:
    """A redirect that was followed."""

    status: int
    url: str
    """Where it stood, not where it led."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came at the end of the redirects."""

    url: URL
    status: int
    headers: Mapping[str, str]
    """Names in lower case, several of a name joined by commas; RFC 9110, section 5.3."""
    body: bytes | None = None
    """Decoded; None: it was not wanted."""
    whole: bool = True
    """False: the body ended in the middle, or was cut where that was asked for."""
    hops: tuple[Hop, ...] = ()
    notes: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


Before = Callable[[URL], Awaitable[None]]
"""Asked before each hop; raises where that must not be fetched."""
Wants = Callable[[int, Mapping[str, str]], bool]
"""Whether the body is to be read, by status and headers."""


async def _nothing_before(_url: URL) -> None:
    """For what nobody has a say in."""


def _everything(_status: int, _headers: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """How one page is asked for."""

    before: Before = _nothing_before
    wants: Wants = _everything
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Headers by the URL that they are for: If-None-Match and the like."""
    max_bytes: int
    cut: bool = False
    """Read up to `max_bytes` and leave the rest, rather than refuse what has more."""
    most_hops: int = MAX_HOPS


class Wire:
    """Asks for pages by way of the gate's `proxy`, as the `visitor` that it serves there."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        visitor: Visitor,
        proxy: URL,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._visitor = visitor
        self._proxy = proxy
        self._now = now

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        visitor: Visitor,
        proxy: URL,
        *,
        user_agent: str,
        tls: ssl.SSLContext | None = None,
        connect_s: float = CONNECT_S,
        idle_s: float = IDLE_S,
    ) -> AsyncGenerator[Self]:
        """`tls` verifies the servers, by default against the system's authorities."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=AT_ONCE, limit_per_host=8, ssl=tls or ssl.create_default_context()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": user_agent,
                "Accept": ACCEPT,
                "Accept-Encoding": ACCEPT_ENCODING,
                "Accept-Language": "en;q=0.8, *;q=0.5",
            },
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_s, sock_connect=connect_s, sock_read=idle_s
            ),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        ) as session:
            yield cls(session, visitor, proxy)

    async def get(self, url: URL, ask: Ask) -> Answer:
        """The page, redirects followed; any status is an answer.

        Raises NotAllowed (the gate's refusal, as `details.reason`), TooLarge, TimedOut, Unavailable
        or UpstreamError.
        """
        hops: list[Hop] = []
        notes: list[str] = []
        seen = {str(url)}
        while True:
            await ask.before(url)
            answer = await self._hop(url, ask)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or location is None:
                return Answer(
                    url=url,
                    status=answer.status,
                    headers=answer.headers,
                    body=answer.body,
                    whole=answer.whole,
                    hops=tuple(hops),
                    notes=(*notes, *answer.notes),
                    at=answer.at,
                )
            hops.append(Hop(answer.status, str(url)))
            following = next_target(url, location)
            if len(hops) > ask.most_hops:
                raise _lost("too_many_redirects", f"more than {ask.most_hops} redirects", url)
            if str(following) in seen:
                raise _lost("redirect_loop", "redirects that lead in a circle", url)
            seen.add(str(following))
            if url.scheme == "https" and following.scheme == "http":
                notes.append(
                    f"A redirect led from https to plain http at {following.host}: what came may "
                    "have been changed on its way."
                )
            url = following

    async def _hop(self, url: URL, ask: Ask) -> Answer:
        """One request and its answer; a redirect's body is left where it is."""
        credentials = {} if self._visitor.token is None else _proxy_credentials(self._visitor.token)
        asked_at = self._now()
        plain = url.scheme == "http"
        try:
            async with self._session.get(
                url,
                headers={
                    **ask.conditions.get(str(url), {}),
                    # Plain http goes to the proxy itself, which keeps this to itself; within TLS
                    # the server would read it.
                    **(credentials if plain else {}),
                },
                proxy=self._proxy,
                proxy_headers=None if plain else credentials,
                allow_redirects=False,
            ) as response:
                headers = _joined(response)
                if plain and REFUSED_HEADER in headers:
                    error = refused(self._visitor, url, headers[REFUSED_HEADER], asked_at)
                    if error is not None:
                        raise error
                return await self._taken(url, response, headers, ask)
        except aiohttp.ClientHttpProxyError as error:
            reason = (error.headers or {}).get(REFUSED_HEADER, "")
            raise (
                refused(self._visitor, url, reason, asked_at)
                or Unavailable(f"the gate answers {error.status} for {origin_of(url)}")
            ) from None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _translated(error, url) from error

    async def _taken(
        self,
        url: URL,
        response: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        ask: Ask,
    ) -> Answer:
        status = response.status
        answer = Answer(url=url, status=status, headers=headers, at=self._now())
        redirects = status in REDIRECTS and "location" in headers
        if redirects or status == 304 or not ask.wants(status, headers):
            # What was not read would have to be before the connection could serve another.
            response.close()
            return answer
        body, whole = await _body(response, headers, ask)
        notes = () if whole or ask.cut else ("The page ended in the middle; this is what came.",)
        return Answer(
            url=url,
            status=status,
            headers=headers,
            body=body,
            whole=whole,
            notes=notes,
            at=answer.at,
        )


async def _body(
    response: aiohttp.ClientResponse, headers: Mapping[str, str], ask: Ask
) -> tuple[bytes, bool]:
    """The decoded body and whether that is all of it."""
    claimed = response.content_length
    if claimed is not None and claimed > ask.max_bytes and not ask.cut:
        response.close()
        raise too_large(ask.max_bytes, claimed)
    decoder = Decoder(headers.get("content-encoding", ""), ask.max_bytes, cut=ask.cut)
    parts: list[bytes] = []
    async for part in response.content.iter_any():
        parts.append(decoder.feed(part))
        if decoder.full:
            response.close()
            return b"".join(parts), False
    return b"".join(parts), decoder.finish()


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _proxy_credentials(token: str) -> dict[str, str]:
    return {"Proxy-Authorization": aiohttp.encode_basic_auth("fetcher", token)}


def _lost(reason: str, told: str, url: URL) -> UpstreamError:
    return UpstreamError(
        f"{told}, the last at {origin_of(url)}",
        hint="The site does not lead to a page; try another address of it.",
        details={"reason": reason},
    )


def _translated(error: Exception, url: URL) -> FlotillaError:
    """What a failure below HTTP means to the caller."""
    origin = origin_of(url)
    if isinstance(error, TimeoutError):
        return TimedOut(f"{origin} did not answer in time", details={"reason": "slow"})
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return UpstreamError(
            f"{origin} shows a certificate that is not trusted: "
            f"{getattr(error.certificate_error, 'verify_message', 'it does not fit')}",
            details={"reason": "certificate"},
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return UpstreamError(f"no TLS could be agreed on with {origin}", details={"reason": "tls"})
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Unavailable("the gate that all pages come through does not answer")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Unavailable(f"{origin} broke off in the middle", details={"reason": "broken_off"})
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        return UpstreamError(f"{origin} does not answer as HTTP has it", details={"reason": "http"})
    return Unavailable(f"{origin} hung up without an answer", details={"reason": "hung_up"})
