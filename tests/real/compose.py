"""The fleet as `docker compose` starts it, or some of its services, on a real engine."""

import json
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from mcp import Client

from tests.conftest import client_over
from tests.ports import find_free_port
from tests.real.docker_engine import Docker, docker_engine

PROJECT = "flotilla-test"


@dataclass(frozen=True)
class Compose:
    """The project under test."""

    docker: Docker
    port: int

    def run(self, *arguments: str, within_s: float = 30) -> str:
        # No .env of the person who runs the tests changes what is tested.
        return self.docker.out(
            "compose", "-p", PROJECT, "--env-file", os.devnull, *arguments, within_s=within_s
        )

    def inside(self, service: str, *command: str) -> str:
        return self.run("exec", "-T", service, *command)

    def fails_inside(self, service: str, *command: str) -> str:
        """What the command says while it fails."""
        words = ["compose", "-p", PROJECT, "--env-file", os.devnull, "exec", "-T", service]
        done = self.docker.run(*words, *command, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def inspected(self, service: str) -> dict[str, Any]:
        container = self.run("ps", "-aq", service)
        return json.loads(self.docker.out("inspect", container))[0]

    def address(self, service: str, network: str) -> str:
        networks = self.inspected(service)["NetworkSettings"]["Networks"]
        return networks[f"{PROJECT}_{network}"]["IPAddress"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        token = self.inside("master", "cat", "/data/admin_token")
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            client_over(http, f"{self.url}/mcp") as client,
        ):
            yield client


@contextmanager
def composed(*services: str, **settings: str) -> Generator[Compose]:
    """Build and start them, by default all, with these settings; nothing of them is left."""
    with docker_engine() as engine:
        port = find_free_port()
        foreign = ("FLOTILLA_", "MCP_PORT_", "COMPOSE_")
        env = {key: value for key, value in engine.env.items() if not key.startswith(foreign)}
        env |= {"MCP_PORT_MASTER": str(port), **settings}
        compose = Compose(replace(engine, env=env), port)
        try:
            # Chromium and its fonts alone take some minutes where nothing is there yet.
            compose.run("build", "--quiet", *services, within_s=900)
            started = ("up", "-d", "--wait", "--wait-timeout", "120", *services)
            compose.run(*started, within_s=150)
            yield compose
        finally:
            compose.run("down", "-v", "--remove-orphans", "-t", "10", within_s=90)
