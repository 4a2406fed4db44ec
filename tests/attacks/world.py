"""A whole fleet in a folder of its own, which attacks may aim at without harm to the machine.

Its package manager and its systemd are programs of the test's own that only write down how they
were called; what a tool may signal is a process that was started for it.
"""

import os
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import psutil
import yaml

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import CommonSettings, Spoke, meta
from linux_cli import build as build_linux
from linux_cli.settings import Settings as LinuxSettings
from linux_cli.ssh.pins import Pin, Pins
from secret_store import build as build_secrets
from secret_store.settings import Settings as SecretSettings
from tests.backends.sshd_server import Sshd
from tests.chaos.caller import Caller
from tests.conftest import Reachable, plain_http, until
from tests.processes import alive

HOST = "there"
STORED = "stored-canary-Qm7xT2vLw9"
"""A secret that the store keeps, and that every tool of these tests may use."""
INHERITED = "inherited-canary-Zk4pR8sNd3"
"""What the environment of the fleet's processes holds."""
OUTSIDE = "outside-canary-Hb6wY1cGf5"
"""What a protected file holds that no redactor knows."""
SECRET = "db/password"
_PLAYED = ("systemctl", "journalctl", "apt-get", "apt-cache", "dnf", "apk")

_SAID = {
    "journalctl": '{"__CURSOR": "c", "__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": "up"}'
}
"""What the played programs answer."""


