"""One visit of an engine's pages, as a browser would make it, with all of it in sight.

ddgs drops statuses, follows redirects anywhere and reads bodies of any size; what stands here takes
the place of its HTTP client and does none of that.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from flotilla import Deadline, TimedOut, Unavailable, UpstreamError
from web_search.engines.judging import of_redirect, of_status

if TYPE_CHECKING:
    import primp

MAX_BODY_BYTES = 3 * 1024 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """A page of status 200, in the members that ddgs reads."""

    status_code: int
    content: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Visiting:
    """Whom, until when, and until nobody waits any more: what all visits of a question share."""

    engine: str
    due: Deadline
    over: threading.Event

    def of(self, client: "primp.Client", site: str) -> "Visit":
        return Visit(client, self, site)

    def check(self) -> None:
        """TimedOut where it is too late to go on."""
        if self.over.is_set() or self.due.remaining_s() <= 0:
            raise self.late()

    def late(self) -> TimedOut:
        return TimedOut(f"{self.engine} did not answer in time")


class Visit:
    """The HTTP client of one engine for one question, of which `page` is what it last read.

    It asks `site` and its subdomains alone, by https, and follows redirects within one host.
    """

    def __init__(self, client: "primp.Client", visiting: Visiting, site: str) -> None:
        self.client = client
        self.page = ""
        self._visiting = visiting
        self._engine = visiting.engine
        self._site = site

    def request(self, method: str, url: str, **more: Any) -> Reply:
        """The page; raises what `engine.Engine` may raise for everything else."""
        for _ in range(MAX_REDIRECTS + 1):
            status, headers, body = self._once(method, self._ours(url), **more)
            location = headers.get("location")
            if status not in _REDIRECTS or location is None:
                error = of_status(self._engine, status, headers)
                if error is not None:
                    raise error
                self.page = _decoded(body, headers)
                return Reply(status, body, self.page)
            url = self._next(url, location)
            if status in (301, 302, 303):
                method = "GET"
                more.pop("data", None)
            more.pop("params", None)
        raise UpstreamError(f"{self._engine} redirects without end")

    def _ours(self, url: str) -> str:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or not (host == self._site or host.endswith(f".{self._site}")):
            raise UpstreamError(f"{self._engine}: an address was built that is not its own")
        return url

    def _next(self, url: str, location: str) -> str:
        try:
            following = urljoin(url, location)
            here, there = urlsplit(url), urlsplit(following)
            host, is_here = there.hostname or "", there.netloc == here.netloc
        except ValueError:
            raise of_redirect(self._engine, "", "") from None
        is_wall = "captcha" in there.path or there.path.startswith("/sorry")
        if is_wall or there.scheme != "https" or not is_here:
            raise of_redirect(self._engine, host, there.path)
        return following

    def _once(self, method: str, url: str, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
        import primp

        self._visiting.check()
        left_s = self._visiting.due.remaining_s()
        try:
            reply = self.client.request(
                method, url, timeout=left_s, stream=True, follow_redirects=False, **more
            )
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return reply.status_code, headers, self._read(reply)
        except primp.TimeoutError:
            raise self._visiting.late() from None
        except primp.ConnectError:
            raise Unavailable(
                f"{self._engine} cannot be reached",
                details={"reason": "unreachable"},
            ) from None
        except (primp.PrimpError, OSError) as error:
            # Never its text: that has the address, and with it what was asked.
            raise Unavailable(
                f"the connection to {self._engine} broke: {type(error).__name__}",
                details={"reason": "dropped"},
            ) from None

    def _read(self, reply: "primp.Response") -> bytes:
        read, size = list[bytes](), 0
        try:
            for part in reply.iter_bytes():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise UpstreamError(
                        f"{self._engine} answers with more than "
                        f"{MAX_BODY_BYTES // 1024 // 1024} MiB",
                        details={"reason": "too_large"},
                    )
                self._visiting.check()
                read.append(part)
        finally:
            reply.close()
        return b"".join(read)


def _decoded(body: bytes, headers: Mapping[str, str]) -> str:
    """The text; UTF-8 where the header says nothing, with marks where it is none."""
    _, _, charset = headers.get("content-type", "").lower().partition("charset=")
    name = charset.partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return body.decode(name, "replace")
    except (LookupError, ValueError):
        # No charset, or one of the codecs that are none of text.
        return body.decode("utf-8", "replace")
