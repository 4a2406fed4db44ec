"""What the owner does with hosts, outside MCP: see their keys, trust them, forget them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flotilla import Conflict, Model, NotFound
from flotilla.operations import OWNER_ROLE, Operation
from linux_cli.ssh.inventory import Inventory, SshEntry
from linux_cli.ssh.pins import Pin, Pins

if TYPE_CHECKING:
    from linux_cli.ssh.pool import Links

Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
Alias = Annotated[str, Field(min_length=1, max_length=64)]
Standing = Literal["new", "trusted", "changed"]


class Nothing(Model):
    """No argument."""


class OfHost(Model):
    host: Alias


class Trust(Model):
    """The key to pin, by its fingerprint; `replace` where another one is pinned."""

    host: Alias
    fingerprint: Fingerprint
    replace: bool = False


class SeenKey(Model):
    """The key that a host shows, and whether it is the trusted one."""

    host: str
    algorithm: str
    fingerprint: str
    standing: Standing
    pinned: str | None


class KnownHost(Model):
    """A host as the owner sees it."""

    host: str
    address: str
    port: int
    user: str
    jump: str | None
    tags: tuple[str, ...]
    algorithm: str | None
    fingerprint: str | None
    """Of the trusted key; absent while none is."""
    trusted_at: datetime | None
    from_config: bool
    """hosts.yaml itself names the key."""
    connected: bool


class KnownHosts(Model):
    hosts: list[KnownHost]


class HostKeys:
    """The trusted keys of the inventory's hosts."""

    def __init__(self, inventory: Inventory, pins: Pins, links: "Links | None") -> None:
        """`links` is None where the inventory has no host over SSH."""
        self._inventory = inventory
        self._pins = pins
        self._all = links

    @property
    def _links(self) -> "Links":
        assert self._all is not None, "a host was found, so there are links"
        return self._all

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(name="hosts.list", takes=Nothing, run=self.list, role=OWNER_ROLE),
            Operation(name="hosts.scan", takes=OfHost, run=self.scan, role=OWNER_ROLE),
            Operation(name="hosts.trust", takes=Trust, run=self.trust, role=OWNER_ROLE),
            Operation(name="hosts.forget", takes=OfHost, run=self.forget, role=OWNER_ROLE),
        )

    async def list(self, _: Nothing) -> KnownHosts:
        return KnownHosts(hosts=[self._known(alias, entry) for alias, entry in self._inventory])

    async def scan(self, asked: OfHost) -> SeenKey:
        """Fetch the key now, over the jump host where there is one."""
        entry = self._entry(asked.host)
        shown = await self._links.look(asked.host)
        pinned = self._pinned(asked.host, entry)
        standing: Standing = "new"
        if pinned is not None:
            standing = "trusted" if pinned == shown.fingerprint else "changed"
        return SeenKey(
            host=asked.host,
            algorithm=shown.algorithm,
            fingerprint=shown.fingerprint,
            standing=standing,
            pinned=pinned,
        )

    async def trust(self, asked: Trust) -> SeenKey:
        """Pin that very key, when the host shows it still."""
        entry = self._entry(asked.host)
        if entry.host_key is not None:
            raise Conflict(
                f"hosts.yaml names the key of {asked.host!r} itself",
                hint="Change `host_key` there.",
            )
        seen = await self.scan(OfHost(host=asked.host))
        if seen.fingerprint != asked.fingerprint:
            raise Conflict(
                f"host {asked.host!r} now shows {seen.fingerprint}, and not the key to be trusted",
                hint="Two answers at two times: somebody may stand in between. Nothing was pinned.",
                details={"reason": "host_key_differs", "fingerprint": seen.fingerprint},
            )
        if seen.standing == "changed" and not asked.replace:
            raise Conflict(
                f"another key of host {asked.host!r} is trusted: {seen.pinned}",
                hint="Replace it only when the change is known to be right (--replace).",
                details={"reason": "host_key_changed", "fingerprint": seen.fingerprint},
            )
        pin = Pin(
            algorithm=seen.algorithm,
            fingerprint=seen.fingerprint,
            trusted_at=datetime.now(UTC),
        )
        self._pins.put(asked.host, pin)
        self._links.pin_changed(asked.host)
        return seen.model_copy(update={"standing": "trusted", "pinned": seen.fingerprint})

    async def forget(self, asked: OfHost) -> KnownHost:
        """Trust no key of the host any more; its connection ends."""
        entry = self._entry(asked.host)
        if not self._pins.forget(asked.host):
            raise NotFound(f"no key of host {asked.host!r} is pinned")
        self._links.pin_changed(asked.host)
        return self._known(asked.host, entry)

    def _entry(self, alias: str) -> SshEntry:
        entry = self._inventory.get(alias)
        if entry is None:
            known = ", ".join(sorted(name for name, _ in self._inventory)) or "none"
            raise NotFound(f"there is no host {alias!r} over SSH", hint=f"In hosts.yaml: {known}.")
        return entry

    def _pinned(self, alias: str, entry: SshEntry) -> str | None:
        pin = self._pins.get(alias)
        return entry.host_key or (pin.fingerprint if pin else None)

    def _known(self, alias: str, entry: SshEntry) -> KnownHost:
        pin = self._pins.get(alias) if entry.host_key is None else None
        return KnownHost(
            host=alias,
            address=entry.address,
            port=entry.port,
            user=entry.user,
            jump=entry.jump,
            tags=entry.tags,
            algorithm=pin.algorithm if pin else None,
            fingerprint=self._pinned(alias, entry),
            trusted_at=pin.trusted_at if pin else None,
            from_config=entry.host_key is not None,
            connected=self._links.by_alias[alias].connected,
        )
