"""The machine and its file systems: getSystemInfo and getDiskUsage."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from flotilla import Cursor, Limit, Model, NotConfigured, NotFound, Page, Tool, page_of, reads
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import Host, HostName, Hosts, Space, absolute
from linux_cli.mounts import is_within
from linux_cli.procfs import (
    FileSystem,
    boot_time_of,
    field_of,
    file_systems_of,
    kibibytes_of,
    os_release_of,
)

_TEXTS = (
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/arch",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/stat",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/cpu.max",
    "/run/systemd/container",
)


class SystemInfo(Model):
    """Sizes in bytes, times in UTC; the limits are those of the container, where it has any."""

    hostname: str
    os_name: str
    os_id: str | None
    os_version: str | None
    kernel: str
    architecture: str | None
    cpu_count: int
    cpu_model: str | None
    cpu_limit: float | None
    load_average: tuple[float, float, float]
    memory_total_bytes: int
    memory_available_bytes: int | None
    memory_limit_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    uptime_s: float
    booted_at: datetime | None
    container: str | None
    """The kind of container that this host is; absent where it is a machine."""


class DiskSpace(Model):
    """One mounted file system; `usedPercent` is what `df` shows."""

    mount_point: str
    device: str
    type: str
    read_only: bool
    total_bytes: int
    used_bytes: int
    available_bytes: int
    used_percent: float
    total_inodes: int
    free_inodes: int


class System:
    """Looks at a host as a whole."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.linux.getSystemInfo", self.get_system_info, ttl_s=5),
            reads("os.linux.getDiskUsage", self.get_disk_usage),
        )

    async def get_system_info(self, host: HostName = "local") -> SystemInfo:
        """Tell what a host is: operating system, kernel, CPUs, memory, load and uptime.

        `container` is there when the host is a container; what it says of memory and CPUs is then
        the machine's, and `memoryLimitBytes` and `cpuLimit` are what the container may use.
        """
        machine = self._hosts.find(host)
        texts = await machine.read_system(_TEXTS)
        if "/proc/meminfo" not in texts:
            raise NotConfigured(f"host {host!r} has no /proc, so it cannot be looked at")
        return _info(texts, await _container(machine, texts))

    async def get_disk_usage(
        self,
        host: HostName = "local",
        path: Annotated[
            str | None,
            Field(max_length=4096, description="Only the file system that holds this path."),
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[DiskSpace]:
        """List mounted file systems with their size and use in bytes and inodes, fullest first.

        File systems without blocks of their own (proc, sysfs) and those that do not answer within
        two seconds are left out. For the size of a folder run `du` with runReadOnly.
        """
        machine = self._hosts.find(host)
        texts = await machine.read_system(["/proc/mounts"])
        systems = file_systems_of(texts.get("/proc/mounts", ""))
        if path is not None:
            real = await machine.real_path(absolute(path))
            holding = [one for one in systems if is_within(real, one.mount_point)]
            systems = tuple(sorted(holding, key=lambda one: len(one.mount_point))[-1:])
        space = await machine.space([one.mount_point for one in systems])
        shown = [
            _disk_space(one, space[one.mount_point])
            for one in systems
            if one.mount_point in space and space[one.mount_point].total_bytes > 0
        ]
        if path is not None and not shown:
            raise NotFound(f"the file system of {path!r} has no blocks, or does not answer")
        shown.sort(key=lambda one: (-one.used_percent, one.mount_point))
        return page_of("disks", shown, limit=limit, cursor=cursor)


def _disk_space(one: FileSystem, space: Space) -> DiskSpace:
    total = space.total_bytes
    used = total - space.free_bytes
    # As df has it: what is kept for root counts neither as used nor as available.
    usable = used + space.available_bytes
    return DiskSpace(
        mount_point=one.mount_point,
        device=one.device,
        type=one.kind,
        read_only=one.read_only,
        total_bytes=total,
        used_bytes=used,
        available_bytes=space.available_bytes,
        used_percent=round(100 * used / usable, 1) if usable else 0.0,
        total_inodes=space.total_inodes,
        free_inodes=space.free_inodes,
    )


async def _container(host: Host, texts: Mapping[str, str]) -> str | None:
    root, run = await host.list_system("/"), await host.list_system("/run")
    if ".dockerenv" in root:
        return "docker"
    if ".containerenv" in run:
        return "podman"
    if "kubernetes.io" in await host.list_system("/run/secrets"):
        return "kubernetes"
    return texts.get("/run/systemd/container", "").strip() or None


def _info(texts: Mapping[str, str], container: str | None) -> SystemInfo:
    release = os_release_of(texts.get("/etc/os-release") or texts.get("/usr/lib/os-release", ""))
    memory, cpus = texts["/proc/meminfo"], texts.get("/proc/cpuinfo", "")
    load = [float(part) for part in texts.get("/proc/loadavg", "0 0 0").split()[:3]]
    booted = boot_time_of(texts.get("/proc/stat", ""))
    return SystemInfo(
        hostname=texts.get("/proc/sys/kernel/hostname", "").strip(),
        os_name=release.get("PRETTY_NAME") or release.get("NAME", "Linux"),
        os_id=release.get("ID"),
        os_version=release.get("VERSION_ID"),
        kernel=texts.get("/proc/sys/kernel/osrelease", "").strip(),
        architecture=texts.get("/proc/sys/kernel/arch", "").strip() or None,
        cpu_count=sum(line.startswith("processor") for line in cpus.splitlines()),
        cpu_model=field_of(cpus, "model name"),
        cpu_limit=_cpu_limit(texts.get("/sys/fs/cgroup/cpu.max", "")),
        load_average=(load[0], load[1], load[2]),
        memory_total_bytes=kibibytes_of(memory, "MemTotal") or 0,
        memory_available_bytes=kibibytes_of(memory, "MemAvailable"),
        memory_limit_bytes=_number(texts.get("/sys/fs/cgroup/memory.max", "")),
        swap_total_bytes=kibibytes_of(memory, "SwapTotal"),
        swap_free_bytes=kibibytes_of(memory, "SwapFree"),
        uptime_s=float(texts.get("/proc/uptime", "0").split()[0]),
        booted_at=datetime.fromtimestamp(booted, UTC) if booted is not None else None,
        container=container,
    )


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _cpu_limit(text: str) -> float | None:
    quota, _, period = text.strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None
