"""What speaks with a server that somebody else runs, by its entry."""

from functools import partial

from flotilla import Misconfigured
from master.external.handles import Resolved
from master.external.openapi_speaker import OpenApiSpeaker
from master.outbound.choice import FixedHeaders
from master.outbound.outbound import Outbound
from master.outbound.speaker import personal
from master.streaming.scrub import Scrubber
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.sse import SseSession
from master.upstream.http import Http
from master.upstream.incoming import Scrub
from master.upstream.link import Speaker
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from master.upstream.probing import Probing


def remote(
    name: str, resolved: Resolved, pool: ConnectionPool, outbound: Outbound | None = None
) -> Speaker:
    """Speaks with a server that somebody else runs, whichever era and transport it has.

    `outbound` learns of the credentials of each principal, where the server has such; Misconfigured
    where that cannot be.
    """
    if resolved.entry.type == "openapi":
        return OpenApiSpeaker(name, resolved)
    scrub: Scrub | None = partial(Scrubber, resolved.secrets) if resolved.secrets else None
    http, authority = Http(name, resolved.url or "", pool, scrub), Fixed(resolved.headers)
    choice = resolved.entry.outbound
    if choice is not None and not isinstance(choice, FixedHeaders):
        if outbound is None:
            raise Misconfigured(f"external server {name}: this hub keeps no credentials")
        source = outbound.add(name, resolved.url or "", choice, resolved.client_secret)
        return personal(name, resolved, http, outbound, source)
    roots = resolved.roots
    sse = Handshake(name, lambda: SseSession(http, authority, pool), roots=roots)
    if resolved.entry.type == "sse":
        return sse
    handshake = Handshake(name, lambda: HttpSession(http, authority), roots=roots)
    return Probing(name, Modern(http, authority), handshake, sse)
