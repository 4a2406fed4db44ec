"""The external servers: from their entries to links that are kept, and what is known of each."""

import os
from collections.abc import Mapping
from functools import partial

import structlog

from flotilla import NotConfigured
from master.catalogue import Catalogue, Origin
from master.external.config import ServerEntry
from master.external.handles import Resolved, resolve
from master.streaming.scrub import Scrubber
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.sse import SseSession
from master.upstream.http import Http
from master.upstream.incoming import Scrub
from master.upstream.link import Speaker
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from master.upstream.probing import Probing

log = structlog.get_logger(__name__)


def add_servers(
    entries: Mapping[str, ServerEntry], catalogue: Catalogue, links: Links, pool: ConnectionPool
) -> None:
    for name, entry in entries.items():
        if entry.disabled:
            continue
        try:
            resolved = resolve(name, entry, os.environ)
        except NotConfigured as error:
            log.warning("external_not_configured", upstream=name, reason=error.message)
            continue
        catalogue.add(name, Origin(external=True, approval=entry.approval))
        links.add(name, remote(name, resolved, pool))


def remote(name: str, resolved: Resolved, pool: ConnectionPool) -> Speaker:
    """Speaks with a server that somebody else runs, whichever era and transport it has."""
    scrub: Scrub | None = partial(Scrubber, resolved.secrets) if resolved.secrets else None
    http, authority = Http(name, resolved.url or "", pool, scrub), Fixed(resolved.headers)
    roots = resolved.roots
    sse = Handshake(name, lambda: SseSession(http, authority, pool), roots=roots)
    if resolved.entry.type == "sse":
        return sse
    handshake = Handshake(name, lambda: HttpSession(http, authority), roots=roots)
    return Probing(name, Modern(http, authority), handshake, sse)
