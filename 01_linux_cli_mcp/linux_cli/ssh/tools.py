"""The tools of `os.ssh`: the hosts, whether they can be reached, files and tunnels."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotConfigured,
    Page,
    Tool,
    page_of,
    reads,
    writes,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import Hosts, absolute
from linux_cli.ssh.inventory import LOCAL, Inventory
from linux_cli.ssh.steps import Step

if TYPE_CHECKING:
    from linux_cli.ssh.fleet import SshFleet
    from linux_cli.ssh.host import SshHost
    from linux_cli.ssh.transfer import Carried
    from linux_cli.ssh.tunnels import Tunnel

SshHostName = Annotated[
    str, Field(min_length=1, max_length=64, description="A host over SSH, from listHosts.")
]
ExchangeName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        description="A name in the exchange folder, such as `dump.sql` or `today/dump.sql`.",
    ),
]
RemotePath = Annotated[
    str, Field(min_length=1, max_length=4096, description="An absolute path on the host.")
]


class TunnelView(Model):
    """A way from 127.0.0.1:`port`, where this service runs, to `target` as `host` sees it."""

    id: str
    host: str
    target: str
    address: str
    port: int
    opened_by: str
    expires_at: datetime


class HostView(Model):
    """A host of the inventory; only one that is `trusted`, by a key that is pinned, can be used."""

    host: str
    over_ssh: bool
    address: str | None
    port: int | None
    user: str | None
    jump: str | None
    tags: list[str]
    trusted: bool
    connected: bool
    tunnel_targets: list[str]
    tunnels: list[TunnelView]


class Tested(Model):
    """Each step to a host with its time; after a failed one there are none."""

    host: str
    ok: bool
    steps: list[Step]
    code: str | None
    hint: str | None


class Carriage(Model):
    """A file that was carried whole; `resumedAt` is where an earlier try had stopped."""

    host: str
    path: str
    name: str
    size_bytes: int
    sha256: str
    resumed_at: int


class SshTools:
    """What the tools of `os.ssh` do; without a fleet there is `local` alone."""

    def __init__(self, hosts: Hosts, inventory: Inventory, fleet: "SshFleet | None") -> None:
        self._hosts = hosts
        self._inventory = inventory
        self._fleet = fleet

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.ssh.listHosts", self.list_hosts),
            reads("os.ssh.testConnection", self.test_connection, open_world=True, untrusted=True),
            writes(
                "os.ssh.uploadFile", self.upload_file, approval=True, open_world=True, long=True
            ),
            writes(
                "os.ssh.downloadFile", self.download_file, approval=True, open_world=True, long=True
            ),
            writes("os.ssh.openTunnel", self.open_tunnel, approval=True, open_world=True),
            writes("os.ssh.closeTunnel", self.close_tunnel, approval=True, idempotent=False),
        )

    async def list_hosts(
        self,
        tag: Annotated[str | None, Field(max_length=64, description="Only with this tag.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[HostView]:
        """List the hosts that tools of os.linux and os.ssh take as `host`, with open tunnels.

        It asks no host: whether one can be reached, testConnection tells. The inventory is the
        owner's file; addresses that are not in it cannot be used.
        """
        shown = [self._local(), *(self._shown(alias) for alias, _ in self._inventory)]
        if tag is not None:
            shown = [one for one in shown if tag in one.tags]
        return page_of("hosts", shown, limit=limit, cursor=cursor)

    async def test_connection(self, host: SshHostName) -> Tested:
        """Connect to a host anew, and tell how long each step took and where it failed.

        Steps: resolve (or jump), tcp, hostKey, authenticate, command, sftp. A host whose key is not
        trusted fails at hostKey; only the owner can trust one, and `hint` says how.
        """
        fleet, machine = self._found(host)
        steps, error = await fleet.diagnose(machine)
        return Tested(
            host=host,
            ok=error is None,
            steps=steps,
            code=error.code if error else None,
            hint=error.hint if error else None,
        )

    async def upload_file(
        self,
        context: Context,
        host: SshHostName,
        name: ExchangeName,
        path: RemotePath,
        mode: Annotated[
            str, Field(pattern=r"^0?[0-7]{3}$", description="Permissions in octal, such as 0644.")
        ] = "0644",
    ) -> Carriage:
        """Carry a file from the exchange folder to a new file on a host.

        SHA-256 is compared at both ends before the file gets its name; one that exists is not
        replaced. A try that broke off is resumed by the same call. The owner puts files into the
        exchange folder, or downloadFile does.
        """
        fleet, machine = self._found(host)
        carried = await fleet.transfer.upload(context, machine, name, absolute(path), int(mode, 8))
        return _carriage(host, carried, carried.path, name)

    async def download_file(
        self, context: Context, host: SshHostName, path: RemotePath, name: ExchangeName
    ) -> Carriage:
        """Carry a regular file from a host to a new file in the exchange folder.

        SHA-256 is compared at both ends before the file gets its name; one that exists is not
        replaced. A try that broke off is resumed by the same call. To see what is in a file use
        os.linux.readFile.
        """
        fleet, machine = self._found(host)
        carried = await fleet.transfer.download(context, machine, absolute(path), name)
        return _carriage(host, carried, path, name)

    async def open_tunnel(
        self,
        context: Context,
        host: SshHostName,
        target: Annotated[
            str, Field(max_length=300, description="host:port, one of the host's tunnelTargets.")
        ],
        ttl_s: Annotated[
            float, Field(ge=1, le=3600, description="Seconds until it closes by itself.")
        ] = 600,
    ) -> TunnelView:
        """Open a way from a port of 127.0.0.1, where this service runs, to a port behind a host.

        Only targets that the owner's inventory names for that host. Programs on host `local` can
        use it, such as a database's client by runCommand. It closes after `ttlS`, by closeTunnel,
        and when the connection breaks.
        """
        fleet, machine = self._found(host)
        return _view(
            await fleet.tunnels.dig(
                machine.link, target, ttl_s=ttl_s, opened_by=context.principal.name
            )
        )

    async def close_tunnel(
        self, tunnel_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    ) -> TunnelView:
        """Close a tunnel and all that goes through it."""
        if self._fleet is None:
            raise _none_over_ssh()
        return _view(await self._fleet.tunnels.close(tunnel_id))

    def _found(self, host: str) -> "tuple[SshFleet, SshHost]":
        self._hosts.find(host)
        if host == LOCAL:
            raise InvalidArgument("host `local` is this one, and not reached over SSH")
        if self._fleet is None:
            raise _none_over_ssh()
        return self._fleet, self._fleet.host(host)

    def _local(self) -> HostView:
        return HostView(
            host=LOCAL,
            over_ssh=False,
            address=None,
            port=None,
            user=None,
            jump=None,
            tags=list(self._inventory.local.tags),
            trusted=True,
            connected=True,
            tunnel_targets=[],
            tunnels=[],
        )

    def _shown(self, alias: str) -> HostView:
        fleet, machine = self._found(alias)
        entry = machine.link.entry
        return HostView(
            host=alias,
            over_ssh=True,
            address=entry.address,
            port=entry.port,
            user=entry.user,
            jump=entry.jump,
            tags=list(entry.tags),
            trusted=fleet.trusts(alias),
            connected=machine.link.connected,
            tunnel_targets=list(entry.tunnels),
            tunnels=[_view(one) for one in fleet.tunnels.listed() if one.host == alias],
        )


def _carriage(host: str, carried: "Carried", path: str, name: str) -> Carriage:
    return Carriage(
        host=host,
        path=path,
        name=name,
        size_bytes=carried.size_bytes,
        sha256=carried.sha256,
        resumed_at=carried.resumed_at,
    )


def _view(tunnel: "Tunnel") -> TunnelView:
    return TunnelView(
        id=tunnel.id,
        host=tunnel.host,
        target=tunnel.target,
        address="127.0.0.1",
        port=tunnel.port,
        opened_by=tunnel.opened_by,
        expires_at=tunnel.expires_at,
    )


def _none_over_ssh() -> NotConfigured:
    return NotConfigured(
        "the inventory has no host over SSH", hint="The owner adds hosts to config/hosts.yaml."
    )
