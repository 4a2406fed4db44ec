"""What may be reached at all: schemes, ports, addresses. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from web_browsing.gate.addresses import Address, is_metadata, is_public
from web_browsing.gate.refusing import Refused
from web_browsing.gate.spelling import Host, Misspelled, read_authority

DEFAULT_PORT: Final = {"http": 80, "https": 443}

INSIDE_NAMES: Final = (
    "localhost",  # RFC 6761
    "localdomain",
    "local",  # RFC 6762
    "internal",  # ICANN; metadata.google.internal, *.ec2.internal
    "home.arpa",  # RFC 8375
    "intranet",
    "corp",
    "lan",
    # Where a cloud's metadata has a public name.
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
)
"""Names, and all below them, that are of the inside whatever they resolve to."""
_INSIDE: Final = tuple(f".{each}" for each in INSIDE_NAMES)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes, its host and port judged; its addresses are not yet."""

    scheme: str
    host: Host
    port: int
    exempt: bool
    """Named in `allow_hosts`."""

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        standard = DEFAULT_PORT[self.scheme] == self.port
        return str(self.host) if standard else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`exceptions` are (host or address, port) pairs that are let through whatever they are."""

    ports: frozenset[int] = field(default_factory=lambda: frozenset({80, 443, 8080, 8443}))
    exceptions: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, ports: Iterable[int], allow_hosts: Iterable[str]) -> Self:
        """Reads `host:port` and `[address]:port`; ValueError names what is neither."""
        exceptions: set[tuple[str, int]] = set()
        for each in allow_hosts:
            try:
                host, port = read_authority(each.strip())
            except Misspelled as wrong:
                raise ValueError(f"allow_hosts: {each!r} is not host:port: {wrong}") from None
            exceptions.add((host.name, port))
        wanted = frozenset(ports)
        for each in wanted:
            if not 0 < each < 65_536:
                raise ValueError(f"ports: {each} is no port")
        return cls(ports=wanted, exceptions=frozenset(exceptions))

    def place(self, scheme: str, host: Host, port: int) -> Place:
        """Judge what can be judged without a look-up; raises Refused."""
        if scheme not in DEFAULT_PORT:
            raise Refused("bad_scheme", "Only http and https are let through.")
        exempt = (host.name, port) in self.exceptions
        if exempt:
            return Place(scheme, host, port, exempt)
        if port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise Refused("bad_port", f"Port {port} is not one of those let through: {allowed}.")
        if host.address is not None:
            if not is_public(host.address):
                raise Refused("private_address", f"{host} is not an address of the internet.")
        elif is_inside(host.name):
            raise Refused("private_address", f"{host} is a name of the inside.")
        return Place(scheme, host, port, exempt)


def is_inside(name: str) -> bool:
    """A name that leads inside by itself; one without a dot is of the local network."""
    return "." not in name or any(
        name == each or name.endswith(f".{each}") for each in INSIDE_NAMES
    )


def refuse_inside(place: Place, address: Address, *, ours: bool) -> None:
    """Judge one address of a place; raises Refused. `ours`: it is one of this machine's own."""
    if address == place.host.address and place.exempt:
        return
    if is_metadata(address):
        raise Refused("private_address", f"{place.host} leads to a cloud's metadata service.")
    if place.exempt:
        return
    if not is_public(address):
        raise Refused("private_address", f"{place.host} leads to {address}, which is inside.")
    if ours:
        raise Refused("private_address", f"{place.host} leads to this machine itself.")
