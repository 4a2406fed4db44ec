"""One visit of an engine's pages, as a browser would make it, with all of it in sight.

ddgs drops statuses, follows redirects anywhere and reads bodies of any size; what stands here takes
the place of its HTTP client and does none of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from flotilla import Deadline, TimedOut, Unavailable, UpstreamError
from web_search.engines.judging import of_redirect, of_status

if TYPE_CHECKING:
    import primp

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """A page of status 200, in the members that ddgs reads."""

    status_code: int
    content: bytes
    text: str


class Visit:
    """The HTTP client of one engine for one question, of which `page` is what it last read.

    It asks `site` and its subdomains alone, by https, and follows redirects within one host.
    """

    def __init__(self, client: "primp.Client", engine: str, site: str, due: Deadline) -> None:
        self.client = client
        self.page = ""
        self._engine = engine
        self._site = site
        self._due = due

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
        raise UpstreamError(
            f"{self._engine} redirects without end", details={"engine": self._engine}
        )

    def _ours(self, url: str) -> str:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or not (host == self._site or host.endswith(f".{self._site}")):
            raise UpstreamError(
                f"{self._engine}: an address was built that is not its own",
                details={"engine": self._engine},
            )
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

        left_s = self._due.remaining_s()
        if left_s <= 0:
            raise self._late()
        try:
            reply = self.client.request(
                method, url, timeout=left_s, stream=True, follow_redirects=False, **more
            )
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return reply.status_code, headers, self._read(reply)
        except primp.TimeoutError:
            raise self._late() from None
        except primp.ConnectError:
            raise Unavailable(
                f"{self._engine} cannot be reached",
                details={"reason": "unreachable", "engine": self._engine},
            ) from None
        except (primp.PrimpError, OSError) as error:
            # Never its text: that has the address, and with it what was asked.
            raise Unavailable(
                f"the connection to {self._engine} broke: {type(error).__name__}",
                details={"reason": "dropped", "engine": self._engine},
            ) from None

    def _read(self, reply: "primp.Response") -> bytes:
        read, size = list[bytes](), 0
        for part in reply.iter_bytes():
            size += len(part)
            if size > MAX_BODY_BYTES:
                reply.close()
                raise UpstreamError(
                    f"{self._engine} answers with more than {MAX_BODY_BYTES // 1024 // 1024} MiB",
                    details={"reason": "too_large", "engine": self._engine},
                )
            if self._due.remaining_s() <= 0:
                reply.close()
                raise self._late()
            read.append(part)
        return b"".join(read)

    def _late(self) -> TimedOut:
        error = TimedOut(f"{self._engine} did not answer in time")
        error.details["engine"] = self._engine
        return error


def _decoded(body: bytes, headers: Mapping[str, str]) -> str:
    """The text; UTF-8 where the header says nothing, with marks where it is none."""
    _, _, charset = headers.get("content-type", "").lower().partition("charset=")
    name = charset.partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return body.decode(name, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
