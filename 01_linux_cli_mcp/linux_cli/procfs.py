"""What the texts of /proc and /etc say. Pure."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from linux_cli.mounts import unescaped

STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
    "X": "dead",
}
"""The letters of a process's state in words."""

_TCP_LISTEN, _UDP_UNCONNECTED = "0A", "07"


@dataclass(frozen=True, slots=True)
class Stat:
    """The facts of /proc/<pid>/stat; times in clock ticks, memory in pages."""

    name: str
    state: str
    parent: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    resident_pages: int


def stat_of(text: str) -> Stat | None:
    """The facts of a process; None when the text is not one, since processes vanish at any time."""
    # The name stands in parentheses and may itself hold parentheses and spaces.
    start, end = text.find("("), text.rfind(")")
    rest = text[end + 2 :].split()
    if start < 0 or len(rest) < 22:
        return None
    return Stat(
        name=text[start + 1 : end],
        state=STATES.get(rest[0], rest[0]),
        parent=int(rest[1]),
        cpu_ticks=int(rest[11]) + int(rest[12]),
        threads=int(rest[17]),
        start_ticks=int(rest[19]),
        resident_pages=int(rest[21]),
    )


def parent_of(stat: str) -> int:
    """The parent's pid; 0 for the first process and for one that is gone."""
    found = stat_of(stat)
    return found.parent if found else 0


def start_ticks_of(stat: str) -> int | None:
    found = stat_of(stat)
    return found.start_ticks if found else None


def field_of(text: str, name: str) -> str | None:
    """The value of a `Name: value` line."""
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def kibibytes_of(text: str, name: str) -> int | None:
    """A `Name: 123 kB` line in bytes."""
    value = field_of(text, name)
    number = value.split()[0] if value else ""
    return int(number) * 1024 if number.isdigit() else None


def boot_time_of(stat: str) -> int | None:
    """Seconds since the epoch at which the machine started, from /proc/stat."""
    match = re.search(r"^btime (\d+)$", stat, re.MULTILINE)
    return int(match[1]) if match else None


def users_of(passwd: str) -> Mapping[int, str]:
    """Names by user ID."""
    lines = (line.split(":") for line in passwd.splitlines())
    return {int(line[2]): line[0] for line in lines if len(line) > 2 and line[2].isdigit()}


def os_release_of(text: str) -> Mapping[str, str]:
    """The assignments of /etc/os-release, without quotes."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A line of /proc/mounts."""

    device: str
    mount_point: str
    kind: str
    read_only: bool


def file_systems_of(mounts: str) -> tuple[FileSystem, ...]:
    """The file systems, without those that a later mount on the same point covers."""
    found: dict[str, FileSystem] = {}
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) >= 4:
            device, point = unescaped(parts[0]), unescaped(parts[1])
            found[point] = FileSystem(device, point, parts[2], "ro" in parts[3].split(","))
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that waits for others."""

    protocol: str
    address: str
    port: int
    uid: int
    inode: str


def open_ports_of(protocol: str, table: str) -> tuple[Socket, ...]:
    """The listening sockets of /proc/net/{tcp,tcp6,udp,udp6}."""
    waiting = _TCP_LISTEN if protocol.startswith("tcp") else _UDP_UNCONNECTED
    rows = (line.split() for line in table.splitlines()[1:])
    return tuple(
        Socket(protocol, *_endpoint(row[1]), uid=int(row[7]), inode=row[9])
        for row in rows
        if len(row) > 9 and row[3] == waiting
    )


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    raw = bytes.fromhex(address)
    # Each 32-bit word is written as this machine's integer: little-endian on all we run on.
    words = (raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)
