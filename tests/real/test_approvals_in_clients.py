"""A client that nobody here wrote asks its person whether a call may run, in each era.

`mcpdo` is the Inspector's client for terminals: it keeps a connection, says when the server asks
something, and takes the answer by another command.
"""

import asyncio
import json
import os
import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from .test_inspector import HOME
from .test_inspector import inspector as inspector

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(600)]

WAYS = {
    "handshake": ("http", "/mcp", "legacy"),
    "modern": ("http", "/mcp", "modern"),
    "sse": ("sse", "/sse", "legacy"),
}
WRITE = "os_linux_writeFile"
Mcpdo = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def mcpdo(folder: Path) -> AsyncGenerator[Mcpdo]:
    """`await run(*arguments)`: the JSON that it prints; its daemon is one of its own."""
    program = HOME / "node_modules/@modelcontextprotocol/inspector/clients/mcpdo/build/mcp-bin.js"
    env = {**os.environ, "HOME": str(folder), "MCP_ALLOW_DEFAULT_CONNECTION": "1"}

    async def told(*arguments: str, env: Mapping[str, str]) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            str(HOME / "node_modules/.bin/node"),
            str(program),
            *arguments,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return out.decode(), err.decode()

    exports, _ = await told("private", env=env)
    for line in exports.splitlines():
        name, is_set, value = line.removeprefix("export ").partition("=")
        if line.startswith("export ") and is_set:
            env[name] = shlex.split(value)[0]

    async def run(*arguments: str) -> Any:
        out, err = await told("--format", "json", *arguments, env=env)
        try:
            return json.loads(out)
        except ValueError:
            raise AssertionError(f"{arguments}: {out} {err}") from None

    try:
        yield run
    finally:
        await told("daemon", "stop", env=env)


async def asked(run: Mcpdo, path: Path, text: str) -> Any:
    """The question that a call is answered with."""
    told = await run("tools/call", WRITE, f"path:={path}", f"content:={text}")
    return told["elicitationPending"]


@pytest.mark.parametrize("way", WAYS)
async def test_the_inspectors_person_decides(inspector, launch_fleet, tmp_path, way) -> None:
    transport, path, era = WAYS[way]
    home, yes, no = tmp_path / "home", tmp_path / "yes.txt", tmp_path / "no.txt"
    home.mkdir()
    async with launch_fleet() as fleet, mcpdo(home) as run:
        await run(
            "connect",
            fleet.url + path,
            *("--transport", transport, "--era", era, "--elicit", "form"),
            *("--header", f"Authorization: {fleet.headers['Authorization']}"),
        )
        question = await asked(run, yes, "by a person's leave")
        assert "May os.linux.writeFile (service linux_cli) run?" in json.dumps(question)
        assert not yes.exists()
        done = await run("elicitation/respond", question["elicitationId"], "decision:=allow_once")
        assert yes.read_text() == "by a person's leave", done

        question = await asked(run, no, "without")
        await run("elicitation/respond", question["elicitationId"], "--decline")
        assert not no.exists()
