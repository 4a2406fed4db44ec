"""How hosts are spelled, so that what is judged is what is connected to. Pure.

Browsers and C libraries read `2130706433`, `0x7f.1` and `0177.0.0.1` as 127.0.0.1. None of these is
a name in the DNS, and nobody but an attacker writes them: they are refused, not understood.
Sources: WHATWG URL §3.5 (host parsing), RFC 1123 §2.1, RFC 3986 §3.2.2, RFC 6874.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from web_browsing.gate.addresses import Address

_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""What WHATWG's "ends in a number" makes an IPv4 address of."""
_PORT: Final = re.compile(r"[0-9]{1,5}")
MAX_NAME_CHARS: Final = 253


class Misspelled(ValueError):
    """No host, or one in a spelling that is not taken; says why to a person."""


@dataclass(frozen=True, slots=True)
class Host:
    """`name` in lower case without a last dot, or an address as the library writes it."""

    name: str
    address: Address | None = None

    def __str__(self) -> str:
        """As it stands in a URL."""
        return f"[{self.name}]" if isinstance(self.address, IPv6Address) else self.name


def read_host(text: str) -> Host:
    """Read the host of a URL or of an authority; Misspelled where it is not exactly one."""
    if text.startswith("[") and text.endswith("]"):
        return _read_v6(text[1:-1])
    if not text.isascii():
        raise Misspelled("a host stands in ASCII; names in other letters as `xn--` labels")
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _read_v4(name)
    if not all(map(_LABEL.fullmatch, labels)):
        raise Misspelled("that is no host name: labels of letters, digits and dashes, and dots")
    if len(name) > MAX_NAME_CHARS:
        raise Misspelled(f"a host name has at most {MAX_NAME_CHARS} characters")
    return Host(name)


def read_authority(text: str, default_port: int | None = None) -> tuple[Host, int]:
    """Read `host:port`; without a `default_port` the port must be there. Userinfo is refused."""
    if "@" in text:
        raise Misspelled("a user name before the host only serves to mislead")
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, ""
    if port == "" and default_port is not None:
        return read_host(host), default_port
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65_536:
        raise Misspelled("it must be followed by a port from 1 to 65535")
    return read_host(host), int(port)


def _read_v4(text: str) -> Host:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        raise Misspelled(
            "that is an address in a spelling that only attackers use; "
            "write it as four decimal numbers"
        ) from None
    return Host(str(address), address)


def _read_v6(text: str) -> Host:
    if "%" in text:
        raise Misspelled("an address with a zone is one on a link of this very machine")
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise Misspelled("what stands in brackets is no IPv6 address") from None
    return Host(str(address), address)
