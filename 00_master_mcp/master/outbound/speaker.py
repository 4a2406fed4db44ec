"""Speaks with a server that every principal has credentials of its own for.

The hub's own connection, by which lists are read and health is asked, shows the credentials of the
principal `hub`, or none where there are none. It never shows those of a person.
"""

from typing import cast

from flotilla import FlotillaError
from master import rpc
from master.call import Call
from master.external.handles import Resolved
from master.handles.hiding import Hiding, hidden_error, hidden_result
from master.outbound.outbound import HUB
from master.outbound.shown import Missing, Shown
from master.outbound.sources import Source
from master.result import Result
from master.upstream.authority import OfPrincipals
from master.upstream.http import Http, Refused
from master.upstream.link import Remote, Speaker, Standing, Told
from master.upstream.modern import Modern


def personal(name: str, resolved: Resolved, http: Http, source: Source) -> Speaker:
    """Speaks with a server of 2026-07-28, in which each request stands alone."""
    authority = OfPrincipals(resolved.headers)
    return Personal(name, Modern(http, authority), authority, source)


class Personal:
    """`inner` speaks, and asks `authority` whose headers to show."""

    def __init__(
        self, server: str, inner: Speaker, authority: OfPrincipals, source: Source
    ) -> None:
        self._server = server
        self._inner = inner
        self._authority = authority
        self._source = source
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
        await cast("Remote", self._inner).knock(timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        await self._renew()
        return await cast("Remote", self._inner).look(timeout_s)

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
            return hidden_result(await self._inner.send(call), known)
        except rpc.RpcError as error:
            raise hidden_error(error, known) from None
        finally:
            call.hearer = hearer

    async def _renew(self) -> None:
        try:
            self._hub = await self._source.of(HUB, None)
        except FlotillaError:
            self._hub = None
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
