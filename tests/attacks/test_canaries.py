"""Secrets of the fleet are planted, every tool is driven, and nothing that comes out has one."""

import base64
import json
import re
import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.backends.postgres_server import PASSWORD, Postgres
from tests.backends.redis_server import RedisServer, redis_program
from tests.backends.sshd_server import Sshd
from tests.conftest import LaunchedFleet

from .given import given
from .schemas import put, spots
from .world import INHERITED, OUTSIDE, SECRET, STORED, World, met, prepare

pytestmark = [pytest.mark.anyio, pytest.mark.real]

NUMBERS = {"master": 0, "linux_cli": 1, "cmdb": 12, "secrets": 13}
IN_A_HEADER = "header-canary-Wd8nV3kXq2"
REDIS = "redis-canary-Jt5bM9yLc7"


def forms(value: str) -> dict[str, str]:
    """The ways in which a value may be written, by name; base64 at each of its three beginnings."""
    raw = value.encode()
    found = {
        "plain": value,
        "backwards": value[::-1],
        "URL-encoded": quote(value, safe=""),
        "hexadecimal": raw.hex(),
        "HEXADECIMAL": raw.hex().upper(),
        "JSON": json.dumps(value)[1:-1],
    }
    for shift in range(3):
        written = base64.b64encode(b"\0" * shift + raw).decode()
        # What depends on the neighbours is left out at both ends.
        found[f"base64, {shift} in"] = written[4 if shift else 0 : -4]
    return found


def leaks(text: str, canaries: Mapping[str, str]) -> list[str]:
    """Which canaries a text has in it, in which form, also parted by blanks and line ends."""
    squeezed = re.sub(r"(?:\\n|\\r|\s)+", "", text)
    return [
        f"{what} ({form})"
        for what, value in canaries.items()
        for form, written in forms(value).items()
        if written in text or re.sub(r"\s+", "", written) in squeezed
    ]


@dataclass
class Heard:
    """All that came out of the fleet, by where."""

    canaries: Mapping[str, str]
    leaked: list[str] = field(default_factory=list[str])
    texts: int = 0
    chars: int = 0

    def say(self, where: str, text: str) -> None:
        self.texts += 1
        self.chars += len(text)
        self.leaked += [f"{where}: {one}" for one in leaks(text, self.canaries)]


