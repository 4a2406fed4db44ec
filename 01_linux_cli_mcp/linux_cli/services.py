"""systemd's services: listServices, getServiceStatus and controlService."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    NotAllowed,
    NotConfigured,
    NotFound,
    Page,
    Tool,
    UpstreamError,
    destroys,
    page_of,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import Host, HostName, Hosts, Order
from linux_cli.programs import Answer, Programs, timeout_within

UnitName = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z0-9_@:.\\][A-Za-z0-9_@:.\\-]*$",
        description="A unit such as `nginx` or `nginx.service`.",
    ),
]
Action = Literal["start", "stop", "restart", "reload", "enable", "disable"]

_LIST_BYTES = 4 * 1024 * 1024
_QUICK_S = 20.0
_PROPERTIES = (
    "Id", "Description", "LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID",
    "ExecMainStatus", "Result", "NRestarts", "MemoryCurrent", "ActiveEnterTimestamp",
    "FragmentPath",
)  # fmt: skip
_UNBOOTED = re.compile(
    r"not been booted with systemd|Failed to connect to (?:the )?(?:system )?(?:scope )?bus|"
    r"Host is down"
)
NO_SYSTEMD_HINT = (
    "The host has no running systemd, as is usual in a container; listProcesses shows what runs."
)


class Service(Model):
    """One service unit, in systemd's words; `enabled` is its unit file's state."""

    unit: str
    description: str
    load: str
    active: str
    sub: str
    enabled: str | None


class ServiceStatus(Model):
    """One service in detail; what systemd does not tell is absent."""

    unit: str
    description: str
    load: str
    active: str
    sub: str
    enabled: str | None
    main_pid: int | None
    exit_status: int | None
    """Of its main process, once that has ended."""
    result: str | None
    restarts: int | None
    memory_bytes: int | None
    active_since: datetime | None
    unit_file: str | None


class Controlled(Model):
    """A service after it was acted upon."""

    unit: str
    action: Action
    active: str
    enabled: str | None


class Services:
    """Asks and tells systemd, by systemctl."""

    def __init__(self, hosts: Hosts, programs: Programs) -> None:
        self._hosts = hosts
        self._programs = programs

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.linux.listServices", self.list_services),
            reads("os.linux.getServiceStatus", self.get_service_status),
            destroys("os.linux.controlService", self.control_service, long=True),
        )

    async def list_services(
        self,
        context: Context,
        host: HostName = "local",
        state: Literal["active", "inactive", "failed", "activating"] | None = None,
        name_contains: Annotated[str | None, Field(max_length=256)] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Service]:
        """List systemd's services with their state and whether they start at boot.

        Answers `not_configured` on a host without a running systemd, such as most containers.
        """
        machine = self._hosts.find(host)
        options = ("--type=service", "--all", "--plain", "--no-legend", "--no-pager", "--full")
        units = await self._systemctl(context, machine, ("list-units", *options))
        files = await self._systemctl(context, machine, ("list-unit-files", *options))
        found = services_of(units.stdout, files.stdout)
        shown = [
            one
            for one in found
            if (state is None or one.active == state)
            and (name_contains is None or name_contains.casefold() in one.unit.casefold())
        ]
        return page_of("services", shown, limit=limit, cursor=cursor)

    async def get_service_status(
        self, context: Context, unit: UnitName, host: HostName = "local"
    ) -> ServiceStatus:
        """Tell the state of one systemd service: process, memory, restarts, last result.

        For what it logged use readJournal with the same unit.
        """
        status = await self._status(context, self._hosts.find(host), unit)
        if status.load == "not-found" and status.active == "inactive":
            raise NotFound(f"there is no unit {unit!r}", hint="listServices names them.")
        return status

    async def control_service(
        self, context: Context, unit: UnitName, action: Action, host: HostName = "local"
    ) -> Controlled:
        """Start, stop, restart or reload a systemd service, or have it start at boot or not.

        Waits until systemd has done it. `enable` and `disable` change only the next boot.
        """
        machine = self._hosts.find(host)
        verb = (action, "--no-pager", "--no-ask-password", "--", unit)
        await self._systemctl(context, machine, verb, timeout_within(context, None))
        status = await self._status(context, machine, unit)
        return Controlled(
            unit=status.unit, action=action, active=status.active, enabled=status.enabled
        )

    async def _status(self, context: Context, machine: Host, unit: str) -> ServiceStatus:
        verb = ("show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", unit)
        return status_of((await self._systemctl(context, machine, verb)).stdout)

    async def _systemctl(
        self, context: Context, machine: Host, verb: tuple[str, ...], timeout_s: float = _QUICK_S
    ) -> Answer:
        if await machine.find_program("systemctl") is None:
            raise NotConfigured(f"host {machine.name!r} has no systemctl", hint=NO_SYSTEMD_HINT)
        order = Order(argv=("systemctl", *verb), timeout_s=timeout_within(context, timeout_s))
        answer = await self._programs.run(machine, order, head_bytes=_LIST_BYTES, tail_bytes=0)
        if answer.ended.timed_out:
            raise UpstreamError("systemd did not answer in time")
        if answer.ended.exit_code != 0:
            raise _refused(answer.stderr.strip() or answer.stdout.strip())
        return answer


def _refused(said: str) -> Exception:
    if _UNBOOTED.search(said):
        return NotConfigured("systemd does not run on this host", hint=NO_SYSTEMD_HINT)
    told = said[:500] or "systemctl failed and said nothing"
    if re.search(r"not (?:be )?found|not loaded|does not exist|No such file", said):
        return NotFound(told, hint="listServices names the services.")
    if re.search(r"Access denied|authentication required|Permission denied", said):
        return NotAllowed(told)
    if re.search(r"Invalid unit name|is not valid|not applicable", said):
        return InvalidArgument(told)
    return UpstreamError(told)


def services_of(units: str, unit_files: str) -> list[Service]:
    """The services in `systemctl list-units` and `list-unit-files`, plain and without legend."""
    rows = (line.split(None, 1) for line in unit_files.splitlines())
    enabled = {row[0]: row[1].split()[0] for row in rows if len(row) == 2}
    found: dict[str, Service] = {}
    for line in units.splitlines():
        # A failed unit may carry a mark in front even with --plain.
        parts = line.lstrip("●*× ").split(None, 4)
        if len(parts) >= 4:
            unit, load, active, sub, *rest = parts
            found[unit] = Service(
                unit=unit,
                description=rest[0].strip() if rest else "",
                load=load,
                active=active,
                sub=sub,
                enabled=enabled.get(unit),
            )
    for unit, state in enabled.items():
        if unit not in found:
            found[unit] = Service(
                unit=unit,
                description="",
                load="not-loaded",
                active="inactive",
                sub="dead",
                enabled=state,
            )
    return sorted(found.values(), key=lambda one: one.unit)


def status_of(shown: str) -> ServiceStatus:
    """The properties that `systemctl show` prints, typed."""
    said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    main_pid = _count(said, "MainPID")
    return ServiceStatus(
        unit=said.get("Id", ""),
        description=said.get("Description", ""),
        load=said.get("LoadState", "unknown"),
        active=said.get("ActiveState", "unknown"),
        sub=said.get("SubState", "unknown"),
        enabled=said.get("UnitFileState") or None,
        main_pid=main_pid or None,
        exit_status=None if main_pid else _count(said, "ExecMainStatus"),
        result=said.get("Result") or None,
        restarts=_count(said, "NRestarts"),
        memory_bytes=_count(said, "MemoryCurrent"),
        active_since=_moment(said.get("ActiveEnterTimestamp", "")),
        unit_file=said.get("FragmentPath") or None,
    )


def _count(said: Mapping[str, str], name: str) -> int | None:
    value = said.get(name, "")
    # systemd says "nothing" as the highest 64-bit number.
    return int(value) if value.isdigit() and int(value) < 2**64 - 1 else None


def _moment(text: str) -> datetime | None:
    # TZ=UTC and the C locale, which every program here gets, fix this form.
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
