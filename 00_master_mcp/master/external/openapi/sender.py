"""Sends a prepared request to the one origin of an API, and reads its answer within a limit."""

from dataclasses import dataclass, replace

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from master.external.openapi.answer import Answer

CONNECT_S = 10.0
MAX_REDIRECTS = 5
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it goes out."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None


class Sender:
    """Requests go to `origin` alone, whatever an answer says of redirects."""

    def __init__(self, session: aiohttp.ClientSession, origin: URL, *, max_bytes: int) -> None:
        self._session = session
        self._origin = origin
        self._max_bytes = max_bytes

    async def answer_to(self, sent: Sent) -> Answer:
        """The answer after redirects within the origin; one that leads out is the answer itself.

        Raises aiohttp.ClientError as the session does.
        """
        answer = await self._asked(sent)
        for _ in range(MAX_REDIRECTS):
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = _target(sent.url, answer.headers.get("location"))
            if target is None or target.origin() != self._origin:
                where = "nowhere" if target is None else str(target.origin())
                return replace(
                    answer, note=f"it leads to {where}, where no call of this server goes"
                )
            following = _redirected(sent, answer.status, target)
            if following is None:
                return answer
            sent = following
            answer = await self._asked(sent)
        return answer

    async def _asked(self, sent: Sent) -> Answer:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        async with self._session.request(
            sent.method,
            sent.url,
            headers=sent.headers,
            data=sent.body,
            # What has no body has no type.
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=limits,
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                body += piece
                if len(body) > self._max_bytes:
                    # The rest is not read; the connection is closed instead of given back.
                    response.close()
                    break
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body[: self._max_bytes]),
                truncated=len(body) > self._max_bytes,
                max_bytes=self._max_bytes,
                url=str(sent.url.with_query(None)),
            )


def _redirected(sent: Sent, status: int, target: URL) -> Sent | None:
    """The request that a redirect asks for; None where clients disagree what that is."""
    if status in (307, 308) or sent.method in ("GET", "HEAD"):
        return replace(sent, url=target)
    if status != 303:
        return None
    headers = sent.headers.copy()
    headers.popall("Content-Type", None)
    return replace(sent, url=target, method="GET", headers=headers, body=None)


def _target(here: URL, location: str | None) -> URL | None:
    try:
        target = here.join(URL(location or "", encoded=True)) if location else None
        # Reading the origin raises where there is none.
        return target if target is not None and target.origin() else None
    except ValueError:
        return None
