"""Software from the system's own packages: installPackage."""

import re
from typing import Annotated

from pydantic import Field

from flotilla import (
    Context,
    InvalidArgument,
    Model,
    NotConfigured,
    NotFound,
    TimedOut,
    Tool,
    UpstreamError,
    destroys,
)
from linux_cli.host import TRUSTED_FOLDERS, Host, HostName, Hosts, Order
from linux_cli.programs import Answer, Programs, timeout_within

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}(?:=[A-Za-z0-9][A-Za-z0-9+.:~_-]{0,127})?")

Packages = Annotated[
    list[Annotated[str, Field(max_length=256)]],
    Field(min_length=1, max_length=50, description="Names, or `name=version`."),
]


class Installed(Model):
    """What the package manager said when it was done; long output keeps its start and end."""

    manager: str
    packages: list[str]
    output: str
    truncated: bool
    duration_ms: int


class Installer:
    """Installs packages with apt-get, dnf or apk, whichever the host has."""

    def __init__(self, hosts: Hosts, programs: Programs) -> None:
        self._hosts = hosts
        self._programs = programs

    def tools(self) -> tuple[Tool, ...]:
        return (
            destroys(
                "os.linux.installPackage",
                self.install_package,
                idempotent=True,
                open_world=True,
                long=True,
                untrusted=True,
            ),
        )

    async def install_package(
        self,
        context: Context,
        packages: Packages,
        host: HostName = "local",
        refresh: Annotated[bool, Field(description="Fetch the lists of packages first.")] = True,
    ) -> Installed:
        """Install packages of the operating system, without questions, from its configured sources.

        Uses apt-get, dnf or apk. Takes names only: no files, addresses, groups or patterns. What is
        installed already is brought up to date. Needs the rights of root on the host.
        """
        for name in packages:
            check_package(name)
        machine = self._hosts.find(host)
        manager = await self._manager(machine)
        if manager == "apt-get":
            if refresh:
                await self._run(context, machine, ("apt-get", "update", "-q"))
            await self._check_known(context, machine, packages)
        answer = await self._run(context, machine, install_argv(manager, packages, refresh=refresh))
        return Installed(
            manager=manager,
            packages=packages,
            output=answer.stdout,
            truncated=answer.truncated,
            duration_ms=round(answer.ended.duration_s * 1000),
        )

    async def _manager(self, machine: Host) -> str:
        for manager in ("apt-get", "dnf", "apk"):
            if await machine.find_program(manager, TRUSTED_FOLDERS):
                return manager
        raise NotConfigured(
            f"host {machine.name!r} has none of apt-get, dnf and apk",
            hint="Install it by runCommand with the host's own means.",
        )

    async def _check_known(self, context: Context, machine: Host, packages: list[str]) -> None:
        # apt-get takes a name that it does not know for a regular expression, and installs all that
        # match; `python3.99` would be many.
        for package in packages:
            name = package.partition("=")[0]
            if "." in name or "+" in name:
                answer = await self._run(context, machine, ("apt-cache", "pkgnames", "--", name))
                if name not in answer.stdout.split():
                    raise NotFound(f"apt knows no package {name!r}")

    async def _run(self, context: Context, machine: Host, argv: tuple[str, ...]) -> Answer:
        env = {
            "DEBIAN_FRONTEND": "noninteractive",
            "NEEDRESTART_MODE": "a",
            "APT_LISTCHANGES_FRONTEND": "none",
        }
        order = Order(argv=argv, timeout_s=timeout_within(context, None), cwd="/", env=env)
        answer = await self._programs.run(machine, order)
        if answer.ended.timed_out:
            raise TimedOut(
                f"{argv[0]} did not finish in time and was ended",
                hint="Look whether the package is half installed; startJob has more time.",
            )
        if answer.ended.exit_code != 0:
            said = (answer.stderr.strip() or answer.stdout.strip())[-1500:]
            raise UpstreamError(f"{argv[0]} ended with {answer.ended.exit_code}: {said}")
        return answer


def check_package(name: str) -> None:
    """InvalidArgument unless `name` can only be the name of a package to be installed."""
    # For apt-get a trailing minus means: remove it.
    if not _NAME.fullmatch(name) or name.endswith("-"):
        raise InvalidArgument(
            f"{name!r} is not the name of a package",
            hint="Letters, digits and `+._-`, with `=version` after it if need be.",
        )


def install_argv(manager: str, packages: list[str], *, refresh: bool) -> tuple[str, ...]:
    """The command that installs without asking."""
    if manager == "apt-get":
        waits = "-oDPkg::Lock::Timeout=60"
        keeps = "-oDpkg::Options::=--force-confold"
        return ("apt-get", "install", "-q", "-y", waits, keeps, "--", *packages)
    if manager == "dnf":
        # dnf joins name and version by a minus.
        names = [package.replace("=", "-", 1) for package in packages]
        return ("dnf", "install", "-y", *(["--refresh"] if refresh else []), "--", *names)
    fresh = ["--update-cache"] if refresh else []
    return ("apk", "add", "--no-interactive", *fresh, "--", *packages)
