"""Where an entry's document is: a file or an address, read again only when it has changed."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from flotilla import NotConfigured, TimedOut, TooLarge, Unavailable, UpstreamError
from master.external.config import is_http_url
from master.external.openapi.document import MAX_BYTES
from master.external.openapi.sender import CONNECT_S, MAX_REDIRECTS

FETCH_S = 30.0
_ACCEPT = "application/json, application/yaml, text/yaml;q=0.9, */*;q=0.8"


class Source(Protocol):
    every_s: float
    """How often it is worth to look whether it has changed."""

    @property
    def address(self) -> str | None:
        """The address of a document that came from one."""
        ...

    async def changed(self) -> bytes | None:
        """The document's bytes, None where they are those that came last.

        Raises NotConfigured where there is no such file, TooLarge, Unavailable or TimedOut where
        it cannot be had now, UpstreamError for an answer that is no document.
        """
        ...


class FileSource:
    every_s = 5.0
    address = None

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._known: tuple[int, int, int] | None = None

    async def changed(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                known = (found.st_ino, found.st_mtime_ns, found.st_size)
                if known == self._known:
                    return None
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise NotConfigured(
                f"cannot read the document {self._path}: {error.strerror}",
                hint="Correct `document` in the server's entry.",
            ) from None
        self._known = known
        return _within_limit(raw)


class HttpSource:
    """Asks with what the server said of its last answer; redirects are followed at one origin."""

    every_s = 900.0

    def __init__(
        self, address: str, session: aiohttp.ClientSession, headers: Mapping[str, str]
    ) -> None:
        self.address = address
        self._url = URL(address)
        self._session = session
        self._headers = {"accept": _ACCEPT, **headers}
        self._known: dict[str, str] = {}
        self._last: bytes | None = None

    async def changed(self) -> bytes | None:
        where = f"the document at {self._url.origin()}"
        try:
            async with asyncio.timeout(FETCH_S):
                return await self._fetched(where)
        except aiohttp.ConnectionTimeoutError:
            raise Unavailable(f"{where} cannot be reached") from None
        except TimeoutError:
            raise TimedOut(f"{where} did not come in {FETCH_S:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
            raise Unavailable(f"{where} cannot be reached") from None
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{where} broke off: {type(error).__name__}") from None

    async def _fetched(self, where: str) -> bytes | None:
        url = self._url
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.get(
                url,
                headers={**self._headers, **self._known},
                timeout=limits,
                allow_redirects=False,
            ) as response:
                if response.status == 304 and self._known:
                    return None
                if response.status in (301, 302, 303, 307, 308):
                    url = self._following(url, response.headers.get("location", ""), where)
                    continue
                if response.status != 200:
                    raise UpstreamError(f"{where} was answered with HTTP {response.status}")
                raw = await _read(response)
                self._remember(response.headers)
                if raw == self._last:
                    return None
                self._last = raw
                return raw
        raise UpstreamError(f"{where} leads on for over {MAX_REDIRECTS} steps")

    def _following(self, url: URL, location: str, where: str) -> URL:
        try:
            target = url.join(URL(location))
            same = target.origin() == self._url.origin()
        except ValueError:
            raise UpstreamError(f"{where} leads nowhere") from None
        if not same:
            # Whose word the document is follows from where it was named, and so do the headers.
            raise UpstreamError(
                f"{where} is at {target.origin()} now",
                hint="Correct `document` in the server's entry if you trust that place.",
            )
        return target

    def _remember(self, headers: Mapping[str, str]) -> None:
        told = {"etag": "if-none-match", "last-modified": "if-modified-since"}
        self._known = {asked: headers[said] for said, asked in told.items() if said in headers}


def source_of(
    document: str, url: str | None, session: aiohttp.ClientSession, headers: Mapping[str, str]
) -> Source:
    """Where the document is read from; the entry's headers go to the API's own origin alone."""
    if not is_http_url(document):
        return FileSource(document)
    at_home = url is None or URL(url).origin() == URL(document).origin()
    return HttpSource(document, session, headers if at_home else {})


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        raw += piece
        if len(raw) > MAX_BYTES:
            response.close()
            break
    return _within_limit(bytes(raw))


def _within_limit(raw: bytes) -> bytes:
    if len(raw) > MAX_BYTES:
        raise TooLarge(
            f"the OpenAPI document has over {MAX_BYTES} bytes",
            hint="Cut it to the paths that you need.",
        )
    return raw