@pytest.fixture
def redis_with_password(tmp_path: Path) -> Iterator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip("no Redis or Valkey is installed here")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(program, folder, password=REDIS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def world(
    launch_fleet: Any,
    tmp_path: Path,
    target: Sshd,
    client_key: Path,
    postgres: Postgres,
    redis_with_password: RedisServer,
) -> AsyncGenerator[World]:
    """The fleet as a person starts it, of processes, on PostgreSQL and Redis."""
    world = World(tmp_path, target)
    prepare(world, client_key)
    servers = tmp_path / "mcp.json"
    remote = {
        "type": "http",
        "url": "http://127.0.0.1:9/mcp",
        "headers": {"Authorization": f"Bearer {IN_A_HEADER}"},
    }
    servers.write_text(json.dumps({"mcpServers": {"away": remote}}))
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    async with (
        launch_fleet(
            FLOTILLA_APPROVALS="off",
            FLOTILLA_LOG_LEVEL="DEBUG",
            FLOTILLA_MCP_CONFIG=str(servers),
            FLOTILLA_DATABASE_URL=postgres.url,
            FLOTILLA_REDIS_URL=redis_with_password.url,
            CMDB_DATABASE_SCHEMA=f"cmdb_{secrets.token_hex(4)}",
            SECRETS_DATABASE_SCHEMA=f"secrets_{secrets.token_hex(4)}",
            SECRETS_MASTER_KEY=master_key,
            SECRETS_PROGRAMS=str(world.deploy),
            SECRETS_WRITE_FROM_CHAT="on",
            LINUX_CLI_HOME=str(world.play),
            LINUX_CLI_PATH=world.path,
            LINUX_CLI_PROTECTED_PATHS=str(world.outside.parent),
            LINUX_CLI_HOSTS_CONFIG=str(world.inventory),
            LINUX_CLI_MAX_JOBS="256",
            CANARY_OF_THE_ENVIRONMENT=INHERITED,
        ) as world.fleet,
        met(world),
    ):
        world.canaries = {
            **world.secrets_of_the_fleet(),
            "the master key": master_key,
            "the password of the database": PASSWORD,
            "the password of Redis": REDIS,
            "a header for an external server": IN_A_HEADER,
            "a private key for SSH": client_key.read_text().splitlines()[2],
        }
        yield world


KNOWN = (
    "the admin's token", "the owner's token", "a stored secret", "the password of the database",
    "the password of Redis", "a header for an external server",
)  # fmt: skip
"""What a helpful model may come across, and write where it does not belong."""


async def handle(world: World) -> str:
    asked = {"path": SECRET, "tool": "security.secrets.writeSecret", "uses": 5}
    return (await world.call("security.secrets.leaseSecret", **asked))["handle"]


async def drive(world: World, tool: str, heard: Heard) -> int:
    """Call a tool as it is meant, with handles in every place, and wrongly."""
    schema = world.listing[tool]["inputSchema"]
    calls: list[dict[str, Any]] = [await given(world, tool), {}, {"no_such_member": True}]
    places = spots(schema)
    leased = await handle(world) if places else ""
    for spot in places:
        for text in LINES.get((tool, str(spot)), [leased, f"{leased}?", str(world.closed)]):
            calls += put(schema, await given(world, tool), spot, text)
    for name, part in schema.get("properties", {}).items():
        wrong = [1.5] if part.get("type") == "string" else {"a": "b"}
        calls.append({**await given(world, tool), name: wrong})
    for arguments in calls:
        answer = await world.caller.call(tool, arguments)
        heard.say(tool, json.dumps([answer.result, answer.refusal], ensure_ascii=False))
    return len(calls)


async def paste(world: World, tool: str) -> int:
    """Call a tool with a secret in every place where none belongs, as a helpful model would.

    What it answers is not looked at: it may say to its caller what its caller said.
    """
    schema, calls = world.listing[tool]["inputSchema"], 0
    for turn, spot in enumerate(spots(schema)):
        if (tool, str(spot)) in LINES:
            continue
        for step in range(2):
            value = world.canaries[KNOWN[(turn + step) % len(KNOWN)]]
            for arguments in put(schema, await given(world, tool), spot, value):
                await world.caller.call(tool, arguments)
                calls += 1
    return calls


async def listen(world: World, heard: Heard, *, pasted: bool) -> int:
    """Hear everything but answers of tools; how many rows of the audit there are."""
    fleet = world.fleet
    assert isinstance(fleet, LaunchedFleet)
    async with httpx2.AsyncClient(timeout=30) as http:
        for service, number in NUMBERS.items():
            for path in ("/health", "/ready", "/metrics", "/nowhere"):
                url = f"{fleet.url_of(number)}{path}"
                heard.say(f"{service} {path}", (await http.get(url)).text)
    for path in ("/audit?limit=500", "/tokens", "/policy", "/approvals"):
        heard.say(f"/api{path}", (await world.owner("GET", path)).text)
    # What callers wrote into descriptions the owner reads as it is.
    for operation in () if pasted else ("list", "show", "leases", "verify"):
        body = {"path": SECRET} if operation == "show" else {}
        answer = await world.owner("POST", f"/services/secrets/operations/{operation}", body)
        heard.say(f"operation {operation}", answer.text)
    for log in sorted((world.closed / "logs").iterdir()):
        heard.say(log.name, log.read_text(errors="replace"))
    heard.say("what the launcher said", "\n".join(fleet.told))
    rows = (await world.owner("GET", "/audit/export")).text
    heard.say("/api/audit/export", rows)
    return rows.count("\n")


LINES = {
    ("os.linux.runCommand", "command"): ["env; export", "cat /proc/$PPID/cmdline"],
    ("os.linux.startJob", "command"): ["env"],
}
"""What these take is done, so nothing else is written there."""


async def test_no_secret_of_the_fleet_comes_out_of_any_tool_log_or_row(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard(world.canaries)
    # It is leased, resolved and used, so that the hub and a service have had it.
    await world.call("security.secrets.writeSecret", path="copy/one", value=await handle(world))
    driven = {tool: await drive(world, tool, heard) for tool in sorted(world.listing)}
    await listen(world, heard, pasted=False)
    assert not heard.leaked, "\n".join(sorted(set(heard.leaked))[:60])
    # What callers write is told in logs and rows; a secret that they wrote is not.
    pasted = sum([await paste(world, tool) for tool in sorted(world.listing)])
    rows = await listen(world, heard, pasted=True)
    with capsys.disabled():
        print(
            f"\n{len(driven)} tools, {sum(driven.values())} calls and {pasted} with secrets in "
            f"them, {rows} rows of the audit, {heard.texts} texts of {heard.chars} characters, "
            f"{len(world.canaries)} canaries in {len(forms(STORED))} forms"
        )
    assert set(driven) == set(world.listing) and min(driven.values()) >= 3
    assert rows > sum(driven.values()) + pasted and heard.chars > 1_000_000
    assert not heard.leaked, "\n".join(sorted(set(heard.leaked))[:60])


def test_a_canary_is_found_in_every_form() -> None:
    canaries = {"it": OUTSIDE}
    wrapped = base64.encodebytes(f"ab{OUTSIDE * 3}".encode()).decode()
    for text in (
        f"x{OUTSIDE}y",
        json.dumps({"a": f"{OUTSIDE[:7]}\n{OUTSIDE[7:]}"}),
        wrapped,
        OUTSIDE.encode().hex(),
        OUTSIDE[::-1],
    ):
        assert leaks(text, canaries), text
    assert not leaks("nothing of it", canaries)
