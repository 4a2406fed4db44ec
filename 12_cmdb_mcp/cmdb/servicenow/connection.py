"""Requests to one ServiceNow instance: signed in, bounded, tried again only where that is safe."""

import base64
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import structlog

from cmdb.servicenow import tokens
from cmdb.servicenow.answers import PROVIDER, result_of, wait_s
from cmdb.servicenow.instances import Instance
from cmdb.servicenow.tokens import Token, Tokens
from flotilla import Deadline, NotConfigured, TimedOut, Unavailable, UpstreamError
from flotilla.backoff import delay_s
from flotilla.json_text import from_json, to_json
from flotilla.upstream import whole

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_TRIES = 4
MAX_REQUESTS = 8
"""At once to one instance, whose own limits are for all of its users."""
MIN_LEFT_S = 0.5
"""What a try must at least have left of the deadline after a wait."""
EARLY_S = 0.2
"""A request ends that long before the call's deadline: there must be time to say what happened."""

Sleep = Callable[[float], Awaitable[None]]
Secret = Callable[[str], str]
"""The value of a SecretPlace of an instance; NotConfigured while there is none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of success: its `result`, and the headers."""

    result: Any
    headers: Mapping[str, str]


class Connection:
    """One instance under its alias. Nothing is opened before the first request."""

    def __init__(
        self, alias: str, instance: Instance, secret: Secret, sleep: Sleep = anyio.sleep
    ) -> None:
        self.alias = alias
        self.instance = instance
        self.classes = instance.class_map()
        self._secret = secret
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._tokens = Tokens(self._grant, self._ask_token)

    async def get(self, path: str, params: Mapping[str, str], deadline: Deadline) -> Answered:
        """Read; tried again when it is throttled or the connection breaks, within the deadline."""
        return await self._tried("GET", path, params, None, deadline, is_read=True)

    async def post(
        self, path: str, params: Mapping[str, str], body: Any, deadline: Deadline, *, is_read: bool
    ) -> Answered:
        """Send JSON; what is no read is tried again only where it was turned away unread.

        TimedOut and Unavailable of such a one have `details.outcome` `unknown`: it may be done.
        """
        return await self._tried("POST", path, params, to_json(body), deadline, is_read=is_read)

    def forget_token(self) -> None:
        self._tokens.forget()

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _tried(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes | None,
        deadline: Deadline,
        *,
        is_read: bool,
    ) -> Answered:
        token, renewed = await self._token(), False
        for attempt in range(1, MAX_TRIES + 1):
            try:
                status, headers, told = await self._once(
                    method, path, params, body, deadline, token
                )
            except _Broken as broken:
                pause_s = delay_s(attempt)
                if not is_read or attempt > 1 or not _fits(pause_s, deadline):
                    raise self._away(broken, is_read=is_read) from None
                await self._sleep(pause_s)
                continue
            if status == 401 and token is not None and not renewed:
                token, renewed = await self._token(refused=token), True
                continue
            pause_s = _pause_s(status, headers, attempt, is_read=is_read)
            if pause_s is None or attempt == MAX_TRIES or not _fits(pause_s, deadline):
                return Answered(result_of(status, headers, told), headers)
            log.info("servicenow_throttled", instance=self.alias, status=status, wait_s=pause_s)
            await self._sleep(pause_s)
        raise UpstreamError(f"{PROVIDER} asked for its token again and again")

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes | None,
        deadline: Deadline,
        token: Token | None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": "application/json", "Authorization": self._authorization(token)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._sent(
            method, path, deadline.remaining_s(), params=params, data=body, headers=headers
        )

    async def _sent(
        self, method: str, path: str, left_s: float, **more: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request; raises _Broken where no whole answer came, TooLarge for one too large."""
        import aiohttp

        within_s = max(min(self.instance.timeout_s, left_s - EARLY_S), 0.001)
        timeout = aiohttp.ClientTimeout(
            total=within_s, sock_connect=self.instance.connect_timeout_s
        )
        try:
            async with self._opened().request(
                method,
                f"{self.instance.url}{path}",
                # Never followed: the credentials are for this instance alone.
                allow_redirects=False,
                timeout=timeout,
                **more,
            ) as answer:
                return answer.status, answer.headers.copy(), await _body(answer)
        except TimeoutError:
            raise _Broken("timeout", f"no answer within {within_s:.3g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise NotConfigured(
                f"the certificate of {self.instance.url} is not trusted",
                hint="Name the PEM file of its authority as ca_file in servicenow.yaml.",
                details={"reason": "certificate"},
            ) from None
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or type(error.os_error).__name__
            raise _Broken("unreachable", f"it cannot be reached: {why}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Broken("dropped", f"the connection broke: {type(error).__name__}") from None

    def _away(self, broken: "_Broken", *, is_read: bool) -> TimedOut | Unavailable:
        details = {"reason": broken.reason, "instance": self.alias}
        hint = None
        if not is_read and broken.reason != "unreachable":
            details["outcome"] = "unknown"
            hint = "It may have been done all the same: preview again to see what is left to do."
        kind = TimedOut if broken.reason == "timeout" else Unavailable
        return kind(f"{PROVIDER} at {self.alias}: {broken.what}", hint=hint, details=details)

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=MAX_REQUESTS, ssl=self._trust())
            # A dummy jar: ServiceNow's session cookies would bind all calls to one node and user.
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _trust(self) -> ssl.SSLContext:
        try:
            trust = ssl.create_default_context(cafile=self.instance.ca_file)
        except (OSError, ssl.SSLError):
            raise NotConfigured(
                f"ca_file of {self.alias} in servicenow.yaml cannot be read as PEM",
                details={"reason": "certificate"},
            ) from None
        trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return trust

    async def _token(self, refused: Token | None = None) -> Token | None:
        if self.instance.auth == "basic":
            return None
        try:
            return await self._tokens.current(refused)
        except _Broken as broken:
            raise self._away(broken, is_read=True) from None

    def _authorization(self, token: Token | None) -> str:
        if token is not None:
            return f"Bearer {token.value}"
        pair = f"{self.instance.user}:{self._secret(self.instance.password or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _grant(self) -> dict[str, str]:
        one = self.instance
        told = {"client_id": one.client_id or "", "user": one.user or ""}
        for name in ("client_secret", "password", "refresh_token"):
            place = getattr(one, name)
            if place is not None:
                told[name] = self._secret(place)
        return tokens.grant(one.auth, told)

    async def _ask_token(self, form: Mapping[str, str]) -> tuple[int, Any]:
        status, _, body = await self._sent(
            "POST", tokens.PATH, self.instance.timeout_s, data=dict(form)
        )
        try:
            return status, from_json(body)
        except ValueError:
            return status, None


class _Broken(Exception):
    """No whole answer came; `reason` is `timeout`, `unreachable` or `dropped`."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.what = what


async def _body(answer: "aiohttp.ClientResponse") -> bytes:
    return await whole(
        answer.content.iter_chunked(256 * 1024),
        MAX_BODY_BYTES,
        f"{PROVIDER} answers with more than {MAX_BODY_BYTES // 1024 // 1024} MiB",
        hint="Ask for fewer fields or fewer records.",
    )


def _pause_s(
    status: int, headers: Mapping[str, str], attempt: int, *, is_read: bool
) -> float | None:
    """How long to wait before the same request may be made again; None where it may not be."""
    if status == 429:
        asked_s = wait_s(headers)
        return delay_s(attempt, base_s=1.0) if asked_s is None else asked_s
    # A 503 without a time may come from a node that has begun the work.
    return wait_s(headers) if status == 503 and is_read else None


def _fits(pause_s: float, deadline: Deadline) -> bool:
    return pause_s + MIN_LEFT_S < deadline.remaining_s()
