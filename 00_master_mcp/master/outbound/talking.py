"""Small requests to authorization servers: JSON or a form there, JSON back, never a redirect."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote_plus

import aiohttp

from flotilla import FlotillaError, TimedOut, Unavailable, UpstreamError
from flotilla.json_text import from_json
from master.outbound.grant import Client

ANSWER_S = 10.0
MAX_BYTES = 512 * 1024
_JSON = {"accept": "application/json"}


class OAuthRefused(UpstreamError):
    """An error of the authorization server (RFC 6749 §5.2); `error` is its code."""

    def __init__(self, message: str, error: str, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class Talk:
    """Unavailable where nobody answers, TimedOut, UpstreamError for an answer that is none."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._timeout = aiohttp.ClientTimeout(total=answer_s)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Told:
        """Whatever is answered; the body is empty where it is no JSON object."""
        return await self._asked("GET", url, headers={**_JSON, **(headers or {})})

    async def post_json(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """OAuthRefused for any status but 200 and 201."""
        return _good(await self._asked("POST", url, headers=_JSON, json=body), url)

    async def post_form(self, url: str, form: Mapping[str, str], client: Client) -> dict[str, Any]:
        """As the client says who it is (RFC 6749 §2.3.1); OAuthRefused for any status but 200."""
        headers, fields = dict(_JSON), dict(form)
        if client.method == "client_secret_basic" and client.secret is not None:
            said = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(said.encode()).decode()}"
        else:
            fields["client_id"] = client.id
            if client.secret is not None:
                fields["client_secret"] = client.secret
        return _good(await self._asked("POST", url, headers=headers, data=fields), url)

    async def _asked(self, method: str, url: str, **more: Any) -> Told:
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, trust_env=False) as session,
                session.request(method, url, allow_redirects=False, **more) as response,
            ):
                raw = bytearray()
                if response.content_type != "text/event-stream":
                    async for chunk in response.content.iter_chunked(65_536):
                        raw += chunk
                        if len(raw) > MAX_BYTES:
                            raise UpstreamError(f"{url} answered more than {MAX_BYTES} bytes")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Told(response.status, headers, _object(bytes(raw)))
        except TimeoutError:
            raise TimedOut(f"{url} did not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"{url} cannot be reached ({type(error).__name__})") from None


def was_not_done(error: FlotillaError) -> bool:
    """Whether an authorization server said no, rather than nothing."""
    return isinstance(error, OAuthRefused) and 400 <= error.status < 500 and error.status != 429


def _good(told: Told, url: str) -> dict[str, Any]:
    if told.status in (200, 201):
        return told.body
    if told.status >= 500:
        raise Unavailable(f"{url} is out of service (HTTP {told.status})")
    error = told.body.get("error")
    code = error[:60] if isinstance(error, str) and error.isprintable() else "unknown"
    # Its description is a stranger's text: it is not passed on.
    raise OAuthRefused(f"{url} refused with {code} (HTTP {told.status})", code, told.status)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body: Any = from_json(raw)
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
