"""How a process of the hub knows the others, and proves to them that it is one."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import structlog
from starlette.types import Receive, Scope

from flotilla.identity import BadToken, Signer, Verifier
from flotilla.serving.gates import Admitted, Authenticate, Refused
from flotilla.serving.headers import headers_of
from master.call import Call
from master.state.seam import Hubs
from master.upstream.authority import HUB
from master.upstream.pool import ConnectionPool
from master.workers.place import Place

log = structlog.get_logger(__name__)

AUDIENCE = "hub"
HEADER = "x-flotilla-hub"
"""Bears the token by which a hub knows a request of another."""
LENT = "/lent"
"""Below it other hubs, and nobody else, use the external servers that this one runs."""
_TAG = re.compile(r"[0-9a-f]{8}-[0-9]{1,2}-[A-Za-z0-9-]{1,64}")


class BetweenHubs:
    """In whose name a hub speaks to another; an `Authority`."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def of_hub(self) -> Mapping[str, str]:
        return {HEADER: self._signer.token(AUDIENCE, HUB)}

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        del body
        return {HEADER: self._signer.token(AUDIENCE, call.principal)}


class Colleagues:
    """The other processes of the hub, by the tags that sessions and open questions bear.

    A tag says which host and which worker, so that workers of one host find each other while Redis
    is away, and which process in Redis, where those of other hosts are looked up.
    """

    def __init__(
        self,
        place: Place,
        hubs: Hubs,
        signer: Signer,
        verifier: Verifier,
        pool: ConnectionPool,
    ) -> None:
        """`pool` is how they are reached, as servers are."""
        self.place = place
        self.pool = pool
        self.authority = BetweenHubs(signer)
        self._hubs = hubs
        self._verifier = verifier
        self.tag = f"{place.host}-{place.number}-{hubs.own_id}"

    def named(self, fresh: str) -> str:
        """A name that tells whose it is; `owner_of` reads it."""
        return fresh if self.place.alone else f"{self.tag}.{fresh}"

    def owner_of(self, name: str) -> str | None:
        """The tag of another process in a name; None where it is ours, or nobody's."""
        tag, dot, _ = name.partition(".")
        return tag if dot and tag != self.tag and _TAG.fullmatch(tag) else None

    @property
    def lead(self) -> str:
        """The tag of the host's first worker, whichever life it is in."""
        return f"{self.place.host}-0-lead"

    async def address_of(self, tag: str) -> str | None:
        """Where a process with such a tag is reached; None when it is gone, or never was."""
        host, number, hub_id = tag.split("-", 2)
        if host == self.place.host:
            # Its socket outlives it: whoever has it now says that it has no such session.
            return self.place.siblings.get(int(number))
        address = await self._hubs.address_of(hub_id)
        return None if address == self.place.announced else address

    def is_one(self, scope: Scope) -> bool:
        """Whether a request comes from another process of the hub."""
        token = headers_of(scope).only(HEADER)
        if token is None:
            return False
        try:
            return self._verifier.unbound(token) is not None
        except BadToken as error:
            log.info("bad_hub_token", reason=str(error))
            return False

    def authenticating(self, inner: Authenticate) -> Authenticate:
        """`inner`, but for what other hubs use: their tokens say for which client they speak."""
        if self.place.alone:
            return inner

        async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
            if not scope["path"].startswith(f"{LENT}/"):
                return await inner(scope, receive)
            token = headers_of(scope).only(HEADER)
            try:
                caller = None if token is None else self._verifier.unbound(token)
            except BadToken as error:
                log.info("bad_hub_token", reason=str(error))
                caller = None
            if caller is None:
                return Refused(401, "not_allowed", "this is for hubs alone", "Use /mcp.")
            return Admitted(caller, receive)

        return authenticate

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Known to hubs elsewhere within, where these can reach this one."""
        if self.place.announced is not None:
            await self._hubs.announce(self.place.announced)
        yield
