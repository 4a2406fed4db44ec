"""The hub with one echo behind it and a byte gateway beside it, and the ways of a call there."""

import os
import sys
from collections.abc import Mapping
from typing import Literal

from flotilla import Principal
from flotilla.identity import Signer, open_signing_key
from wire.callers import HandshakeCaller, ModernCaller
from wire.connection import ask
from wire.load import Way
from wire.processes import MODULE_ENV, ROOT, Program, Programs, free_port

PREFIX = "bench.echo."
READY_S = 30.0
Upstream = Literal["fast", "spoke"]


async def answers(url: str, status: int = 200) -> bool:
    return (await ask(url, method="GET")).status == status


def clean_env() -> dict[str, str]:
    """This environment without what would configure the services."""
    mine = ("FLOTILLA_", "MCP_")
    return {name: "" for name in os.environ if name.startswith(mine)}


class Fleet:
    """Starts the programs; `ways` are direct, by the gateway, and by the hub in both eras."""

    def __init__(self, programs: Programs, upstream: Upstream) -> None:
        self._programs = programs
        self._upstream = upstream
        self._hub_port, self._echo_port, self._gateway_port = (free_port() for _ in range(3))
        self._data = programs.folder / "data"
        # A benchmark outlives the hub's tokens: the signer makes them anew when they get old.
        self._signer = Signer(open_signing_key(self._data / "hub"))
        config = programs.folder / "config"
        config.mkdir()
        (config / "services.yaml").write_text(
            # All limits are on, and high enough for one caller at full speed.
            "defaults: {rate_limit: {per_minute: 10000000}, places: {calls: 1000, share: 1}}\n"
            "services:\n"
            f"  master: {{number: 0, port: {self._hub_port}, namespaces: [master]}}\n"
            f"  echo: {{number: 1, port: {self._echo_port}, namespaces: [bench.echo]}}\n"
        )
        self._env = {
            **clean_env(),
            **MODULE_ENV,
            "FLOTILLA_DATA_DIR": str(self._data),
            "FLOTILLA_CONFIG_DIR": str(config),
            "FLOTILLA_LOG_LEVEL": "INFO",
        }

    async def start_echo(self) -> Program:
        if self._upstream == "spoke":
            argv = [sys.executable, "-m", "wire.spoke"]
        else:
            key = str(self._data / "hub" / "public_key.pem")
            argv = [sys.executable, "-m", "wire.modern_echo", str(self._echo_port), PREFIX, key]
            argv.append("echo")
        program = self._programs.start("echo", argv, self._env)
        ready = f"http://127.0.0.1:{self._echo_port}/ready"
        await program.until(lambda: answers(ready), READY_S)
        return program

    async def start_hub(self) -> tuple[Program, float]:
        """The hub, and the seconds from its start until it was ready."""
        argv = [sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py")]
        program = self._programs.start("hub", argv, self._env)
        ready = f"http://127.0.0.1:{self._hub_port}/ready"
        return program, await program.until(lambda: answers(ready), READY_S)

    async def start_gateway(self) -> tuple[Program, float]:
        echo = f"http://127.0.0.1:{self._echo_port}/mcp"
        program = self._programs.module("gateway", "wire.gateway", str(self._gateway_port), echo)
        # It answers with what the echo says to a bare GET, which is no 200.
        url = f"http://127.0.0.1:{self._gateway_port}/mcp"

        async def works() -> bool:
            return (await ask(url, method="GET")).status in (401, 405)

        return program, await program.until(works, READY_S)

    def ways(self, hub: Program, gateway: Program) -> list[Way]:
        admin = (self._data / "admin_token").read_text().strip()
        hub_url = f"http://127.0.0.1:{self._hub_port}/mcp"

        def signed() -> Mapping[str, str]:
            token = self._signer.token("echo", Principal("bench"))
            return {"authorization": f"Bearer {token}"}

        def known() -> Mapping[str, str]:
            return {"authorization": f"Bearer {admin}"}

        def modern(port: int) -> ModernCaller:
            return ModernCaller(f"http://127.0.0.1:{port}/mcp", signed, _named)

        return [
            Way("direct", modern(self._echo_port), None),
            Way("byte gateway", modern(self._gateway_port), gateway),
            Way("hub, 2026-07-28", ModernCaller(hub_url, known, _named), hub),
            Way("hub, handshake", HandshakeCaller(hub_url, known, _named), hub),
        ]


def _named(tool: str) -> str:
    return f"{PREFIX}{tool}"
