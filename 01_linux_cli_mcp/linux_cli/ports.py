"""Sockets that wait for connections: listOpenPorts."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from flotilla import Cursor, Limit, Model, NotConfigured, Page, Tool, page_of, reads
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import Host, HostName, Hosts
from linux_cli.procfs import Socket, open_ports_of, stat_of, users_of

_TABLES = ("tcp", "tcp6", "udp", "udp6")


class OpenPort(Model):
    """A TCP port that listens, or a UDP port that takes from anyone.

    `pid` and `process` are absent where this service may not see who owns it.
    """

    protocol: Literal["tcp", "tcp6", "udp", "udp6"]
    address: str
    port: int
    user: str
    pid: int | None
    process: str | None


class Ports:
    """Looks at the network of a host."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def tools(self) -> tuple[Tool, ...]:
        return (reads("os.linux.listOpenPorts", self.list_open_ports),)

    async def list_open_ports(
        self,
        host: HostName = "local",
        protocol: Literal["tcp", "udp"] | None = None,
        port: Annotated[int | None, Field(ge=1, le=65535, description="Only this port.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[OpenPort]:
        """List listening TCP and open UDP ports with address, user and, where visible, process.

        Sorted by port. A port of a container is only seen from within it.
        """
        machine = self._hosts.find(host)
        tables = {f"/proc/net/{name}": name for name in _TABLES}
        texts = await machine.read_system([*tables, "/etc/passwd"])
        if not texts.keys() & tables.keys():
            raise NotConfigured(f"host {host!r} has no /proc/net, so its ports cannot be seen")
        sockets = [
            socket
            for path, name in tables.items()
            for socket in open_ports_of(name, texts.get(path, ""))
            if (protocol is None or name.startswith(protocol)) and port in (None, socket.port)
        ]
        owners = await _owners(machine, {socket.inode for socket in sockets})
        users = users_of(texts.get("/etc/passwd", ""))
        shown = [_open_port(socket, owners, users) for socket in sockets]
        shown.sort(key=lambda one: (one.port, one.protocol, one.address))
        return page_of("ports", shown, limit=limit, cursor=cursor)


def _open_port(
    socket: Socket, owners: Mapping[str, tuple[int, str]], users: Mapping[int, str]
) -> OpenPort:
    pid, process = owners.get(socket.inode, (None, None))
    return OpenPort.model_validate(
        {
            "protocol": socket.protocol,
            "address": socket.address,
            "port": socket.port,
            "user": users.get(socket.uid, str(socket.uid)),
            "pid": pid,
            "process": process,
        }
    )


async def _owners(machine: Host, inodes: set[str]) -> dict[str, tuple[int, str]]:
    """Process ID and name by socket; of several that share one, the first, which made it."""
    pids = [int(name) for name in await machine.list_system("/proc") if name.isdigit()]
    links = await machine.links_in([f"/proc/{pid}/fd" for pid in sorted(pids)])
    owners: dict[str, int] = {}
    for pid in sorted(pids):
        for target in links.get(f"/proc/{pid}/fd", ()):
            inode = target.removeprefix("socket:[").removesuffix("]")
            if inode in inodes:
                owners.setdefault(inode, pid)
    stats = await machine.read_system([f"/proc/{pid}/stat" for pid in set(owners.values())])
    found = {pid: stat_of(stats.get(f"/proc/{pid}/stat", "")) for pid in set(owners.values())}
    return {
        inode: (pid, stat.name) for inode, pid in owners.items() if (stat := found[pid]) is not None
    }
