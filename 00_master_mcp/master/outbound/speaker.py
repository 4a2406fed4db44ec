"""Speaks with a server that every principal has credentials of its own for.

The hub's own connection, by which lists are read and health is asked, shows the credentials of the
principal `hub`, or none where there are none. It never shows those of a person.
"""

from collections.abc import Callable
from functools import partial

from flotilla import FlotillaError
from flotilla.known_values import Known
from master import rpc
from master.call import Call
from master.external.handles import Resolved
from master.handles.hiding import Hiding, hidden_error, hidden_result
from master.outbound.outbound import HUB, Outbound
from master.outbound.sessions import Sessions
from master.outbound.shown import Missing, Shown
from master.outbound.sources import Source
from master.result import Result
from master.streaming.scrub import Scrubber
from master.upstream.authority import Authority, OfPrincipals
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.http import Http, Refused
from master.upstream.link import Standing, Told
from master.upstream.modern import Modern
from master.upstream.probing import Probing
from master.upstream.transport.client import unreachable


def personal(
    name: str, resolved: Resolved, http: Http, outbound: Outbound, source: Source
) -> "Personal":
    """Speaks with a server over Streamable HTTP, of either era."""
    authority, roots = OfPrincipals(resolved.headers), resolved.roots

    def spoken_by(whose: Authority) -> Handshake:
        return Handshake(name, lambda: HttpSession(http, whose), roots=roots)

    def known(hub: Shown | None) -> None:
        """Lists, which all may read, hold nothing of what the hub shows for them."""
        values = {*resolved.secrets, *([] if hub is None else [hub.secret])}
        http.scrub = partial(Scrubber, Known(values)) if values else None

    modern = Modern(http, authority)
    probing = Probing(name, modern, spoken_by(authority), None)
    sessions = Sessions(name, resolved.headers, spoken_by)
    outbound.attend(name, sessions)
    return Personal(name, probing, modern, sessions, authority, source, known)


class Personal:
    """`probing` is the hub's own connection; each call goes its principal's own way.

    In the modern era each request stands alone, on `modern`; in the handshake era each principal
    has a session, of `sessions`.
    """

    def __init__(
        self,
        server: str,
        probing: Probing,
        modern: Modern,
        sessions: Sessions,
        authority: OfPrincipals,
        source: Source,
        known: Callable[[Shown | None], None],
    ) -> None:
        """`known` hears what the hub itself shows now, before it does."""
        self._server = server
        self._inner = probing
        self._modern = modern
        self._sessions = sessions
        self._authority = authority
        self._source = source
        self._known = known
        self._hub: Shown | None = None

    async def hold(self, told: Told) -> None:
        await self._renew()
        try:
            await self._inner.hold(told)
        except Refused as error:
            raise await self._meant(error) from None

    async def send(self, call: Call) -> Result:
        shown = _of(call)
        try:
            return await self._once(call, shown)
        except Refused as error:
            if error.status != 401:
                raise
        # The server has not acted on it (RFC 9110 §15.5.2): once more, with something newer.
        principal = call.principal.name
        shown = await self._source.renewed(principal, call.subject, shown)
        call.credentials = shown
        try:
            return await self._once(call, shown)
        except Refused as error:
            if error.status != 401:
                raise
            await self._source.refused_again(principal)
            raise Missing(
                f"{self._server} does not take the credentials of {principal}",
                hint="Call again to be asked for others.",
                reason="credentials_refused",
            ) from None

    async def probe(self, timeout_s: float) -> str | None:
        await self._renew()
        return await self._inner.probe(timeout_s)

    async def knock(self, timeout_s: float) -> None:
        await self._inner.knock(timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        await self._renew()
        return await self._inner.look(timeout_s)

    def watch(self, uris: frozenset[str]) -> None:
        self._inner.watch(uris)

    async def watched(self) -> None:
        await self._inner.watched()

    async def log_level(self, level: str) -> None:
        await self._inner.log_level(level)

    async def _once(self, call: Call, shown: Shown) -> Result:
        """What a server says back of the credentials reaches nobody, their own principal neither:
        a client's model reads it."""
        hearer, known = call.hearer, shown.hiding.known
        call.hearer = Hiding(hearer, shown.hiding)
        try:
            return hidden_result(await self._sent(call, shown), known)
        except rpc.RpcError as error:
            raise hidden_error(error, known) from None
        finally:
            call.hearer = hearer

    async def _sent(self, call: Call, shown: Shown) -> Result:
        spoken = self._inner.spoken
        if spoken is None:
            raise unreachable(self._server)
        if spoken is self._modern:
            return await self._modern.send(call)
        return await self._sessions.send(call, shown)

    async def _renew(self) -> None:
        try:
            hub = await self._source.of(HUB, None)
        except FlotillaError:
            hub = None
        if hub is not self._hub:
            self._known(hub)
            self._hub = hub
        self._authority.hub = {} if self._hub is None else self._hub.headers

    async def _meant(self, error: Refused) -> Refused:
        if error.status not in (401, 403):
            return error
        if self._hub is None:
            return Refused(
                f"{self._server} shows strangers nothing: give the hub credentials of its own, "
                f"as the principal {HUB!r}",
                error.status,
                f"`python3 -m flotilla grants connect {self._server} --as {HUB}`, or the stored "
                f"secret of {HUB!r}.",
            )
        try:
            await self._source.renewed(HUB, None, self._hub)
        except FlotillaError as missing:
            return Refused(missing.message, error.status, missing.hint)
        return error


def _of(call: Call) -> Shown:
    assert call.credentials is not None, "the stage `sign_in` gives each call its credentials"
    return call.credentials
