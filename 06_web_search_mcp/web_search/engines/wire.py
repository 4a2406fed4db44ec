"""JSON from an engine that has an API: bounded, within a deadline, never redirected."""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flotilla import Deadline, NotConfigured, TimedOut, TooLarge, Unavailable, UpstreamError
from flotilla.json_text import from_json
from flotilla.upstream import whole

if TYPE_CHECKING:
    import aiohttp

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_REQUESTS = 8
"""At once to one engine."""
EARLY_S = 0.05
"""A request ends that long before the deadline: there must be time to say what happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Any answer but a redirect; `body` is None where it is no JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Wire:
    """Requests to one engine below `url`. Nothing is opened before the first.

    `proxy` is an HTTP proxy's URL; `ca_file` a PEM file that is trusted besides the system's.
    """

    def __init__(
        self, engine: str, url: str, *, proxy: str | None = None, ca_file: str | None = None
    ) -> None:
        self._engine = engine
        self._url = url.rstrip("/")
        self._proxy = proxy
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str], due: Deadline
    ) -> Answer:
        return await self._asked("GET", path, due, params=params, headers=headers)

    async def post(self, path: str, body: Any, headers: Mapping[str, str], due: Deadline) -> Answer:
        return await self._asked("POST", path, due, json=body, headers=headers)

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _asked(self, method: str, path: str, due: Deadline, **more: Any) -> Answer:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=max(due.remaining_s() - EARLY_S, 0.001))
        async with (
            self._translated(),
            self._opened().request(
                method,
                f"{self._url}{path}",
                # Never followed: words and key are for this engine alone.
                allow_redirects=False,
                proxy=self._proxy,
                timeout=timeout,
                **more,
            ) as answer,
        ):
            if answer.status in (301, 302, 303, 307, 308):
                raise self._moved(answer.headers.get("Location", ""))
            raw = await whole(
                answer.content.iter_chunked(64 * 1024),
                MAX_BODY_BYTES,
                f"{self._engine} answers with more than {MAX_BODY_BYTES // 1024 // 1024} MiB",
                hint="Ask for fewer results.",
            )
            return Answer(answer.status, answer.headers.copy(), _json(raw))

    @asynccontextmanager
    async def _translated(self) -> AsyncGenerator[None]:
        """What breaks on the way in the words of `engine.Engine`, without addresses or keys."""
        import aiohttp

        details = {"engine": self._engine}
        try:
            yield
        except TimeoutError:
            late = TimedOut(f"{self._engine} did not answer in time")
            late.details.update(details)
            raise late from None
        except TooLarge as error:
            raise UpstreamError(error.message, details={**details, "reason": "too_large"}) from None
        except aiohttp.ClientConnectorCertificateError:
            raise NotConfigured(
                f"the certificate of {self._engine} is not trusted",
                hint="Name the PEM file of its authority as ca_file in web_search.yaml.",
                details={**details, "reason": "certificate"},
            ) from None
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or type(error.os_error).__name__
            raise Unavailable(
                f"{self._engine} cannot be reached: {why}",
                details={**details, "reason": "unreachable"},
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"the connection to {self._engine} broke: {type(error).__name__}",
                details={**details, "reason": "dropped"},
            ) from None

    def _moved(self, location: str) -> NotConfigured:
        try:
            host = urlsplit(location).netloc.rpartition("@")[2]
        except ValueError:
            host = ""
        return NotConfigured(
            f"{self._engine} redirects to {host or 'another path'}, which is not followed",
            hint="Set its url in web_search.yaml to where it really is.",
            details={"reason": "redirect", "engine": self._engine},
        )

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_REQUESTS, ssl=self._trust()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json"},
            )
        return self._session

    def _trust(self) -> ssl.SSLContext:
        trust = ssl.create_default_context()
        if self._ca_file is None:
            return trust
        try:
            trust.load_verify_locations(self._ca_file)
            return trust
        except (OSError, ssl.SSLError):
            raise NotConfigured(
                f"the ca_file of {self._engine} in web_search.yaml cannot be read as PEM",
                details={"reason": "certificate", "engine": self._engine},
            ) from None


def _json(raw: bytes) -> Any:
    try:
        return from_json(raw)
    except ValueError:
        return None
