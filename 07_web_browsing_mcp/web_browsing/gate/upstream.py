"""The way out: a connection to exactly the address that was judged, in verified TLS."""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from web_browsing.gate.addresses import Address
from web_browsing.gate.refusing import Refused
from web_browsing.gate.resolving import Resolving
from web_browsing.gate.rules import Place
from web_browsing.gate.tls import TlsPipe
from web_browsing.gate.wire import Pipe, Wire

STAGGER_S: Final = 0.25
"""After which the next address is tried beside the one before. Source: RFC 8305 §5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long is waited for what, in seconds."""

    lookup_s: float = 10
    connect_s: float = 10
    """TCP and TLS together."""
    first_byte_s: float = 60
    """From the whole request to the whole head of the answer."""
    idle_s: float = 60
    """Between two pieces of a body, and for the next request of a connection."""
    tunnel_idle_s: float = 300
    """Of a tunnel that is not looked into, and of a WebSocket."""
    slot_s: float = 5
    """For one of the visitor's connections to become free."""
    finish_s: float = 2
    """For the last bytes to go out."""


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and those of the file beside; OSError where it cannot be read."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


class Upstream:
    """Connects to places."""

    def __init__(self, resolving: Resolving, context: ssl.SSLContext, times: Times) -> None:
        self._resolving, self._context, self._times = resolving, context, times

    async def judge(self, place: Place, turns: asyncio.Semaphore) -> None:
        """Look the place up without connecting to it; raises Refused as `connect` would."""
        await self._resolving.addresses(place, turns)

    async def connect(self, place: Place, turns: asyncio.Semaphore) -> Wire:
        """A connection to one of the place's judged addresses, as plain bytes; raises Refused.
        `turns` are the visitor's, for look-ups."""
        addresses = await self._resolving.addresses(place, turns)
        try:
            async with asyncio.timeout(self._times.connect_s):
                return await _first_of(addresses, place.port)
        except TimeoutError:
            told = f"{place.authority} did not take the connection in time."
        except OSError as error:
            told = f"{place.authority} did not take the connection: {_words(error)}."
        raise Refused("unreachable", told)

    async def open(self, place: Place, turns: asyncio.Semaphore) -> tuple[Wire, Pipe]:
        """The same, in TLS where the scheme says so: the wire, and what is spoken through."""
        wire = await self.connect(place, turns)
        if place.scheme == "http":
            return wire, wire
        try:
            async with asyncio.timeout(self._times.connect_s):
                return wire, await TlsPipe.client(wire, self._context, place.host.name)
        except ssl.SSLCertVerificationError as error:
            told = f"The certificate of {place.authority} is not trusted: {error.verify_message}."
        except ssl.SSLError as error:
            told = f"{place.authority} does not speak TLS as it should: {error.reason or 'cut'}."
        except (TimeoutError, OSError):
            told = f"{place.authority} broke off before TLS was agreed on."
        except BaseException:
            wire.abort()
            raise
        wire.abort()
        raise Refused("unreachable", told)


async def _first_of(addresses: Sequence[Address], port: int) -> Wire:
    """The first address that takes the connection; each is tried a little after the one before."""
    attempts: set[asyncio.Task[Wire]] = set()
    waiting, failed = list(addresses), None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.pop(0), port)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=STAGGER_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            won = [each.result() for each in done if each.exception() is None]
            for spare in won[1:]:
                spare.abort()
            if won:
                return won[0]
            failed = next((each.exception() for each in done), failed)
    finally:
        for each in attempts:
            each.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(late, Wire):
                late.abort()
    raise failed if isinstance(failed, OSError) else OSError("no address answered")


async def _connect(address: Address, port: int) -> Wire:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        await loop.sock_connect(raw, (str(address), port))
        # The kernel's word for it, whatever was asked for.
        if ip_address(raw.getpeername()[0]) != address:
            raise OSError("the connection leads elsewhere")
        _, wire = await loop.create_connection(Wire, sock=raw)
    except BaseException:
        raw.close()
        raise
    return wire


def _words(error: OSError) -> str:
    return (os.strerror(error.errno) if error.errno else "it is gone").lower()