@dataclass
class World:
    """`play` is where calls may write, `closed` belongs to the fleet, `trap` must never exist."""

    folder: Path
    sshd: Sshd
    fleet: Reachable = field(init=False)
    caller: Caller = field(init=False)
    spokes: Sequence[Spoke] = ()
    listing: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    canaries: Mapping[str, str] = field(default_factory=dict[str, str])
    victims: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def play(self) -> Path:
        return self.folder / "play"

    @property
    def closed(self) -> Path:
        return self.folder / "data"

    @property
    def trap(self) -> Path:
        return self.folder / "trap"

    @property
    def outside(self) -> Path:
        return self.folder / "outside" / "notes.txt"

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    @property
    def path(self) -> str:
        """The PATH of programs, on which the played ones come first."""
        return f"{self.programs}:/usr/bin:/bin"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yaml"

    @property
    def deploy(self) -> Path:
        """The one program that may be given secrets."""
        return self.folder / "tools" / "deploy"

    @property
    def calls_file(self) -> Path:
        """How the played programs were called: words that end in NUL, calls that end in two."""
        return self.folder / "played"

    def played(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        raw = self.calls_file.read_bytes().decode(errors="replace")
        return [call.split("\0") for call in raw.split("\0\0") if call]

    def victim(self) -> int:
        """A process that may be killed."""
        process = subprocess.Popen(
            ["sleep", "600"], env={"CANARY": OUTSIDE, "PATH": os.defpath}, cwd="/"
        )
        self.victims.append(process)
        return process.pid

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        return (await self.caller.call(tool, arguments)).structured

    async def owner(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """What the hub answers its owner."""
        token = (self.closed / "owner_token").read_text().strip()
        async with httpx2.AsyncClient(timeout=30, verify=plain_http()) as http:
            return await http.request(
                method,
                f"{self.fleet.url}/api{path}",
                json=body,
                headers={"authorization": f"Bearer {token}"},
            )

    async def token(self, name: str, *roles: str) -> str:
        made = await self.owner("POST", "/tokens", {"name": name, "roles": list(roles)})
        return made.json()["secret"]

    def secrets_of_the_fleet(self) -> dict[str, str]:
        """What lies in the data folder and must never be shown, by what it is."""
        found = {
            "the admin's token": (self.closed / "admin_token").read_text().strip(),
            "the owner's token": (self.closed / "owner_token").read_text().strip(),
            "a stored secret": STORED,
            "the environment": INHERITED,
            "a protected file": OUTSIDE,
        }
        for path in self.closed.rglob("*"):
            if path.is_file() and path.suffix in (".pem", ".key"):
                lines = path.read_text(errors="replace").splitlines()
                longest = max((one for one in lines if "-----" not in one), key=len, default="")
                if len(longest) >= 32 and "pub" not in path.name:
                    found[path.name] = longest
        return found


@asynccontextmanager
async def opened_world(
    start: Callable[..., Any], folder: Path, sshd: Sshd, key: Path, **more: Any
) -> AsyncGenerator[World]:
    """The fleet, approvals off; `start` is `start_fleet_in`, `key` that of a client of `sshd`."""
    world = World(folder, sshd)
    prepare(world, key)
    world.spokes = _spokes(world)
    children = set(psutil.Process().children(recursive=True))
    async with AsyncExitStack() as stack:
        world.fleet = await stack.enter_async_context(
            start(folder, world.spokes, **{"approvals": "off", **more})
        )
        await stack.enter_async_context(met(world))
        yield world
    # The server of SSH hears of its clients' end a little later.
    await until(lambda: not world.sshd.connections())
    left = [one for one in psutil.Process().children(recursive=True) if one not in children]
    assert not alive(left), left


def prepare(world: World, key: Path) -> None:
    """Make what the fleet finds when it starts."""
    for place in (world.play, world.outside.parent, world.programs, world.folder / "tools"):
        place.mkdir()
    world.outside.write_text(OUTSIDE)
    (world.play / "file.txt").write_text("one\ntwo\n")
    (world.play / "link-to-token").symlink_to(world.closed / "admin_token")
    (world.play / "link-to-data").symlink_to(world.closed)
    world.deploy.write_text("#!/bin/sh\necho deployed\n")
    world.deploy.chmod(0o755)
    for name in _PLAYED:
        program = world.programs / name
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\" '' >> {world.calls_file}\n"
            f"cat <<'END'\n{_SAID.get(name, '')}\nEND\n"
        )
        program.chmod(0o755)
    entry = {
        "address": "127.0.0.1",
        "port": world.sshd.port,
        "user": world.sshd.user,
        "key": str(key),
        "tunnels": [f"127.0.0.1:{world.sshd.port}"],
    }
    world.inventory.write_text(yaml.safe_dump({"hosts": {HOST: entry}}))
    pin = Pin(
        algorithm="ssh-ed25519",
        fingerprint=world.sshd.fingerprint,
        trusted_at=datetime.now(UTC),
    )
    Pins(world.closed / "linux_cli" / "host_keys.json").put(HOST, pin)


@asynccontextmanager
async def met(world: World) -> AsyncGenerator[None]:
    """A client of the world's fleet is there, a secret is stored, and the tools are known."""
    async with caller(world.fleet) as world.caller:
        await _stored(world)
        for path in ("/mcp", "/mcp/p/search"):
            async with caller(world.fleet, path=path) as listing:
                world.listing |= await all_tools(listing)
        try:
            yield
        finally:
            for process in world.victims:
                process.kill()
                process.wait(10)


@asynccontextmanager
async def caller(
    fleet: Reachable, token: str | None = None, path: str = "/mcp"
) -> AsyncGenerator[Caller]:
    """A client of the hub with that token, by default the admin's."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Caller(http, f"{fleet.url}{path}", token or fleet.token_file.read_text().strip())


async def all_tools(caller: Caller) -> dict[str, Mapping[str, Any]]:
    """Every tool that is listed, by its canonical name."""
    found: dict[str, Mapping[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        page = (await caller.ask("tools/list", cursor)).result
        found |= {meta.marks_of(tool)[meta.NAME]: tool for tool in page["tools"]}
        if "nextCursor" not in page:
            return found
        cursor = {"cursor": page["nextCursor"]}


def _spokes(world: World) -> Sequence[Spoke]:
    common = CommonSettings(data_dir=world.closed)
    linux = LinuxSettings(
        home=world.play,
        path=world.path,
        protected_paths=(world.outside.parent,),
        hosts_config=world.inventory,
        max_processes=64,
        max_jobs=256,
    )
    return [
        build_linux(linux, common),
        build_cmdb(CmdbSettings(), common),
        build_secrets(SecretSettings(programs=(world.deploy,), write_from_chat="on"), common),
    ]


async def _stored(world: World) -> None:
    written = await world.owner(
        "POST",
        "/services/secrets/operations/write",
        {
            "path": SECRET,
            "value": STORED,
            "allow": {"tools": ["security.secrets.*"], "services": ["linux_cli"]},
        },
    )
    assert written.status_code == 200, written.text
