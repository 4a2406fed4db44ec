"""The OAuth access token of an instance: asked for once for all who wait, kept until it expires.

Sources: RFC 6749, sections 4.3, 4.4 and 6; ServiceNow's token endpoint is /oauth_token.do.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

import anyio

from cmdb.servicenow.answers import PROVIDER
from cmdb.servicenow.instances import Auth
from flotilla import NotConfigured, UpstreamError

PATH = "/oauth_token.do"
EARLY_S = 30.0
"""A token is renewed that long before its end: a request takes time, and clocks differ."""
DEFAULT_LIFE_S = 1800.0

Form = Mapping[str, str]
Ask = Callable[[Form], Awaitable[tuple[int, Any]]]
"""Posts a form to the token endpoint; `(status, JSON or None)`."""


@dataclass(frozen=True, slots=True)
class Token:
    value: str = field(repr=False)
    good_until_s: float
    """On the clock of `Tokens`."""


class Tokens:
    """The token of one instance; `form` brings what the grant needs, from the stored secrets."""

    def __init__(
        self, form: Callable[[], Form], ask: Ask, clock: Callable[[], float] = monotonic
    ) -> None:
        self._form = form
        self._ask = ask
        self._clock = clock
        self._lock = anyio.Lock()
        self._held: Token | None = None

    async def current(self, refused: Token | None = None) -> Token:
        """A token that is good; a new one where `refused` is the one held.

        Whoever comes while one is asked for waits for that one. Raises NotConfigured where the
        instance does not take the credentials, UpstreamError for an answer that makes no sense.
        """
        held = self._held
        if self._is_good(held, refused):
            return held  # pyright: ignore[reportReturnType]
        async with self._lock:
            held = self._held
            if self._is_good(held, refused):
                return held  # pyright: ignore[reportReturnType]
            self._held = None
            made = self._read(*await self._ask(self._form()))
            self._held = made
            return made

    def forget(self) -> None:
        """The credentials are others now."""
        self._held = None

    def _is_good(self, held: Token | None, refused: Token | None) -> bool:
        return held is not None and held is not refused and self._clock() < held.good_until_s

    def _read(self, status: int, told: Any) -> Token:
        members = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        value = members.get("access_token")
        if status in (400, 401, 403):
            # What it says of the error may quote what it was sent, so only its code is told.
            code = str(members.get("error", ""))[:60]
            raise NotConfigured(
                f"{PROVIDER} gives no token for these credentials",
                hint="Check client_id, client_secret, user and grant of the instance in "
                "servicenow.yaml; the application must allow that grant.",
                details={"upstreamStatus": status, **({"upstreamCode": code} if code else {})},
            )
        if status != 200 or not isinstance(value, str) or not _fits_header(value):
            raise UpstreamError(
                f"{PROVIDER}'s token endpoint answers HTTP {status} without a token",
                details={"upstreamStatus": status, "reason": "no_token"},
            )
        life_s = _life_s(members.get("expires_in"))
        return Token(value, self._clock() + max(life_s - EARLY_S, life_s / 2))


def grant(auth: Auth, told: Mapping[str, str]) -> dict[str, str]:
    """The form of a grant; `told` has the members of the instance that it needs, as values."""
    form = {
        "grant_type": auth,
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
    }
    if auth == "password":
        form |= {"username": told["user"], "password": told["password"]}
    if auth == "refresh_token":
        form |= {"refresh_token": told["refresh_token"]}
    return form


def _fits_header(value: str) -> bool:
    return 0 < len(value) <= 8192 and value.isascii() and value.isprintable()


def _life_s(told: Any) -> float:
    # It is a number in some releases and a text of digits in others.
    try:
        life_s = float(told)
    except (TypeError, ValueError):
        return DEFAULT_LIFE_S
    return life_s if 0 < life_s < 10**9 else DEFAULT_LIFE_S
